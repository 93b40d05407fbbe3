/* SPDX-License-Identifier: MIT */
/* A clone goes on as the original would, bit for bit, and neither knows of the other: in the midst of an epoch, with
 * rates and a relaxation that were changed, in another context, of any method. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { COUNT = 50, VALUES = 42, BATCH = 9 };

static struct shape shape_of(int32_t dynamics, bool convolution) {
    struct shape shape = {
        .dynamics = dynamics,
        .connections = 3,
        .units = {VALUES, 21, 17, 10},
        .free_steps = 12,
        .nudged_steps = 4,
        .max_batch = BATCH,
        .learn_alpha = true,
        .shuffle = true,
        .random_beta = true,
        .gamma = 0.2,
        .threshold = 0.001,
        .seed = 8,
    };
    if (convolution) {
        shape.units[1] = 5;
        shape.height = 6;
        shape.width = 7;
    }
    return shape;
}

static bnnep_dataset *make_data(void) {
    struct stream stream = {2};
    float *x = random_pixels(&stream, COUNT, VALUES);
    int32_t *labels = random_labels(&stream, COUNT, 10);
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *dataset;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, COUNT, &dataset));
    free(x);
    free(labels);
    return dataset;
}

static struct net clone(const struct net *net, bnnep_context *context) {
    struct net copy = {.shape = net->shape};
    assert_ok(bnnep_network_clone(net->network, context, &copy.network));
    assert_ok(bnnep_optimizer_clone(net->optimizer, copy.network, &copy.optimizer));
    return copy;
}

static int32_t after_three(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH && progress->batches_done == 3;
}

/* An epoch and a half, with rates changed on the way. */
static void train_half(const struct net *net, const bnnep_dataset *data) {
    static const double gamma[] = {0.1, 0.3, 0.2}, beta = 0.7;
    assert_ok(bnnep_optimizer_train_epoch(net->optimizer, data, NULL, NULL));
    assert_ok(bnnep_optimizer_set_rates(net->optimizer, BNNEP_RATE_GAMMA, gamma, 3));
    assert_ok(bnnep_optimizer_set_rates(net->optimizer, BNNEP_RATE_BETA, &beta, 1));
    assert_ok(bnnep_network_set_relaxation(net->network, 10, 1e-4));
    assert_int_equal(bnnep_optimizer_train_epoch(net->optimizer, data, RUN(.progress = after_three), NULL),
                     BNNEP_CANCELLED);
}

static void same_position(const struct net *a, const struct net *b) {
    bnnep_optimizer_info info[2];
    bnnep_network_info about[2];
    memset(info, 0, sizeof info);
    memset(about, 0, sizeof about);
    for (int side = 0; side < 2; side++) {
        info[side].size = sizeof info[side];
        about[side].size = sizeof about[side];
        assert_ok(bnnep_optimizer_get_info((side ? b : a)->optimizer, &info[side]));
        assert_ok(bnnep_network_get_info((side ? b : a)->network, &about[side]));
        about[side].backend = NULL; /* a string of its own */
    }
    assert_memory_equal(&info[0], &info[1], sizeof info[0]);
    assert_memory_equal(&about[0], &about[1], sizeof about[0]);
}

static void trains_on(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    bnnep_dataset *data = make_data();
    for (size_t b = 0; b < count; b++)
        for (int kind = 0; kind < 4; kind++) {
            const struct shape shape = shape_of(kind % 2, kind / 2);
            struct net first = net_make(&shape, backends[b]);
            bnnep_report a = BNNEP_REPORT_INIT, c = BNNEP_REPORT_INIT;
            train_half(&first, data);
            struct net copy = clone(&first, NULL), kept = clone(&first, NULL);
            assert_same_network(&first, &copy);
            same_position(&first, &copy);
            assert_ok(bnnep_optimizer_train_epoch(copy.optimizer, data, NULL, &c)); /* the rest of the epoch */
            assert_same_network(&first, &kept);                                     /* that does not know of it */
            assert_ok(bnnep_optimizer_train_epoch(first.optimizer, data, NULL, &a));
            assert_same_network(&first, &copy);
            assert_true(a.samples == COUNT && c.samples == COUNT && a.errors == c.errors && a.loss == c.loss);
            net_free(&first); /* the copies stand by themselves */
            assert_ok(bnnep_optimizer_train_epoch(kept.optimizer, data, NULL, NULL));
            assert_same_network(&kept, &copy);
            assert_ok(bnnep_optimizer_train_epoch(kept.optimizer, data, NULL, NULL));
            assert_ok(bnnep_optimizer_train_epoch(copy.optimizer, data, NULL, NULL));
            assert_same_network(&kept, &copy);
            same_position(&kept, &copy);
            net_free(&kept);
            net_free(&copy);
        }
    bnnep_dataset_free(data);
}

