/* SPDX-License-Identifier: MIT */
/* Rates that are changed on the way: training goes on as if the optimizer had been made with them, values that cannot
 * be change nothing, and a checkpoint keeps them, with the relaxation, for a network and an optimizer that were made
 * with the first ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

enum { IMAGES = 60, VALUES = 40, BATCH = 16, LAYERS = 3 };

static const struct shape shape = {
    .connections = LAYERS,
    .units = {VALUES, 27, 19, 10},
    .free_steps = 12,
    .nudged_steps = 5,
    .max_batch = BATCH,
    .learn_alpha = true,
    .shuffle = true,
    .random_beta = true,
    .beta = 0.4,
    .gamma = 0.1,
    .threshold = 0.002,
    .seed = 4,
};

enum { RATES = 5 };
/* Other ones, different for each connection; of beta only the first. */
static const double changed[RATES][LAYERS] = {
    [BNNEP_RATE_GAMMA] = {0.2, 0.35, 0.05},
    [BNNEP_RATE_THRESHOLD] = {0.001, 0.0, 0.0007},
    [BNNEP_RATE_BIAS] = {0.02, 0.03, 0.0},
    [BNNEP_RATE_ALPHA] = {0.0, 0.04, 0.001},
    [BNNEP_RATE_BETA] = {0.7},
};

static size_t count_of(int32_t rate) {
    return rate == BNNEP_RATE_BETA ? 1 : LAYERS;
}

static bnnep_dataset *data(void) {
    struct stream stream = {1};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    float *x = random_pixels(&stream, IMAGES, VALUES);
    int32_t *labels = random_labels(&stream, IMAGES, 10);
    bnnep_dataset *dataset;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, IMAGES, &dataset));
    free(x);
    free(labels);
    return dataset;
}

static void train(const struct net *net, const bnnep_dataset *dataset) {
    assert_ok(bnnep_optimizer_train_epoch(net->optimizer, dataset, NULL, NULL));
}

/* The rates of net_make(), but for those of which bit `rate` is set in `mask`: the changed ones. */
static bnnep_optimizer *make_optimizer(bnnep_network *network, unsigned mask) {
    double rates[RATES][LAYERS];
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    for (size_t k = 0; k < LAYERS; k++) {
        rates[BNNEP_RATE_GAMMA][k] = shape.gamma;
        rates[BNNEP_RATE_THRESHOLD][k] = shape.threshold;
        rates[BNNEP_RATE_BIAS][k] = rates[BNNEP_RATE_ALPHA][k] = 0.01 / (double)(k + 1);
        rates[BNNEP_RATE_BETA][k] = shape.beta;
    }
    for (int rate = 0; rate < RATES; rate++)
        if (mask >> rate & 1)
            memcpy(rates[rate], changed[rate], sizeof rates[rate]);
    p.gamma = rates[BNNEP_RATE_GAMMA];
    p.threshold = rates[BNNEP_RATE_THRESHOLD];
    p.lr_bias = rates[BNNEP_RATE_BIAS];
    p.lr_alpha = rates[BNNEP_RATE_ALPHA];
    p.beta = rates[BNNEP_RATE_BETA][0];
    p.connection_count = LAYERS;
    p.nudged_steps = shape.nudged_steps;
    p.seed = shape.seed;
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    return optimizer;
}

static void change(bnnep_optimizer *optimizer, unsigned mask) {
    for (int32_t rate = 0; rate < RATES; rate++)
        if (mask >> rate & 1)
            assert_ok(bnnep_optimizer_set_rates(optimizer, rate, changed[rate], count_of(rate)));
}

/* Beta is kept in float. */
static void assert_rate(const bnnep_optimizer *optimizer, int32_t rate, const double *wanted) {
    double values[LAYERS];
    assert_ok(bnnep_optimizer_get_rates(optimizer, rate, values, count_of(rate)));
    for (size_t i = 0; i < count_of(rate); i++)
        assert_true(fabs(values[i] - wanted[i]) <= (rate == BNNEP_RATE_BETA ? 1e-7 : 0.0));
}

