/* SPDX-License-Identifier: MIT */
/* A staged batch of a network with binary activations: one block of memory, and how it is divided. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/binary/binary.h"

/* Takes pieces of a block of memory, or, as long as there is none, adds up how large it has to be. */
struct arena {
    char *base;
    size_t used;
};

static void *take(struct arena *arena, size_t count, size_t size) {
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count * size + 63) / 64 * 64;
    return piece;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t words_of(size_t units) {
    return (units + 63) / 64;
}

/* Where everything stands in a record; layer may be NULL. */
static struct binary_layout lay_out(const struct bnnep_model *model, struct binary_layer *layer) {
    struct binary_layout all = {0};
    struct arena record = {0};
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        struct binary_layer l = {.units = link->out, .offset = all.units, .stride = bnnep_binary_padded(link->rows)};
        const size_t units = bnnep_binary_padded(link->out), below = bnnep_binary_padded(link->in);
        const bool convolution = bnnep_cpu_is_convolution(link);
        all.units += (link->out + PANEL - 1) / PANEL * PANEL;
        l.state = record.used;
        take(&record, units, sizeof(float));
        l.seen = record.used;
        take(&record, units / 64, sizeof(uint64_t));
        l.forward = record.used;
        if (k > 0)
            take(&record, convolution ? bnnep_binary_positions(link) * l.stride : units, sizeof(int32_t));
        l.back = record.used;
        if (k > 0)
            take(&record, below, convolution ? sizeof(double) : sizeof(int32_t));
        l.fed = record.used;
        if (convolution)
            take(&record, units / 64, sizeof(uint64_t));
        l.place = record.used;
        if (convolution)
            take(&record, units, sizeof(uint16_t));
        if (layer)
            layer[k] = l;
    }
    all.bytes = record.used;
    return all;
}

/* --- the block ---------------------------------------------------------------------------------------------------- */

static struct binary_passage take_passage(struct arena *arena, const struct bnnep_model *model, size_t units) {
    const size_t L = model->connections;
    struct binary_passage p = {.forward = take(arena, units, sizeof(float)), .pre = take(arena, units, sizeof(float))};
    p.active = take(arena, units / 64, sizeof(uint64_t));
    p.events = take(arena, L, sizeof *p.events);
    p.stale = take(arena, L, sizeof(bool));
    p.pulled = take(arena, units / PANEL, sizeof(bool));
    p.still = take(arena, units / PANEL, sizeof(bool));
    for (size_t k = 0; k < L; k++) {
        const struct binary_events events = {.up = take(arena, model->links[k].out, sizeof(uint32_t)),
                                             .down = take(arena, model->links[k].out, sizeof(uint32_t))};
        if (p.events)
            p.events[k] = events;
    }
    return p;
}

static struct binary_places take_places(struct arena *arena, const struct bnnep_model *model) {
    size_t pixels = 0, positions = 0, channels = 0, seen = 0, rows = 0, units = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        if (!bnnep_cpu_is_convolution(link))
            continue;
        pixels = larger(pixels, link->from.height * link->from.width);
        positions = larger(positions, bnnep_binary_positions(link));
        channels = larger(channels, bnnep_binary_positions(link) * link->rows);
        seen = larger(seen, link->kernel * link->kernel * larger(link->rows, link->from.channels));
        rows = larger(rows, link->rows);
        units = larger(units, bnnep_binary_padded(link->out));
    }
    struct binary_places p = {0};
    p.up_from = take(arena, pixels + 1, sizeof(size_t));
    p.down_from = take(arena, pixels + 1, sizeof(size_t));
    p.on = take(arena, channels, sizeof(uint32_t));
    p.off = take(arena, channels, sizeof(uint32_t));
    p.ons = take(arena, positions, sizeof(size_t));
    p.offs = take(arena, positions, sizeof(size_t));
    p.moving = take(arena, positions, sizeof(size_t));
    p.channel = take(arena, 2 * units, sizeof(uint32_t));
    p.run = take(arena, 2 * units, sizeof *p.run);
    p.runs = take(arena, positions + 1, sizeof(size_t));
    p.list = take(arena, 2 * seen, sizeof(uint32_t));
    p.bounds = take(arena, 2 * rows + 1, sizeof(size_t));
    p.place = take(arena, units, sizeof(uint16_t));
    return p;
}

