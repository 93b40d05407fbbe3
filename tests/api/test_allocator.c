/* SPDX-License-Identifier: MIT */
/* The memory of a context: it comes from the caller's functions and all goes back to them; each call works, or is
 * refused and leaves no trace, whichever piece of memory cannot be had. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counted.h"
#include "support.h"

enum { VALUES = 25, BATCH = 6, IMAGES = 15, ROOM = 1 << 16 };

static int no_failures(void **state) {
    (void)state;
    atomic_store(&counted.left, -1);
    return 0;
}

/* --- what is done with it ----------------------------------------------------------------------------------------- */

static const double rates[] = {0.1, 0.1};
static const struct shape shape = {.connections = 2}; /* for net_memory() */

struct things {
    const char *backend;
    bool convolution;
    bnnep_context *context;
    struct net net;
    bnnep_workspace *workspace;
    bnnep_dataset *data, *other, *both;
    float x[IMAGES * VALUES];
    int32_t labels[IMAGES];
};

static bnnep_status do_context(struct things *t) {
    return counted_context(t->backend, 0, &t->context);
}

static bnnep_status do_network(struct things *t) {
    const bnnep_connection connected[] = {BNNEP_FC(14), BNNEP_FC(10)},
                           convolved[] = {BNNEP_CONV(4, 3, 1, 2), BNNEP_FC(10)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    o.input_height = o.input_width = 5;
    o.connections = t->convolution ? convolved : connected;
    o.connection_count = 2;
    o.free_steps = 8;
    o.max_batch = BATCH;
    t->net.shape = &shape;
    return bnnep_network_create(t->context, &o, &t->net.network);
}

static bnnep_status do_optimizer(struct things *t) {
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    p.gamma = p.threshold = p.lr_bias = p.lr_alpha = rates;
    return bnnep_optimizer_create(t->net.network, &p, &t->net.optimizer);
}

static bnnep_status do_workspace(struct things *t) {
    return bnnep_workspace_create(t->net.network, NULL, &t->workspace);
}

static bnnep_status do_data(struct things *t) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    o.height = o.width = 5;
    return bnnep_dataset_from_memory(t->context, &o, t->x, t->labels, IMAGES, &t->data);
}

static bnnep_status do_views(struct things *t) {
    static const uint64_t places[] = {3, 1, 4};
    const bnnep_dataset *parts[] = {t->data, NULL};
    bnnep_transform flipped = BNNEP_TRANSFORM_INIT;
    flipped.flip = 1;
    bnnep_dataset *seen = NULL, *some = NULL;
    bnnep_status status = bnnep_dataset_select(t->data, places, 3, &t->other);
    if (status == BNNEP_OK)
        status = bnnep_dataset_transformed(t->other, &flipped, &seen);
    parts[1] = seen;
    if (status == BNNEP_OK)
        status = bnnep_dataset_concat(parts, 2, &t->both);
    if (status == BNNEP_OK)
        status = bnnep_dataset_subset(t->both, 2, 14, &some);
    bnnep_dataset_free(seen);
    bnnep_dataset_free(some);
    if (status != BNNEP_OK) {
        bnnep_dataset_free(t->other);
        bnnep_dataset_free(t->both);
        t->other = t->both = NULL;
    }
    return status;
}

static bnnep_status do_clones(struct things *t) {
    bnnep_network *network;
    bnnep_optimizer *optimizer = NULL;
    bnnep_status status = bnnep_network_clone(t->net.network, NULL, &network);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_clone(t->net.optimizer, network, &optimizer);
    bnnep_network_free(network);
    bnnep_optimizer_free(optimizer);
    return status;
}

static bnnep_status do_predictions(struct things *t) {
    const bnnep_run_options run = {.size = sizeof run, .workspace = t->workspace};
    const bnnep_status status = bnnep_network_predict(t->net.network, t->x, IMAGES, &run, NULL, NULL);
    return status == BNNEP_OK ? bnnep_network_evaluate(t->net.network, t->both, &run, NULL) : status;
}

/* Phases one by one: contrasts may take memory that training does without. */
static bnnep_status do_phases(struct things *t) {
    static const float target[10] = {1.0f}, g[10];
    bnnep_status status = bnnep_workspace_stage(t->workspace, t->x, target, 1);
    if (status == BNNEP_OK)
        status = phase_run(t->workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 2, 0.5, NULL);
    if (status == BNNEP_OK)
        status = phase_run(t->workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 2, -0.5, NULL);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_contrast(t->net.optimizer, t->workspace, NULL);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_set_contrast(t->net.optimizer, 1, BNNEP_CONTRAST_BIAS, g, 10);
    return status;
}

