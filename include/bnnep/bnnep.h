/* SPDX-License-Identifier: MIT */
/**
 * @file bnnep.h
 * libbnnep: dynamical binary neural networks trained by equilibrium propagation.
 *
 * This file is the whole interface and reads as a manual: errors and backends, data sets, networks, training and
 * prediction, then what a researcher needs to look inside.
 *
 * The algorithm is that of J. Laydevant, M. Ernoult, D. Querlioz, J. Grollier, "Training Dynamical Binary
 * Neural Networks with Equilibrium Propagation", CVPR Workshops 2021 (arXiv 2103.08953), "the paper" below.
 *
 * Words. A network has layers 0 (input) to L (output); connection k joins layer k to layer k+1. A connection
 * has binary weights (a sign matrix B), a scaling factor alpha (the effective weight is alpha*B) and a float
 * bias for each output unit. The free phase relaxes the states with the input clamped; the nudged phase
 * continues from there while a force of strength beta draws the output towards the target; the contrast of the
 * two is the learning signal.
 *
 * Rules that hold everywhere:
 *  - Arrays with one element per connection are ordered input first.
 *  - Matrices are row-major; a batch of inputs is [sample][input], an image [channel][row][column].
 *  - A function that can fail returns a bnnep_status: BNNEP_OK (0) or a negative code. Then
 *    bnnep_last_error() says what was wrong, and every handle is as it was before the call, except for the
 *    states in a workspace.
 *  - Handles are made through a `T **out` argument, which is set to NULL on failure. The `_free` functions
 *    accept NULL. Handles keep alive the network, data set or workspace they were made from, so you can free
 *    them in any order.
 *  - Different threads may use different handles at the same time. One handle belongs to one thread at a time,
 *    with one exception: any number of threads may predict and evaluate with a network that nobody is changing,
 *    each with a bnnep_workspace of its own.
 *  - Nothing is global, no process-wide setting is changed, nothing is printed, and no call aborts or exits.
 *  - Initialise a structure that starts with `size` with its `_INIT` macro (or zero it, set `size` and fill in
 *    the fields), so that programs built against an older or newer header keep working.
 */
#ifndef BNNEP_BNNEP_H
#define BNNEP_BNNEP_H

#include <stddef.h>
#include <stdint.h>

#include <bnnep/version.h>

/** Marks what the library exports. */
#if defined(__GNUC__)
#define BNNEP_API __attribute__((visibility("default")))
#else
#define BNNEP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------------
 * Errors, version, backends
 * ------------------------------------------------------------------------------------------------------ */

/** What a call returns. */
typedef enum bnnep_status {
    BNNEP_OK = 0,
    BNNEP_ERROR_ARGUMENT = -1,    /**< an argument or option is out of range */
    BNNEP_ERROR_MEMORY = -2,      /**< out of memory */
    BNNEP_ERROR_FILE = -3,        /**< a file cannot be opened or read */
    BNNEP_ERROR_FORMAT = -4,      /**< a file does not hold what it should */
    BNNEP_ERROR_DATA = -5,        /**< NaN or infinity in the inputs, a label outside the classes */
    BNNEP_ERROR_UNSUPPORTED = -6, /**< this library or backend does not do it (yet) */
    BNNEP_ERROR_BACKEND = -7,     /**< no such backend or device here */
    BNNEP_ERROR_CALLBACK = -8,    /**< the caller's data callback reported a failure */
    BNNEP_CANCELLED = -9          /**< the caller's progress callback asked to stop */
} bnnep_status;

/** The name of a status, such as "BNNEP_ERROR_FILE". Never NULL; static storage. */
BNNEP_API const char *bnnep_status_name(bnnep_status status);

/** What was wrong in the last call that failed in this thread: the value, and the limit it broke. Never NULL;
 * valid until the next call that fails in this thread. */
BNNEP_API const char *bnnep_last_error(void);

/** The version of the library at run time, encoded as BNNEP_VERSION. */
BNNEP_API uint32_t bnnep_version(void);

/** The same as text, such as "0.1.0". Static storage. */
BNNEP_API const char *bnnep_version_string(void);

/** A backend, as bnnep_backend_get() describes it. */
typedef struct bnnep_backend_info {
    size_t size;
    const char *name;    /**< "ref", "cpu", ...: the start of a network's `backend` option */
    const char *summary; /**< what it is, in one line */
    const char *reason;  /**< why it cannot be used here; "" if it can. Valid until the thread asks again */
    int32_t available;   /**< 1 if it can be used here, else 0 */
    int32_t reserved;    /**< 0 */
} bnnep_backend_info;
#define BNNEP_BACKEND_INFO_INIT                                                                                        \
    { sizeof(bnnep_backend_info), NULL, NULL, NULL, 0, 0 }

