/* SPDX-License-Identifier: MIT */
/* What the files of lib/ share. */
#ifndef BNNEP_INTERNAL_H
#define BNNEP_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "backends/backend.h"

#if defined(__GNUC__)
#define BNNEP_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define BNNEP_PRINTF(string, first)
#endif

/* --- error.c: every failure ends in bnnep_fail, which returns its status ------------------------------------ */

bnnep_status bnnep_fail(bnnep_status status, const char *format, ...) BNNEP_PRINTF(2, 3);
bnnep_status bnnep_fail_memory(const char *what, uint64_t bytes);
#ifdef __clang_analyzer__ /* it reads one file at a time, and would take it that these may return BNNEP_OK */
#define bnnep_fail(status, ...) (bnnep_fail(status, __VA_ARGS__), (status))
#define bnnep_fail_memory(what, bytes) (bnnep_fail_memory(what, bytes), BNNEP_ERROR_MEMORY)
#endif
/* Copies the caller's sized struct over the defaults already in `to`. Refuses one whose unknown tail is not 0. */
bnnep_status bnnep_take_options(void *to, size_t known, const void *from, const char *name);
/* Copies a struct with results to the caller's, as much as fits there. */
bnnep_status bnnep_give_struct(void *to, const void *from, size_t known, const char *name);
/* malloc and calloc that fail cleanly on overflow. */
void *bnnep_array(uint64_t count, size_t size);

/* --- registry.c --------------------------------------------------------------------------------------------- */

struct bnnep_choice {
    const struct bnnep_backend *backend;
    char device[64]; /* what follows the colon */
};

/* Finds the backend for a resource string ("auto", "cpu:threads=4") and probes it. log may be NULL. */
bnnep_status bnnep_choose_backend(const char *resource, bnnep_log_fn log, void *log_user, struct bnnep_choice *choice);

/* --- random.c: draws by counter, the same on every machine --------------------------------------------------- */

enum bnnep_stream {
    BNNEP_DRAW_WEIGHT = 1,
    BNNEP_DRAW_BIAS,
    BNNEP_DRAW_ORDER,
    BNNEP_DRAW_SIGN,
    BNNEP_DRAW_SUBSET,
    BNNEP_DRAW_NOISE,
    BNNEP_DRAW_TRANSFORM
};

/* Four words of 32 bits for (seed, stream, substream, index). */
void bnnep_draw(uint64_t seed, enum bnnep_stream stream, uint32_t substream, uint64_t index, uint32_t words[4]);
/* 23 random bits i as a number in (-1, 1), symmetric about 0 and never 0: (2 i + 1) / 2^23 - 1. */
float bnnep_draw_symmetric(uint32_t word);
/* Two independent normal numbers, N(0, 1), from two words. */
void bnnep_draw_normal(const uint32_t words[2], float normal[2]);
/* A random order of 0 ... count-1 in `order`. */
void bnnep_draw_order(uint64_t seed, enum bnnep_stream stream, uint64_t round, uint64_t *order, uint64_t count);

/* --- handles --------------------------------------------------------------------------------------------------- */

struct bnnep_network {
    atomic_uint references; /* the caller's handle, workspaces and optimizers */
    const struct bnnep_backend *backend;
    void *device; /* the backend's network */
    struct bnnep_model model;
    struct bnnep_link *links;
    bnnep_network_options options; /* connections, backend: not kept */
    size_t inputs, outputs;
    uint64_t revision;          /* counts the changes of parameters */
    bnnep_workspace *workspace; /* the network's own; not counted in references */
};

struct bnnep_workspace {
    bnnep_network *network;
    bool owns_reference; /* false: the network's own workspace */
    void *device;        /* the backend's workspace */
    size_t max_batch;
    size_t count;               /* samples staged, 0 before */
    uint64_t staging;           /* counts the batches staged */
    uint64_t revision;          /* of the network, when the batch was staged */
    bool targeted;              /* staged with targets */
    bool reached[BNNEP_PHASES]; /* which phases hold states of the staged samples */
    float *inputs;              /* [max_batch][inputs]: room for a batch from a data set */
    float *targets;             /* [max_batch][outputs] */
    float *outputs;             /* [max_batch][outputs]: states of the output layer */
    int32_t *labels;            /* [max_batch] */
    uint64_t *indices;          /* [max_batch] */
};

/* What a batch, or those of an epoch so far, add up to; bnnep_report has the means. */
struct bnnep_sums {
    uint64_t samples, batches, errors, errors_single;
    double loss, steps_free, steps_nudged, seconds;
    uint32_t steps_free_max, steps_nudged_max;
};

