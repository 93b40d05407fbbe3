/* SPDX-License-Identifier: MIT */
/* A staged batch and its states on the cpu backend. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/rules.h"

static size_t tiles_of(size_t samples) {
    return (samples + LANES - 1) / LANES;
}

size_t bnnep_cpu_lanes(size_t samples) {
    return tiles_of(samples) * LANES;
}

size_t bnnep_cpu_units(const struct bnnep_model *model) {
    size_t units = 0;
    for (size_t k = 0; k < model->connections; k++)
        units += model->links[k].out;
    return units;
}

/* The largest sizes among the connections, from which the buffers follow. */
struct extent {
    size_t units, scales;
    size_t tile_columns;                    /* the widest tile of weights */
    size_t rows, columns, padded, gradient; /* of convolutions; 0 if there are none */
};

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static struct extent extent_of(const struct bnnep_model *model) {
    struct extent e = {.units = bnnep_cpu_units(model)};
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        const size_t rows = link->rows < TILE_ROWS ? link->rows : TILE_ROWS;
        e.tile_columns = larger(e.tile_columns, TILE / rows);
        e.scales = larger(e.scales, link->scales);
        if (!bnnep_cpu_is_convolution(link))
            continue;
        e.rows = larger(e.rows, link->rows);
        e.columns = larger(e.columns, link->columns);
        e.padded = larger(e.padded, bnnep_cpu_padded(link));
        e.gradient = larger(e.gradient, link->rows * link->columns);
    }
    return e;
}

uint64_t bnnep_cpu_workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    char why[BNNEP_WHY];
    const struct extent e = extent_of(model);
    const uint64_t lanes = bnnep_cpu_lanes(max_batch), threads = bnnep_cpu_threads(device, why);
    const uint64_t in = model->links[0].in, out = model->links[model->connections - 1].out;
    const uint64_t places = model->convolutional ? sizeof(uint16_t) : 0;
    const uint64_t a_lane = (in + out + model->links[0].out + (BNNEP_SLOTS + 1) * (uint64_t)e.units) * sizeof(float) +
                            BNNEP_SLOTS * (e.scales * sizeof(double) + e.units * places);
    const uint64_t a_thread =
        (TILE + TILE_ROWS * LANES + e.padded + e.columns) * sizeof(double) + larger(TILE, e.columns) * sizeof(float) +
        ((3 * (uint64_t)e.units + TILE_ROWS + e.tile_columns + e.columns + e.rows) * sizeof(float) + e.units * places) *
            LANES;
    return sizeof(struct cpu_workspace) + lanes * a_lane +
           max_batch * (in * sizeof(float) + e.padded * sizeof(double)) + e.gradient * sizeof(double) +
           threads * (a_thread + sizeof(struct cpu_scratch)) + model->connections * sizeof(size_t);
}

static void scratch_free(struct cpu_scratch *s) {
    void *const parts[] = {s->tile,  s->sum,   s->forward, s->feedback, s->active, s->pooled, s->contrast,
                           s->above, s->below, s->patch,   s->channel,  s->map,    s->signs};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
}

static bool scratch_make(struct cpu_scratch *s, const struct extent *e, bool convolutional) {
    s->tile = bnnep_cpu_alloc(TILE, sizeof(double));
    s->sum = bnnep_cpu_alloc(TILE_ROWS * LANES, sizeof(double));
    s->forward = bnnep_cpu_alloc(e->units * LANES, sizeof(float));
    s->feedback = bnnep_cpu_alloc(e->units * LANES, sizeof(float));
    s->active = bnnep_cpu_alloc(e->units * LANES, sizeof(float));
    s->contrast = bnnep_cpu_alloc(larger(TILE, e->columns), sizeof(float));
    s->above = bnnep_cpu_alloc(TILE_ROWS * LANES, sizeof(float));
    s->below = bnnep_cpu_alloc(e->tile_columns * LANES, sizeof(float));
    bool complete = s->tile && s->sum && s->forward && s->feedback && s->active && s->contrast && s->above && s->below;
    if (convolutional) {
        s->pooled = bnnep_cpu_alloc(e->units * LANES, sizeof(uint16_t));
        s->patch = bnnep_cpu_alloc(e->columns * LANES, sizeof(float));
        s->channel = bnnep_cpu_alloc(e->rows * LANES, sizeof(float));
        s->map = bnnep_cpu_alloc(e->padded, sizeof(double));
        s->signs = bnnep_cpu_alloc(e->columns, sizeof(double));
        complete = complete && s->pooled && s->patch && s->channel && s->map && s->signs;
    }
    return complete;
}

void bnnep_cpu_workspace_destroy(void *handle) {
    struct cpu_workspace *ws = handle;
    if (!ws)
        return;
    bnnep_pool_destroy(ws->pool);
    for (unsigned i = 0; ws->scratch && i < ws->threads; i++)
        scratch_free(&ws->scratch[i]);
    void *const parts[] = {ws->scratch,  ws->offset, ws->x,      ws->input,    ws->target,
                           ws->drive,    ws->delta,  ws->maps,   ws->gradient, ws->state[0],
                           ws->state[1], ws->dot[0], ws->dot[1], ws->place[0], ws->place[1]};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        free(parts[i]);
    free(ws);
}

