/* SPDX-License-Identifier: MIT */
/* A staged batch of a network with binary activations: one block of memory, and how it is divided. */
#include <string.h>

#include "backends/arena.h"
#include "backends/cpu/binary/binary.h"

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t words_of(size_t units) {
    return (units + 63) / 64;
}

/* Where everything stands in a record; layer may be NULL. */
static struct binary_layout lay_out(const struct bnnep_model *model, struct binary_layer *layer) {
    struct binary_layout all = {0};
    struct bnnep_arena record = {0};
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        struct binary_layer l = {.units = link->out, .offset = all.units, .stride = bnnep_binary_padded(link->rows)};
        const size_t units = bnnep_binary_padded(link->out), below = bnnep_binary_padded(link->in);
        const bool convolution = bnnep_is_convolution(link);
        all.units += (link->out + PANEL - 1) / PANEL * PANEL;
        l.state = record.used;
        bnnep_arena_take(&record, units, sizeof(float));
        l.seen = record.used;
        bnnep_arena_take(&record, units / 64, sizeof(uint64_t));
        l.forward = record.used;
        if (k > 0)
            bnnep_arena_take(&record, convolution ? bnnep_binary_positions(link) * l.stride : units, sizeof(int32_t));
        l.back = record.used;
        if (k > 0)
            bnnep_arena_take(&record, below, convolution ? sizeof(double) : sizeof(int32_t));
        l.fed = record.used;
        if (convolution)
            bnnep_arena_take(&record, units / 64, sizeof(uint64_t));
        l.argmax = record.used;
        if (convolution)
            bnnep_arena_take(&record, units, sizeof(uint16_t));
        if (layer)
            layer[k] = l;
    }
    all.bytes = record.used;
    return all;
}

/* --- the block ---------------------------------------------------------------------------------------------------- */

static struct binary_passage take_passage(struct bnnep_arena *arena, const struct bnnep_model *model, size_t units) {
    const size_t L = model->connections;
    struct binary_passage p = {.forward = bnnep_arena_take(arena, units, sizeof(float)),
                               .pre = bnnep_arena_take(arena, units, sizeof(float))};
    p.active = bnnep_arena_take(arena, units / 64, sizeof(uint64_t));
    p.events = bnnep_arena_take(arena, L, sizeof *p.events);
    p.stale = bnnep_arena_take(arena, L, sizeof(bool));
    p.pulled = bnnep_arena_take(arena, units / PANEL, sizeof(bool));
    p.still = bnnep_arena_take(arena, units / PANEL, sizeof(bool));
    for (size_t k = 0; k < L; k++) {
        const struct binary_events events = {.up = bnnep_arena_take(arena, model->links[k]->out, sizeof(uint32_t)),
                                             .down = bnnep_arena_take(arena, model->links[k]->out, sizeof(uint32_t))};
        if (p.events)
            p.events[k] = events;
    }
    return p;
}

static struct binary_places take_places(struct bnnep_arena *arena, const struct bnnep_model *model) {
    size_t pixels = 0, seen = 0, rows = 0, units = 0, cells = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        if (!bnnep_is_convolution(link))
            continue;
        pixels = larger(pixels, link->from.height * link->from.width);
        seen = larger(seen, link->kernel * link->kernel * larger(link->rows, link->from.channels));
        rows = larger(rows, link->rows);
        units = larger(units, bnnep_binary_padded(link->out));
        cells = larger(cells, k > 0 ? 2 * link->rows * bnnep_binary_positions(link) : 0);
    }
    struct binary_places p = {0};
    p.up_from = bnnep_arena_take(arena, pixels + 1, sizeof(size_t));
    p.down_from = bnnep_arena_take(arena, pixels + 1, sizeof(size_t));
    p.move = bnnep_arena_take(arena, 2 * units, sizeof *p.move);
    p.factor = bnnep_arena_take(arena, rows, sizeof(uint32_t));
    p.nth = bnnep_arena_take(arena, rows, sizeof(uint32_t));
    p.row = bnnep_arena_take(arena, 2 * units, sizeof(uint32_t));
    p.from = bnnep_arena_take(arena, cells + 2, sizeof(uint32_t));
    p.list = bnnep_arena_take(arena, 2 * seen, sizeof(uint32_t));
    p.bounds = bnnep_arena_take(arena, 2 * rows, sizeof(size_t));
    p.argmax = bnnep_arena_take(arena, units, sizeof(uint16_t));
    return p;
}

