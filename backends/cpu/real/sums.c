/* SPDX-License-Identifier: MIT */
/* What the units of a tile receive: from below, fwd_k, and from above, fb_k. */
#include "backends/cpu/real/real.h"

void bnnep_real_forward(const struct real_workspace *ws, size_t k, struct real_part part, const float *below,
                        float *value, int32_t *place, struct real_scratch *scratch) {
    const struct cpu_network *net = ws->network;
    const struct cpu_connection *c = &net->connection[k];
    if (bnnep_cpu_is_convolution(&net->model->links[k])) {
        bnnep_real_convolve(net, k, part, below, value, place, scratch);
        return;
    }
    const size_t first = bnnep_real_first(part, c->rows), some = bnnep_real_beyond(part, c->rows) - first;
    bnnep_real_up(net, k, part, bnnep_real_values(below), value, scratch);
    net->kernels->scale_rows(value + first * LANES, c->alpha[0], c->bias + first, some);
}

void bnnep_real_feedback(const struct real_workspace *ws, size_t k, struct real_part part, const float *above,
                         const int32_t *place, float *value, struct real_scratch *scratch) {
    if (bnnep_cpu_is_convolution(&ws->network->model->links[k]))
        bnnep_real_convolve_back(ws->network, k, part, bnnep_real_values(above), place, value, scratch);
    else
        bnnep_real_down(ws->network, k, part, bnnep_real_values(above), value, scratch);
}

float bnnep_real_feedback_scale(const struct real_workspace *ws, size_t k) {
    const struct cpu_connection *c = &ws->network->connection[k];
    if (!bnnep_cpu_is_convolution(&ws->network->model->links[k]))
        return c->alpha[0];
    return bnnep_real_has_grid(ws->network) ? bnnep_largest(c->alpha, c->rows) : 1.0f;
}

void bnnep_real_forward_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                           struct real_part part, const struct real_scratch *to, struct real_scratch *scratch) {
    const size_t at = ws->offset[k] * LANES;
    bnnep_real_forward(ws, k, part, bnnep_real_state(ws, slot, tile, k - 1), to->forward + at,
                       to->pooled ? to->pooled + at : NULL, scratch);
}

void bnnep_real_feedback_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                            struct real_part part, const struct real_scratch *to, struct real_scratch *scratch) {
    bnnep_real_feedback(ws, k, part, bnnep_real_state(ws, slot, tile, k),
                        to->pooled ? to->pooled + ws->offset[k] * LANES : NULL,
                        to->feedback + ws->offset[k - 1] * LANES, scratch);
}

void bnnep_real_sums_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile,
                        struct real_scratch *scratch) {
    for (size_t k = 1; k < ws->network->model->connections; k++) {
        bnnep_real_forward_of(ws, slot, tile, k, WHOLE, scratch, scratch);
        bnnep_real_feedback_of(ws, slot, tile, k, WHOLE, scratch, scratch);
    }
}
