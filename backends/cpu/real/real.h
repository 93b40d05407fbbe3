/* SPDX-License-Identifier: MIT */
/*
 * Networks of real activations on the cpu backend.
 *
 * Samples are grouped in tiles of LANES. Everything that belongs to a layer is kept [tile][unit][lane], lanes
 * innermost, so that every loop over lanes is a vector and a table of signed sums serves LANES samples at once. The
 * units of a map are in the order [row][column][channel]. A thread takes one tile through a whole phase without meeting
 * the others. Lanes do not mix: what becomes of a sample depends neither on its neighbours nor on the number of
 * threads.
 */
#ifndef BNNEP_REAL_H
#define BNNEP_REAL_H

#include "backends/cpu/cpu.h"

/* Rows of weights that one task of learning takes: those that share a word of `down`. */
#define LEARN_ROWS ((size_t)64)
/* Samples whose contrast is added up at a time: the bits of a word. */
#define LEARN_TILES ((size_t)4)
#define LEARN_SAMPLES (LEARN_TILES * LANES)
/* Columns whose contrast is worked out at a time, as much as the second-level cache holds. */
#define LEARN_COLUMNS ((size_t)512)
/* Terms of the contrast: products that are summed up. */
#define LEARN_TERMS ((size_t)2)

/* What the gradient of a convolution's channel is gathered from: factors, and where each looks in the maps. At most
 * MOST_VIEWS for each unit of a tile. */
#define MOST_VIEWS ((size_t)3)
struct real_views {
    size_t count;
    float *factor;
    uint32_t *from;
};

/* Maps that a sample is looked at in, at most. */
#define MAPS ((size_t)2)

/* What some units tell in a step: digits of their changes, the first of each change first. See told.c. */
#define MOST_DIGITS ((size_t)3)
struct real_telling {
    size_t digits;                  /* of each change: 0 if nothing changed */
    float step[MOST_DIGITS][LANES]; /* what 1 stands for in digit n of each sample */
    int32_t *digit[MOST_DIGITS];    /* [unit][LANES / 2] */
};

/* What the units of a tile have told each other, and the sums that follow from it. Arrays of all layers, [unit][LANES],
 * or of all connections, [unpooled unit][LANES]. NULL where nothing is told. */
struct real_told {
    float *state;   /* [units]: what a layer told its neighbours */
    float *spread;  /* [unpooled units]: what a convolution fed back, [window][64 channels][place][channel] */
    float *forward; /* [unpooled units]: B_k times what was told, before pooling */
    float *back;    /* [units]: B_k^T times what was told, of layer k */
    int32_t *digits;
    struct real_telling *layer, *map; /* [connection]: what the layer above tells; what its convolution feeds back */
};

/* What one thread needs for itself. */
struct real_scratch {
    void *tables;              /* TABLE_BYTES */
    size_t bytes;              /* of a table's entry in use: fewer where lanes have settled */
    int32_t *whole;            /* [64 inputs][LANES]: in steps of the grid, if there is one */
    float change[LANES];       /* largest change of each sample's states in this step, as far as this thread saw */
    float left[LANES];         /* largest part of a change that was not told in this step, the same way */
    float *forward, *feedback; /* [units of all layers][LANES]: fwd_{k-1}, fb_k / alpha_k of this step */
    float *gradient;           /* the same: of the loss, in back-propagation */
    float *above;              /* [LEARN_ROWS][LEARN_SAMPLES] */
    float *below;              /* [LEARN_SAMPLES][64] */
    float *contrast;           /* [LEARN_ROWS][LEARN_COLUMNS] */
    /* convolutional networks */
    int32_t *pooled;         /* [units of all layers][LANES]: argmax of this step */
    float *sums;             /* [a row of pooling windows][channel][LANES] */
    float *unpooled;         /* [place in a pooling window][64 channels][LANES] */
    float *share;            /* [channels]: of the largest alpha */
    struct real_views views; /* [MOST_VIEWS][LANES][windows] */
    struct real_told told;
};

/* Two samples that have changed places. */
struct real_exchange {
    size_t sample, with;
};

