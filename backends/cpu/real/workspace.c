/* SPDX-License-Identifier: MIT */
/* A staged batch and its states, for networks of real activations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/real/real.h"

static size_t tiles_of(size_t samples) {
    return (samples + LANES - 1) / LANES;
}

static size_t groups_of(size_t samples) {
    return (samples + LEARN_SAMPLES - 1) / LEARN_SAMPLES;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The largest sizes among the connections, from which the buffers follow. */
struct extent {
    size_t units, scales;
    size_t stride, across;                          /* of fully connected layers: of samples; blocks of 64 columns */
    size_t sums, places, padded, gradient, windows; /* of convolutions; 0 if there are none */
};

static struct extent extent_of(const struct bnnep_model *model) {
    struct extent e = {.units = bnnep_cpu_units(model)};
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        e.scales = larger(e.scales, link->scales);
        if (!bnnep_cpu_is_convolution(link)) {
            e.stride = larger(e.stride, bnnep_real_sample_stride(link->columns));
            e.across = larger(e.across, (link->columns + 63) / 64);
            continue;
        }
        e.sums = larger(e.sums, bnnep_real_sums(link));
        e.places = larger(e.places, link->pool * link->pool);
        e.padded = larger(e.padded, bnnep_real_padded(link));
        e.gradient = larger(e.gradient, link->rows * link->kernel * bnnep_real_kernel_row(link));
        e.windows = larger(e.windows, link->to.height * link->to.width);
    }
    return e;
}

uint64_t bnnep_real_workspace_bytes(const struct bnnep_model *model, unsigned threads, size_t max_batch) {
    const struct extent e = extent_of(model);
    const uint64_t lanes = tiles_of(max_batch) * LANES;
    const uint64_t in = model->links[0].in, out = model->links[model->connections - 1].out;
    const uint64_t places = model->convolutional ? sizeof(int32_t) : 0;
    const uint64_t a_lane = (in + out + model->links[0].out + (BNNEP_SLOTS + 1) * (uint64_t)e.units) * sizeof(float) +
                            BNNEP_SLOTS * (e.scales * sizeof(double) + e.units * places);
    const uint64_t a_thread =
        TABLE_BYTES + (LEARN_SAMPLES * 64 + LEARN_ROWS * (LEARN_COLUMNS + LEARN_SAMPLES)) * sizeof(float) +
        e.units * LANES * (3 * sizeof(float) + places) +
        (model->convolutional ? e.sums + (64 * e.places + 2 * MOST_VIEWS * e.windows) * LANES + 2 : 0) * sizeof(float) +
        (model->grid.steps != 0.0f ? 64 * LANES * sizeof(int32_t) : 0) + e.scales * sizeof(float) +
        bnnep_real_told_bytes(model);
    return sizeof(struct real_workspace) + lanes * a_lane + LEARN_TERMS * lanes * e.stride * sizeof(float) +
           LEARN_TERMS * groups_of(max_batch) * e.across * sizeof(uint64_t) +
           lanes / LANES * MOST_EXCHANGES * sizeof(struct real_exchange) +
           (MAPS * lanes * e.padded + 64 + e.gradient) * sizeof(float) +
           threads * (a_thread + sizeof(struct real_scratch)) + 2 * model->connections * sizeof(size_t);
}

static void scratch_free(struct real_scratch *s) {
    void *const parts[] = {s->tables,   s->whole, s->forward,      s->feedback,  s->gradient,
                           s->above,    s->below, s->contrast,     s->pooled,    s->sums,
                           s->unpooled, s->share, s->views.factor, s->views.from};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
    bnnep_real_told_free(&s->told);
}

static bool scratch_make(struct real_scratch *s, const struct extent *e, const struct bnnep_model *model) {
    s->bytes = ENTRY_BYTES;
    s->tables = bnnep_cpu_alloc(TABLE_BYTES, 1);
    s->forward = bnnep_cpu_alloc(e->units * LANES, sizeof(float));
    s->feedback = bnnep_cpu_alloc(e->units * LANES, sizeof(float));
    s->gradient = bnnep_cpu_alloc(e->units * LANES, sizeof(float));
    s->above = bnnep_cpu_alloc(LEARN_ROWS * LEARN_SAMPLES, sizeof(float));
    s->below = bnnep_cpu_alloc(LEARN_SAMPLES * 64, sizeof(float));
    s->contrast = bnnep_cpu_alloc(LEARN_ROWS * LEARN_COLUMNS, sizeof(float));
    s->share = bnnep_cpu_alloc(e->scales, sizeof(float));
    bool complete = s->tables && s->forward && s->feedback && s->gradient && s->above && s->below && s->contrast &&
                    s->share && bnnep_real_told_make(&s->told, model);
    if (model->grid.steps != 0.0f)
        complete = (s->whole = bnnep_cpu_alloc(64 * LANES, sizeof(int32_t))) && complete;
    if (model->convolutional) {
        s->pooled = bnnep_cpu_alloc(e->units * LANES, sizeof(int32_t));
        s->sums = bnnep_cpu_alloc(e->sums, sizeof(float));
        s->unpooled = bnnep_cpu_alloc(e->places * 64 * LANES, sizeof(float));
        s->views.factor = bnnep_cpu_alloc(MOST_VIEWS * LANES * e->windows + 1, sizeof(float));
        s->views.from = bnnep_cpu_alloc(MOST_VIEWS * LANES * e->windows + 1, sizeof(uint32_t));
        complete = complete && s->pooled && s->sums && s->unpooled && s->views.factor && s->views.from;
    }
    return complete;
}

