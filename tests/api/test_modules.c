/* SPDX-License-Identifier: MIT */
/* Backends in modules, and those that the caller registers: whatever is wrong with one, the library says what, "auto"
 * goes on without it and logs why; a good one can be used, listed and asked for its devices. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bnnep/backend.h>

#include "support.h"

extern const struct bnnep_backend bnnep_backend_loops; /* examples/backend */
extern const struct bnnep_backend bnnep_backend_ref;   /* the library's own */

static void keep_notice(void *user, int32_t level, const char *message) {
    if (level == BNNEP_LOG_NOTICE)
        snprintf(user, 512, "%s", message);
}

static bnnep_status open_context(const char *backend, const char *path, char *notice, bnnep_context **context) {
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    o.backend = backend;
    o.module_path = path;
    o.log = notice ? keep_notice : NULL;
    o.log_user = notice;
    return bnnep_context_create(&o, context);
}

/* A small network in the context; the name of its backend. */
static const char *backend_of(bnnep_context *context, bnnep_network **network) {
    const bnnep_connection connection = BNNEP_FC(10);
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    o.input_channels = 5;
    o.connections = &connection;
    o.connection_count = 1;
    o.free_steps = 3;
    assert_ok(bnnep_network_create(context, &o, network));
    assert_ok(bnnep_network_get_info(*network, &info));
    return info.backend;
}

/* What the context lists under a name. */
static bool find_backend(bnnep_context *context, const char *name, bnnep_backend_info *info, size_t *index) {
    for (*index = 0; *index < bnnep_backend_count(context); ++*index) {
        *info = (bnnep_backend_info)BNNEP_BACKEND_INFO_INIT;
        assert_ok(bnnep_backend_get(context, *index, info));
        if (strcmp(info->name, name) == 0)
            return true;
    }
    return false;
}

/* The module of "cuda" in a folder cannot be used, for the reason given. */
static void assert_unusable(const char *path, const char *reason) {
    char notice[512] = "";
    bnnep_context *context;
    bnnep_network *network;
    bnnep_backend_info info;
    size_t index;
    assert_ok(open_context(NULL, path, notice, &context));
    assert_true(find_backend(context, "cuda", &info, &index));
    assert_false(info.available);
    assert_string_equal(info.summary, "NVIDIA GPUs");
    assert_int_equal(info.device_count, 0);
    assert_non_null(strstr(info.reason, reason));
    assert_string_equal(backend_of(context, &network), "cpu");
    assert_non_null(strstr(notice, reason));
    bnnep_network_free(network);
    bnnep_context_free(context);
    assert_refused(open_context("cuda", path, NULL, &context), BNNEP_ERROR_BACKEND, reason);
    assert_null(context);
}

static void missing(void **state) {
    (void)state;
    bnnep_context *context;
    assert_unusable("/nowhere:/nor/here", "module libbnnep-cuda.so not found in '/nowhere:/nor/here'");
    assert_refused(open_context("gpu", "/nowhere", NULL, &context), BNNEP_ERROR_BACKEND,
                   "known are auto, cuda, cpu, ref");
    assert_refused(open_context("../cpu", "/nowhere", NULL, &context), BNNEP_ERROR_BACKEND, "no backend '../cpu'");
    assert_refused(open_context("", "/nowhere", NULL, &context), BNNEP_ERROR_BACKEND, "no backend ''");
    assert_refused(open_context("cpu:1", NULL, NULL, &context), BNNEP_ERROR_BACKEND, "cpu has no device '1'");
    assert_refused(open_context("ref:x", NULL, NULL, &context), BNNEP_ERROR_BACKEND, "ref has no device 'x'");
}

static void mismatched(void **state) {
    (void)state;
    assert_unusable(BNNEP_OTHER_INTERFACE, "built for backend interface");
    assert_unusable("/nowhere::" BNNEP_OTHER_INTERFACE, "built for backend interface");
}

