/* SPDX-License-Identifier: MIT */
/*
 * Every available backend against ref, phase by phase, on random shapes: 1 to 3 connections, sizes that are no
 * multiple of anything, batches of 1 to 70. Networks with binary activations must agree bit for bit; with real ones,
 * to the rounding of float sums, but on a grid their states bit for bit too. Before each phase the backend gets ref's
 * states, so that no phase hides another.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* Sums of up to 300 terms of size up to 1, times alpha, over a phase of a contracting map. */
#define STATE_TOLERANCE 4e-6
#define MOMENTUM_TOLERANCE 4e-6

struct pair {
    struct net ref, other;
    const struct shape *shape;
    size_t samples;
    const char *name;
};

static void explain(const struct pair *pair, const char *phase, size_t layer, size_t at, double got, double wanted) {
    print_error("%s, batch %zu, layers", pair->name, pair->samples);
    for (size_t k = 0; k <= pair->shape->connections; k++)
        print_error(" %d", pair->shape->units[k]);
    print_error(": %s, layer or connection %zu, element %zu: %.9g, ref %.9g\n", phase, layer, at, got, wanted);
    fail();
}

static bool binary(const struct pair *pair) {
    return pair->shape->dynamics == BNNEP_DYNAMICS_BINARY;
}

/* Are the states the same bit for bit? */
static bool exact(const struct pair *pair) {
    return binary(pair) || pair->shape->grid_bits > 0;
}

/* States of a phase must agree; then the backend is given ref's. */
static void check_states(const struct pair *pair, int32_t phase, const char *what) {
    bnnep_workspace *ref = bnnep_network_workspace(pair->ref.network);
    bnnep_workspace *other = bnnep_network_workspace(pair->other.network);
    for (size_t layer = 1; layer <= pair->shape->connections; layer++) {
        const size_t count = pair->samples * (size_t)pair->shape->units[layer];
        float *a = malloc(count * sizeof *a), *b = malloc(count * sizeof *b);
        assert_ok(bnnep_workspace_get_state(ref, phase, layer, a, count));
        assert_ok(bnnep_workspace_get_state(other, phase, layer, b, count));
        const size_t at = first_difference(a, b, count, exact(pair) ? 0.0 : STATE_TOLERANCE);
        if (at < count)
            explain(pair, what, layer, at, (double)b[at], (double)a[at]);
        /* States that were set and states that were reached must learn alike: odd batches keep the free ones. */
        if (phase == BNNEP_PHASE_NUDGED || pair->samples % 2 == 0)
            assert_ok(bnnep_workspace_set_state(other, phase, layer, a, count));
        free(a);
        free(b);
    }
}

static void relax_both(const struct pair *pair, int32_t from, int32_t to, int32_t steps, float beta, const char *what) {
    bnnep_relaxed a = BNNEP_RELAXED_INIT, b = BNNEP_RELAXED_INIT;
    assert_ok(phase_run(bnnep_network_workspace(pair->ref.network), from, to, steps, beta, &a));
    assert_ok(phase_run(bnnep_network_workspace(pair->other.network), from, to, steps, beta, &b));
    if (exact(pair)) {
        assert_int_equal(a.sample_steps, b.sample_steps);
        assert_int_equal(a.most_steps, b.most_steps);
    }
    check_states(pair, to, what);
}

static void check_array(const struct pair *pair, const char *what, size_t k, const float *ref, const float *other,
                        size_t count, double tolerance) {
    const size_t at = first_difference(ref, other, count, binary(pair) ? 0.0 : tolerance);
    if (at < count)
        explain(pair, what, k, at, (double)other[at], (double)ref[at]);
}

/* Momenta, signs, biases and alpha after the update. A sign may differ only where the momentum stands at its
 * threshold to within the tolerance, and never in a binary network. Returns the flips seen. */
