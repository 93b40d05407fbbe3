/* SPDX-License-Identifier: MIT */
/*
 * Convolutions between layers of binary activations. Going up, each position of the output gathers the events that its
 * kernel sees; sums are kept for all positions that a pooling window covers. Going down, a unit sends from the position
 * that its window took: it counts as an event when it switches or when its argmax moves, and each pixel below gathers
 * those that see it. Output channels of one scaling factor are counted together, in integers; the sum over the
 * scaling factors is taken in double, which is exact (bnnep/rules.h).
 */
#include <string.h>

#include "backends/cpu/binary/binary.h"

void bnnep_binary_find_alphas(const struct bnnep_link *link, const struct cpu_connection *c,
                              struct binary_alphas *alphas) {
    alphas->count = 0;
    for (size_t o = 0; o < link->rows; o++) {
        uint32_t a = 0;
        while (a < alphas->count && alphas->alpha[a] != c->alpha[o])
            a++;
        if (a == alphas->count)
            alphas->alpha[alphas->count++] = c->alpha[o];
        alphas->of[o] = a;
    }
}

/* --- going up ----------------------------------------------------------------------------------------------------- */

/* Where each pixel's events begin. */
static void split(const uint32_t *events, size_t count, size_t pixels, size_t channels, size_t *from) {
    size_t e = 0;
    for (size_t p = 0; p <= pixels; p++) {
        while (e < count && events[e] < p * channels)
            e++;
        from[p] = e;
    }
}

static size_t shift_all(const uint32_t *from, size_t count, uint32_t shift, uint32_t *restrict to) {
    for (size_t i = 0; i < count; i++)
        to[i] = from[i] + shift;
    return count;
}

/* The columns that stand for the events of the pixels that the kernel sees from (y, x). */
static size_t gather_columns(const struct bnnep_link *link, const uint32_t *events, const size_t *from, size_t y,
                             size_t x, uint32_t *list) {
    const size_t K = link->kernel, P = link->padding, H = link->from.height, W = link->from.width;
    size_t count = 0;
    for (size_t row = 0; row < K; row++)
        for (size_t column = 0; column < K; column++) {
            if (y + row < P || y + row - P >= H || x + column < P || x + column - P >= W)
                continue;
            const size_t pixel = (y + row - P) * W + x + column - P;
            /* channel + position * channels */
            const uint32_t shift = (uint32_t)(((row * K + column) - pixel) * link->from.channels);
            count += shift_all(events + from[pixel], from[pixel + 1] - from[pixel], shift, list + count);
        }
    return count;
}

void bnnep_binary_convolve(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                           struct binary_scratch *scratch) {
    const struct bnnep_link *link = ws->network->model->links[k];
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const struct binary_events *events = &p->events[k - 1];
    const size_t pixels = link->from.height * link->from.width, C = link->from.channels;
    const size_t width = link->to.width * link->pool;
    struct binary_places *s = &scratch->places;
    int32_t *sums = bnnep_binary_part(p->record, layer->forward);
    if (events->ups + events->downs == 0)
        return;
    split(events->up, events->ups, pixels, C, s->up_from);
    split(events->down, events->downs, pixels, C, s->down_from);
    for (size_t i = 0; i < bnnep_binary_positions(link); i++, sums += layer->stride) {
        const size_t ups = gather_columns(link, events->up, s->up_from, i / width, i % width, s->list);
        uint32_t *downs = s->list + ups;
        const size_t down_count = gather_columns(link, events->down, s->down_from, i / width, i % width, downs);
        for (size_t panel = 0; ups + down_count > 0 && panel < c->down_panels; panel++)
            ws->network->kernels->counts->counts(bnnep_cpu_down(c, panel), s->list, ups, downs, down_count,
                                                 c->rows - panel * PANEL < PANEL ? c->rows - panel * PANEL : PANEL,
                                                 sums + panel * PANEL);
    }
}

