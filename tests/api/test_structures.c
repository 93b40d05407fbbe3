/* SPDX-License-Identifier: MIT */
/* Structures that start with `size`: one that is zeroed, its macro and its function mean the same; programs of an older
 * and of a newer header are understood, and told what is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { INPUTS = 6, HIDDEN = 5, CLASSES = 10, SAMPLES = 70, WAYS = 3 };

static const bnnep_connection connections[] = {BNNEP_FC(HIDDEN), BNNEP_FC(CLASSES)};
static const double rates[] = {0.1, 0.1};
static const struct shape shape = {.connections = 2, .units = {INPUTS, HIDDEN, CLASSES}};
static float x[SAMPLES * INPUTS];
static int32_t labels[SAMPLES];

static int draw_data(void **state) {
    struct stream stream = {1};
    (void)state;
    for (size_t i = 0; i < SAMPLES * INPUTS; i++)
        x[i] = stream_uniform(&stream);
    for (size_t n = 0; n < SAMPLES; n++)
        labels[n] = stream_between(&stream, 0, CLASSES - 1);
    return 0;
}

/* --- what macros and functions write ------------------------------------------------------------------------------ */

static const bnnep_context_options context_macro = BNNEP_CONTEXT_OPTIONS_INIT;
static const bnnep_dataset_options dataset_macro = BNNEP_DATASET_OPTIONS_INIT;
static const bnnep_open_options open_macro = BNNEP_OPEN_OPTIONS_INIT;
static const bnnep_transform transform_macro = BNNEP_TRANSFORM_INIT;
static const bnnep_network_options network_macro = BNNEP_NETWORK_OPTIONS_INIT;
static const bnnep_optimizer_options optimizer_macro = BNNEP_OPTIMIZER_OPTIONS_INIT;
static const bnnep_run_options run_macro = BNNEP_RUN_OPTIONS_INIT;
static const bnnep_workspace_options workspace_macro = BNNEP_WORKSPACE_OPTIONS_INIT;
static const bnnep_load_options load_macro = BNNEP_LOAD_OPTIONS_INIT;
static const bnnep_relaxation relaxation_macro = BNNEP_RELAXATION_INIT;
static const bnnep_contrast_options contrast_macro = BNNEP_CONTRAST_OPTIONS_INIT;
static const bnnep_source source_macro = BNNEP_SOURCE_INIT;
static const bnnep_sink sink_macro = BNNEP_SINK_INIT;
static const bnnep_backend_info backend_info_macro = BNNEP_BACKEND_INFO_INIT;
static const bnnep_device_info device_info_macro = BNNEP_DEVICE_INFO_INIT;
static const bnnep_dataset_info dataset_info_macro = BNNEP_DATASET_INFO_INIT;
static const bnnep_network_info network_info_macro = BNNEP_NETWORK_INFO_INIT;
static const bnnep_optimizer_info optimizer_info_macro = BNNEP_OPTIMIZER_INFO_INIT;
static const bnnep_report report_macro = BNNEP_REPORT_INIT;
static const bnnep_connection_info connection_info_macro = BNNEP_CONNECTION_INFO_INIT;
static const bnnep_relaxed relaxed_macro = BNNEP_RELAXED_INIT;

static bnnep_status init_context(void *to, size_t size) {
    return bnnep_context_options_init(to, size);
}
static bnnep_status init_dataset(void *to, size_t size) {
    return bnnep_dataset_options_init(to, size);
}
static bnnep_status init_open(void *to, size_t size) {
    return bnnep_open_options_init(to, size);
}
static bnnep_status init_transform(void *to, size_t size) {
    return bnnep_transform_init_cifar10(to, size, BNNEP_PART_TEST);
}
static bnnep_status init_network(void *to, size_t size) {
    return bnnep_network_options_init(to, size);
}
static bnnep_status init_optimizer(void *to, size_t size) {
    return bnnep_optimizer_options_init(to, size);
}
static bnnep_status init_run(void *to, size_t size) {
    return bnnep_run_options_init(to, size);
}
static bnnep_status init_workspace(void *to, size_t size) {
    return bnnep_workspace_options_init(to, size);
}
static bnnep_status init_load(void *to, size_t size) {
    return bnnep_load_options_init(to, size);
}
static bnnep_status init_relaxation(void *to, size_t size) {
    return bnnep_relaxation_init(to, size);
}
static bnnep_status init_contrast(void *to, size_t size) {
    return bnnep_contrast_options_init(to, size);
}

