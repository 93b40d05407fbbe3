/* SPDX-License-Identifier: MIT */
/*
 * The cpu backend's engine for networks with binary activations.
 *
 * Sums of signs times activations are integers, kept between steps and phases. A step changes them only by the neurons
 * that switched on or off since the sums were last right: its events. Samples do not meet, so a thread takes some of
 * them through a whole phase. A sample's state and its sums lie together in a record, of which there is one for each
 * phase; the nudged phase starts with a copy of the free one's.
 *
 * Everything of a layer is in the order of the columns of the connection above it: [unit], or [pixel][channel].
 */
#ifndef BNNEP_BINARY_H
#define BNNEP_BINARY_H

#include "backends/cpu/cpu.h"

/* Samples that a thread takes through a phase together: a panel of weights serves all of them. Where the weights stay
 * in the second-level cache, their states had better stay in it too. */
#define CHUNK ((size_t)32)
#define SMALL_CHUNK ((size_t)4)
#define SMALL_WEIGHTS ((size_t)512 << 10) /* bytes */
/* Samples whose input drive is worked out side by side. */
#define DRIVE_LANES ((size_t)8)

/* Where the parts of a layer stand in a record, in bytes from its beginning. Sums are those of the connection that
 * leads to the layer; there are none for the first, whose drive is constant. */
struct binary_layer {
    size_t units;
    size_t offset;  /* units of the layers before, each padded to whole panels */
    size_t state;   /* float [units] */
    size_t seen;    /* bits [units]: the activations that all sums are right for */
    size_t forward; /* int32_t [units], or of a convolution before pooling [position][stride] */
    size_t back;    /* of the layer below: int32_t [units], or of a convolution, alphas included, double [units] */
    size_t fed;     /* bits [units]: the activations, and */
    size_t argmax;  /* uint16_t [units]: that of the last step, that `back` of a convolution is right for */
    size_t stride;
};

struct binary_layout {
    size_t units; /* of all layers, padded */
    size_t bytes; /* of a record */
};

/* The events of one layer, in ascending order. */
struct binary_events {
    uint32_t *up, *down;
    size_t ups, downs;
};

/* A unit above a convolution that came to a position of its output, or left it. */
struct binary_move {
    uint32_t channel, y, x;
    bool left;
    size_t cell; /* that it is sorted into */
};

/* Convolutions: events by the place they are at. */
struct binary_places {
    size_t *up_from, *down_from; /* [pixels + 1]: where a pixel's events begin among those of the layer below */
    struct binary_move *move;    /* [2 * units above] */
    size_t moves, factors;
    uint32_t *factor, *nth; /* [rows]: scaling factors that moves have; which of them one is */
    uint32_t *row;          /* [moves]: what stands for each in `up`, seen from pixel (0, 0), by cells, */
    uint32_t *from;         /* [factor][came, left][position]: where those of a cell begin */
    uint32_t *list;         /* what one position, or pixel, sees of the events */
    size_t *bounds;         /* [factor][came, left]: where they end in the list */
    uint16_t *argmax;       /* [units above]: of this step */
};

/* A sample on its way through a phase. Arrays of all layers are [layer offset + unit]. */
struct binary_passage {
    size_t sample;
    char *record;
    bool moving;  /* has not settled */
    int32_t step; /* t, of the phase */
    int32_t calm; /* steps in a row that changed nothing */
    float *forward, *pre;
    uint64_t *active; /* bits: H(s - theta) */
    struct binary_events *events;
    bool *stale;          /* [layer]: sums of all its units may have changed */
    bool *pulled, *still; /* [(layer offset + unit) / PANEL]: sums that changed; states that do not move any more */
};

