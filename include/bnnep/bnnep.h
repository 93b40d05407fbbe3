/* SPDX-License-Identifier: MIT */
/**
 * @file bnnep.h
 * libbnnep: dynamical binary neural networks trained by equilibrium propagation.
 *
 * This file reads as a manual: errors, contexts, data sets, networks, training, evaluation and prediction, files.
 * bnnep/inside.h, which it includes, is for a look inside: parameters, and the phases one by one. bnnep/backend.h is
 * for those who write a backend.
 *
 * The algorithm is that of J. Laydevant, M. Ernoult, D. Querlioz, J. Grollier, "Training Dynamical Binary
 * Neural Networks with Equilibrium Propagation", CVPR Workshops 2021 (arXiv 2103.08953), "the paper" below.
 *
 * Words. A network has layers 0 (input) to L (output); connection k joins layer k to layer k+1. A connection has binary
 * weights (a sign matrix B), a scaling factor alpha (the effective weight is alpha*B) and a float bias for each output
 * unit. The free phase relaxes the states with the input clamped; the nudged phase continues from there while a force
 * of strength beta draws the output towards the target; the contrast of the two is the learning signal.
 *
 * Rules that hold everywhere:
 *  - Arrays with one element per connection are ordered input first.
 *  - Matrices are row-major; a batch of inputs is [sample][input], an image [channel][row][column].
 *  - A function that can fail returns a bnnep_status: BNNEP_OK (0) or a negative code. Then bnnep_last_error() says
 *    what was wrong, and every handle is as it was before the call, except for the states in a workspace.
 *  - Handles are made through a `T **out` argument, which is set to NULL on failure. The `_free` functions
 *    accept NULL. Handles keep alive what they were made from, so you can free them in any order.
 *  - Different threads may use different handles at the same time. A handle is for one call at a time: another one, in
 *    a thread or a callback, is BNNEP_ERROR_ARGUMENT, but for bnnep_..._get_info(). Any number may share a context, and
 *    predict, evaluate and save with a network that nobody is changing, each with a bnnep_workspace of its own.
 *  - Callbacks must return: no longjmp(), no exception and no cancelled thread may leave them, or the call they are in.
 *    They free no handle at work; those for memory call nothing of the library.
 *  - Nothing is global, no process-wide setting is changed, nothing is printed, and no call aborts or exits.
 *  - A structure that starts with `size` may grow at its end. Initialise it with its `_INIT` macro, or zero it and set
 *    `size`: 0 is the default of every field, and where another value is meant by it, the field says which. The
 *    `_init` functions write those values out.
 *  - Enumerators are int32_t; an option's unknown value is refused.
 */
#ifndef BNNEP_BNNEP_H
#define BNNEP_BNNEP_H

#include <stddef.h>
#include <stdint.h>

#include <bnnep/version.h>

#if defined(__GNUC__)
#define BNNEP_API __attribute__((visibility("default")))
#else
#define BNNEP_API
#endif

/** What the `_INIT` macros expand to. */
#define BNNEP_INIT_(...)                                                                                               \
    { __VA_ARGS__ }

