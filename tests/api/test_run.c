/* SPDX-License-Identifier: MIT */
/* How training, evaluation and prediction run: they are interrupted, from any thread, between batches and within a
 * phase; their reports agree with what is predicted; neither the size of their batches nor the workspace changes what
 * comes out; data without labels are only predicted. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support.h"

enum { COUNT = 83, VALUES = 36, CLASSES = 10, BATCH = 12 };

static const struct shape shape = {
    .connections = 2,
    .units = {VALUES, 40, 2 * CLASSES},
    .expand_output = 2,
    .free_steps = 15,
    .nudged_steps = 5,
    .max_batch = BATCH,
    .shuffle = true,
    .random_beta = true,
    .gamma = 0.1,
    .threshold = 0.001,
    .seed = 5,
};
static float *x;
static int32_t *labels;
static bnnep_dataset *data, *unlabelled;

static bnnep_dataset *make_data(const int32_t *with) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *dataset;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, with, COUNT, &dataset));
    return dataset;
}

static int draw_data(void **state) {
    struct stream stream = {2};
    (void)state;
    x = random_pixels(&stream, COUNT, VALUES);
    labels = random_labels(&stream, COUNT, CLASSES);
    data = make_data(labels);
    unlabelled = make_data(NULL);
    return 0;
}

static int free_data(void **state) {
    (void)state;
    bnnep_dataset_free(data);
    bnnep_dataset_free(unlabelled);
    free(x);
    free(labels);
    return 0;
}

static uint64_t batches_of(const struct net *net) {
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    assert_ok(bnnep_optimizer_get_info(net->optimizer, &info));
    return info.batches;
}

/* A little, so that predictions are of several classes. */
static struct net trained(const char *where) {
    static const float zero[40];
    struct net net = net_make(&shape, where);
    for (size_t k = 0; k < 2; k++)
        assert_ok(bnnep_network_set_bias(net.network, k, zero, (size_t)shape.units[k + 1]));
    assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, NULL, NULL));
    return net;
}

/* --- interrupts --------------------------------------------------------------------------------------------------- */

static void interrupted_before(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        struct net net = net_make(&shape, backends[b]), untouched = net_make(&shape, backends[b]);
        int32_t flag = 0, classes[COUNT];
        bnnep_report report = BNNEP_REPORT_INIT;
        const bnnep_run_options run = {.size = sizeof run, .interrupt = &flag};
        bnnep_interrupt(&flag);
        assert_int_not_equal(flag, 0);
        assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, labels, BATCH, &run, NULL), BNNEP_CANCELLED,
                       "interrupt");
        report.batches = 99;
        assert_refused(bnnep_optimizer_train_epoch(net.optimizer, data, &run, &report), BNNEP_CANCELLED, "interrupt");
        assert_int_equal(report.batches, 0);
        assert_refused(bnnep_network_evaluate(net.network, data, &run, &report), BNNEP_CANCELLED, "interrupt");
        assert_refused(bnnep_network_predict(net.network, x, COUNT, &run, NULL, classes), BNNEP_CANCELLED, "interrupt");
        assert_same_network(&net, &untouched);
        assert_int_equal(batches_of(&net), 0);
        flag = 0; /* and all is well again */
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, &run, NULL));
        assert_ok(bnnep_optimizer_train_epoch(untouched.optimizer, data, NULL, NULL));
        assert_same_network(&net, &untouched);
        assert_ok(bnnep_network_predict(net.network, x, COUNT, &run, NULL, classes));
        net_free(&net);
        net_free(&untouched);
    }
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void *interrupt_soon(void *flag) {
    sleep_ms(20);
    bnnep_interrupt(flag);
    return NULL;
}

/* Steps without end within the first batch: only the interrupt ends it. */
static void interrupted_in_a_phase(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int call = 0; call < 3; call++) {
            struct net net = net_make(&shape, backends[b]), untouched = net_make(&shape, backends[b]);
            int32_t flag = 0;
            pthread_t thread;
            bnnep_status status;
            const bnnep_run_options run = {.size = sizeof run, .interrupt = &flag};
            assert_ok(bnnep_network_set_relaxation(net.network, 1000000, -1.0));
            assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, &flag), 0);
            if (call == 0)
                status = bnnep_optimizer_train_batch(net.optimizer, x, labels, BATCH, &run, NULL);
            else if (call == 1)
                status = bnnep_network_evaluate(net.network, data, &run, NULL);
            else
                status = bnnep_network_predict(net.network, x, COUNT, &run, NULL, NULL);
            pthread_join(thread, NULL);
            assert_int_equal(status, BNNEP_CANCELLED);
            assert_same_network(&net, &untouched);
            net_free(&net);
            net_free(&untouched);
        }
}