/** How many backends this library knows, usable here or not. */
BNNEP_API size_t bnnep_backend_count(void);

/** Describes backend @p index (from 0). All strings but `reason` are static. */
BNNEP_API bnnep_status bnnep_backend_get(size_t index, bnnep_backend_info *info);

/** Log levels. */
enum { BNNEP_LOG_WARNING = 1, BNNEP_LOG_NOTICE = 2 };

/** Receives the library's messages, one line at a time without its end of line, in the calling thread. @p message is
 * valid during the call. */
typedef void (*bnnep_log_fn)(void *user, int32_t level, const char *message);

/* ---------------------------------------------------------------------------------------------------------
 * Data sets
 *
 * A data set is a list of labelled inputs. Inputs are float; inputs stored as bytes are divided by 255. Several
 * threads may use a data set at once if they may call its callback, where it has one, at once.
 * ------------------------------------------------------------------------------------------------------ */

/** A list of labelled inputs. */
typedef struct bnnep_dataset bnnep_dataset;

/** How inputs in the caller's memory are stored. */
enum { BNNEP_FLOAT32 = 0, BNNEP_UINT8 = 1 };

/** The layout of the inputs in the caller's memory, or from the caller's callback. */
typedef struct bnnep_dataset_options {
    size_t size;
    int32_t type;                    /**< BNNEP_FLOAT32 or BNNEP_UINT8 (read as value/255) */
    int32_t channels, height, width; /**< shape of an input; its product is the number of values. Vectors: n, 1, 1 */
    int32_t classes;                 /**< labels are 0 ... classes-1; 0: any label from 0 on */
    int32_t copy;                    /**< 1: the arrays are copied; 0: borrowed, and must outlive the data set */
} bnnep_dataset_options;
#define BNNEP_DATASET_OPTIONS_INIT                                                                                     \
    { sizeof(bnnep_dataset_options), BNNEP_FLOAT32, 0, 1, 1, 0, 1 }

/** A data set of @p count inputs in the caller's memory. @p inputs is [count][channels*height*width] of the
 * type in @p options, @p labels [count]. Fails with BNNEP_ERROR_DATA for a NaN, an infinity or a label outside
 * the classes, and names its index. */
BNNEP_API bnnep_status bnnep_dataset_from_memory(const bnnep_dataset_options *options, const void *inputs,
                                                 const int32_t *labels, uint64_t count, bnnep_dataset **out);

/** A data set from two files in the IDX format of MNIST, plain or gzip: unsigned bytes, images of 2
 * (count, values), 3 (count, rows, columns) or 4 dimensions (count, channels, rows, columns) and as many
 * labels. @p labels_path may be NULL: then all labels are 0, for inputs to predict. @p classes is as in
 * bnnep_dataset_options. Reads the files whole and closes them. Errors name the file, the offset (in the uncompressed
 * data) and what was expected. */
BNNEP_API bnnep_status bnnep_dataset_from_idx(const char *images_path, const char *labels_path, int32_t classes,
                                              bnnep_dataset **out);

/** The two parts of a folder in MNIST's layout. */
enum { BNNEP_TRAINING_SET = 0, BNNEP_TEST_SET = 1 };

/** A data set from a folder laid out as MNIST: train-images-idx3-ubyte, train-labels-idx1-ubyte and the same
 * with t10k, each with or without ".gz". @p part is BNNEP_TRAINING_SET or BNNEP_TEST_SET. */
BNNEP_API bnnep_status bnnep_dataset_from_folder(const char *folder, int32_t part, int32_t classes,
                                                 bnnep_dataset **out);

/** A data set from a folder with CIFAR-10 in its binary format: data_batch_1.bin ... data_batch_5.bin, or
 * test_batch.bin (records of a label and 3 x 32 x 32 bytes; any number per file). Values are normalised as in the
 * paper, and the training set is flipped and cropped at random; see bnnep_dataset_transformed(). */
BNNEP_API bnnep_status bnnep_dataset_from_cifar10(const char *folder, int32_t part, bnnep_dataset **out);

/** How inputs are transformed as they are read. */
typedef struct bnnep_transform {
    size_t size;
    const float *mean, *deviation; /**< [channels]: values become (value - mean) / deviation; NULL: they stay */
    int32_t flip;                  /**< 1: training mirrors inputs left to right with probability 1/2 */
    int32_t crop; /**< training crops inputs at random, to their size, after this much edge padding; 0: it does not */
} bnnep_transform;
#define BNNEP_TRANSFORM_INIT                                                                                           \
    { sizeof(bnnep_transform), NULL, NULL, 0, 0 }

