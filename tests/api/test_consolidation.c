/* SPDX-License-Identifier: MIT */
/* Consolidation: on every backend a momentum steps as tanh says; training by it comes to the bits of ref, also where
 * decays of momenta could else wait; files; backends that cannot. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 33, MOST = 128 * 128 };

static const struct shape shape_of[] = {
    {.dynamics = BNNEP_DYNAMICS_REAL,
     .connections = 2,
     .units = {67, 45, 6},
     .free_steps = 12,
     .nudged_steps = 6,
     .max_batch = SAMPLES,
     .learn_alpha = true,
     .gamma = 0.25,
     .threshold = 0.5,
     .seed = 7,
     .consolidation = 2.0f},
    {.dynamics = BNNEP_DYNAMICS_BINARY,
     .connections = 3,
     .units = {45, 18, 64, 6},
     .height = 5,
     .width = 9,
     .free_steps = 12,
     .nudged_steps = 6,
     .max_batch = SAMPLES,
     .beta = 4.0,
     .gamma = 0.25,
     .threshold = 0.01,
     .seed = 2,
     .consolidation = 0.7f},
};
enum { SHAPES = sizeof shape_of / sizeof shape_of[0] };

/* --- by hand ------------------------------------------------------------------------------------------------------ */

/* The step of one momentum, for a weight of this sign; *held: it went less than all the way. */
static double step_of(const struct shape *shape, double sign, double m, double contrast, bool *held) {
    const double whole = shape->gamma * (contrast - m);
    *held = sign * m > 0.0 && sign * whole < 0.0;
    const double x = (double)shape->consolidation * m / shape->threshold;
    return *held ? whole * (1.0 - tanh(x) * tanh(x)) : whole;
}

/* Contrasts and momenta of up to two thresholds, of either sign. */
static void draw(struct stream *stream, float *values, size_t count, double threshold) {
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(((double)stream_uniform(stream) - 0.5) * 4.0 * threshold);
}

/* All scaling factors of connection k are alpha, whose sign is a part of its weights'. */
static void steps(const struct shape *shape, const char *where, size_t k, float alpha) {
    static float before[MOST], after[MOST], contrast[MOST];
    static int8_t sign[MOST];
    struct net net = net_make(shape, where);
    struct stream stream = {3 + k};
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    size_t held = 0, whole = 0;
    assert_ok(bnnep_network_get_connection(net.network, k, &info));
    const size_t weights = (size_t)(info.rows * info.columns);
    assert_true(weights <= MOST && info.scales <= MOST);
    for (size_t i = 0; i < info.scales; i++)
        after[i] = alpha;
    assert_ok(bnnep_network_set_alpha(net.network, k, after, (size_t)info.scales));
    draw(&stream, before, weights, shape->threshold);
    draw(&stream, contrast, weights, shape->threshold);
    assert_ok(bnnep_optimizer_set_momentum(net.optimizer, k, before, weights));
    assert_ok(bnnep_optimizer_set_contrast(net.optimizer, k, BNNEP_CONTRAST_WEIGHTS, contrast, weights));
    assert_ok(bnnep_network_get_signs(net.network, k, sign, weights));
    assert_ok(bnnep_optimizer_update(net.optimizer, NULL));
    assert_ok(bnnep_optimizer_get_momentum(net.optimizer, k, after, weights));
    for (size_t i = 0; i < weights; i++) {
        bool holds;
        const double side = alpha > 0.0f ? (double)sign[i] : alpha < 0.0f ? -(double)sign[i] : 0.0;
        const double step = step_of(shape, side, (double)before[i], (double)contrast[i], &holds);
        held += holds;
        whole += !holds;
        assert_true(fabs((double)after[i] - (double)before[i] - step) < (holds ? 0.005 : 1e-5) * shape->threshold);
    }
    assert_true(alpha == 0.0f ? held == 0 : held > weights / 8 && whole > weights / 4);
    net_free(&net);
}

static void by_hand(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < SHAPES; i++)
            for (size_t k = 0; k < shape_of[i].connections; k++)
                for (int sign = -1; sign <= 1; sign++)
                    steps(&shape_of[i], backends[b], k, 0.1f * (float)sign);
}

/* --- training ----------------------------------------------------------------------------------------------------- */

static void train(struct net *net, uint64_t seed, int batches) {
    const int32_t *units = net->shape->units;
    struct stream stream = {seed};
    for (int n = 0; n < batches; n++) {
        float *x = random_pixels(&stream, SAMPLES, units[0]);
        int32_t *labels = random_labels(&stream, SAMPLES, units[net->shape->connections]);
        assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, labels, SAMPLES, NULL, NULL));
        free(x);
        free(labels);
    }
}