struct real_workspace {
    const struct cpu_network *network;
    struct pool *pool;
    unsigned threads;
    size_t count, tiles;            /* samples staged, tiles of them */
    size_t units;                   /* of layers 1 ... L together */
    size_t unpooled;                /* units of layers 2 ... L together, before pooling */
    size_t *offset;                 /* [layer index]: units of the layers before */
    size_t *spread;                 /* [layer index]: unpooled units of the layers before, but for the first */
    float *input;                   /* [tile][in][LANES] */
    float *target;                  /* [tile][out][LANES] */
    float *drive;                   /* [tile][units of layer 1][LANES]: fwd_0(x) */
    float *state[BNNEP_SLOTS];      /* [tile][units][LANES] */
    float *delta;                   /* [tile][units][LANES]: change of state from the free to the nudged phase */
    double *dot[BNNEP_SLOTS];       /* [scaling factor][sample]: a_{k+1} . fwd_k(a_k) */
    int32_t *place[BNNEP_SLOTS];    /* [tile][units][LANES]: argmax of the last step; convolutional networks */
    struct real_exchange *exchange; /* [tile][MOST_EXCHANGES] */
    float *below;    /* [LEARN_TERMS][sample][bnnep_real_sample_stride]: the layer below a fully connected one */
    uint64_t *lit;   /* [LEARN_TERMS][LEARN_SAMPLES each][64 columns each]: samples that are not black there */
    float *maps;     /* [tile][MAPS][LANES][padded map]: the layer below, for the gradient of a convolution */
    float *gradient; /* [rows][kernel][bnnep_real_kernel_row] of a convolution */
    struct real_scratch *scratch; /* [threads] */
};

/* The exchanges that a tile can take part in: each sample begins once, and half a tile is packed once. */
#define MOST_EXCHANGES (LANES + LANES / 2)

