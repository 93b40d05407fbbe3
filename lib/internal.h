/* SPDX-License-Identifier: MIT */
/* What the files of lib/ share: errors, contexts and their memory, random draws, the handles. */
#ifndef BNNEP_INTERNAL_H
#define BNNEP_INTERNAL_H

#include <float.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <bnnep/backend.h>

/* A float must be a float on the way, too: an x87 unit keeps more digits, and results are others. (16 widens what is
 * shorter than float alone.) */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "libbnnep needs sums of floats that are rounded to float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
/* Files and packed bits are read as they lie in memory. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "libbnnep runs on little-endian machines alone"
#endif

#if defined(__GNUC__)
#define BNNEP_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define BNNEP_PRINTF(string, first)
#endif

/* --- error.c: every failure ends in bnnep_fail, which returns its status ------------------------------------ */

bnnep_status bnnep_fail(bnnep_status status, const char *format, ...) BNNEP_PRINTF(2, 3);
bnnep_status bnnep_fail_memory(const char *what, uint64_t bytes);
/* What a function of the network's backend returned, with its message. */
bnnep_status bnnep_backend_failed(const bnnep_network *network, bnnep_status status, const char *why);
#ifdef __clang_analyzer__ /* it reads one file at a time, and would take it that these may return BNNEP_OK */
#define bnnep_fail(status, ...) (bnnep_fail(status, __VA_ARGS__), (status))
#define bnnep_fail_memory(what, bytes) (bnnep_fail_memory(what, bytes), BNNEP_ERROR_MEMORY)
#endif

/* --- options.c: structures that cross the interface with their size ------------------------------------------ */

/* Copies the caller's structure to `to`, zeros where it is shorter, or NULL. Refuses one whose unknown tail is not 0.
 */
bnnep_status bnnep_take_options(void *to, size_t known, const void *from, const char *name);
/* Copies a struct with results to the caller's, as much as fits there. */
bnnep_status bnnep_give_struct(void *to, const void *from, size_t known, const char *name);

/* Writes `known` bytes of values to a structure of `size`, zeros beyond. */
bnnep_status bnnep_write_options(void *to, size_t size, const void *values, size_t known, const char *name);
/* A reserved field must be 0, so that a later version can give it a meaning. */
bnnep_status bnnep_check_reserved(int32_t reserved, const char *name);

/* bnnep_take_options(), with what 0 means instead of zeros. */
bnnep_status bnnep_take_context_options(bnnep_context_options *o, const bnnep_context_options *theirs);
bnnep_status bnnep_take_dataset_options(bnnep_dataset_options *o, const bnnep_dataset_options *theirs);
bnnep_status bnnep_take_network_options(bnnep_network_options *o, const bnnep_network_options *theirs);
bnnep_status bnnep_take_load_options(bnnep_load_options *o, const bnnep_load_options *theirs);
bnnep_status bnnep_take_optimizer_options(bnnep_optimizer_options *o, const bnnep_optimizer_options *theirs);
bnnep_status bnnep_take_contrast_options(bnnep_contrast_options *o, const bnnep_contrast_options *theirs);

/* --- claim.c: which calls are at work with a handle ----------------------------------------------------------- */

/* In each handle. */
struct bnnep_claim {
    atomic_int users;               /* calls that read it; -1: one that changes it */
    _Atomic(const char *) call;     /* the name of the last one */
    _Atomic(const void *) shown_to; /* the thread that may read it all the same, or NULL */
};

enum { BNNEP_MOST_CLAIMS = 3 };

/* A call at work: its name, and what it has claimed so far. */
struct bnnep_call {
    const char *name;
    struct bnnep_claim *held[BNNEP_MOST_CLAIMS];
    int count;
};

/* Claims a handle ("network") together with others that read it, or alone; refused while another call prevents it. */
bnnep_status bnnep_call_reads(struct bnnep_call *call, const struct bnnep_claim *claim, const char *handle);
bnnep_status bnnep_call_changes(struct bnnep_call *call, struct bnnep_claim *claim, const char *handle);
/* Could a call of this name change the optimizer and its network? For one that is made of calls that claim them. */
bnnep_status bnnep_check_idle(const char *name, bnnep_optimizer *opt);
/* Lets this thread, which is about to call back, read what the call has claimed alone; ends that. */
void bnnep_call_show(struct bnnep_call *call, bool shown);
/* Lets go of all that was claimed. Returns `status`. */
bnnep_status bnnep_call_end(struct bnnep_call *call, bnnep_status status);

