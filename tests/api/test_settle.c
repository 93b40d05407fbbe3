/* SPDX-License-Identifier: MIT */
/* Ending a phase early must change nothing: with tolerance 0, a run that stops early equals one that does all steps,
 * bit for bit. With a tolerance, each sample stops by itself, whatever its batch. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 37 };
static const char *backends[MOST_BACKENDS + 1] = {"cpu/3"};
static size_t backend_count;

static struct shape shape_of(int32_t dynamics, float tolerance) {
    return (struct shape){
        .dynamics = dynamics,
        .connections = 3,
        .units = {53, 61, 45, 10},
        .free_steps = 80,
        .nudged_steps = 40,
        .max_batch = SAMPLES,
        .settle_tolerance = tolerance,
        .learn_alpha = true,
        .gamma = 0.25,
        .threshold = 0.003,
        .seed = 9,
    };
}

/* Trains three batches; returns the free steps done by the first, mean of the samples. */
static double train(struct net *net) {
    struct stream stream = {4};
    double steps = 0.0;
    for (int batch = 0; batch < 3; batch++) {
        float *x = random_pixels(&stream, SAMPLES, net->shape->units[0]);
        int32_t *labels = random_labels(&stream, SAMPLES, 10);
        bnnep_report report = BNNEP_REPORT_INIT;
        assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, labels, SAMPLES, NULL, &report));
        assert_true(report.steps_free_max <= 80 && report.steps_nudged_max <= 40);
        assert_true(report.steps_free <= report.steps_free_max);
        steps = batch == 0 ? report.steps_free : steps;
        free(x);
        free(labels);
    }
    return steps;
}

static void exact(void **state) {
    (void)state;
    for (size_t b = 0; b < backend_count; b++)
        for (int32_t kind = 0; kind < 4; kind++) {
            struct shape early = shape_of(kind % 2, 0.0f), never = shape_of(kind % 2, -1.0f);
            early.connections = never.connections = 2; /* deeper ones flutter in the last bit */
            early.units[2] = never.units[2] = 10;
            if (kind >= 2) { /* a convolution in front */
                early.units[0] = never.units[0] = 54;
                early.units[1] = never.units[1] = 8;
                early.height = never.height = 6;
                early.width = never.width = 9;
            }
            struct net a = net_make(&early, backends[b]), c = net_make(&never, backends[b]);
            const double steps = train(&a);
            assert_true(steps < 79.0); /* else nothing ended early */
            assert_true(train(&c) == 80.0);
            assert_same_network(&a, &c);
            net_free(&a);
            net_free(&c);
        }
}

/* Where units send changes (delta coding), sums are kept while nothing is sent: networks of any depth come to rest. */
static void deep(void **state) {
    (void)state;
    struct shape early = shape_of(BNNEP_DYNAMICS_REAL, 0.0f), never = shape_of(BNNEP_DYNAMICS_REAL, -1.0f);
    early.units[1] = never.units[1] = 95;
    early.units[2] = never.units[2] = 80;
    struct net a = net_make(&early, "cpu"), c = net_make(&never, "cpu");
    assert_true(train(&a) < 79.0);
    assert_true(train(&c) == 80.0);
    assert_same_network(&a, &c);
    net_free(&a);
    net_free(&c);
}

/* A sample's states must not depend on the others in its batch, settled or not. */
static void by_sample(void **state) {
    (void)state;
    for (size_t b = 0; b < 2 * backend_count; b++) {
        struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, 1e-3f);
        if (b >= backend_count) { /* a convolution in front */
            shape.units[0] = 54;
            shape.units[1] = 8;
            shape.height = 6;
            shape.width = 9;
        }
        const size_t values = (size_t)shape.units[0];
        struct net net = net_make(&shape, backends[b % backend_count]);
        struct stream stream = {8};
        float *x = random_pixels(&stream, SAMPLES, shape.units[0]);
        float together[SAMPLES][10], alone[10];
        bnnep_relaxed all = BNNEP_RELAXED_INIT, one = BNNEP_RELAXED_INIT;
        bnnep_workspace *ws = bnnep_network_workspace(net.network);
        uint64_t sum = 0;
        assert_ok(bnnep_workspace_stage(ws, x, NULL, SAMPLES));
        assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 80, 0.0f, &all));
        assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 3, together[0], SAMPLES * 10));
        for (size_t n = 0; n < SAMPLES; n++) {
            assert_ok(bnnep_workspace_stage(ws, x + n * values, NULL, 1));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 80, 0.0f, &one));
            assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 3, alone, 10));
            assert_memory_equal(together[n], alone, sizeof alone);
            sum += one.sample_steps;
        }
        assert_int_equal(sum, all.sample_steps);
        assert_true(all.sample_steps < UINT64_C(80) * SAMPLES / 2);
        free(x);
        net_free(&net);
    }
}