static struct binary_scratch take_scratch(struct arena *arena, const struct bnnep_model *model, size_t max_batch,
                                          size_t units, unsigned threads) {
    struct binary_scratch s = {.together = take(arena, CHUNK * threads, sizeof(struct binary_passage *))};
    size_t columns = PANEL, windows = 1;
    for (size_t k = 0; k < model->connections; k++) {
        columns = larger(columns, model->links[k].columns);
        if (bnnep_cpu_is_convolution(&model->links[k]))
            windows = larger(windows, model->links[k].out / model->links[k].rows);
    }
    for (size_t i = 0; i < CHUNK && i < max_batch; i++)
        s.passage[i] = take_passage(arena, model, units);
    s.lanes = take(arena, model->links[0].columns * DRIVE_LANES, sizeof(double));
    s.sums = take(arena, model->links[0].rows * DRIVE_LANES, sizeof(double));
    s.largest = take(arena, model->convolutional ? model->links[0].rows * DRIVE_LANES : 0, sizeof(float));
    s.at = take(arena, model->convolutional ? model->links[0].rows * DRIVE_LANES : 0, sizeof(int32_t));
    s.tables = take(arena, 1, TABLE_BYTES);
    if (model->convolutional)
        s.places = take_places(arena, model);
    s.counts = take(arena, PANEL, sizeof(int32_t));
    s.contrast = take(arena, columns, sizeof(float));
    s.exact = take(arena, columns, sizeof(double));
    for (int slot = 0; slot < BNNEP_SLOTS; slot++)
        s.lit[slot] = take(arena, 64 * words_of(max_batch), sizeof(uint64_t));
    s.samples.up = take(arena, windows * max_batch, sizeof(uint32_t));
    s.samples.down = take(arena, windows * max_batch, sizeof(uint32_t));
    return s;
}

static void take_learning(struct arena *arena, struct binary_workspace *ws, const struct bnnep_model *model) {
    size_t panels = 0, maps = 0, scales = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        const size_t height = link->from.height + 2 * link->padding, width = link->from.width + 2 * link->padding;
        scales += link->scales;
        panels = larger(panels, (link->columns + PANEL - 1) / PANEL);
        if (k > 0 && bnnep_cpu_is_convolution(link))
            maps = larger(maps, height * width * ((link->from.channels + PANEL - 1) / PANEL));
    }
    /* One block: rows of both phases are counted together. */
    const size_t words = ws->max_batch * ws->layout.units / 64;
    uint64_t *active = take(arena, BNNEP_SLOTS * words, sizeof(uint64_t));
    for (int slot = 0; slot < BNNEP_SLOTS; slot++)
        ws->active[slot] = active ? active + (size_t)slot * words : NULL;
    ws->differs = take(arena, panels * words_of(ws->max_batch), sizeof(uint64_t));
    ws->maps = take(arena, BNNEP_SLOTS * maps * ws->max_batch, PANEL / 8);
    ws->dot = take(arena, scales * ws->max_batch, sizeof(double));
}