/* What lanes.c keeps of samples of a batch on their way through a phase. */
struct real_lanes {
    struct real_workspace *ws;
    enum bnnep_slot slot;
    size_t next, end;    /* samples that have not begun */
    size_t tile;         /* what is under way */
    size_t in_use;       /* lanes */
    bool half;           /* the lanes in use are in the first half */
    float moving[LANES]; /* 1: in use */
    int32_t steps[LANES];
    struct real_exchange *exchange; /* those that were made, [exchanges] */
    size_t exchanges;
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

/* Where layer index k (layer k+1) of a tile begins in an array [tile][units][LANES]. */
static inline size_t bnnep_real_at(const struct real_workspace *ws, size_t tile, size_t k) {
    return (tile * ws->units + ws->offset[k]) * LANES;
}

static inline float *bnnep_real_state(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k) {
    return ws->state[slot] + bnnep_real_at(ws, tile, k);
}

/* --- workspace.c ------------------------------------------------------------------------------------------ */

uint64_t bnnep_real_workspace_bytes(const struct bnnep_model *model, unsigned threads, size_t max_batch);
bnnep_status bnnep_real_workspace_create(const struct cpu_network *net, size_t max_batch, unsigned threads, void **out,
                                         char *why);
void bnnep_real_workspace_destroy(void *workspace);
bnnep_status bnnep_real_stage(void *workspace, const float *x, const float *target, size_t count, char *why);
bnnep_status bnnep_real_put_state(void *workspace, enum bnnep_slot slot, size_t layer, const float *state, char *why);
bnnep_status bnnep_real_get_state(const void *workspace, enum bnnep_slot slot, size_t layer, float *state, char *why);

/* --- signed sums: of floats, or on a grid of integers, which finish_sums makes floats ---------------------------- */

static inline bool bnnep_real_has_grid(const struct cpu_network *net) {
    return net->model->grid.steps != 0.0f;
}

/* What is summed up: activations, or if there are any, digits of their changes. */
struct real_operand {
    const float *x;        /* [unit][LANES] */
    const int32_t *digits; /* [unit][LANES / 2] */
};
static inline struct real_operand bnnep_real_values(const float *x) {
    return (struct real_operand){x, NULL};
}

/* Tables of up to 64 inputs from a unit on; returns how many groups, or 0 where all digits are 0. */
static inline size_t bnnep_real_tables(const struct cpu_network *net, const struct real_operand *in, size_t unit,
                                       size_t inputs, struct real_scratch *scratch) {
    if (in->digits)
        return net->kernels->digit_tables(in->digits + unit * (LANES / 2), inputs, scratch->tables);
    const float *x = in->x + unit * LANES;
    if (!bnnep_real_has_grid(net))
        return net->kernels->tables(x, inputs, scratch->bytes, scratch->tables);
    net->kernels->to_grid(x, inputs * LANES, net->model->grid.steps, scratch->whole);
    return net->kernels->tables_whole(scratch->whole, inputs, scratch->bytes, scratch->tables);
}

static inline void bnnep_real_add_signed(const struct cpu_network *net, const struct real_operand *in,
                                         const uint64_t *words, size_t rows, size_t groups,
                                         const struct real_scratch *scratch, float *sums) {
    if (in->digits)
        net->kernels->add_digits(words, rows, groups, scratch->tables, (int32_t *)(void *)sums);
    else if (bnnep_real_has_grid(net))
        net->kernels->add_signed_whole(words, 1, rows, groups, scratch->bytes, scratch->tables,
                                       (int32_t *)(void *)sums);
    else
        net->kernels->add_signed(words, 1, rows, groups, scratch->bytes, scratch->tables, sums);
}

/* Sums of activations become floats; those of digits stay integers. */
static inline void bnnep_real_finish_sums(const struct cpu_network *net, const struct real_operand *in, float *sums,
                                          size_t count) {
    if (!in->digits && bnnep_real_has_grid(net))
        net->kernels->from_grid(sums, count, net->model->grid.steps);
}

/* --- product.c: fully connected ----------------------------------------------------------------------------- */

/* A part of out [rows][LANES] = B_k below; of out [columns][LANES] = B_k^T above. */
void bnnep_real_up(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand below,
                   float *out, struct real_scratch *scratch);
void bnnep_real_down(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand above,
                     float *out, struct real_scratch *scratch);

/* --- convolution.c ------------------------------------------------------------------------------------------ */

/* Elements of the map below a convolution with its padding. */
size_t bnnep_real_padded(const struct bnnep_link *link);
/* Elements of scratch->sums that a convolution needs. */
size_t bnnep_real_sums(const struct bnnep_link *link);
/* fwd_k: below [in][LANES] -> value [out][LANES] and its argmax, in a part of the rows of the map. */
void bnnep_real_convolve(const struct cpu_network *net, size_t k, struct real_part part, const float *below,
                         float *value, int32_t *place, struct real_scratch *scratch);
/* The same without bias, read at the given places: the adjoint of the feedback. */
void bnnep_real_convolve_at(const struct cpu_network *net, size_t k, const float *below, const int32_t *place,
                            float *value, struct real_scratch *scratch);
/* fb_k, alpha included, or on a grid the channels' shares of the largest: above [out][LANES] -> value [in][LANES], from
 * the given places. A part of the channels of the map below. Digits above are unpooled already (struct real_told). */
void bnnep_real_convolve_back(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand above,
                              const int32_t *place, float *value, struct real_scratch *scratch);
/* The unpooled sums of all channels for one row of pooling windows into scratch->sums, [row in the
 * window][column][channel][LANES]; and what pooling makes of such sums, in the whole map. */
void bnnep_real_sum_windows(const struct cpu_network *net, size_t k, size_t window_row, struct real_operand below,
                            struct real_scratch *scratch);
void bnnep_real_pool_windows(const struct cpu_network *net, size_t k, size_t window_row, const float *sums,
                             float *value, int32_t *place);
/* One lane of a map, with its padding. */
void bnnep_real_pad(const struct bnnep_link *link, const float *below, size_t lane, float *map);
/* Columns of a kernel's row, [column][channel], rounded up to 64s. */
size_t bnnep_real_kernel_row(const struct bnnep_link *link);
/* Where the kernel of a unit looks at a padded map, given its window and its place in it. */
size_t bnnep_real_view(const struct bnnep_link *link, size_t window, int32_t place);
/* G [kernel row][bnnep_real_kernel_row] += sum over the views of factor * what the kernel sees from there. */
void bnnep_real_gather(const struct cpu_network *net, size_t k, const struct real_views *views, const float *maps,
                       float *G);

/* --- lanes.c ------------------------------------------------------------------------------------------------ */

/* Nothing is under way; the tile of the next sample is taken up where it lies. */
void bnnep_real_begin_tile(struct real_lanes *lanes);
/* Lanes not in use go to samples that have not begun. */
void bnnep_real_refill(struct real_lanes *lanes);
/* At most half of the lanes are in use, and none will be refilled. */
void bnnep_real_pack(struct real_lanes *lanes);
/* Every sample goes back to its place in the batch. */
void bnnep_real_go_home(struct real_lanes *lanes);

/* --- told.c ------------------------------------------------------------------------------------------------- */

/* The finest step, which what states of up to 2 tell is a multiple of. */
#define FINEST 0x1p-23f

/* Which samples tell their changes, and which of them down to the finest step. */
struct real_manner {
    const float *moving; /* [LANES]: 0 or 1 */
    bool fine[LANES];
};

/* Multiply-adds of one direction of a step; whether there are so many that a network relaxes by changes, which on a
 * grid it does not. */
size_t bnnep_real_products(const struct bnnep_model *model);
bool bnnep_real_tells(const struct bnnep_model *model);
/* Unpooled units of layers 2 ... L together, and where those of each begin. */
size_t bnnep_real_unpooled(const struct bnnep_model *model, size_t *at);
uint64_t bnnep_real_told_bytes(const struct bnnep_model *model);
bool bnnep_real_told_make(struct real_told *told, const struct bnnep_model *model);
void bnnep_real_told_free(struct real_told *told);
/* Nothing has been told yet, by any sample or by that of a lane. */
void bnnep_real_forget(const struct real_workspace *ws, struct real_told *told);
void bnnep_real_forget_lane(const struct real_workspace *ws, struct real_told *told, size_t lane);
/* Digits of what changed in layer k+1 of a tile, and in what convolution k feeds back from the places of this step. */
void bnnep_real_tell_layer(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                           const struct real_manner *manner, const struct real_scratch *to,
                           struct real_scratch *scratch);
void bnnep_real_tell_map(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                         const struct real_manner *manner, const struct real_scratch *to, struct real_scratch *scratch);
/* A part of fwd_k into to->forward, and of what is fed back into to->told.back, from what was told. */
void bnnep_real_listen_forward(const struct real_workspace *ws, size_t k, struct real_part part,
                               const struct real_scratch *to, struct real_scratch *scratch);
void bnnep_real_listen_back(const struct real_workspace *ws, size_t k, struct real_part part,
                            const struct real_scratch *to, struct real_scratch *scratch);
/* What to->told.back still has to be multiplied with. */
float bnnep_real_told_scale(const struct real_workspace *ws, size_t k);

/* --- sums.c, relax.c, tape.c, learn*.c -----------------------------------------------------------------------------
 */

/* A part of fwd_k of a tile, bias included; in a convolution with the argmax in place. */
void bnnep_real_forward(const struct real_workspace *ws, size_t k, struct real_part part, const float *below,
                        float *value, int32_t *place, struct real_scratch *scratch);
/* A part of fb_k, from the argmax of fwd_k. In that of a fully connected layer alpha is missing, in that of a
 * convolution on a grid the largest one. */
void bnnep_real_feedback(const struct real_workspace *ws, size_t k, struct real_part part, const float *above,
                         const int32_t *place, float *value, struct real_scratch *scratch);
/* The same from the states of a tile into the arrays of a scratch, which may be another thread's. */
void bnnep_real_forward_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                           struct real_part part, const struct real_scratch *to, struct real_scratch *scratch);
void bnnep_real_feedback_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                            struct real_part part, const struct real_scratch *to, struct real_scratch *scratch);
/* From the states of a tile: both of all connections but the first, and the argmax, into the scratch. */
void bnnep_real_sums_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile,
                        struct real_scratch *scratch);
/* What the feedback of connection k still has to be multiplied with. */
float bnnep_real_feedback_scale(const struct real_workspace *ws, size_t k);
bnnep_status bnnep_real_relax(void *workspace, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why);

bnnep_status bnnep_real_tape_make(struct real_tape *tape, const struct bnnep_model *model, size_t max_batch,
                                  int32_t steps);
void bnnep_real_tape_free(struct real_tape *tape);
uint64_t bnnep_real_tape_bytes(const struct bnnep_model *model, size_t max_batch, int32_t steps);
bnnep_status bnnep_real_backpropagate(void *learner, void *workspace, int32_t steps, char *why);

/* Floats that a sample of the layer below takes in ws->below. */
size_t bnnep_real_sample_stride(size_t columns);
bnnep_status bnnep_real_learn(void *learner, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                              uint64_t *flips, char *why);

#endif