static int32_t slowly(void *user, const bnnep_progress *progress) {
    (void)user;
    if (progress->event == BNNEP_EVENT_BATCH)
        sleep_ms(4);
    return 0;
}

/* Wherever it was when the other thread interrupted it, it has done whole batches, and goes on from there. */
static void interrupted_on_the_way(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu/2"), whole = net_make(&shape, "cpu/1");
    int32_t flag = 0;
    pthread_t thread;
    bnnep_report report = BNNEP_REPORT_INIT;
    const bnnep_run_options run = {.size = sizeof run, .interrupt = &flag, .progress = slowly};
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, &flag), 0);
    assert_int_equal(bnnep_optimizer_train_epoch(net.optimizer, data, &run, &report), BNNEP_CANCELLED);
    pthread_join(thread, NULL);
    assert_true(report.batches < 7);
    assert_int_equal(report.batches, batches_of(&net));
    assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, NULL, NULL)); /* the rest of it */
    assert_ok(bnnep_optimizer_train_epoch(whole.optimizer, data, NULL, NULL));
    assert_same_network(&net, &whole);
    net_free(&net);
    net_free(&whole);
}

/* --- reports ------------------------------------------------------------------------------------------------------ */

struct evaluation {
    bnnep_report report;
    uint64_t confusion[CLASSES * CLASSES];
    int32_t predictions[COUNT];
};

static void evaluate(const bnnep_network *network, const bnnep_dataset *dataset, const bnnep_run_options *run,
                     struct evaluation *e) {
    e->report = (bnnep_report)BNNEP_REPORT_INIT;
    e->report.confusion = e->confusion;
    e->report.confusion_count = CLASSES * CLASSES;
    e->report.predictions = e->predictions;
    e->report.predictions_count = COUNT;
    memset(e->confusion, 0xA5, sizeof e->confusion);
    memset(e->predictions, 0xA5, sizeof e->predictions);
    assert_ok(bnnep_network_evaluate(network, dataset, run, &e->report));
}

static void confusion(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        static struct evaluation e;
        struct net net = trained(backends[b]);
        uint64_t wanted[CLASSES * CLASSES] = {0}, errors = 0;
        int32_t classes[COUNT];
        bool seen[CLASSES] = {false};
        int kinds = 0;
        evaluate(net.network, data, NULL, &e);
        assert_ok(bnnep_network_predict(net.network, x, COUNT, NULL, NULL, classes));
        for (size_t n = 0; n < COUNT; n++) {
            wanted[labels[n] * CLASSES + classes[n]]++;
            errors += labels[n] != classes[n];
            kinds += !seen[classes[n]];
            seen[classes[n]] = true;
        }
        assert_true(kinds > 2 && errors < COUNT); /* else there is little to confuse */
        assert_memory_equal(e.predictions, classes, sizeof classes);
        assert_memory_equal(e.confusion, wanted, sizeof wanted);
        assert_int_equal(e.report.errors, errors);
        assert_int_equal(e.report.samples, COUNT);
        e.report.confusion_count = CLASSES * CLASSES - 1;
        assert_refused(bnnep_network_evaluate(net.network, data, NULL, &e.report), BNNEP_ERROR_ARGUMENT, "99");
        e.report.confusion_count = CLASSES * CLASSES;
        e.report.predictions_count = COUNT - 1;
        assert_refused(bnnep_network_evaluate(net.network, data, NULL, &e.report), BNNEP_ERROR_ARGUMENT, "82");
        net_free(&net);
    }
}

