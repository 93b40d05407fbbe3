/* SPDX-License-Identifier: MIT */
/* What the cuda backend says of devices that are not there or too old, here with none and with two emulated ones; that
 * it keeps to the one it was given; that a phase on it can be cancelled, and that threads do not get in each other's
 * way.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static bnnep_status make(const char *backend) {
    const bnnep_connection connection = BNNEP_FC(10);
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network = NULL;
    o.input_channels = 5;
    o.connections = &connection;
    o.connection_count = 1;
    o.free_steps = 3;
    const bnnep_status status = network_on(backend, &o, &network);
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    if (status == BNNEP_OK && strcmp(backend, "auto") == 0) {
        assert_ok(bnnep_network_get_info(network, &info));
        assert_string_equal(info.backend, "cpu");
    }
    bnnep_network_free(network);
    return status;
}

static void none(void **state) {
    (void)state;
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    bnnep_context *context;
    setenv("BNNEP_EMULATION_DEVICES", "0", 1);
    assert_ok(bnnep_context_create(NULL, &context));
    assert_ok(bnnep_backend_get(context, 0, &info));
    assert_false(info.available);
    assert_non_null(strstr(info.reason, "no CUDA-capable device is detected"));
    bnnep_context_free(context);
    assert_refused(make("cuda"), BNNEP_ERROR_BACKEND, "no CUDA-capable device is detected");
    assert_ok(make("auto"));
}

static void two(void **state) {
    (void)state;
    bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
    bnnep_context *context;
    setenv("BNNEP_EMULATION_DEVICES", "2", 1);
    assert_ok(bnnep_context_create(NULL, &context));
    assert_ok(bnnep_device_get(context, 0, 1, &device));
    assert_string_equal(device.name, "cuda:1");
    assert_true(device.memory_bytes > 0);
    assert_refused(bnnep_device_get(context, 0, 2, &device), BNNEP_ERROR_ARGUMENT, "2");
    bnnep_context_free(context);
    assert_ok(make("cuda"));
    assert_ok(make("cuda:1"));
    assert_refused(make("cuda:7"), BNNEP_ERROR_BACKEND, "device 7 does not exist: there are 2, counted from 0");
    assert_refused(make("cuda:fast"), BNNEP_ERROR_ARGUMENT, "given 'fast'");
    assert_refused(make("cuda:-1"), BNNEP_ERROR_ARGUMENT, "given '-1'");
    assert_refused(make("cuda:1x"), BNNEP_ERROR_ARGUMENT, "given '1x'");
}

/* All work goes to the network's device, whichever the thread had chosen. */
static void second(void **state) {
    (void)state;
    const struct shape shape = {.connections = 2,
                                .units = {5, 7, 3},
                                .free_steps = 5,
                                .nudged_steps = 2,
                                .max_batch = 4,
                                .learn_alpha = true,
                                .gamma = 0.5,
                                .threshold = 0.001};
    struct stream stream = {2};
    float *x = random_pixels(&stream, 4, 5);
    int32_t *labels = random_labels(&stream, 4, 3);
    setenv("BNNEP_EMULATION_DEVICES", "2", 1);
    struct net first = net_make(&shape, "cuda:0"), other = net_make(&shape, "cuda:1");
    assert_ok(bnnep_optimizer_train_batch(first.optimizer, x, labels, 4, NULL, NULL));
    assert_ok(bnnep_optimizer_train_batch(other.optimizer, x, labels, 4, NULL, NULL));
    assert_same_network(&first, &other);
    net_free(&first);
    net_free(&other);
    free(x);
    free(labels);
}

static int32_t stop_after(void *user, const bnnep_progress *progress) {
    int *asked = user;
    return progress->event == BNNEP_EVENT_STEP && --*asked < 0;
}

