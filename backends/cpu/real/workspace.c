/* SPDX-License-Identifier: MIT */
/* A staged batch and its states, for networks of real activations: their memory, and how samples become lanes. */
#include <string.h>

#include "backends/arena.h"
#include "backends/cpu/real/connection.h"
#include "backends/cpu/real/delta.h"
#include "backends/cpu/real/lanes.h"
#include "backends/cpu/real/learn.h"

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
    struct extent e = {.units = bnnep_units(model)};
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        e.scales = larger(e.scales, link->scales);
        if (!bnnep_is_convolution(link)) {
            e.stride = larger(e.stride, bnnep_real_sample_stride(link->columns));
            e.across = larger(e.across, (link->columns + 63) / 64);
            continue;
        }
        e.sums = larger(e.sums, bnnep_real_window_sums(link));
        e.places = larger(e.places, link->pool * link->pool);
        e.padded = larger(e.padded, bnnep_real_padded(link));
        e.gradient = larger(e.gradient, link->rows * link->kernel * bnnep_real_kernel_row(link));
        e.windows = larger(e.windows, link->to.height * link->to.width);
    }
    return e;
}

static float *take_floats(struct bnnep_arena *arena, size_t count) {
    return bnnep_arena_take(arena, count, sizeof(float));
}

static struct real_delta take_delta(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct real_delta d = {0};
    const size_t values = bnnep_units(model) * LANES;
    d.sent = take_floats(arena, values);
    d.forward = take_floats(arena, values);
    d.feedback = take_floats(arena, values);
    d.sums = bnnep_arena_take(arena, values, sizeof(int32_t));
    d.layer = bnnep_arena_take(arena, model->connections, sizeof *d.layer);
    for (size_t k = 0; k < model->connections; k++)
        for (size_t n = 0; n < MOST_DIGITS; n++) {
            int32_t *digit = bnnep_arena_take(arena, model->links[k]->out * (LANES / 2), sizeof(int32_t));
            if (d.layer)
                d.layer[k].digit[n] = digit;
        }
    return d;
}

static struct real_scratch take_scratch(struct bnnep_arena *arena, const struct bnnep_model *model,
                                        const struct extent *e) {
    const size_t values = e->units * LANES;
    struct real_scratch s = {.bytes = ENTRY_BYTES};
    s.tables = bnnep_arena_take(arena, TABLE_BYTES, 1);
    s.step.forward = take_floats(arena, values);
    s.step.feedback = take_floats(arena, values);
    s.gradient.above = take_floats(arena, TASK_ROWS * LEARN_SAMPLES);
    s.gradient.below = take_floats(arena, LEARN_SAMPLES * 64);
    s.gradient.contrast = take_floats(arena, TASK_ROWS * TASK_COLUMNS);
    s.gradient.loss = take_floats(arena, values);
    if (model->convolutional) {
        s.step.argmax = bnnep_arena_take(arena, values, sizeof(int32_t));
        s.windows.sums = take_floats(arena, e->sums);
        s.windows.unpooled = take_floats(arena, e->places * 64 * LANES);
        s.windows.share = take_floats(arena, e->scales);
        s.gradient.views.factor = take_floats(arena, MOST_VIEWS * LANES * e->windows + 1);
        s.gradient.views.from = bnnep_arena_take(arena, MOST_VIEWS * LANES * e->windows + 1, sizeof(uint32_t));
    }
    if (bnnep_real_is_delta_coded(model))
        s.delta = take_delta(arena, model);
    return s;
}

static struct real_contrast take_contrast(struct bnnep_arena *arena, const struct bnnep_model *model,
                                          const struct extent *e, size_t tiles) {
    const size_t lanes = tiles * LANES, groups = (tiles + LEARN_TILES - 1) / LEARN_TILES;
    struct real_contrast c = {.change = take_floats(arena, lanes * e->units)};
    for (int phase = 0; phase < 2; phase++)
        c.dot[phase] = bnnep_arena_take(arena, lanes * e->scales, sizeof(double));
    for (int phase = 0; phase < 2; phase++)
        c.total[phase] = bnnep_arena_take(arena, e->units, sizeof(double));
    c.input_total = bnnep_arena_take(arena, model->links[0]->in, sizeof(double));
    c.below = take_floats(arena, LEARN_TERMS * lanes * e->stride);
    c.nonzero = bnnep_arena_take(arena, LEARN_TERMS * groups * e->across, sizeof(uint64_t));
    if (model->convolutional) {
        /* a row of the kernel may be read up to 63 columns beyond the last map */
        c.maps = take_floats(arena, MAPS * lanes * e->padded + 64);
        c.gradient = take_floats(arena, e->gradient);
    }
    return c;
}