/** The same inputs, transformed as they are read, sharing the memory. Only bnnep_train_epoch() flips and crops; it
 * draws from the optimizer's seed, its epoch and the input's index. Not for data sets with a callback, which can do as
 * much itself. */
BNNEP_API bnnep_status bnnep_dataset_transformed(const bnnep_dataset *dataset, const bnnep_transform *transform,
                                                 bnnep_dataset **out);

/** The caller's source of data, for sets larger than memory: writes the inputs at the @p count indices @p indices to
 * @p inputs ([count][values], float) and their labels to @p labels; either may be NULL if it is not wanted. Returns 0,
 * or anything else for failure, which the library returns as BNNEP_ERROR_CALLBACK. Called in the thread that trains. */
typedef int32_t (*bnnep_read_fn)(void *user, const uint64_t *indices, size_t count, float *inputs, int32_t *labels);

/** A data set of @p count inputs that @p read delivers. Ignores `type` and `copy` of @p options. */
BNNEP_API bnnep_status bnnep_dataset_from_callback(const bnnep_dataset_options *options, bnnep_read_fn read, void *user,
                                                   uint64_t count, bnnep_dataset **out);

/** The @p count inputs of @p dataset from index @p first on, as a data set of its own that shares its memory.
 * Fails if there are not that many. */
BNNEP_API bnnep_status bnnep_dataset_subset(const bnnep_dataset *dataset, uint64_t first, uint64_t count,
                                            bnnep_dataset **out);

/** The same inputs in an order drawn from @p seed, sharing the memory. (Training shuffles by itself, anew in each
 * epoch; this is for drawing a random subset.) */
BNNEP_API bnnep_status bnnep_dataset_shuffled(const bnnep_dataset *dataset, uint64_t seed, bnnep_dataset **out);

/** What a data set holds. */
typedef struct bnnep_dataset_info {
    size_t size;
    uint64_t count;                  /**< number of inputs */
    int32_t channels, height, width; /**< shape of one */
    int32_t classes;                 /**< as declared; else largest label + 1; 0 if not known (callback) */
    const float *mean, *deviation;   /**< [channels], how inputs are normalised, see bnnep_transform; NULL: they are
                                          not. Valid as long as the data set is */
} bnnep_dataset_info;
#define BNNEP_DATASET_INFO_INIT                                                                                        \
    { sizeof(bnnep_dataset_info), 0, 0, 0, 0, 0, NULL, NULL }

/** Describes a data set. */
BNNEP_API bnnep_status bnnep_dataset_get_info(const bnnep_dataset *dataset, bnnep_dataset_info *info);

/** Reads @p count inputs and labels from index @p first on. @p inputs is [count][values], or NULL; @p labels
 * [count], or NULL. */
BNNEP_API bnnep_status bnnep_dataset_read(const bnnep_dataset *dataset, uint64_t first, size_t count, float *inputs,
                                          int32_t *labels);

/** Frees a handle. NULL is accepted. */
BNNEP_API void bnnep_dataset_free(bnnep_dataset *dataset);

/* ---------------------------------------------------------------------------------------------------------
 * Networks
 * ------------------------------------------------------------------------------------------------------ */

/** A network: its parameters on a backend, and a workspace of its own. */
typedef struct bnnep_network bnnep_network;

/** The two kinds of dynamics of the paper. */
enum {
    BNNEP_REAL_ACTIVATIONS = 0,  /**< binary weights, full-precision activations ("bin_W", hard sigmoid) */
    BNNEP_BINARY_ACTIVATIONS = 1 /**< binary weights and activations ("bin_W_N", Heaviside, leaky states) */
};

/** Kinds of connections. */
enum {
    BNNEP_FULLY_CONNECTED = 0,
    BNNEP_CONVOLUTION = 1 /**< convolution of stride 1, then max-pooling; comes before all fully connected ones */
};

/** One connection of a network's description. Write it with BNNEP_FC or BNNEP_CONV. */
typedef struct bnnep_connection {
    size_t size;
    int32_t kind;    /**< BNNEP_FULLY_CONNECTED or BNNEP_CONVOLUTION */
    int32_t outputs; /**< units or channels of the layer it leads to; > 0 */
    int32_t kernel, padding,
        pool;         /**< convolution: edge of the kernel, zero padding, edge of the pooling window (which is
                           also its stride; rows and columns left over are dropped), at most 255; else 0 */
    int32_t reserved; /**< 0 */
} bnnep_connection;
/** A fully connected connection to a layer of @p outputs units. */
#define BNNEP_FC(outputs)                                                                                              \
    { sizeof(bnnep_connection), BNNEP_FULLY_CONNECTED, outputs, 0, 0, 0, 0 }
/** A convolution to @p channels channels, with pooling. */
#define BNNEP_CONV(channels, kernel, padding, pool)                                                                    \
    { sizeof(bnnep_connection), BNNEP_CONVOLUTION, channels, kernel, padding, pool, 0 }