/* --- context.c, memory.c -------------------------------------------------------------------------------------- */

struct bnnep_entry; /* a backend, registry.c */

struct bnnep_context {
    atomic_uint references; /* the caller's handle, and those made with it */
    struct bnnep_host host;
    uint64_t max_bytes; /* UINT64_MAX: no limit; here and below */
    uint64_t file_network, file_unpacked, file_header;
    int32_t file_steps;
    char *module_path;
    struct bnnep_registry *registry;
};

/* The context to make a handle in, with a reference for it: the caller's, or a new one for NULL. */
bnnep_status bnnep_context_use(bnnep_context *given, bnnep_context **used);
/* Zeroed memory, and NULL if there is none or `count` elements are more than there can be. */
void *bnnep_take(const bnnep_context *context, uint64_t count, size_t size);
/* Moves `old` bytes to a block of `bytes`, and frees the smaller one. NULL: nothing has changed. */
void *bnnep_take_more(const bnnep_context *context, void *block, uint64_t old, uint64_t bytes);
void bnnep_give_back(const bnnep_context *context, const void *memory);
/* Refuses more bytes than the context allows. */
bnnep_status bnnep_check_bytes(const bnnep_context *context, const char *what, uint64_t bytes);

/* --- registry.c ----------------------------------------------------------------------------------------------- */

/* A backend and one of its devices, open. */
struct bnnep_choice {
    const struct bnnep_backend *backend;
    void *device;
};

/* The backends of a context; `wanted` ("auto", "cpu", "cuda:1") must be there. */
bnnep_status bnnep_registry_create(bnnep_context *context, const char *wanted);
void bnnep_registry_destroy(bnnep_context *context);
/* The backend and device for a network. */
bnnep_status bnnep_choose_backend(bnnep_context *context, const struct bnnep_model *model, struct bnnep_choice *choice);

/* --- random.c: draws by counter, the same on every machine ---------------------------------------------------- */

enum bnnep_purpose {
    BNNEP_DRAW_WEIGHT = 1,
    BNNEP_DRAW_BIAS = 2,
    BNNEP_DRAW_ORDER = 3,
    BNNEP_DRAW_SIGN = 4,
    BNNEP_DRAW_TRANSFORM = 7
};

/* Four words of 32 bits for (seed, stream, substream, index). */
void bnnep_draw(uint64_t seed, enum bnnep_purpose stream, uint32_t substream, uint64_t index, uint32_t words[4]);
/* 23 random bits i as a number in (-1, 1), symmetric about 0 and never 0: (2 i + 1) / 2^23 - 1. */
float bnnep_draw_symmetric(uint32_t word);
/* A random order of 0 ... count-1 in `order`. */
void bnnep_draw_order(uint64_t seed, enum bnnep_purpose stream, uint64_t round, uint64_t *order, uint64_t count);

/* --- handles --------------------------------------------------------------------------------------------------- */

struct bnnep_network {
    atomic_uint references; /* the caller's handle, workspaces and optimizers */
    bnnep_context *context;
    const struct bnnep_backend *backend;
    void *place;  /* the backend's device */
    void *device; /* the backend's network */
    struct bnnep_model model;
    struct bnnep_shape *shape;
    bnnep_network_options options; /* as it was made; connections: not kept */
    int32_t free_steps;            /* as they are now */
    float settle_tolerance;
    size_t inputs, outputs;
    uint64_t revision;          /* counts the changes of parameters */
    bnnep_workspace *workspace; /* the network's own; not counted in references */
    struct bnnep_claim claim;
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
    float beta[BNNEP_PHASES];   /* that took them there */
    float *inputs;              /* [max_batch][inputs]: room for a batch from a data set */
    float *lone_input;          /* [inputs], of a batch of one sample */
    float *targets;             /* [max_batch][outputs] */
    float *outputs;             /* [max_batch][outputs]: states of the output layer */
    int32_t *labels;            /* [max_batch] */
    uint64_t *indices;          /* [max_batch] */
    struct bnnep_claim claim;
};

