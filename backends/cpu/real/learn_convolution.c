/* SPDX-License-Identifier: MIT */
/* The gradient of a convolution, and its update: gathered from the places that the pooling took. */
#include <string.h>

#include "backends/cpu/real/learn.h"

/* One lane of a map, with its padding. */
static void pad_lane(const struct bnnep_link *link, const float *below, size_t lane, float *map) {
    const size_t H = link->from.height, W = link->from.width, C = link->from.channels, P = link->padding;
    memset(map, 0, bnnep_real_padded(link) * sizeof *map);
    for (size_t y = 0; y < H; y++)
        for (size_t v = 0; v < W * C; v++)
            map[((y + P) * (W + 2 * P) + P) * C + v] = below[(y * W * C + v) * LANES + lane];
}

/* Where the kernel of unit u looks at a padded map, from place q of the unit's window. */
static size_t view_of(const struct bnnep_link *link, size_t u, int32_t q) {
    const struct bnnep_position at = bnnep_place_of(u, (size_t)q, link->to.width, link->pool);
    return (at.y * (link->from.width + 2 * link->padding) + at.x) * link->from.channels;
}

/* G [kernel row][bnnep_real_kernel_row] += sum over the views of factor * what the kernel sees from there. */
static void gather(const struct cpu_network *net, size_t k, const struct real_views *views, const float *maps,
                   float *G) {
    const struct bnnep_link *link = net->model->links[k];
    const size_t row = bnnep_real_kernel_row(link), width = link->from.width + 2 * link->padding;
    for (size_t y = 0; y < link->kernel; y++)
        for (size_t i = 0; i < row; i += 64)
            net->kernels->momenta->gather(views->factor, views->from, views->count,
                                          maps + y * width * link->from.channels + i, G + y * row + i);
}

/* Where the maps of a tile are, [MAPS][LANES][padded]. */
static float *maps_of(const struct real_update *update, size_t tile) {
    return update->ws->contrast.maps + tile * MAPS * LANES * bnnep_real_padded(bnnep_real_link(update));
}

/* The maps that the gradient is gathered from: the layer below and, between two phases, its change. */
static void pad_tile(void *arg, size_t tile, unsigned worker) {
    struct real_update *update = arg;
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const size_t padded = bnnep_real_padded(link);
    (void)worker;
    for (size_t l = 0; l < LANES && tile * LANES + l < ws->count; l++) {
        pad_lane(link, bnnep_real_below(update, &update->term, tile), l, maps_of(update, tile) + l * padded);
        if (update->term.argmax == NULL && update->k > 0)
            pad_lane(link, ws->contrast.change + bnnep_real_at(ws, tile, update->k - 1), l,
                     maps_of(update, tile) + (LANES + l) * padded);
    }
}

static void add_view(struct real_views *views, float factor, size_t from) {
    views->factor[views->count] = factor;
    views->from[views->count] = (uint32_t)from;
    views->count += factor != 0.0f; /* units at rest take no work */
}

/* The term of a gradient. */
static void list_term(const struct real_update *update, size_t tile, size_t o, size_t l, struct real_views *views) {
    const struct bnnep_link *link = bnnep_real_link(update);
    const size_t at = bnnep_real_at(update->ws, tile, update->k), map = l * bnnep_real_padded(link);
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const size_t v = at + (u * link->rows + o) * LANES + l;
        add_view(views, update->term.above[v], map + view_of(link, u, update->term.argmax[v]));
    }
}

/* The contrast, with A the map below in the nudged phase and dA its change, as seen from the places of the phases:
 * a^b A^b(argmax^b) - a^* A^*(argmax^*) = a^b A^b(argmax^b) - a^* A^b(argmax^*) + a^* dA(argmax^*), in which the first
 * two are da A^b(place) where the places agree. */
static void list_contrast(const struct real_update *update, size_t tile, size_t o, size_t l, struct real_views *views) {
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const int32_t first = update->learning->how->first, second = update->learning->how->second;
    const size_t at = bnnep_real_at(ws, tile, update->k), padded = bnnep_real_padded(link);
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const size_t v = at + (u * link->rows + o) * LANES + l;
        const float free = ws->state[first][v], nudged = ws->state[second][v];
        const int32_t before = ws->argmax[first][v], now = ws->argmax[second][v];
        const size_t was = l * padded + view_of(link, u, before);
        if (before == now)
            add_view(views, ws->contrast.change[v], was);
        else {
            add_view(views, nudged, l * padded + view_of(link, u, now));
            add_view(views, -free, was);
        }
        if (update->k > 0)
            add_view(views, free, LANES * padded + was);
    }
}

/* Adds the term, or the contrast, to the gradient of one output channel. */
static void gather_channel(void *arg, size_t o, unsigned worker) {
    struct real_update *update = arg;
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    struct real_views *views = &ws->scratch[worker].gradient.views;
    for (size_t tile = 0; tile < ws->tiles; tile++) {
        views->count = 0;
        for (size_t l = 0; l < LANES && tile * LANES + l < ws->count; l++)
            (update->term.argmax ? list_term : list_contrast)(update, tile, o, l, views);
        gather(ws->network, update->k, views, maps_of(update, tile),
               ws->contrast.gradient + o * link->kernel * bnnep_real_kernel_row(link));
    }
}

/* A task is TASK_ROWS output channels. */
static void update_channels(void *arg, size_t task, unsigned worker) {
    struct real_update *update = arg;
    const struct cpu_connection *c = &update->ws->network->connection[update->k];
    const struct bnnep_link *link = bnnep_real_link(update);
    (void)worker;
    struct cpu_tally tally = {0};
    for (size_t o = task * TASK_ROWS; o < c->rows && o < (task + 1) * TASK_ROWS; o++) {
        const float *G = update->ws->contrast.gradient + o * link->kernel * bnnep_real_kernel_row(link);
        for (size_t part = 0; part < c->parts; part++)
            bnnep_cpu_learn_weights(
                update->ws->network, update->learning, update->k, &(struct cpu_weights){o, part, 0, c->inner},
                G + part / link->kernel * bnnep_real_kernel_row(link) + part % link->kernel * c->inner,
                update->optimizer->momentum[update->k], &tally);
        bnnep_real_learn_bias(update, o, &tally);
    }
    bnnep_cpu_tell(update->ws->network, update->learning, update->k, task, &tally);
}

void bnnep_real_update_convolution(struct real_update *update) {
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    memset(ws->contrast.gradient, 0,
           link->rows * link->kernel * bnnep_real_kernel_row(link) * sizeof *ws->contrast.gradient);
    const size_t terms = update->optimizer->tape.room > 0 ? bnnep_real_term_count(update) : 1;
    for (size_t i = 0; i < terms; i++) {
        update->term = bnnep_real_term(update, i);
        bnnep_pool_run(ws->pool, ws->threads, ws->tiles, pad_tile, update);
        bnnep_pool_run(ws->pool, ws->threads, link->rows, gather_channel, update);
    }
    const size_t tasks = (link->rows + TASK_ROWS - 1) / TASK_ROWS;
    bnnep_pool_run(ws->pool, ws->threads, tasks, update_channels, update);
    bnnep_cpu_add_up(ws->network, update->learning, update->k, tasks);
}
