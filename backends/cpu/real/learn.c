/* SPDX-License-Identifier: MIT */
/*
 * Gradient, momentum, flips, biases and scaling factors of networks of real activations, in one pass over the momenta.
 *
 * The contrast is taken as the change of the activations from phase to phase, da = a^b - a^*:
 *     a_out^b a_in^b - a_out^* a_in^* = da_out a_in^b + a_out^* da_in
 * which is free of the cancellation of the left side and, since the input is clamped, one product for
 * connection 0. Back-propagation through time gives a list of such products, two for each step. The gradient of a
 * convolution is gathered from the places that the pooling took.
 */
#include <string.h>

#include "backends/cpu/real/learn.h"

static const struct cpu_connection *connection_of(const struct update *update) {
    return &update->ws->network->connection[update->k];
}

/* --- da ---------------------------------------------------------------------------------------------------- */

static void change_of_tile(void *arg, size_t tile, unsigned worker) {
    struct real_workspace *ws = arg;
    (void)worker;
    const float *free = bnnep_real_state(ws, BNNEP_SLOT_FREE, tile, 0),
                *nudged = bnnep_real_state(ws, BNNEP_SLOT_NUDGED, tile, 0);
    float *delta = ws->delta + tile * ws->units * LANES;
    for (size_t v = 0; v < ws->units * LANES; v++)
        delta[v] = nudged[v] - free[v];
    /* Lanes without a sample count for nothing, whatever states they hold. */
    for (size_t l = LANES; tile * LANES + l > ws->count; l--)
        for (size_t j = 0; j < ws->units; j++)
            delta[j * LANES + l - 1] = 0.0f;
}

/* --- scaling factors --------------------------------------------------------------------------------------- */

/* W_k a_k without bias (fully connected), or fwd_k(a_k) (convolution), of a tile after a phase. */
static const float *pull_of_tile(struct update *update, enum bnnep_slot slot, size_t tile,
                                 struct real_scratch *scratch) {
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const struct cpu_connection *c = connection_of(update);
    const float *below =
        update->k == 0 ? ws->input + tile * link->in * LANES : bnnep_real_state(ws, slot, tile, update->k - 1);
    float *value = scratch->forward;
    if (bnnep_cpu_is_convolution(link)) {
        bnnep_real_convolve(ws->network, update->k, WHOLE, below, value, scratch->pooled, scratch);
        return value;
    }
    bnnep_real_up(ws->network, update->k, WHOLE, bnnep_real_values(below), value, scratch);
    for (size_t v = 0; v < link->out * LANES; v++)
        value[v] *= c->alpha[0];
    return value;
}

/* a_{k+1} . W_k a_k of each sample of a tile and each scaling factor, in both phases. */
static void dots_of_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        const float *value = pull_of_tile(update, (enum bnnep_slot)slot, tile, &ws->scratch[worker]);
        const float *above = bnnep_real_state(ws, (enum bnnep_slot)slot, tile, update->k);
        for (size_t i = 0; i < link->scales; i++) {
            double *dot = ws->dot[slot] + (i * ws->tiles + tile) * LANES;
            memset(dot, 0, LANES * sizeof *dot);
            for (size_t j = i; j < link->out; j += link->scales) /* [position][channel] */
                for (size_t l = 0; l < LANES; l++)
                    dot[l] += (double)above[j * LANES + l] * (double)value[j * LANES + l];
        }
    }
}

/* Leaves the change of each scaling factor in dot[0][i * tiles * LANES]. */
static void scale_contrast(struct update *update) {
    struct real_workspace *ws = update->ws;
    bnnep_pool_run(ws->pool, ws->tiles, dots_of_tile, update);
    for (size_t i = 0; i < bnnep_real_link(update)->scales; i++) {
        double *free = ws->dot[BNNEP_SLOT_FREE] + i * ws->tiles * LANES, contrast = 0.0;
        const double *nudged = ws->dot[BNNEP_SLOT_NUDGED] + i * ws->tiles * LANES;
        for (size_t n = 0; n < ws->count; n++)
            contrast += nudged[n] - free[n];
        free[0] = contrast;
    }
}

/* --- terms ------------------------------------------------------------------------------------------------- */

