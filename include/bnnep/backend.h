/* SPDX-License-Identifier: MIT */
/**
 * @file backend.h
 * What a backend is: one table of functions that go through whole phases. The library sees backends only through this
 * file, and backends see of the library only this file, bnnep/rules.h and bnnep/bnnep.h. A backend may live outside the
 * library: as a module libbnnep-NAME.so that exports a table bnnep_backend_NAME, or handed to
 * bnnep_backend_register(). examples/backend is one; docs/backend-howto.md tells how to write and test another.
 *
 * A backend keeps four kinds of objects, each behind a void pointer of its own:
 *   device     where its networks compute: threads or a GPU; opened once a context
 *   network    parameters (signs, scaling factors, biases); read-only but for put, update and learn, so that several
 *              workspaces may relax on it at once
 *   workspace  one staged batch, its drive and the states of the phases; used by one thread at a time
 *   optimizer  momenta, and a contrast
 * Everything is allocated when they are made, but for the contrast that an optimizer keeps, which may wait for the
 * first one; nothing in the batch loop of training.
 *
 * The library has checked all arguments: sizes fit, indices exist, numbers are finite, the backend can do what is
 * asked. A function that can still fail returns a status and writes why to `why`, BNNEP_WHY bytes. Backends draw no
 * random numbers and read no clock, and all of them do the same arithmetic where it is exact (see bnnep/rules.h).
 *
 * What may change: structures and the table may grow at their ends while BNNEP_BACKEND_ABI stays; each begins with its
 * size in the library, or the backend, that made it. Anything else raises BNNEP_BACKEND_ABI, and the library takes only
 * backends with its own.
 */
#ifndef BNNEP_BACKEND_H
#define BNNEP_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bnnep/bnnep.h>
#include <bnnep/rules.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BNNEP_BACKEND_ABI 5u
#define BNNEP_WHY 256

/* More bytes than there can be. */
#define BNNEP_UNCOUNTED (UINT64_MAX / 8)

/* --- networks ---------------------------------------------------------------------------------------------------- */

/* A channels x height x width map of units. */
struct bnnep_map {
    size_t channels, height, width;
};

/* A connection as backends see it: layer `in` units -> layer `out` units through a sign matrix rows x columns. */
struct bnnep_link {
    size_t size;
    size_t rows, columns; /* fully connected: out, in; convolution: output channels, input channels * kernel^2 */
    size_t in, out;       /* units of the two layers */
    size_t scales;        /* scaling factors: 1, or rows (convolution) */
    /* convolution only; the order of columns is [channel][row][column] */
    struct bnnep_map from, to; /* shapes of the two layers */
    size_t kernel, padding, pool;
    int32_t kind; /* BNNEP_CONNECTION_... */
    int32_t reserved;
};

/* The fixed part of a network. The library owns it and keeps it until the last object made from it is gone. */
struct bnnep_model {
    size_t size;
    size_t connections;                    /* L; convolutions come first, the last one is fully connected */
    const struct bnnep_link *const *links; /* [connections] */
    int32_t dynamics;                      /* BNNEP_DYNAMICS_REAL, BNNEP_DYNAMICS_BINARY */
    int32_t convolutional; /* has a convolution: output unclamped, >= in the flip rule, constant prediction error */
    float theta, gamma_neur;
    struct bnnep_grid grid; /* real activations */
    int32_t schedule;       /* BNNEP_SCHEDULE_... */
    float feedback;         /* strength of what layers receive from above; 1 with binary activations */
};

/* Parameters of one connection in canonical host form, to read from and to write to; a NULL member is left out.
 * bits is [rows][ceil(columns/8)], least significant bit first, 1 means +1, tail bits 0. */
struct bnnep_parameters {
    size_t size;
    const uint8_t *bits;
    const float *scale; /* [scales] */
    const float *bias;  /* [rows] */
};

struct bnnep_parameters_out {
    size_t size;
    uint8_t *bits;
    float *scale, *bias;
};

/* --- phases and learning ----------------------------------------------------------------------------------------- */

enum { BNNEP_PHASES = 3 }; /* BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, BNNEP_PHASE_OTHER */

/* A phase to run. */
struct bnnep_phase_run {
    size_t size;
    /* Polled now and then in the calling thread; not 0 means stop. May be NULL. */
    int32_t (*cancelled)(void *user);
    void *cancel_user;
    int32_t from, to;
    int32_t steps;
    float beta;      /* 0: free */
    float tolerance; /* a sample whose states change by no more in a step is settled; negative: never */
    int32_t reserved;
};

/* A contrast, or a part of it, of one connection; a NULL member is left out. Plain sums over the batch: second phase
 * less first, or the gradient of the loss. */
struct bnnep_contrast {
    size_t size;
    const float *weights; /* [rows][columns], of B */
    const float *bias;    /* [rows] */
    const float *scale;   /* [scales] */
};

struct bnnep_contrast_out {
    size_t size;
    float *weights, *bias, *scale;
};