/* What a batch, or those of an epoch so far, add up to; bnnep_report has the means. */
struct bnnep_sums {
    uint64_t samples, batches, errors, errors_single;
    double loss, steps_free, steps_nudged, seconds;
    double seconds_stage, seconds_free, seconds_nudged, seconds_learn;
    int32_t steps_free_max, steps_nudged_max;
};

enum { BNNEP_RATES = BNNEP_RATE_BETA + 1 };

/* The rates of an optimizer by BNNEP_RATE_...: [connections], one for beta; NULL: scaling factors that are not learnt.
 */
struct bnnep_rates {
    double *of[BNNEP_RATES];
};

enum { BNNEP_CONTRAST_PARTS = BNNEP_CONTRAST_ALPHA + 1 };

struct bnnep_gain {
    double of[BNNEP_CONTRAST_PARTS];
};

/* Mean squares of a connection's contrasts, as they are learnt from: gains included; and the variance of a momentum
 * that noise drives, as a share of that of the contrast. */
enum { BNNEP_MOMENTUM_NOISE = BNNEP_CONTRAST_PARTS, BNNEP_SPREADS };
struct bnnep_spread {
    double of[BNNEP_SPREADS];
};

/* A layer's running means of activations; units 0: none are needed. */
struct bnnep_layer_mean {
    size_t units;
    float *mean, *next; /* [units]; next: with the sample under way */
    double *sums[2];    /* [units], after the first and second phase: see means.c */
};

/* What covariances of batches of one sample are taken about. */
struct bnnep_means {
    struct bnnep_layer_mean *layer; /* [connections + 1], the input first; NULL: no contrasts of covariances */
    float *values, *state[2];       /* all of them; room for a layer's activations after both phases */
    double *sums;
    const double **sums_of; /* [2][connections + 1]: of each layer */
    uint64_t samples;       /* that came alone */
    bool first;             /* the last contrast was that of the first: 0, but for rounding */
};

struct bnnep_optimizer {
    bnnep_network *network;
    void *device;                      /* the backend's optimizer */
    bnnep_optimizer_options options;   /* as it was made; the arrays: those of `made` */
    struct bnnep_rates made, rates;    /* as it was made, and as they are now */
    double *values;                    /* of both */
    struct bnnep_rule *rules;          /* [connections] */
    const struct bnnep_rule **rule_of; /* [connections]: the same */
    bool contrasted;                   /* a contrast is kept; its parts are to be multiplied by: */
    struct bnnep_gain *contrast_gain;  /* [connections]; or those of the last batch were */
    int32_t tape;                      /* steps that BPTT remembers; 0: equilibrium propagation */
    uint64_t *flips;                   /* [connections], of the last batch */
    struct bnnep_squares *squares;     /* [connections], the same, if it was asked for them: */
    bool asks, squared;                /* the next update is, by a report; the last one was */
    struct bnnep_spread *spread;       /* [connections]: running means */
    struct bnnep_spread *renewed;      /* [connections]: the same, which rules follow from */
    uint64_t updates, measured;        /* done; contrasts measured */
    uint64_t fallen_at, renewed_at;    /* the same, when rules were renewed */
    struct bnnep_means means;
    /* the epoch under way: its size, and the sums so far (epoch.batches is 0 before its first batch) */
    uint64_t epoch_count;
    size_t epoch_batch_size;
    struct bnnep_sums epoch;
    uint64_t *epoch_flips;    /* [connections] */
    uint64_t batches, epochs; /* done */
    struct bnnep_claim claim;
};

/* --- description.c: what a network is ------------------------------------------------------------------------- */

/* The shapes of all connections, in one allocation. */
struct bnnep_shape {
    struct bnnep_link *link;           /* [connections] */
    const struct bnnep_link **link_of; /* [connections]: the same */
};

bnnep_status bnnep_check_relaxation(int32_t free_steps, double settle_tolerance);
bnnep_status bnnep_check_max_batch(int32_t max_batch);
/* The same, and can memory address so many samples of the network? */
bnnep_status bnnep_check_batch(const bnnep_network_options *options, const struct bnnep_shape *shape,
                               int32_t max_batch);
/* Checks the options, with defaults filled in; the shapes of its connections are new. */
bnnep_status bnnep_describe(const bnnep_context *context, const bnnep_network_options *options,
                            struct bnnep_shape **shape);
struct bnnep_model bnnep_model_of(const bnnep_network_options *options, const struct bnnep_shape *shape);
/* The strength of feedback where nobody says. */
float bnnep_default_feedback(const bnnep_network_options *options, const struct bnnep_shape *shape);

