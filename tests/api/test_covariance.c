/* SPDX-License-Identifier: MIT */
/* Contrasts of covariances: on every backend what the test works out from the states of both phases; training by them
 * as contrast and update do on ref, also where decays of momenta may wait; batches of one sample are taken about
 * running means; threads change no bit. With binary activations and full-precision ones. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { MOST_SAMPLES = 70 };

static struct shape draw_shape(struct stream *stream, int32_t dynamics, unsigned number) {
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

/* --- by hand ------------------------------------------------------------------------------------------------------ */

/* Activations of a layer, 0 the input, [samples][units]. */
static double *activations(const struct net *net, int32_t phase, size_t layer, const float *x, size_t samples) {
    const size_t count = samples * (size_t)net->shape->units[layer];
    float *states = malloc(count * sizeof *states);
    double *a = malloc(count * sizeof *a);
    if (layer > 0)
        assert_ok(bnnep_workspace_get_state(bnnep_network_workspace(net->network), phase, layer, states, count));
    for (size_t i = 0; i < count; i++)
        a[i] = layer == 0                                      ? (double)x[i]
               : net->shape->dynamics == BNNEP_DYNAMICS_BINARY ? (double)(states[i] >= 0.5f)
                                                               : (double)states[i];
    free(states);
    return a;
}

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
            const struct shape shape = draw_shape(&stream, dynamics, number);
            const size_t samples = number == 0 ? 1 : number == 1 ? 64 : (size_t)stream_between(&stream, 2, 70);
            struct net net = net_make(&shape, backends[b]);
            bnnep_workspace *ws = bnnep_network_workspace(net.network);
            float *x = random_pixels(&stream, samples, shape.units[0]);
            float *targets = random_pixels(&stream, samples, shape.units[shape.connections]);
            assert_ok(bnnep_workspace_stage(ws, x, targets, samples));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0, NULL));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, shape.beta, NULL));
            assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, NULL));
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

static void train(const struct net *net, size_t samples, size_t batches) {
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

static bool are_same_network(const struct net *a, const struct net *b) {
    size_t values;
    float *first = net_memory(a, &values), *second = net_memory(b, &values);
    const bool same = memcmp(first, second, values * sizeof *first) == 0;
    free(first);
    free(second);
    return same;
}

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
        .free_steps = 12,
        .nudged_steps = 6,
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
        train(&ref, 33, 12);
        for (size_t b = 0; b < count + 2; b++) {
            struct net net = net_make(&shape, b < count ? backends[b] : b == count ? "cpu/1" : "cpu/3");
            train(&net, 33, 12);
            assert_same_network(&ref, &net);
            net_free(&net);
        }
        shape.covariance = false;
        struct net other = net_make(&shape, "ref");
        train(&other, 33, 12);
        assert_false(are_same_network(&ref, &other));
        shape.covariance = true;
        net_free(&other);
        net_free(&ref);
    }
}

/* Full-precision activations, some hundred units: what is added up is divided among threads. */
static void any_threads(void **state) {
    (void)state;
    struct shape shape = {
        .connections = 3,
        .units = {300, 290, 30, 6},
        .free_steps = 12,
        .nudged_steps = 6,
        .max_batch = MOST_SAMPLES,
        .learn_alpha = true,
        .covariance = true,
        .deviations = true,
        .gamma = 0.02,
        .threshold = 0.5,
        .seed = 2,
    };
    for (int convolution = 0; convolution < 2; convolution++) {
        if (convolution) {
            shape.height = 5;
            shape.width = 60;
            shape.units[1] = 18;
        }
        struct net one = net_make(&shape, "cpu/1");
        train(&one, 33, 4);
        static const char *const where[] = {"cpu/2", "cpu/3"};
        for (size_t i = 0; i < sizeof where / sizeof where[0]; i++) {
            struct net some = net_make(&shape, where[i]);
            train(&some, 33, 4);
            assert_same_network(&one, &some);
            net_free(&some);
        }
        shape.covariance = false;
        struct net other = net_make(&shape, "cpu/1");
        train(&other, 33, 4);
        assert_false(are_same_network(&one, &other));
        shape.covariance = true;
        net_free(&other);
        net_free(&one);
    }
}

