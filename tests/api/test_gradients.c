/* SPDX-License-Identifier: MIT */
/*
 * The theory: after t nudged steps, with a small beta and a settled free phase, the contrast of equilibrium propagation
 * equals the gradient of back-propagation through the last t free steps (Ernoult et al., NeurIPS 2019). It holds where
 * no unit is saturated: there the nudge moves an output that the clamp's derivative, 0, says cannot move. The networks
 * here keep all states inside (0, 1).
 */
#include <math.h>
#include <stdlib.h>

#include "support.h"

enum { SAMPLES = 7, STEPS = 6, MOST = 4 };

struct theory {
    const char *name;
    int32_t input[3];
    bnnep_connection connections[MOST];
    size_t count;
};

static const struct theory nets[] = {
    {"fully connected", {23, 1, 1}, {BNNEP_FC(31), BNNEP_FC(17), BNNEP_FC(10)}, 3},
    {"convolutional", {2, 8, 9}, {BNNEP_CONV(5, 3, 1, 2), BNNEP_FC(12), BNNEP_FC(10)}, 3},
    {"two convolutions", {1, 8, 8}, {BNNEP_CONV(5, 3, 1, 2), BNNEP_CONV(6, 3, 1, 2), BNNEP_FC(10)}, 3},
};

static bnnep_network *make(const struct theory *t, const char *backend) {
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.input_channels = t->input[0];
    o.input_height = t->input[1];
    o.input_width = t->input[2];
    o.connections = t->connections;
    o.connection_count = t->count;
    o.free_steps = 200;
    o.max_batch = SAMPLES;
    o.seed = 3;
    assert_ok(network_on(backend, &o, &network));
    for (size_t k = 0; k < t->count; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        float alpha[64], bias[64];
        assert_ok(bnnep_network_get_connection(network, k, &info));
        for (size_t i = 0; i < 64; i++) {
            alpha[i] = 0.02f;
            bias[i] = 0.45f;
        }
        assert_ok(bnnep_network_set_alpha(network, k, alpha, (size_t)info.scales));
        assert_ok(bnnep_network_set_bias(network, k, bias, (size_t)info.rows));
    }
    return network;
}

/* gamma = 1: the momentum is the gradient; no weight flips. */
static bnnep_optimizer *reader(bnnep_network *network, int32_t method) {
    static const double one[MOST] = {1, 1, 1, 1}, never[MOST] = {1e30, 1e30, 1e30, 1e30}, zero[MOST];
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    p.method = method;
    p.nudged_steps = STEPS;
    p.gamma = one;
    p.threshold = never;
    p.lr_bias = zero;
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    return optimizer;
}

static void same_direction(const bnnep_network *network, bnnep_optimizer *contrast, bnnep_optimizer *gradient,
                           const struct theory *t, size_t k, int step) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    double aa = 0.0, bb = 0.0, difference = 0.0;
    assert_ok(bnnep_network_get_connection(network, k, &info));
    const size_t weights = (size_t)(info.rows * info.columns);
    float *a = malloc(weights * sizeof *a), *b = malloc(weights * sizeof *b);
    assert_ok(bnnep_optimizer_get_momentum(contrast, k, a, weights));
    assert_ok(bnnep_optimizer_get_momentum(gradient, k, b, weights));
    for (size_t i = 0; i < weights; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        difference += pow((double)a[i] - (double)b[i], 2);
    }
    free(a);
    free(b);
    if (step + (int)k < (int)t->count) { /* the error has not come down so far */
        assert_true(bb == 0.0 && aa < 1e-6);
        return;
    }
    print_message("%s: connection=%zu step=%d relative_error=%.4f\n", t->name, k, step, sqrt(difference / bb));
    assert_true(bb > 0.0 && sqrt(difference / bb) < 0.03);
}

static void contrast_is_gradient(void **state) {
    (void)state;
    const float beta = 0.01f;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t n = 0; n < sizeof nets / sizeof nets[0]; n++) {
            const struct theory *t = &nets[n];
            bnnep_network *network = make(t, backends[b]);
            bnnep_workspace *ws = bnnep_network_workspace(network);
            struct stream stream = {n + 1};
            float *x = random_pixels(&stream, SAMPLES, t->input[0] * t->input[1] * t->input[2]), target[SAMPLES * 10];
            for (size_t i = 0; i < SAMPLES * 10; i++)
                target[i] = (float)(stream_next(&stream) % 2);
            for (int step = 1; step <= STEPS; step++) {
                bnnep_optimizer *contrast = reader(network, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION);
                bnnep_optimizer *gradient = reader(network, BNNEP_METHOD_BPTT);
                assert_ok(bnnep_workspace_stage(ws, x, target, SAMPLES));
                assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 200, 0.0f, NULL));
                assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, step, beta, NULL));
                assert_ok(phase_learn(contrast, ws, 0.0, NULL));
                assert_ok(bnnep_workspace_stage(ws, x, target, SAMPLES));
                assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 200 - step, 0.0f, NULL));
                assert_ok(bnnep_optimizer_backpropagate(gradient, ws, step));
                assert_ok(bnnep_optimizer_update(gradient, NULL));
                for (size_t k = 0; k < t->count; k++)
                    same_direction(network, contrast, gradient, t, k, step);
                bnnep_optimizer_free(contrast);
                bnnep_optimizer_free(gradient);
            }
            free(x);
            bnnep_network_free(network);
        }
}

/* Free steps that are remembered for BPTT leave what the contrast needs, pooling places included. */
static void contrast_after_tape(void **state) {
    (void)state;
    const struct theory *t = &nets[2]; /* the pooling of states, not of inputs: its places change on the way */
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        bnnep_network *network = make(t, backends[b]);
        bnnep_workspace *ws = bnnep_network_workspace(network);
        bnnep_optimizer *contrast = reader(network, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION);
        bnnep_optimizer *gradient = reader(network, BNNEP_METHOD_BPTT);
        struct stream stream = {1};
        enum { WEIGHTS = 6 * 5 * 9 };
        float *x = random_pixels(&stream, SAMPLES, 8 * 8), target[SAMPLES * 10] = {1.0f}, momentum[2][WEIGHTS];
        for (int taped = 0; taped < 2; taped++) {
            assert_ok(bnnep_workspace_stage(ws, x, target, SAMPLES));
            if (taped)
                assert_ok(bnnep_optimizer_backpropagate(gradient, ws, STEPS));
            else
                assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, STEPS, 0.0f, NULL));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, STEPS, 0.5f, NULL));
            assert_ok(phase_learn(contrast, ws, 0.0, NULL));
            assert_ok(bnnep_optimizer_get_momentum(contrast, 1, momentum[taped], WEIGHTS));
        }
        assert_int_equal(first_difference(momentum[0], momentum[1], WEIGHTS, 1e-5), WEIGHTS);
        free(x);
        bnnep_optimizer_free(contrast);
        bnnep_optimizer_free(gradient);
        bnnep_network_free(network);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(contrast_is_gradient), cmocka_unit_test(contrast_after_tape)};
    return cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
}