/* Each by itself and all together, as if the optimizer had been made so, on every backend. */
static void as_if_made_so(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    const unsigned masks[] = {1, 2, 4, 8, 16, 31};
    bnnep_dataset *dataset = data();
    for (size_t b = 0; b < count; b++)
        for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
            struct net made = net_make(&shape, backends[b]), set = net_make(&shape, backends[b]);
            struct net plain = net_make(&shape, backends[b]);
            size_t floats, other;
            bnnep_optimizer_free(made.optimizer);
            made.optimizer = make_optimizer(made.network, masks[m]);
            change(set.optimizer, masks[m]);
            for (int32_t rate = 0; rate < RATES; rate++) {
                double values[LAYERS];
                assert_ok(bnnep_optimizer_get_rates(made.optimizer, rate, values, count_of(rate)));
                assert_rate(set.optimizer, rate, values);
                if (masks[m] >> rate & 1)
                    assert_rate(set.optimizer, rate, changed[rate]);
            }
            train(&made, dataset);
            train(&set, dataset);
            train(&plain, dataset);
            assert_same_network(&made, &set);
            float *memory = net_memory(&set, &floats), *unlike = net_memory(&plain, &other);
            assert_memory_not_equal(memory, unlike, floats * sizeof *memory); /* the rate matters */
            free(memory);
            free(unlike);
            net_free(&made);
            net_free(&set);
            net_free(&plain);
        }
    bnnep_dataset_free(dataset);
}

/* From the next batch on, in the midst of an epoch too: other rates, then the first ones again. */
static void on_the_way(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu"), parts = net_make(&shape, "cpu");
    bnnep_optimizer *const first = parts.optimizer, *second = make_optimizer(parts.network, 31);
    struct stream stream = {2};
    for (int batch = 0; batch < 4; batch++) {
        float *x = random_pixels(&stream, BATCH, VALUES);
        int32_t *labels = random_labels(&stream, BATCH, 10);
        change(net.optimizer, batch == 1 ? 31 : 0);
        if (batch == 1) /* an optimizer that was made with them takes over the momenta */
            for (size_t k = 0; k < LAYERS; k++) {
                float momentum[27 * VALUES];
                const size_t weights = (size_t)(shape.units[k] * shape.units[k + 1]);
                assert_ok(bnnep_optimizer_get_momentum(first, k, momentum, weights));
                assert_ok(bnnep_optimizer_set_momentum(second, k, momentum, weights));
                assert_ok(bnnep_optimizer_set_position(second, 1, 0));
                parts.optimizer = second;
            }
        assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, labels, BATCH, NULL, NULL));
        assert_ok(bnnep_optimizer_train_batch(parts.optimizer, x, labels, BATCH, NULL, NULL));
        assert_same_network(&net, &parts);
        free(x);
        free(labels);
    }
    bnnep_optimizer_free(first);
    net_free(&parts);
    net_free(&net);
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static const struct {
    int32_t rate;
    double values[LAYERS + 1];
    size_t count;
    const char *says;
} refusals[] = {
    {BNNEP_RATE_GAMMA, {0.1, 0.0, 0.1}, 3, "gamma of connection 1 is 0"},
    {BNNEP_RATE_GAMMA, {0.1, 0.1, 1.5}, 3, "gamma of connection 2 is 1.5"},
    {BNNEP_RATE_GAMMA, {(double)NAN, 0.1, 0.1}, 3, "gamma of connection 0 is nan"},
    {BNNEP_RATE_THRESHOLD, {0.1, -0.1, 0.1}, 3, "threshold of connection 1 is -0.1"},
    {BNNEP_RATE_THRESHOLD, {0.1, 0.1, (double)INFINITY}, 3, "threshold of connection 2 is inf"},
    {BNNEP_RATE_BIAS, {0.1, -0.1, 0.1}, 3, "lr_bias of connection 1 is -0.1"},
    {BNNEP_RATE_BIAS, {1e300, 0.1, 0.1}, 3, "lr_bias of connection 0 is 1e+300"},
    {BNNEP_RATE_ALPHA, {0.1, 0.1, (double)NAN}, 3, "lr_alpha of connection 2 is nan"},
    {BNNEP_RATE_BETA, {0.0}, 1, "beta is 0"},
    {BNNEP_RATE_BETA, {(double)NAN}, 1, "beta is nan"},
    {BNNEP_RATE_BETA, {1e-42}, 1, "beta is 1e-42"},
    {BNNEP_RATE_GAMMA, {0.2, 0.2, 0.2, 0.2}, 2, "2"},
    {BNNEP_RATE_GAMMA, {0.2, 0.2, 0.2, 0.2}, 4, "4"},
    {BNNEP_RATE_BIAS, {0.2}, 0, "0"},
    {BNNEP_RATE_BETA, {0.2, 0.2, 0.2}, 3, "3"},
    {5, {0.2, 0.2, 0.2}, 3, "5"},
    {-1, {0.2, 0.2, 0.2}, 3, "-1"},
};

