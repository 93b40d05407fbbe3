/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend: weights kept as bits in both directions, threads over samples, and two engines that share them:
 * real/ for real activations, binary/ for binary ones. Nothing that a phase computes depends on the number of threads.
 */
#ifndef BNNEP_CPU_H
#define BNNEP_CPU_H

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/pool.h"
#include <bnnep/backend.h>

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
    uint64_t changes;        /* counts those of the signs of weights */
    struct cpu_tally *tally; /* [tasks of an update] */
};

/* A pool of threads that all workspaces of a context share. */
struct cpu_device {
    const struct bnnep_host *host;
    struct pool *pool;
};

struct cpu_network {
    const struct cpu_device *device;
    const struct bnnep_model *model;
    const struct cpu_kernels *kernels;
    const struct arithmetic *sums, *outer; /* of real activations; of inputs and outputs, which may be larger than 1 */
    const struct cpu_engine *engine;
    struct cpu_connection *connection;
};

/* What a task of an update did. Tasks are added up in order, so that sums do not depend on threads. */
struct cpu_tally {
    uint64_t flips;
    struct bnnep_squares squares;
};

/* A contrast that is kept, [connection][...]; columns are in the order of the weights. */
struct cpu_contrast {
    float **weights, **bias, **scale;
};

/* What is done with a batch's contrasts as they come: they are kept, or (NULL) updates are done by them. */
struct cpu_learning {
    const struct bnnep_learning *how;
    const struct cpu_contrast *kept;
};

/* What differs between real and binary activations. Workspaces and optimizers are the engine's own objects; functions
 * are as in struct bnnep_backend. */
struct cpu_engine {
    uint64_t (*workspace_bytes)(const struct bnnep_model *model, size_t max_batch, unsigned threads);
    bnnep_status (*workspace_create)(const struct cpu_network *net, size_t max_batch, unsigned threads, void **out,
                                     char *why);
    void (*workspace_destroy)(void *workspace);
    void (*stage)(void *workspace, const float *x, const float *target, size_t count);
    bnnep_status (*relax)(void *workspace, const struct bnnep_phase_run *how, bnnep_relaxed *done);
    void (*put_state)(void *workspace, int32_t phase, size_t layer, const float *state);
    void (*get_state)(const void *workspace, int32_t phase, size_t layer, float *state);
    uint64_t (*optimizer_bytes)(const struct bnnep_model *model, size_t max_batch, int32_t tape);
    bnnep_status (*optimizer_create)(struct cpu_network *net, size_t max_batch, int32_t tape, void **out, char *why);
    void (*optimizer_destroy)(void *optimizer);
    void (*put_momentum)(void *optimizer, size_t k, const float *momentum);
    void (*get_momentum)(const void *optimizer, size_t k, float *momentum);
    void (*backpropagate)(void *optimizer, void *workspace, int32_t steps);
    void (*learn)(void *optimizer, void *workspace, const struct cpu_learning *learning);
    /* The momenta of a connection, up to date, to be changed. */
    float *(*momentum)(void *optimizer, size_t k);
};

/* real/engine.c, binary/engine.c */
extern const struct cpu_engine bnnep_real_engine, bnnep_binary_engine;

/* --- network.c: parameters ---------------------------------------------------------------------------------------- */

uint64_t bnnep_cpu_network_bytes(void *device, const struct bnnep_model *model);
bnnep_status bnnep_cpu_network_create(void *device, const struct bnnep_model *model, void **out, char *why);
bnnep_status bnnep_cpu_put(void *network, size_t k, const struct bnnep_parameters *from, char *why);
bnnep_status bnnep_cpu_get(const void *network, size_t k, const struct bnnep_parameters_out *to, char *why);
/* Values of all weights in canonical order, in the order of ours, and back. */
void bnnep_cpu_order_columns(const struct cpu_connection *c, const float *canonical, float *ours);
void bnnep_cpu_canonical_columns(const struct cpu_connection *c, const float *ours, float *canonical);
bnnep_status bnnep_cpu_no_memory(char *why);
/* 64 words of 64 bits as a matrix, transposed in place: bit j of word i becomes bit i of word j. */
void bnnep_cpu_transpose(uint64_t *words);

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

/* Where the canonical column [channel][position] stands. */
static inline size_t bnnep_cpu_column(const struct cpu_connection *c, size_t canonical) {
    return canonical % c->positions * c->channels + canonical / c->positions;
}

/* And back. */
static inline size_t bnnep_cpu_canonical(const struct cpu_connection *c, size_t column) {
    return column % c->channels * c->positions + column / c->channels;
}

static inline bool bnnep_cpu_binary(const struct bnnep_model *model) {
    return model->dynamics == BNNEP_DYNAMICS_BINARY;
}

/* --- update.c: the learning rule ---------------------------------------------------------------------------------- */

/* Some weights of a row, from inner column `first` of a part on, a multiple of 64. */
struct cpu_weights {
    size_t row, part, first, count;
};

/* A task of an update takes rows that share a word of `down`, and all columns or as many as the second-level cache
 * holds contrasts of. */
#define TASK_ROWS ((size_t)64)
#define TASK_COLUMNS ((size_t)512)

static inline size_t bnnep_cpu_most_tasks(const struct cpu_connection *c) {
    return (c->rows + TASK_ROWS - 1) / TASK_ROWS * ((c->columns + TASK_COLUMNS - 1) / TASK_COLUMNS);
}

/* Momenta and flips of some weights by their contrasts G, or these are kept; `momentum` is that of the connection. */
void bnnep_cpu_learn_weights(const struct cpu_network *net, const struct cpu_learning *learning, size_t k,
                             const struct cpu_weights *which, const float *G, float *momentum, struct cpu_tally *tally);
/* The same of bias j, and of scaling factor i. */
void bnnep_cpu_learn_bias(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t j,
                          float G, struct cpu_tally *tally);
void bnnep_cpu_learn_scale(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t i,
                           float G);
/* What a task did; and after so many of them, what all did, if that is not for a contrast alone. */
void bnnep_cpu_tell(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t task,
                    const struct cpu_tally *tally);
void bnnep_cpu_add_up(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t tasks);
/* Updates connection k by a contrast that was kept. */
void bnnep_cpu_update(const struct cpu_network *net, const struct bnnep_learning *how, size_t k,
                      const struct cpu_contrast *kept, float *momentum);

#endif