/* --- initial.c --------------------------------------------------------------------------------------------------- */

/* Draws the parameters of all connections, by the options' seed and start. */
bnnep_status bnnep_draw_parameters(bnnep_network *net);

/* --- network.c, lifetime.c ------------------------------------------------------------------------------------- */

/* bnnep_network_create with options that have their defaults; without initial values if they are to be put at once. */
bnnep_status bnnep_network_make(bnnep_context *context, const bnnep_network_options *options, bool drawn,
                                bnnep_network **out);
void bnnep_network_retain(bnnep_network *network);

/* parameters.c: messages begin with `what` */
bnnep_status bnnep_check_finite(const char *what, const float *values, size_t count);
/* Are the bits beyond the last column 0? */
bnnep_status bnnep_check_bits(const char *what, const uint8_t *bits, const struct bnnep_link *link);

/* --- workspace.c ------------------------------------------------------------------------------------------------ */

bnnep_status bnnep_workspace_make(bnnep_network *network, size_t max_batch, size_t threads, bool owns_reference,
                                  bnnep_workspace **out);
/* bnnep_workspace_stage of inputs and targets that were checked. */
bnnep_status bnnep_stage_checked(bnnep_workspace *ws, const float *inputs, const float *targets, size_t count);
/* Is it a phase that has a batch, and its states? */
bnnep_status bnnep_check_phase(const bnnep_workspace *ws, int32_t phase);
bnnep_status bnnep_check_reached(const bnnep_workspace *ws, int32_t phase);
uint64_t bnnep_workspace_host_bytes(const bnnep_network_options *options, uint64_t inputs, uint64_t outputs);

struct bnnep_run;
/* A phase that `run` (or NULL) may stop. */
bnnep_status bnnep_relax_watched(bnnep_workspace *ws, const bnnep_relaxation *how, struct bnnep_run *run,
                                 bnnep_relaxed *done);

/* --- learn.c ------------------------------------------------------------------------------------------------------ */

/* Contrast of the phase `first` and the nudged one, or with a tape the gradient, and the update; flips go to
 * opt->flips.
 */
bnnep_status bnnep_learn(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t first);
/* Can it train on so many samples at once? A tape has room for the max_batch of the network. */
bnnep_status bnnep_check_trainable(const bnnep_optimizer *opt, size_t count);
/* Goes back through the tape; the gradient is then to be had from the backend. */
bnnep_status bnnep_walk_back(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t steps);

/* --- spread.c: rates in deviations, and schedules ---------------------------------------------------------------- */

bool bnnep_measures(const bnnep_optimizer_options *options);
/* The strength of a nudge that is not given, but for binary activations by the default rule. */
#define BNNEP_BETA 0.3
/* Are none of the four arrays given? Then the default rule is meant; values: room for the arrays, 4 x connections. */
bool bnnep_leaves_rule(const bnnep_optimizer_options *options);
void bnnep_default_rule(const bnnep_network *net, bnnep_optimizer_options *options, double *values);
bnnep_status bnnep_check_units(const bnnep_network *net, const bnnep_optimizer_options *options);
/* What rules follow from becomes what was measured by now. */
void bnnep_renew(bnnep_optimizer *opt);
/* Nothing was measured yet. */
void bnnep_measure_anew(bnnep_optimizer *opt);
/* What gamma and the learning rates of connection k have fallen to, of 1. */
double bnnep_fallen(const bnnep_optimizer *opt, size_t k);
/* Threshold and learning rates of connection k as they are applied. */
double bnnep_threshold_of(const bnnep_optimizer *opt, size_t k);
double bnnep_bias_rate_of(const bnnep_optimizer *opt, size_t k);
double bnnep_scale_rate_of(const bnnep_optimizer *opt, size_t k);
/* After an update by contrasts with such gains, of each connection or one for all. */
void bnnep_measure(bnnep_optimizer *opt, const struct bnnep_gain *gains, bool one);

/* --- means.c: covariances of batches of one sample ---------------------------------------------------------------- */