/* How one connection learns from a contrast G, in float as it is applied:
 * m <- decay*m + gain*G, as far as bnnep_consolidated lets it;  flip where -sign(W)*m > threshold, or at_threshold
 * where it is >=; b <- b + bias_gain*Gb;  alpha <- alpha + scale_gain*Galpha. */
struct bnnep_rule {
    size_t size;
    float decay, gain, threshold, bias_gain, scale_gain;
    int32_t at_threshold; /* in convolutional networks */
    int32_t reset;        /* 1: the momentum of a weight that flips starts again from 0 */
    float consolidation;  /* per |m|; 0: none */
};

/* Sums of the squares of a contrast's parts G, Gb and Galpha, of one connection: in double, in any order that does not
 * depend on threads. The library rounds them, so that another order comes to the same. */
struct bnnep_squares {
    double weights, bias, scale;
};

/* What a contrast is taken of, or an update done by. */
struct bnnep_learning {
    size_t size;
    const struct bnnep_rule *const *rules; /* [connections]; NULL for a contrast alone */
    uint64_t *flips;                       /* [connections], to be written; NULL for a contrast alone */
    int32_t first, second;                 /* phases; without meaning if there is a tape, and for an update */
    int32_t learn_scale;                   /* 1: scaling factors too */
    int32_t covariance; /* 1: of covariances over the batch, if it has more than one sample or there are sums;
                           bnnep_covariance. Fully connected connections only: convolutions ignore it; 0 with a tape */
    struct bnnep_squares *squares; /* [connections], to be written; NULL: not asked for, as of a contrast alone */
    /* With covariances of a batch of one sample, if it can: what each unit is to be taken to add up to after the first
     * and the second phase, [connections + 1][units], the input first; of layers at fully connected connections, the
     * others are NULL. Else both NULL. */
    const double *const *sums[2];
};

/* --- the table --------------------------------------------------------------------------------------------------- */

/* What the library lends a backend, as long as the device is open. */
struct bnnep_host {
    size_t size;
    const struct bnnep_backend *ref; /* the reference backend, to delegate to what one does not do oneself */
    bnnep_allocate_fn allocate;      /* never NULL */
    bnnep_release_fn release;
    void *memory_user;
    bnnep_log_fn log; /* never NULL */
    void *log_user;
    size_t threads; /* that the backend may compute with, the caller's included; at least 1 */
};

/* What a backend can do; the library asks for nothing else. 1: yes, 0: no. */
struct bnnep_capabilities {
    size_t size;
    int32_t real, binary;   /* dynamics */
    int32_t convolution;    /* connections */
    int32_t grid;           /* real activations on a grid */
    int32_t scale;          /* learns scaling factors */
    int32_t tape;           /* back-propagation through time */
    int32_t phases;         /* states that a workspace keeps, 2 or BNNEP_PHASES */
    int32_t momentum_types; /* bit 0: float. No other type is known yet */
    int32_t alternating;    /* BNNEP_SCHEDULE_ALTERNATING; not with a tape */
    int32_t over_relaxed;   /* BNNEP_SCHEDULE_OVER_RELAXED; the same */
    int32_t squares;        /* of contrasts; the same bits for any number of threads */
    int32_t reset;          /* of the momenta of weights that flip */
    int32_t covariance;     /* contrasts of covariances, of all dynamics that it has; 2: by given sums too */
    int32_t weak_feedback;  /* feedback below 1 in bnnep_model, with real activations; not with a tape */
    int32_t consolidation;  /* of momenta */
};

/* A function that is NULL is ref's, and with it all objects that it is given must be ref's; ref's device is the host.
 * So a table needs no more than what it does differently: examples/backend has workspaces of its own alone. Functions
 * stay the last members: what comes later goes behind them. */
struct bnnep_backend {
    uint32_t abi; /* BNNEP_BACKEND_ABI */
    uint32_t reserved;
    size_t size; /* sizeof(struct bnnep_backend) */
    const char *name, *summary;
    const struct bnnep_capabilities *can;

    /* How many devices there are; 0: none, and why. Then what device `index` is: the name by which it is opened ("" for
     * the only one), at most BNNEP_WHY bytes, what it is, the same, and the bytes of its own memory, or 0. */
    size_t (*device_count)(char *why);
    void (*device_get)(size_t index, char *name, char *summary, uint64_t *memory_bytes);
    /* Opens a device by its name; "" for the first. */
    bnnep_status (*open)(const struct bnnep_host *host, const char *name, void **device, char *why);
    void (*close)(void *device);

    /* Bytes that a network, a workspace and an optimizer would take, or BNNEP_UNCOUNTED where memory is short even for
     * counting. threads: as in workspace_create. */
    uint64_t (*network_bytes)(void *device, const struct bnnep_model *model);
    uint64_t (*workspace_bytes)(void *device, const struct bnnep_model *model, size_t max_batch, size_t threads);
    uint64_t (*optimizer_bytes)(void *device, const struct bnnep_model *model, size_t max_batch, int32_t tape);

