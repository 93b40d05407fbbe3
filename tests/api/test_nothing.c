/* SPDX-License-Identifier: MIT */
/* NULL where there must be something, and arrays of a wrong length: each function refuses them, names what it lacks,
 * and makes nothing. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bnnep/backend.h>

#include "support.h"

#define REFUSED(call, what) assert_refused(call, BNNEP_ERROR_ARGUMENT, what)
/* The same of a function that makes a handle: where it was to go, there is NULL. */
#define MADE_NONE(out, call, what)                                                                                     \
    do {                                                                                                               \
        (out) = (void *)&shape;                                                                                        \
        REFUSED(call, what);                                                                                           \
        assert_null(out);                                                                                              \
    } while (0)

static struct shape shape = {.connections = 2,
                             .units = {6, 5, 4},
                             .expand_output = 2,
                             .free_steps = 4,
                             .nudged_steps = 2,
                             .max_batch = 3,
                             .gamma = 0.1,
                             .threshold = 1e-3};
static struct net net;
static bnnep_workspace *workspace;
static bnnep_dataset *data;
static float values[64];
static int8_t signs[64];
static uint8_t bits[64];
static double rates[8];
static int32_t labels[8];

static int open_net(void **state) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    (void)state;
    net = net_make(&shape, "cpu");
    workspace = bnnep_network_workspace(net.network);
    o.channels = 6;
    return bnnep_dataset_from_memory(NULL, &o, values, labels, 4, &data);
}

static int close_net(void **state) {
    (void)state;
    bnnep_dataset_free(data);
    net_free(&net);
    return 0;
}

static void contexts(void **state) {
    (void)state;
    bnnep_context *context;
    bnnep_backend_info backend = BNNEP_BACKEND_INFO_INIT;
    bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
    REFUSED(bnnep_context_create(NULL, NULL), "NULL");
    assert_ok(bnnep_context_create(NULL, &context));
    REFUSED(bnnep_backend_get(NULL, 0, &backend), "context is NULL");
    REFUSED(bnnep_backend_get(context, 0, NULL), "info is NULL");
    REFUSED(bnnep_backend_get(context, 1000, &backend), "1000");
    REFUSED(bnnep_device_get(NULL, 0, 0, &device), "context is NULL");
    REFUSED(bnnep_device_get(context, 0, 0, NULL), "info is NULL");
    REFUSED(bnnep_device_get(context, 1000, 0, &device), "1000");
    REFUSED(bnnep_device_get(context, bnnep_backend_count(context) - 1, 1000, &device), "1000");
    REFUSED(bnnep_backend_register(NULL, NULL, NULL), "context is NULL");
    REFUSED(bnnep_backend_register(context, NULL, NULL), "backend is NULL");
    bnnep_context_free(context);
    bnnep_context_free(NULL);
    bnnep_interrupt(NULL);
}