static uint64_t check_update(const struct pair *pair, const uint64_t *flips_ref, const uint64_t *flips_other) {
    uint64_t flips = 0;
    for (size_t k = 0; k < pair->shape->connections; k++) {
        const size_t rows = (size_t)pair->shape->units[k + 1], weights = rows * (size_t)pair->shape->units[k];
        float *a = malloc(weights * sizeof *a), *b = malloc(weights * sizeof *b);
        int8_t *sign_a = malloc(weights), *sign_b = malloc(weights);
        assert_ok(bnnep_optimizer_get_momentum(pair->ref.optimizer, k, a, weights));
        assert_ok(bnnep_optimizer_get_momentum(pair->other.optimizer, k, b, weights));
        check_array(pair, "momentum", k, a, b, weights, MOMENTUM_TOLERANCE);
        assert_ok(bnnep_network_get_signs(pair->ref.network, k, sign_a, weights));
        assert_ok(bnnep_network_get_signs(pair->other.network, k, sign_b, weights));
        size_t differ = 0;
        for (size_t i = 0; i < weights; i++)
            if (sign_a[i] != sign_b[i]) {
                differ++;
                if (binary(pair) || fabs(fabs((double)a[i]) - pair->shape->threshold) > MOMENTUM_TOLERANCE)
                    explain(pair, "sign", k, i, sign_b[i], sign_a[i]);
            }
        assert_true(llabs((long long)flips_ref[k] - (long long)flips_other[k]) <= (long long)differ);
        flips += flips_ref[k];
        assert_ok(bnnep_network_get_bias(pair->ref.network, k, a, rows));
        assert_ok(bnnep_network_get_bias(pair->other.network, k, b, rows));
        check_array(pair, "bias", k, a, b, rows, STATE_TOLERANCE);
        assert_ok(bnnep_network_set_bias(pair->other.network, k, a, rows)); /* go on from ref's */
        assert_ok(bnnep_network_get_alpha(pair->ref.network, k, a, 1));
        assert_ok(bnnep_network_get_alpha(pair->other.network, k, b, 1));
        check_array(pair, "alpha", k, a, b, 1, STATE_TOLERANCE);
        assert_ok(bnnep_network_set_alpha(pair->other.network, k, a, 1));
        assert_ok(bnnep_optimizer_get_momentum(pair->ref.optimizer, k, a, weights));
        assert_ok(bnnep_optimizer_set_momentum(pair->other.optimizer, k, a, weights));
        assert_ok(bnnep_network_set_signs(pair->other.network, k, sign_a, weights));
        free(a);
        free(b);
        free(sign_a);
        free(sign_b);
    }
    return flips;
}

/* Two batches through all phases. */
static uint64_t compare(const struct shape *shape, const char *backend, size_t samples, struct stream *stream) {
    struct pair pair = {net_make(shape, "ref"), net_make(shape, backend), shape, samples, backend};
    bnnep_workspace *ref = bnnep_network_workspace(pair.ref.network);
    bnnep_workspace *other = bnnep_network_workspace(pair.other.network);
    const size_t outputs = samples * (size_t)shape->units[shape->connections];
    uint64_t flips = 0;
    for (int batch = 0; batch < 2; batch++) {
        const float beta = batch == 0 ? 0.5f : -0.5f;
        uint64_t flips_ref[MOST_LAYERS], flips_other[MOST_LAYERS];
        float *x = random_pixels(stream, samples, shape->units[0]);
        float *target = malloc(outputs * sizeof *target);
        for (size_t i = 0; i < outputs; i++)
            target[i] = (float)(stream_next(stream) % 2);
        assert_ok(bnnep_workspace_stage(ref, x, target, samples));
        assert_ok(bnnep_workspace_stage(other, x, target, samples));
        relax_both(&pair, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, "first free step");
        relax_both(&pair, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, "second free step");
        relax_both(&pair, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape->free_steps, 0.0f, "free phase");
        relax_both(&pair, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, beta, "first nudged step");
        relax_both(&pair, BNNEP_PHASE_NUDGED, BNNEP_PHASE_NUDGED, shape->nudged_steps, beta, "nudged phase");
        assert_ok(phase_learn(pair.ref.optimizer, ref, 0.0, flips_ref));
        assert_ok(phase_learn(pair.other.optimizer, other, 0.0, flips_other));
        flips += check_update(&pair, flips_ref, flips_other);
        free(x);
        free(target);
    }
    net_free(&pair.ref);
    net_free(&pair.other);
    return flips;
}

static void compare_all(int32_t dynamics, bool grid, int32_t schedule, unsigned cases) {
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        if (strcmp(backends[b], "ref") == 0)
            continue;
        struct stream stream = {(uint64_t)dynamics + 1};
        uint64_t flips = 0;
        for (unsigned i = 0; i < cases; i++) {
            struct shape shape = {
                .dynamics = dynamics,
                .connections = 1 + i % (schedule ? 5 : 3),
                .free_steps = 12,
                .nudged_steps = 6,
                .max_batch = 70,
                .learn_alpha = i % 2 == 1,
                .covariance = i / 2 % 2 == 0,
                .consolidation = i % 3 == 2 ? 1.5f : 0.0f,
                .gamma = 0.25,
                .threshold = 0.01,
                .lr_alpha = dynamics == BNNEP_DYNAMICS_BINARY ? 3.0 : 0.0, /* large: alpha shows any rounding */
                .seed = i,
                .grid_bits = grid ? 20 - (int32_t)i % 13 : 0,
                .schedule = schedule,
                .feedback = dynamics == BNNEP_DYNAMICS_REAL && i % 4 >= 2 ? 0.3f : 0.0f,
            };
            for (size_t k = 0; k <= shape.connections; k++) {
                do
                    shape.units[k] = stream_between(&stream, 1, i % 4 == 3 ? 300 : 60);
                while (shape.units[k] % 8 == 0 || (k == shape.connections && shape.units[k] < 2));
            }
            /* The corners of the tiles. */
            const size_t samples = i == 0 ? 1 : i == 1 ? 70 : i == 2 ? 16 : (size_t)stream_between(&stream, 1, 70);
            flips += compare(&shape, backends[b], samples, &stream);
        }
        assert_true(flips > 1000); /* else nothing was learnt and nothing tested */
    }
}