static void damaged(void **state) {
    (void)state;
    char folder[] = "/tmp/bnnep-module-XXXXXX", file[128];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/libbnnep-cuda.so", folder);
    FILE *module = fopen(file, "w");
    assert_non_null(module);
    fputs("no library\n", module);
    fclose(module);
    assert_unusable(folder, "libbnnep-cuda.so: "); /* the loader's own words follow */
    unlink(file);
    rmdir(folder);
}

/* A backend that the library has never heard of, by its module's name. */
static void found(void **state) {
    (void)state;
    bnnep_context *context;
    bnnep_network *network;
    bnnep_backend_info info;
    bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
    size_t index;
    assert_ok(open_context("auto", BNNEP_LOOPS, NULL, &context));
    assert_true(find_backend(context, "loops", &info, &index));
    assert_true(info.available);
    assert_string_equal(info.reason, "");
    assert_string_equal(info.summary, bnnep_backend_loops.summary);
    assert_int_equal(info.device_count, 1);
    assert_ok(bnnep_device_get(context, index, 0, &device));
    assert_string_equal(device.name, "loops");
    assert_refused(bnnep_device_get(context, index, 1, &device), BNNEP_ERROR_ARGUMENT, "has 1 devices");
    assert_refused(bnnep_device_get(context, 99, 0, &device), BNNEP_ERROR_ARGUMENT, "number 99 does not exist");
    assert_string_equal(backend_of(context, &network), "cpu"); /* others are used by name */
    bnnep_network_free(network);
    bnnep_context_free(context);
    assert_ok(open_context("loops", BNNEP_LOOPS, NULL, &context));
    assert_string_equal(backend_of(context, &network), "loops");
    bnnep_context_free(context);
    bnnep_network_free(network); /* keeps its context */
}

static void make_file(const char *folder, const char *name, bool there) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!there) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

/* Only files with the name of a module are listed, once each, from all folders; a dash in its name is no C. */
static void listed(void **state) {
    (void)state;
    static const char *const others[] = {"libbnnep-.so",
                                         "libbnnep-Loud.so",
                                         "libbnnep-text.txt",
                                         "libbnnep-a.so.1",
                                         "libbnnep-a-name-that-is-too-long-for-one-module.so",
                                         "libbnne-loops.so",
                                         "notes",
                                         "loops.so"};
    char folder[] = "/tmp/bnnep-modules-XXXXXX", path[8400], file[128], target[1024];
    bnnep_context *context;
    bnnep_backend_info info;
    size_t index;
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        make_file(folder, others[i], true);
    snprintf(file, sizeof file, "%s/libbnnep-two-words.so", folder);
    snprintf(target, sizeof target, "%s/libbnnep-loops.so", BNNEP_LOOPS);
    assert_int_equal(symlink(target, file), 0);
    snprintf(path, sizeof path, "/%05000d:%s:%s:%s", 0, folder, BNNEP_LOOPS,
             folder); /* the first: no folder can be so */
    assert_ok(open_context(NULL, path, NULL, &context));
    assert_int_equal(bnnep_backend_count(context), 5);
    for (int again = 0; again < 2; again++) {
        assert_true(find_backend(context, "two-words", &info, &index));
        assert_false(info.available);
        assert_non_null(strstr(info.reason, "bnnep_backend_two_words"));
    }
    assert_true(find_backend(context, "loops", &info, &index));
    bnnep_context_free(context);
    assert_refused(open_context("two-words", path, NULL, &context), BNNEP_ERROR_BACKEND, "bnnep_backend_two_words");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        make_file(folder, others[i], false);
    unlink(file);
    rmdir(folder);
}

static size_t three(char *why) {
    (void)why;
    return 3;
}

static void describe(size_t index, char *name, char *summary, uint64_t *memory_bytes) {
    snprintf(name, BNNEP_WHY, "%zu", index);
    snprintf(summary, BNNEP_WHY, "device %zu", index);
    *memory_bytes = 1000 * index;
}

