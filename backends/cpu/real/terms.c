/* SPDX-License-Identifier: MIT */
/*
 * The gradient of a connection as a list of products of the layers above and below.
 *
 * The contrast is taken as the change of the activations from phase to phase, da = a^b - a^*:
 *     a_out^b a_in^b - a_out^* a_in^* = da_out a_in^b + a_out^* da_in
 * which is free of the cancellation of the left side and, since the input is clamped, one product for
 * connection 0. Back-propagation through time gives a list of such products, two for each step.
 */
#include "backends/cpu/real/learn.h"

size_t bnnep_real_term_count(const struct real_update *update) {
    const size_t pairs = update->k > 0 ? 2 : 1; /* nothing goes back to the input */
    return update->optimizer->tape.room > 0 ? pairs * (size_t)update->optimizer->tape.steps : pairs;
}

struct real_term bnnep_real_term(const struct real_update *update, size_t i) {
    const struct real_workspace *ws = update->ws;
    const struct real_tape *tape = &update->optimizer->tape;
    const bool hidden = update->k > 0;
    if (tape->room > 0) {
        const size_t t = hidden ? i / 2 : i;
        return hidden && i % 2 ? (struct real_term){tape->state[t], tape->delta[t], tape->argmax[t]}
                               : (struct real_term){tape->delta[t], hidden ? tape->state[t] : NULL, tape->argmax[t]};
    }
    const struct bnnep_learning *how = update->learning->how;
    return i == 0 ? (struct real_term){ws->contrast.change, hidden ? ws->state[how->second] : NULL, NULL}
                  : (struct real_term){ws->state[how->first], ws->contrast.change, NULL};
}

const float *bnnep_real_below(const struct real_update *update, const struct real_term *term, size_t tile) {
    const struct real_workspace *ws = update->ws;
    if (!term->below)
        return ws->input + tile * ws->network->model->links[0]->in * LANES;
    return term->below + bnnep_real_at(ws, tile, update->k - 1);
}

/* Gradient of the bias of row j, summed over the batch and the row's units: that of the states, or of the loss. */
static double bias_gradient(const struct real_update *update, size_t j) {
    const struct real_workspace *ws = update->ws;
    const struct real_tape *tape = &update->optimizer->tape;
    const struct bnnep_link *link = bnnep_real_link(update);
    double sum = 0.0;
    for (int32_t t = 0; t < (tape->room > 0 ? tape->steps : 1); t++)
        for (size_t tile = 0; tile < ws->tiles; tile++) {
            const float *change = tape->room > 0 ? tape->delta[t] : ws->contrast.change;
            const float *layer = change + bnnep_real_at(ws, tile, update->k);
            for (size_t unit = j; unit < link->out; unit += link->rows)
                for (size_t l = 0; l < LANES; l++)
                    sum += (double)layer[unit * LANES + l];
        }
    return sum;
}

void bnnep_real_learn_bias(const struct real_update *update, size_t j, struct cpu_tally *tally) {
    bnnep_cpu_learn_bias(update->ws->network, update->learning, update->k, j, (float)bias_gradient(update, j), tally);
}