/* Who may cancel is asked as a phase goes on; a batch that was cancelled has changed nothing. */
static void cancelled(void **state) {
    (void)state;
    enum { SAMPLES = 4, STEPS = 60 };
    const struct shape shape = {.connections = 2,
                                .units = {5, 7, 3},
                                .free_steps = STEPS,
                                .nudged_steps = 2,
                                .max_batch = SAMPLES,
                                .gamma = 0.5,
                                .threshold = 0.001,
                                .settle_tolerance = -1.0f};
    struct stream stream = {2};
    float *x = random_pixels(&stream, SAMPLES, 5);
    int32_t *labels = random_labels(&stream, SAMPLES, 3);
    bnnep_dataset_options options = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    options.channels = 5;
    assert_ok(bnnep_dataset_from_memory(NULL, &options, x, labels, SAMPLES, &data));
    struct net stopped = net_make(&shape, "cuda"), whole = net_make(&shape, "cuda");
    for (int asked = 0; asked < STEPS / 8; asked++) {
        int left = asked;
        assert_refused(bnnep_optimizer_train_epoch(stopped.optimizer, data,
                                                   RUN(.batch_size = SAMPLES, .progress = stop_after, .user = &left),
                                                   NULL),
                       BNNEP_CANCELLED, "cancelled");
    }
    assert_ok(bnnep_optimizer_train_epoch(stopped.optimizer, data, RUN(.batch_size = SAMPLES), NULL));
    assert_ok(bnnep_optimizer_train_epoch(whole.optimizer, data, RUN(.batch_size = SAMPLES), NULL));
    assert_same_network(&stopped, &whole);
    net_free(&stopped);
    net_free(&whole);
    bnnep_dataset_free(data);
    free(x);
    free(labels);
}

enum { THREADS = 4, INPUTS = 30 };

struct job {
    pthread_t thread;
    const bnnep_network *network;
    const float *x;
    float scores[INPUTS * 3];
    bnnep_status status;
};

/* Makes and frees workspaces, and captures steps for two sizes of batches in each. */
static void *predict(void *arg) {
    struct job *job = arg;
    bnnep_workspace_options options = BNNEP_WORKSPACE_OPTIONS_INIT;
    options.max_batch = 4;
    job->status = BNNEP_OK;
    for (int i = 0; i < 5 && job->status == BNNEP_OK; i++) {
        bnnep_workspace *ws;
        job->status = bnnep_workspace_create(job->network, &options, &ws);
        if (job->status == BNNEP_OK)
            job->status = bnnep_network_predict(job->network, job->x, INPUTS, RUN(.workspace = ws), job->scores, NULL);
        bnnep_workspace_free(ws);
    }
    return NULL;
}

/* Several threads on one device: while one captures, none takes or frees memory. */
static void threads(void **state) {
    (void)state;
    const struct shape shape = {.connections = 2,
                                .units = {5, 7, 3},
                                .free_steps = 9,
                                .nudged_steps = 2,
                                .max_batch = 4,
                                .gamma = 0.5,
                                .threshold = 0.001};
    static struct job jobs[THREADS];
    struct stream stream = {2};
    float *x = random_pixels(&stream, INPUTS, 5), wanted[INPUTS * 3];
    struct net net = net_make(&shape, "cuda");
    assert_ok(bnnep_network_predict(net.network, x, INPUTS, NULL, wanted, NULL));
    for (int i = 0; i < THREADS; i++) {
        jobs[i].network = net.network;
        jobs[i].x = x;
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, predict, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(jobs[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(jobs[i].status, BNNEP_OK);
        assert_memory_equal(jobs[i].scores, wanted, sizeof wanted);
    }
    free(x);
    net_free(&net);
}

/* A GPU for which there is no code. */
static void old(void **state) {
    (void)state;
    setenv("BNNEP_EMULATION_CAPABILITY", "61", 1);
    assert_refused(make("cuda"), BNNEP_ERROR_BACKEND, "device 0 has compute capability 6.1, and this module needs 7.5");
    assert_ok(make("auto"));
    setenv("BNNEP_EMULATION_CAPABILITY", "75", 1);
    assert_ok(make("cuda"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(none),      cmocka_unit_test(two),     cmocka_unit_test(second),
                                       cmocka_unit_test(cancelled), cmocka_unit_test(threads), cmocka_unit_test(old)};
    return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
