/* SPDX-License-Identifier: MIT */
/* Bad input: every option out of its range is refused in words that name it, and no handle is made or changed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static const bnnep_connection two[] = {BNNEP_FC(20), BNNEP_FC(10)};

static bnnep_network_options good(void) {
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    o.input_channels = 12;
    o.connections = two;
    o.connection_count = 2;
    return o;
}

/* Sets one field of good options and expects a refusal. */
#define REFUSE_NETWORK(assignment, status, text)                                                                       \
    do {                                                                                                               \
        bnnep_network_options o = good();                                                                              \
        bnnep_network *made = (bnnep_network *)&o;                                                                     \
        uint64_t size;                                                                                                 \
        o.assignment;                                                                                                  \
        assert_refused(bnnep_network_create(NULL, &o, &made), status, text);                                           \
        assert_null(made);                                                                                             \
        assert_refused(bnnep_network_memory(NULL, &o, 1, &size), status, text);                                        \
    } while (0)

static void connections(void **state) {
    (void)state;
    const bnnep_connection conv[] = {BNNEP_CONV(4, 9, 2, 2), BNNEP_FC(10)};
    const bnnep_connection wide_pool[] = {BNNEP_CONV(4, 3, 2, 4), BNNEP_FC(10)};
    const bnnep_connection no_pool[] = {BNNEP_CONV(4, 1, 0, -1), BNNEP_FC(10)};
    const bnnep_connection deep_padding[] = {BNNEP_CONV(4, 1, -1, 1), BNNEP_FC(10)};
    const bnnep_connection late[] = {BNNEP_FC(4), BNNEP_CONV(10, 1, 0, 1)};
    const bnnep_connection last[] = {BNNEP_CONV(4, 1, 0, 1), BNNEP_CONV(10, 1, 0, 1)};
    const bnnep_connection none[] = {BNNEP_FC(0), BNNEP_FC(10)}, odd[] = {{sizeof odd[0], 7, 10, 0, 0, 0, 0, 0, 0}};
    const bnnep_connection stray[] = {{sizeof stray[0], BNNEP_CONNECTION_FULL, 10, 5, 0, 0, 0, 0, 0}};
    const bnnep_connection unsized[] = {{0, BNNEP_CONNECTION_FULL, 10, 0, 0, 0, 0, 0, 0}};
    REFUSE_NETWORK(connections = conv, BNNEP_ERROR_ARGUMENT,
                   "connection 0: the kernel of 9 x 9 is larger than the map of 5 x 5");
    REFUSE_NETWORK(connections = wide_pool, BNNEP_ERROR_ARGUMENT,
                   "connection 0: the pooling window of 4 x 4 is larger than the convolution's 3 x 3");
    for (int pool = 0; pool < 2; pool++) { /* 0 is 1 */
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        const bnnep_connection unpooled[] = {BNNEP_CONV(4, 3, 0, pool), BNNEP_FC(10)};
        bnnep_network_options o = good();
        bnnep_network *made;
        o.input_height = o.input_width = 5;
        o.connections = unpooled;
        assert_ok(bnnep_network_create(NULL, &o, &made));
        assert_ok(bnnep_network_get_connection(made, 0, &info));
        assert_true(info.pool == 1 && info.height == 3 && info.width == 3);
        bnnep_network_free(made);
    }
    for (int wide = 0; wide < 2; wide++) { /* one of the two is enough */
        bnnep_network_options o = good();
        bnnep_network *made;
        o.connections = wide_pool;
        *(wide ? &o.input_width : &o.input_height) = 8;
        assert_refused(bnnep_network_create(NULL, &o, &made), BNNEP_ERROR_ARGUMENT, wide ? "3 x 10" : "10 x 3");
    }
    REFUSE_NETWORK(connections = no_pool, BNNEP_ERROR_ARGUMENT, "connection 0: pool is -1");
    REFUSE_NETWORK(connections = deep_padding, BNNEP_ERROR_ARGUMENT, "connection 0: padding is -1");
    REFUSE_NETWORK(connections = late, BNNEP_ERROR_ARGUMENT, "connection 1: a convolution cannot follow");
    REFUSE_NETWORK(connections = last, BNNEP_ERROR_ARGUMENT, "the last connection is a convolution");
    REFUSE_NETWORK(connections = none, BNNEP_ERROR_ARGUMENT, "connection 0: outputs is 0");
    REFUSE_NETWORK(connections = odd, BNNEP_ERROR_ARGUMENT, "connection 0: kind is 7");
    REFUSE_NETWORK(connections = stray, BNNEP_ERROR_ARGUMENT, "belong to convolutions");
    REFUSE_NETWORK(connections = unsized, BNNEP_ERROR_ARGUMENT, "bnnep_connection: size is 0");
    REFUSE_NETWORK(connection_count = 0, BNNEP_ERROR_ARGUMENT, "has 0");
    REFUSE_NETWORK(connections = NULL, BNNEP_ERROR_ARGUMENT, "has 0");
}