static void refused_values(void **state) {
    (void)state;
    bnnep_dataset *dataset = data();
    struct net net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        double values[LAYERS + 1];
        assert_refused(
            bnnep_optimizer_set_rates(net.optimizer, refusals[i].rate, refusals[i].values, refusals[i].count),
            BNNEP_ERROR_ARGUMENT, refusals[i].says);
        for (int32_t rate = 0; rate < RATES; rate++) {
            assert_ok(bnnep_optimizer_get_rates(untouched.optimizer, rate, values, count_of(rate)));
            assert_rate(net.optimizer, rate, values);
        }
        if (i >= 11)
            assert_refused(bnnep_optimizer_get_rates(net.optimizer, refusals[i].rate, values, refusals[i].count),
                           BNNEP_ERROR_ARGUMENT, refusals[i].says);
    }
    assert_refused(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_GAMMA, NULL, 3), BNNEP_ERROR_ARGUMENT, "NULL");
    train(&net, dataset);
    train(&untouched, dataset);
    assert_same_network(&net, &untouched);
    net_free(&net);
    net_free(&untouched);
    bnnep_dataset_free(dataset);
}

/* An optimizer that does not learn scaling factors has no rate of them. */
static void without_alpha(void **state) {
    (void)state;
    struct shape fixed = shape;
    double values[LAYERS] = {0.0};
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    fixed.learn_alpha = false;
    struct net net = net_make(&fixed, "cpu");
    assert_ok(bnnep_optimizer_get_info(net.optimizer, &info));
    assert_int_equal(info.learns_alpha, 0);
    assert_refused(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_ALPHA, values, LAYERS), BNNEP_ERROR_ARGUMENT,
                   "without learning rates of the scaling factors");
    assert_refused(bnnep_optimizer_get_rates(net.optimizer, BNNEP_RATE_ALPHA, values, LAYERS), BNNEP_ERROR_ARGUMENT,
                   "without learning rates of the scaling factors");
    net_free(&net);
}

/* --- checkpoints -------------------------------------------------------------------------------------------------- */

static char path[] = "/tmp/bnnep-rates-XXXXXX";