/* Batches of any size, a workspace of another size, or of fewer threads. */
static void batches_of_any_size(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 5, BATCH};
    static struct evaluation first, other;
    static float scores[2][COUNT * CLASSES];
    struct net net = trained("cpu/2");
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *large;
    o.max_batch = 50;
    o.threads = 1;
    assert_ok(bnnep_workspace_create(net.network, &o, &large));
    evaluate(net.network, data, NULL, &first);
    assert_ok(bnnep_network_predict(net.network, x, COUNT, NULL, scores[0], NULL));
    for (size_t s = 0; s < 2 * sizeof sizes / sizeof sizes[0]; s++) {
        const bnnep_run_options run = {
            .size = sizeof run, .batch_size = sizes[s / 2], .workspace = s % 2 ? large : NULL};
        const size_t batch = run.batch_size ? run.batch_size : s % 2 ? 50 : BATCH;
        evaluate(net.network, data, &run, &other);
        assert_memory_equal(first.predictions, other.predictions, sizeof first.predictions);
        assert_memory_equal(first.confusion, other.confusion, sizeof first.confusion);
        assert_true(first.report.errors == other.report.errors && first.report.steps_free == other.report.steps_free);
        assert_true(fabs(first.report.loss - other.report.loss) < 1e-12);
        assert_int_equal(other.report.batches, (COUNT + batch - 1) / batch);
        assert_ok(bnnep_network_predict(net.network, x, COUNT, &run, scores[1], NULL));
        assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
    }
    assert_refused(bnnep_network_evaluate(net.network, data, RUN(.batch_size = BATCH + 1), NULL), BNNEP_ERROR_ARGUMENT,
                   "batch_size is 13");
    assert_refused(bnnep_network_predict(net.network, x, 1, RUN(.batch_size = 51, .workspace = large), NULL, NULL),
                   BNNEP_ERROR_ARGUMENT, "batch_size is 51");
    bnnep_workspace_free(large);
    net_free(&net);
}

/* Training leaves its states where it is told to, and learns the same. */
static void workspaces(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        struct net net = net_make(&shape, backends[b]), own = net_make(&shape, backends[b]);
        bnnep_workspace *ws, *small, *foreign = bnnep_network_workspace(net.network);
        bnnep_workspace_options o = {.size = sizeof o, .max_batch = 3};
        float a[BATCH * 40], c[BATCH * 40];
        assert_ok(bnnep_workspace_create(own.network, NULL, &ws));
        assert_ok(bnnep_workspace_create(own.network, &o, &small));
        assert_refused(bnnep_optimizer_train_batch(own.optimizer, x, labels, BATCH, RUN(.workspace = foreign), NULL),
                       BNNEP_ERROR_ARGUMENT, "another network");
        assert_refused(bnnep_optimizer_train_epoch(own.optimizer, data, RUN(.workspace = foreign), NULL),
                       BNNEP_ERROR_ARGUMENT, "another network");
        assert_refused(bnnep_network_evaluate(own.network, data, RUN(.workspace = foreign), NULL), BNNEP_ERROR_ARGUMENT,
                       "another network");
        assert_refused(bnnep_network_predict(own.network, x, 1, RUN(.workspace = foreign), NULL, NULL),
                       BNNEP_ERROR_ARGUMENT, "another network");
        assert_refused(bnnep_optimizer_train_batch(own.optimizer, x, labels, 4, RUN(.workspace = small), NULL),
                       BNNEP_ERROR_ARGUMENT, "1 to 3");
        assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, labels, BATCH, NULL, NULL));
        assert_ok(bnnep_optimizer_train_batch(own.optimizer, x, labels, BATCH, RUN(.workspace = ws), NULL));
        assert_same_network(&net, &own);
        assert_ok(bnnep_workspace_get_state(foreign, BNNEP_PHASE_NUDGED, 1, a, BATCH * 40));
        assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_NUDGED, 1, c, BATCH * 40));
        assert_memory_equal(a, c, sizeof a);
        assert_refused(
            bnnep_workspace_get_state(bnnep_network_workspace(own.network), BNNEP_PHASE_FREE, 1, c, BATCH * 40),
            BNNEP_ERROR_ARGUMENT, "no batch is staged");
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, NULL, NULL));
        assert_ok(bnnep_optimizer_train_epoch(own.optimizer, data, RUN(.workspace = ws), NULL));
        assert_same_network(&net, &own);
        bnnep_workspace_free(ws);
        bnnep_workspace_free(small);
        net_free(&net);
        net_free(&own);
    }
}

/* --- beyond the range of float ------------------------------------------------------------------------------------ */