/* A larger tolerance means fewer steps and a result within reach of the exact one. */
static void tolerance(void **state) {
    (void)state;
    for (size_t b = 0; b < backend_count; b++) {
        const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, 0.0f);
        struct net net = net_make(&shape, backends[b]);
        struct stream stream = {8};
        float *x = random_pixels(&stream, SAMPLES, shape.units[0]);
        float scores[3][SAMPLES * 10];
        uint64_t steps[3];
        const float tolerances[] = {0.0f, 1e-5f, 1e-2f};
        bnnep_workspace *ws = bnnep_network_workspace(net.network);
        for (int i = 0; i < 3; i++) {
            bnnep_relaxed done = BNNEP_RELAXED_INIT;
            assert_ok(bnnep_network_set_relaxation(net.network, 80, tolerances[i]));
            assert_ok(bnnep_workspace_stage(ws, x, NULL, SAMPLES));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 80, 0.0f, &done));
            assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 3, scores[i], SAMPLES * 10));
            steps[i] = done.sample_steps;
        }
        assert_true(steps[2] < steps[1] && steps[1] < steps[0]);
        assert_int_equal(first_difference(scores[0], scores[1], SAMPLES * 10, 1e-4), SAMPLES * 10);
        assert_int_equal(first_difference(scores[0], scores[2], SAMPLES * 10, 1e-1), SAMPLES * 10);
        free(x);
        net_free(&net);
    }
}

enum { SOME = 12, PIXELS = 64, WEIGHTS = 6 * 5 * 9 };

/* A convolutional network that stops early, and an optimizer whose momentum is the gradient: gamma = 1. */
static bnnep_optimizer *make_convolutional(const char *backend, bnnep_network **network) {
    const bnnep_connection connections[] = {BNNEP_CONV(5, 3, 1, 2), BNNEP_CONV(6, 3, 1, 2), BNNEP_FC(10)};
    static const double gamma[] = {1, 1, 1}, never[] = {1e30, 1e30, 1e30}, rate[] = {0, 0, 0};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    o.input_channels = 1;
    o.input_height = o.input_width = 8;
    o.connections = connections;
    o.connection_count = 3;
    o.free_steps = 40;
    o.settle_tolerance = 0.05f;
    o.max_batch = SOME;
    o.seed = 2;
    p.gamma = gamma;
    p.threshold = never;
    p.lr_bias = rate;
    p.nudge = BNNEP_NUDGE_FIXED;
    p.beta = 0.5f;
    assert_ok(network_on(backend, &o, network));
    assert_ok(bnnep_optimizer_create(*network, &p, &optimizer));
    return optimizer;
}

/* Pooling windows rest with their sample: the gradient of a batch is the mean of those of its samples alone. */
static void pooling_by_sample(void **state) {
    (void)state;
    for (size_t b = 0; b < backend_count; b++) {
        bnnep_network *network;
        bnnep_optimizer *optimizer = make_convolutional(backends[b], &network);
        struct stream stream = {3};
        float *x = random_pixels(&stream, SOME, PIXELS), together[WEIGHTS], alone[WEIGHTS], mean[WEIGHTS] = {0.0f};
        int32_t *labels = random_labels(&stream, SOME, 10);
        for (int n = 0; n < SOME; n++) {
            assert_ok(bnnep_optimizer_train_batch(optimizer, x + n * PIXELS, labels + n, 1, NULL, NULL));
            assert_ok(bnnep_optimizer_get_momentum(optimizer, 1, alone, WEIGHTS));
            for (int i = 0; i < WEIGHTS; i++)
                mean[i] += alone[i] / SOME;
        }
        assert_ok(bnnep_optimizer_train_batch(optimizer, x, labels, SOME, NULL, NULL));
        assert_ok(bnnep_optimizer_get_momentum(optimizer, 1, together, WEIGHTS));
        assert_int_equal(first_difference(together, mean, WEIGHTS, 1e-5), WEIGHTS);
        free(x);
        free(labels);
        bnnep_optimizer_free(optimizer);
        bnnep_network_free(network);
    }
}

int main(void) {
    const size_t first = getenv("BNNEP_TEST_BACKEND") ? 0 : 1;
    backend_count = first + available_backends(backends + first);
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact), cmocka_unit_test(deep), cmocka_unit_test(by_sample),
                                       cmocka_unit_test(tolerance), cmocka_unit_test(pooling_by_sample)};
    return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
