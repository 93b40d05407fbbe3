/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend: weights kept as bits, products by OpenBLAS on small tiles of them, threads over samples.
 *
 * Samples are grouped in tiles of LANES. Everything that belongs to a layer is kept [tile][unit][lane], lanes
 * innermost, so that a tile of samples is a matrix [unit][LANES] and every loop over lanes is a vector. A thread
 * takes one tile through a whole phase without meeting the others. The tiles and the shapes of all products
 * depend on the network alone, never on the number of threads or on which samples have settled, and neither,
 * therefore, do the bits of the results.
 */
#ifndef BNNEP_CPU_H
#define BNNEP_CPU_H

#include <stdatomic.h>

#include "backends/backend.h"
#include "backends/cpu/kernels/kernels.h"

#define LANES ((size_t)16)

/* Weights in a tile. TILE * LANES = 2^18 multiply-adds is the most that OpenBLAS does in the calling thread
 * whatever its own thread count is set to (interface/gemm.c): our threads never meet its thread pool, and its
 * setting can neither change our bits nor needs changing. */
#define TILE ((size_t)16384)
#define TILE_ROWS ((size_t)128)

/* --- pool.c: threads that belong to one workspace ---------------------------------------------------------- */

struct pool;
typedef void (*pool_task)(void *arg, size_t task, unsigned worker);

/* Threads start with the first run that needs them; NULL if out of memory. */
struct pool *bnnep_pool_create(unsigned threads);
void bnnep_pool_destroy(struct pool *pool);
/* Does tasks 0 ... tasks-1 and returns when all are done. The caller is worker 0. Works in a forked child. */
void bnnep_pool_run(struct pool *pool, size_t tasks, pool_task task, void *arg);

/* --- network.c -------------------------------------------------------------------------------------------- */

/* Bits of a panel where activations are binary: a vector of weights that share a row (up) or a column (down). */
#define PANEL ((size_t)256)
#define PANEL_WORDS (PANEL / 64)

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
    uint8_t *bits;  /* [rows][stride]: as the canonical form, rows padded to words of 64 bits */
    size_t stride;
    size_t tile_rows, tile_columns; /* at most TILE weights */
    float *alpha, *bias;
};

struct cpu_network {
    const struct bnnep_model *model;
    const struct cpu_kernels *kernels;
    unsigned threads;
    struct cpu_connection *connection;
};

/* Back-propagation through time. Arrays as the states of a workspace, one for each step. */
struct cpu_tape {
    int32_t room, steps;
    float **state;    /* [step]: states before it */
    float **pre;      /* [step]: pre-activations; the states after the step are their clamp */
    float **delta;    /* [step]: dLoss/dpre, summed over the batch */
    uint16_t **place; /* [step]: argmax; convolutional networks */
};

/* Back-propagation through time. Arrays as the states of a workspace, one for each step. */
struct real_tape {
    int32_t room, steps;
    float **state;   /* [step]: states before it */
    float **pre;     /* [step]: pre-activations; the states after the step are their clamp */
    float **delta;   /* [step]: dLoss/dpre, summed over the batch */
    int32_t **place; /* [step]: argmax; convolutional networks */
};

struct cpu_learner {
    struct cpu_network *network;
    float **momentum; /* [connection][rows][columns] */
    struct cpu_tape tape;
    struct real_tape real_tape;
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

/* Zeroed memory on a cache line; NULL if out of memory. */
void *bnnep_cpu_alloc(size_t count, size_t size);
/* Copies bits [row, row+rows) x [column, column+columns) to signs +1/-1 in tile [rows][ld], ld a multiple of 8;
 * column is a multiple of 8. Up to 7 elements beyond the last column are written. */
void bnnep_cpu_unpack(const struct cpu_connection *connection, size_t row, size_t rows, size_t column, size_t columns,
                      float *tile, size_t ld);
unsigned bnnep_cpu_threads(const char *device, char *why);

/* --- workspace.c ------------------------------------------------------------------------------------------ */

/* What one thread needs for itself. */
struct cpu_scratch {
    double *tile;              /* [TILE]: signs of a tile of weights, or a contrast in double */
    double *sum;               /* [TILE_ROWS][LANES] */
    float *forward, *feedback; /* [units of all layers][LANES]: fwd_{k-1} and fb_k of this step */
    float *active;             /* the same: activations of binary networks, gradients in back-propagation */
    uint16_t *pooled;          /* the same: argmax of this step; convolutional networks */
    float *contrast;           /* [TILE, or the columns of a convolution if those are more] */
    float *above, *below;      /* [rows or columns of a tile of weights][LANES]: activations of binary networks */
    /* convolutional networks */
    float *patch;   /* [columns][LANES] */
    float *channel; /* [rows][LANES] */
    double *map;    /* a padded map */
    double *signs;  /* [columns] */
};

struct cpu_workspace {
    const struct cpu_network *network;
    struct pool *pool;
    unsigned threads;
    size_t count, tiles;          /* samples staged, tiles of them */
    size_t units;                 /* of layers 1 ... L together */
    size_t *offset;               /* [layer index]: units of the layers before */
    float *x;                     /* [sample][in] */
    float *input;                 /* [tile][in][LANES] */
    float *target;                /* [tile][out][LANES] */
    float *drive;                 /* [tile][units of layer 1][LANES]: fwd_0(x) */
    float *state[BNNEP_SLOTS];    /* [tile][units][LANES] */
    float *delta;                 /* [tile][units][LANES]: change of activation from the free to the nudged phase */
    double *dot[BNNEP_SLOTS];     /* [scaling factor][sample]: a_{k+1} . fwd_k(a_k) */
    uint16_t *place[BNNEP_SLOTS]; /* [tile][units][LANES]: argmax of the last step; convolutional networks */
    double *maps;                 /* [sample][padded map]: the layer below, for the gradient of a convolution */
    double *gradient;             /* [rows][kernel row][kernel column][channel] */
    struct cpu_scratch *scratch;  /* [threads] */
};

static inline bool bnnep_cpu_binary(const struct bnnep_model *model) {
    return model->dynamics == BNNEP_BINARY_ACTIVATIONS;
}

static inline bool bnnep_cpu_is_convolution(const struct bnnep_link *link) {
    return link->kind == BNNEP_CONVOLUTION;
}

/* Where layer index k (layer k+1) of a tile begins in an array [tile][units][LANES]. */
static inline size_t bnnep_cpu_at(const struct cpu_workspace *ws, size_t tile, size_t k) {
    return (tile * ws->units + ws->offset[k]) * LANES;
}

static inline float *bnnep_cpu_state(const struct cpu_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k) {
    return ws->state[slot] + bnnep_cpu_at(ws, tile, k);
}

/* Units of all layers but the input; samples rounded up to whole tiles. */
size_t bnnep_cpu_units(const struct bnnep_model *model);
size_t bnnep_cpu_lanes(size_t samples);
uint64_t bnnep_cpu_workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch);
bnnep_status bnnep_cpu_workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why);
void bnnep_cpu_workspace_destroy(void *workspace);
bnnep_status bnnep_cpu_stage(void *workspace, const float *x, const float *target, size_t count, char *why);
bnnep_status bnnep_cpu_put_state(void *workspace, enum bnnep_slot slot, size_t layer, const float *state, char *why);
bnnep_status bnnep_cpu_get_state(const void *workspace, enum bnnep_slot slot, size_t layer, float *state, char *why);