static void real_activations(void **state) {
    (void)state;
    compare_all(BNNEP_DYNAMICS_REAL, false, BNNEP_SCHEDULE_SYNCHRONOUS, 16);
}

static void real_activations_on_a_grid(void **state) {
    (void)state;
    compare_all(BNNEP_DYNAMICS_REAL, true, BNNEP_SCHEDULE_SYNCHRONOUS, 16);
}

static void binary_activations(void **state) {
    (void)state;
    compare_all(BNNEP_DYNAMICS_BINARY, false, BNNEP_SCHEDULE_SYNCHRONOUS, 16);
}

static void alternating(void **state) {
    (void)state;
    compare_all(BNNEP_DYNAMICS_REAL, false, BNNEP_SCHEDULE_ALTERNATING, 10);
    compare_all(BNNEP_DYNAMICS_REAL, true, BNNEP_SCHEDULE_ALTERNATING, 10);
    compare_all(BNNEP_DYNAMICS_REAL, false, BNNEP_SCHEDULE_OVER_RELAXED, 10);
    compare_all(BNNEP_DYNAMICS_REAL, true, BNNEP_SCHEDULE_OVER_RELAXED, 10);
    compare_all(BNNEP_DYNAMICS_BINARY, false, BNNEP_SCHEDULE_ALTERNATING, 10);
}

/* More than one tile of weights in both directions, and an input wider than a tile of doubles. */
static void large_layers(void **state) {
    (void)state;
    struct stream stream = {5};
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (int kind = 0; kind < 3; kind++) {
        const struct shape shape = {
            .dynamics = kind == 1 ? BNNEP_DYNAMICS_BINARY : BNNEP_DYNAMICS_REAL,
            .grid_bits = kind == 2 ? 20 : 0, /* the sums need all of 31 bits */
            .connections = 2,
            .units = {1301, 299, 7},
            .free_steps = 6,
            .nudged_steps = 3,
            .max_batch = 33,
            .learn_alpha = true,
            .covariance = true,
            .gamma = 0.25,
            .threshold = 0.001,
            .seed = 3,
        };
        for (size_t b = 0; b < count; b++)
            if (strcmp(backends[b], "ref") != 0)
                assert_true(compare(&shape, backends[b], 33, &stream) > 100);
    }
}

static struct net learn_in_larger_workspace(const struct shape *shape, const char *backend) {
    enum { LARGER = 70 };
    struct net net = net_make(shape, backend);
    bnnep_workspace_options options = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *ws;
    struct stream stream = {6};
    float *x = random_pixels(&stream, LARGER, shape->units[0]), *target = random_pixels(&stream, LARGER, 5);
    options.max_batch = LARGER;
    assert_ok(bnnep_workspace_create(net.network, &options, &ws));
    assert_ok(bnnep_workspace_stage(ws, x, target, LARGER));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape->free_steps, 0.0f, NULL));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, shape->nudged_steps, 0.5f, NULL));
    assert_ok(phase_learn(net.optimizer, ws, 0.0, NULL));
    bnnep_workspace_free(ws);
    free(x);
    free(target);
    return net;
}

/* The optimizer was made for the network's own workspace, but any other teaches too. */
static void larger_workspace(void **state) {
    (void)state;
    const struct shape shape = {
        .dynamics = BNNEP_DYNAMICS_BINARY,
        .connections = 2,
        .units = {20, 9, 5},
        .free_steps = 5,
        .nudged_steps = 3,
        .max_batch = 3,
        .learn_alpha = true,
        .gamma = 0.5,
        .threshold = 0.001,
    };
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    struct net ref = learn_in_larger_workspace(&shape, "ref");
    for (size_t b = 0; b < count; b++) {
        struct net other = learn_in_larger_workspace(&shape, backends[b]);
        assert_same_network(&ref, &other);
        net_free(&other);
    }
    net_free(&ref);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_activations),   cmocka_unit_test(real_activations_on_a_grid),
        cmocka_unit_test(binary_activations), cmocka_unit_test(alternating),
        cmocka_unit_test(large_layers),       cmocka_unit_test(larger_workspace),
    };
    return cmocka_run_group_tests_name("conformance", tests, NULL, NULL);
}
