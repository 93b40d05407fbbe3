/* SPDX-License-Identifier: MIT */
/* What tests of covariances share. */
#include "covariance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct shape covariance_shape(struct stream *stream, int32_t dynamics, unsigned number) {
    struct shape shape = {
        .dynamics = dynamics,
        .connections = 1 + number % 4,
        .free_steps = 12,
        .nudged_steps = 6,
        .max_batch = MOST_SAMPLES,
        .learn_alpha = number % 2 == 1,
        .centred = number % 3 == 1,
        .covariance = true,
        .beta = 4.0, /* activations must change */
        .gamma = 0.25,
        .threshold = 0.01,
        .seed = number,
    };
    for (size_t k = 0; k <= shape.connections; k++)
        shape.units[k] = stream_between(stream, 2, number % 4 == 3 ? 300 : 70);
    return shape;
}

static double on_grid(const struct net *net, double x) {
    const double steps = (double)(1 << net->shape->grid_bits);
    return net->shape->grid_bits > 0 ? rint(x * steps) / steps : x;
}

/* Activations of a layer, 0 the input, [samples][units]. */
double *activations(const struct net *net, int32_t phase, size_t layer, const float *x, size_t samples) {
    const size_t count = samples * (size_t)net->shape->units[layer];
    float *states = malloc(count * sizeof *states);
    double *a = malloc(count * sizeof *a);
    if (layer > 0)
        assert_ok(bnnep_workspace_get_state(bnnep_network_workspace(net->network), phase, layer, states, count));
    for (size_t i = 0; i < count; i++)
        a[i] = layer == 0                                      ? on_grid(net, (double)x[i])
               : net->shape->dynamics == BNNEP_DYNAMICS_BINARY ? (double)(states[i] >= 0.5f)
                                                               : (double)states[i];
    free(states);
    return a;
}

void take_contrast(const struct net *net, const float *x, const float *target, size_t samples) {
    bnnep_workspace *ws = bnnep_network_workspace(net->network);
    assert_ok(bnnep_workspace_stage(ws, x, target, samples));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0, NULL));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, net->shape->beta, NULL));
    assert_ok(bnnep_optimizer_contrast(net->optimizer, ws, NULL));
}

void train(const struct net *net, size_t samples, size_t batches) {
    struct stream stream = {8};
    const int32_t classes = net->shape->units[net->shape->connections];
    const size_t values = (size_t)net->shape->units[0];
    float *x = random_pixels(&stream, samples * batches, (int32_t)values);
    int32_t *labels = random_labels(&stream, samples * batches, classes);
    for (size_t n = 0; n < batches; n++)
        assert_ok(bnnep_optimizer_train_batch(net->optimizer, x + n * samples * values, labels + n * samples, samples,
                                              NULL, NULL));
    free(x);
    free(labels);
}

bool are_same(const struct net *a, const struct net *b) {
    size_t values;
    float *first = net_memory(a, &values), *second = net_memory(b, &values);
    const bool same = memcmp(first, second, values * sizeof *first) == 0;
    free(first);
    free(second);
    return same;
}