static bool differ(const struct net *a, const struct net *b) {
    size_t count;
    float *one = net_memory(a, &count), *other = net_memory(b, &count);
    const bool do_they = memcmp(one, other, count * sizeof *one) != 0;
    free(one);
    free(other);
    return do_they;
}

/* With binary activations the bits of ref, on every backend; with real ones the same for any number of threads. */
static void the_same_bits(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t i = 0; i < SHAPES; i++) {
        const bool binary = shape_of[i].dynamics == BNNEP_DYNAMICS_BINARY;
        struct shape shape = shape_of[i];
        shape.threshold = 0.01; /* so that weights flip */
        struct net first = net_make(&shape, binary ? "ref" : "cpu");
        train(&first, 5, 12);
        for (size_t b = binary ? 0 : count; b < count + 2; b++) {
            struct net net = net_make(&shape, b < count ? backends[b] : b == count ? "cpu/1" : "cpu/3");
            train(&net, 5, 12);
            assert_same_network(&first, &net);
            net_free(&net);
        }
        shape.consolidation = 0.0f;
        struct net whole = net_make(&shape, "cpu");
        train(&whole, 5, 12);
        assert_true(differ(&first, &whole));
        net_free(&whole);
        net_free(&first);
    }
}

/* Nothing flips and rules stay, so that momenta without contrast would wait for their decay: what is consolidated does
 * not decay by a factor. */
static void waiting_decays(void **state) {
    (void)state;
    struct shape shape = shape_of[1];
    shape.height = shape.width = 0;
    shape.units[1] = 601;
    shape.free_steps = 4;
    shape.nudged_steps = 2;
    shape.gamma = 0.05;
    shape.threshold = 1e5;
    shape.consolidation = 1e6f;
    struct net ref = net_make(&shape, "ref"), cpu = net_make(&shape, "cpu");
    shape.consolidation = 0.0f;
    struct net whole = net_make(&shape, "cpu");
    train(&ref, 3, 20);
    train(&cpu, 3, 20);
    train(&whole, 3, 20);
    assert_same_network(&ref, &cpu);
    assert_true(differ(&cpu, &whole));
    net_free(&ref);
    net_free(&cpu);
    net_free(&whole);
}

/* By a threshold of 0 there is no measure of how much a momentum has said. */
static void no_threshold(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < SHAPES; i++) {
            struct shape shape = shape_of[i];
            shape.threshold = 0.0;
            struct net with = net_make(&shape, backends[b]);
            shape.consolidation = 0.0f;
            struct net without = net_make(&shape, backends[b]);
            train(&with, 4, 6);
            train(&without, 4, 6);
            assert_same_network(&with, &without);
            net_free(&with);
            net_free(&without);
        }
}

/* --- files, backends ---------------------------------------------------------------------------------------------- */

/* A checkpoint is of an optimizer that consolidates as much, and says that a reader must know of it. */
static void files(void **state) {
    (void)state;
    static uint8_t bytes[1 << 20];
    struct shape shape = shape_of[1];
    struct net net = net_make(&shape, "cpu"), again = net_make(&shape, "cpu");
    train(&net, 9, 4);
    const bnnep_source source = {
        .size = sizeof source, .bytes = bytes, .count = net_checkpoint(&net, bytes, sizeof bytes)};
    assert_ok(bnnep_checkpoint_read(again.optimizer, &source));
    assert_same_network(&net, &again);
    for (int whole = 0; whole < 2; whole++) {
        static uint8_t others[1 << 20];
        shape.consolidation = whole ? 0.0f : 0.5f;
        struct net other = net_make(&shape, "cpu");
        const bnnep_source theirs = {
            .size = sizeof theirs, .bytes = others, .count = net_checkpoint(&other, others, sizeof others)};
        assert_refused(bnnep_checkpoint_read(other.optimizer, &source), BNNEP_ERROR_ARGUMENT, "consolidation");
        assert_refused(bnnep_checkpoint_read(again.optimizer, &theirs), BNNEP_ERROR_ARGUMENT, "consolidation");
        net_free(&other);
    }
    char needs[64];
    assert_ok(bnnep_source_text(&source, "requires", needs, sizeof needs, NULL));
    assert_non_null(strstr(needs, "\"consolidation\""));
    train(&net, 10, 4);
    train(&again, 10, 4);
    assert_same_network(&net, &again);
    net_free(&net);
    net_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),      cmocka_unit_test(the_same_bits), cmocka_unit_test(waiting_decays),
        cmocka_unit_test(no_threshold), cmocka_unit_test(files),
    };
    return cmocka_run_group_tests_name("consolidation", tests, NULL, NULL);
}
