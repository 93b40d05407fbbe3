/* SPDX-License-Identifier: MIT */
/* Contrasts of covariances: on every backend what the test works out from the states of both phases; training by them
 * as contrast and update do on ref, also where decays of momenta may wait; batches of one sample are taken about
 * running means; threads change no bit. With binary activations and full-precision ones. */
#include <stdlib.h>
#include <string.h>

#include "covariance.h"

/* --- by hand ------------------------------------------------------------------------------------------------------ */

/* Sum over the samples of the product of deviations from the means. */
static double covariance(const double *above, size_t rows, size_t j, const double *below, size_t columns, size_t i,
                         size_t samples) {
    double product = 0.0, mean_above = 0.0, mean_below = 0.0;
    for (size_t n = 0; n < samples; n++) {
        product += above[n * rows + j] * below[n * columns + i];
        mean_above += above[n * rows + j] / (double)samples;
        mean_below += below[n * columns + i] / (double)samples;
    }
    return product - (double)samples * mean_above * mean_below;
}

/* Returns the largest contrast. */
static double compare_contrast(const struct net *net, size_t k, const float *x, size_t samples, double beta) {
    const size_t rows = (size_t)net->shape->units[k + 1], columns = (size_t)net->shape->units[k];
    double *above[2], *below[2], largest = 0.0;
    float *got = malloc(rows * columns * sizeof *got);
    for (int32_t phase = BNNEP_PHASE_FREE; phase <= BNNEP_PHASE_NUDGED; phase++) {
        above[phase] = activations(net, phase, k + 1, x, samples);
        below[phase] = activations(net, phase, k, x, samples);
    }
    assert_ok(bnnep_optimizer_get_contrast(net->optimizer, k, BNNEP_CONTRAST_WEIGHTS, got, rows * columns));
    for (size_t j = 0; j < rows; j++)
        for (size_t i = 0; i < columns; i++) {
            const double wanted = (covariance(above[1], rows, j, below[1], columns, i, samples) -
                                   covariance(above[0], rows, j, below[0], columns, i, samples)) /
                                  (beta * (double)samples);
            const double off = (double)got[j * columns + i] - wanted;
            assert_true(off < 1e-6 && off > -1e-6);
            largest = wanted > largest ? wanted : -wanted > largest ? -wanted : largest;
        }
    for (int phase = 0; phase < 2; phase++) {
        free(above[phase]);
        free(below[phase]);
    }
    free(got);
    return largest;
}

static void compare_by_hand(int32_t dynamics) {
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        struct stream stream = {3};
        double largest = 0.0;
        for (unsigned number = 0; number < 8; number++) {
            const struct shape shape = covariance_shape(&stream, dynamics, number);
            const size_t samples = number == 0 ? 1 : number == 1 ? 64 : (size_t)stream_between(&stream, 2, 70);
            struct net net = net_make(&shape, backends[b]);
            float *x = random_pixels(&stream, samples, shape.units[0]);
            float *targets = random_pixels(&stream, samples, shape.units[shape.connections]);
            take_contrast(&net, x, targets, samples);
            for (size_t k = 0; k < shape.connections; k++) {
                const double most = compare_contrast(&net, k, x, samples, shape.beta);
                largest = samples > 1 && most > largest ? most : largest;
            }
            free(x);
            free(targets);
            net_free(&net);
        }
        assert_true(largest > 0.01); /* else nothing was tested */
    }
}

static void by_hand(void **state) {
    (void)state;
    compare_by_hand(BNNEP_DYNAMICS_BINARY);
    compare_by_hand(BNNEP_DYNAMICS_REAL);
}

/* --- training ----------------------------------------------------------------------------------------------------- */

/* In one pass what contrast and update are one after the other on ref, any number of threads; more rows and columns
 * than a task takes. */
static void the_same_bits(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    struct shape shape = {
        .dynamics = BNNEP_DYNAMICS_BINARY,
        .connections = 3,
        .units = {45, 601, 130, 6},
        .free_steps = 6,
        .nudged_steps = 3,
        .max_batch = MOST_SAMPLES,
        .learn_alpha = true,
        .covariance = true,
        .deviations = true,
        .beta = 4.0,
        .gamma = 0.02,
        .threshold = 0.5,
        .seed = 2,
    };
    for (int convolution = 0; convolution < 2; convolution++) {
        if (convolution) {
            shape.height = 5;
            shape.width = 9;
            shape.units[1] = 18;
        }
        struct net ref = net_make(&shape, "ref");
        train(&ref, 33, 4);
        for (size_t b = 0; b < count + 2; b++) {
            struct net net = net_make(&shape, b < count ? backends[b] : b == count ? "cpu/1" : "cpu/3");
            train(&net, 33, 4);
            assert_same_network(&ref, &net);
            net_free(&net);
        }
        shape.covariance = false;
        struct net other = net_make(&shape, "ref");
        train(&other, 33, 4);
        assert_false(are_same(&ref, &other));
        shape.covariance = true;
        net_free(&other);
        net_free(&ref);
    }
}

/* Nothing flips and rules stay, so that momenta without contrast wait for their decay; not those of a unit that does
 * not change itself, below which something does. */
static void waiting_decays(void **state) {
    (void)state;
    struct shape shape = {
        .dynamics = BNNEP_DYNAMICS_BINARY,
        .connections = 3,
        .units = {45, 601, 530, 6},
        .free_steps = 4,
        .nudged_steps = 2,
        .max_batch = MOST_SAMPLES,
        .beta = 4.0,
        .gamma = 0.05,
        .threshold = 1e9,
        .seed = 2,
    };
    for (int covariance = 0; covariance < 2; covariance++) {
        shape.covariance = covariance;
        struct net ref = net_make(&shape, "ref"), cpu = net_make(&shape, "cpu");
        train(&ref, 3, 20);
        train(&cpu, 3, 20);
        assert_same_network(&ref, &cpu);
        net_free(&ref);
        net_free(&cpu);
    }
}

/* A checkpoint is of an optimizer with covariances, or of one without. */
static void files(void **state) {
    (void)state;
    static uint8_t bytes[1 << 20];
    struct stream stream = {6};
    struct shape shape = covariance_shape(&stream, BNNEP_DYNAMICS_BINARY, 5);
    struct net net = net_make(&shape, "cpu");
    train(&net, 9, 4);
    const bnnep_source source = {
        .size = sizeof source, .bytes = bytes, .count = net_checkpoint(&net, bytes, sizeof bytes)};
    struct net again = net_make(&shape, "cpu");
    shape.covariance = false;
    struct net other = net_make(&shape, "cpu");
    assert_ok(bnnep_checkpoint_read(again.optimizer, &source));
    assert_same_network(&net, &again);
    assert_refused(bnnep_checkpoint_read(other.optimizer, &source), BNNEP_ERROR_ARGUMENT, "covariance");
    net_free(&net);
    net_free(&again);
    net_free(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(waiting_decays),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests_name("covariance", tests, NULL, NULL);
}