/* --- product.c -------------------------------------------------------------------------------------------- */

/* forward [rows][LANES] = B below, below [columns][LANES]; feedback [columns][LANES] = B^T above, above
 * [rows][LANES]. Either output may be NULL; each tile of bits is unpacked once for both. tile: TILE floats. */
void bnnep_cpu_products(const struct bnnep_link *link, const struct cpu_connection *connection, const float *below,
                        const float *above, float *forward, float *feedback, float *tile);
/* forward = B below with sums in double, rounded once; tile: TILE doubles, sum: TILE_ROWS * LANES doubles. */
void bnnep_cpu_product_exact(const struct bnnep_link *link, const struct cpu_connection *connection, const float *below,
                             float *forward, double *tile, double *sum);
/* G [rows][ld] += above below^T for one tile of samples: above [rows][LANES], below [columns][LANES]. */
void bnnep_cpu_outer(size_t rows, size_t columns, const float *above, const float *below, float *G, size_t ld);

/* --- convolution.c: maps are [channel][row][column][LANES], places [unit][LANES] -------------------------------- */

/* Elements of the map below a convolution with its padding. */
size_t bnnep_cpu_padded(const struct bnnep_link *link);
/* fwd_k: below [in][LANES] -> value [out][LANES] and its argmax. exact: sums in double, rounded once. */
void bnnep_cpu_convolve(const struct bnnep_link *link, const struct cpu_connection *connection, const float *below,
                        bool exact, float *value, uint16_t *place, struct cpu_scratch *scratch);
/* The same without bias, read at the given places: the adjoint of the feedback. */
void bnnep_cpu_convolve_at(const struct bnnep_link *link, const struct cpu_connection *connection, const float *below,
                           const uint16_t *place, float *value, struct cpu_scratch *scratch);
/* fb_k: above [out][LANES] -> value [in][LANES], from the given places; only lanes that are moving (NULL: all). */
void bnnep_cpu_feed_back(const struct bnnep_link *link, const struct cpu_connection *connection, const float *above,
                         const uint16_t *place, const float *moving, float *value, struct cpu_scratch *scratch);
/* Activations of one lane of a map, with its padding and channels innermost. */
void bnnep_cpu_pad(const struct bnnep_link *link, const float *below, size_t lane, bool binary, float theta,
                   double *map);
/* G [kernel row][kernel column][channel] += weight * sum over the windows of channel o of above * patch. */
void bnnep_cpu_gather(const struct bnnep_link *link, size_t o, double weight, const float *above, const uint16_t *place,
                      size_t lane, bool binary, float theta, const double *map, double *G);

/* --- relax.c, tape.c, learn.c ----------------------------------------------------------------------------- */

/* fwd_k of a tile, bias included; in a convolution with the argmax in place. */
void bnnep_cpu_forward(const struct cpu_workspace *ws, size_t k, const float *below, float *value, uint16_t *place,
                       struct cpu_scratch *scratch);
/* From the states of a tile: all fwd_k and fb_k, and the argmax, into the scratch. */
void bnnep_cpu_sums(const struct cpu_workspace *ws, enum bnnep_slot slot, size_t tile, const float *moving,
                    struct cpu_scratch *scratch);
/* Activations of layer index k of a tile: its states, or in a binary network a copy made in `to`. */
const float *bnnep_cpu_activations(const struct cpu_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                                   float *to);
bnnep_status bnnep_cpu_relax(void *workspace, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why);

bnnep_status bnnep_cpu_tape_make(struct cpu_tape *tape, const struct bnnep_model *model, size_t max_batch,
                                 int32_t steps);
void bnnep_cpu_tape_free(struct cpu_tape *tape);
uint64_t bnnep_cpu_tape_bytes(const struct bnnep_model *model, size_t max_batch, int32_t steps);
bnnep_status bnnep_cpu_backpropagate(void *learner, void *workspace, int32_t steps, char *why);

bnnep_status bnnep_cpu_learn(void *learner, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                             uint64_t *flips, char *why);

#endif