static void networks(void **state) {
    (void)state;
    bnnep_network *network;
    assert_refused(bnnep_network_create(NULL, NULL, &network), BNNEP_ERROR_ARGUMENT, "NULL");
    REFUSE_NETWORK(dynamics = 2, BNNEP_ERROR_ARGUMENT, "dynamics is 2");
    REFUSE_NETWORK(input_channels = -1, BNNEP_ERROR_ARGUMENT, "input is -1 x 1 x 1");
    REFUSE_NETWORK(input_height = -3, BNNEP_ERROR_ARGUMENT, "input is 12 x -3 x 1");
    REFUSE_NETWORK(classes = 1, BNNEP_ERROR_ARGUMENT, "classes is 1");
    REFUSE_NETWORK(classes = 9, BNNEP_ERROR_ARGUMENT, "last layer has 10 units, but classes * expand_output is 9 * 1");
    REFUSE_NETWORK(expand_output = -1, BNNEP_ERROR_ARGUMENT, "expand_output is -1");
    REFUSE_NETWORK(expand_output = 3, BNNEP_ERROR_ARGUMENT, "10 * 3");
    REFUSE_NETWORK(theta = 1.5, BNNEP_ERROR_ARGUMENT, "theta is 1.5");
    REFUSE_NETWORK(theta = -0.1, BNNEP_ERROR_ARGUMENT, "theta is -0.1");
    REFUSE_NETWORK(theta = NAN, BNNEP_ERROR_ARGUMENT, "theta is nan");
    REFUSE_NETWORK(gamma_neur = -0.5, BNNEP_ERROR_ARGUMENT, "gamma_neur is -0.5");
    REFUSE_NETWORK(gamma_neur = 1.5, BNNEP_ERROR_ARGUMENT, "gamma_neur is 1.5");
    REFUSE_NETWORK(free_steps = -1, BNNEP_ERROR_ARGUMENT, "free_steps is -1");
    REFUSE_NETWORK(settle_tolerance = INFINITY, BNNEP_ERROR_ARGUMENT, "settle_tolerance is inf");
    REFUSE_NETWORK(max_batch = -1, BNNEP_ERROR_ARGUMENT, "max_batch is -1");
    REFUSE_NETWORK(max_batch = 1 << 30, BNNEP_ERROR_ARGUMENT, "from 1 to 65536");
    REFUSE_NETWORK(grid_bits = 7, BNNEP_ERROR_ARGUMENT, "grid_bits is 7; it must be 0, or from 8 to 20");
    REFUSE_NETWORK(grid_bits = 21, BNNEP_ERROR_ARGUMENT, "grid_bits is 21");
    REFUSE_NETWORK(grid_bits = -1, BNNEP_ERROR_ARGUMENT, "grid_bits is -1");
    bnnep_network_options many = good(); /* of all layers the input has most */
    bnnep_network *wrong;
    many.input_channels = 5000;
    many.grid_bits = 19;
    assert_refused(bnnep_network_create(NULL, &many, &wrong), BNNEP_ERROR_ARGUMENT,
                   "grid_bits is 19, but sums of 5000 values fit into 32 bits up to 18");
    REFUSE_NETWORK(size = 3, BNNEP_ERROR_ARGUMENT, "size is 3");
}

/* A description far beyond any memory: refused, not attempted in part. On 32 bits a connection has fewer weights. */
static void vast_networks(void **state) {
    (void)state;
    const bool wide = SIZE_MAX > UINT32_MAX;
    bnnep_connection vast[16];
    bnnep_network_options o = good();
    bnnep_network *network;
    uint64_t bytes = 0;
    o.input_channels = 1000;
    o.max_batch = 1;
    o.connections = vast;
    o.connection_count = wide ? 2 : 16;
    for (size_t k = 0; k < o.connection_count; k++)
        vast[k] = (bnnep_connection)BNNEP_FC(k % 2 ? 1000 : wide ? 1000000000 : 250000);
    vast[o.connection_count - 1].outputs = 10;
    assert_ok(bnnep_network_memory(NULL, &o, 1, &bytes));
    assert_true(bytes > UINT64_C(4) << (wide ? 40 : 30));
    assert_refused(network_on("ref", &o, &network), BNNEP_ERROR_MEMORY, "out of memory for a network");
    assert_null(network);
}