void bnnep_real_workspace_destroy(void *handle) {
    struct real_workspace *ws = handle;
    if (!ws)
        return;
    bnnep_pool_destroy(ws->pool);
    for (unsigned i = 0; ws->scratch && i < ws->threads; i++)
        scratch_free(&ws->scratch[i]);
    void *const parts[] = {ws->scratch, ws->offset,   ws->spread,   ws->input,    ws->target,   ws->drive,
                           ws->delta,   ws->below,    ws->lit,      ws->maps,     ws->gradient, ws->dot[0],
                           ws->dot[1],  ws->state[0], ws->state[1], ws->place[0], ws->place[1], ws->exchange};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
    free(ws);
}

/* Allocates all that the workspace points to. */
static bool fill(struct real_workspace *ws, size_t max_batch) {
    const struct bnnep_model *model = ws->network->model;
    const struct extent e = extent_of(model);
    const size_t lanes = tiles_of(max_batch) * LANES;
    ws->units = e.units;
    ws->pool = bnnep_pool_create(ws->threads);
    ws->offset = calloc(model->connections, sizeof *ws->offset);
    ws->spread = calloc(model->connections, sizeof *ws->spread);
    ws->input = bnnep_cpu_alloc(lanes * model->links[0].in, sizeof(float));
    ws->target = bnnep_cpu_alloc(lanes * model->links[model->connections - 1].out, sizeof(float));
    ws->drive = bnnep_cpu_alloc(lanes * model->links[0].out, sizeof(float));
    ws->delta = bnnep_cpu_alloc(lanes * ws->units, sizeof(float));
    ws->below = bnnep_cpu_alloc(LEARN_TERMS * lanes * e.stride, sizeof(float));
    ws->lit = bnnep_cpu_alloc(LEARN_TERMS * groups_of(max_batch) * e.across, sizeof(uint64_t));
    ws->scratch = calloc(ws->threads, sizeof *ws->scratch);
    ws->exchange = calloc(tiles_of(max_batch), MOST_EXCHANGES * sizeof *ws->exchange);
    bool complete = ws->pool && ws->offset && ws->spread && ws->input && ws->target && ws->drive && ws->delta &&
                    ws->below && ws->lit && ws->scratch && ws->exchange;
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        ws->state[slot] = bnnep_cpu_alloc(lanes * ws->units, sizeof(float));
        ws->dot[slot] = bnnep_cpu_alloc(lanes * e.scales, sizeof(double));
        complete = complete && ws->state[slot] && ws->dot[slot];
        if (model->convolutional)
            complete = (ws->place[slot] = bnnep_cpu_alloc(lanes * ws->units, sizeof(int32_t))) && complete;
    }
    if (model->convolutional) {
        /* a row of the kernel may be read up to 63 columns beyond the last map */
        ws->maps = bnnep_cpu_alloc(MAPS * lanes * e.padded + 64, sizeof(float));
        ws->gradient = bnnep_cpu_alloc(e.gradient, sizeof(float));
        complete = complete && ws->maps && ws->gradient;
    }
    for (unsigned i = 0; ws->scratch && i < ws->threads; i++)
        complete = scratch_make(&ws->scratch[i], &e, model) && complete;
    return complete;
}