/** What a network is. Fill in the fields that are 0 after BNNEP_NETWORK_OPTIONS_INIT and have no default. */
typedef struct bnnep_network_options {
    size_t size;
    int32_t dynamics;                                  /**< BNNEP_REAL_ACTIVATIONS or BNNEP_BINARY_ACTIVATIONS */
    int32_t input_channels, input_height, input_width; /**< shape of an input; vectors: n, 1, 1 */
    int32_t classes;                                   /**< number of classes, at least 2; default 10 */
    int32_t
        expand_output; /**< output units per class, class-major; the last layer has classes*expand_output. Default 1 */
    const bnnep_connection *connections; /**< [connection_count], input first; only read during the call */
    size_t connection_count;             /**< number of connections, 1 to 1024 */
    float theta;                         /**< threshold of binary activations, 0 to 1 ("rho_threshold"); default 0.5 */
    float gamma_neur;       /**< leak of the states with binary activations, above 0, at most 1; default 0.5 */
    int32_t free_steps;     /**< T: time steps of the free phase, at least 1; default 50 */
    float settle_tolerance; /**< a sample ends its phase when no state changes by more than this in a step. 0
                                 (default): exact, as if all steps were done. Negative: always all steps. Above 0, the
                                 cpu backend may send up to 2^-10 of a step's largest change in later steps, in fully
                                 connected networks with real activations; that vanishes as the sample comes to rest */
    int32_t max_batch;      /**< largest batch to train on, and samples relaxed at once; default 64 */
    uint64_t seed;          /**< of the initial weights and biases; default 0 */
    const char *backend;    /**< "auto" (or NULL), "ref", "cpu", "cpu:threads=4", "cuda:0"; default "auto" */
    bnnep_log_fn log;       /**< receives warnings and notices; NULL: none */
    void *log_user;         /**< passed to log */
    int32_t grid_bits; /**< 0 (default): states are floats. 8 to 20, real activations: states and inputs are rounded to
                            multiples of 2^-grid_bits, half to even, after each step, so that their sums are exact and
                            states the same bit for bit on every backend. Sums must fit into 32 bits: those of n
                            values need n + 1 < 2^(31 - grid_bits). Inputs may exceed 1 as far as that leaves room.
                            Not with BNNEP_BPTT */
    int32_t reserved;  /**< 0 */
} bnnep_network_options;
#define BNNEP_NETWORK_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        sizeof(bnnep_network_options), BNNEP_REAL_ACTIVATIONS, 0, 1, 1, 10, 1, NULL, 0, 0.5f, 0.5f, 50, 0.0f, 64, 0,   \
            NULL, NULL, NULL, 0, 0                                                                                     \
    }

/** Makes a network with random initial values: w ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)), B = sign(w), alpha =
 * mean|w| rounded to 4 decimals, biases from the same distribution. A seed gives the same values on every backend. */
BNNEP_API bnnep_status bnnep_network_create(const bnnep_network_options *options, bnnep_network **out);

/** How many bytes a network of this description will take, device and host memory together, with its workspace and,
 * if @p trained is not 0, an optimizer for equilibrium propagation. Allocates nothing. Does not count data sets, nor
 * the steps that an optimizer with BNNEP_BPTT remembers: some values per unit, sample of max_batch and step, which can
 * be many times the rest. */
BNNEP_API bnnep_status bnnep_network_memory(const bnnep_network_options *options, int32_t trained, uint64_t *bytes);

/** Frees a handle. NULL is accepted. */
BNNEP_API void bnnep_network_free(bnnep_network *network);

/** Changes the length of the free phase and when phases end early; see bnnep_network_options. */
BNNEP_API bnnep_status bnnep_network_set_relaxation(bnnep_network *network, int32_t free_steps, float settle_tolerance);

/** What a network is. */
typedef struct bnnep_network_info {
    size_t size;
    const char *backend; /**< the backend in use, such as "cpu"; static storage */
    size_t connections;  /**< number of connections; layers are 0 ... connections */
    uint64_t inputs;     /**< values in an input */
    uint64_t outputs;    /**< units of the output layer */
    uint64_t weights;    /**< binary weights in all */
    int32_t dynamics, classes, expand_output, max_batch, free_steps; /**< see bnnep_network_options */
    float settle_tolerance;                                          /**< see bnnep_network_options */
    int32_t input_channels, input_height, input_width;               /**< shape of an input */
    int32_t grid_bits;                                               /**< see bnnep_network_options */
    float theta, gamma_neur;                                         /**< see bnnep_network_options */
} bnnep_network_info;
#define BNNEP_NETWORK_INFO_INIT                                                                                        \
    { sizeof(bnnep_network_info), NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0f, 0, 0, 0, 0, 0.0f, 0.0f }