#define REFUSE_CONTEXT(assignment, status, text)                                                                       \
    do {                                                                                                               \
        bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;                                                          \
        bnnep_context *made = (bnnep_context *)&o;                                                                     \
        o.assignment;                                                                                                  \
        assert_refused(bnnep_context_create(&o, &made), status, text);                                                 \
        assert_null(made);                                                                                             \
    } while (0)

static void *take(void *user, size_t bytes) {
    (void)user;
    return malloc(bytes);
}

static void contexts(void **state) {
    (void)state;
    assert_refused(bnnep_context_create(NULL, NULL), BNNEP_ERROR_ARGUMENT, "NULL");
    REFUSE_CONTEXT(backend = "gpu", BNNEP_ERROR_BACKEND, "no backend 'gpu'");
    REFUSE_CONTEXT(backend = "cuda:0", BNNEP_ERROR_BACKEND, "libbnnep-cuda.so not found in '/nowhere'");
    REFUSE_CONTEXT(backend = "cpu:threads=2", BNNEP_ERROR_BACKEND, "cpu has no device 'threads=2'");
    REFUSE_CONTEXT(backend = "ref:1", BNNEP_ERROR_BACKEND, "ref has no device '1'");
    REFUSE_CONTEXT(threads = -1, BNNEP_ERROR_ARGUMENT, "threads is -1");
    REFUSE_CONTEXT(threads = 65, BNNEP_ERROR_ARGUMENT, "threads is 65");
    REFUSE_CONTEXT(allocate = take, BNNEP_ERROR_ARGUMENT, "release");
    REFUSE_CONTEXT(size = 3, BNNEP_ERROR_ARGUMENT, "size is 3");
}

/* A grid is as fine as the sums of the network have room for, and inputs as large; states keep to it. */
static void grids(void **state) {
    (void)state;
    const bnnep_connection wide[] = {BNNEP_FC(4096), BNNEP_FC(10)}, vast[] = {BNNEP_FC(9000000), BNNEP_FC(10)};
    const bnnep_connection conv[] = {BNNEP_CONV(2, 1, 0, 1), BNNEP_CONV(200, 5, 2, 1), BNNEP_FC(10)};
    bnnep_network_options o = good();
    bnnep_network *network;
    uint64_t bytes;
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    o.grid_bits = 18;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT, "it must be 0");
    o.dynamics = BNNEP_DYNAMICS_REAL;
    o.connections = wide;
    assert_ok(bnnep_network_memory(NULL, &o, 1, &bytes));
    o.grid_bits = 19;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT,
                   "sums of 4096 values fit into 32 bits up to 18");
    o.connections = vast;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT,
                   "9000000 values fit into 32 bits on no grid");
    o.connections = conv;
    o.connection_count = 3;
    o.input_height = o.input_width = 3;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT,
                   "5000 values fit into 32 bits up to 18");
}

static void states_on_a_grid(void **state) {
    (void)state;
    const double fine[] = {0.5, 0.5};
    bnnep_network_options o = good();
    bnnep_network *network;
    float x[12] = {0.0f}, hidden[20] = {0.0f}, output[10] = {0.0f};
    o.grid_bits = 20;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    bnnep_workspace *ws = bnnep_network_workspace(network);
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    assert_ok(bnnep_network_get_info(network, &info));
    assert_int_equal(info.grid_bits, 20);
    x[3] = -128.0f; /* 13 * 128 * 2^20 < 2^31 */
    assert_ok(bnnep_workspace_stage(ws, x, NULL, 1));
    x[3] = 128.1f;
    assert_refused(bnnep_workspace_stage(ws, x, NULL, 1), BNNEP_ERROR_DATA, "input 0, value 3 is 128.1");
    assert_refused(bnnep_network_predict(network, x, 1, RUN(.readout = BNNEP_READOUT_SINGLE), NULL, NULL),
                   BNNEP_ERROR_DATA, "-128 to 128");
    hidden[1] = 1.0f - 0x1p-20f;
    assert_ok(bnnep_workspace_set_state(ws, BNNEP_PHASE_FREE, 1, hidden, 20));
    hidden[1] = 1.0f - 0x1p-21f;
    assert_refused(bnnep_workspace_set_state(ws, BNNEP_PHASE_FREE, 1, hidden, 20), BNNEP_ERROR_DATA,
                   "a multiple of 2^-20");
    hidden[1] = 1.5f;
    assert_refused(bnnep_workspace_set_state(ws, BNNEP_PHASE_FREE, 1, hidden, 20), BNNEP_ERROR_DATA, "within -1 to 1");
    output[9] = 1.5f;
    assert_ok(bnnep_workspace_set_state(ws, BNNEP_PHASE_FREE, 2, output, 10));
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    p.method = BNNEP_METHOD_BPTT;
    p.gamma = p.threshold = p.lr_bias = fine;
    assert_refused(bnnep_optimizer_create(network, &p, &optimizer), BNNEP_ERROR_UNSUPPORTED, "grid_bits must be 0");
    bnnep_network_free(network);
}