static void datasets(void **state) {
    (void)state;
    const bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    const bnnep_transform how = BNNEP_TRANSFORM_INIT;
    const uint64_t index = 0;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset *out;
    const bnnep_dataset *const several[] = {data, NULL};
    REFUSED(bnnep_dataset_from_memory(NULL, &o, values, NULL, 1, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_from_memory(NULL, NULL, values, NULL, 1, &out), "options is NULL");
    MADE_NONE(out, bnnep_dataset_from_memory(NULL, &o, NULL, NULL, 1, &out), "inputs is NULL");
    REFUSED(bnnep_dataset_from_callback(NULL, &o, (bnnep_read_fn)(void (*)(void))abort, NULL, 1, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_from_callback(NULL, NULL, (bnnep_read_fn)(void (*)(void))abort, NULL, 1, &out),
              "options is NULL");
    MADE_NONE(out, bnnep_dataset_from_callback(NULL, &o, NULL, NULL, 1, &out), "read is NULL");
    REFUSED(bnnep_dataset_open(NULL, "/nowhere", NULL, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_open(NULL, NULL, NULL, &out), "path is NULL");
    REFUSED(bnnep_dataset_from_source(NULL, NULL, NULL, NULL), "NULL");
    MADE_NONE(out, bnnep_dataset_from_source(NULL, NULL, NULL, &out), "NULL");
    REFUSED(bnnep_dataset_subset(data, 0, 1, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_subset(NULL, 0, 1, &out), "dataset is NULL");
    REFUSED(bnnep_dataset_select(data, &index, 1, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_select(NULL, &index, 1, &out), "dataset is NULL");
    MADE_NONE(out, bnnep_dataset_select(data, NULL, 1, &out), "indices is NULL");
    REFUSED(bnnep_dataset_concat(several, 1, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_concat(NULL, 1, &out), "NULL");
    MADE_NONE(out, bnnep_dataset_concat(several, 2, &out), "NULL");
    REFUSED(bnnep_dataset_transformed(data, &how, NULL), "out is NULL");
    MADE_NONE(out, bnnep_dataset_transformed(NULL, &how, &out), "dataset is NULL");
    MADE_NONE(out, bnnep_dataset_transformed(data, NULL, &out), "transform is NULL");
    REFUSED(bnnep_transform_init_cifar10(NULL, 0, 0), "transform is NULL");
    REFUSED(bnnep_dataset_get_info(NULL, &info), "dataset is NULL");
    REFUSED(bnnep_dataset_get_info(data, NULL), "info is NULL");
    REFUSED(bnnep_dataset_read(NULL, 0, 1, values, labels), "dataset is NULL");
    bnnep_dataset_free(NULL);
}

static void networks(void **state) {
    (void)state;
    const bnnep_connection connection = BNNEP_FC(10);
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_connection_info about = BNNEP_CONNECTION_INFO_INIT;
    bnnep_network *out;
    uint64_t bytes;
    REFUSED(bnnep_network_create(NULL, &o, NULL), "out is NULL");
    MADE_NONE(out, bnnep_network_create(NULL, NULL, &out), "options is NULL");
    o.connection_count = 1; /* of none */
    MADE_NONE(out, bnnep_network_create(NULL, &o, &out), "this description has 0");
    o.connections = &connection;
    o.connection_count = 0;
    MADE_NONE(out, bnnep_network_create(NULL, &o, &out), "this description has 0");
    REFUSED(bnnep_network_memory(NULL, &o, 0, NULL), "bytes is NULL");
    REFUSED(bnnep_network_memory(NULL, NULL, 0, &bytes), "options is NULL");
    REFUSED(bnnep_network_clone(net.network, NULL, NULL), "NULL");
    MADE_NONE(out, bnnep_network_clone(NULL, NULL, &out), "NULL");
    REFUSED(bnnep_network_get_info(NULL, &info), "network is NULL");
    REFUSED(bnnep_network_get_info(net.network, NULL), "info is NULL");
    REFUSED(bnnep_network_get_connection(NULL, 0, &about), "network is NULL");
    REFUSED(bnnep_network_get_connection(net.network, 0, NULL), "info is NULL");
    REFUSED(bnnep_network_get_connection(net.network, 2, &about), "2");
    REFUSED(bnnep_network_set_relaxation(NULL, 1, 0.0), "NULL");
    REFUSED(bnnep_network_evaluate(NULL, data, NULL, NULL), "network is NULL");
    REFUSED(bnnep_network_evaluate(net.network, NULL, NULL, NULL), "dataset is NULL");
    REFUSED(bnnep_network_predict(NULL, values, 1, NULL, NULL, NULL), "NULL");
    REFUSED(bnnep_network_predict(net.network, NULL, 1, NULL, NULL, NULL), "NULL");
    assert_null(bnnep_network_workspace(NULL));
    bnnep_network_free(NULL);
}

static void parameters(void **state) {
    (void)state;
    bnnep_network *n = net.network;
    /* 6 - 5 - 4 units: 30 weights in 5 rows of a byte */
    for (size_t wrong = 0; wrong < 2; wrong++) {
        const size_t k = wrong ? 2 : 0, more = wrong ? 0 : 1;
        const char *const what = wrong ? "connection 2 does not exist" : "expected";
        REFUSED(bnnep_network_get_signs(n, k, signs, 30 + more), what);
        REFUSED(bnnep_network_set_signs(n, k, signs, 30 + more), what);
        REFUSED(bnnep_network_get_sign_bits(n, k, bits, 5 + more), what);
        REFUSED(bnnep_network_set_sign_bits(n, k, bits, 5 + more), what);
        REFUSED(bnnep_network_get_alpha(n, k, values, 1 + more), what);
        REFUSED(bnnep_network_set_alpha(n, k, values, 1 + more), what);
        REFUSED(bnnep_network_get_bias(n, k, values, 5 + more), what);
        REFUSED(bnnep_network_set_bias(n, k, values, 5 + more), what);
        REFUSED(bnnep_optimizer_get_momentum(net.optimizer, k, values, 30 + more), what);
        REFUSED(bnnep_optimizer_set_momentum(net.optimizer, k, values, 30 + more), what);
    }
    REFUSED(bnnep_network_get_signs(NULL, 0, signs, 30), "handle is NULL");
    REFUSED(bnnep_network_get_sign_bits(n, 0, NULL, 5), "array is NULL");
    REFUSED(bnnep_network_set_alpha(n, 0, NULL, 1), "array is NULL");
    REFUSED(bnnep_network_set_bias(NULL, 0, values, 5), "handle is NULL");
    REFUSED(bnnep_optimizer_get_momentum(NULL, 0, values, 30), "handle is NULL");
    REFUSED(bnnep_optimizer_set_momentum(NULL, 0, values, 30), "handle is NULL");
    REFUSED(bnnep_optimizer_set_momentum(net.optimizer, 0, NULL, 30), "array is NULL");
}

static void optimizers(void **state) {
    (void)state;
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    bnnep_optimizer *out;
    REFUSED(bnnep_optimizer_create(net.network, &o, NULL), "out is NULL");
    MADE_NONE(out, bnnep_optimizer_create(NULL, &o, &out), "network is NULL");
    static const double some[] = {0.1, 0.1, 0.1, 0.1};
    o.threshold = some; /* none at all would be the default rule */
    MADE_NONE(out, bnnep_optimizer_create(net.network, &o, &out), "gamma is NULL");
    o.threshold = NULL;
    REFUSED(bnnep_optimizer_clone(net.optimizer, net.network, NULL), "out is NULL");
    MADE_NONE(out, bnnep_optimizer_clone(NULL, net.network, &out), "optimizer is NULL");
    MADE_NONE(out, bnnep_optimizer_clone(net.optimizer, NULL, &out), "network is NULL");
    REFUSED(bnnep_optimizer_get_info(NULL, &info), "optimizer is NULL");
    REFUSED(bnnep_optimizer_get_info(net.optimizer, NULL), "info is NULL");
    REFUSED(bnnep_optimizer_get_rates(NULL, BNNEP_RATE_BETA, rates, 1), "optimizer is NULL");
    REFUSED(bnnep_optimizer_get_rates(net.optimizer, BNNEP_RATE_BETA, NULL, 1), "values is NULL");
    REFUSED(bnnep_optimizer_set_rates(net.optimizer, -1, rates, 1), "rate -1");
    REFUSED(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_BETA + 1, rates, 1), "rate 5");
    REFUSED(bnnep_optimizer_set_position(NULL, 0, 0), "NULL");
    REFUSED(bnnep_optimizer_set_position(net.optimizer, UINT64_C(1) << 63, 0), "2^63");
    REFUSED(bnnep_optimizer_set_position(net.optimizer, 0, UINT64_C(1) << 63), "2^63");
    REFUSED(bnnep_optimizer_train_batch(NULL, values, labels, 1, NULL, NULL), "optimizer is NULL");
    REFUSED(bnnep_optimizer_train_batch(net.optimizer, NULL, labels, 1, NULL, NULL), "inputs is NULL");
    REFUSED(bnnep_optimizer_train_batch(net.optimizer, values, NULL, 1, NULL, NULL), "labels is NULL");
    REFUSED(bnnep_optimizer_train_epoch(NULL, data, NULL, NULL), "optimizer is NULL");
    REFUSED(bnnep_optimizer_train_epoch(net.optimizer, NULL, NULL, NULL), "dataset is NULL");
    bnnep_optimizer_free(NULL);
}

static void phases(void **state) {
    (void)state;
    const bnnep_relaxation how = BNNEP_RELAXATION_INIT;
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *out;
    REFUSED(bnnep_workspace_create(net.network, NULL, NULL), "out is NULL");
    MADE_NONE(out, bnnep_workspace_create(NULL, NULL, &out), "network is NULL");
    o.threads = -1;
    MADE_NONE(out, bnnep_workspace_create(net.network, &o, &out), "threads is -1");
    REFUSED(bnnep_workspace_stage(NULL, values, NULL, 1), "workspace is NULL");
    REFUSED(bnnep_workspace_stage(workspace, NULL, NULL, 1), "inputs is NULL");
    REFUSED(bnnep_workspace_stage(workspace, values, NULL, 0), "0 samples");
    REFUSED(bnnep_workspace_stage(workspace, values, NULL, 4), "4 samples");
    REFUSED(bnnep_workspace_relax(NULL, &how, NULL), "workspace is NULL");
    REFUSED(bnnep_workspace_relax(workspace, NULL, NULL), "relaxation is NULL");
    REFUSED(bnnep_workspace_get_state(NULL, 0, 1, values, 5), "workspace is NULL");
    REFUSED(bnnep_workspace_get_state(workspace, 0, 1, NULL, 5), "array is NULL");
    REFUSED(bnnep_workspace_set_state(workspace, 0, 0, values, 5), "layer 0");
    REFUSED(bnnep_workspace_set_state(NULL, 0, 1, values, 5), "workspace is NULL");
    REFUSED(bnnep_workspace_set_state(workspace, 0, 1, NULL, 5), "array is NULL");
    REFUSED(bnnep_optimizer_contrast(NULL, workspace, NULL), "optimizer is NULL");
    REFUSED(bnnep_optimizer_contrast(net.optimizer, NULL, NULL), "workspace is NULL");
    REFUSED(bnnep_optimizer_backpropagate(NULL, workspace, 1), "optimizer is NULL");
    REFUSED(bnnep_optimizer_update(NULL, NULL), "NULL");
    REFUSED(bnnep_optimizer_get_contrast(NULL, 0, 0, values, 30), "optimizer is NULL");
    REFUSED(bnnep_optimizer_set_contrast(net.optimizer, 0, 0, NULL, 30), "array is NULL");
    REFUSED(bnnep_optimizer_set_contrast(net.optimizer, 2, 0, values, 30), "connection 2");
    REFUSED(bnnep_optimizer_set_contrast(net.optimizer, 0, 3, values, 30), "part 3");
    REFUSED(bnnep_optimizer_set_contrast(net.optimizer, 0, -1, values, 30), "part -1");
    bnnep_workspace_free(NULL);
}

static void files(void **state) {
    (void)state;
    const bnnep_sink sink = BNNEP_SINK_INIT;
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_network *out;
    source.bytes = values;
    REFUSED(bnnep_checkpoint_save(NULL, "/nowhere", NULL), "optimizer is NULL");
    REFUSED(bnnep_checkpoint_save(net.optimizer, NULL, NULL), "path is NULL");
    REFUSED(bnnep_checkpoint_write(NULL, &sink, NULL), "optimizer is NULL");
    REFUSED(bnnep_checkpoint_write(net.optimizer, NULL, NULL), "NULL");
    REFUSED(bnnep_checkpoint_load(NULL, "/nowhere"), "optimizer is NULL");
    REFUSED(bnnep_checkpoint_load(net.optimizer, NULL), "path is NULL");
    REFUSED(bnnep_checkpoint_read(NULL, &source), "optimizer is NULL");
    REFUSED(bnnep_checkpoint_read(net.optimizer, NULL), "NULL");
    REFUSED(bnnep_network_save(NULL, "/nowhere", NULL), "network is NULL");
    REFUSED(bnnep_network_save(net.network, NULL, NULL), "path is NULL");
    REFUSED(bnnep_network_write(NULL, &sink, NULL), "network is NULL");
    REFUSED(bnnep_network_load(NULL, "/nowhere", NULL, NULL), "out is NULL");
    MADE_NONE(out, bnnep_network_load(NULL, NULL, NULL, &out), "path is NULL");
    REFUSED(bnnep_network_read(NULL, &source, NULL, NULL), "out is NULL");
    MADE_NONE(out, bnnep_network_read(NULL, NULL, NULL, &out), "NULL");
    REFUSED(bnnep_file_text(NULL, "note", NULL, 0, NULL), "path is NULL");
    REFUSED(bnnep_source_text(NULL, "note", NULL, 0, NULL), "source is NULL");
    REFUSED(bnnep_source_text(&source, NULL, NULL, 0, NULL), "key is NULL");
    REFUSED(bnnep_source_text(&source, "note", NULL, 1, NULL), "text is NULL");
}

static void statuses(void **state) {
    (void)state;
    assert_string_equal(bnnep_status_name(BNNEP_OK), "BNNEP_OK");
    assert_string_equal(bnnep_status_name(BNNEP_CANCELLED), "BNNEP_CANCELLED");
    assert_string_equal(bnnep_status_name(1), "unknown status");
    assert_string_equal(bnnep_status_name(BNNEP_CANCELLED - 1), "unknown status");
    assert_string_equal(bnnep_status_name(INT_MIN), "unknown status");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts),   cmocka_unit_test(datasets),   cmocka_unit_test(networks),
        cmocka_unit_test(parameters), cmocka_unit_test(optimizers), cmocka_unit_test(phases),
        cmocka_unit_test(files),      cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests(tests, open_net, close_net);
}
