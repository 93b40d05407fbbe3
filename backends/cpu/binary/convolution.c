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

/* first ... beyond - 1, which may be none. */
struct span {
    size_t first, beyond;
};

/* The part of a map that a window covers. */
struct window {
    struct span rows, columns;
};

/* What a window of so many places, of which some come before `at`, covers of a map. */
static struct span span_of(size_t at, size_t places, size_t before, size_t size) {
    const size_t beyond = at + places > before ? at + places - before : 0;
    return (struct span){at > before ? at - before : 0, beyond < size ? beyond : size};
}

/* A square window, of which so many rows and columns come before (y, x). */
static struct window window_of(size_t y, size_t x, size_t edge, size_t before, size_t height, size_t width) {
    return (struct window){span_of(y, edge, before, height), span_of(x, edge, before, width)};
}

static size_t shift_all(const uint32_t *from, size_t count, uint32_t shift, uint32_t *restrict to) {
    for (size_t i = 0; i < count; i++)
        to[i] = from[i] + shift;
    return count;
}

/* The columns that stand for the events of the pixels that the kernel sees from (y, x): channel + place * channels. */
static size_t gather_columns(const struct bnnep_link *link, const uint32_t *events, const size_t *from, size_t y,
                             size_t x, uint32_t *list) {
    const size_t K = link->kernel, P = link->padding, W = link->from.width;
    const struct window in = window_of(y, x, K, P, link->from.height, W);
    size_t count = 0;
    for (size_t row = in.rows.first; in.columns.first < in.columns.beyond && row < in.rows.beyond; row++) {
        const size_t pixel = row * W + in.columns.first, place = (row + P - y) * K + in.columns.first + P - x;
        const size_t first = from[pixel], beyond = from[pixel + in.columns.beyond - in.columns.first];
        count +=
            shift_all(events + first, beyond - first, (uint32_t)((place - pixel) * link->from.channels), list + count);
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

/* Lists units as moves to, or from, the position that each took. */
static void list_units(const struct bnnep_link *link, uint64_t word, size_t base, const uint16_t *argmax, bool left,
                       struct binary_places *s) {
    for (; word; word &= word - 1) {
        const size_t unit = base + (size_t)__builtin_ctzll(word);
        const struct bnnep_position at = bnnep_binary_position(link, unit / link->rows, argmax[unit]);
        s->move[s->moves++] =
            (struct binary_move){(uint32_t)(unit % link->rows), (uint32_t)at.y, (uint32_t)at.x, left, 0};
    }
}

/* Units that switched, and those that stay on and whose argmax moves: off from the old place, on at the new one. */
static void find_moves(const struct bnnep_link *link, const struct binary_layer *layer, const struct binary_passage *p,
                       bool pooled, struct binary_places *s) {
    const uint16_t *before = bnnep_binary_part(p->record, layer->argmax);
    const uint64_t *fed = bnnep_binary_part(p->record, layer->fed), *active = p->active + layer->offset / 64;
    const uint16_t *now = pooled ? s->argmax : before;
    s->moves = 0;
    for (size_t i = 0; i < layer->units; i += 64) {
        const size_t units = layer->units - i < 64 ? layer->units - i : 64;
        uint64_t moved = 0;
        if (memcmp(now + i, before + i, units * sizeof *now) != 0) /* rare, after the first steps */
            for (size_t j = 0; j < units; j++)
                moved |= (uint64_t)(now[i + j] != before[i + j]) << j;
        list_units(link, fed[i / 64] & (~active[i / 64] | moved), i, before, true, s);
        list_units(link, active[i / 64] & (~fed[i / 64] | moved), i, now, false, s);
    }
}

/* The scaling factors that moves have, in ascending order of their index. */
static void find_factors(const struct binary_alphas *alphas, struct binary_places *s) {
    memset(s->nth, 0, alphas->count * sizeof *s->nth);
    for (size_t i = 0; i < s->moves; i++)
        s->nth[alphas->of[s->move[i].channel]] = 1;
    s->factors = 0;
    for (uint32_t a = 0; a < alphas->count; a++)
        if (s->nth[a]) {
            s->nth[a] = (uint32_t)s->factors;
            s->factor[s->factors++] = a;
        }
}

/* Sorts the moves into cells, which are ordered by scaling factor, then by who came and who left, then by position. */
static void sort_moves(const struct bnnep_link *link, const struct cpu_connection *c,
                       const struct binary_alphas *alphas, struct binary_places *s) {
    const size_t width = link->to.width * link->pool, positions = bnnep_binary_positions(link);
    const size_t cells = 2 * s->factors * positions;
    memset(s->from, 0, (cells + 2) * sizeof *s->from);
    for (size_t i = 0; i < s->moves; i++) {
        struct binary_move *m = &s->move[i];
        m->cell = (2 * s->nth[alphas->of[m->channel]] + m->left) * positions + m->y * width + m->x;
        s->from[m->cell + 2]++;
    }
    for (size_t i = 2; i < cells + 2; i++)
        s->from[i] += s->from[i - 1];
    for (size_t i = 0; i < s->moves; i++) { /* which moves from[cell + 1] from a cell's begin to its end */
        const struct binary_move *m = &s->move[i];
        s->row[s->from[m->cell + 1]++] = m->channel - (uint32_t)((m->y * link->kernel + m->x) * c->up_panels * c->rows);
    }
}

/* The rows of `up` that stand for the moves a pixel sees: those of factor n that came, and those that left, end at
 * bounds[2n] and bounds[2n+1]. Returns how many there are. */
static size_t gather_rows(const struct bnnep_link *link, const struct cpu_connection *c, size_t y, size_t x,
                          struct binary_places *s) {
    const size_t K = link->kernel, P = link->padding, width = link->to.width * link->pool;
    const size_t positions = bnnep_binary_positions(link);
    const struct window in = window_of(y + P, x + P, K, K - 1, positions / width, width);
    const uint32_t shift = (uint32_t)(((y + P) * K + x + P) * c->up_panels * c->rows);
    const uint32_t *from = s->from;
    size_t count = 0;
    for (size_t n = 0; n < 2 * s->factors; n++, from += positions) {
        for (size_t i = in.rows.first * width; in.columns.first < in.columns.beyond && i < in.rows.beyond * width;
             i += width) {
            const size_t first = from[i + in.columns.first];
            count += shift_all(s->row + first, from[i + in.columns.beyond] - first, shift, s->list + count);
        }
        s->bounds[n] = count;
    }
    return count;
}

/* The sums of one pixel take in what gather_rows found. */
static void send_back(const struct binary_workspace *ws, size_t k, struct binary_scratch *scratch, double *sums) {
    const struct cpu_kernels *kernels = ws->network->kernels;
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_places *s = &scratch->places;
    for (size_t panel = 0; panel < c->up_panels; panel++)
        for (size_t n = 0, from = 0; n < s->factors; from = s->bounds[2 * n + 1], n++) {
            const size_t downs = s->bounds[2 * n], end = s->bounds[2 * n + 1];
            const size_t outputs = c->inner - panel * PANEL < PANEL ? c->inner - panel * PANEL : PANEL;
            if (from == end)
                continue;
            kernels->counts->counts(bnnep_cpu_up(c, 0, panel), s->list + from, downs - from, s->list + downs,
                                    end - downs, outputs, scratch->counts);
            kernels->counts->add_counts(scratch->counts, outputs, (double)ws->alphas[k].alpha[s->factor[n]],
                                        sums + panel * PANEL);
        }
}

void bnnep_binary_feed_back(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                            struct binary_scratch *scratch) {
    const struct bnnep_link *link = ws->network->model->links[k];
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    struct binary_places *s = &scratch->places;
    const bool pooled = p->stale[k];
    if (pooled)
        bnnep_binary_pool(ws, k, p, p->forward + layer->offset, s->argmax);
    find_moves(link, layer, p, pooled, s);
    if (pooled)
        memcpy(bnnep_binary_part(p->record, layer->argmax), s->argmax, layer->units * sizeof *s->argmax);
    if (s->moves == 0)
        return;
    find_factors(&ws->alphas[k], s);
    sort_moves(link, c, &ws->alphas[k], s);
    memcpy(bnnep_binary_part(p->record, layer->fed), p->active + layer->offset / 64,
           (layer->units + 63) / 64 * sizeof(uint64_t));
    double *sums = bnnep_binary_part(p->record, layer->back);
    bool *pulled = p->pulled + layer[-1].offset / PANEL;
    for (size_t i = 0; i < link->from.height * link->from.width; i++, sums += c->inner) {
        if (gather_rows(link, c, i / link->from.width, i % link->from.width, s) == 0)
            continue;
        for (size_t j = i * c->inner / PANEL; j <= ((i + 1) * c->inner - 1) / PANEL; j++)
            pulled[j] = true;
        send_back(ws, k, scratch, sums);
    }
}