#ifdef __cplusplus
extern "C" {
#endif

/* --- Errors and version ------------------------------------------------------------------------------------------- */

/** What a call returns. */
typedef int32_t bnnep_status;
enum {
    BNNEP_OK = 0,
    BNNEP_ERROR_ARGUMENT = -1,    /**< an argument or option is out of range */
    BNNEP_ERROR_MEMORY = -2,      /**< out of memory, or of what the context allows */
    BNNEP_ERROR_FILE = -3,        /**< a file cannot be opened, read or written */
    BNNEP_ERROR_FORMAT = -4,      /**< a file does not hold what it should */
    BNNEP_ERROR_DATA = -5,        /**< NaN or infinity in inputs or outputs, a label outside the classes, or none */
    BNNEP_ERROR_UNSUPPORTED = -6, /**< this library or backend does not do it (yet) */
    BNNEP_ERROR_BACKEND = -7,     /**< no such backend or device here */
    BNNEP_ERROR_CALLBACK = -8,    /**< a callback of the caller's reported a failure */
    BNNEP_CANCELLED = -9          /**< the caller's progress callback or interrupt asked to stop */
};

/** The name of a status, such as "BNNEP_ERROR_FILE". Never NULL; static storage. */
BNNEP_API const char *bnnep_status_name(bnnep_status status);

/** What was wrong in the last call that failed in this thread: the value, and the limit it broke. Never NULL;
 * valid until the next call that fails in this thread. */
BNNEP_API const char *bnnep_last_error(void);

/** The version of the library at run time, encoded as BNNEP_VERSION; the same as text, such as "0.1.0", static. */
BNNEP_API uint32_t bnnep_version(void);
BNNEP_API const char *bnnep_version_string(void);

/* --- Contexts: where handles compute, and what they share --------------------------------------------------------- */

/* The first argument of what makes a handle. NULL stands for a context of the handle's own with all defaults. */

/** A backend and its threads, a log, memory. */
typedef struct bnnep_context bnnep_context;

enum { BNNEP_LOG_WARNING = 1, BNNEP_LOG_NOTICE = 2 };
/** Receives the library's messages, one line at a time without its end of line, in the calling thread. @p message is
 * valid during the call. */
typedef void (*bnnep_log_fn)(void *user, int32_t level, const char *message);

/** The caller's malloc and free, called by any thread: memory for any type, or NULL. */
typedef void *(*bnnep_allocate_fn)(void *user, size_t bytes);
typedef void (*bnnep_release_fn)(void *user, void *memory); /**< see bnnep_allocate_fn */

/** What a context is made with. */
typedef struct bnnep_context_options {
    size_t size;
    const char *backend;        /**< "auto" (default): the best that is here and does what is asked; or "cpu", "ref",
                                     "cuda", "cuda:1", any name of bnnep_backend_get(), of a module or given to
                                   bnnep_backend_register() */
    const char *module_path;    /**< folders with modules, libbnnep-NAME.so, from / on, separated by colons. NULL: those
                                     of the environment's BNNEP_BACKEND_PATH, of which others are left out (a set-uid
                                     program has none), else a shared library's own */
    bnnep_log_fn log;           /**< receives warnings and notices; NULL: none */
    void *log_user;             /**< passed to log */
    bnnep_allocate_fn allocate; /**< takes the memory of handles, NULL: malloc(). What other libraries take for
                                     themselves (jansson, zlib, OpenBLAS, CUDA) does not come from it */
    bnnep_release_fn release;   /**< gives it back; goes with allocate */
    void *memory_user;          /**< passed to both */
    uint64_t max_bytes;         /**< most bytes that one handle may take, or a file hold; 0: no limit. Beyond it, and
                                     beyond what files, as nobody vouches for them, may ask for: BNNEP_ERROR_MEMORY */
    uint64_t file_network;      /**< bytes of a network that a file describes; 0: 1 GiB */
    uint64_t file_unpacked;     /**< bytes that a compressed file unpacks to; 0: 1 GiB */
    uint64_t file_header;       /**< bytes of the header of a network's file; 0: 4 MiB */
    int32_t threads;            /**< threads that the context's handles share, the calling one included, 1 to 64; 0: as
                                     many as the calling thread may use processors, by its affinity and by the limits of
                                     its control group (Linux, version 2), at most 64. Results do not depend on it */
    int32_t file_steps;         /**< free steps of a network that a file describes; 0: 10000 */
} bnnep_context_options;
#define BNNEP_CONTEXT_OPTIONS_INIT                                                                                     \
    BNNEP_INIT_(sizeof(bnnep_context_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0)
BNNEP_API bnnep_status bnnep_context_options_init(bnnep_context_options *options, size_t size);

/** Makes a context. @p options may be NULL. A backend that is asked for by name must be there. */
BNNEP_API bnnep_status bnnep_context_create(const bnnep_context_options *options, bnnep_context **out);
BNNEP_API void bnnep_context_free(bnnep_context *context);

/** A backend, as bnnep_backend_get() describes it. Its strings are valid as long as the context is. */
typedef struct bnnep_backend_info {
    size_t size;
    const char *name;     /**< "ref", "cpu", ... */
    const char *summary;  /**< what it is, in one line */
    const char *reason;   /**< why it cannot be used here; "" if it can */
    int32_t available;    /**< 1 if it can be used here, else 0 */
    int32_t device_count; /**< its devices, see bnnep_device_get() */
} bnnep_backend_info;
#define BNNEP_BACKEND_INFO_INIT BNNEP_INIT_(sizeof(bnnep_backend_info), NULL, NULL, NULL, 0, 0)

/** How many backends the context (not NULL, here and below) knows, usable here or not. */
BNNEP_API size_t bnnep_backend_count(bnnep_context *context);
/** Describes backend @p index (from 0). "auto" tries "cuda", then "cpu"; others are used by name. */
BNNEP_API bnnep_status bnnep_backend_get(bnnep_context *context, size_t index, bnnep_backend_info *info);

/** A device of a backend. */
typedef struct bnnep_device_info {
    size_t size;
    const char *name;      /**< what to ask for: "cpu", "cuda:0". Strings are valid as long as the context is */
    const char *summary;   /**< what it is */
    const char *reserved;  /**< NULL */
    uint64_t memory_bytes; /**< memory of its own; 0: the machine's */
} bnnep_device_info;
#define BNNEP_DEVICE_INFO_INIT BNNEP_INIT_(sizeof(bnnep_device_info), NULL, NULL, NULL, 0)

/** Describes device @p device (from 0) of backend @p backend. */
BNNEP_API bnnep_status bnnep_device_get(bnnep_context *context, size_t backend, size_t device, bnnep_device_info *info);

/* --- Sources and sinks: where bytes come from and go to ----------------------------------------------------------- */

/** Delivers the next bytes, at most @p count, and sets @p got to how many; 0 at the end. Returns 0, or anything else
 * for failure. */
typedef int32_t (*bnnep_read_bytes_fn)(void *user, void *bytes, size_t count, size_t *got);
/** Takes the next bytes. Returns 0, or anything else for failure. */
typedef int32_t (*bnnep_write_bytes_fn)(void *user, const void *bytes, size_t count);

/** One of: a file, bytes in memory, a callback. */
typedef struct bnnep_source {
    size_t size;
    const char *path;         /**< a regular file (others: by read); NULL: one of the following */
    const void *bytes;        /**< [count]; need not outlive the call. NULL: read */
    size_t count;             /**< length of bytes */
    bnnep_read_bytes_fn read; /**< called until the end */
    void *user;               /**< passed to it */
    const char *name;         /**< for messages; NULL: the path, else "source" */
} bnnep_source;
#define BNNEP_SOURCE_INIT BNNEP_INIT_(sizeof(bnnep_source), NULL, NULL, 0, NULL, NULL, NULL)

/** One of: a file, memory, a callback. A file is written beside it as PATH.RANDOM.part, read back, synced and renamed:
 * whatever goes wrong before that, the one that was there stays whole. A link is replaced, not followed. */
typedef struct bnnep_sink {
    size_t size;
    const char *path;           /**< a file; NULL: one of the following */
    void *bytes;                /**< [room]. NULL: write; without it too, the bytes are only counted */
    size_t room;                /**< length of bytes; too few are BNNEP_ERROR_ARGUMENT */
    bnnep_write_bytes_fn write; /**< called until all is written */
    void *user;                 /**< passed to it */
    const char *name;           /**< for messages; NULL: the path, else "sink" */
    uint64_t *count;            /**< receives how many bytes there are; may be NULL */
} bnnep_sink;
#define BNNEP_SINK_INIT BNNEP_INIT_(sizeof(bnnep_sink), NULL, NULL, 0, NULL, NULL, NULL, NULL)

/* --- Data sets ---------------------------------------------------------------------------------------------------- */

/* A data set is a list of inputs with labels, or without: then they can only be predicted. Inputs are float; inputs
 * stored as bytes are divided by 255. Several threads may use a data set at once if they may call its callback, where
 * it has one, at once. */

/** A list of inputs. */
typedef struct bnnep_dataset bnnep_dataset;

enum { BNNEP_TYPE_FLOAT32 = 0, BNNEP_TYPE_UINT8 = 1 };
/** The layout of the inputs in the caller's memory, or from the caller's callback. */
typedef struct bnnep_dataset_options {
    size_t size;
    int32_t type;                    /**< BNNEP_TYPE_FLOAT32 or BNNEP_TYPE_UINT8 (read as value/255) */
    int32_t channels, height, width; /**< shape of an input, each 0: 1; its product is the number of values */
    int32_t classes;                 /**< labels are 0 ... classes-1; 0: any label from 0 on */
    int32_t borrow;                  /**< 0: the arrays are copied; 1: they are not, and must outlive the data set */
} bnnep_dataset_options;
#define BNNEP_DATASET_OPTIONS_INIT BNNEP_INIT_(sizeof(bnnep_dataset_options), 0, 0, 0, 0, 0, 0)
BNNEP_API bnnep_status bnnep_dataset_options_init(bnnep_dataset_options *options, size_t size);

/** A data set of @p count inputs in the caller's memory. @p inputs is [count][channels*height*width] of the
 * type in @p options, @p labels [count] or NULL. Fails with BNNEP_ERROR_DATA for a NaN, an infinity or a label outside
 * the classes, and names its index. */
BNNEP_API bnnep_status bnnep_dataset_from_memory(bnnep_context *context, const bnnep_dataset_options *options,
                                                 const void *inputs, const int32_t *labels, uint64_t count,
                                                 bnnep_dataset **out);

/** What a data callback is asked for. */
typedef struct bnnep_batch {
    size_t size;
    size_t count;            /**< samples */
    const uint64_t *indices; /**< which samples, [count] */
    float *inputs;           /**< [count][values], to be written; NULL: not wanted */
    int32_t *labels;         /**< [count], to be written; NULL: not wanted */
} bnnep_batch;

/** The caller's source of data, for sets larger than memory: writes what @p batch asks for. Returns 0, or anything else
 * for failure, which the library returns as BNNEP_ERROR_CALLBACK. Called in the thread that trains. */
typedef int32_t (*bnnep_read_fn)(void *user, const bnnep_batch *batch);

/** A data set of @p count inputs that @p read delivers. Ignores `type` and `borrow` of @p options. */
BNNEP_API bnnep_status bnnep_dataset_from_callback(bnnep_context *context, const bnnep_dataset_options *options,
                                                   bnnep_read_fn read, void *user, uint64_t count, bnnep_dataset **out);

/** Formats of data files. */
enum {
    BNNEP_FORMAT_AUTO = 0, /**< a folder's by its files, a file's by its name, ".bin" is CIFAR-10; by bytes in memory */
    BNNEP_FORMAT_IDX = 1,  /**< MNIST's: unsigned bytes, plain or gzip; images of 2 (count, values), 3 (count, rows,
                                columns) or 4 dimensions (count, channels, rows, columns), labels of one. A folder has
                                train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k, with or
                                without ".gz" */
    BNNEP_FORMAT_CIFAR10 = 2 /**< CIFAR-10's binary one: records of a label and 3 x 32 x 32 bytes, any number. A folder
                                  has data_batch_1.bin to data_batch_5.bin and test_batch.bin */
};

enum { BNNEP_PART_TRAINING = 0, BNNEP_PART_TEST = 1 };
/** How a data file or folder is read. */
typedef struct bnnep_open_options {
    size_t size;
    const bnnep_source *labels; /**< IDX file: its labels; NULL: there are none */
    int32_t format;             /**< BNNEP_FORMAT_... */
    int32_t part;               /**< of a folder: BNNEP_PART_TRAINING or BNNEP_PART_TEST */
    int32_t classes;            /**< labels are 0 ... classes-1; 0: any */
    int32_t reserved;           /**< 0 */
} bnnep_open_options;
#define BNNEP_OPEN_OPTIONS_INIT BNNEP_INIT_(sizeof(bnnep_open_options), NULL, 0, 0, 0, 0)
BNNEP_API bnnep_status bnnep_open_options_init(bnnep_open_options *options, size_t size);

/** A data set from a file or folder, or from any source, read whole. @p options may be NULL: the training set of a
 * folder. Errors name the file, the offset (in the uncompressed data) and what was expected. */
BNNEP_API bnnep_status bnnep_dataset_open(bnnep_context *context, const char *path, const bnnep_open_options *options,
                                          bnnep_dataset **out);
BNNEP_API bnnep_status bnnep_dataset_from_source(bnnep_context *context, const bnnep_source *source,
                                                 const bnnep_open_options *options, bnnep_dataset **out);

/** The @p count inputs of @p dataset from index @p first on, as a data set of its own that shares its memory.
 * Fails if there are not that many. */
BNNEP_API bnnep_status bnnep_dataset_subset(const bnnep_dataset *dataset, uint64_t first, uint64_t count,
                                            bnnep_dataset **out);

/** The inputs at the @p count indices, in their order, any of them any number of times; shares the memory. */
BNNEP_API bnnep_status bnnep_dataset_select(const bnnep_dataset *dataset, const uint64_t *indices, uint64_t count,
                                            bnnep_dataset **out);

/** The inputs of @p count data sets of one shape, all with labels or all without, in a row; shares their memory. */
BNNEP_API bnnep_status bnnep_dataset_concat(const bnnep_dataset *const *datasets, size_t count, bnnep_dataset **out);

/** How inputs are transformed as they are read. */
typedef struct bnnep_transform {
    size_t size;
    const float *mean, *deviation; /**< [channel_count]: values become (value - mean) / deviation; NULL: they stay */
    size_t channel_count;          /**< length of both; 0: the data set's channels */
    int32_t flip;                  /**< 1: training mirrors inputs left to right with probability 1/2 */
    int32_t crop; /**< training crops inputs at random, to their size, after this much edge padding; 0: it does not */
} bnnep_transform;
#define BNNEP_TRANSFORM_INIT BNNEP_INIT_(sizeof(bnnep_transform), NULL, NULL, 0, 0, 0)

/** Fills in the paper's transform of CIFAR-10: its mean and deviation (static storage), and for the training part
 * flips and crops of 4. */
BNNEP_API bnnep_status bnnep_transform_init_cifar10(bnnep_transform *transform, size_t size, int32_t part);

/** The same inputs, transformed by this alone as they are read, sharing the memory. Only training flips and crops, as
 * the optimizer's seed, its epoch and the input's index say. Not for data sets with a callback or concatenated. */
BNNEP_API bnnep_status bnnep_dataset_transformed(const bnnep_dataset *dataset, const bnnep_transform *transform,
                                                 bnnep_dataset **out);

/** What a data set holds. */
typedef struct bnnep_dataset_info {
    size_t size;
    const float *mean, *deviation;   /**< [channels], how inputs are normalised, see bnnep_transform; NULL: they are
                                          not. Valid as long as the data set is */
    uint64_t count;                  /**< number of inputs */
    int32_t channels, height, width; /**< shape of one */
    int32_t classes;                 /**< as declared; else largest label + 1; 0 if not known (callback, no labels) */
    int32_t labelled;                /**< 1: there are labels */
    int32_t reserved;                /**< 0 */
} bnnep_dataset_info;
#define BNNEP_DATASET_INFO_INIT BNNEP_INIT_(sizeof(bnnep_dataset_info), NULL, NULL, 0, 0, 0, 0, 0, 0, 0)
BNNEP_API bnnep_status bnnep_dataset_get_info(const bnnep_dataset *dataset, bnnep_dataset_info *info);

/** Reads @p count inputs and labels from index @p first on. @p inputs is [count][values], or NULL; @p labels
 * [count], or NULL; -1 where there are none. */
BNNEP_API bnnep_status bnnep_dataset_read(const bnnep_dataset *dataset, uint64_t first, size_t count, float *inputs,
                                          int32_t *labels);
BNNEP_API void bnnep_dataset_free(bnnep_dataset *dataset);

/* --- Networks ----------------------------------------------------------------------------------------------------- */

/** A network: its parameters on a backend, and a workspace of its own. */
typedef struct bnnep_network bnnep_network;

/** The two kinds of dynamics of the paper. */
enum {
    BNNEP_DYNAMICS_REAL = 0,  /**< binary weights, full-precision activations ("bin_W", hard sigmoid) */
    BNNEP_DYNAMICS_BINARY = 1 /**< binary weights and activations ("bin_W_N", Heaviside, leaky states) */
};

/** Which layers move in a time step, t = 1, 2, ... of each phase. */
enum {
    BNNEP_SCHEDULE_SYNCHRONOUS = 0, /**< all of them, from the states of the step before: the paper's */
    BNNEP_SCHEDULE_ALTERNATING = 1, /**< layers 1, 3, 5 ... where t is odd, else the others: half the work a step */
    BNNEP_SCHEDULE_OVER_RELAXED = 2 /**< alternating, and from the ninth step of the free phase on states go 1.4 times
                                       the way: fewer steps where samples rest late. Real activations */
};

/** Initial values: w ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)), B = sign(w), alpha = mean|w| rounded to 4 decimals, biases
 * from the same distribution, or 0 in convolutional networks with binary activations. */
enum {
    BNNEP_START_PAPER = 0,
    BNNEP_START_BALANCED = 1 /**< for deep networks, and the default rule of bnnep_optimizer_options. Binary
                                activations: a hidden unit stands at theta, and an output at 0, while all hidden units
                                about it are half active; with h hidden layers, the outputs' alpha is 2^h times
                                smaller, h at most 16, and one between hidden layers 0.2 sqrt(columns below / rows)
                                times that of the connection below, at least 2^-16 of the paper's. Full-precision
                                activations: a connection from hidden units to more units has an alpha of
                                1 / (2 sqrt(rows)). So what layers feed back does not drown what comes from below. In
                                fully connected connections; convolutions are as in the paper, and in networks that have
                                some alphas of binary activations too */
};

enum {
    BNNEP_CONNECTION_FULL = 0,       /**< fully connected */
    BNNEP_CONNECTION_CONVOLUTION = 1 /**< of stride 1, then max-pooling; comes before all fully connected ones */
};

/** One connection of a network's description. Write it with BNNEP_FC or BNNEP_CONV. */
typedef struct bnnep_connection {
    size_t size;
    int32_t kind;     /**< BNNEP_CONNECTION_FULL or BNNEP_CONNECTION_CONVOLUTION */
    int32_t outputs;  /**< units or channels of the layer it leads to; > 0 */
    int32_t kernel;   /**< convolution: edge of the kernel, 1 to 255; else 0 */
    int32_t padding;  /**< convolution: zeros around the map, at most 255; else 0 */
    int32_t pool;     /**< convolution: edge of the pooling window, which is also its stride (rows and columns left over
                           are dropped), at most 255; 0: 1. Else 0 */
    int32_t from, to; /**< the layers it joins; 0: this one and the next. Nothing else is known yet */
    int32_t reserved; /**< 0 */
} bnnep_connection;
/** A fully connected connection to a layer of @p outputs units. */
#define BNNEP_FC(outputs) BNNEP_INIT_(sizeof(bnnep_connection), BNNEP_CONNECTION_FULL, outputs, 0, 0, 0, 0, 0, 0)
/** A convolution to @p channels channels, with pooling. */
#define BNNEP_CONV(channels, kernel, padding, pool)                                                                    \
    BNNEP_INIT_(sizeof(bnnep_connection), BNNEP_CONNECTION_CONVOLUTION, channels, kernel, padding, pool, 0, 0, 0)

/** What a network is. */
typedef struct bnnep_network_options {
    size_t size;
    const bnnep_connection *connections; /**< [connection_count], input first; only read during the call */
    size_t connection_count;             /**< number of connections, 1 to 1024 */
    double theta;                        /**< threshold of binary activations ("rho_threshold"), up to 1; 0: 0.5 */
    double gamma_neur;                   /**< leak of the states with binary activations, above 0, at most 1; 0: 0.5 */
    double settle_tolerance; /**< a sample ends its phase when no state changes by more than this in a step. 0: exact,
                                  as if all steps were done. Negative: always all steps. Above 0, the cpu backend may
                                  send up to 2^-10 of a step's largest change in later steps, in fully connected
                                  networks with real activations; that vanishes as the sample comes to rest */
    uint64_t seed;           /**< of the initial weights and biases */
    int32_t dynamics;        /**< BNNEP_DYNAMICS_REAL or BNNEP_DYNAMICS_BINARY */
    int32_t input_channels, input_height, input_width; /**< shape of an input, each 0: 1 */
    int32_t classes;                                   /**< number of classes, at least 2; 0: 10 */
    int32_t expand_output; /**< output units per class, class-major; the last layer has classes*expand_output. 0: 1 */
    int32_t free_steps;    /**< T: time steps of the free phase; 0: 50 */
    int32_t max_batch;     /**< samples relaxed at once, and the largest batch (a larger workspace takes more, but not
                              BPTT); 0: 64 */
    int32_t grid_bits; /**< 0: states are floats. 8 to 20, real activations: states and inputs are rounded to multiples
                            of 2^-grid_bits, half to even, after each step, so that their sums are exact and states the
                            same bit for bit on every backend. Sums must fit into 32 bits: those of n values need
                            n + 1 < 2^(31 - grid_bits). Inputs may exceed 1 as far as that leaves room. Not with
                            BNNEP_METHOD_BPTT */
    int32_t schedule;  /**< BNNEP_SCHEDULE_...; an alternating sample ends its phase after two steps in a row in which
                            nothing changed by more. Alternating not with BNNEP_METHOD_BPTT */
    int32_t start;     /**< initial values: BNNEP_START_... */
    float feedback;    /**< strength of what layers receive from above, of what they would by their weights: above 0, at
                            most 1; weaker keeps deep networks from holding themselves active. 1 with binary activations
                            and BNNEP_METHOD_BPTT. 0: 1, the paper's; with BNNEP_START_BALANCED, full-precision
                            activations, no grid and more than one hidden layer, all fully connected, 0.1, where the
                            backend can. The nudge moves each layer so much less than the one above: settle_tolerance
                            must be smaller in deep networks */
} bnnep_network_options;
#define BNNEP_NETWORK_OPTIONS_INIT                                                                                     \
    BNNEP_INIT_(sizeof(bnnep_network_options), NULL, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0f)
BNNEP_API bnnep_status bnnep_network_options_init(bnnep_network_options *options, size_t size);

/** Makes a network with random initial values. A seed gives the same ones on every backend. */
BNNEP_API bnnep_status bnnep_network_create(bnnep_context *context, const bnnep_network_options *options,
                                            bnnep_network **out);

/** A network with the same parameters, in @p context; NULL: in the context of @p network. */
BNNEP_API bnnep_status bnnep_network_clone(const bnnep_network *network, bnnep_context *context, bnnep_network **out);

/** How many bytes a network of this description will take, device and host memory together, with its workspace and, if
 * @p trained is not 0, an optimizer for equilibrium propagation. Does not count data sets, nor the steps that one with
 * BNNEP_METHOD_BPTT remembers: some values per unit, sample of max_batch and step, which can be many times the rest. */
BNNEP_API bnnep_status bnnep_network_memory(bnnep_context *context, const bnnep_network_options *options,
                                            int32_t trained, uint64_t *bytes);
BNNEP_API void bnnep_network_free(bnnep_network *network);

/** Changes the length of the free phase and when phases end early; see bnnep_network_options. */
BNNEP_API bnnep_status bnnep_network_set_relaxation(bnnep_network *network, int32_t free_steps,
                                                    double settle_tolerance);

/** See bnnep_network_options. */
typedef struct bnnep_network_info {
    size_t size;
    const char *backend;     /**< the backend in use, such as "cpu"; valid as long as the network is */
    size_t connection_count; /**< number of connections */
    size_t layer_count;      /**< number of layers, the input included: connection_count + 1 */
    uint64_t inputs;         /**< values in an input */
    uint64_t outputs;        /**< units of the output layer */
    uint64_t weights;        /**< binary weights in all */
    double theta, gamma_neur, settle_tolerance;
    int32_t dynamics, classes, expand_output, max_batch, free_steps, grid_bits;
    int32_t input_channels, input_height, input_width, schedule;
    float feedback;   /**< as it is, also where the library chose */
    int32_t reserved; /**< 0 */
} bnnep_network_info;
#define BNNEP_NETWORK_INFO_INIT                                                                                        \
    BNNEP_INIT_(sizeof(bnnep_network_info), NULL, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0f, 0)
BNNEP_API bnnep_status bnnep_network_get_info(const bnnep_network *network, bnnep_network_info *info);

/* --- Training ----------------------------------------------------------------------------------------------------- */

/** How a network learns, and what it must remember to do so. */
typedef struct bnnep_optimizer bnnep_optimizer;

/** Where the gradient comes from. */
enum {
    BNNEP_METHOD_EQUILIBRIUM_PROPAGATION = 0,
    BNNEP_METHOD_BPTT = 1 /**< back-propagation through time, the paper's baseline: the gradient of 1/2 |s_L - target|^2
                             through the last nudged_steps + 1 free steps (convolutional networks: nudged_steps), with
                             the same rule. For real activations and fixed scaling factors; free_steps > nudged_steps */
};

/** Which nudge a batch gets: one of beta or of -beta, as is drawn; one of beta; both, each from the free states, of
 * which the contrast is taken. */
enum { BNNEP_NUDGE_RANDOM_SIGN = 0, BNNEP_NUDGE_FIXED = 1, BNNEP_NUDGE_CENTRED = 2 };

/** In which unit thresholds, and learning rates of biases and scaling factors, are given: as they are applied, as in
 * the paper; or in deviations of a connection's contrast, which the optimizer measures. Then a threshold is so many
 * deviations of a momentum that noise alone drives, and a contrast of one deviation moves a bias by its rate, and a
 * scaling factor by its rate times the mean that those of the connection begin with. Nothing moves before the first
 * update in which outputs did, nor biases and scaling factors of which there are few before 16 of their contrasts were
 * measured. Thresholds begin higher, by a factor of 1 + 32 / updates; but for that, none falls more than twice as fast
 * as momenta without contrast. */
enum { BNNEP_UNIT_ABSOLUTE = 0, BNNEP_UNIT_DEVIATIONS = 1 };

/** How gamma and the learning rates fall: to fall_to times what they are, in fall_updates updates, by a power or half a
 * cosine; or without end, divided by 1 + gamma * updates: a momentum then looks back on all that went before. */
enum { BNNEP_FALL_CONSTANT = 0, BNNEP_FALL_EXPONENTIAL = 1, BNNEP_FALL_COSINE = 2, BNNEP_FALL_HARMONIC = 3 };

/** How a network learns. The four arrays have one element per connection, input first, and are copied. If all four are
 * NULL, the default rule is meant, in deviations (docs/learning-rule.md): gamma 2e-3, threshold 0.7, lr_bias 1e-2,
 * falling harmonically if fall is 0; and but for BNNEP_METHOD_BPTT lr_alpha 3e-3, covariances, and a centred nudge if
 * nudge is 0. With binary activations and h hidden layers (at least 1): lr_bias 1e-2 / h^2 but of the outputs, no
 * lr_alpha, and beta 2 if beta is 0. It goes with BNNEP_START_BALANCED. Otherwise the first three are required.
 */
typedef struct bnnep_optimizer_options {
    size_t size;
    const double *gamma;     /**< gain of the momentum, above 0, at most 1: m <- (1-gamma) m + gamma g */
    const double *threshold; /**< tau, at least 0: a weight flips when -sign(W) m exceeds it */
    const double *lr_bias;   /**< learning rates of the biases, at least 0 */
    const double *lr_alpha;  /**< learning rates of the scaling factors, at least 0; NULL: not learnt */
    size_t connection_count; /**< length of each; 0: the network's */
    double beta;             /**< strength of the nudge; 0: 0.3, but by the default rule */
    uint64_t seed;           /**< of the order of the data and the signs of beta */
    int32_t method;          /**< BNNEP_METHOD_EQUILIBRIUM_PROPAGATION or BNNEP_METHOD_BPTT */
    int32_t nudged_steps;    /**< Kmax: time steps of the nudged phase; 0: 10 */
    int32_t nudge;           /**< BNNEP_NUDGE_... */
    int32_t keep_order;      /**< 0: each epoch takes the data in a new random order; 1: in their own */
    double fall_to;          /**< where a schedule ends, above 0, at most 1 */
    uint64_t fall_updates;   /**< updates that a schedule takes, at least 1 */
    int32_t threshold_kind;  /**< unit of threshold: BNNEP_UNIT_ABSOLUTE or BNNEP_UNIT_DEVIATIONS */
    int32_t rate_kind;       /**< the same of lr_bias and lr_alpha */
    int32_t fall;            /**< BNNEP_FALL_...; renewed each update, after 256 every 64, as deviations are */
    int32_t flip_reset;      /**< 1: the momentum of a weight that flips starts again from 0 */
    int32_t covariance;      /**< 1: a weight's contrast is that of the covariance of its two units over the batch, not
                                  of their mean product, so that what all samples share moves biases alone. In fully
                                  connected connections; of one sample about running means of activations, which
                                  checkpoints hold; not with BPTT */
    float consolidation; /**< above 0: the more a momentum has spoken for its weight, the smaller its steps towards a
                              flip, by 1 - tanh^2(consolidation m / threshold): what was learnt before is kept longer,
                              when other data follows. From 0 to 1e6, without unit; all steps are whole if it is 0, or
                              the threshold is 0 or not known yet */
} bnnep_optimizer_options;
#define BNNEP_OPTIMIZER_OPTIONS_INIT                                                                                   \
    BNNEP_INIT_(sizeof(bnnep_optimizer_options), NULL, NULL, NULL, NULL, 0, 0.0, 0, 0, 0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0, \
                0.0f)
BNNEP_API bnnep_status bnnep_optimizer_options_init(bnnep_optimizer_options *options, size_t size);

/** Makes an optimizer for @p network, its momenta zero. A network may have several; each has its own momenta.
 * @p options may be NULL. */
BNNEP_API bnnep_status bnnep_optimizer_create(bnnep_network *network, const bnnep_optimizer_options *options,
                                              bnnep_optimizer **out);

/** An optimizer with the same momenta, rates, position and all that was measured, for @p network (such as a clone),
 * which must have the same shape. */
BNNEP_API bnnep_status bnnep_optimizer_clone(const bnnep_optimizer *optimizer, bnnep_network *network,
                                             bnnep_optimizer **out);
BNNEP_API void bnnep_optimizer_free(bnnep_optimizer *optimizer);

/** What an optimizer was made with, and where it stands: batches and epochs done. */
typedef struct bnnep_optimizer_info {
    size_t size;
    uint64_t batches, epochs, seed;
    int32_t method, nudged_steps, nudge, keep_order;
    int32_t learns_alpha; /**< 1: the scaling factors are learnt */
    int32_t reserved;     /**< 0 */
} bnnep_optimizer_info;
#define BNNEP_OPTIMIZER_INFO_INIT BNNEP_INIT_(sizeof(bnnep_optimizer_info), 0, 0, 0, 0, 0, 0, 0, 0, 0)
BNNEP_API bnnep_status bnnep_optimizer_get_info(const bnnep_optimizer *optimizer, bnnep_optimizer_info *info);

/** Rates of an optimizer: one value a connection, but for beta, which is one. */
enum { BNNEP_RATE_GAMMA = 0, BNNEP_RATE_THRESHOLD, BNNEP_RATE_BIAS, BNNEP_RATE_ALPHA, BNNEP_RATE_BETA };

/** Reads a rate, or changes it from the next batch on; see bnnep_optimizer_options. It is what was given, in its unit:
 * what it has fallen to since is not told. A checkpoint keeps it. BNNEP_RATE_ALPHA needs an optimizer that was made
 * with lr_alpha. */
BNNEP_API bnnep_status bnnep_optimizer_get_rates(const bnnep_optimizer *optimizer, int32_t which, double *values,
                                                 size_t count);
BNNEP_API bnnep_status bnnep_optimizer_set_rates(bnnep_optimizer *optimizer, int32_t which, const double *values,
                                                 size_t count);

/** Results of a batch, an epoch or an evaluation. The arrays are the caller's, or NULL: set them before the call. */
typedef struct bnnep_report {
    size_t size;
    uint64_t *flips;           /**< training: weights flipped, per connection */
    size_t flips_count;        /**< its length, and that of edges and contrasts; at least the number of connections */
    uint64_t *confusion;       /**< evaluation: samples by class and prediction, [classes][classes] */
    size_t confusion_count;    /**< its length */
    int32_t *predictions;      /**< evaluation: the class that each sample was taken for */
    size_t predictions_count;  /**< its length, at least the number of samples */
    uint64_t samples, batches; /**< done */
    uint64_t errors;           /**< misclassified samples, read by averaging the units of a class */
    uint64_t errors_single;    /**< the same, read from the first unit of a class */
    double loss;               /**< 1/2 |s_L - target|^2 after the free phase, mean over the samples */
    double steps_free;         /**< time steps done in the free phase, mean over the samples */
    double steps_nudged;       /**< the same of the nudged phase, or of both */
    double seconds; /**< wall-clock time; of training, that of staging, the phases (or going back) and updating: */
    double seconds_stage, seconds_free, seconds_nudged, seconds_learn;
    int32_t steps_free_max;   /**< the largest number of free steps a sample took */
    int32_t steps_nudged_max; /**< the same of the nudged phase */
    double *edges; /**< training: share of a connection's weights whose |momentum| is above half of its threshold. As
                      long as flips, as contrasts is; both are filled in at the end of a call, not for a callback */
    double *contrasts; /**< training: root mean square of the weights' contrast in the last batch; 0 where that was not
                          measured, as in an epoch that was stopped */
} bnnep_report;
#define BNNEP_REPORT_INIT                                                                                              \
    BNNEP_INIT_(sizeof(bnnep_report), NULL, 0, NULL, 0, NULL, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,   \
                0, 0, NULL, NULL)

/** When a progress callback is called: within a phase, only for cancelling; when a batch is done. Then it may also read
 * the handles at work (states, parameters, rates), save or clone them, and predict with another workspace. */
enum { BNNEP_EVENT_STEP = 0, BNNEP_EVENT_BATCH = 1 };

/** What a progress callback receives. */
typedef struct bnnep_progress {
    size_t size;
    const bnnep_report *so_far; /**< results so far; valid during the call */
    uint64_t batches_done, batches_total, samples_done;
    int32_t event;    /**< BNNEP_EVENT_STEP or BNNEP_EVENT_BATCH */
    int32_t reserved; /**< 0 */
} bnnep_progress;

/** Called in the calling thread as work proceeds. Return 0 to continue, anything else to stop: the running call then
 * returns BNNEP_CANCELLED, the batch under way has changed nothing, those before it stay done. (After the last batch
 * there is nothing left to stop, and the call succeeds.) */
typedef int32_t (*bnnep_progress_fn)(void *user, const bnnep_progress *progress);

/** States of a network's layers: what a thread needs to relax it. */
typedef struct bnnep_workspace bnnep_workspace;

/** How training, evaluation and prediction run. */
typedef struct bnnep_run_options {
    size_t size;
    bnnep_workspace *workspace; /**< where states are kept; NULL: in the network's own, for one thread at a time */
    bnnep_progress_fn progress; /**< NULL: none */
    void *user;                 /**< passed to progress */
    const int32_t *interrupt; /**< stops the call as progress can, once bnnep_interrupt() set it; NULL: nothing does */
    size_t batch_size;        /**< samples at once, at most those of the workspace; 0: as many */
    int32_t readout;          /**< prediction: BNNEP_READOUT_AVERAGE or BNNEP_READOUT_SINGLE */
    int32_t reserved;         /**< 0 */
} bnnep_run_options;
#define BNNEP_RUN_OPTIONS_INIT BNNEP_INIT_(sizeof(bnnep_run_options), NULL, NULL, NULL, NULL, 0, 0, 0)
BNNEP_API bnnep_status bnnep_run_options_init(bnnep_run_options *options, size_t size);

/** Sets a flag, from any thread or signal handler: calls that run with it return BNNEP_CANCELLED, until it is 0. */
BNNEP_API void bnnep_interrupt(int32_t *flag);

/** Trains on one batch: free phase, nudged phase, update. @p inputs is [count][inputs], @p labels [count], count 1 to
 * max_batch. @p run and @p report may be NULL, here and below. The errors and the loss are those before the update. */
BNNEP_API bnnep_status bnnep_optimizer_train_batch(bnnep_optimizer *optimizer, const float *inputs,
                                                   const int32_t *labels, size_t count, const bnnep_run_options *run,
                                                   bnnep_report *report);

/** Trains on all of @p dataset once, in batches; the last may be smaller. A cancelled call fills in @p report with what
 * was done. The optimizer's count of epochs determines the order of the data. If data turn out to be bad on the way,
 * the batches before stay done. The next call resumes an epoch that was cancelled, or whose checkpoint was loaded; it
 * needs the same number of samples and batch size, and reports on the whole epoch. */
BNNEP_API bnnep_status bnnep_optimizer_train_epoch(bnnep_optimizer *optimizer, const bnnep_dataset *dataset,
                                                   const bnnep_run_options *run, bnnep_report *report);

/* --- Evaluation and prediction ------------------------------------------------------------------------------------ */

/** Runs the free phase on all of @p dataset and counts the errors. Changes no parameter. Without labels there are none
 * to count: then errors and loss are 0, and @p report must ask for predictions. */
BNNEP_API bnnep_status bnnep_network_evaluate(const bnnep_network *network, const bnnep_dataset *dataset,
                                              const bnnep_run_options *run, bnnep_report *report);

/** How the output units of a class are read: the mean of its expand_output units, or the first of them. */
enum { BNNEP_READOUT_AVERAGE = 0, BNNEP_READOUT_SINGLE = 1 };
/** Classifies @p count inputs ([count][inputs], any number). @p scores is [count][classes], or NULL: the value read
 * for each class; @p classes [count], or NULL: the class with the largest score, the lowest of several. */
BNNEP_API bnnep_status bnnep_network_predict(const bnnep_network *network, const float *inputs, uint64_t count,
                                             const bnnep_run_options *run, float *scores, int32_t *classes);

/** The size of a workspace. */
typedef struct bnnep_workspace_options {
    size_t size;
    int32_t max_batch; /**< samples relaxed at once; 0: as the network */
    int32_t threads;   /**< the most of the context's threads that it computes with; 0: all */
} bnnep_workspace_options;
#define BNNEP_WORKSPACE_OPTIONS_INIT BNNEP_INIT_(sizeof(bnnep_workspace_options), 0, 0)
BNNEP_API bnnep_status bnnep_workspace_options_init(bnnep_workspace_options *options, size_t size);

/** Makes a workspace for @p network. @p options may be NULL. */
BNNEP_API bnnep_status bnnep_workspace_create(const bnnep_network *network, const bnnep_workspace_options *options,
                                              bnnep_workspace **out);
BNNEP_API void bnnep_workspace_free(bnnep_workspace *workspace);

/** The network's own workspace, in which training leaves its states. Do not free it. */
BNNEP_API bnnep_workspace *bnnep_network_workspace(bnnep_network *network);

/* --- Files -------------------------------------------------------------------------------------------------------- */

/* Files are safetensors, which many programs read; docs/format.md describes them. Values that are not finite, as those
 * of a run that diverged, are not written: BNNEP_ERROR_DATA. Notes are the caller's UTF-8 text, kept as it is, or NULL.
 * A file that is cut or damaged is BNNEP_ERROR_FORMAT; one that needs what this library does not know is
 * BNNEP_ERROR_UNSUPPORTED, and the message names it. */

/** Writes all that a run must remember: network, momenta, rates, position (within an epoch too), options. */
BNNEP_API bnnep_status bnnep_checkpoint_save(const bnnep_optimizer *optimizer, const char *path, const char *note);
BNNEP_API bnnep_status bnnep_checkpoint_write(const bnnep_optimizer *optimizer, const bnnep_sink *sink,
                                              const char *note);

/** Restores an optimizer and its network from a checkpoint; training then continues bit for bit as if it had not been
 * interrupted. Network and optimizer must have been made with the checkpoint's options, except for context, max_batch
 * and the seed of the network; what was changed since (rates, relaxation) is part of the checkpoint. If they were not
 * (BNNEP_ERROR_ARGUMENT), or if the file is not whole or holds impossible values, nothing changes and the message names
 * the file and the field. */
BNNEP_API bnnep_status bnnep_checkpoint_load(bnnep_optimizer *optimizer, const char *path);
BNNEP_API bnnep_status bnnep_checkpoint_read(bnnep_optimizer *optimizer, const bnnep_source *source);

/** Writes a network for inference: signs, scaling factors, biases. */
BNNEP_API bnnep_status bnnep_network_save(const bnnep_network *network, const char *path, const char *note);
BNNEP_API bnnep_status bnnep_network_write(const bnnep_network *network, const bnnep_sink *sink, const char *note);

/** What a file does not say about a network. */
typedef struct bnnep_load_options {
    size_t size;
    int32_t max_batch; /**< see bnnep_network_options; 0: 64 */
    int32_t reserved;  /**< 0 */
} bnnep_load_options;
#define BNNEP_LOAD_OPTIONS_INIT BNNEP_INIT_(sizeof(bnnep_load_options), 0, 0)
BNNEP_API bnnep_status bnnep_load_options_init(bnnep_load_options *options, size_t size);

/** Makes a network from a file of either kind. @p options may be NULL. */
BNNEP_API bnnep_status bnnep_network_load(bnnep_context *context, const char *path, const bnnep_load_options *options,
                                          bnnep_network **out);
BNNEP_API bnnep_status bnnep_network_read(bnnep_context *context, const bnnep_source *source,
                                          const bnnep_load_options *options, bnnep_network **out);

/** Copies a text of a file's metadata (docs/format.md) to @p text, at most @p room bytes with the final 0; sets
 * @p length (may be NULL) to its whole length without it. @p key is "note", "format", "library", "network",
 * "optimizer", "position" and so on. A text that the file lacks is empty. */
BNNEP_API bnnep_status bnnep_file_text(const char *path, const char *key, char *text, size_t room, size_t *length);
BNNEP_API bnnep_status bnnep_source_text(const bnnep_source *source, const char *key, char *text, size_t room,
                                         size_t *length);

#ifdef __cplusplus
}
#endif

#include <bnnep/inside.h>

#endif