static const struct {
    const char *name;
    const void *macro;
    size_t bytes;
    bnnep_status (*init)(void *to, size_t size); /* NULL: there is none */
} kinds[] = {
    {"bnnep_context_options", &context_macro, sizeof context_macro, init_context},
    {"bnnep_dataset_options", &dataset_macro, sizeof dataset_macro, init_dataset},
    {"bnnep_open_options", &open_macro, sizeof open_macro, init_open},
    {"bnnep_transform", &transform_macro, sizeof transform_macro, init_transform},
    {"bnnep_network_options", &network_macro, sizeof network_macro, init_network},
    {"bnnep_optimizer_options", &optimizer_macro, sizeof optimizer_macro, init_optimizer},
    {"bnnep_run_options", &run_macro, sizeof run_macro, init_run},
    {"bnnep_workspace_options", &workspace_macro, sizeof workspace_macro, init_workspace},
    {"bnnep_load_options", &load_macro, sizeof load_macro, init_load},
    {"bnnep_relaxation", &relaxation_macro, sizeof relaxation_macro, init_relaxation},
    {"bnnep_contrast_options", &contrast_macro, sizeof contrast_macro, init_contrast},
    {"bnnep_source", &source_macro, sizeof source_macro, NULL},
    {"bnnep_sink", &sink_macro, sizeof sink_macro, NULL},
    {"bnnep_backend_info", &backend_info_macro, sizeof backend_info_macro, NULL},
    {"bnnep_device_info", &device_info_macro, sizeof device_info_macro, NULL},
    {"bnnep_dataset_info", &dataset_info_macro, sizeof dataset_info_macro, NULL},
    {"bnnep_network_info", &network_info_macro, sizeof network_info_macro, NULL},
    {"bnnep_optimizer_info", &optimizer_info_macro, sizeof optimizer_info_macro, NULL},
    {"bnnep_report", &report_macro, sizeof report_macro, NULL},
    {"bnnep_connection_info", &connection_info_macro, sizeof connection_info_macro, NULL},
    {"bnnep_relaxed", &relaxed_macro, sizeof relaxed_macro, NULL},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void macros_are_zeros(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const unsigned char *bytes = kinds[i].macro;
        size_t size;
        memcpy(&size, bytes, sizeof size);
        assert_int_equal(size, kinds[i].bytes);
        for (size_t b = sizeof size; b < size; b++)
            if (bytes[b])
                fail_msg("%s: byte %zu of its macro is %d", kinds[i].name, b, bytes[b]);
    }
}

enum { ROOM = 512, FILL = 0xA5 };

static void assert_bytes(const unsigned char *bytes, size_t from, size_t to, int value, const char *name) {
    for (size_t b = from; b < to; b++)
        if (bytes[b] != value)
            fail_msg("%s: byte %zu is %d, expected %d", name, b, bytes[b], value);
}

/* A program of an older header has a shorter structure, one of a newer header a longer one, whose end it gets as zeros.
 * What both know is the same. */
static void init_keeps_to_its_size(void **state) {
    (void)state;
    _Alignas(max_align_t) unsigned char whole[ROOM], bytes[ROOM];
    char too_small[16];
    snprintf(too_small, sizeof too_small, "size is %zu", sizeof(size_t) - 1);
    for (size_t i = 0; i < KINDS && kinds[i].init; i++) {
        assert_true(kinds[i].bytes + 32 <= ROOM);
        assert_ok(kinds[i].init(whole, kinds[i].bytes));
        for (size_t size = sizeof size; size <= kinds[i].bytes + 32; size += 4) {
            const size_t common = size < kinds[i].bytes ? size : kinds[i].bytes;
            memset(bytes, FILL, ROOM);
            assert_ok(kinds[i].init(bytes, size));
            assert_memory_equal(bytes, &size, sizeof size);
            assert_memory_equal(bytes + sizeof size, whole + sizeof size, common - sizeof size);
            assert_bytes(bytes, common, size, 0, kinds[i].name);
            assert_bytes(bytes, size, ROOM, FILL, kinds[i].name);
        }
        memset(bytes, FILL, ROOM);
        assert_refused(kinds[i].init(bytes, 0), BNNEP_ERROR_ARGUMENT, "size is 0");
        assert_refused(kinds[i].init(bytes, sizeof(size_t) - 1), BNNEP_ERROR_ARGUMENT, too_small);
        assert_bytes(bytes, 0, ROOM, FILL, kinds[i].name);
        assert_refused(kinds[i].init(NULL, kinds[i].bytes), BNNEP_ERROR_ARGUMENT, "NULL");
    }
}

