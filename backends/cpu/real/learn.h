/* SPDX-License-Identifier: MIT */
/* Learning in networks of real activations. learn.c calls learn_connected.c and learn_convolution.c, and these terms.c.
 */
#ifndef BNNEP_REAL_LEARN_H
#define BNNEP_REAL_LEARN_H

#include "backends/cpu/real/real.h"

/* Samples whose contrast is added up at a time: the bits of a word. */
#define LEARN_TILES ((size_t)4)
#define LEARN_SAMPLES (LEARN_TILES * LANES)
/* Terms of the contrast: products that are summed up. */
#define LEARN_TERMS ((size_t)2)
/* Maps that a sample is looked at in, at most. */
#define MAPS ((size_t)2)

/* Back-propagation through time. Arrays as the states of a workspace, one for each step. */
struct real_tape {
    int32_t room, steps;
    float **state;    /* [step]: states before it */
    float **pre;      /* [step]: pre-activations; the states after the step are rho of them */
    float **delta;    /* [step]: dLoss/dpre of each sample */
    int32_t **argmax; /* [step]; NULL but in convolutional networks */
};

struct real_optimizer {
    struct cpu_network *network;
    float **momentum; /* [connection][rows][columns] */
    struct real_tape tape;
};

/* A term of the gradient: the sum over the batch of above below^T, each an array [tile][units][LANES] of all layers.
 * below is NULL for the input. */
struct real_term {
    const float *above, *below;
    const int32_t *argmax; /* convolutions in back-propagation: the one that goes with it */
};

/* The update of a connection. */
struct real_update {
    struct real_optimizer *optimizer;
    struct real_workspace *ws;
    const struct cpu_learning *learning;
    size_t k;              /* connection */
    bool covariance;       /* in place of products, fully connected */
    struct real_term term; /* the one that is being added to a convolution's gradient */
};

static inline const struct bnnep_link *bnnep_real_link(const struct real_update *update) {
    return update->ws->network->model->links[update->k];
}

/* Elements of the map below a convolution with its padding. */
static inline size_t bnnep_real_padded(const struct bnnep_link *link) {
    return (link->from.height + 2 * link->padding) * (link->from.width + 2 * link->padding) * link->from.channels;
}

static inline size_t bnnep_real_least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns of a kernel's row, [column][channel], rounded up to 64s. */
static inline size_t bnnep_real_kernel_row(const struct bnnep_link *link) {
    return (link->kernel * link->from.channels + 63) / 64 * 64;
}

/* Floats from one sample to the next in contrast.below: an odd number of cache lines, so that they do not share the
 * sets of a cache. */
static inline size_t bnnep_real_sample_stride(size_t columns) {
    return (columns + 63) / 64 * 64 + 16;
}

/* --- terms.c ------------------------------------------------------------------------------------------------------ */

/* How many terms there are, and number i of them. */
size_t bnnep_real_term_count(const struct real_update *update);
struct real_term bnnep_real_term(const struct real_update *update, size_t i);
/* The layer below connection k in one of a term's arrays, in a tile. */
const float *bnnep_real_below(const struct real_update *update, const struct real_term *term, size_t tile);
/* Bias j learns, or its contrast is kept. */
void bnnep_real_learn_bias(const struct real_update *update, size_t j, struct cpu_tally *tally);

/* --- total.c ------------------------------------------------------------------------------------------------------ */

/* Adds up what covariances need, of the fully connected layers and the one below them, into ws->contrast. */
void bnnep_real_add_up(struct real_workspace *ws, const struct bnnep_learning *how);

/* --- learn_connected.c, learn_convolution.c: momenta, flips and biases of a connection ---------------------------- */

void bnnep_real_update_connected(struct real_update *update);
void bnnep_real_update_convolution(struct real_update *update);

/* --- learn.c, bptt.c ---------------------------------------------------------------------------------------------- */

void bnnep_real_learn(void *optimizer, void *workspace, const struct cpu_learning *learning);
uint64_t bnnep_real_optimizer_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape);
bnnep_status bnnep_real_optimizer_create(struct cpu_network *net, size_t max_batch, int32_t tape, void **out,
                                         char *why);
void bnnep_real_put_momentum(void *optimizer, size_t k, const float *momentum);
void bnnep_real_get_momentum(const void *optimizer, size_t k, float *momentum);
float *bnnep_real_momentum(void *optimizer, size_t k);
void bnnep_real_backpropagate(void *optimizer, void *workspace, int32_t steps);

#endif