static struct real_workspace *divide(struct bnnep_arena *arena, const struct bnnep_model *model, size_t max_batch,
                                     unsigned threads) {
    const struct extent e = extent_of(model);
    const size_t tiles = bnnep_real_tiles(max_batch), lanes = tiles * LANES;
    struct real_workspace *ws = bnnep_arena_take(arena, 1, sizeof *ws);
    struct real_workspace seed = {.units = e.units, .threads = threads};
    seed.offset = bnnep_arena_take(arena, model->connections, sizeof *seed.offset);
    seed.input = take_floats(arena, lanes * model->links[0]->in);
    seed.target = take_floats(arena, lanes * model->links[model->connections - 1]->out);
    seed.drive = take_floats(arena, lanes * model->links[0]->out);
    for (int phase = 0; phase < BNNEP_PHASES; phase++) {
        seed.state[phase] = take_floats(arena, lanes * e.units);
        if (model->convolutional)
            seed.argmax[phase] = bnnep_arena_take(arena, lanes * e.units, sizeof(int32_t));
    }
    seed.exchanges = bnnep_arena_take(arena, tiles * MOST_EXCHANGES, sizeof *seed.exchanges);
    seed.contrast = take_contrast(arena, model, &e, tiles);
    seed.scratch = bnnep_arena_take(arena, threads, sizeof *seed.scratch);
    for (unsigned i = 0; i < threads; i++) {
        const struct real_scratch scratch = take_scratch(arena, model, &e);
        if (seed.scratch)
            seed.scratch[i] = scratch;
    }
    if (ws)
        *ws = seed;
    return ws;
}

uint64_t bnnep_real_workspace_bytes(const struct bnnep_model *model, size_t max_batch, unsigned threads) {
    struct bnnep_arena arena = {0};
    divide(&arena, model, max_batch, threads);
    return arena.used;
}

bnnep_status bnnep_real_workspace_create(const struct cpu_network *net, size_t max_batch, unsigned threads, void **out,
                                         char *why) {
    struct bnnep_arena arena = {.used = (size_t)bnnep_real_workspace_bytes(net->model, max_batch, threads)};
    if (!bnnep_arena_open(&arena, net->device->host))
        return bnnep_cpu_no_memory(why);
    struct real_workspace *ws = divide(&arena, net->model, max_batch, threads);
    ws->network = net;
    for (size_t k = 0, units = 0; k < net->model->connections; units += net->model->links[k++]->out)
        ws->offset[k] = units;
    ws->pool = net->device->pool;
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
    const struct bnnep_link *link = model->links[k];
    return bnnep_is_convolution(link) ? layout_of(&link->to) : (struct layout){1, link->out};
}

static struct layout layout_of_input(const struct bnnep_model *model) {
    const struct bnnep_link *link = model->links[0];
    return bnnep_is_convolution(link) ? layout_of(&link->from) : (struct layout){1, link->in};
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
    const struct bnnep_link *first = model->links[0], *last = model->links[model->connections - 1];
    const size_t present = present_in(ws, tile);
    float *input = ws->input + tile * first->in * LANES;
    to_lanes(staging->x + tile * LANES * first->in, present, layout_of_input(model), input);
    for (size_t v = 0; v < first->in * LANES; v++)
        input[v] = bnnep_on_grid(&model->grid, input[v]);
    if (staging->target)
        to_lanes(staging->target + tile * LANES * last->out, present, layout_above(model, model->connections - 1),
                 ws->target + tile * last->out * LANES);
    /* The argmax of connection 0 stays as it is: its input is clamped. */
    int32_t *argmax = ws->argmax[BNNEP_PHASE_FREE] ? ws->argmax[BNNEP_PHASE_FREE] + bnnep_real_at(ws, tile, 0) : NULL;
    if (argmax)
        memset(argmax, 0, ws->units * LANES * sizeof *argmax);
    bnnep_real_forward(ws->network, 0, WHOLE, input, ws->drive + tile * first->out * LANES, argmax,
                       &ws->scratch[worker]);
    const float start = bnnep_start(false, model->convolutional);
    float *state = bnnep_real_state(ws, BNNEP_PHASE_FREE, tile, 0);
    for (size_t v = 0; v < ws->units * LANES; v++)
        state[v] = start;
}

void bnnep_real_stage(void *handle, const float *x, const float *target, size_t count) {
    struct real_workspace *ws = handle;
    ws->count = count;
    ws->tiles = bnnep_real_tiles(count);
    bnnep_pool_run(ws->pool, ws->threads, ws->tiles, stage_tile, &(struct staging){ws, x, target});
}

void bnnep_real_put_state(void *handle, int32_t phase, size_t layer, const float *state) {
    struct real_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const size_t units = model->links[layer - 1]->out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        to_lanes(state + tile * LANES * units, present_in(ws, tile), layout_above(model, layer - 1),
                 bnnep_real_state(ws, phase, tile, layer - 1));
}

void bnnep_real_get_state(const void *handle, int32_t phase, size_t layer, float *state) {
    const struct real_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const size_t units = model->links[layer - 1]->out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        from_lanes(bnnep_real_state(ws, phase, tile, layer - 1), present_in(ws, tile), layout_above(model, layer - 1),
                   state + tile * LANES * units);
}