/* Allocates all that the workspace points to. */
static bool fill(struct cpu_workspace *ws, size_t max_batch) {
    const struct bnnep_model *model = ws->network->model;
    const struct extent e = extent_of(model);
    const size_t lanes = bnnep_cpu_lanes(max_batch);
    ws->units = e.units;
    ws->pool = bnnep_pool_create(ws->threads);
    ws->offset = calloc(model->connections, sizeof *ws->offset);
    ws->x = bnnep_cpu_alloc(max_batch * model->links[0].in, sizeof(float));
    ws->input = bnnep_cpu_alloc(lanes * model->links[0].in, sizeof(float));
    ws->target = bnnep_cpu_alloc(lanes * model->links[model->connections - 1].out, sizeof(float));
    ws->drive = bnnep_cpu_alloc(lanes * model->links[0].out, sizeof(float));
    ws->delta = bnnep_cpu_alloc(lanes * ws->units, sizeof(float));
    ws->scratch = calloc(ws->threads, sizeof *ws->scratch);
    bool complete = ws->pool && ws->offset && ws->x && ws->input && ws->target && ws->drive && ws->delta && ws->scratch;
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        ws->state[slot] = bnnep_cpu_alloc(lanes * ws->units, sizeof(float));
        ws->dot[slot] = bnnep_cpu_alloc(lanes * e.scales, sizeof(double));
        complete = complete && ws->state[slot] && ws->dot[slot];
        if (model->convolutional)
            complete = (ws->place[slot] = bnnep_cpu_alloc(lanes * ws->units, sizeof(uint16_t))) && complete;
    }
    if (model->convolutional) {
        ws->maps = bnnep_cpu_alloc(max_batch * e.padded, sizeof(double));
        ws->gradient = bnnep_cpu_alloc(e.gradient, sizeof(double));
        complete = complete && ws->maps && ws->gradient;
    }
    for (unsigned i = 0; ws->scratch && i < ws->threads; i++)
        complete = scratch_make(&ws->scratch[i], &e, model->convolutional) && complete;
    return complete;
}

bnnep_status bnnep_cpu_workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    const struct cpu_network *net = network;
    const struct bnnep_model *model = net->model;
    struct cpu_workspace *ws = calloc(1, sizeof *ws);
    if (ws) {
        ws->network = net;
        ws->threads = threads > 0 ? (unsigned)threads : net->threads;
    }
    if (!ws || !fill(ws, max_batch)) {
        bnnep_cpu_workspace_destroy(ws);
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
    for (size_t k = 0, units = 0; k < model->connections; units += model->links[k++].out)
        ws->offset[k] = units;
    *out = ws;
    return BNNEP_OK;
}

/* [samples of a tile][units] -> [unit][LANES], and back. Lanes without a sample become 0. */
static void to_lanes(const float *samples, size_t present, size_t units, float *lanes) {
    for (size_t j = 0; j < units; j++)
        for (size_t l = 0; l < LANES; l++)
            lanes[j * LANES + l] = l < present ? samples[l * units + j] : 0.0f;
}

static void from_lanes(const float *lanes, size_t present, size_t units, float *samples) {
    for (size_t l = 0; l < present; l++)
        for (size_t j = 0; j < units; j++)
            samples[l * units + j] = lanes[j * LANES + l];
}

static size_t present_in(const struct cpu_workspace *ws, size_t tile) {
    const size_t left = ws->count - tile * LANES;
    return left < LANES ? left : LANES;
}

struct staging {
    struct cpu_workspace *ws;
    const float *x, *target;
};

static void stage_tile(void *arg, size_t tile, unsigned worker) {
    const struct staging *staging = arg;
    struct cpu_workspace *ws = staging->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *first = &model->links[0], *last = &model->links[model->connections - 1];
    const size_t present = present_in(ws, tile);
    float *input = ws->input + tile * first->in * LANES;
    memcpy(ws->x + tile * LANES * first->in, staging->x + tile * LANES * first->in,
           present * first->in * sizeof(float));
    to_lanes(staging->x + tile * LANES * first->in, present, first->in, input);
    if (staging->target)
        to_lanes(staging->target + tile * LANES * last->out, present, last->out, ws->target + tile * last->out * LANES);
    /* The places of connection 0 stay as they are: its input is clamped. */
    uint16_t *place = ws->place[BNNEP_SLOT_FREE] ? ws->place[BNNEP_SLOT_FREE] + bnnep_cpu_at(ws, tile, 0) : NULL;
    if (place)
        memset(place, 0, ws->units * LANES * sizeof *place);
    bnnep_cpu_forward(ws, 0, input, ws->drive + tile * first->out * LANES, place, &ws->scratch[worker]);
    const float start = bnnep_start(bnnep_cpu_binary(model), model->convolutional);
    float *state = bnnep_cpu_state(ws, BNNEP_SLOT_FREE, tile, 0);
    for (size_t v = 0; v < ws->units * LANES; v++)
        state[v] = start;
}

bnnep_status bnnep_cpu_stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    (void)why;
    struct cpu_workspace *ws = handle;
    ws->count = count;
    ws->tiles = tiles_of(count);
    bnnep_pool_run(ws->pool, ws->tiles, stage_tile, &(struct staging){ws, x, target});
    return BNNEP_OK;
}

bnnep_status bnnep_cpu_put_state(void *handle, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    (void)why;
    struct cpu_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        to_lanes(state + tile * LANES * units, present_in(ws, tile), units, bnnep_cpu_state(ws, slot, tile, layer - 1));
    return BNNEP_OK;
}

bnnep_status bnnep_cpu_get_state(const void *handle, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    (void)why;
    const struct cpu_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        from_lanes(bnnep_cpu_state(ws, slot, tile, layer - 1), present_in(ws, tile), units,
                   state + tile * LANES * units);
    return BNNEP_OK;
}