#define REFUSE_OPTIMIZER(assignment, status, text)                                                                     \
    do {                                                                                                               \
        bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;                                                      \
        bnnep_optimizer *optimizer = (bnnep_optimizer *)&p;                                                            \
        p.gamma = fine;                                                                                                \
        p.threshold = fine;                                                                                            \
        p.lr_bias = fine;                                                                                              \
        p.assignment;                                                                                                  \
        assert_refused(bnnep_optimizer_create(network, &p, &optimizer), status, text);                                 \
        assert_null(optimizer);                                                                                        \
    } while (0)

static void optimizers(void **state) {
    (void)state;
    const double fine[] = {0.5, 0.5}, zero[] = {0.5, 0.0}, large[] = {1.5, 0.5}, negative[] = {0.5, -1e-9};
    const double vast[] = {1e300, 0.5}, nan_first[] = {NAN, 0.5}, infinite[] = {0.5, INFINITY};
    const bnnep_network_options o = good();
    bnnep_network *network;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    REFUSE_OPTIMIZER(method = ((p.lr_alpha = fine), BNNEP_METHOD_BPTT), BNNEP_ERROR_UNSUPPORTED,
                     "learnt scaling factors");
    REFUSE_OPTIMIZER(method = ((p.nudged_steps = 50), BNNEP_METHOD_BPTT), BNNEP_ERROR_ARGUMENT,
                     "needs at least 51 free_steps");
    REFUSE_OPTIMIZER(lr_bias = vast, BNNEP_ERROR_ARGUMENT, "lr_bias of connection 0 is 1e+300");
    REFUSE_OPTIMIZER(beta = 1e-42, BNNEP_ERROR_ARGUMENT, "beta is 1");
    REFUSE_OPTIMIZER(method = 9, BNNEP_ERROR_ARGUMENT, "method is 9");
    REFUSE_OPTIMIZER(nudged_steps = -1, BNNEP_ERROR_ARGUMENT, "nudged_steps is -1");
    REFUSE_OPTIMIZER(nudge = 3, BNNEP_ERROR_ARGUMENT, "nudge is 3");
    REFUSE_OPTIMIZER(connection_count = 3, BNNEP_ERROR_ARGUMENT, "arrays have 3 elements, the network 2");
    REFUSE_OPTIMIZER(beta = NAN, BNNEP_ERROR_ARGUMENT, "beta is nan");
    REFUSE_OPTIMIZER(gamma = NULL, BNNEP_ERROR_ARGUMENT, "gamma is NULL");
    REFUSE_OPTIMIZER(gamma = zero, BNNEP_ERROR_ARGUMENT,
                     "gamma of connection 1 is 0; it must be above 0 and at most 1");
    REFUSE_OPTIMIZER(gamma = large, BNNEP_ERROR_ARGUMENT, "gamma of connection 0 is 1.5");
    REFUSE_OPTIMIZER(gamma = nan_first, BNNEP_ERROR_ARGUMENT, "gamma of connection 0 is nan");
    REFUSE_OPTIMIZER(threshold = negative, BNNEP_ERROR_ARGUMENT, "threshold of connection 1 is -1e-09");
    REFUSE_OPTIMIZER(threshold = infinite, BNNEP_ERROR_ARGUMENT, "threshold of connection 1 is inf");
    REFUSE_OPTIMIZER(lr_bias = negative, BNNEP_ERROR_ARGUMENT, "lr_bias of connection 1");
    REFUSE_OPTIMIZER(lr_alpha = nan_first, BNNEP_ERROR_ARGUMENT, "lr_alpha of connection 0 is nan");
    bnnep_network_free(network);
}