void bnnep_binary_pool(const struct binary_workspace *ws, size_t k, const struct binary_passage *p, float *value,
                       uint16_t *argmax) {
    const struct bnnep_link *link = ws->network->model->links[k];
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const int32_t *sums = bnnep_binary_part(p->record, layer->forward);
    const size_t width = link->to.width * link->pool;
    const struct pooling windows = {link->pool, layer->stride, width * layer->stride, c->alpha, c->bias};
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const struct bnnep_position at = bnnep_binary_position(link, u, 0);
        ws->network->kernels->neurons->pool(c->rows, sums + (at.y * width + at.x) * layer->stride, &windows,
                                            value + u * c->rows, argmax + u * c->rows);
    }
}

/* --- going down --------------------------------------------------------------------------------------------------- */

/* Sorts units into lists of channels, by the position that each took. */
static void sort_units(const struct bnnep_link *link, uint64_t word, size_t base, const uint16_t *argmax,
                       uint32_t *channels, size_t *counts) {
    for (; word; word &= word - 1) {
        const size_t unit = base + (size_t)__builtin_ctzll(word);
        const struct bnnep_position at = bnnep_binary_position(link, unit / link->rows, argmax[unit]);
        const size_t position = at.y * link->to.width * link->pool + at.x;
        channels[position * link->rows + counts[position]++] = (uint32_t)(unit % link->rows);
    }
}

/* Units that switched, and those that stay on and whose argmax moves: off from the old place, on at the new one. */
static void find_moves(const struct bnnep_link *link, const struct binary_layer *layer, const struct binary_passage *p,
                       bool pooled, struct binary_places *s) {
    const uint16_t *before = bnnep_binary_part(p->record, layer->argmax);
    const uint64_t *fed = bnnep_binary_part(p->record, layer->fed), *active = p->active + layer->offset / 64;
    const uint16_t *now = pooled ? s->argmax : before;
    memset(s->ons, 0, bnnep_binary_positions(link) * sizeof *s->ons);
    memset(s->offs, 0, bnnep_binary_positions(link) * sizeof *s->offs);
    for (size_t i = 0; i < layer->units; i += 64) {
        const size_t units = layer->units - i < 64 ? layer->units - i : 64;
        uint64_t moved = 0;
        if (memcmp(now + i, before + i, units * sizeof *now) != 0) /* rare, after the first steps */
            for (size_t j = 0; j < units; j++)
                moved |= (uint64_t)(now[i + j] != before[i + j]) << j;
        const uint64_t off = fed[i / 64] & (~active[i / 64] | moved), on = active[i / 64] & (~fed[i / 64] | moved);
        sort_units(link, off, i, before, s->off, s->offs);
        sort_units(link, on, i, now, s->on, s->ons);
    }
    s->moves = 0;
    for (size_t i = 0; i < bnnep_binary_positions(link); i++)
        if (s->ons[i] + s->offs[i] > 0)
            s->moving[s->moves++] = i;
}

/* Starts of the parts from their sizes; the last one's end is the sum. */
static size_t add_bounds(size_t *bounds, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i <= count; i++) {
        const size_t size = bounds[i];
        bounds[i] = total;
        total += size;
    }
    return total;
}

/* Of what happened to a channel's unit: by scaling factor and sign. */
static size_t key_of(const struct binary_alphas *alphas, uint32_t channel, bool off) {
    return (size_t)2 * alphas->of[channel] + off;
}

/* Sorts what happened at each position by scaling factor and sign, into runs. */
static void find_runs(const struct bnnep_link *link, const struct binary_alphas *alphas, struct binary_places *s) {
    const size_t keys = 2 * alphas->count;
    size_t from = 0, runs = 0;
    for (size_t i = 0; i < s->moves; i++) {
        const size_t position = s->moving[i];
        const uint32_t *on = s->on + position * link->rows, *off = s->off + position * link->rows;
        memset(s->bounds, 0, (keys + 1) * sizeof *s->bounds);
        for (size_t e = 0; e < s->ons[position]; e++)
            s->bounds[key_of(alphas, on[e], false)]++;
        for (size_t e = 0; e < s->offs[position]; e++)
            s->bounds[key_of(alphas, off[e], true)]++;
        const size_t total = add_bounds(s->bounds, keys);
        s->runs[i] = runs;
        for (uint32_t key = 0; key < keys; key++)
            if (s->bounds[key] < s->bounds[key + 1])
                s->run[runs++] = (struct binary_run){key, (uint32_t)(from + s->bounds[key]),
                                                     (uint32_t)(s->bounds[key + 1] - s->bounds[key])};
        for (size_t e = 0; e < s->ons[position]; e++)
            s->channel[from + s->bounds[key_of(alphas, on[e], false)]++] = on[e];
        for (size_t e = 0; e < s->offs[position]; e++)
            s->channel[from + s->bounds[key_of(alphas, off[e], true)]++] = off[e];
        from += total;
    }
    s->runs[s->moves] = runs;
}