/* Networks with binary activations are the same on every backend and any number of threads. */
static void elsewhere(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS + 1] = {"cpu/3"};
    const size_t count = 1 + available_backends(backends + 1);
    const struct shape shape = shape_of(BNNEP_DYNAMICS_BINARY, true);
    bnnep_dataset *data = make_data();
    for (size_t b = 0; b < count; b++) {
        struct net first = net_make(&shape, "cpu/1");
        bnnep_context *context = context_on(backends[b]);
        bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
        train_half(&first, data);
        struct net copy = clone(&first, context);
        bnnep_context_free(context);
        assert_ok(bnnep_network_get_info(copy.network, &info));
        assert_int_equal(strncmp(info.backend, backends[b], strlen(info.backend)), 0);
        assert_int_equal(info.layer_count, info.connection_count + 1);
        for (int epoch = 0; epoch < 2; epoch++) {
            assert_ok(bnnep_optimizer_train_epoch(first.optimizer, data, NULL, NULL));
            assert_ok(bnnep_optimizer_train_epoch(copy.optimizer, data, NULL, NULL));
            assert_same_network(&first, &copy);
        }
        net_free(&first);
        net_free(&copy);
    }
    bnnep_dataset_free(data);
}

static void back_propagation(void **state) {
    (void)state;
    static const double gamma[] = {0.3, 0.3, 0.3}, threshold[] = {1e-4, 1e-4, 1e-4}, rate[] = {0.1, 0.1, 0.1};
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, false);
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_dataset *data = make_data();
    struct net first = net_make(&shape, "cpu");
    bnnep_optimizer_free(first.optimizer);
    p.method = BNNEP_METHOD_BPTT;
    p.nudged_steps = shape.nudged_steps;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = rate;
    assert_ok(bnnep_optimizer_create(first.network, &p, &first.optimizer));
    assert_ok(bnnep_optimizer_train_epoch(first.optimizer, data, NULL, NULL));
    struct net copy = clone(&first, NULL);
    assert_ok(bnnep_optimizer_train_epoch(first.optimizer, data, NULL, NULL));
    assert_ok(bnnep_optimizer_train_epoch(copy.optimizer, data, NULL, NULL));
    assert_same_network(&first, &copy);
    net_free(&first);
    net_free(&copy);
    bnnep_dataset_free(data);
}

/* Two optimizers of one network: the second begins with the momenta of the first and goes its own way. */
static void of_the_same_network(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, false);
    bnnep_dataset *data = make_data();
    struct net net = net_make(&shape, "cpu");
    train_half(&net, data);
    struct net same = {.network = net.network, .shape = &shape};
    assert_ok(bnnep_optimizer_clone(net.optimizer, net.network, &same.optimizer));
    assert_same_network(&net, &same);
    const float momentum[21 * VALUES] = {1.0f};
    float seen[21 * VALUES];
    assert_ok(bnnep_optimizer_set_momentum(same.optimizer, 0, momentum, 21 * VALUES));
    assert_ok(bnnep_optimizer_get_momentum(net.optimizer, 0, seen, 21 * VALUES));
    assert_memory_not_equal(seen, momentum, sizeof seen);
    bnnep_optimizer_free(same.optimizer);
    net_free(&net);
    bnnep_dataset_free(data);
}

/* A checkpoint of a clone is one of the original. */
static void same_files(void **state) {
    (void)state;
    static uint8_t bytes[2][1 << 16];
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, true);
    bnnep_dataset *data = make_data();
    struct net net = net_make(&shape, "cpu");
    uint64_t counts[2] = {0, 0};
    assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, NULL, NULL));
    struct net copy = clone(&net, NULL);
    for (int side = 0; side < 2; side++) {
        const bnnep_sink sink = {
            .size = sizeof sink, .bytes = bytes[side], .room = sizeof bytes[side], .count = &counts[side]};
        assert_ok(bnnep_checkpoint_write((side ? copy : net).optimizer, &sink, NULL));
    }
    assert_true(counts[0] > 1000 && counts[0] == counts[1]);
    assert_memory_equal(bytes[0], bytes[1], (size_t)counts[0]);
    net_free(&net);
    net_free(&copy);
    bnnep_dataset_free(data);
}

static void refused(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, false), other = shape_of(BNNEP_DYNAMICS_REAL, true);
    struct net net = net_make(&shape, "cpu"), unlike = net_make(&other, "cpu");
    bnnep_network *network = net.network;
    bnnep_optimizer *optimizer = net.optimizer;
    assert_refused(bnnep_optimizer_clone(net.optimizer, unlike.network, &optimizer), BNNEP_ERROR_ARGUMENT, "network");
    assert_null(optimizer);
    assert_refused(bnnep_optimizer_clone(net.optimizer, NULL, &optimizer), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_refused(bnnep_optimizer_clone(NULL, net.network, &optimizer), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_refused(bnnep_network_clone(NULL, NULL, &network), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_null(network);
    assert_refused(bnnep_network_clone(net.network, NULL, NULL), BNNEP_ERROR_ARGUMENT, "NULL");
    net_free(&net);
    net_free(&unlike);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(trains_on),        cmocka_unit_test(elsewhere),
                                       cmocka_unit_test(back_propagation), cmocka_unit_test(of_the_same_network),
                                       cmocka_unit_test(same_files),       cmocka_unit_test(refused)};
    return cmocka_run_group_tests_name("clone", tests, NULL, NULL);
}