/* What one thread needs for itself. */
struct binary_scratch {
    struct binary_passage passage[CHUNK], **together; /* [CHUNK * threads]: those of a chunk */
    /* drive */
    bool any_order;       /* sums of these inputs are exact in any order */
    double *lanes, *sums; /* [columns][DRIVE_LANES], [rows][DRIVE_LANES] */
    float *largest;       /* [rows][DRIVE_LANES]: of a pooling window so far, and */
    int32_t *argmax;      /* the same: its place */
    void *tables;
    struct binary_places places;
    /* one row of synapses */
    int32_t *counts;              /* [PANEL]: zeros between uses */
    float *contrast;              /* [columns, at least PANEL] */
    double *exact;                /* the same */
    uint64_t *active[2];          /* of both phases, [64 rows][word of samples]: where a row's unit is active */
    struct binary_events samples; /* those that count for a row */
};

/* Output channels of a convolution by their scaling factor: those that share one are counted together. */
struct binary_alphas {
    size_t count;
    float *alpha; /* [count] */
    uint32_t *of; /* [rows]: the index of a channel's */
};

struct binary_workspace {
    const struct cpu_network *network;
    struct pool *pool;
    unsigned threads;
    size_t max_batch, count;
    struct binary_layout layout;
    struct binary_layer *layer;
    struct binary_alphas *alphas;   /* [connection] */
    float *x;                       /* [sample][in] */
    float *target;                  /* [sample][outputs, padded] */
    float *drive;                   /* [sample][units of layer 1]: B x, or fwd_0(x) of a convolution */
    uint16_t *drive_argmax;         /* the same */
    uint64_t *packed;               /* [word of columns][rows]: signs of a first convolution */
    char *start;                    /* the record that every free phase starts from */
    char *record[BNNEP_PHASES];     /* [sample] */
    uint64_t *active[2];            /* [sample][layer offset + unit]: activations after both phases of a contrast */
    uint64_t *differs;              /* [panel of a layer][word of samples]: the phases differ there */
    uint64_t *maps;                 /* [phase][sample][pixel, padded][panel]: bits of the layer below a convolution */
    double *total[2];               /* [unit of the layer below]: how often it is active after both phases */
    double *input_total;            /* [in]: the batch's inputs, added up */
    double *dot;                    /* [scaling factor of all connections][sample]: its contrast */
    struct binary_scratch *scratch; /* [threads] */
};

static inline size_t bnnep_binary_padded(size_t units) {
    return (units + 63) / 64 * 64;
}

/* Part of a record. */
static inline void *bnnep_binary_part(const char *record, size_t offset) {
    return (char *)(uintptr_t)record + offset;
}

static inline char *bnnep_binary_record(const struct binary_workspace *ws, int32_t phase, size_t sample) {
    return ws->record[phase] + sample * ws->layout.bytes;
}

/* Place q of the window of pooled unit u. */
static inline struct bnnep_position bnnep_binary_position(const struct bnnep_link *link, size_t u, size_t q) {
    return bnnep_place_of(u, q, link->to.width, link->pool);
}

/* Positions of a convolution that some pooling window covers: a map of to.height * pool x to.width * pool. */
static inline size_t bnnep_binary_positions(const struct bnnep_link *link) {
    return link->to.height * link->to.width * link->pool * link->pool;
}

/* Decays of a connection's momenta that have not been done yet. */
struct binary_pending {
    uint8_t *decays; /* [row][part][panel] */
    bool known;      /* from the last update, which left no momentum beyond its threshold: */
    float decay, threshold;
    uint64_t changes;
};

struct binary_optimizer {
    struct cpu_network *network;
    float **momentum;               /* [connection][rows][columns] */
    struct binary_pending *pending; /* [connection] */
};

/* --- workspace.c -------------------------------------------------------------------------------------------------- */

uint64_t bnnep_binary_workspace_bytes(const struct bnnep_model *model, size_t max_batch, unsigned threads);
bnnep_status bnnep_binary_workspace_create(const struct cpu_network *net, size_t max_batch, unsigned threads,
                                           void **out, char *why);
void bnnep_binary_put_state(void *workspace, int32_t phase, size_t layer, const float *state);
void bnnep_binary_get_state(const void *workspace, int32_t phase, size_t layer, float *state);