struct bnnep_optimizer {
    bnnep_network *network;
    void *device;                                   /* the backend's optimizer */
    bnnep_optimizer_options options;                /* the four arrays: those below */
    double *gamma, *threshold, *lr_bias, *lr_alpha; /* one allocation; lr_alpha NULL if not learnt */
    double *first_lr_alpha;                         /* those it was made with; NULL likewise */
    struct bnnep_rule *rules;                       /* [connections] */
    int32_t tape;                                   /* steps that BPTT remembers; 0: equilibrium propagation */
    const bnnep_workspace *taped;                   /* whose batch was back-propagated, and which one */
    uint64_t taped_staging;
    uint64_t *flips; /* [connections], of the last batch */
    /* the epoch under way: its size, and the sums so far (epoch.batches is 0 before its first batch) */
    uint64_t epoch_count;
    size_t epoch_batch_size;
    struct bnnep_sums epoch;
    uint64_t *epoch_flips;    /* [connections] */
    uint64_t batches, epochs; /* done */
};

/* network.c */
/* Checks a description without making the network; the shapes of its connections are a new array. */
bnnep_status bnnep_network_links(const bnnep_network_options *options, struct bnnep_link **links);
/* bnnep_network_create; without initial values if they are to be put at once. */
bnnep_status bnnep_network_make(const bnnep_network_options *options, bool drawn, bnnep_network **out);
/* The workspace to use: the caller's, or the network's own. Checks that it belongs to the network. */
bnnep_status bnnep_pick_workspace(const bnnep_network *network, bnnep_workspace *given, bnnep_workspace **out);

/* lifetime.c */
void bnnep_network_retain(bnnep_network *network);

/* parameters.c: messages begin with `what` */
bnnep_status bnnep_check_finite(const char *what, const float *values, size_t count);
/* Are the bits beyond the last column 0? */
bnnep_status bnnep_check_bits(const char *what, const uint8_t *bits, const struct bnnep_link *link);

/* workspace.c */
bnnep_status bnnep_workspace_make(bnnep_network *network, size_t max_batch, int32_t threads, bool owns_reference,
                                  bnnep_workspace **out);
/* bnnep_stage of inputs and targets that were checked. */
bnnep_status bnnep_stage_checked(bnnep_workspace *ws, const float *inputs, const float *targets, size_t count);
uint64_t bnnep_workspace_host_bytes(const bnnep_network_options *options, uint64_t inputs, uint64_t outputs);

/* A phase that a progress callback may cancel. */
struct bnnep_watch {
    bnnep_progress_fn progress;
    void *user;
    bnnep_progress event;
};
bnnep_status bnnep_relax_watched(bnnep_workspace *ws, enum bnnep_phase from, enum bnnep_phase to, int32_t steps,
                                 float beta, struct bnnep_watch *watch, bnnep_relaxed *done);

/* readout.c: scores, classes, loss */
void bnnep_one_hot(const bnnep_network *network, const int32_t *labels, size_t count, float *targets);
/* Scores [classes] of one sample's outputs, and the class with the largest. */
int32_t bnnep_read_scores(const bnnep_network *network, const float *outputs, int32_t readout, float *scores);
/* Adds loss, errors and samples of free outputs to the sums. */
void bnnep_score_batch(const bnnep_network *network, const float *outputs, const int32_t *labels, size_t count,
                       struct bnnep_sums *sums);
/* Finite, within +-most. Messages name sample n as places[n], or first + n if places is NULL. */
bnnep_status bnnep_check_inputs(const float *inputs, size_t count, size_t values, float most, uint64_t first,
                                const uint64_t *places);
bnnep_status bnnep_check_labels(const int32_t *labels, size_t count, int32_t classes, uint64_t first,
                                const uint64_t *places);
/* Takes size, flips and flips_count of the caller's report (or NULL) and clears the rest. */
bnnep_status bnnep_open_report(const bnnep_network *network, const bnnep_report *theirs, bool learns,
                               bnnep_report *report);
/* The report of some sums: means, and the time since `started`. Its flips stay as they are. */
void bnnep_fill_report(bnnep_report *report, const struct bnnep_sums *sums, double started);
double bnnep_now(void);

/* dataset.c */
struct bnnep_source; /* where the values lie; shared by subsets */
struct bnnep_dataset {
    struct bnnep_source *source;
    uint64_t first, count;
    uint64_t *order; /* [count] places in the source, or NULL for first ... first+count-1 */
    bool flip;
    int32_t crop;
    float *mean; /* [2][channels]: mean and deviation, or NULL */
};

/* What the random part of a transform is drawn by. */
struct bnnep_lot {
    uint64_t seed, epoch;
};

/* Reads the inputs at places indices[] of the data set. */
/* lot NULL: without the random part of a transform. */
bnnep_status bnnep_dataset_gather(const bnnep_dataset *dataset, const uint64_t *indices, size_t count,
                                  const struct bnnep_lot *lot, float *inputs, int32_t *labels);
bnnep_status bnnep_dataset_matches(const bnnep_dataset *dataset, const bnnep_network *network);
/* A data set that takes over the two arrays. Checks labels against classes if those are not 0. */
bnnep_status bnnep_dataset_adopt(const bnnep_dataset_options *options, void *inputs, int32_t *labels, uint64_t count,
                                 bnnep_dataset **out);

#endif
