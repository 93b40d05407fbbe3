/* SPDX-License-Identifier: MIT */
/* What the parts of learning share: learn.c, learn_connected.c and learn_convolution.c. */
#ifndef BNNEP_REAL_LEARN_H
#define BNNEP_REAL_LEARN_H

#include <stdatomic.h>

#include "backends/cpu/real/real.h"

/* A term of the gradient: the sum over the batch of above below^T, each an array [tile][units][LANES] of all layers.
 * below is NULL for the input. */
struct term {
    const float *above, *below;
    const int32_t *place; /* convolutions in back-propagation: the argmax that goes with it */
};

struct update {
    struct cpu_learner *learner;
    struct real_workspace *ws;
    size_t k; /* connection */
    struct bnnep_rule rule;
    struct term term; /* the one that is being added to a convolution's gradient */
    atomic_uint_fast64_t flips;
};

/* How many terms there are, and number i of them. */
size_t bnnep_real_term_count(const struct update *update);
struct term bnnep_real_term(const struct update *update, size_t i);
/* The layer below connection k in one of a term's arrays, in a tile. */
const float *bnnep_real_below(const struct update *update, const struct term *term, size_t tile);
/* Gradient of the bias of row j, summed over the batch and the row's units: that of the states, or of the loss. */
double bnnep_real_bias_gradient(const struct update *update, size_t j);
/* Momentum and flips of `count` columns of a row, from column i of a part on; i is a multiple of 64. Returns how many
 * flipped. */
uint64_t bnnep_real_turn(struct update *update, size_t row, size_t part, size_t i, size_t count, const float *G);

/* Momenta, flips and biases of a connection. */
void bnnep_real_update_connected(struct update *update);
void bnnep_real_update_convolution(struct update *update);

static inline const struct bnnep_link *bnnep_real_link(const struct update *update) {
    return &update->ws->network->model->links[update->k];
}

#endif