bnnep_status bnnep_real_workspace_create(const struct cpu_network *net, size_t max_batch, unsigned threads, void **out,
                                         char *why) {
    const struct bnnep_model *model = net->model;
    struct real_workspace *ws = calloc(1, sizeof *ws);
    if (ws) {
        ws->network = net;
        ws->threads = threads;
    }
    if (!ws || !fill(ws, max_batch)) {
        bnnep_real_workspace_destroy(ws);
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
    for (size_t k = 0, units = 0; k < model->connections; units += model->links[k++].out)
        ws->offset[k] = units;
    ws->unpooled = bnnep_real_unpooled(model, ws->spread);
    *out = ws;
    return BNNEP_OK;
}

/* How the units of a layer are shared out: canonical [channel][position], here [position][channel]. */
struct layout {
    size_t positions, channels;
};

static struct layout layout_of(const struct bnnep_map *map) {
    return (struct layout){map->height * map->width, map->channels};
}

/* Of the layer above connection k. */
static struct layout layout_above(const struct bnnep_model *model, size_t k) {
    const struct bnnep_link *link = &model->links[k];
    return bnnep_cpu_is_convolution(link) ? layout_of(&link->to) : (struct layout){1, link->out};
}

static struct layout layout_of_input(const struct bnnep_model *model) {
    const struct bnnep_link *link = &model->links[0];
    return bnnep_cpu_is_convolution(link) ? layout_of(&link->from) : (struct layout){1, link->in};
}

/* [samples of a tile][units] -> [unit][LANES], and back. Lanes without a sample become 0. */
static void to_lanes(const float *samples, size_t present, struct layout layout, float *lanes) {
    const size_t units = layout.positions * layout.channels;
    for (size_t p = 0; p < layout.positions; p++)
        for (size_t c = 0; c < layout.channels; c++, lanes += LANES)
            for (size_t l = 0; l < LANES; l++)
                lanes[l] = l < present ? samples[l * units + c * layout.positions + p] : 0.0f;
}

static void from_lanes(const float *lanes, size_t present, struct layout layout, float *samples) {
    const size_t units = layout.positions * layout.channels;
    for (size_t p = 0; p < layout.positions; p++)
        for (size_t c = 0; c < layout.channels; c++, lanes += LANES)
            for (size_t l = 0; l < present; l++)
                samples[l * units + c * layout.positions + p] = lanes[l];
}

static size_t present_in(const struct real_workspace *ws, size_t tile) {
    const size_t left = ws->count - tile * LANES;
    return left < LANES ? left : LANES;
}

struct staging {
    struct real_workspace *ws;
    const float *x, *target;
};

static void stage_tile(void *arg, size_t tile, unsigned worker) {
    const struct staging *staging = arg;
    struct real_workspace *ws = staging->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *first = &model->links[0], *last = &model->links[model->connections - 1];
    const size_t present = present_in(ws, tile);
    float *input = ws->input + tile * first->in * LANES;
    to_lanes(staging->x + tile * LANES * first->in, present, layout_of_input(model), input);
    for (size_t v = 0; v < first->in * LANES; v++)
        input[v] = bnnep_on_grid(&model->grid, input[v]);
    if (staging->target)
        to_lanes(staging->target + tile * LANES * last->out, present, layout_above(model, model->connections - 1),
                 ws->target + tile * last->out * LANES);
    /* The places of connection 0 stay as they are: its input is clamped. */
    int32_t *place = ws->place[BNNEP_SLOT_FREE] ? ws->place[BNNEP_SLOT_FREE] + bnnep_real_at(ws, tile, 0) : NULL;
    if (place)
        memset(place, 0, ws->units * LANES * sizeof *place);
    bnnep_real_forward(ws, 0, WHOLE, input, ws->drive + tile * first->out * LANES, place, &ws->scratch[worker]);
    const float start = bnnep_start(false, model->convolutional);
    float *state = bnnep_real_state(ws, BNNEP_SLOT_FREE, tile, 0);
    for (size_t v = 0; v < ws->units * LANES; v++)
        state[v] = start;
}

bnnep_status bnnep_real_stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    (void)why;
    struct real_workspace *ws = handle;
    ws->count = count;
    ws->tiles = tiles_of(count);
    bnnep_pool_run(ws->pool, ws->tiles, stage_tile, &(struct staging){ws, x, target});
    return BNNEP_OK;
}

bnnep_status bnnep_real_put_state(void *handle, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    (void)why;
    struct real_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const size_t units = model->links[layer - 1].out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        to_lanes(state + tile * LANES * units, present_in(ws, tile), layout_above(model, layer - 1),
                 bnnep_real_state(ws, slot, tile, layer - 1));
    return BNNEP_OK;
}

bnnep_status bnnep_real_get_state(const void *handle, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    (void)why;
    const struct real_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const size_t units = model->links[layer - 1].out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        from_lanes(bnnep_real_state(ws, slot, tile, layer - 1), present_in(ws, tile), layout_above(model, layer - 1),
                   state + tile * LANES * units);
    return BNNEP_OK;
}
