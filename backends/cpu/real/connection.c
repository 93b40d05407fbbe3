/* SPDX-License-Identifier: MIT */
/* What the units of a tile receive: from below, fwd_k, and from above, fb_k. */
#include "backends/cpu/real/connection.h"

void bnnep_real_forward(const struct cpu_network *net, size_t k, struct real_part part, const float *below,
                        float *value, int32_t *argmax, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    if (bnnep_is_convolution(net->model->links[k])) {
        bnnep_real_convolve(net, k, part, below, value, argmax, scratch);
        return;
    }
    const size_t first = bnnep_real_first(part, c->rows), some = bnnep_real_beyond(part, c->rows) - first;
    float *rows = value + first * LANES;
    bnnep_real_up(net, k, part, (struct real_operand){bnnep_real_sums_below(net, k), below}, value, scratch);
    net->kernels->states->scale_rows(rows, c->alpha[0], c->bias + first, some, rows);
}

void bnnep_real_feedback(const struct cpu_network *net, size_t k, struct real_part part, const float *above,
                         const int32_t *argmax, float *value, struct real_scratch *scratch) {
    if (bnnep_is_convolution(net->model->links[k]))
        bnnep_real_convolve_back(net, k, part, above, argmax, value, scratch);
    else
        bnnep_real_down(net, k, part, (struct real_operand){bnnep_real_sums_above(net, k), above}, value, scratch);
}

float bnnep_real_feedback_scale(const struct cpu_network *net, size_t k) {
    const struct cpu_connection *c = &net->connection[k];
    const bool convolution = bnnep_is_convolution(net->model->links[k]);
    const float alpha = !convolution                     ? c->alpha[0]
                        : net->model->grid.steps != 0.0f ? bnnep_largest(c->alpha, c->rows)
                                                         : 1.0f;
    return bnnep_feedback_scale(alpha, net->model->feedback);
}

void bnnep_real_feedback_adjoint(const struct cpu_network *net, size_t k, const float *below, const int32_t *argmax,
                                 float *value, struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    if (bnnep_is_convolution(link)) {
        bnnep_real_convolve_at(net, k, below, argmax, value, scratch);
        return;
    }
    bnnep_real_up(net, k, WHOLE, (struct real_operand){bnnep_real_sums_below(net, k), below}, value, scratch);
    for (size_t v = 0; v < link->out * LANES; v++)
        value[v] *= net->connection[k].alpha[0];
}

void bnnep_real_sum_all(const struct real_workspace *ws, int32_t phase, size_t tile, struct real_scratch *scratch) {
    const struct real_step *step = &scratch->step;
    for (size_t k = 1; k < ws->network->model->connections; k++) {
        const size_t below = ws->offset[k - 1] * LANES, here = ws->offset[k] * LANES;
        int32_t *argmax = step->argmax ? step->argmax + here : NULL;
        bnnep_real_forward(ws->network, k, WHOLE, bnnep_real_state(ws, phase, tile, k - 1), step->forward + here,
                           argmax, scratch);
        bnnep_real_feedback(ws->network, k, WHOLE, bnnep_real_state(ws, phase, tile, k), argmax, step->feedback + below,
                            scratch);
    }
}