/* A size beyond all reason is that of something else. */
static void init_of_no_size(void **state) {
    (void)state;
    _Alignas(max_align_t) unsigned char bytes[ROOM];
    for (size_t i = 0; i < KINDS && kinds[i].init; i++) {
        memset(bytes, FILL, ROOM);
        assert_refused(kinds[i].init(bytes, SIZE_MAX), BNNEP_ERROR_ARGUMENT, "size is");
        assert_bytes(bytes, 0, ROOM, FILL, kinds[i].name);
    }
}

/* What the header promises for 0. */
static void numbers(void **state) {
    (void)state;
    bnnep_network_options n;
    bnnep_optimizer_options p;
    bnnep_dataset_options d;
    bnnep_load_options l;
    bnnep_contrast_options c;
    bnnep_context_options context;
    assert_ok(bnnep_network_options_init(&n, sizeof n));
    assert_true(n.theta == 0.5 && n.gamma_neur == 0.5 && n.settle_tolerance == 0.0 && n.dynamics == 0);
    assert_true(n.input_channels == 1 && n.input_height == 1 && n.input_width == 1);
    assert_true(n.classes == 10 && n.expand_output == 1 && n.free_steps == 50 && n.max_batch == 64);
    assert_true(n.grid_bits == 0 && n.seed == 0 && !n.connections && n.connection_count == 0);
    assert_ok(bnnep_optimizer_options_init(&p, sizeof p));
    assert_true(p.beta == 0.0 && p.nudged_steps == 10 && p.nudge == BNNEP_NUDGE_RANDOM_SIGN && p.keep_order == 0);
    assert_true(p.method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION && !p.gamma && !p.lr_alpha && p.seed == 0);
    assert_ok(bnnep_dataset_options_init(&d, sizeof d));
    assert_true(d.channels == 1 && d.height == 1 && d.width == 1 && d.borrow == 0 && d.classes == 0);
    assert_ok(bnnep_load_options_init(&l, sizeof l));
    assert_int_equal(l.max_batch, 64);
    assert_ok(bnnep_contrast_options_init(&c, sizeof c));
    assert_true(c.first == BNNEP_PHASE_FREE && c.second == BNNEP_PHASE_NUDGED && c.divisor == 0.0);
    assert_ok(bnnep_context_options_init(&context, sizeof context));
    assert_true(!context.backend || strcmp(context.backend, "auto") == 0);
}

/* --- what they mean: zeroed, by macro, by function ---------------------------------------------------------------- */

static struct net make(int network_way, int optimizer_way) {
    bnnep_network_options o[WAYS] = {{.size = sizeof o[0]}, BNNEP_NETWORK_OPTIONS_INIT};
    bnnep_optimizer_options p[WAYS] = {{.size = sizeof p[0]}, BNNEP_OPTIMIZER_OPTIONS_INIT};
    struct net net = {.shape = &shape};
    assert_ok(bnnep_network_options_init(&o[2], sizeof o[2]));
    assert_ok(bnnep_optimizer_options_init(&p[2], sizeof p[2]));
    o[network_way].input_channels = INPUTS;
    o[network_way].connections = connections;
    o[network_way].connection_count = 2;
    p[optimizer_way].gamma = p[optimizer_way].threshold = p[optimizer_way].lr_bias = rates;
    assert_ok(bnnep_network_create(NULL, &o[network_way], &net.network));
    assert_ok(bnnep_optimizer_create(net.network, &p[optimizer_way], &net.optimizer));
    return net;
}

static bnnep_network_info network_info(const bnnep_network *network) {
    bnnep_network_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    assert_ok(bnnep_network_get_info(network, &info));
    info.backend = NULL; /* a string of the network's own */
    return info;
}

static bnnep_dataset *data(void) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *dataset;
    o.channels = INPUTS;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, SAMPLES, &dataset));
    return dataset;
}