static const struct shape shape = {.connections = 2,
                                   .units = {12, 20, 10},
                                   .free_steps = 5,
                                   .nudged_steps = 3,
                                   .max_batch = 8,
                                   .gamma = 0.5,
                                   .threshold = 0.001};

/* A training call that is refused leaves signs, momenta, biases and the position as they were. */
static void batches(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    float x[9 * 12] = {0.5f};
    int32_t labels[9] = {0};
    uint64_t flips[2];
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, labels, 0, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "batch of 0 samples");
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, labels, 9, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "1 to 8 (max_batch)");
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, NULL, 8, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "labels is NULL");
    labels[3] = 10;
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, labels, 8, NULL, NULL), BNNEP_ERROR_DATA,
                   "label 3 is 10");
    labels[3] = 0;
    x[13] = NAN;
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, labels, 8, NULL, NULL), BNNEP_ERROR_DATA,
                   "input 1, value 1 is nan");
    x[13] = 0.0f;
    report.flips = flips;
    report.flips_count = 1;
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, labels, 8, NULL, &report), BNNEP_ERROR_ARGUMENT,
                   "room for 1");
    assert_refused(phase_learn(net.optimizer, bnnep_network_workspace(net.network), 0.0, NULL), BNNEP_ERROR_ARGUMENT,
                   "no batch is staged");
    assert_refused(phase_learn(net.optimizer, bnnep_network_workspace(untouched.network), 0.0, NULL),
                   BNNEP_ERROR_ARGUMENT, "another network");
    assert_ok(bnnep_optimizer_get_info(net.optimizer, &info));
    assert_int_equal(info.batches, 0);
    assert_same_network(&net, &untouched);
    assert_refused(bnnep_network_predict(net.network, x, 1, RUN(.readout = 2), NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "readout is 2");
    assert_refused(bnnep_network_predict(net.network, x, 1,
                                         RUN(.workspace = bnnep_network_workspace(untouched.network)), NULL, NULL),
                   BNNEP_ERROR_ARGUMENT, "another network");
    net_free(&net);
    net_free(&untouched);
}

static void epochs(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    float x[9 * 12] = {0.5f};
    int32_t labels[9] = {0, 11};
    bnnep_dataset *wrong_size, *wrong_class;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    o.channels = 3;
    o.height = 2;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, 9, &wrong_size));
    o.height = 4;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, 9, &wrong_class));
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, wrong_size, RUN(.batch_size = 8), NULL),
                   BNNEP_ERROR_ARGUMENT, "inputs are 3 x 2 x 1 = 6 values, the network takes 12");
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, wrong_class, RUN(.batch_size = 8), NULL),
                   BNNEP_ERROR_ARGUMENT, "has 12 classes, the network 10");
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, wrong_class, RUN(.batch_size = 9), NULL),
                   BNNEP_ERROR_ARGUMENT, "1 to 8");
    assert_refused(bnnep_network_evaluate(net.network, wrong_size, NULL, NULL), BNNEP_ERROR_ARGUMENT, "takes 12");
    assert_same_network(&net, &untouched);
    bnnep_dataset_free(wrong_size);
    bnnep_dataset_free(wrong_class);
    net_free(&net);
    net_free(&untouched);
}

static void phases(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu");
    bnnep_workspace *ws = bnnep_network_workspace(net.network);
    float x[12] = {0.5f}, output[10];
    assert_refused(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, NULL), BNNEP_ERROR_ARGUMENT,
                   "no batch is staged");
    assert_refused(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 2, output, 10), BNNEP_ERROR_ARGUMENT,
                   "no batch is staged");
    assert_ok(bnnep_workspace_stage(ws, x, NULL, 1));
    assert_refused(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5f, NULL), BNNEP_ERROR_ARGUMENT,
                   "without targets");
    assert_refused(phase_run(ws, BNNEP_PHASE_NUDGED, BNNEP_PHASE_NUDGED, 1, 0.0f, NULL), BNNEP_ERROR_ARGUMENT,
                   "not run");
    assert_refused(phase_run(ws, 3, BNNEP_PHASE_FREE, 1, 0.0, NULL), BNNEP_ERROR_ARGUMENT, "phase is 3");
    assert_refused(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, -1, 0.0f, NULL), BNNEP_ERROR_ARGUMENT,
                   "steps is -1");
    assert_refused(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, NAN, NULL), BNNEP_ERROR_ARGUMENT,
                   "beta is nan");
    assert_refused(bnnep_workspace_get_state(ws, BNNEP_PHASE_NUDGED, 2, output, 10), BNNEP_ERROR_ARGUMENT, "not run");
    assert_refused(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 0, output, 10), BNNEP_ERROR_ARGUMENT,
                   "layer 0 has no state");
    assert_refused(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 2, output, 9), BNNEP_ERROR_ARGUMENT, "expected 10");
    output[4] = INFINITY;
    assert_refused(bnnep_workspace_set_state(ws, BNNEP_PHASE_FREE, 2, output, 10), BNNEP_ERROR_DATA, "element 4");
    net_free(&net);
}