static bnnep_status do_files(struct things *t) {
    static uint8_t bytes[ROOM];
    uint64_t count = 0;
    bnnep_sink sink = {.size = sizeof sink, .bytes = bytes, .room = ROOM, .count = &count};
    bnnep_network *network = NULL;
    bnnep_status status = bnnep_checkpoint_write(t->net.optimizer, &sink, "note");
    const bnnep_source source = {.size = sizeof source, .bytes = bytes, .count = (size_t)count};
    if (status == BNNEP_OK)
        status = bnnep_checkpoint_read(t->net.optimizer, &source);
    if (status == BNNEP_OK)
        status = bnnep_network_read(t->context, &source, NULL, &network);
    bnnep_network_free(network);
    return status;
}

static bnnep_status do_training(struct things *t) {
    return bnnep_optimizer_train_epoch(t->net.optimizer, t->data, NULL, NULL);
}

static const struct step {
    const char *name;
    bnnep_status (*call)(struct things *t);
    bool keeps; /* changes nothing in the network and its optimizer, which are there */
} steps[] = {
    {"context", do_context, false},        {"network", do_network, false},   {"optimizer", do_optimizer, false},
    {"workspace", do_workspace, true},     {"data", do_data, true},          {"views", do_views, true},
    {"clones", do_clones, true},           {"phases", do_phases, true},      {"files", do_files, true},
    {"predictions", do_predictions, true}, {"training", do_training, false},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

static struct things things_on(const char *backend, bool convolution) {
    struct things t = {.backend = backend, .convolution = convolution};
    struct stream stream = {4};
    for (size_t i = 0; i < IMAGES * VALUES; i++)
        t.x[i] = stream_uniform(&stream);
    for (size_t n = 0; n < IMAGES; n++)
        t.labels[n] = stream_between(&stream, 0, 9);
    return t;
}

/* In some order, the context first. */
static void free_things(struct things *t) {
    bnnep_context_free(t->context);
    bnnep_dataset_free(t->data);
    bnnep_dataset_free(t->both);
    bnnep_network_free(t->net.network);
    bnnep_workspace_free(t->workspace);
    bnnep_dataset_free(t->other);
    bnnep_optimizer_free(t->net.optimizer);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void all_comes_back(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int convolution = 0; convolution < 2; convolution++) {
            struct things t = things_on(backends[b], convolution);
            for (size_t s = 0; s < STEPS; s++) {
                const long before = atomic_load(&counted.calls);
                assert_ok(steps[s].call(&t));
                if (strcmp(steps[s].name, "predictions") != 0 && strcmp(steps[s].name, "phases") != 0)
                    assert_true(atomic_load(&counted.calls) > before); /* it did ask */
            }
            assert_true(atomic_load(&counted.pieces) > 5);
            free_things(&t);
            assert_int_equal(atomic_load(&counted.pieces), 0);
            assert_int_equal(atomic_load(&counted.bytes), 0);
            assert_int_equal(atomic_load(&counted.strays), 0);
        }
}

/* A network's memory is what was forecast, so none of it came from elsewhere. */
static void as_forecast(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    const bnnep_connection large[] = {BNNEP_FC(900), BNNEP_FC(10)};
    for (size_t b = 0; b < 2; b++) {
        bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
        bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
        bnnep_context *context;
        struct net net;
        uint64_t told;
        o.input_channels = 700;
        o.connections = large;
        o.connection_count = 2;
        p.gamma = p.threshold = p.lr_bias = rates;
        assert_ok(counted_context(backends[b], 0, &context));
        assert_ok(bnnep_network_memory(context, &o, 1, &told));
        const long before = atomic_load(&counted.bytes);
        assert_ok(bnnep_network_create(context, &o, &net.network));
        assert_ok(bnnep_optimizer_create(net.network, &p, &net.optimizer));
        const uint64_t taken = (uint64_t)(atomic_load(&counted.bytes) - before);
        assert_in_range(told * 50, taken * 49, taken * 51); /* within 2 % */
        bnnep_optimizer_free(net.optimizer);
        bnnep_network_free(net.network);
        bnnep_context_free(context);
        assert_int_equal(atomic_load(&counted.pieces), 0);
    }
}

/* The step, with each of the pieces that it asks for refused in turn. */
static void fail_each(struct things *t, const struct step *step) {
    size_t floats = 0, other;
    float *before = step->keeps ? net_memory(&t->net, &floats) : NULL;
    for (long n = 0;; n++) {
        const long pieces = atomic_load(&counted.pieces);
        assert_true(n < 1000);
        atomic_store(&counted.left, n);
        const bnnep_status status = step->call(t);
        const bool none_failed = atomic_load(&counted.left) >= 0;
        atomic_store(&counted.left, -1);
        if (none_failed) {
            assert_ok(status);
            break;
        }
        if (status != BNNEP_ERROR_MEMORY)
            fail_msg("%s, piece %ld: %s (%s)", step->name, n, bnnep_status_name(status), bnnep_last_error());
        if (atomic_load(&counted.pieces) != pieces && !t->workspace) /* a workspace may keep what it has got so far */
            fail_msg("%s, piece %ld: leaks %ld", step->name, n, atomic_load(&counted.pieces) - pieces);
    }
    if (before) {
        float *after = net_memory(&t->net, &other);
        assert_memory_equal(before, after, floats * sizeof *after);
        free(after);
    }
    free(before);
}

static void every_piece(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    for (int kind = 0; kind < 4; kind++) {
        struct things t = things_on(backends[kind % 2], kind / 2), whole = things_on(backends[kind % 2], kind / 2);
        for (size_t s = 0; s < STEPS; s++) {
            fail_each(&t, &steps[s]);
            assert_ok(steps[s].call(&whole));
        }
        assert_same_network(&t.net, &whole.net); /* it went on as if nothing had been */
        free_things(&t);
        free_things(&whole);
        assert_int_equal(atomic_load(&counted.pieces), 0);
        assert_int_equal(atomic_load(&counted.strays), 0);
    }
}

/* A context that chooses a backend by itself: what it has opened it keeps, but what it could not open for want of
 * memory is not a backend that is not there. */
static void chosen_backend(void **state) {
    (void)state;
    struct things t = things_on("auto", false);
    const char *names[MOST_BACKENDS];
    bool gpu = false;
    bnnep_status status;
    for (size_t b = available_backends(names); b-- > 0;)
        gpu |= strcmp(names[b], "cuda") == 0;
    assert_ok(do_context(&t));
    for (long n = 0;; n++) {
        assert_true(n < 1000);
        atomic_store(&counted.left, n);
        status = do_network(&t);
        const bool went_on = status == BNNEP_OK && gpu; /* to the processor, from a GPU that had no memory */
        if (atomic_load(&counted.left) >= 0 || went_on)
            break;
        if (status != BNNEP_ERROR_MEMORY)
            fail_msg("piece %ld: %s (%s)", n, bnnep_status_name(status), bnnep_last_error());
    }
    atomic_store(&counted.left, -1);
    assert_ok(status);
    free_things(&t);
    assert_int_equal(atomic_load(&counted.pieces), 0);
}

/* A module that could not be listed for want of memory is not one that does not exist. */
static void listed_module(void **state) {
    (void)state;
    char folder[] = "/tmp/bnnep-listed-XXXXXX", module[64];
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    bnnep_context *context;
    size_t before;
    assert_non_null(mkdtemp(folder));
    snprintf(module, sizeof module, "%s/libbnnep-empty.so", folder);
    FILE *file = fopen(module, "w");
    assert_non_null(file);
    fclose(file);
    assert_ok(counted_context("cpu", 0, &context));
    before = bnnep_backend_count(context);
    bnnep_context_free(context);
    setenv("BNNEP_BACKEND_PATH", folder, 1);
    assert_ok(counted_context("cpu", 0, &context));
    atomic_store(&counted.left, 0);
    assert_refused(bnnep_backend_get(context, before, &info), BNNEP_ERROR_MEMORY, "out of memory");
    atomic_store(&counted.left, -1);
    assert_ok(bnnep_backend_get(context, before, &info));
    assert_string_equal(info.name, "empty");
    assert_int_equal(bnnep_backend_count(context), before + 1);
    assert_refused(bnnep_backend_get(context, before + 1, &info), BNNEP_ERROR_ARGUMENT, "does not exist");
    bnnep_context_free(context);
    unsetenv("BNNEP_BACKEND_PATH");
    unlink(module);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_comes_back, no_failures), cmocka_unit_test_setup(as_forecast, no_failures),
        cmocka_unit_test_setup(every_piece, no_failures), cmocka_unit_test_setup(chosen_backend, no_failures),
        cmocka_unit_test_setup(listed_module, no_failures)};
    return cmocka_run_group_tests_name("allocator", tests, NULL, NULL);
}