size_t bnnep_real_term_count(const struct update *update) {
    const size_t pairs = update->k > 0 ? 2 : 1; /* nothing goes back to the input */
    return update->learner->tape.room > 0 ? pairs * (size_t)update->learner->tape.steps : pairs;
}

struct term bnnep_real_term(const struct update *update, size_t i) {
    const struct real_workspace *ws = update->ws;
    const struct real_tape *tape = &update->learner->tape;
    const bool hidden = update->k > 0;
    if (tape->room > 0) {
        const size_t t = hidden ? i / 2 : i;
        return hidden && i % 2 ? (struct term){tape->state[t], tape->delta[t], tape->place[t]}
                               : (struct term){tape->delta[t], hidden ? tape->state[t] : NULL, tape->place[t]};
    }
    return i == 0 ? (struct term){ws->delta, hidden ? ws->state[BNNEP_SLOT_NUDGED] : NULL, NULL}
                  : (struct term){ws->state[BNNEP_SLOT_FREE], ws->delta, NULL};
}

const float *bnnep_real_below(const struct update *update, const struct term *term, size_t tile) {
    const struct real_workspace *ws = update->ws;
    if (!term->below)
        return ws->input + tile * ws->network->model->links[0].in * LANES;
    return term->below + bnnep_real_at(ws, tile, update->k - 1);
}

double bnnep_real_bias_gradient(const struct update *update, size_t j) {
    const struct real_workspace *ws = update->ws;
    const struct real_tape *tape = &update->learner->tape;
    const struct bnnep_link *link = bnnep_real_link(update);
    double sum = 0.0;
    for (int32_t t = 0; t < (tape->room > 0 ? tape->steps : 1); t++)
        for (size_t tile = 0; tile < ws->tiles; tile++) {
            const float *delta = (tape->room > 0 ? tape->delta[t] : ws->delta) + bnnep_real_at(ws, tile, update->k);
            for (size_t unit = j; unit < link->out; unit += link->rows)
                for (size_t l = 0; l < LANES; l++)
                    sum += (double)delta[unit * LANES + l];
        }
    return sum;
}

/* --- momenta and flips ----------------------------------------------------------------------------------------- */

uint64_t bnnep_real_turn(struct update *update, size_t row, size_t part, size_t i, size_t count, const float *G) {
    const struct cpu_network *net = update->ws->network;
    const struct cpu_connection *c = connection_of(update);
    const float alpha = c->alpha[bnnep_real_link(update)->scales == 1 ? 0 : row];
    const bool at_threshold = net->model->convolutional;
    float *momentum = update->learner->momentum[update->k] + row * c->columns + part * c->inner + i;
    uint64_t turned = 0;
    for (size_t done = 0; done < count; done += 64, i += 64) {
        const size_t some = count - done < 64 ? count - done : 64;
        uint64_t *word = bnnep_cpu_up_word(c, part, i) + row;
        uint64_t flips =
            bnnep_cpu_turn(net->kernels, momentum + done, G + done, some, &update->rule, at_threshold, alpha, *word);
        for (; flips; flips &= flips - 1, turned++)
            bnnep_cpu_flip(c, row, part * c->inner + i + (size_t)__builtin_ctzll(flips));
    }
    return turned;
}

bnnep_status bnnep_real_learn(void *handle, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                              uint64_t *flips, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    struct real_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    if (learner->tape.room == 0)
        bnnep_pool_run(ws->pool, ws->tiles, change_of_tile, ws);
    for (size_t k = 0; k < model->connections; k++) {
        struct update update = {.learner = learner, .ws = ws, .k = k, .rule = rules[k]};
        struct cpu_connection *c = &learner->network->connection[k];
        if (learn_scale)
            scale_contrast(&update);
        if (bnnep_cpu_is_convolution(&model->links[k]))
            bnnep_real_update_convolution(&update);
        else
            bnnep_real_update_connected(&update);
        flips[k] = atomic_load(&update.flips);
        for (size_t i = 0; learn_scale && i < model->links[k].scales; i++)
            c->alpha[i] += update.rule.scale_gain * (float)ws->dot[BNNEP_SLOT_FREE][i * ws->tiles * LANES];
    }
    return BNNEP_OK;
}