static int make_file(void **state) {
    (void)state;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    return close(file);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

static void assert_relaxation(const bnnep_network *network, int32_t steps, double tolerance) {
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    assert_ok(bnnep_network_get_info(network, &info));
    assert_int_equal(info.free_steps, steps);
    assert_true(fabs(info.settle_tolerance - tolerance) <= 1e-6 * fabs(tolerance)); /* kept in float */
}

static int32_t after_two(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH && progress->batches_done == 2;
}

/* A run whose rates and relaxation were changed, in the midst of an epoch, saved, changed again by nobody, and gone on
 * with by what was made with the first ones. */
static void kept(void **state) {
    (void)state;
    bnnep_dataset *dataset = data();
    for (unsigned mask = 1; mask < 32; mask = 2 * mask + 1) {
        struct net run = net_make(&shape, "cpu"), other = net_make(&shape, "cpu"), again = net_make(&shape, "cpu");
        struct net *const later[] = {&other, &again}, *from = &run;
        train(&run, dataset);
        change(run.optimizer, mask);
        assert_ok(bnnep_network_set_relaxation(run.network, 9, 1e-3));
        assert_int_equal(bnnep_optimizer_train_epoch(run.optimizer, dataset, RUN(.progress = after_two), NULL),
                         BNNEP_CANCELLED);
        for (int i = 0; i < 2; i++) { /* what was loaded can be saved again */
            assert_ok(bnnep_checkpoint_save(from->optimizer, path, NULL));
            from = later[i];
            assert_ok(bnnep_checkpoint_load(from->optimizer, path));
            assert_same_network(&run, from);
            assert_relaxation(from->network, 9, 1e-3);
            for (int32_t rate = 0; rate < RATES; rate++) {
                double values[LAYERS];
                assert_ok(bnnep_optimizer_get_rates(run.optimizer, rate, values, count_of(rate)));
                assert_rate(from->optimizer, rate, values);
            }
        }
        for (int epoch = 0; epoch < 2; epoch++) {
            train(&run, dataset);
            train(&again, dataset);
            assert_same_network(&run, &again);
        }
        net_free(&run);
        net_free(&other);
        net_free(&again);
    }
    bnnep_dataset_free(dataset);
}

/* What was changed does not count as what it was made with; a checkpoint that is refused changes no rates either; a
 * network made from the file relaxes as it did last. */
static void not_mistaken(void **state) {
    (void)state;
    struct shape shorter = shape;
    shorter.free_steps = 9;
    struct net run = net_make(&shape, "cpu"), made_so = net_make(&shorter, "cpu"), net = net_make(&shape, "cpu");
    const double beta = 0.25;
    bnnep_network *read;
    double gamma[LAYERS];
    change(run.optimizer, 1);
    assert_ok(bnnep_network_set_relaxation(run.network, 9, 0.0));
    assert_ok(bnnep_checkpoint_save(run.optimizer, path, NULL));
    assert_refused(bnnep_checkpoint_load(made_so.optimizer, path), BNNEP_ERROR_ARGUMENT, "free_steps");
    bnnep_optimizer_free(net.optimizer);
    net.optimizer = make_optimizer(net.network, 1);
    assert_ok(bnnep_optimizer_get_rates(net.optimizer, BNNEP_RATE_GAMMA, gamma, LAYERS));
    assert_ok(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_BETA, &beta, 1));
    assert_refused(bnnep_checkpoint_load(net.optimizer, path), BNNEP_ERROR_ARGUMENT, "gamma");
    assert_rate(net.optimizer, BNNEP_RATE_BETA, &beta);
    assert_rate(net.optimizer, BNNEP_RATE_GAMMA, gamma);
    assert_relaxation(net.network, shape.free_steps, 0.0);
    assert_ok(bnnep_network_load(NULL, path, NULL, &read));
    assert_relaxation(read, 9, 0.0);
    bnnep_network_free(read);
    net_free(&run);
    net_free(&made_so);
    net_free(&net);
}

/* A checkpoint of before the change brings the first rates back. */
static void brought_back(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    bnnep_dataset *dataset = data();
    assert_ok(bnnep_checkpoint_save(net.optimizer, path, NULL));
    change(net.optimizer, 31);
    assert_ok(bnnep_network_set_relaxation(net.network, 9, 1e-3));
    train(&net, dataset);
    assert_ok(bnnep_checkpoint_load(net.optimizer, path));
    assert_relaxation(net.network, shape.free_steps, 0.0);
    train(&net, dataset);
    train(&untouched, dataset);
    assert_same_network(&net, &untouched);
    net_free(&net);
    net_free(&untouched);
    bnnep_dataset_free(dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_if_made_so),  cmocka_unit_test(on_the_way),
                                       cmocka_unit_test(refused_values), cmocka_unit_test(without_alpha),
                                       cmocka_unit_test(kept),           cmocka_unit_test(not_mistaken),
                                       cmocka_unit_test(brought_back)};
    return cmocka_run_group_tests_name("rates", tests, make_file, remove_file);
}