static void networks_and_optimizers(void **state) {
    (void)state;
    bnnep_dataset *dataset = data();
    struct net first = make(0, 0);
    const bnnep_network_info wanted = network_info(first.network);
    bnnep_optimizer_info how = {.size = sizeof how}, other = {.size = sizeof other};
    assert_true(wanted.free_steps == 50 && wanted.max_batch == 64 && wanted.theta == 0.5);
    assert_ok(bnnep_optimizer_get_info(first.optimizer, &how));
    assert_int_equal(how.nudged_steps, 10);
    assert_ok(bnnep_optimizer_train_epoch(first.optimizer, dataset, NULL, NULL));
    for (int way = 1; way < 2 * WAYS; way++) {
        struct net net = make(way % WAYS, way / WAYS ? way % WAYS : 0);
        const bnnep_network_info info = network_info(net.network);
        assert_memory_equal(&info, &wanted, sizeof info);
        assert_ok(bnnep_optimizer_get_info(net.optimizer, &other));
        assert_memory_equal(&other, &how, sizeof how);
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, dataset, NULL, NULL));
        assert_same_network(&net, &first);
        net_free(&net);
    }
    net_free(&first);
    bnnep_dataset_free(dataset);
}

static void runs(void **state) {
    (void)state;
    bnnep_run_options run[WAYS] = {{.size = sizeof run[0]}, BNNEP_RUN_OPTIONS_INIT};
    bnnep_report wanted = BNNEP_REPORT_INIT, report = {.size = sizeof report};
    bnnep_dataset *dataset = data();
    struct net first = make(0, 0);
    float scores[2][SAMPLES * CLASSES];
    assert_ok(bnnep_run_options_init(&run[2], sizeof run[2]));
    assert_ok(bnnep_optimizer_train_epoch(first.optimizer, dataset, NULL, &wanted));
    assert_ok(bnnep_network_predict(first.network, x, SAMPLES, NULL, scores[0], NULL));
    assert_int_equal(wanted.batches, 2); /* of 64, the network's max_batch */
    for (int way = 0; way < WAYS; way++) {
        struct net net = make(0, 0);
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, dataset, &run[way], &report));
        assert_same_network(&net, &first);
        assert_true(report.batches == wanted.batches && report.loss == wanted.loss);
        assert_ok(bnnep_network_predict(net.network, x, SAMPLES, &run[way], scores[1], NULL));
        assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
        net_free(&net);
    }
    net_free(&first);
    bnnep_dataset_free(dataset);
}

static void datasets(void **state) {
    (void)state;
    bnnep_dataset_options o[WAYS] = {{.size = sizeof o[0]}, BNNEP_DATASET_OPTIONS_INIT};
    bnnep_transform t[2] = {{.size = sizeof t[0]}, BNNEP_TRANSFORM_INIT};
    assert_ok(bnnep_dataset_options_init(&o[2], sizeof o[2]));
    for (int way = 0; way < WAYS; way++) {
        float given[2 * INPUTS], seen[2 * INPUTS];
        bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
        bnnep_dataset *dataset, *transformed;
        memcpy(given, x, sizeof given);
        o[way].channels = INPUTS;
        assert_ok(bnnep_dataset_from_memory(NULL, &o[way], given, labels, 2, &dataset));
        memset(given, 0, sizeof given); /* they were copied */
        assert_ok(bnnep_dataset_get_info(dataset, &info));
        assert_true(info.channels == INPUTS && info.height == 1 && info.width == 1 && info.count == 2);
        assert_ok(bnnep_dataset_transformed(dataset, &t[way % 2], &transformed));
        assert_ok(bnnep_dataset_read(transformed, 0, 2, seen, NULL));
        assert_memory_equal(seen, x, sizeof seen);
        bnnep_dataset_free(transformed);
        bnnep_dataset_free(dataset);
    }
}

/* Two images of 2 x 3 bytes, their labels elsewhere. */
static void opened(void **state) {
    (void)state;
    static const uint8_t images[16 + 12] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 51, 255};
    bnnep_open_options o[WAYS] = {{.size = sizeof o[0]}, BNNEP_OPEN_OPTIONS_INIT};
    bnnep_source source = {.size = sizeof source, .bytes = images, .count = sizeof images};
    assert_ok(bnnep_open_options_init(&o[2], sizeof o[2]));
    for (int way = 0; way <= WAYS; way++) {
        bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
        bnnep_dataset *dataset;
        float seen[12];
        assert_ok(bnnep_dataset_from_source(NULL, &source, way < WAYS ? &o[way] : NULL, &dataset));
        assert_ok(bnnep_dataset_get_info(dataset, &info));
        assert_true(info.count == 2 && info.channels == 1 && info.height == 2 && info.width == 3);
        assert_true(info.labelled == 0 && info.classes == 0);
        assert_ok(bnnep_dataset_read(dataset, 0, 2, seen, NULL));
        assert_true(seen[0] == 0.2f && seen[1] == 1.0f && seen[2] == 0.0f);
        bnnep_dataset_free(dataset);
    }
}