/* The rows of `up` that stand for the moves a pixel sees, sorted by scaling factor and sign: the end of those of
 * scaling factor a that came, and of those that left, are bounds[2a] and bounds[2a+1]. Returns how many there are. */
static size_t gather_rows(const struct bnnep_link *link, const struct cpu_connection *c,
                          const struct binary_alphas *alphas, size_t y, size_t x, struct binary_places *s) {
    const size_t K = link->kernel, width = link->to.width * link->pool, keys = 2 * alphas->count;
    memset(s->bounds, 0, (keys + 1) * sizeof *s->bounds);
    for (int fill = 0; fill < 2; fill++) { /* first their sizes */
        for (size_t i = 0; i < s->moves; i++) {
            const size_t row = y + link->padding - s->moving[i] / width;
            const size_t column = x + link->padding - s->moving[i] % width;
            const size_t base = (row * K + column) * c->up_panels * c->rows;
            if (row >= K || column >= K) /* below 0, too */
                continue;
            for (const struct binary_run *r = s->run + s->runs[i]; r < s->run + s->runs[i + 1]; r++) {
                if (fill)
                    shift_all(s->channel + r->from, r->count, (uint32_t)base, s->list + s->bounds[r->key]);
                s->bounds[r->key] += r->count;
            }
        }
        if (!fill && add_bounds(s->bounds, keys) == 0)
            return 0;
    }
    return s->bounds[keys];
}

void bnnep_binary_feed_back(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                            struct binary_scratch *scratch) {
    const struct bnnep_link *link = ws->network->model->links[k];
    const struct cpu_kernels *kernels = ws->network->kernels;
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const struct binary_alphas *alphas = &ws->alphas[k];
    struct binary_places *s = &scratch->places;
    const bool pooled = p->stale[k];
    if (pooled)
        bnnep_binary_pool(ws, k, p, p->forward + layer->offset, s->argmax);
    find_moves(link, layer, p, pooled, s);
    if (pooled)
        memcpy(bnnep_binary_part(p->record, layer->argmax), s->argmax, layer->units * sizeof *s->argmax);
    if (s->moves == 0)
        return;
    find_runs(link, alphas, s);
    memcpy(bnnep_binary_part(p->record, layer->fed), p->active + layer->offset / 64,
           (layer->units + 63) / 64 * sizeof(uint64_t));
    double *sums = bnnep_binary_part(p->record, layer->back);
    bool *pulled = p->pulled + layer[-1].offset / PANEL;
    for (size_t i = 0; i < link->from.height * link->from.width; i++, sums += c->inner) {
        if (gather_rows(link, c, alphas, i / link->from.width, i % link->from.width, s) == 0)
            continue;
        for (size_t j = i * c->inner / PANEL; j <= ((i + 1) * c->inner - 1) / PANEL; j++)
            pulled[j] = true;
        for (size_t panel = 0; panel < c->up_panels; panel++)
            for (size_t a = 0; a < alphas->count; a++) {
                const size_t from = a > 0 ? s->bounds[2 * a - 1] : 0, downs = s->bounds[2 * a];
                const size_t end = s->bounds[2 * a + 1];
                const size_t outputs = c->inner - panel * PANEL < PANEL ? c->inner - panel * PANEL : PANEL;
                if (from == end)
                    continue;
                kernels->counts->counts(bnnep_cpu_up(c, 0, panel), s->list + from, downs - from, s->list + downs,
                                        end - downs, outputs, scratch->counts);
                kernels->counts->add_counts(scratch->counts, outputs, (double)alphas->alpha[a], sums + panel * PANEL);
            }
    }
}