/* A gradient goes through the steps of a batch that is staged with targets, and there must be one to learn from. */
static void back_propagation(void **state) {
    (void)state;
    const double fine[] = {0.5, 0.5};
    const float x[12] = {0.5f}, target[10] = {1.0f};
    const bnnep_network_options o = good();
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    p.method = BNNEP_METHOD_BPTT;
    p.gamma = p.threshold = p.lr_bias = fine;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    bnnep_workspace *ws = bnnep_network_workspace(network);
    assert_ok(bnnep_workspace_stage(ws, x, target, 1));
    assert_refused(bnnep_optimizer_update(optimizer, NULL), BNNEP_ERROR_ARGUMENT, "no contrast");
    assert_refused(bnnep_optimizer_backpropagate(optimizer, ws, 12), BNNEP_ERROR_ARGUMENT, "remembers 1 to 11");
    assert_refused(bnnep_optimizer_backpropagate(optimizer, ws, 0), BNNEP_ERROR_ARGUMENT, "steps is 0");
    assert_ok(bnnep_optimizer_backpropagate(optimizer, ws, 3));
    assert_ok(bnnep_optimizer_update(optimizer, NULL));
    assert_refused(bnnep_optimizer_backpropagate(optimizer, ws, 3), BNNEP_ERROR_ARGUMENT, "stage it again");
    assert_ok(bnnep_workspace_stage(ws, x, NULL, 1));
    assert_refused(bnnep_optimizer_backpropagate(optimizer, ws, 3), BNNEP_ERROR_ARGUMENT, "no batch with targets");
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
}

static void backends(void **state) {
    (void)state;
    bool ref = false;
    bnnep_context *context;
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    assert_ok(bnnep_context_create(NULL, &context));
    const size_t count = bnnep_backend_count(context);
    for (size_t i = 0; i < count; i++) {
        assert_ok(bnnep_backend_get(context, i, &info));
        assert_non_null(info.summary);
        assert_true(info.available ? info.reason[0] == '\0' : info.reason[0] != '\0');
        ref = ref || (strcmp(info.name, "ref") == 0 && info.available);
        for (int32_t d = 0; d < info.device_count; d++) {
            bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
            assert_ok(bnnep_device_get(context, i, (size_t)d, &device));
            assert_int_equal(strncmp(device.name, info.name, strlen(info.name)), 0);
            assert_non_null(device.summary);
        }
        bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
        assert_true(info.available ? info.device_count > 0 : info.device_count == 0);
        assert_refused(bnnep_device_get(context, i, (size_t)info.device_count, &device), BNNEP_ERROR_ARGUMENT,
                       "device");
    }
    assert_true(ref);
    assert_refused(bnnep_backend_get(context, 99, &info), BNNEP_ERROR_ARGUMENT, "number 99");
    bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
    assert_refused(bnnep_device_get(context, count, 0, &device), BNNEP_ERROR_ARGUMENT, "number");
    bnnep_context_free(context);
    assert_int_equal(bnnep_backend_count(NULL), 0);
    assert_refused(bnnep_backend_get(NULL, 0, &info), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_int_equal(bnnep_version(), BNNEP_VERSION);
    assert_string_equal(bnnep_status_name(BNNEP_ERROR_DATA), "BNNEP_ERROR_DATA");
}

int main(void) {
    setenv("BNNEP_BACKEND_PATH", "/nowhere", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections),
        cmocka_unit_test(networks),
        cmocka_unit_test(vast_networks),
        cmocka_unit_test(states_on_a_grid),
        cmocka_unit_test(grids),
        cmocka_unit_test(contexts),
        cmocka_unit_test(optimizers),
        cmocka_unit_test(batches),
        cmocka_unit_test(epochs),
        cmocka_unit_test(phases),
        cmocka_unit_test(back_propagation),
        cmocka_unit_test(backends),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
