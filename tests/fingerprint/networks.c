/* SPDX-License-Identifier: MIT */
#include "networks.h"

#include <stdlib.h>
#include <string.h>

/* What the variants of a network have in common. */
#define FC1                                                                                                            \
    .dynamics = BNNEP_DYNAMICS_REAL, .channels = 90, .height = 1, .width = 1,                                          \
    .connection = {BNNEP_FC(333), BNNEP_FC(10)}, .connections = 2, .classes = 10, .expand_output = 1,                  \
    .free_steps = 30, .nudged_steps = 8, .samples = 45, .beta = 0.3f, .random_beta = true, .gamma = 0.02,              \
    .threshold = 1e-4
#define FC2                                                                                                            \
    .dynamics = BNNEP_DYNAMICS_REAL, .channels = 90, .height = 1, .width = 1,                                          \
    .connection = {BNNEP_FC(150), BNNEP_FC(130), BNNEP_FC(10)}, .connections = 3, .classes = 10, .expand_output = 1,   \
    .free_steps = 60, .nudged_steps = 8, .samples = 45, .beta = 0.3f, .random_beta = true, .gamma = 0.02,              \
    .threshold = 1e-4
#define CONV                                                                                                           \
    .dynamics = BNNEP_DYNAMICS_REAL, .channels = 1, .height = 13, .width = 12,                                         \
    .connection = {BNNEP_CONV(11, 5, 2, 2), BNNEP_CONV(18, 3, 2, 2), BNNEP_FC(10)}, .connections = 3, .classes = 10,   \
    .expand_output = 1, .free_steps = 25, .nudged_steps = 8, .samples = 21, .beta = 0.3f, .random_beta = true,         \
    .gamma = 0.02, .threshold = 1e-4
#define CONV4                                                                                                          \
    .dynamics = BNNEP_DYNAMICS_REAL, .channels = 3, .height = 8, .width = 8,                                           \
    .connection = {BNNEP_CONV(9, 5, 2, 2), BNNEP_CONV(70, 3, 1, 2), BNNEP_CONV(17, 3, 1, 1), BNNEP_CONV(13, 3, 1, 1),  \
                   BNNEP_FC(10)},                                                                                      \
    .connections = 5, .classes = 10, .expand_output = 1, .free_steps = 12, .nudged_steps = 6, .samples = 19,           \
    .beta = 0.3f, .random_beta = true, .gamma = 0.02, .threshold = 1e-4
#define FC1_BIN                                                                                                        \
    .dynamics = BNNEP_DYNAMICS_BINARY, .channels = 90, .height = 1, .width = 1,                                        \
    .connection = {BNNEP_FC(600), BNNEP_FC(50)}, .connections = 2, .classes = 10, .expand_output = 5,                  \
    .free_steps = 20, .nudged_steps = 10, .samples = 45, .beta = 2.0f, .random_beta = true, .gamma = 0.02,             \
    .threshold = 3e-4
#define FC2_BIN                                                                                                        \
    .dynamics = BNNEP_DYNAMICS_BINARY, .channels = 90, .height = 1, .width = 1,                                        \
    .connection = {BNNEP_FC(300), BNNEP_FC(280), BNNEP_FC(200)}, .connections = 3, .classes = 10, .expand_output = 20, \
    .free_steps = 20, .nudged_steps = 10, .samples = 45, .beta = 2.0f, .gamma = 0.02, .threshold = 2e-5
#define CONV_BIN                                                                                                       \
    .dynamics = BNNEP_DYNAMICS_BINARY, .channels = 1, .height = 13, .width = 14,                                       \
    .connection = {BNNEP_CONV(40, 5, 1, 2), BNNEP_CONV(70, 3, 1, 3), BNNEP_FC(70)}, .connections = 3, .classes = 10,   \
    .expand_output = 7, .free_steps = 20, .nudged_steps = 10, .samples = 21, .beta = 1.0f, .random_beta = true,        \
    .gamma = 0.02, .threshold = 3e-4

#define LARGE_FC2                                                                                                      \
    .dynamics = BNNEP_DYNAMICS_REAL, .large = true, .channels = 90, .height = 1, .width = 1,                           \
    .connection = {BNNEP_FC(3600), BNNEP_FC(3500), BNNEP_FC(10)}, .connections = 3, .classes = 10, .expand_output = 1, \
    .free_steps = 6, .nudged_steps = 3, .samples = 13, .beta = 0.3f, .random_beta = true, .gamma = 0.02,               \
    .threshold = 1e-4