    bnnep_status (*network_create)(void *device, const struct bnnep_model *model, void **network, char *why);
    void (*network_destroy)(void *network);
    bnnep_status (*put)(void *network, size_t connection, const struct bnnep_parameters *from, char *why);
    bnnep_status (*get)(const void *network, size_t connection, const struct bnnep_parameters_out *to, char *why);

    /* threads: the most to compute with, of the host's; 0: all. */
    bnnep_status (*workspace_create)(void *device, const struct bnnep_model *model, const void *network,
                                     size_t max_batch, size_t threads, void **workspace, char *why);
    void (*workspace_destroy)(void *workspace);
    /* x [count][in of link 0]; target [count][out of the last link], or NULL. */
    bnnep_status (*stage)(void *workspace, const float *x, const float *target, size_t count, char *why);
    /* BNNEP_CANCELLED if `cancelled` said so. */
    bnnep_status (*relax)(void *workspace, const struct bnnep_phase_run *run, bnnep_relaxed *done, char *why);
    /* States of layer 1 ... L of the staged samples, [count][units]. */
    bnnep_status (*put_state)(void *workspace, int32_t phase, size_t layer, const float *state, char *why);
    bnnep_status (*get_state)(const void *workspace, int32_t phase, size_t layer, float *state, char *why);

    /* tape: 0 for equilibrium propagation; for back-propagation through time, the steps it remembers, of batches up to
     * max_batch. A contrast may be of any workspace. */
    bnnep_status (*optimizer_create)(void *network, size_t max_batch, int32_t tape, void **optimizer, char *why);
    void (*optimizer_destroy)(void *optimizer);
    bnnep_status (*put_momentum)(void *optimizer, size_t connection, const float *momentum, char *why);
    bnnep_status (*get_momentum)(const void *optimizer, size_t connection, float *momentum, char *why);
    /* Contrast of two phases, or with a tape the gradient of the last backpropagate; the optimizer keeps it. */
    bnnep_status (*contrast)(void *optimizer, void *workspace, const struct bnnep_learning *how, char *why);
    bnnep_status (*put_contrast)(void *optimizer, size_t connection, const struct bnnep_contrast *from, char *why);
    bnnep_status (*get_contrast)(const void *optimizer, size_t connection, const struct bnnep_contrast_out *to,
                                 char *why);
    /* Momenta, flips, biases and, if learn_scale, scaling factors by the contrast it keeps. */
    bnnep_status (*update)(void *optimizer, const struct bnnep_learning *how, char *why);

    /* contrast and update in one pass, with the weights before the update; the contrast need not be kept. A table that
     * leaves it out does one after the other. */
    bnnep_status (*learn)(void *optimizer, void *workspace, const struct bnnep_learning *how, char *why);
    /* If it can keep a tape: goes on for `steps` (at most tape) free steps from the free states, which end up
     * there, and back-propagates the gradient of 1/2 |s_L - target|^2 through them, states before them constant. */
    bnnep_status (*backpropagate)(void *optimizer, void *workspace, int32_t steps, char *why);
};

/**
 * Adds a backend of the caller's to a context, under the name in its table, which must outlive the context and all
 * handles made with it. Networks made from now on compute with it, on the device of this name, "" for the first;
 * NULL: it is only listed. BNNEP_ERROR_ARGUMENT if there is a backend of this name, BNNEP_ERROR_UNSUPPORTED if it does
 * not fit this library; then nothing changes.
 */
BNNEP_API bnnep_status bnnep_backend_register(bnnep_context *context, const struct bnnep_backend *backend,
                                              const char *device);

/* --- what follows from a model ----------------------------------------------------------------------------------- */

/* How the neurons of layer k + 1, to which connection k leads, move; beta 0: free. */
static inline struct bnnep_neuron bnnep_neuron_of(const struct bnnep_model *model, size_t k, float beta) {
    struct bnnep_neuron neuron;
    neuron.binary = model->dynamics == BNNEP_DYNAMICS_BINARY;
    neuron.output = k + 1 == model->connections;
    neuron.clamp_nudged = !model->convolutional;
    neuron.fixed_prediction = model->convolutional != 0;
    neuron.theta = model->theta;
    neuron.keep = (float)(1.0 - (double)model->gamma_neur);
    neuron.gain = model->gamma_neur;
    neuron.beta = beta;
    neuron.stride = 1.0f;
    neuron.grid = model->grid;
    return neuron;
}

static inline bool bnnep_is_convolution(const struct bnnep_link *link) {
    return link->kind == BNNEP_CONNECTION_CONVOLUTION;
}

/* Units of all layers but the input. */
static inline size_t bnnep_units(const struct bnnep_model *model) {
    size_t units = 0;
    for (size_t k = 0; k < model->connections; k++)
        units += model->links[k]->out;
    return units;
}

#ifdef __cplusplus
}
#endif

#endif
