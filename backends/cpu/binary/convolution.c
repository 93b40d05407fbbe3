/* SPDX-License-Identifier: MIT */
/*
 * Convolutions between layers of binary activations. Going up, each position of the output gathers the events that its
 * kernel sees; sums are kept for all positions that a pooling window covers. Going down, a unit sends from the position
 * that its window took: it counts as an event when it switches or when its argmax moves, and each pixel below gathers
 * those that see it. Output channels of one scaling factor are counted together, in integers; the sum over the
 * scaling factors is taken in double, which is exact (backends/rules.h).
 */
#include <string.h>

#include "backends/cpu/binary/binary.h"

void bnnep_binary_group(const struct bnnep_link *link, const struct cpu_connection *c, struct binary_groups *groups) {
    groups->count = 0;
    for (size_t o = 0; o < link->rows; o++) {
        uint32_t g = 0;
        while (g < groups->count && groups->alpha[g] != c->alpha[o])
            g++;
        if (g == groups->count)
            groups->alpha[groups->count++] = c->alpha[o];
        groups->of[o] = g;
    }
}

/* --- going up ------------------------------------------------------------------------------------------------------
 */

/* Where each pixel's events begin. */
static void split(const uint32_t *events, size_t count, size_t pixels, size_t channels, size_t *from) {
    size_t e = 0;
    for (size_t p = 0; p <= pixels; p++) {
        while (e < count && events[e] < p * channels)
            e++;
        from[p] = e;
    }
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
            for (size_t e = from[pixel]; e < from[pixel + 1]; e++)
                list[count++] = events[e] + shift;
        }
    return count;
}

void bnnep_binary_convolve(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                           struct binary_scratch *scratch) {
    const struct bnnep_link *link = &ws->network->model->links[k];
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
            ws->network->kernels->counts(bnnep_cpu_down(c, panel), s->list, ups, downs, down_count,
                                         c->rows - panel * PANEL < PANEL ? c->rows - panel * PANEL : PANEL,
                                         sums + panel * PANEL);
    }
}

void bnnep_binary_pool(const struct binary_workspace *ws, size_t k, const struct binary_passage *p, float *value,
                       uint16_t *place) {
    const struct bnnep_link *link = &ws->network->model->links[k];
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const int32_t *sums = bnnep_binary_part(p->record, layer->forward);
    for (size_t u = 0; u < link->to.height * link->to.width; u++)
        for (size_t q = 0; q < link->pool * link->pool; q++) {
            size_t y, x;
            bnnep_binary_position(link, u, q, &y, &x);
            ws->network->kernels->pool_sums(c->rows, sums + (y * link->to.width * link->pool + x) * layer->stride,
                                            c->alpha, c->bias, q, value + u * c->rows, place + u * c->rows);
        }
}

/* --- going down ----------------------------------------------------------------------------------------------------
 */

/* Sorts units into lists of channels, by the position that each took. */
static void sort_units(const struct bnnep_link *link, uint64_t word, size_t base, const uint16_t *place,
                       uint32_t *channels, size_t *counts) {
    for (; word; word &= word - 1) {
        const size_t unit = base + (size_t)__builtin_ctzll(word);
        size_t y, x;
        bnnep_binary_position(link, unit / link->rows, place[unit], &y, &x);
        const size_t position = y * link->to.width * link->pool + x;
        channels[position * link->rows + counts[position]++] = (uint32_t)(unit % link->rows);
    }
}

/* Units that switched, and those that stay on and whose argmax moves: off from the old place, on at the new one. */
static bool find_moves(const struct bnnep_link *link, const struct binary_layer *layer, const struct binary_passage *p,
                       bool pooled, struct binary_places *s) {
    const uint16_t *before = bnnep_binary_part(p->record, layer->place);
    const uint64_t *fed = bnnep_binary_part(p->record, layer->fed), *active = p->active + layer->offset / 64;
    const uint16_t *now = pooled ? s->place : before;
    uint64_t any = 0;
    memset(s->ons, 0, bnnep_binary_positions(link) * sizeof *s->ons);
    memset(s->offs, 0, bnnep_binary_positions(link) * sizeof *s->offs);
    for (size_t i = 0; i < layer->units; i += 64) {
        uint64_t moved = 0;
        for (size_t j = i; pooled && j < i + 64 && j < layer->units; j++)
            moved |= (uint64_t)(now[j] != before[j]) << (j - i);
        const uint64_t off = fed[i / 64] & (~active[i / 64] | moved), on = active[i / 64] & (~fed[i / 64] | moved);
        sort_units(link, off, i, before, s->off, s->offs);
        sort_units(link, on, i, now, s->on, s->ons);
        any |= off | on;
    }
    return any != 0;
}