/* What they take, with covariances. */
uint64_t bnnep_means_bytes(const struct bnnep_model *model);
bnnep_status bnnep_means_make(bnnep_optimizer *opt);
void bnnep_means_free(bnnep_optimizer *opt);
/* Sets how->sums, if the batch is one sample and its contrast one of covariances. */
bnnep_status bnnep_means_sum(bnnep_optimizer *opt, const bnnep_workspace *ws, struct bnnep_learning *how);
/* The contrast was taken: the sample counts. */
void bnnep_means_keep(bnnep_optimizer *opt, const struct bnnep_learning *how);
void bnnep_means_copy(const bnnep_optimizer *from, bnnep_optimizer *to);

/* --- optimizer.c -------------------------------------------------------------------------------------------------- */

extern const char *const bnnep_rate_names[BNNEP_RATES];
/* Values of a rate; 0 for one that the optimizer has not. */
size_t bnnep_rate_count(const bnnep_optimizer *opt, int32_t which);
bnnep_status bnnep_check_beta(double beta);
/* Checks a rate's values: [connections], or one. */
bnnep_status bnnep_check_rates(int32_t which, const double *values, size_t count);

/* --- diagnosis.c -------------------------------------------------------------------------------------------------- */

/* What is to be filled in of a report, and room for a connection's momenta. */
struct bnnep_diagnosis {
    double *edges, *contrasts;
    float *momenta;
};

/* Has the report room for what it asks for? Takes what filling it in needs. */
bnnep_status bnnep_diagnosis_open(const bnnep_optimizer *opt, const bnnep_report *report,
                                  struct bnnep_diagnosis *diagnosis);
void bnnep_diagnosis_close(const bnnep_network *net, struct bnnep_diagnosis *diagnosis);
/* Fills it in, after an update. */
bnnep_status bnnep_diagnose(const bnnep_optimizer *opt, const struct bnnep_diagnosis *diagnosis);

/* --- train.c --------------------------------------------------------------------------------------------------- */

/* No epoch is under way any more. */
void bnnep_forget_epoch(bnnep_optimizer *opt);

/* --- run.c: how training, evaluation and prediction run ------------------------------------------------------- */

struct bnnep_run {
    bnnep_run_options options;
    bnnep_workspace *ws;
    size_t batch_size;
    bnnep_progress event; /* for the callback */
    bnnep_report report;  /* of the sums, for the callback and at the end */
    struct bnnep_sums sums;
    double started;
    struct bnnep_diagnosis diagnosis; /* of training */
    struct bnnep_call call;
};

/* Takes the caller's options (or NULL) and report (or NULL), and claims the handles for the call of this name: the
 * workspace and the network or, to train, `opt` (else NULL) and all that it changes. */
bnnep_status bnnep_run_open(struct bnnep_run *run, const char *call, const bnnep_network *net, bnnep_optimizer *opt,
                            const bnnep_run_options *theirs, const bnnep_report *report);
/* Lets go of the handles. Returns `status`. */
bnnep_status bnnep_run_end(struct bnnep_run *run, bnnep_status status);
/* Does the caller want to stop, within a phase or after a batch? A failure then, with its message. */
int32_t bnnep_run_stopped(void *run);
bnnep_status bnnep_run_cancelled(const struct bnnep_run *run);
bnnep_status bnnep_run_batch_done(struct bnnep_run *run, const uint64_t *flips);
/* Fills in the caller's report, if there is one. */
void bnnep_run_report(struct bnnep_run *run, const uint64_t *flips, bnnep_report *theirs);
double bnnep_now(void);

/* --- readout.c: scores, classes, loss -------------------------------------------------------------------------- */

void bnnep_one_hot(const bnnep_network *network, const int32_t *labels, size_t count, float *targets);
/* Scores [classes] of one sample's outputs, and the class with the largest. */
int32_t bnnep_read_scores(const bnnep_network *network, const float *outputs, int32_t readout, float *scores);
/* Adds loss, errors and samples of free outputs to the sums; labels NULL: samples alone. */
void bnnep_score_batch(const bnnep_network *network, const float *outputs, const int32_t *labels, size_t count,
                       struct bnnep_sums *sums);
/* Finite, within +-most. Messages name sample n as places[n], or first + n if places is NULL. */
bnnep_status bnnep_check_inputs(const float *inputs, size_t count, size_t values, float most, uint64_t first,
                                const uint64_t *places);
bnnep_status bnnep_check_labels(const int32_t *labels, size_t count, int32_t classes, uint64_t first,
                                const uint64_t *places);

#endif
