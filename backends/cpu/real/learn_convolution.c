/* SPDX-License-Identifier: MIT */
/* The gradient of a convolution, gathered from the places that the pooling took. */
#include <string.h>

#include "backends/cpu/real/learn.h"

/* Where the maps of a tile are, [MAPS][LANES][padded]. */
static float *maps_of(const struct update *update, size_t tile) {
    return update->ws->maps + tile * MAPS * LANES * bnnep_real_padded(bnnep_real_link(update));
}

/* The maps that the gradient is gathered from: the layer below and, between two phases, its change. */
static void pad_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const size_t padded = bnnep_real_padded(link);
    (void)worker;
    for (size_t l = 0; l < LANES && tile * LANES + l < ws->count; l++) {
        bnnep_real_pad(link, bnnep_real_below(update, &update->term, tile), l, maps_of(update, tile) + l * padded);
        if (update->term.place == NULL && update->k > 0)
            bnnep_real_pad(link, ws->delta + bnnep_real_at(ws, tile, update->k - 1), l,
                           maps_of(update, tile) + (LANES + l) * padded);
    }
}

static void add_view(struct real_views *views, float factor, size_t from) {
    views->factor[views->count] = factor;
    views->from[views->count] = (uint32_t)from;
    views->count += factor != 0.0f; /* units at rest take no work */
}

/* The term of a gradient. */
static void list_term(const struct update *update, size_t tile, size_t o, size_t l, struct real_views *views) {
    const struct bnnep_link *link = bnnep_real_link(update);
    const size_t at = bnnep_real_at(update->ws, tile, update->k), map = l * bnnep_real_padded(link);
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const size_t v = at + (u * link->rows + o) * LANES + l;
        add_view(views, update->term.above[v], map + bnnep_real_view(link, u, update->term.place[v]));
    }
}

/* The contrast, with A the map below in the nudged phase and dA its change, as seen from the places of the phases:
 * a^b A^b(place^b) - a^* A^*(place^*) = a^b A^b(place^b) - a^* A^b(place^*) + a^* dA(place^*), in which the first two
 * are da A^b(place) where the places agree. */
static void list_contrast(const struct update *update, size_t tile, size_t o, size_t l, struct real_views *views) {
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const size_t at = bnnep_real_at(ws, tile, update->k), padded = bnnep_real_padded(link);
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const size_t v = at + (u * link->rows + o) * LANES + l;
        const float free = ws->state[BNNEP_SLOT_FREE][v], nudged = ws->state[BNNEP_SLOT_NUDGED][v];
        const int32_t place = ws->place[BNNEP_SLOT_FREE][v], moved_to = ws->place[BNNEP_SLOT_NUDGED][v];
        const size_t was = l * padded + bnnep_real_view(link, u, place);
        if (place == moved_to)
            add_view(views, ws->delta[v], was);
        else {
            add_view(views, nudged, l * padded + bnnep_real_view(link, u, moved_to));
            add_view(views, -free, was);
        }
        if (update->k > 0)
            add_view(views, free, LANES * padded + was);
    }
}

/* Adds the term, or the contrast, to the gradient of one output channel. */
static void gather_channel(void *arg, size_t o, unsigned worker) {
    struct update *update = arg;
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    struct real_views *views = &ws->scratch[worker].views;
    for (size_t tile = 0; tile < ws->tiles; tile++) {
        views->count = 0;
        for (size_t l = 0; l < LANES && tile * LANES + l < ws->count; l++)
            (update->term.place ? list_term : list_contrast)(update, tile, o, l, views);
        bnnep_real_gather(ws->network, update->k, views, maps_of(update, tile),
                          ws->gradient + o * link->kernel * bnnep_real_kernel_row(link));
    }
}

/* A task is LEARN_ROWS output channels. */
static void update_channels(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct cpu_connection *c = &update->learner->network->connection[update->k];
    const struct bnnep_link *link = bnnep_real_link(update);
    (void)worker;
    uint64_t flips = 0;
    for (size_t o = task * LEARN_ROWS; o < c->rows && o < (task + 1) * LEARN_ROWS; o++) {
        const float *G = update->ws->gradient + o * link->kernel * bnnep_real_kernel_row(link);
        for (size_t part = 0; part < c->parts; part++)
            flips +=
                bnnep_real_turn(update, o, part, 0, c->inner,
                                G + part / link->kernel * bnnep_real_kernel_row(link) + part % link->kernel * c->inner);
        c->bias[o] += update->rule.bias_gain * (float)bnnep_real_bias_gradient(update, o);
    }
    atomic_fetch_add(&update->flips, flips);
}

void bnnep_real_update_convolution(struct update *update) {
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    memset(ws->gradient, 0, link->rows * link->kernel * bnnep_real_kernel_row(link) * sizeof *ws->gradient);
    const size_t terms = update->learner->tape.room > 0 ? bnnep_real_term_count(update) : 1;
    for (size_t i = 0; i < terms; i++) {
        update->term = bnnep_real_term(update, i);
        bnnep_pool_run(ws->pool, ws->tiles, pad_tile, update);
        bnnep_pool_run(ws->pool, link->rows, gather_channel, update);
    }
    bnnep_pool_run(ws->pool, (link->rows + LEARN_ROWS - 1) / LEARN_ROWS, update_channels, update);
}