/* --- drive.c ------------------------------------------------------------------------------------------------------ */

void bnnep_binary_stage(void *workspace, const float *x, const float *target, size_t count);

/* --- step.c ------------------------------------------------------------------------------------------------------- */

/* A part of the panels of some weights. */
struct binary_share {
    size_t index, count;
};

/* Makes a passage ready for the first step from its record. */
void bnnep_binary_begin(const struct binary_workspace *ws, struct binary_passage *p);
/* Brings the forward sums, and those of the feedback but of convolutions, of some passages up to date. */
void bnnep_binary_apply(const struct binary_workspace *ws, struct binary_passage *const *passage, size_t count,
                        struct binary_scratch *scratch);
/* The same of one direction of a fully connected connection, of a share of its outputs; when all are done, the events
 * of each passage are to be forgotten. */
void bnnep_binary_apply_connection(const struct binary_workspace *ws, size_t k, bool back, struct binary_share share,
                                   struct binary_passage *const *passage, size_t count);
void bnnep_binary_forget_events(const struct binary_workspace *ws, struct binary_passage *p);
/* Moves all layers once; the passage stops moving if no state changes by more than the tolerance. */
void bnnep_binary_move(const struct binary_workspace *ws, const struct bnnep_phase_run *how, struct binary_passage *p,
                       struct binary_scratch *scratch);

/* --- relax.c ------------------------------------------------------------------------------------------------------ */

bnnep_status bnnep_binary_relax(void *workspace, const struct bnnep_phase_run *how, bnnep_relaxed *done);

/* --- convolution.c ------------------------------------------------------------------------------------------------ */

void bnnep_binary_find_alphas(const struct bnnep_link *link, const struct cpu_connection *c,
                              struct binary_alphas *alphas);
/* Forward sums of connection k by the events of the layer below. */
void bnnep_binary_convolve(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                           struct binary_scratch *scratch);
/* Pools: fwd_k of a passage, and its argmax, from the sums. */
void bnnep_binary_pool(const struct binary_workspace *ws, size_t k, const struct binary_passage *p, float *value,
                       uint16_t *argmax);
/* Pools, and brings the feedback sums up to date with the activations and the argmax, which it keeps. */
void bnnep_binary_feed_back(const struct binary_workspace *ws, size_t k, struct binary_passage *p,
                            struct binary_scratch *scratch);

/* --- momenta.c ---------------------------------------------------------------------------------------------------- */

uint64_t bnnep_binary_optimizer_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape);
bnnep_status bnnep_binary_optimizer_create(struct cpu_network *net, size_t max_batch, int32_t tape, void **out,
                                           char *why);
void bnnep_binary_put_momentum(void *optimizer, size_t k, const float *momentum);
void bnnep_binary_get_momentum(const void *optimizer, size_t k, float *momentum);
/* The momenta of a connection, with no decay pending and nothing remembered, to be changed. */
float *bnnep_binary_momentum(void *optimizer, size_t k);
/* Can momenta without contrast go without their decay in an update by this rule? Afterwards it is remembered. */
bool bnnep_binary_may_wait(const struct binary_optimizer *optimizer, size_t k, const struct bnnep_rule *rule);
void bnnep_binary_remember(struct binary_optimizer *optimizer, size_t k, const struct bnnep_rule *rule);
/* Makes up for the pending decays of a panel of momenta; if they can wait longer, this update's joins them, and false.
 */
bool bnnep_binary_flush(const struct binary_optimizer *optimizer, size_t k, const struct cpu_weights *panel,
                        bool can_wait);

/* --- total.c ------------------------------------------------------------------------------------------------------ */

/* What the samples add up to below connection k, or are said to, into ws->total, or ws->input_total. */
void bnnep_binary_add_up(struct binary_workspace *ws, const struct bnnep_learning *how, size_t k);

/* --- learn.c ------------------------------------------------------------------------------------------------------ */

void bnnep_binary_learn(void *optimizer, void *workspace, const struct cpu_learning *learning);

#endif
