/* SPDX-License-Identifier: MIT */
/*
 * Delta coding, of fully connected networks. Units send their neighbours how their states changed, as sigma-delta
 * neurons do (O'Connor and Welling 2016), and the sums of what was sent are kept from step to step:
 *     sum += B (sent now - sent before).
 * A change is sent in digits of 9 bits and a sign, whose unit is a power of 2 that follows the largest change of the
 * sample's layer. What rounding leaves is sent later, with the next change, so that it does not add up. Sums of digits
 * are integers, exact in any order; each step adds them to a float once.
 *
 * Without a tolerance, and in the first step of a phase, so many digits are sent that less than 2^-23 is left of each
 * state, which is what float32 keeps of one. A state that moves by less is not sent: the last bits do not flutter, and
 * a sample can come to rest. With a tolerance one digit is sent a step, and 2^-10 of the largest change is left, which
 * vanishes as the sample comes to rest.
 *
 * Convolutional networks add floats: a rounded change may decide between places of a pooling window that nearly tie,
 * and a sample then comes to another rest.
 */
#include "backends/cpu/real/delta.h"

#include <math.h>
#include <string.h>

/* Multiply-adds a unit from which on delta coding pays (docs/performance.md). */
#define WORTH_DELTAS ((size_t)32)

bool bnnep_real_is_delta_coded(const struct bnnep_model *model) {
    size_t products = 0;
    for (size_t k = 1; k < model->connections; k++)
        products += model->links[k]->out * model->links[k]->in;
    return !model->convolutional && model->grid.steps == 0.0f && products >= WORTH_DELTAS * bnnep_units(model);
}

void bnnep_real_delta_reset(const struct real_workspace *ws, struct real_delta *delta) {
    const size_t bytes = ws->units * LANES * sizeof(float);
    memset(delta->sent, 0, bytes);
    memset(delta->forward, 0, bytes);
    memset(delta->feedback, 0, bytes);
}

void bnnep_real_delta_reset_lane(const struct real_workspace *ws, struct real_delta *delta, size_t lane) {
    for (size_t v = lane; v < ws->units * LANES; v += LANES)
        delta->sent[v] = delta->forward[v] = delta->feedback[v] = 0.0f;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* How much finer a digit is than the one before, which leaves half a step: 512 of these, of which 511 are sent. */
#define FINER 0x1p-10f

/* The smallest power of 2 of which a change is at most MOST_DIGIT. */
static float step_for(float change) {
    int exponent;
    frexpf(change / MOST_DIGIT, &exponent);
    const float step = ldexpf(1.0f, exponent);
    return step > FINEST ? step : FINEST;
}

/* What digit n of each sample counts, given what is pending; false if there is nothing to send. */
static bool choose_steps(const struct real_precision *precision, size_t n, const float *pending, float *step,
                         struct digit_steps *steps) {
    bool any = false;
    for (size_t l = 0; l < LANES; l++) {
        const bool first = n == 0, done = !first && (!precision->fine[l] || step[l] <= FINEST);
        const bool sends = precision->moving[l] != 0.0f && pending[l] >= FINEST && !done;
        if (first)
            step[l] = sends ? step_for(pending[l]) : 0.0f;
        else if (sends)
            step[l] = step[l] * FINER > FINEST ? step[l] * FINER : FINEST;
        steps->step[l] = sends ? step[l] : 0.0f;
        steps->per_step[l] = sends ? 1.0f / step[l] : 0.0f;
        steps->least[l] = step[l] > FINEST ? 0.5f : 1.0f;
        any = any || sends;
    }
    return any;
}

void bnnep_real_encode(const struct real_workspace *ws, const float *state, size_t k,
                       const struct real_precision *precision, struct real_delta *delta, float *left) {
    const struct delta_kernels *kernels = ws->network->kernels->delta;
    const size_t units = ws->network->model->links[k]->out;
    struct real_message *message = &delta->layer[k];
    float pending[LANES] = {0.0f}, step[LANES] = {0.0f}, *sent = delta->sent + ws->offset[k] * LANES;
    struct digit_steps steps;
    kernels->largest_change(state, sent, units, pending);
    size_t n = 0;
    for (; n < MOST_DIGITS && choose_steps(precision, n, pending, step, &steps); n++) {
        memset(pending, 0, sizeof pending);
        kernels->encode(state, sent, units, &steps, message->digit[n], pending);
        memcpy(message->step[n], steps.step, sizeof steps.step);
    }
    message->digits = n;
    for (size_t l = 0; l < LANES; l++)
        left[l] = pending[l] > left[l] ? pending[l] : left[l];
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

void bnnep_real_delta_forward(const struct real_workspace *ws, size_t k, struct real_part part,
                              struct real_delta *delta, float *forward, struct real_scratch *scratch) {
    const struct cpu_kernels *kernels = ws->network->kernels;
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct real_message *message = &delta->layer[k - 1];
    const size_t first = bnnep_real_first(part, c->rows), some = bnnep_real_beyond(part, c->rows) - first;
    const size_t layer = ws->offset[k] * LANES, at = layer + first * LANES;
    for (size_t n = 0; n < message->digits; n++) {
        const struct real_operand digits = {kernels->digits, message->digit[n]};
        bnnep_real_up(ws->network, k, part, digits, delta->sums + layer, scratch);
        kernels->delta->accumulate(delta->sums + at, some, message->step[n], delta->forward + at);
    }
    kernels->states->scale_rows(delta->forward + at, c->alpha[0], c->bias + first, some, forward + at);
}

void bnnep_real_delta_feedback(const struct real_workspace *ws, size_t k, struct real_part part,
                               struct real_delta *delta, struct real_scratch *scratch) {
    const struct cpu_kernels *kernels = ws->network->kernels;
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct real_message *message = &delta->layer[k];
    const size_t first = bnnep_real_first(part, c->columns), some = bnnep_real_beyond(part, c->columns) - first;
    const size_t layer = ws->offset[k - 1] * LANES, at = layer + first * LANES;
    for (size_t n = 0; n < message->digits; n++) {
        const struct real_operand digits = {kernels->digits, message->digit[n]};
        bnnep_real_down(ws->network, k, part, digits, delta->sums + layer, scratch);
        kernels->delta->accumulate(delta->sums + at, some, message->step[n], delta->feedback + at);
    }
}
