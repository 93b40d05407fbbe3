/* SPDX-License-Identifier: MIT */
/* What the units of a tile receive over a connection. `part` is a part of the rows of the result. */
#ifndef BNNEP_REAL_CONNECTION_H
#define BNNEP_REAL_CONNECTION_H

#include "backends/cpu/real/real.h"

/* --- connection.c: fully connected and convolutional -------------------------------------------------------------- */

/* fwd_k, bias included: below [in][LANES] -> value [out][LANES]; in a convolution with its argmax, the same shape. */
void bnnep_real_forward(const struct cpu_network *net, size_t k, struct real_part part, const float *below,
                        float *value, int32_t *argmax, struct real_scratch *scratch);
/* fb_k but for bnnep_real_feedback_scale: above [out][LANES] -> value [in][LANES], in a convolution from an argmax. */
void bnnep_real_feedback(const struct cpu_network *net, size_t k, struct real_part part, const float *above,
                         const int32_t *argmax, float *value, struct real_scratch *scratch);
/* What the feedback of connection k still has to be multiplied with. */
float bnnep_real_feedback_scale(const struct cpu_network *net, size_t k);
/* The adjoint of the feedback: W_k below without bias, in a convolution read at an argmax. */
void bnnep_real_feedback_adjoint(const struct cpu_network *net, size_t k, const float *below, const int32_t *argmax,
                                 float *value, struct real_scratch *scratch);
/* Both of all connections but the first, from the states of a tile, into scratch->step. */
void bnnep_real_sum_all(const struct real_workspace *ws, int32_t phase, size_t tile, struct real_scratch *scratch);

/* The numbers in which what lies below connection k is summed up, and what lies above. */
static inline const struct arithmetic *bnnep_real_sums_below(const struct cpu_network *net, size_t k) {
    return k > 0 ? net->sums : net->outer;
}

static inline const struct arithmetic *bnnep_real_sums_above(const struct cpu_network *net, size_t k) {
    return k + 1 < net->model->connections ? net->sums : net->outer;
}

/* --- connected.c: products of a sign matrix ----------------------------------------------------------------------- */

/* What is summed up, and in which numbers. */
struct real_operand {
    const struct arithmetic *in;
    const void *x; /* [unit][in->unit_bytes] */
};

/* sums [rows][LANES] = B_k below, sums [columns][LANES] = B_k^T above: the numbers that the arithmetic finishes with.
 */
void bnnep_real_up(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand below,
                   void *sums, struct real_scratch *scratch);
void bnnep_real_down(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand above,
                     void *sums, struct real_scratch *scratch);

/* --- convolution.c ------------------------------------------------------------------------------------------ */

void bnnep_real_convolve(const struct cpu_network *net, size_t k, struct real_part part, const float *below,
                         float *value, int32_t *argmax, struct real_scratch *scratch);
void bnnep_real_convolve_at(const struct cpu_network *net, size_t k, const float *below, const int32_t *argmax,
                            float *value, struct real_scratch *scratch);
/* alpha included, or on a grid the channels' shares of the largest. */
void bnnep_real_convolve_back(const struct cpu_network *net, size_t k, struct real_part part, const float *above,
                              const int32_t *argmax, float *value, struct real_scratch *scratch);

/* Elements of windows.sums that a convolution needs. */
static inline size_t bnnep_real_window_sums(const struct bnnep_link *link) {
    return link->pool * link->to.width * link->pool * link->rows * LANES;
}

#endif