/* A backend of several devices; the loops' own, which are opened by no name. */
static void devices(void **state) {
    (void)state;
    bnnep_context *context;
    bnnep_backend_info info;
    bnnep_device_info device = BNNEP_DEVICE_INFO_INIT;
    size_t index;
    struct bnnep_backend table = bnnep_backend_loops;
    table.name = "three";
    table.device_count = three;
    table.device_get = describe;
    assert_ok(open_context(NULL, "/nowhere", NULL, &context));
    assert_ok(bnnep_backend_register(context, &table, NULL));
    assert_true(find_backend(context, "three", &info, &index));
    assert_int_equal(info.device_count, 3);
    assert_refused(bnnep_device_get(context, index, 3, &device), BNNEP_ERROR_ARGUMENT, "three has 3 devices");
    for (int again = 0; again < 2; again++) {
        assert_ok(bnnep_device_get(context, index, 2, &device));
        assert_string_equal(device.name, "three:2");
        assert_string_equal(device.summary, "device 2");
        assert_int_equal(device.memory_bytes, 2000);
    }
    bnnep_context_free(context);
}

static void registered(void **state) {
    (void)state;
    bnnep_context *context;
    bnnep_backend_info info;
    size_t index;
    struct bnnep_backend table = bnnep_backend_loops;
    assert_ok(open_context(NULL, "/nowhere", NULL, &context));
    assert_false(find_backend(context, "loops", &info, &index));
    assert_ok(bnnep_backend_register(context, &table, NULL));
    assert_true(find_backend(context, "loops", &info, &index));
    assert_true(info.available);
    assert_refused(bnnep_backend_register(context, &table, NULL), BNNEP_ERROR_ARGUMENT,
                   "there is a backend 'loops' already");
    table.name = "Other!";
    assert_refused(bnnep_backend_register(context, &table, NULL), BNNEP_ERROR_ARGUMENT, "cannot be the name");
    table.name = "other";
    table.abi++;
    assert_refused(bnnep_backend_register(context, &table, NULL), BNNEP_ERROR_UNSUPPORTED,
                   "built for backend interface");
    table.abi--;
    table.size = 8;
    assert_refused(bnnep_backend_register(context, &table, NULL), BNNEP_ERROR_UNSUPPORTED, "table of 8 bytes");
    table.size = offsetof(struct bnnep_backend, backpropagate); /* ref's could not take its workspaces */
    assert_refused(bnnep_backend_register(context, &table, NULL), BNNEP_ERROR_UNSUPPORTED, "workspaces of its own");
    struct bnnep_capabilities can = *table.can;
    can.tape = 0;
    table.can = &can; /* an older one, which knows no tape */
    assert_ok(bnnep_backend_register(context, &table, NULL));
    assert_refused(bnnep_backend_register(NULL, &table, NULL), BNNEP_ERROR_ARGUMENT, "context is NULL");
    bnnep_context_free(context);
}

/* The caller's own backend is what networks are made on from then on. */
static void used(void **state) {
    (void)state;
    bnnep_context *context;
    bnnep_network *before, *after;
    assert_ok(open_context("cpu", "/nowhere", NULL, &context));
    assert_string_equal(backend_of(context, &before), "cpu");
    assert_refused(bnnep_backend_register(context, &bnnep_backend_loops, "7"), BNNEP_ERROR_BACKEND, "no device '7'");
    assert_ok(bnnep_backend_register(context, &bnnep_backend_loops, ""));
    assert_string_equal(backend_of(context, &after), "loops");
    bnnep_network_free(before);
    bnnep_network_free(after);
    bnnep_context_free(context);
}

/* A backend that goes by the sizes that it is told, as older and newer ones do. */
static size_t puts_seen, gets_seen;

static bnnep_status put_sized(void *network, size_t k, const struct bnnep_parameters *from, char *why) {
    assert_int_equal(from->size, sizeof *from);
    puts_seen++;
    return bnnep_backend_ref.put(network, k, from, why);
}

static bnnep_status get_sized(const void *network, size_t k, const struct bnnep_parameters_out *to, char *why) {
    assert_int_equal(to->size, sizeof *to);
    gets_seen++;
    return bnnep_backend_ref.get(network, k, to, why);
}

