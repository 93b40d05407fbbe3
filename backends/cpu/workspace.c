/* SPDX-License-Identifier: MIT */
/* A staged batch and its states on the cpu backend. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/cpu.h"

static size_t tiles_of(size_t samples) {
    return (samples + LANES - 1) / LANES;
}

static size_t units_of(const struct bnnep_model *model) {
    size_t units = 0;
    for (size_t k = 0; k < model->connections; k++)
        units += model->links[k].out;
    return units;
}

/* The widest tile of weights, in columns. */
static size_t widest_tile(const struct bnnep_model *model) {
    size_t widest = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const size_t rows = model->links[k].rows < TILE_ROWS ? model->links[k].rows : TILE_ROWS;
        if (TILE / rows > widest)
            widest = TILE / rows;
    }
    return widest;
}

uint64_t cpu_workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    char why[BNNEP_WHY];
    const uint64_t lanes = tiles_of(max_batch) * LANES, threads = cpu_threads(device, why), units = units_of(model);
    const uint64_t in = model->links[0].in, out = model->links[model->connections - 1].out;
    const uint64_t a_sample = 2 * in + out + model->links[0].out + (BNNEP_SLOTS + 1) * units;
    const uint64_t a_thread = (TILE + TILE_ROWS * LANES) * sizeof(double) + TILE * sizeof(float) +
                              (3 * units + TILE_ROWS + widest_tile(model)) * LANES * sizeof(float);
    return sizeof(struct cpu_workspace) + lanes * (a_sample * sizeof(float) + BNNEP_SLOTS * sizeof(double)) +
           threads * (a_thread + sizeof(struct cpu_scratch)) + model->connections * sizeof(size_t);
}

static void scratch_free(struct cpu_scratch *s) {
    free(s->tile);
    free(s->sum);
    free(s->forward);
    free(s->feedback);
    free(s->active);
    free(s->contrast);
    free(s->above);
    free(s->below);
}

static bool scratch_make(struct cpu_scratch *s, const struct bnnep_model *model) {
    const size_t units = units_of(model);
    s->tile = cpu_alloc(TILE, sizeof(double));
    s->sum = cpu_alloc(TILE_ROWS * LANES, sizeof(double));
    s->forward = cpu_alloc(units * LANES, sizeof(float));
    s->feedback = cpu_alloc(units * LANES, sizeof(float));
    s->active = cpu_alloc(units * LANES, sizeof(float));
    s->contrast = cpu_alloc(TILE, sizeof(float));
    s->above = cpu_alloc(TILE_ROWS * LANES, sizeof(float));
    s->below = cpu_alloc(widest_tile(model) * LANES, sizeof(float));
    return s->tile && s->sum && s->forward && s->feedback && s->active && s->contrast && s->above && s->below;
}

void cpu_workspace_destroy(void *handle) {
    struct cpu_workspace *ws = handle;
    if (!ws)
        return;
    pool_destroy(ws->pool);
    for (unsigned i = 0; ws->scratch && i < ws->threads; i++)
        scratch_free(&ws->scratch[i]);
    free(ws->scratch);
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        free(ws->state[slot]);
        free(ws->dot[slot]);
    }
    free(ws->offset);
    free(ws->x);
    free(ws->input);
    free(ws->target);
    free(ws->drive);
    free(ws->delta);
    free(ws);
}

bnnep_status cpu_workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    const struct cpu_network *net = network;
    const struct bnnep_model *model = net->model;
    const size_t lanes = tiles_of(max_batch) * LANES;
    struct cpu_workspace *ws = calloc(1, sizeof *ws);
    bool complete = ws != NULL;
    if (complete) {
        ws->network = net;
        ws->threads = threads > 0 ? (unsigned)threads : net->threads;
        ws->units = units_of(model);
        ws->pool = pool_create(ws->threads);
        ws->offset = calloc(model->connections, sizeof *ws->offset);
        ws->x = cpu_alloc(max_batch * model->links[0].in, sizeof(float));
        ws->input = cpu_alloc(lanes * model->links[0].in, sizeof(float));
        ws->target = cpu_alloc(lanes * model->links[model->connections - 1].out, sizeof(float));
        ws->drive = cpu_alloc(lanes * model->links[0].out, sizeof(float));
        ws->delta = cpu_alloc(lanes * ws->units, sizeof(float));
        ws->scratch = calloc(ws->threads, sizeof *ws->scratch);
        complete = ws->pool && ws->offset && ws->x && ws->input && ws->target && ws->drive && ws->delta && ws->scratch;
        for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
            ws->state[slot] = cpu_alloc(lanes * ws->units, sizeof(float));
            ws->dot[slot] = cpu_alloc(lanes, sizeof(double));
            complete = complete && ws->state[slot] && ws->dot[slot];
        }
        for (unsigned i = 0; ws->scratch && i < ws->threads; i++)
            complete = scratch_make(&ws->scratch[i], model) && complete;
    }
    if (!complete) {
        cpu_workspace_destroy(ws);
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
    float *drive = ws->drive + tile * first->out * LANES;
    struct cpu_scratch *scratch = &ws->scratch[worker];
    if (cpu_binary(model))
        cpu_product_exact(first, &ws->network->connection[0], input, drive, scratch->tile, scratch->sum);
    else
        cpu_products(first, &ws->network->connection[0], input, NULL, drive, NULL, (float *)scratch->tile);
    /* The free phase starts from 0 with real activations, from 1 with binary ones. */
    float *state = cpu_state(ws, BNNEP_SLOT_FREE, tile, 0);
    for (size_t v = 0; v < ws->units * LANES; v++)
        state[v] = cpu_binary(model) ? 1.0f : 0.0f;
}

bnnep_status cpu_stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    (void)why;
    struct cpu_workspace *ws = handle;
    ws->count = count;
    ws->tiles = tiles_of(count);
    pool_run(ws->pool, ws->tiles, stage_tile, &(struct staging){ws, x, target});
    return BNNEP_OK;
}

bnnep_status cpu_put_state(void *handle, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    (void)why;
    struct cpu_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        to_lanes(state + tile * LANES * units, present_in(ws, tile), units, cpu_state(ws, slot, tile, layer - 1));
    return BNNEP_OK;
}

bnnep_status cpu_get_state(const void *handle, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    (void)why;
    const struct cpu_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    for (size_t tile = 0; tile < ws->tiles; tile++)
        from_lanes(cpu_state(ws, slot, tile, layer - 1), present_in(ws, tile), units, state + tile * LANES * units);
    return BNNEP_OK;
}