/* Scores that are no numbers are none: neither classes nor errors are read from them. */
static void outputs_without_sense(void **state) {
    (void)state;
    static float scores[COUNT * CLASSES];
    static const float huge = 3.4e38f, usual = 0.1f;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        struct net net = net_make(&shape, backends[b]);
        bnnep_report report = BNNEP_REPORT_INIT;
        for (size_t k = 0; k < 2; k++) /* what comes from below and from above is infinite, and its sum anything */
            assert_ok(bnnep_network_set_alpha(net.network, k, &huge, 1));
        assert_refused(bnnep_network_predict(net.network, x, COUNT, NULL, scores, NULL), BNNEP_ERROR_DATA,
                       "input 0: output unit ");
        assert_refused(bnnep_network_evaluate(net.network, data, NULL, &report), BNNEP_ERROR_DATA, "output unit");
        for (size_t k = 0; k < 2; k++)
            assert_ok(bnnep_network_set_alpha(net.network, k, &usual, 1));
        assert_ok(bnnep_network_predict(net.network, x, COUNT, NULL, scores, NULL));
        for (size_t v = 0; v < COUNT * CLASSES; v++)
            assert_true(isfinite(scores[v]));
        net_free(&net);
    }
}

/* --- data --------------------------------------------------------------------------------------------------------- */

static void without_labels(void **state) {
    (void)state;
    static struct evaluation with, without;
    struct net net = trained("cpu"), untouched = trained("cpu");
    bnnep_report report = BNNEP_REPORT_INIT;
    evaluate(net.network, data, NULL, &with);
    without.report = (bnnep_report)BNNEP_REPORT_INIT;
    without.report.predictions = without.predictions;
    without.report.predictions_count = COUNT;
    assert_ok(bnnep_network_evaluate(net.network, unlabelled, NULL, &without.report));
    assert_memory_equal(with.predictions, without.predictions, sizeof with.predictions);
    assert_true(without.report.errors == 0 && without.report.errors_single == 0 && without.report.loss == 0.0);
    assert_true(without.report.samples == COUNT && without.report.steps_free == with.report.steps_free);
    assert_refused(bnnep_network_evaluate(net.network, unlabelled, NULL, &report), BNNEP_ERROR_DATA, "label");
    assert_refused(bnnep_network_evaluate(net.network, unlabelled, NULL, NULL), BNNEP_ERROR_DATA, "label");
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, unlabelled, NULL, NULL), BNNEP_ERROR_DATA, "label");
    assert_same_network(&net, &untouched);
    net_free(&net);
    net_free(&untouched);
}

/* What is selected is predicted in its order; two data sets are evaluated as their samples are. */
static void selected(void **state) {
    (void)state;
    static struct evaluation whole, part;
    uint64_t places[COUNT];
    struct net net = trained("cpu");
    bnnep_dataset *turned, *twice;
    evaluate(net.network, data, NULL, &whole);
    for (size_t n = 0; n < COUNT; n++)
        places[n] = COUNT - 1 - n;
    assert_ok(bnnep_dataset_select(data, places, COUNT, &turned));
    evaluate(net.network, turned, NULL, &part);
    for (size_t n = 0; n < COUNT; n++)
        assert_int_equal(part.predictions[n], whole.predictions[COUNT - 1 - n]);
    assert_memory_equal(part.confusion, whole.confusion, sizeof part.confusion);
    const bnnep_dataset *const both[] = {data, turned};
    assert_ok(bnnep_dataset_concat(both, 2, &twice));
    bnnep_report report = BNNEP_REPORT_INIT;
    assert_ok(bnnep_network_evaluate(net.network, twice, NULL, &report));
    assert_true(report.samples == 2 * COUNT && report.errors == 2 * whole.report.errors);
    assert_true(fabs(report.loss - whole.report.loss) < 1e-9);
    bnnep_dataset_free(turned);
    bnnep_dataset_free(twice);
    net_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupted_before),
        cmocka_unit_test(interrupted_in_a_phase),
        cmocka_unit_test(interrupted_on_the_way),
        cmocka_unit_test(confusion),
        cmocka_unit_test(batches_of_any_size),
        cmocka_unit_test(workspaces),
        cmocka_unit_test(outputs_without_sense),
        cmocka_unit_test(without_labels),
        cmocka_unit_test(selected),
    };
    return cmocka_run_group_tests_name("run", tests, draw_data, free_data);
}
