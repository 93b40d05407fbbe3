/* SPDX-License-Identifier: MIT */
/*
 * What a backend is: one table of functions that go through whole phases. lib/ sees backends only through this
 * file, and backends see of the library only this file and the public header.
 *
 * A backend keeps three kinds of objects, each behind a void pointer of its own:
 *   network    parameters (signs, scaling factors, biases); read-only but for put and learn, so that several
 *              workspaces may relax on it at once
 *   workspace  one staged batch, its drive and the states of both phases; used by one thread at a time
 *   optimizer    momenta
 * Everything is allocated when they are made, nothing in the batch loop.
 *
 * The library has checked all arguments: sizes fit, indices exist, numbers are finite. A function that can still
 * fail returns a status and writes why to `why`, BNNEP_WHY bytes. Backends draw no random numbers and read no
 * clock, and all of them do the same arithmetic where it is exact (see backends/rules.h).
 */
#ifndef BNNEP_BACKEND_H
#define BNNEP_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bnnep/bnnep.h>

#include "backends/rules.h"

#define BNNEP_BACKEND_ABI 4u
#define BNNEP_WHY 256

/* A channels x height x width map of units. */
struct bnnep_map {
    size_t channels, height, width;
};

/* A connection as backends see it: layer `in` units -> layer `out` units through a sign matrix rows x columns. */
struct bnnep_link {
    int32_t kind;
    size_t rows, columns; /* fully connected: out, in; convolution: output channels, input channels * kernel^2 */
    size_t in, out;       /* units of the two layers */
    size_t scales;        /* scaling factors: 1, or rows (convolution) */
    /* convolution only; the order of columns is [channel][row][column] */
    struct bnnep_map from, to; /* shapes of the two layers */
    size_t kernel, padding, pool;
};

/* The fixed part of a network. The library owns it and keeps it until the last object made from it is gone. */
struct bnnep_model {
    int32_t dynamics;   /* BNNEP_REAL_ACTIVATIONS, BNNEP_BINARY_ACTIVATIONS */
    bool convolutional; /* has a convolution: output unclamped, >= in the flip rule, constant prediction error */
    size_t connections; /* L; convolutions come first, the last one is fully connected */
    const struct bnnep_link *links;
    float theta, gamma_neur;
    struct bnnep_grid grid; /* real activations */
};

/* Parameters of one connection in canonical host form, to read from and to write to; a NULL member is left out.
 * bits is [rows][ceil(columns/8)], least significant bit first, 1 means +1, tail bits 0. */
struct bnnep_parameters {
    const uint8_t *bits;
    const float *scale; /* [scales] */
    const float *bias;  /* [rows] */
};

struct bnnep_parameters_out {
    uint8_t *bits;
    float *scale, *bias;
};

enum bnnep_phase { BNNEP_PHASE_FREE = 0, BNNEP_PHASE_NUDGED = 1, BNNEP_PHASES = 2 };

struct bnnep_relaxation {
    enum bnnep_phase from, to;
    int32_t steps;
    float beta;      /* 0: free */
    float tolerance; /* a sample whose states change by no more in a step is settled; negative: never */
    /* Polled now and then in the calling thread; not 0 means stop. May be NULL. */
    int32_t (*cancelled)(void *user);
    void *cancel_user;
};

/* How one connection learns, in float as it is applied. G is the plain contrast, or the gradient of the loss, summed
 * over the batch:
 * m <- decay*m + gain*G;  flip where -sign(W)*m > threshold, or at_threshold where it is >=;
 * b <- b + bias_gain*Gb;  alpha <- alpha + scale_gain*Galpha. */
struct bnnep_rule {
    float decay, gain, threshold, bias_gain, scale_gain;
    bool at_threshold; /* in convolutional networks */
};

/* How the neurons of layer k + 1, to which connection k leads, move; beta 0: free. */
static inline struct bnnep_neuron bnnep_neuron_of(const struct bnnep_model *model, size_t k, float beta) {
    const struct bnnep_neuron neuron = {
        .binary = model->dynamics == BNNEP_BINARY_ACTIVATIONS,
        .output = k + 1 == model->connections,
        .clamp_nudged = !model->convolutional,
        .fixed_prediction = model->convolutional,
        .theta = model->theta,
        .keep = (float)(1.0 - (double)model->gamma_neur),
        .gain = model->gamma_neur,
        .beta = beta,
        .grid = model->grid,
    };
    return neuron;
}

static inline bool bnnep_is_convolution(const struct bnnep_link *link) {
    return link->kind == BNNEP_CONVOLUTION;
}

/* Units of all layers but the input. */
static inline size_t bnnep_units(const struct bnnep_model *model) {
    size_t units = 0;
    for (size_t k = 0; k < model->connections; k++)
        units += model->links[k].out;
    return units;
}

struct bnnep_backend {
    uint32_t abi; /* BNNEP_BACKEND_ABI */
    const char *name, *summary;

    /* Can `device` (what follows the colon in the resource string, or "") be used here? */
    bnnep_status (*probe)(const char *device, char *why);

    /* Bytes that a network, a workspace and an optimizer would take. */
    uint64_t (*network_bytes)(const struct bnnep_model *model);
    uint64_t (*workspace_bytes)(const struct bnnep_model *model, const char *device, size_t max_batch);
    uint64_t (*optimizer_bytes)(const struct bnnep_model *model, size_t max_batch, int32_t tape);

    bnnep_status (*network_create)(const struct bnnep_model *model, const char *device, void **network, char *why);
    void (*network_destroy)(void *network);
    bnnep_status (*put)(void *network, size_t connection, const struct bnnep_parameters *from, char *why);
    bnnep_status (*get)(const void *network, size_t connection, const struct bnnep_parameters_out *to, char *why);

    /* threads: 0 means as the device string says. */
    bnnep_status (*workspace_create)(const void *network, size_t max_batch, int32_t threads, void **workspace,
                                     char *why);
    void (*workspace_destroy)(void *workspace);
    /* x [count][in of link 0]; target [count][out of the last link], or NULL. */
    bnnep_status (*stage)(void *workspace, const float *x, const float *target, size_t count, char *why);
    /* BNNEP_CANCELLED if `cancelled` said so. */
    bnnep_status (*relax)(void *workspace, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why);
    /* States of layer 1 ... L of the staged samples, [count][units]. */
    bnnep_status (*put_state)(void *workspace, enum bnnep_phase phase, size_t layer, const float *state, char *why);
    bnnep_status (*get_state)(const void *workspace, enum bnnep_phase phase, size_t layer, float *state, char *why);

    /* tape: 0 for equilibrium propagation; for back-propagation through time, the steps it remembers. */
    bnnep_status (*optimizer_create)(void *network, size_t max_batch, int32_t tape, void **optimizer, char *why);
    void (*optimizer_destroy)(void *optimizer);
    bnnep_status (*put_momentum)(void *optimizer, size_t connection, const float *momentum, char *why);
    bnnep_status (*get_momentum)(const void *optimizer, size_t connection, float *momentum, char *why);
    /* Goes on for `steps` (at most tape) free steps from the free states, which end up there, and back-propagates the
     * gradient of 1/2 |s_L - target|^2 through them, states before them constant. Real activations only. */
    bnnep_status (*backpropagate)(void *optimizer, void *workspace, int32_t steps, char *why);
    /* Contrast of the two phases, or with a tape the gradient of the last backpropagate; then momentum, flips, biases
     * and, if learn_scale, scaling factors. rules and flips are [connections]. All gradients are taken with the
     * weights before the update. */
    bnnep_status (*learn)(void *optimizer, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                          uint64_t *flips, char *why);
};

#endif