static struct binary_scratch take_scratch(struct bnnep_arena *arena, const struct bnnep_model *model, size_t max_batch,
                                          size_t units, unsigned threads) {
    struct binary_scratch s = {.together = bnnep_arena_take(arena, CHUNK * threads, sizeof(struct binary_passage *))};
    size_t columns = PANEL, windows = 1;
    for (size_t k = 0; k < model->connections; k++) {
        columns = larger(columns, model->links[k]->columns);
        if (bnnep_is_convolution(model->links[k]))
            windows = larger(windows, model->links[k]->out / model->links[k]->rows);
    }
    for (size_t i = 0; i < CHUNK && i < max_batch; i++)
        s.passage[i] = take_passage(arena, model, units);
    s.lanes = bnnep_arena_take(arena, model->links[0]->columns * DRIVE_LANES, sizeof(double));
    s.sums = bnnep_arena_take(arena, model->links[0]->rows * DRIVE_LANES, sizeof(double));
    s.largest = bnnep_arena_take(arena, model->convolutional ? model->links[0]->rows * DRIVE_LANES : 0, sizeof(float));
    s.argmax = bnnep_arena_take(arena, model->convolutional ? model->links[0]->rows * DRIVE_LANES : 0, sizeof(int32_t));
    s.tables = bnnep_arena_take(arena, 1, TABLE_BYTES);
    if (model->convolutional)
        s.places = take_places(arena, model);
    s.counts = bnnep_arena_take(arena, PANEL, sizeof(int32_t));
    s.contrast = bnnep_arena_take(arena, columns, sizeof(float));
    s.exact = bnnep_arena_take(arena, columns, sizeof(double));
    for (int phase = 0; phase < 2; phase++)
        s.active[phase] = bnnep_arena_take(arena, 64 * words_of(max_batch), sizeof(uint64_t));
    s.samples.up = bnnep_arena_take(arena, windows * max_batch, sizeof(uint32_t));
    s.samples.down = bnnep_arena_take(arena, windows * max_batch, sizeof(uint32_t));
    return s;
}

static void take_learning(struct bnnep_arena *arena, struct binary_workspace *ws, const struct bnnep_model *model) {
    size_t panels = 0, maps = 0, scales = 0, below = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const size_t height = link->from.height + 2 * link->padding, width = link->from.width + 2 * link->padding;
        scales += link->scales;
        if (k > 0)
            below = larger(below, bnnep_binary_padded(link->in));
        panels = larger(panels, (link->columns + PANEL - 1) / PANEL);
        if (k > 0 && bnnep_is_convolution(link))
            maps = larger(maps, height * width * ((link->from.channels + PANEL - 1) / PANEL));
    }
    /* One block: rows of both phases are counted together. */
    const size_t words = ws->max_batch * ws->layout.units / 64;
    uint64_t *active = bnnep_arena_take(arena, 2 * words, sizeof(uint64_t));
    for (int phase = 0; phase < 2; phase++)
        ws->active[phase] = active ? active + (size_t)phase * words : NULL;
    ws->differs = bnnep_arena_take(arena, panels * words_of(ws->max_batch), sizeof(uint64_t));
    ws->maps = bnnep_arena_take(arena, 2 * maps * ws->max_batch, PANEL / 8);
    for (int phase = 0; phase < 2; phase++)
        ws->total[phase] = bnnep_arena_take(arena, below, sizeof(double));
    ws->input_total = bnnep_arena_take(arena, model->links[0]->in, sizeof(double));
    ws->dot = bnnep_arena_take(arena, scales * ws->max_batch, sizeof(double));
}

static struct binary_alphas *take_alphas(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct binary_alphas *all = bnnep_arena_take(arena, model->connections, sizeof *all);
    for (size_t k = 0; k < model->connections; k++) {
        const size_t rows = bnnep_is_convolution(model->links[k]) ? model->links[k]->rows : 0;
        const struct binary_alphas alphas = {.alpha = bnnep_arena_take(arena, rows, sizeof(float)),
                                             .of = bnnep_arena_take(arena, rows, sizeof(uint32_t))};
        if (all)
            all[k] = alphas;
    }
    return all;
}