const struct kind kinds[] = {
    {FC1, .name = "mnist-fc1"},
    {FC1, .name = "mnist-fc1-bptt", .method = BNNEP_METHOD_BPTT},
    {FC1, .name = "mnist-fc1-alpha", .learn_alpha = true},
    {FC2, .name = "mnist-fc2"},
    {FC2, .name = "mnist-fc2-bptt", .method = BNNEP_METHOD_BPTT},
    {FC2, .name = "mnist-fc2-alpha", .learn_alpha = true},
    {CONV, .name = "mnist-conv"},
    {CONV, .name = "mnist-conv-bptt", .method = BNNEP_METHOD_BPTT},
    {CONV, .name = "mnist-conv-alpha", .learn_alpha = true},
    {CONV4, .name = "cifar10-conv"},
    {CONV4, .name = "cifar10-conv-bptt", .method = BNNEP_METHOD_BPTT},
    {CONV4, .name = "cifar10-conv-alpha", .learn_alpha = true},
    {FC1_BIN, .name = "mnist-fc1-bin"},
    {FC1_BIN, .name = "mnist-fc1-bin-alpha", .learn_alpha = true},
    {FC2_BIN, .name = "mnist-fc2-bin"},
    {FC2_BIN, .name = "mnist-fc2-bin-alpha", .learn_alpha = true},
    {CONV_BIN, .name = "mnist-conv-bin"},
    {CONV_BIN, .name = "mnist-conv-bin-alpha", .learn_alpha = true},
    {.name = "dense-fc1", /* 64 samples, which all move */
     .dynamics = BNNEP_DYNAMICS_REAL,
     .dense = true,
     .channels = 90,
     .height = 1,
     .width = 1,
     .connection = {BNNEP_FC(333), BNNEP_FC(10)},
     .connections = 2,
     .classes = 10,
     .expand_output = 1,
     .free_steps = 30,
     .nudged_steps = 8,
     .samples = 69,
     .beta = 0.3f,
     .random_beta = true,
     .gamma = 0.02,
     .threshold = 1e-4},
    /* threads share the steps of the only tile */
    {LARGE_FC2, .name = "large-fc2"},
    {.name = "large-conv", /* wide */
     .dynamics = BNNEP_DYNAMICS_REAL,
     .large = true,
     .channels = 3,
     .height = 4,
     .width = 4,
     .connection = {BNNEP_CONV(64, 3, 1, 1), BNNEP_CONV(160, 5, 2, 2), BNNEP_CONV(130, 5, 2, 1), BNNEP_FC(10)},
     .connections = 4,
     .classes = 10,
     .expand_output = 1,
     .free_steps = 20,
     .nudged_steps = 4,
     .samples = 21,
     .beta = 0.3f,
     .random_beta = true,
     .gamma = 0.02,
     .threshold = 1e-4},
    {.name = "large-fc2-bin", /* weights that do not stay in the cache: threads take samples together */
     .dynamics = BNNEP_DYNAMICS_BINARY,
     .large = true,
     .channels = 90,
     .height = 1,
     .width = 1,
     .connection = {BNNEP_FC(1600), BNNEP_FC(1500), BNNEP_FC(200)},
     .connections = 3,
     .classes = 10,
     .expand_output = 20,
     .free_steps = 20,
     .nudged_steps = 10,
     .samples = 45,
     .beta = 2.0f,
     .gamma = 0.02,
     .threshold = 2e-5},
};
const size_t kind_count = sizeof kinds / sizeof kinds[0];

const struct kind *kind_find(const char *name, size_t length) {
    for (size_t i = 0; i < kind_count; i++)
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, name, length) == 0)
            return &kinds[i];
    return NULL;
}

void kind_make(const struct kind *kind, const char *backend, float tolerance, int32_t grid_bits,
               bnnep_network **network, bnnep_optimizer **optimizer) {
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    double gamma[MOST_CONNECTIONS], threshold[MOST_CONNECTIONS], rate[MOST_CONNECTIONS];
    for (size_t k = 0; k < kind->connections; k++) {
        gamma[k] = kind->gamma / (double)(k + 1);
        threshold[k] = kind->threshold / (double)(k + 1);
        rate[k] = 0.01 * (double)(k + 1);
    }
    o.dynamics = kind->dynamics;
    o.input_channels = kind->channels;
    o.input_height = kind->height;
    o.input_width = kind->width;
    o.classes = kind->classes;
    o.expand_output = kind->expand_output;
    o.connections = kind->connection;
    o.connection_count = kind->connections;
    o.free_steps = kind->free_steps;
    o.settle_tolerance = tolerance;
    o.max_batch = kind->samples;
    o.grid_bits = grid_bits;
    o.seed = 11;
    assert_ok(network_on(backend, &o, network));
    p.method = kind->method;
    p.nudged_steps = kind->nudged_steps;
    p.beta = kind->beta;
    p.nudge = kind->random_beta ? BNNEP_NUDGE_RANDOM_SIGN : BNNEP_NUDGE_FIXED;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = rate;
    p.lr_alpha = kind->learn_alpha ? rate : NULL;
    p.seed = 12;
    assert_ok(bnnep_optimizer_create(*network, &p, optimizer));
}

float *kind_inputs(const struct kind *kind, struct stream *stream, size_t samples) {
    const int32_t values = kind->channels * kind->height * kind->width;
    if (kind->channels != 3)
        return random_pixels(stream, samples, values);
    float *x = malloc(samples * (size_t)values * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < samples * (size_t)values; i++)
        x[i] = 2.0f * stream_uniform(stream) - 1.0f;
    return x;
}