static void divide(struct arena *arena, struct binary_workspace *ws, const struct bnnep_model *model) {
    const size_t L = model->connections, batch = ws->max_batch;
    const struct bnnep_link *first = &model->links[0], *last = &model->links[L - 1];
    const bool convolution = bnnep_cpu_is_convolution(first);
    ws->layer = take(arena, L, sizeof *ws->layer);
    ws->layout = lay_out(model, ws->layer);
    ws->groups = take(arena, L, sizeof *ws->groups);
    for (size_t k = 0; k < L; k++) {
        const size_t rows = bnnep_cpu_is_convolution(&model->links[k]) ? model->links[k].rows : 0;
        const struct binary_groups groups = {.alpha = take(arena, rows, sizeof(float)),
                                             .of = take(arena, rows, sizeof(uint32_t))};
        if (ws->groups)
            ws->groups[k] = groups;
    }
    ws->x = take(arena, batch * first->in, sizeof(float));
    ws->target = take(arena, batch * bnnep_binary_padded(last->out), sizeof(float));
    ws->drive = take(arena, batch * first->out, sizeof(float));
    ws->drive_place = take(arena, convolution ? batch * first->out : 0, sizeof(uint16_t));
    ws->packed = take(arena, convolution ? words_of(first->columns) * first->rows : 0, sizeof(uint64_t));
    ws->start = take(arena, 1, ws->layout.bytes);
    for (int slot = 0; slot < BNNEP_SLOTS; slot++)
        ws->record[slot] = take(arena, batch, ws->layout.bytes);
    take_learning(arena, ws, model);
    ws->scratch = take(arena, ws->threads, sizeof *ws->scratch);
    for (unsigned i = 0; i < ws->threads; i++) {
        const struct binary_scratch scratch = take_scratch(arena, model, batch, ws->layout.units, ws->threads);
        if (ws->scratch)
            ws->scratch[i] = scratch;
    }
}

uint64_t bnnep_binary_workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    char why[BNNEP_WHY];
    struct binary_workspace ws = {.max_batch = max_batch, .threads = bnnep_cpu_threads(device, why)};
    struct arena arena = {0};
    divide(&arena, &ws, model);
    return sizeof ws + arena.used;
}

void bnnep_binary_workspace_destroy(void *handle) {
    struct binary_workspace *ws = handle;
    if (!ws)
        return;
    bnnep_pool_destroy(ws->pool);
    free(ws->layer); /* the first piece of the block */
    free(ws);
}

bnnep_status bnnep_binary_workspace_create(const void *network, size_t max_batch, int32_t threads, void **out,
                                           char *why) {
    const struct cpu_network *net = network;
    struct binary_workspace *ws = calloc(1, sizeof *ws);
    struct arena arena = {0};
    if (ws) {
        ws->network = net;
        ws->max_batch = max_batch;
        ws->threads = threads > 0 ? (unsigned)threads : net->threads;
        ws->pool = bnnep_pool_create(ws->threads);
        divide(&arena, ws, net->model);
        arena = (struct arena){.base = bnnep_cpu_alloc(arena.used, 1)};
    }
    if (!ws || !ws->pool || !arena.base) {
        free(arena.base);
        bnnep_binary_workspace_destroy(ws);
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
    divide(&arena, ws, net->model);
    *out = ws;
    return BNNEP_OK;
}

/* --- states --------------------------------------------------------------------------------------------------------
 */

/* Pixels of layer index k: maps are [channel][pixel] outside and [pixel][channel] here. */
static size_t pixels_of(const struct bnnep_link *link) {
    return bnnep_cpu_is_convolution(link) ? link->to.height * link->to.width : 1;
}

/* The sums stay as they are: the next step finds by itself which neurons differ from those that they were right for. */
bnnep_status bnnep_binary_put_state(void *handle, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    (void)why;
    struct binary_workspace *ws = handle;
    const struct bnnep_link *link = &ws->network->model->links[layer - 1];
    const size_t pixels = pixels_of(link), channels = link->out / pixels;
    for (size_t n = 0; n < ws->count; n++, state += link->out) {
        float *to = bnnep_binary_part(bnnep_binary_record(ws, slot, n), ws->layer[layer - 1].state);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                to[p * channels + c] = state[c * pixels + p];
    }
    return BNNEP_OK;
}

bnnep_status bnnep_binary_get_state(const void *handle, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    (void)why;
    const struct binary_workspace *ws = handle;
    const struct bnnep_link *link = &ws->network->model->links[layer - 1];
    const size_t pixels = pixels_of(link), channels = link->out / pixels;
    for (size_t n = 0; n < ws->count; n++, state += link->out) {
        const float *from = bnnep_binary_part(bnnep_binary_record(ws, slot, n), ws->layer[layer - 1].state);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                state[c * pixels + p] = from[p * channels + c];
    }
    return BNNEP_OK;
}
