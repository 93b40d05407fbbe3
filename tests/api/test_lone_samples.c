/* SPDX-License-Identifier: MIT */
/* Batches of one sample, whose contrasts of covariances are taken about running means: on every backend what the test
 * works out from the states of both phases; the same bits; kept in checkpoints and clones. */
#include <stdlib.h>
#include <string.h>

#include "covariance.h"

enum { ALONE = 6, MOST_UNITS = 301 };

/* Running means of a layer's activations, of the mean of both phases; the sample under way is number n from 0. */
static void take_mean(double *mean, double *of[2], size_t units, size_t n) {
    for (size_t j = 0; j < units; j++)
        mean[j] += (0.5 * (of[0][j] + of[1][j]) - mean[j]) / (double)(n + 1);
}

/* One sample's contrast about the means. Returns the largest. */
static double compare_alone(const struct net *net, size_t k, double *above[2], double *below[2],
                            const double *mean[2]) {
    const size_t rows = (size_t)net->shape->units[k + 1], columns = (size_t)net->shape->units[k];
    float *got = malloc(rows * columns * sizeof *got);
    double largest = 0.0;
    assert_ok(bnnep_optimizer_get_contrast(net->optimizer, k, BNNEP_CONTRAST_WEIGHTS, got, rows * columns));
    for (size_t j = 0; j < rows; j++)
        for (size_t i = 0; i < columns; i++) {
            double wanted = 0.0;
            for (int phase = 0; phase < 2; phase++)
                wanted += (phase ? 1.0 : -1.0) * (above[phase][j] - mean[1][j]) * (below[phase][i] - mean[0][i]);
            const double off = (double)got[j * columns + i] - wanted / net->shape->beta;
            assert_true(off < 1e-6 && off > -1e-6);
            largest = wanted > largest ? wanted : -wanted > largest ? -wanted : largest;
        }
    free(got);
    return largest;
}

static double compare_stream_of_ones(const struct shape *shape, const char *backend, struct stream *stream) {
    static double mean[5][MOST_UNITS];
    struct net net = net_make(shape, backend);
    double largest = 0.0;
    memset(mean, 0, sizeof mean);
    for (size_t n = 0; n < ALONE; n++) {
        double *a[5][2];
        float *x = random_pixels(stream, 2, shape->units[0]),
              *target = random_pixels(stream, 2, shape->units[shape->connections]);
        if (n == 3) /* does not count */
            take_contrast(&net, x, target, 2);
        take_contrast(&net, x, target, 1);
        for (size_t layer = 0; layer <= shape->connections; layer++) {
            for (int32_t phase = 0; phase < 2; phase++)
                a[layer][phase] = activations(&net, phase, layer, x, 1);
            take_mean(mean[layer], a[layer], (size_t)shape->units[layer], n);
        }
        for (size_t k = 0; k < shape->connections; k++) {
            const double *about[2] = {mean[k], mean[k + 1]};
            const double most = compare_alone(&net, k, a[k + 1], a[k], about);
            largest = most > largest ? most : largest;
        }
        for (size_t layer = 0; layer <= shape->connections; layer++) {
            free(a[layer][0]);
            free(a[layer][1]);
        }
        free(x);
        free(target);
    }
    net_free(&net);
    return largest;
}

static void by_hand(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int32_t dynamics = BNNEP_DYNAMICS_REAL; dynamics <= BNNEP_DYNAMICS_BINARY; dynamics++) {
            struct stream stream = {4};
            double largest = 0.0;
            for (unsigned number = 0; number < 8; number++) {
                struct shape shape = covariance_shape(&stream, dynamics, number);
                shape.grid_bits = number == 6 && dynamics == BNNEP_DYNAMICS_REAL ? 8 : 0;
                const double most = compare_stream_of_ones(&shape, backends[b], &stream);
                largest = most > largest ? most : largest;
            }
            assert_true(largest > 0.01); /* else nothing was tested */
        }
}

/* On every backend, any threads; and in convolutions' classifiers. Means stay while batches are larger. */
static void the_same_bits(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    struct stream stream = {7};
    for (unsigned number = 0; number < 4; number++) {
        struct shape shape = covariance_shape(&stream, BNNEP_DYNAMICS_BINARY, number);
        if (number == 3) {
            shape.height = 3;
            shape.width = 7;
            shape.units[0] = 21;
            shape.units[1] = 12;
        }
        shape.deviations = number % 2 == 0;
        struct net ref = net_make(&shape, "ref");
        shape.covariance = false;
        struct net products = net_make(&shape, "ref");
        shape.covariance = true;
        train(&ref, 1, 20);
        train(&products, 1, 20);
        assert_false(are_same(&ref, &products));
        train(&ref, 5, 2);
        train(&ref, 1, 5);
        for (size_t b = 0; b <= count; b++) {
            struct net net = net_make(&shape, b < count ? backends[b] : "cpu/3");
            train(&net, 1, 20);
            train(&net, 5, 2);
            train(&net, 1, 5);
            assert_same_network(&ref, &net);
            net_free(&net);
        }
        net_free(&products);
        net_free(&ref);
    }
}