/* The places in the kernel from which a pixel is seen by a position that counts: first ... end - 1. */
struct view {
    size_t first_row, rows, first_column, columns;
};

static struct view view_of(const struct bnnep_link *link, size_t y, size_t x) {
    const size_t K = link->kernel, P = link->padding;
    const size_t height = link->to.height * link->pool, width = link->to.width * link->pool;
    struct view v = {.first_row = y + P >= height ? y + P - height + 1 : 0,
                     .rows = y + P < K ? y + P + 1 : K,
                     .first_column = x + P >= width ? x + P - width + 1 : 0,
                     .columns = x + P < K ? x + P + 1 : K};
    return v;
}

/* The rows of `up` that stand for the moves a pixel sees, sorted by group and sign: those of group g that came, then
 * those that left, from bounds[2g] and bounds[2g+1] on. Returns how many there are. */
static size_t gather_rows(const struct bnnep_link *link, const struct cpu_connection *c,
                          const struct binary_groups *groups, size_t y, size_t x, struct binary_places *s) {
    const size_t K = link->kernel, P = link->padding, width = link->to.width * link->pool;
    const struct view v = view_of(link, y, x);
    size_t total = 0;
    memset(s->bounds, 0, (2 * groups->count + 1) * sizeof *s->bounds);
    /* First count, then fill from the back. */
    for (int fill = 0; fill < 2; fill++) {
        for (size_t row = v.first_row; row < v.rows; row++)
            for (size_t column = v.first_column; column < v.columns; column++) {
                const size_t position = (y + P - row) * width + x + P - column;
                const uint32_t *on = s->on + position * c->rows, *off = s->off + position * c->rows;
                const size_t base = (row * K + column) * c->up_panels * c->rows;
                for (size_t e = 0; e < s->ons[position]; e++) {
                    size_t *bound = &s->bounds[2 * groups->of[on[e]]];
                    if (fill)
                        s->list[--*bound] = (uint32_t)(base + on[e]);
                    else
                        ++*bound;
                }
                for (size_t e = 0; e < s->offs[position]; e++) {
                    size_t *bound = &s->bounds[2 * groups->of[off[e]] + 1];
                    if (fill)
                        s->list[--*bound] = (uint32_t)(base + off[e]);
                    else
                        ++*bound;
                }
            }
        for (size_t g = 0; !fill && g <= 2 * groups->count; g++)
            s->bounds[g] = total += s->bounds[g];
        if (total == 0)
            return 0;
    }
    return total;
}

void bnnep_binary_feed_back(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                            struct binary_scratch *scratch) {
    const struct bnnep_link *link = &ws->network->model->links[k];
    const struct cpu_kernels *kernels = ws->network->kernels;
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const struct binary_groups *groups = &ws->groups[k];
    struct binary_places *s = &scratch->places;
    const bool pooled = p->fresh || p->stale_forward[k];
    if (pooled)
        bnnep_binary_pool(ws, k, p, p->forward + layer->offset, s->place);
    const bool moves = find_moves(link, layer, p, pooled, s);
    if (pooled)
        memcpy(bnnep_binary_part(p->record, layer->place), s->place, layer->units * sizeof *s->place);
    if (!moves)
        return;
    memcpy(bnnep_binary_part(p->record, layer->fed), p->active + layer->offset / 64,
           (layer->units + 63) / 64 * sizeof(uint64_t));
    p->stale_back[k - 1] = true;
    double *sums = bnnep_binary_part(p->record, layer->back);
    for (size_t i = 0; i < link->from.height * link->from.width; i++, sums += c->inner) {
        if (gather_rows(link, c, groups, i / link->from.width, i % link->from.width, s) == 0)
            continue;
        for (size_t panel = 0; panel < c->up_panels; panel++)
            for (size_t g = 0; g < groups->count; g++) {
                const size_t *from = &s->bounds[2 * g];
                const size_t outputs = c->inner - panel * PANEL < PANEL ? c->inner - panel * PANEL : PANEL;
                if (from[0] == from[2])
                    continue;
                memset(scratch->counts, 0, PANEL * sizeof *scratch->counts);
                kernels->counts(bnnep_cpu_up(c, 0, panel), s->list + from[0], from[1] - from[0], s->list + from[1],
                                from[2] - from[1], outputs, scratch->counts);
                kernels->add_counts(outputs, scratch->counts, (double)groups->alpha[g], sums + panel * PANEL);
            }
    }
}