static void sizes(void **state) {
    (void)state;
    struct bnnep_backend table = bnnep_backend_loops;
    bnnep_context *context;
    bnnep_network *network;
    float values[10] = {0.0f};
    int8_t signs[50];
    memset(signs, -1, sizeof signs);
    table.put = put_sized;
    table.get = get_sized;
    assert_ok(open_context(NULL, "/nowhere", NULL, &context));
    assert_ok(bnnep_backend_register(context, &table, ""));
    assert_string_equal(backend_of(context, &network), "loops");
    puts_seen = gets_seen = 0;
    assert_ok(bnnep_network_set_signs(network, 0, signs, 50));
    assert_ok(bnnep_network_set_bias(network, 0, values, 10));
    assert_ok(bnnep_network_get_signs(network, 0, signs, 50));
    assert_ok(bnnep_network_get_bias(network, 0, values, 10));
    assert_int_equal(puts_seen, 2);
    assert_int_equal(gets_seen, 2);
    bnnep_network_free(network);
    bnnep_context_free(context);
}

/* Makes a network and an optimizer on a backend that can do so much. */
static bnnep_status create(const struct bnnep_capabilities *can, bnnep_network_options *o, bool scales,
                           int32_t method) {
    struct bnnep_backend table = bnnep_backend_loops;
    const bnnep_connection connections[] = {BNNEP_CONV(2, 3, 1, 2), BNNEP_FC(10)};
    const double rate[] = {0.1, 0.1};
    bnnep_optimizer_options learning = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *network = NULL;
    bnnep_optimizer *optimizer = NULL;
    table.can = can;
    o->input_height = o->input_width = 4;
    o->connections = connections;
    o->connection_count = 2;
    assert_ok(open_context(NULL, "/nowhere", NULL, &context));
    assert_ok(bnnep_backend_register(context, &table, ""));
    learning.gamma = learning.threshold = learning.lr_bias = rate;
    learning.lr_alpha = scales ? rate : NULL;
    learning.method = method;
    bnnep_status status = bnnep_network_create(context, o, &network);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_create(network, &learning, &optimizer);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    bnnep_context_free(context);
    return status;
}

/* What a backend cannot do is refused when it is asked for, by name, and not in the midst of a run. */
static void capabilities(void **state) {
    (void)state;
    const struct bnnep_capabilities all = *bnnep_backend_loops.can;
    struct bnnep_capabilities can = all;
    bnnep_network_options real = BNNEP_NETWORK_OPTIONS_INIT, binary = real, grid = real, alternating = real,
                          over_relaxed = real, weak = real;
    binary.dynamics = BNNEP_DYNAMICS_BINARY;
    grid.grid_bits = 12;
    alternating.schedule = BNNEP_SCHEDULE_ALTERNATING;
    over_relaxed.schedule = BNNEP_SCHEDULE_OVER_RELAXED;
    weak.feedback = 0.5f;
    assert_ok(create(&can, &real, true, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION));
    assert_ok(create(&can, &real, false, BNNEP_METHOD_BPTT));
    can.real = 0;
    assert_refused(create(&can, &real, false, 0), BNNEP_ERROR_UNSUPPORTED,
                   "backend loops: it does not do real activations");
    assert_ok(create(&can, &binary, false, 0));
    can.binary = 0;
    assert_refused(create(&can, &binary, false, 0), BNNEP_ERROR_UNSUPPORTED, "binary activations");
    can = all;
    can.convolution = 0;
    assert_refused(create(&can, &real, false, 0), BNNEP_ERROR_UNSUPPORTED, "convolutions");
    can = all;
    can.grid = 0;
    assert_refused(create(&can, &grid, false, 0), BNNEP_ERROR_UNSUPPORTED, "grid");
    can = all;
    can.over_relaxed = 0;
    assert_ok(create(&can, &alternating, false, 0));
    assert_refused(create(&can, &over_relaxed, false, 0), BNNEP_ERROR_UNSUPPORTED, "over-relaxed steps");
    can.alternating = 0;
    assert_refused(create(&can, &alternating, false, 0), BNNEP_ERROR_UNSUPPORTED, "alternating steps");
    can = all;
    assert_ok(create(&can, &over_relaxed, false, 0));
    can.weak_feedback = 0;
    assert_ok(create(&can, &real, false, 0));
    assert_refused(create(&can, &weak, false, 0), BNNEP_ERROR_UNSUPPORTED, "weak feedback");
    can.phases = BNNEP_PHASE_NUDGED;
    assert_refused(create(&can, &real, false, 0), BNNEP_ERROR_UNSUPPORTED, "two phases");
    can = all;
    can.momentum_types = 0;
    assert_refused(create(&can, &real, false, 0), BNNEP_ERROR_UNSUPPORTED, "momenta in float");
    can = all;
    can.scale = can.tape = 0;
    assert_ok(create(&can, &real, false, 0));
    assert_refused(create(&can, &real, true, 0), BNNEP_ERROR_UNSUPPORTED, "does not learn scaling factors");
    assert_refused(create(&can, &real, false, BNNEP_METHOD_BPTT), BNNEP_ERROR_UNSUPPORTED, "does not do BPTT");
}

