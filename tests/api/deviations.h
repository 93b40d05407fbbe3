/* SPDX-License-Identifier: MIT */
/* Networks, rates and batches of the tests of thresholds and rates in deviations. */
#ifndef BNNEP_TEST_DEVIATIONS_H
#define BNNEP_TEST_DEVIATIONS_H

#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 24, VALUES = 42, CLASSES = 5, LAYERS = 3, MOST_ROWS = 600 };

static const double gamma_of[LAYERS] = {0.02, 0.05, 0.1}, deviations[LAYERS] = {0.3, 0.2, 0.25},
                    lr_bias[LAYERS] = {1e-3, 2e-3, 3e-3}, lr_alpha[LAYERS] = {2e-3, 1e-3, 3e-3};

struct kind {
    int32_t dynamics;
    bool convolution;
};
static const struct kind kinds[] = {{BNNEP_DYNAMICS_REAL, false},
                                    {BNNEP_DYNAMICS_REAL, true},
                                    {BNNEP_DYNAMICS_BINARY, false},
                                    {BNNEP_DYNAMICS_BINARY, true}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* A network of some kind; hidden: units of its layers, or channels of its convolution. */
static inline bnnep_network *make_network(const struct kind *kind, const char *where, int32_t hidden) {
    bnnep_connection layers[LAYERS] = {BNNEP_FC(hidden), BNNEP_FC(31), BNNEP_FC(CLASSES)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.dynamics = kind->dynamics;
    o.input_channels = VALUES;
    if (kind->convolution) {
        o.input_channels = 1;
        o.input_height = 6;
        o.input_width = 7;
        layers[0] = (bnnep_connection)BNNEP_CONV(hidden, 3, 1, 2);
    }
    o.connections = layers;
    o.connection_count = LAYERS;
    o.classes = CLASSES;
    o.free_steps = 12;
    o.max_batch = SAMPLES;
    o.seed = 5;
    assert_ok(network_on(where, &o, &network));
    struct stream stream = {17};
    for (size_t k = 0; k < LAYERS; k++) { /* larger biases, so that states differ */
        const size_t rows = k == 0 ? (size_t)hidden : k == 1 ? 31 : CLASSES;
        float bias[MOST_ROWS];
        for (size_t j = 0; j < rows; j++)
            bias[j] = stream_uniform(&stream) - 0.3f;
        assert_ok(bnnep_network_set_bias(network, k, bias, rows));
    }
    return network;
}

static inline double beta_of(const struct kind *kind) {
    return kind->dynamics == BNNEP_DYNAMICS_BINARY ? 4.0 : 0.7; /* activations must move */
}

static inline bnnep_optimizer_options rule(const struct kind *kind) {
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    o.gamma = gamma_of;
    o.threshold = deviations;
    o.lr_bias = lr_bias;
    o.lr_alpha = lr_alpha;
    o.nudged_steps = 5;
    o.beta = beta_of(kind);
    o.nudge = BNNEP_NUDGE_FIXED;
    o.seed = 3;
    return o;
}

static inline bnnep_optimizer *make_optimizer(bnnep_network *network, const bnnep_optimizer_options *o) {
    bnnep_optimizer *optimizer;
    assert_ok(bnnep_optimizer_create(network, o, &optimizer));
    return optimizer;
}

struct batch {
    float *x, targets[SAMPLES * CLASSES];
    int32_t *labels;
};

static inline struct batch draw_batch(struct stream *stream) {
    struct batch b = {.x = random_pixels(stream, SAMPLES, VALUES), .labels = random_labels(stream, SAMPLES, CLASSES)};
    for (size_t i = 0; i < SAMPLES * CLASSES; i++)
        b.targets[i] = b.labels[i / CLASSES] == (int32_t)(i % CLASSES) ? 1.0f : 0.0f;
    return b;
}

static inline void free_batch(struct batch *b) {
    free(b->x);
    free(b->labels);
}

/* Returns how many signs are -1. */
static inline size_t compare_networks(const bnnep_network *a, const bnnep_network *b) {
    size_t negative = 0;
    for (size_t k = 0; k < LAYERS; k++) {
        int8_t signs[2][64 * 64 * 3];
        float values[2][64];
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(a, k, &info));
        const size_t weights = (size_t)(info.rows * info.columns);
        assert_ok(bnnep_network_get_signs(a, k, signs[0], weights));
        assert_ok(bnnep_network_get_signs(b, k, signs[1], weights));
        assert_memory_equal(signs[0], signs[1], weights);
        for (size_t i = 0; i < weights; i++)
            negative += signs[0][i] < 0;
        assert_ok(bnnep_network_get_bias(a, k, values[0], (size_t)info.rows));
        assert_ok(bnnep_network_get_bias(b, k, values[1], (size_t)info.rows));
        assert_int_equal(first_difference(values[0], values[1], (size_t)info.rows, 1e-5), info.rows);
        assert_ok(bnnep_network_get_alpha(a, k, values[0], (size_t)info.scales));
        assert_ok(bnnep_network_get_alpha(b, k, values[1], (size_t)info.scales));
        assert_int_equal(first_difference(values[0], values[1], (size_t)info.scales, 1e-5), info.scales);
    }
    return negative;
}

#endif