static void contexts_and_loading(void **state) {
    (void)state;
    bnnep_context_options o[WAYS] = {{.size = sizeof o[0]}, BNNEP_CONTEXT_OPTIONS_INIT};
    bnnep_load_options l[WAYS] = {{.size = sizeof l[0]}, BNNEP_LOAD_OPTIONS_INIT};
    static uint8_t bytes[1 << 14];
    uint64_t count = 0;
    bnnep_sink sink = {.size = sizeof sink, .bytes = bytes, .room = sizeof bytes, .count = &count};
    struct net net = make(0, 0);
    float scores[2][SAMPLES * CLASSES];
    assert_ok(bnnep_context_options_init(&o[2], sizeof o[2]));
    assert_ok(bnnep_load_options_init(&l[2], sizeof l[2]));
    assert_ok(bnnep_network_write(net.network, &sink, NULL));
    assert_ok(bnnep_network_predict(net.network, x, SAMPLES, NULL, scores[0], NULL));
    const bnnep_source source = {.size = sizeof source, .bytes = bytes, .count = (size_t)count};
    for (int way = 0; way <= WAYS; way++) {
        bnnep_context *context;
        bnnep_network *read;
        assert_ok(bnnep_context_create(way < WAYS ? &o[way] : NULL, &context));
        assert_ok(bnnep_network_read(context, &source, way < WAYS ? &l[way] : NULL, &read));
        assert_int_equal(network_info(read).max_batch, 64);
        assert_ok(bnnep_network_predict(read, x, SAMPLES, NULL, scores[1], NULL));
        assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
        bnnep_network_free(read);
        bnnep_context_free(context);
    }
    net_free(&net);
}

/* A workspace, the free phase and a contrast in it. */
static void phases(void **state) {
    (void)state;
    static float contrast[WAYS + 1][HIDDEN * INPUTS], output[WAYS + 1][SAMPLES * CLASSES];
    bnnep_workspace_options o[WAYS] = {{.size = sizeof o[0]}, BNNEP_WORKSPACE_OPTIONS_INIT};
    bnnep_relaxation r[WAYS] = {{.size = sizeof r[0]}, BNNEP_RELAXATION_INIT};
    bnnep_contrast_options c[WAYS] = {{.size = sizeof c[0]}, BNNEP_CONTRAST_OPTIONS_INIT};
    struct net net = make(0, 0);
    float target[64 * CLASSES] = {1.0f};
    assert_ok(bnnep_workspace_options_init(&o[2], sizeof o[2]));
    assert_ok(bnnep_relaxation_init(&r[2], sizeof r[2]));
    assert_ok(bnnep_contrast_options_init(&c[2], sizeof c[2]));
    for (int way = 0; way <= WAYS; way++) {
        bnnep_relaxed done = BNNEP_RELAXED_INIT;
        bnnep_workspace *ws;
        assert_ok(bnnep_network_set_relaxation(net.network, 50, -1.0));
        assert_ok(bnnep_workspace_create(net.network, way < WAYS ? &o[way] : NULL, &ws));
        assert_refused(bnnep_workspace_stage(ws, x, NULL, 65), BNNEP_ERROR_ARGUMENT, "64");
        assert_ok(bnnep_workspace_stage(ws, x, target, 64));
        assert_ok(bnnep_workspace_relax(ws, &r[way % WAYS], &done));
        assert_int_equal(done.most_steps, 50);
        assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 2, output[way], 64 * CLASSES));
        assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 3, 0.3, NULL));
        assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, way < WAYS ? &c[way] : NULL));
        assert_ok(
            bnnep_optimizer_get_contrast(net.optimizer, 0, BNNEP_CONTRAST_WEIGHTS, contrast[way], HIDDEN * INPUTS));
        assert_memory_equal(output[way], output[0], sizeof output[0]);
        assert_memory_equal(contrast[way], contrast[0], sizeof contrast[0]);
        bnnep_workspace_free(ws);
    }
    net_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macros_are_zeros),
        cmocka_unit_test(init_keeps_to_its_size),
        cmocka_unit_test(numbers),
        cmocka_unit_test(networks_and_optimizers),
        cmocka_unit_test(runs),
        cmocka_unit_test(datasets),
        cmocka_unit_test(opened),
        cmocka_unit_test(contexts_and_loading),
        cmocka_unit_test(phases),
        cmocka_unit_test(init_of_no_size),
    };
    return cmocka_run_group_tests_name("structures", tests, draw_data, NULL);
}
