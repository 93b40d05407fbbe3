/* SPDX-License-Identifier: MIT */
/* Training by back-propagation through time: what it needs, where it can be stopped, what it reports. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { STEPS = 3, TAPE = STEPS + 1, BATCH = 2, INPUTS = 6 };
static const struct shape shape = {.connections = 2,
                                   .units = {INPUTS, 5, 2},
                                   .free_steps = TAPE,
                                   .nudged_steps = STEPS,
                                   .max_batch = BATCH,
                                   .gamma = 0.1,
                                   .threshold = 1e-3};
static const float inputs[(BATCH + 1) * INPUTS] = {1.0f, 0.5f};
static const int32_t labels[BATCH + 1] = {1, 0, 1};

/* A network with an optimizer for it in place of its own. */
static struct net make(const char *backend, double threshold) {
    const double gamma[] = {0.5, 0.5}, thresholds[] = {threshold, threshold}, rates[] = {0.1, 0.1};
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    struct net net = net_make(&shape, backend);
    bnnep_optimizer_free(net.optimizer);
    o.method = BNNEP_METHOD_BPTT;
    o.gamma = gamma;
    o.threshold = thresholds;
    o.lr_bias = rates;
    o.nudged_steps = STEPS;
    assert_ok(bnnep_optimizer_create(net.network, &o, &net.optimizer));
    return net;
}

static int32_t stop_at_step(void *user, const bnnep_progress *progress) {
    ++*(int *)user;
    return progress->event == BNNEP_EVENT_STEP;
}

/* The whole free phase may be on the tape: it can be stopped before. */
static void stopped(void **state) {
    const char *names[MOST_BACKENDS];
    (void)state;
    for (size_t b = available_backends(names); b-- > 0;) {
        struct net net = make(names[b], 1e-3), same = make(names[b], 1e-3);
        int asked = 0;
        int32_t flag = 0;
        assert_int_equal(bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH,
                                                     RUN(.progress = stop_at_step, .user = &asked), NULL),
                         BNNEP_CANCELLED);
        assert_int_equal(asked, 1);
        bnnep_interrupt(&flag);
        assert_int_equal(
            bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH, RUN(.interrupt = &flag), NULL),
            BNNEP_CANCELLED);
        assert_same_network(&net, &same);
        flag = 0;
        assert_ok(bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH, RUN(.interrupt = &flag), NULL));
        net_free(&net);
        net_free(&same);
    }
}

/* As many free steps as the tape remembers, and no fewer; batches up to max_batch, also in a larger workspace. */
static void limits(void **state) {
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *larger;
    bnnep_optimizer *clone;
    struct net net = make("cpu", 1e-3);
    (void)state;
    o.max_batch = BATCH + 1;
    assert_ok(bnnep_workspace_create(net.network, &o, &larger));
    assert_ok(bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH, RUN(.workspace = larger), NULL));
    assert_refused(
        bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH + 1, RUN(.workspace = larger), NULL),
        BNNEP_ERROR_ARGUMENT, "at most 2 (max_batch)");
    assert_ok(bnnep_network_set_relaxation(net.network, TAPE - 1, 0.0));
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "BPTT needs at least 4 free_steps, the network has 3");
    assert_ok(bnnep_optimizer_clone(net.optimizer, net.network, &clone)); /* it may have more steps again */
    bnnep_optimizer_free(clone);
    bnnep_workspace *own = bnnep_network_workspace(net.network);
    assert_ok(bnnep_workspace_stage(own, inputs, NULL, 1));
    assert_refused(bnnep_optimizer_backpropagate(net.optimizer, own, 1), BNNEP_ERROR_ARGUMENT, "no batch with targets");
    assert_refused(bnnep_optimizer_contrast(net.optimizer, own, NULL), BNNEP_ERROR_ARGUMENT, "made for BPTT");
    bnnep_workspace_free(larger);
    net_free(&net);
}

/* Steps on the tape count as free ones; there are no nudged ones. */
static void reported(void **state) {
    const char *names[MOST_BACKENDS];
    (void)state;
    for (size_t b = available_backends(names); b-- > 0;)
        for (int more = 0; more < 3; more++) {
            struct net net = make(names[b], 1e-3);
            bnnep_report report = BNNEP_REPORT_INIT;
            assert_ok(bnnep_network_set_relaxation(net.network, TAPE + more, -1.0)); /* never before */
            assert_ok(bnnep_optimizer_train_batch(net.optimizer, inputs, labels, BATCH, NULL, &report));
            assert_true(report.steps_free == TAPE + more && report.steps_free_max == TAPE + more);
            assert_true(report.steps_nudged == 0.0 && report.steps_nudged_max == 0);
            assert_true(report.samples == BATCH && report.batches == 1);
            net_free(&net);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(stopped), cmocka_unit_test(limits), cmocka_unit_test(reported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