static struct binary_workspace *divide(struct bnnep_arena *arena, const struct bnnep_model *model, size_t batch,
                                       unsigned threads) {
    const struct bnnep_link *first = model->links[0], *last = model->links[model->connections - 1];
    const bool convolution = bnnep_is_convolution(first);
    struct binary_workspace *ws = bnnep_arena_take(arena, 1, sizeof *ws);
    struct binary_workspace seed = {.max_batch = batch, .threads = threads};
    seed.layer = bnnep_arena_take(arena, model->connections, sizeof *seed.layer);
    seed.layout = lay_out(model, seed.layer);
    seed.alphas = take_alphas(arena, model);
    seed.x = bnnep_arena_take(arena, batch * first->in, sizeof(float));
    seed.target = bnnep_arena_take(arena, batch * bnnep_binary_padded(last->out), sizeof(float));
    seed.drive = bnnep_arena_take(arena, batch * first->out, sizeof(float));
    seed.drive_argmax = bnnep_arena_take(arena, convolution ? batch * first->out : 0, sizeof(uint16_t));
    seed.packed = bnnep_arena_take(arena, convolution ? words_of(first->columns) * first->rows : 0, sizeof(uint64_t));
    seed.start = bnnep_arena_take(arena, 1, seed.layout.bytes);
    for (int phase = 0; phase < BNNEP_PHASES; phase++)
        seed.record[phase] = bnnep_arena_take(arena, batch, seed.layout.bytes);
    take_learning(arena, &seed, model);
    seed.scratch = bnnep_arena_take(arena, threads, sizeof *seed.scratch);
    for (unsigned i = 0; i < threads; i++) {
        const struct binary_scratch scratch = take_scratch(arena, model, batch, seed.layout.units, threads);
        if (seed.scratch)
            seed.scratch[i] = scratch;
    }
    if (ws)
        *ws = seed;
    return ws;
}

uint64_t bnnep_binary_workspace_bytes(const struct bnnep_model *model, size_t max_batch, unsigned threads) {
    struct bnnep_arena arena = {0};
    divide(&arena, model, max_batch, threads);
    return arena.used;
}

bnnep_status bnnep_binary_workspace_create(const struct cpu_network *net, size_t max_batch, unsigned threads,
                                           void **out, char *why) {
    struct bnnep_arena arena = {.used = (size_t)bnnep_binary_workspace_bytes(net->model, max_batch, threads)};
    if (!bnnep_arena_open(&arena, net->device->host))
        return bnnep_cpu_no_memory(why);
    struct binary_workspace *ws = divide(&arena, net->model, max_batch, threads);
    ws->network = net;
    ws->pool = net->device->pool;
    *out = ws;
    return BNNEP_OK;
}

/* --- states ------------------------------------------------------------------------------------------------------- */

/* Pixels of layer index k: maps are [channel][pixel] outside and [pixel][channel] here. */
static size_t pixels_of(const struct bnnep_link *link) {
    return bnnep_is_convolution(link) ? link->to.height * link->to.width : 1;
}

/* The sums stay as they are: the next step finds by itself which neurons differ from those that they were right for. */
void bnnep_binary_put_state(void *handle, int32_t phase, size_t layer, const float *state) {
    struct binary_workspace *ws = handle;
    const struct bnnep_link *link = ws->network->model->links[layer - 1];
    const size_t pixels = pixels_of(link), channels = link->out / pixels;
    for (size_t n = 0; n < ws->count; n++, state += link->out) {
        float *to = bnnep_binary_part(bnnep_binary_record(ws, phase, n), ws->layer[layer - 1].state);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                to[p * channels + c] = state[c * pixels + p];
    }
}

void bnnep_binary_get_state(const void *handle, int32_t phase, size_t layer, float *state) {
    const struct binary_workspace *ws = handle;
    const struct bnnep_link *link = ws->network->model->links[layer - 1];
    const size_t pixels = pixels_of(link), channels = link->out / pixels;
    for (size_t n = 0; n < ws->count; n++, state += link->out) {
        const float *from = bnnep_binary_part(bnnep_binary_record(ws, phase, n), ws->layer[layer - 1].state);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                state[c * pixels + p] = from[p * channels + c];
    }
}