/* --- batches of one sample ------------------------------------------------------------------------------------------
 */

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
    bnnep_workspace *ws = bnnep_network_workspace(net.network);
    double largest = 0.0;
    memset(mean, 0, sizeof mean);
    for (size_t n = 0; n < ALONE; n++) {
        double *a[5][2];
        float *x = random_pixels(stream, 1, shape->units[0]),
              *target = random_pixels(stream, 1, shape->units[shape->connections]);
        assert_ok(bnnep_workspace_stage(ws, x, target, 1));
        assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0, NULL));
        assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, shape->beta, NULL));
        assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, NULL));
        for (size_t layer = 0; layer <= shape->connections; layer++) {
            for (int32_t phase = 0; phase < 2; phase++)
                a[layer][phase] = activations(&net, phase, layer, x, 1);
            take_mean(mean[layer], a[layer], (size_t)shape->units[layer], n);
        }
        for (size_t k = 0; k < shape->connections; k++) {
            const double *about[2] = {mean[k], mean[k + 1]};
            const double most = compare_alone(&net, k, a[k + 1], a[k], about);
            assert_true(n > 0 || most < 1e-12); /* one sample alone has no covariance */
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

static void one_by_hand(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int32_t dynamics = BNNEP_DYNAMICS_REAL; dynamics <= BNNEP_DYNAMICS_BINARY; dynamics++) {
            struct stream stream = {4};
            double largest = 0.0;
            for (unsigned number = 0; number < 8; number++) {
                const struct shape shape = draw_shape(&stream, dynamics, number);
                const double most = compare_stream_of_ones(&shape, backends[b], &stream);
                largest = most > largest ? most : largest;
            }
            assert_true(largest > 0.01); /* else nothing was tested */
        }
}

/* On every backend, any threads; and in convolutions' classifiers. Means stay while batches are larger. */
static void one_the_same_bits(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    struct stream stream = {7};
    for (unsigned number = 0; number < 4; number++) {
        struct shape shape = draw_shape(&stream, BNNEP_DYNAMICS_BINARY, number);
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
        assert_false(are_same_network(&ref, &products));
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
static void one_above_convolutions(void **state) {
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

/* A checkpoint and a clone go on as the optimizer does; one that is set to a position begins its means anew. */
static void one_kept(void **state) {
    (void)state;
    static uint8_t bytes[1 << 20];
    struct stream stream = {6};
    for (unsigned number = 1; number < 3; number++) {
        struct shape shape = draw_shape(&stream, number == 1 ? BNNEP_DYNAMICS_BINARY : BNNEP_DYNAMICS_REAL, number);
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
        assert_false(are_same_network(&net, &anew));
        net_free(&net);
        net_free(&again);
        net_free(&anew);
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
        .free_steps = 12,
        .nudged_steps = 6,
        .max_batch = MOST_SAMPLES,
        .beta = 4.0,
        .gamma = 0.05,
        .threshold = 1e9,
        .seed = 2,
    };
    for (int covariance = 0; covariance < 2; covariance++) {
        shape.covariance = covariance;
        struct net ref = net_make(&shape, "ref"), cpu = net_make(&shape, "cpu");
        train(&ref, 3, 30);
        train(&cpu, 3, 30);
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
    struct shape shape = draw_shape(&stream, BNNEP_DYNAMICS_BINARY, 5);
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
        cmocka_unit_test(by_hand),     cmocka_unit_test(the_same_bits),     cmocka_unit_test(any_threads),
        cmocka_unit_test(one_by_hand), cmocka_unit_test(one_the_same_bits), cmocka_unit_test(one_above_convolutions),
        cmocka_unit_test(one_kept),    cmocka_unit_test(waiting_decays),    cmocka_unit_test(files),
    };
    return cmocka_run_group_tests_name("covariance", tests, NULL, NULL);
}
