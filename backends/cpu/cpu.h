/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend: weights kept as bits in both directions, threads over samples, and two engines that share them:
 * real/ for real activations, binary/ for binary ones. Nothing that a phase computes depends on the number of threads.
 */
#ifndef BNNEP_CPU_H
#define BNNEP_CPU_H

#include "backends/backend.h"
#include "backends/cpu/kernels/kernels.h"

/* --- pool.c: threads that belong to one workspace ---------------------------------------------------------- */

struct pool;
typedef void (*pool_task)(void *arg, size_t task, unsigned worker);

/* Threads start with the first run that needs them; NULL if out of memory. */
struct pool *bnnep_pool_create(unsigned threads);
void bnnep_pool_destroy(struct pool *pool);
/* Does tasks 0 ... tasks-1 and returns when all are done. The caller is worker 0. Works in a forked child. */
void bnnep_pool_run(struct pool *pool, size_t tasks, pool_task task, void *arg);

/* --- network.c -------------------------------------------------------------------------------------------- */

/*
 * A sign matrix in two forms, 1 for +1, padded with zeros. Columns are in an order of their own wherever the layer
 * below is a map: [position][channel], so that the channels of a pixel are neighbours. A convolution has a part for
 * each place in its kernel, [row][column], whose inner columns are the channels; a fully connected layer has one part.
 * A panel is PANEL_WORDS words wide where activations are binary, otherwise one.
 */
struct cpu_connection {
    size_t rows, columns;
    size_t positions, channels; /* columns = positions * channels */
    size_t parts, inner;        /* columns = parts * inner */
    size_t words;               /* of a panel */
    size_t up_panels, down_panels;
    uint64_t *up;   /* [part][panel of the inner columns][rows][words]: the columns of a row, read by B a */
    uint64_t *down; /* [panel of the rows][columns][words]: the rows of a column, read by B^T a */
    float *alpha, *bias;
    uint64_t changes; /* counts those of the signs of weights */
};

struct cpu_network {
    const struct bnnep_model *model;
    const struct cpu_kernels *kernels;
    unsigned threads;
    struct cpu_connection *connection;
};

/* Back-propagation through time. Arrays as the states of a workspace, one for each step. */
struct real_tape {
    int32_t room, steps;
    float **state;   /* [step]: states before it */
    float **pre;     /* [step]: pre-activations; the states after the step are their clamp */
    float **delta;   /* [step]: dLoss/dpre, summed over the batch */
    int32_t **place; /* [step]: argmax; convolutional networks */
};

/* Decays of a connection's momenta that have not been done yet; binary activations. */
struct cpu_owed {
    uint8_t *decays; /* [row][part][panel] */
    bool known;      /* from the last update, which left no momentum beyond its threshold: */
    float decay, threshold;
    uint64_t changes;
};

struct cpu_learner {
    struct cpu_network *network;
    float **momentum;      /* [connection][rows][columns] */
    struct cpu_owed *owed; /* [connection] */
    struct real_tape tape;
};

/* The panel of weights of part `part`, [rows][words]; and that of rows, [columns][words]. */
static inline uint64_t *bnnep_cpu_up(const struct cpu_connection *c, size_t part, size_t panel) {
    return c->up + (part * c->up_panels + panel) * c->rows * c->words;
}

static inline uint64_t *bnnep_cpu_down(const struct cpu_connection *c, size_t panel) {
    return c->down + panel * c->columns * c->words;
}

/* The word of inner column i of a part for row 0, and that of row j for column 0; those of the next row, or column,
 * follow `words` further. */
static inline uint64_t *bnnep_cpu_up_word(const struct cpu_connection *c, size_t part, size_t i) {
    return bnnep_cpu_up(c, part, i / 64 / c->words) + i / 64 % c->words;
}

static inline uint64_t *bnnep_cpu_down_word(const struct cpu_connection *c, size_t j) {
    return bnnep_cpu_down(c, j / 64 / c->words) + j / 64 % c->words;
}

/* Turns one weight in both forms. The word of `down` holds 64 rows: they must belong to one thread. */
static inline void bnnep_cpu_flip(const struct cpu_connection *c, size_t row, size_t column) {
    const size_t part = column / c->inner, i = column % c->inner;
    bnnep_cpu_up_word(c, part, i)[row * c->words] ^= UINT64_C(1) << i % 64;
    bnnep_cpu_down_word(c, row)[column * c->words] ^= UINT64_C(1) << row % 64;
}

/* Momenta of up to 64 weights of a row take in the contrast G; which of them flip, by the bits of their signs. */
static inline uint64_t bnnep_cpu_turn(const struct cpu_kernels *kernels, float *momentum, const float *G, size_t count,
                                      const struct bnnep_rule *rule, bool at_threshold, float alpha, uint64_t signs) {
    if (alpha != 0.0f)
        return kernels->turn(momentum, G, count, rule, at_threshold, alpha > 0.0f ? signs : ~signs);
    /* W = 0 pulls with 0. */
    struct bnnep_rule never = *rule;
    never.threshold = INFINITY;
    kernels->turn(momentum, G, count, &never, false, signs);
    return bnnep_flips(0.0f, 1.0f, rule->threshold, at_threshold) ? ~UINT64_C(0) >> (64 - count) : 0;
}

/* Where the canonical column [channel][position] stands. */
static inline size_t bnnep_cpu_column(const struct cpu_connection *c, size_t canonical) {
    return canonical % c->positions * c->channels + canonical / c->positions;
}

/* And back. */
static inline size_t bnnep_cpu_canonical(const struct cpu_connection *c, size_t column) {
    return column % c->channels * c->positions + column / c->channels;
}

/* --- learner.c -------------------------------------------------------------------------------------------- */

uint64_t bnnep_cpu_learner_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape);
bnnep_status bnnep_cpu_learner_create(void *network, size_t max_batch, int32_t tape, void **out, char *why);
void bnnep_cpu_learner_destroy(void *learner);
bnnep_status bnnep_cpu_put_momentum(void *learner, size_t k, const float *momentum, char *why);
bnnep_status bnnep_cpu_get_momentum(const void *learner, size_t k, float *momentum, char *why);
/* Can momenta without contrast go without their decay in an update by this rule? Afterwards it is remembered. */
bool bnnep_cpu_may_wait(const struct cpu_learner *learner, size_t k, const struct bnnep_rule *rule);
void bnnep_cpu_remember(struct cpu_learner *learner, size_t k, const struct bnnep_rule *rule);

static inline uint8_t *bnnep_cpu_owed(const struct cpu_connection *c, const struct cpu_owed *owed, size_t row,
                                      size_t part, size_t panel) {
    return owed->decays + (row * c->parts + part) * c->up_panels + panel;
}

/* --- helpers ---------------------------------------------------------------------------------------------- */

/* 64 words of 64 bits as a matrix, transposed in place: bit j of word i becomes bit i of word j. */
void bnnep_cpu_transpose(uint64_t *words);
/* Zeroed memory on a cache line; NULL if out of memory. */
void *bnnep_cpu_alloc(size_t count, size_t size);
unsigned bnnep_cpu_threads(const char *device, char *why);

static inline bool bnnep_cpu_binary(const struct bnnep_model *model) {
    return model->dynamics == BNNEP_BINARY_ACTIVATIONS;
}

static inline bool bnnep_cpu_is_convolution(const struct bnnep_link *link) {
    return link->kind == BNNEP_CONVOLUTION;
}

/* Units of all layers but the input. */
size_t bnnep_cpu_units(const struct bnnep_model *model);

#endif