/* A backend that keeps two phases is not asked for a third. */
static void two_phases(void **state) {
    (void)state;
    struct bnnep_capabilities can = *bnnep_backend_loops.can;
    struct bnnep_backend table = bnnep_backend_loops;
    bnnep_context *context;
    bnnep_network *network;
    float states[10];
    can.phases = 2;
    table.can = &can;
    assert_ok(open_context(NULL, "/nowhere", NULL, &context));
    assert_ok(bnnep_backend_register(context, &table, ""));
    assert_string_equal(backend_of(context, &network), "loops");
    assert_refused(bnnep_workspace_get_state(bnnep_network_workspace(network), BNNEP_PHASE_OTHER, 1, states, 10),
                   BNNEP_ERROR_UNSUPPORTED, "phase is 2, and backend loops keeps the states of 2 phases");
    assert_refused(bnnep_workspace_get_state(bnnep_network_workspace(network), BNNEP_PHASE_NUDGED, 1, states, 10),
                   BNNEP_ERROR_ARGUMENT, "no batch is staged");
    bnnep_network_free(network);
    bnnep_context_free(context);
}

/* Nor does one consolidate that cannot. */
static void whole_steps(void **state) {
    (void)state;
    struct bnnep_capabilities can = *bnnep_backend_loops.can;
    struct bnnep_backend table = bnnep_backend_loops;
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    can.consolidation = 0;
    table.can = &can;
    assert_ok(open_context(NULL, "/nowhere", NULL, &context));
    assert_ok(bnnep_backend_register(context, &table, ""));
    assert_string_equal(backend_of(context, &network), "loops");
    assert_ok(bnnep_optimizer_create(network, &o, &optimizer));
    bnnep_optimizer_free(optimizer);
    o.consolidation = 1.0f;
    assert_refused(bnnep_optimizer_create(network, &o, &optimizer), BNNEP_ERROR_UNSUPPORTED,
                   "backend loops does not consolidate");
    bnnep_network_free(network);
    bnnep_context_free(context);
}

static void *look(void *context) {
    bnnep_backend_info info;
    size_t index;
    return find_backend(context, "cuda", &info, &index) && !info.available ? context : NULL;
}

/* A context is for any number of threads. */
static void at_once(void **state) {
    (void)state;
    pthread_t threads[8];
    bnnep_context *context;
    void *done;
    assert_ok(open_context(NULL, BNNEP_OTHER_INTERFACE, NULL, &context));
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look, context), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_ptr_equal(done, context);
    }
    bnnep_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing),      cmocka_unit_test(mismatched), cmocka_unit_test(damaged),
        cmocka_unit_test(found),        cmocka_unit_test(listed),     cmocka_unit_test(devices),
        cmocka_unit_test(registered),   cmocka_unit_test(used),       cmocka_unit_test(sizes),
        cmocka_unit_test(capabilities), cmocka_unit_test(two_phases), cmocka_unit_test(whole_steps),
        cmocka_unit_test(at_once),
    };
    return cmocka_run_group_tests_name("modules", tests, NULL, NULL);
}
