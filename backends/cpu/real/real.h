/* SPDX-License-Identifier: MIT */
/*
 * Networks of real activations on the cpu backend.
 *
 * Samples are grouped in tiles of LANES. Everything that belongs to a layer is kept [tile][unit][lane], lanes
 * innermost, so that every loop over lanes is a vector and a table of signed sums serves LANES samples at once. The
 * units of a map are in the order [row][column][channel]. A thread takes one tile through a whole phase without meeting
 * the others. Lanes do not mix: what becomes of a sample depends neither on its neighbours nor on the number of
 * threads.
 *
 * From top to bottom: relax.c takes samples through a phase, on lanes (lanes.c), step by step; a step adds up what
 * layers receive by connection.c, or by delta.c from changes; both over connected.c or convolution.c; these call
 * kernels.
 */
#ifndef BNNEP_REAL_H
#define BNNEP_REAL_H

#include "backends/cpu/cpu.h"

/* What the units of a tile receive in a step; arrays of all layers, [units][LANES]. */
struct real_step {
    float *forward, *feedback; /* fwd_{k-1}; fb_k but for bnnep_real_feedback_scale */
    int32_t *argmax;           /* convolutional networks */
};

/* Work space for convolutions. */
struct real_windows {
    void *sums;      /* [a row of pooling windows][channel][LANES]: numbers of the arithmetic, then floats */
    float *unpooled; /* [place in a pooling window][64 channels][LANES] */
    float *share;    /* [channels]: of the largest alpha */
};

/* What some units send in a step: digits of their changes, the first of each change first. */
#define MOST_DIGITS ((size_t)3)
struct real_message {
    size_t digits;                  /* of each change: 0 if nothing changed */
    float step[MOST_DIGITS][LANES]; /* what 1 stands for in digit n of each sample */
    int32_t *digit[MOST_DIGITS];    /* [unit][LANES / 2] */
};

/* Delta coding (delta.c): what the units of a tile have sent each other, and the sums that follow from it. Arrays of
 * all layers, [units][LANES]. */
struct real_delta {
    float *sent;                /* states */
    float *forward, *feedback;  /* B_{k-1} and B_k^T times what was sent */
    int32_t *sums;              /* of digits */
    struct real_message *layer; /* [layer index] */
};

/* What the gradient of a convolution's channel is gathered from: factors, and where each looks in the maps. At most
 * MOST_VIEWS for each unit of a tile. */
#define MOST_VIEWS ((size_t)3)
struct real_views {
    size_t count;
    float *factor;
    uint32_t *from;
};

/* Work space for learning (learn.h tells the sizes). */
struct real_gradient {
    float *above;            /* [TASK_ROWS][LEARN_SAMPLES] */
    float *below;            /* [LEARN_SAMPLES][64] */
    float *contrast;         /* [TASK_ROWS][TASK_COLUMNS] */
    float *loss;             /* [units of all layers][LANES], in back-propagation */
    struct real_views views; /* [MOST_VIEWS][LANES][windows] */
};

/* What one thread needs for itself. */
struct real_scratch {
    void *tables;        /* TABLE_BYTES */
    size_t bytes;        /* of a table's entry in use: fewer where lanes have settled */
    float change[LANES]; /* largest change of each sample's states in this step, as far as this thread saw */
    float left[LANES];   /* largest part of a change that was not sent in this step, the same way */
    struct real_step step;
    struct real_windows windows;
    struct real_gradient gradient;
    struct real_delta delta;
};

/* Two samples that have changed places. */
struct real_exchange {
    size_t sample, with;
};

/* What learning keeps of a batch, all samples and threads together. */
struct real_contrast {
    float *change;       /* [tile][units][LANES]: of states, from the first to the second phase */
    double *dot[2];      /* of both, [scaling factor][sample]: a_{k+1} . fwd_k(a_k) */
    float *below;        /* [LEARN_TERMS][sample][bnnep_real_sample_stride]: the layer below a connected one */
    uint64_t *nonzero;   /* [LEARN_TERMS][LEARN_SAMPLES each][64 columns each]: samples that are not zero there */
    float *maps;         /* [tile][MAPS][LANES][padded map]: the layer below, for the gradient of a convolution */
    float *gradient;     /* [rows][kernel][bnnep_real_kernel_row] of a convolution */
    double *total[2];    /* of both phases, [units of all layers]: activations, added up over the batch */
    double *input_total; /* [in]: the same of the inputs */
};

struct real_workspace {
    const struct cpu_network *network;
    struct pool *pool;
    unsigned threads;
    size_t count, tiles;             /* samples staged, tiles of them */
    size_t units;                    /* of layers 1 ... L together */
    size_t *offset;                  /* [layer index]: units of the layers before */
    float *input;                    /* [tile][in][LANES] */
    float *target;                   /* [tile][out][LANES] */
    float *drive;                    /* [tile][units of layer 1][LANES]: fwd_0(x) */
    float *state[BNNEP_PHASES];      /* [tile][units][LANES] */
    int32_t *argmax[BNNEP_PHASES];   /* the same, of the last step; convolutional networks */
    struct real_exchange *exchanges; /* [tile][MOST_EXCHANGES] */
    struct real_contrast contrast;
    struct real_scratch *scratch; /* [threads] */
};

/* Part `index` of `count` equal ones, of the rows of a result; done one after the other or by several threads. */
struct real_part {
    size_t index, count;
};
#define WHOLE ((struct real_part){0, 1})

static inline size_t bnnep_real_first(struct real_part part, size_t rows) {
    return rows * part.index / part.count;
}

static inline size_t bnnep_real_beyond(struct real_part part, size_t rows) {
    return rows * (part.index + 1) / part.count;
}

static inline size_t bnnep_real_tiles(size_t samples) {
    return (samples + LANES - 1) / LANES;
}

/* Where layer index k (layer k+1) of a tile begins in an array [tile][units][LANES]. */
static inline size_t bnnep_real_at(const struct real_workspace *ws, size_t tile, size_t k) {
    return (tile * ws->units + ws->offset[k]) * LANES;
}

static inline float *bnnep_real_state(const struct real_workspace *ws, int32_t phase, size_t tile, size_t k) {
    return ws->state[phase] + bnnep_real_at(ws, tile, k);
}

/* --- workspace.c ------------------------------------------------------------------------------------------ */

uint64_t bnnep_real_workspace_bytes(const struct bnnep_model *model, size_t max_batch, unsigned threads);
bnnep_status bnnep_real_workspace_create(const struct cpu_network *net, size_t max_batch, unsigned threads, void **out,
                                         char *why);
void bnnep_real_put_state(void *workspace, int32_t phase, size_t layer, const float *state);
void bnnep_real_get_state(const void *workspace, int32_t phase, size_t layer, float *state);
void bnnep_real_stage(void *workspace, const float *x, const float *target, size_t count);

/* --- relax.c ------------------------------------------------------------------------------------------------------ */

bnnep_status bnnep_real_relax(void *workspace, const struct bnnep_phase_run *how, bnnep_relaxed *done);

#endif