/* The last contrasts of a classifier above a convolution, full-precision activations, as on ref. */
static void above_convolutions(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    struct shape shape = {.connections = 3,
                          .units = {35, 12, 9, 4},
                          .height = 5,
                          .width = 7,
                          .free_steps = 12,
                          .nudged_steps = 6,
                          .max_batch = 3,
                          .covariance = true,
                          .gamma = 0.02,
                          .threshold = 1e9, /* flips would tell rounding errors apart */
                          .seed = 2};
    struct net ref = net_make(&shape, "ref");
    train(&ref, 1, 10);
    size_t values;
    float *wanted = net_memory(&ref, &values);
    for (size_t b = 0; b < count; b++) {
        struct net net = net_make(&shape, backends[b]);
        train(&net, 1, 10);
        float *got = net_memory(&net, &values);
        assert_int_equal(first_difference(got, wanted, values, 2e-5), values);
        free(got);
        net_free(&net);
    }
    shape.covariance = false;
    struct net products = net_make(&shape, "ref");
    train(&products, 1, 10);
    float *other = net_memory(&products, &values);
    assert_int_not_equal(first_difference(other, wanted, values, 1e-3), values);
    free(other);
    free(wanted);
    net_free(&products);
    net_free(&ref);
}

/* What rounding leaves of the first sample's contrast, which is 0, is no deviation to tell others by. */
static void the_first_says_nothing(void **state) {
    (void)state;
    struct stream stream = {9};
    struct shape shape = covariance_shape(&stream, BNNEP_DYNAMICS_REAL, 3);
    shape.deviations = true;
    shape.threshold = 0.5;
    struct net net = net_make(&shape, "cpu");
    struct net before = net_make(&shape, "cpu");
    train(&net, 1, 2);
    for (size_t k = 0; k < shape.connections; k++) {
        const size_t count = (size_t)shape.units[k + 1] * (((size_t)shape.units[k] + 7) / 8);
        uint8_t *now = malloc(count), *then = malloc(count);
        assert_ok(bnnep_network_get_sign_bits(net.network, k, now, count));
        assert_ok(bnnep_network_get_sign_bits(before.network, k, then, count));
        assert_memory_equal(now, then, count);
        free(now);
        free(then);
    }
    net_free(&before);
    net_free(&net);
}

/* A checkpoint and a clone go on as the optimizer does; one that is set to a position begins its means anew. */
static void kept(void **state) {
    (void)state;
    static uint8_t bytes[1 << 20];
    struct stream stream = {6};
    for (unsigned number = 1; number < 3; number++) {
        struct shape shape =
            covariance_shape(&stream, number == 1 ? BNNEP_DYNAMICS_BINARY : BNNEP_DYNAMICS_REAL, number);
        struct net net = net_make(&shape, "cpu"), again = net_make(&shape, "cpu"), anew = net_make(&shape, "cpu");
        train(&net, 1, 8);
        const bnnep_source source = {
            .size = sizeof source, .bytes = bytes, .count = net_checkpoint(&net, bytes, sizeof bytes)};
        assert_ok(bnnep_checkpoint_read(again.optimizer, &source));
        assert_ok(bnnep_checkpoint_read(anew.optimizer, &source));
        assert_ok(bnnep_optimizer_set_position(anew.optimizer, 8, 0));
        bnnep_optimizer *clone;
        assert_ok(bnnep_optimizer_clone(again.optimizer, again.network, &clone));
        bnnep_optimizer_free(again.optimizer);
        again.optimizer = clone;
        train(&net, 1, 9);
        train(&again, 1, 9);
        train(&anew, 1, 9);
        assert_same_network(&net, &again);
        assert_false(are_same(&net, &anew));
        net_free(&net);
        net_free(&again);
        net_free(&anew);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(above_convolutions),
        cmocka_unit_test(the_first_says_nothing),
        cmocka_unit_test(kept),
    };
    return cmocka_run_group_tests_name("lone samples", tests, NULL, NULL);
}