/** Describes a network. */
BNNEP_API bnnep_status bnnep_network_get_info(const bnnep_network *network, bnnep_network_info *info);

/** What a connection is. */
typedef struct bnnep_connection_info {
    size_t size;
    int32_t kind;                     /**< BNNEP_FULLY_CONNECTED or BNNEP_CONVOLUTION */
    uint64_t rows;                    /**< rows of the sign matrix: output units or channels */
    uint64_t columns;                 /**< its columns: input units (convolution: input channels * kernel * kernel) */
    uint64_t scales;                  /**< number of scaling factors: 1, or one per output channel */
    uint64_t units;                   /**< units of the layer it leads to */
    uint64_t channels, height, width; /**< their shape; fully connected: units, 1, 1 */
    int32_t kernel, padding, pool;    /**< of a convolution, see bnnep_connection; fully connected: 0 */
    int32_t reserved;                 /**< 0 */
} bnnep_connection_info;
#define BNNEP_CONNECTION_INFO_INIT                                                                                     \
    { sizeof(bnnep_connection_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** Describes connection @p connection, counted from 0 at the input. */
BNNEP_API bnnep_status bnnep_network_get_connection(const bnnep_network *network, size_t connection,
                                                    bnnep_connection_info *info);

/* ---------------------------------------------------------------------------------------------------------
 * Training
 * ------------------------------------------------------------------------------------------------------ */

/** How a network learns, and what it must remember to do so. */
typedef struct bnnep_optimizer bnnep_optimizer;

/** Where the gradient comes from. */
enum {
    BNNEP_EQUILIBRIUM_PROPAGATION = 0,
    BNNEP_BPTT = 1 /**< back-propagation through time, the paper's baseline: the gradient of 1/2 |s_L - target|^2
                      through the last nudged_steps + 1 free steps (convolutional networks: nudged_steps), with the same
                      rule. For real activations and fixed scaling factors; needs free_steps > nudged_steps */
};

/** How a network learns. The four arrays have one element per connection, input first, and are copied. */
typedef struct bnnep_optimizer_options {
    size_t size;
    int32_t method;          /**< BNNEP_EQUILIBRIUM_PROPAGATION or BNNEP_BPTT */
    int32_t nudged_steps;    /**< Kmax: time steps of the nudged phase, at least 1; default 10 */
    float beta;              /**< strength of the nudge, not 0; default 0.3. Its sign counts unless random_beta is 1 */
    int32_t random_beta;     /**< 1 (default): the sign of beta is drawn for each batch; 0: it is that of beta */
    const double *gamma;     /**< gain of the momentum, above 0, at most 1: m <- (1-gamma) m + gamma g. Required */
    const double *threshold; /**< tau, at least 0: a weight flips when -sign(W) m exceeds it. Required */
    const double *lr_bias;   /**< learning rates of the biases, at least 0. Required */
    const double *lr_alpha;  /**< learning rates of the scaling factors, at least 0; NULL: not learnt */
    int32_t shuffle;         /**< 1 (default): each epoch takes the data in a new random order */
    uint64_t seed;           /**< of the order of the data and the signs of beta; default 0 */
    int32_t momentum_noise;  /**< 1: momenta start from 2 gamma N(0, 1), as in the paper's program for convolutional
                                  networks with binary activations; 0 (default): from 0 */
    int32_t reserved;        /**< 0 */
} bnnep_optimizer_options;
#define BNNEP_OPTIMIZER_OPTIONS_INIT                                                                                   \
    { sizeof(bnnep_optimizer_options), BNNEP_EQUILIBRIUM_PROPAGATION, 10, 0.3f, 1, NULL, NULL, NULL, NULL, 1, 0, 0, 0 }

/** Makes an optimizer for @p network, its momenta zero. It keeps the network alive. A network may have several;
 * each has its own momenta. */
BNNEP_API bnnep_status bnnep_optimizer_create(bnnep_network *network, const bnnep_optimizer_options *options,
                                              bnnep_optimizer **out);

/** Frees a handle. NULL is accepted. */
BNNEP_API void bnnep_optimizer_free(bnnep_optimizer *optimizer);

/** Results of a batch, an epoch or an evaluation. `flips` is the caller's array (or NULL): set it and flips_count, at
 * least the number of connections, before the call. An evaluation does not write to it. */
typedef struct bnnep_report {
    size_t size;
    uint64_t samples;          /**< samples done */
    uint64_t batches;          /**< batches done */
    double loss;               /**< 1/2 |s_L - target|^2 after the free phase, mean over the samples */
    uint64_t errors;           /**< misclassified samples, read by averaging the units of a class */
    uint64_t errors_single;    /**< the same, read from the first unit of a class */
    double steps_free;         /**< time steps done in the free phase, mean over the samples */
    double steps_nudged;       /**< the same of the nudged phase */
    uint32_t steps_free_max;   /**< the largest number of free steps a sample took */
    uint32_t steps_nudged_max; /**< the same of the nudged phase */
    double seconds;            /**< wall-clock time */
    uint64_t *flips;           /**< weights flipped, per connection, input first */
    size_t flips_count;        /**< length of flips */
} bnnep_report;
#define BNNEP_REPORT_INIT                                                                                              \
    { sizeof(bnnep_report), 0, 0, 0.0, 0, 0, 0.0, 0.0, 0, 0, 0.0, NULL, 0 }

/** Trains on one batch: free phase, nudged phase, update. @p inputs is [count][inputs], @p labels [count],
 * count 1 to max_batch. @p report may be NULL. The errors and the loss are those before the update. */
BNNEP_API bnnep_status bnnep_train_batch(bnnep_optimizer *optimizer, const float *inputs, const int32_t *labels,
                                         size_t count, bnnep_report *report);

/** When a progress callback is called. */
enum {
    BNNEP_EVENT_STEP = 0, /**< within a phase; only for cancelling */
    BNNEP_EVENT_BATCH = 1 /**< a batch is done */
};

/** What a progress callback receives. */
typedef struct bnnep_progress {
    size_t size;
    int32_t event;              /**< BNNEP_EVENT_STEP or BNNEP_EVENT_BATCH */
    uint64_t batch;             /**< batches done */
    uint64_t batches;           /**< batches in all */
    uint64_t samples;           /**< samples done */
    const bnnep_report *so_far; /**< their results; valid during the call */
} bnnep_progress;

/** Called in the calling thread as work proceeds. Return 0 to continue, anything else to stop: the running call then
 * returns BNNEP_CANCELLED, the batch under way has changed nothing, those before it stay done. (After the last batch
 * there is nothing left to stop, and the call succeeds.) Must not use the handles at work. */
typedef int32_t (*bnnep_progress_fn)(void *user, const bnnep_progress *progress);

/** Trains on all of @p dataset once, in batches of @p batch_size (1 to max_batch; the last may be smaller).
 * @p progress and @p report may be NULL; a cancelled call fills in @p report with what was done. The optimizer's count
 * of epochs determines the order of the data. If data turn out to be bad on the way (only a callback's can), the
 * batches before stay done. The next call resumes an epoch that was cancelled, or whose checkpoint was loaded; it needs
 * the same number of samples and batch size, and reports on the whole epoch. */
BNNEP_API bnnep_status bnnep_train_epoch(bnnep_optimizer *optimizer, const bnnep_dataset *dataset, size_t batch_size,
                                         bnnep_progress_fn progress, void *user, bnnep_report *report);

/* ---------------------------------------------------------------------------------------------------------
 * Evaluation and prediction
 *
 * The workspace argument says where states are kept: NULL for the network's own (one thread at a time), or one
 * from bnnep_workspace_create(), with which any number of threads may share the network.
 * ------------------------------------------------------------------------------------------------------ */

/** States of a network's layers: what a thread needs to relax it. */
typedef struct bnnep_workspace bnnep_workspace;

/** The size of a workspace, and how many threads it computes with. */
typedef struct bnnep_workspace_options {
    size_t size;
    int32_t max_batch; /**< samples relaxed at once; 0 (default): as the network */
    int32_t threads;   /**< threads the workspace computes with, itself included; 0 (default): as the network */
} bnnep_workspace_options;
#define BNNEP_WORKSPACE_OPTIONS_INIT                                                                                   \
    { sizeof(bnnep_workspace_options), 0, 0 }

/** Makes a workspace for @p network, which it keeps alive. @p options may be NULL. */
BNNEP_API bnnep_status bnnep_workspace_create(const bnnep_network *network, const bnnep_workspace_options *options,
                                              bnnep_workspace **out);

/** Frees a handle. NULL is accepted. */
BNNEP_API void bnnep_workspace_free(bnnep_workspace *workspace);

/** The network's own workspace, in which training leaves its states. Do not free it. */
BNNEP_API bnnep_workspace *bnnep_network_workspace(bnnep_network *network);

/** Runs the free phase on all of @p dataset and counts the errors. Changes no parameter. @p workspace, @p progress and
 * @p report may be NULL. */
BNNEP_API bnnep_status bnnep_evaluate(const bnnep_network *network, bnnep_workspace *workspace,
                                      const bnnep_dataset *dataset, bnnep_progress_fn progress, void *user,
                                      bnnep_report *report);

/** How the output units of a class are read. */
enum {
    BNNEP_READ_AVERAGE = 0, /**< the mean of its expand_output units */
    BNNEP_READ_SINGLE = 1   /**< the first of them */
};

/** Classifies @p count inputs ([count][inputs], any number). @p scores is [count][classes], or NULL: the value read
 * for each class; @p classes [count], or NULL: the class with the largest score, the lowest of several. */
BNNEP_API bnnep_status bnnep_predict(const bnnep_network *network, bnnep_workspace *workspace, const float *inputs,
                                     uint64_t count, int32_t readout, float *scores, int32_t *classes);

/* ---------------------------------------------------------------------------------------------------------
 * Files
 *
 * Files are safetensors, which many programs read; docs/format.md describes them. The library writes PATH.part, syncs
 * and renames it: whatever goes wrong, the file that was there before stays whole. Of two writers of one path at a time
 * one gets an error. Values that are not finite, as those of a run that diverged, are not written: BNNEP_ERROR_DATA.
 * Paths are the system's; notes are the caller's UTF-8 text, kept as it is. A file that is cut or damaged is
 * BNNEP_ERROR_FORMAT, one newer than the library BNNEP_ERROR_UNSUPPORTED.
 * ------------------------------------------------------------------------------------------------------ */

/** Writes all that a run must remember: network, momenta, position (within an epoch too), options. @p note may be
 * NULL. */
BNNEP_API bnnep_status bnnep_checkpoint_save(const bnnep_optimizer *optimizer, const char *path, const char *note);

/** Restores an optimizer and its network from a checkpoint; training then continues bit for bit as if it had not been
 * interrupted. Network and optimizer must have been made with the checkpoint's options, except for backend, log,
 * max_batch and the seed of the network; learning rates set by bnnep_optimizer_set_lr_alpha() are part of the
 * checkpoint. If they were not (BNNEP_ERROR_ARGUMENT), or if the file is not whole or holds impossible values, nothing
 * changes and the message names the file and the field. */
BNNEP_API bnnep_status bnnep_checkpoint_load(bnnep_optimizer *optimizer, const char *path);

/** Writes a network for inference: signs, scaling factors, biases. @p note may be NULL. */
BNNEP_API bnnep_status bnnep_network_save(const bnnep_network *network, const char *path, const char *note);

/** Makes a network from a file of either kind. Takes only backend, log, log_user, max_batch and seed from @p like (may
 * be NULL), the rest from the file. */
BNNEP_API bnnep_status bnnep_network_load(const char *path, const bnnep_network_options *like, bnnep_network **out);

/** Copies the note of a file to @p note, at most @p room bytes with the final 0; sets @p length (may be NULL) to its
 * whole length without it. */
BNNEP_API bnnep_status bnnep_file_note(const char *path, char *note, size_t room, size_t *length);

/** The same for any text of the file's metadata (docs/format.md): @p key is "format", "library", "network",
 * "optimizer", "position" and so on. A text that the file lacks is empty. */
BNNEP_API bnnep_status bnnep_file_text(const char *path, const char *key, char *text, size_t room, size_t *length);

/* ---------------------------------------------------------------------------------------------------------
 * Looking inside: parameters
 *
 * `count` is the length of the caller's array in elements and must be exactly that of the parameter; see
 * bnnep_network_get_connection().
 * ------------------------------------------------------------------------------------------------------ */

/** Signs as bytes +1 and -1, [rows][columns]. */
BNNEP_API bnnep_status bnnep_network_get_signs(const bnnep_network *network, size_t connection, int8_t *signs,
                                               size_t count);
BNNEP_API bnnep_status bnnep_network_set_signs(bnnep_network *network, size_t connection, const int8_t *signs,
                                               size_t count);

/** Signs as bits, [rows][ceil(columns/8)] bytes: least significant bit first, 1 means +1, bits beyond the last
 * column 0. */
BNNEP_API bnnep_status bnnep_network_get_sign_bits(const bnnep_network *network, size_t connection, uint8_t *bits,
                                                   size_t count);
BNNEP_API bnnep_status bnnep_network_set_sign_bits(bnnep_network *network, size_t connection, const uint8_t *bits,
                                                   size_t count);

/** Scaling factors, [scales]. */
BNNEP_API bnnep_status bnnep_network_get_alpha(const bnnep_network *network, size_t connection, float *alpha,
                                               size_t count);
BNNEP_API bnnep_status bnnep_network_set_alpha(bnnep_network *network, size_t connection, const float *alpha,
                                               size_t count);

/** Biases, [rows]. */
BNNEP_API bnnep_status bnnep_network_get_bias(const bnnep_network *network, size_t connection, float *bias,
                                              size_t count);
BNNEP_API bnnep_status bnnep_network_set_bias(bnnep_network *network, size_t connection, const float *bias,
                                              size_t count);

/** Momenta, [rows][columns]. Columns of a convolution are [input channel][kernel row][kernel column]. */
BNNEP_API bnnep_status bnnep_optimizer_get_momentum(const bnnep_optimizer *optimizer, size_t connection,
                                                    float *momentum, size_t count);
BNNEP_API bnnep_status bnnep_optimizer_set_momentum(bnnep_optimizer *optimizer, size_t connection,
                                                    const float *momentum, size_t count);

/** Batches and epochs an optimizer has trained. They number the random draws (signs of beta, orders of data), so
 * setting them with parameters and momenta resumes a run where it stood. Setting them ends an epoch that was
 * cancelled: the next one starts from its beginning. */
BNNEP_API bnnep_status bnnep_optimizer_get_position(const bnnep_optimizer *optimizer, uint64_t *batches,
                                                    uint64_t *epochs);
BNNEP_API bnnep_status bnnep_optimizer_set_position(bnnep_optimizer *optimizer, uint64_t batches, uint64_t epochs);

/** Changes beta from the next batch on; see bnnep_optimizer_options. */
BNNEP_API bnnep_status bnnep_optimizer_set_beta(bnnep_optimizer *optimizer, float beta, int32_t random_beta);

/** Changes the learning rates of the scaling factors, [connections], from the next batch on. Only for an optimizer
 * that was made with lr_alpha. */
BNNEP_API bnnep_status bnnep_optimizer_set_lr_alpha(bnnep_optimizer *optimizer, const double *lr_alpha);

/* ---------------------------------------------------------------------------------------------------------
 * Looking inside: the two phases, one by one
 *
 * bnnep_train_batch() is bnnep_stage(); bnnep_relax(FREE, FREE, T, 0); bnnep_relax(FREE, NUDGED, Kmax, beta);
 * bnnep_learn(). States can be read, and set, in between.
 * ------------------------------------------------------------------------------------------------------ */

/** The two phases, whose states are kept apart. */
enum { BNNEP_FREE = 0, BNNEP_NUDGED = 1 };

/** Clamps a batch: copies @p inputs ([count][inputs]) and @p targets ([count][outputs], or NULL if there will be
 * no nudged phase), computes the input's drive, and sets the free states to those the phase starts from. */
BNNEP_API bnnep_status bnnep_stage(bnnep_workspace *workspace, const float *inputs, const float *targets, size_t count);

/** How many time steps bnnep_relax() took. */
typedef struct bnnep_relaxed {
    size_t size;
    uint64_t sample_steps; /**< time steps, summed over the samples */
    uint32_t most_steps;   /**< the largest number a sample took */
    uint32_t reserved;     /**< 0 */
} bnnep_relaxed;
#define BNNEP_RELAXED_INIT                                                                                             \
    { sizeof(bnnep_relaxed), 0, 0, 0 }

/** Takes @p steps time steps from the states of phase @p from and leaves the result in phase @p to (they may be
 * the same). @p beta is the signed strength of the nudge; 0 is the free dynamics. Samples that settle (see
 * settle_tolerance) stop early. @p relaxed may be NULL. */
BNNEP_API bnnep_status bnnep_relax(bnnep_workspace *workspace, int32_t from, int32_t to, int32_t steps, float beta,
                                   bnnep_relaxed *relaxed);

/** States of a layer (1 ... connections) after a phase, [samples staged][units]. */
BNNEP_API bnnep_status bnnep_workspace_get_state(const bnnep_workspace *workspace, int32_t phase, size_t layer,
                                                 float *state, size_t count);
BNNEP_API bnnep_status bnnep_workspace_set_state(bnnep_workspace *workspace, int32_t phase, size_t layer,
                                                 const float *state, size_t count);

/** Updates momenta, signs, biases and scaling factors from the contrast of the two phases in @p workspace, which
 * must be of the optimizer's network. @p beta is that of the nudged phase (ignored with BNNEP_BPTT). @p flips is
 * [connections], or NULL. */
BNNEP_API bnnep_status bnnep_learn(bnnep_optimizer *optimizer, bnnep_workspace *workspace, float beta, uint64_t *flips);

/** For an optimizer with BNNEP_BPTT: takes @p steps more free steps (1 to nudged_steps + 1; convolutional networks: 1
 * to nudged_steps) from the free states, which it updates, and back-propagates the gradient through these steps.
 * bnnep_learn() then uses it instead of the contrast. The batch must have been staged with targets. */
BNNEP_API bnnep_status bnnep_backpropagate(bnnep_optimizer *optimizer, bnnep_workspace *workspace, int32_t steps);

#ifdef __cplusplus
}
#endif

#endif
