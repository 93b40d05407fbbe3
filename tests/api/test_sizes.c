/* SPDX-License-Identifier: MIT */
/* Structures of programs that were compiled with another header: whatever function takes one, a size that cannot be is
 * refused, an unknown field that is set is too, and of what is given only as much is written as there is room for. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { INPUTS = 6, CLASSES = 10, ROOM = 512 };

static const double rates[] = {0.1, 0.1};
static const bnnep_connection connections[] = {BNNEP_FC(5), BNNEP_FC(CLASSES)};
static const float x[INPUTS] = {0.5f}, target[CLASSES];
static const int32_t label[] = {3};
static const uint8_t image[16 + 4] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 255};
static const uint8_t image_labels[8 + 1] = {0, 0, 8, 1, 0, 0, 0, 1, 7};

/* What the calls work on; all are made anew for each call where the call changes them. */
static const struct shape shape = {
    .connections = 2, .units = {INPUTS, 5, CLASSES}, .free_steps = 3, .nudged_steps = 2, .max_batch = 2, .gamma = 0.1};
static struct net net;
static bnnep_workspace *workspace;
static bnnep_dataset *dataset;
static bnnep_context *context;
static uint8_t file[1 << 14];
static size_t file_size;

static int make_handles(void **state) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_sink sink = BNNEP_SINK_INIT;
    uint64_t count;
    (void)state;
    context = context_on("cpu/1");
    net = net_make(&shape, "cpu/1");
    workspace = bnnep_network_workspace(net.network);
    o.channels = INPUTS;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, label, 1, &dataset));
    sink.bytes = file;
    sink.room = sizeof file;
    sink.count = &count;
    assert_ok(bnnep_checkpoint_write(net.optimizer, &sink, NULL));
    file_size = (size_t)count;
    assert_ok(bnnep_workspace_stage(workspace, x, target, 1));
    assert_ok(phase_run(workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5, NULL));
    return 0;
}

static int free_handles(void **state) {
    (void)state;
    bnnep_dataset_free(dataset);
    net_free(&net);
    bnnep_context_free(context);
    return 0;
}

/* --- the calls that take a structure: `fill` fills in what it needs ----------------------------------------------- */

static void fill_nothing(void *to) {
    (void)to;
}
static bnnep_status take_context(void *o) {
    bnnep_context *made;
    const bnnep_status status = bnnep_context_create(o, &made);
    bnnep_context_free(made);
    return status;
}
static void fill_dataset(void *to) {
    ((bnnep_dataset_options *)to)->channels = INPUTS;
}
static bnnep_status take_dataset(void *o) {
    bnnep_dataset *made;
    const bnnep_status status = bnnep_dataset_from_memory(context, o, x, label, 1, &made);
    bnnep_dataset_free(made);
    return status;
}
static int32_t deliver(void *user, const bnnep_batch *batch) {
    (void)user;
    return (int32_t)batch->count - 1;
}
static bnnep_status take_dataset_of_callback(void *o) {
    bnnep_dataset *made;
    const bnnep_status status = bnnep_dataset_from_callback(context, o, deliver, NULL, 1, &made);
    bnnep_dataset_free(made);
    return status;
}
static void fill_source_of_images(void *to) {
    bnnep_source *source = to;
    source->bytes = image;
    source->count = sizeof image;
}
static bnnep_status take_source_of_images(void *source) {
    bnnep_dataset *made;
    const bnnep_status status = bnnep_dataset_from_source(context, source, NULL, &made);
    bnnep_dataset_free(made);
    return status;
}
static bnnep_status take_open(void *o) {
    const bnnep_source source = {.size = sizeof source, .bytes = image, .count = sizeof image};
    bnnep_dataset *made;
    const bnnep_status status = bnnep_dataset_from_source(context, &source, o, &made);
    bnnep_dataset_free(made);
    return status;
}
static void fill_source_of_labels(void *to) {
    bnnep_source *source = to;
    source->bytes = image_labels;
    source->count = sizeof image_labels;
}
static bnnep_status take_source_of_labels(void *source) {
    const bnnep_open_options o = {.size = sizeof o, .labels = source};
    return take_open((void *)(uintptr_t)&o);
}
static bnnep_status take_transform(void *t) {
    bnnep_dataset *made;
    const bnnep_status status = bnnep_dataset_transformed(dataset, t, &made);
    bnnep_dataset_free(made);
    return status;
}
static void fill_network(void *to) {
    bnnep_network_options *o = to;
    o->input_channels = INPUTS;
    o->connections = connections;
    o->connection_count = 2;
}
static bnnep_status take_network(void *o) {
    bnnep_network *made;
    const bnnep_status status = bnnep_network_create(context, o, &made);
    bnnep_network_free(made);
    return status;
}
static bnnep_status take_network_memory(void *o) {
    uint64_t bytes;
    return bnnep_network_memory(context, o, 1, &bytes);
}
static void fill_connection(void *to) {
    ((bnnep_connection *)to)->outputs = CLASSES;
}
static bnnep_status take_connection(void *connection) {
    const bnnep_network_options o = {
        .size = sizeof o, .input_channels = INPUTS, .connections = connection, .connection_count = 1};
    return take_network((void *)(uintptr_t)&o);
}
static void fill_optimizer(void *to) {
    bnnep_optimizer_options *o = to;
    o->gamma = o->threshold = o->lr_bias = rates;
}
static bnnep_status take_optimizer(void *o) {
    bnnep_optimizer *made;
    const bnnep_status status = bnnep_optimizer_create(net.network, o, &made);
    bnnep_optimizer_free(made);
    return status;
}
static bnnep_status take_run_to_train(void *run) {
    return bnnep_optimizer_train_epoch(net.optimizer, dataset, run, NULL);
}
static bnnep_status take_run_of_a_batch(void *run) {
    return bnnep_optimizer_train_batch(net.optimizer, x, label, 1, run, NULL);
}
static bnnep_status take_run_to_evaluate(void *run) {
    return bnnep_network_evaluate(net.network, dataset, run, NULL);
}
static bnnep_status take_run_to_predict(void *run) {
    return bnnep_network_predict(net.network, x, 1, run, NULL, NULL);
}
static bnnep_status take_workspace(void *o) {
    bnnep_workspace *made;
    const bnnep_status status = bnnep_workspace_create(net.network, o, &made);
    bnnep_workspace_free(made);
    return status;
}
static void fill_source_of_a_file(void *to) {
    bnnep_source *source = to;
    source->bytes = file;
    source->count = file_size;
}
static bnnep_status take_source_of_a_checkpoint(void *source) {
    return bnnep_checkpoint_read(net.optimizer, source);
}
static bnnep_status take_source_of_a_network(void *source) {
    bnnep_network *made;
    const bnnep_status status = bnnep_network_read(context, source, NULL, &made);
    bnnep_network_free(made);
    return status;
}
static bnnep_status take_source_of_a_text(void *source) {
    char text[8];
    return bnnep_source_text(source, "note", text, sizeof text, NULL);
}
static bnnep_status take_load(void *o) {
    const bnnep_source source = {.size = sizeof source, .bytes = file, .count = file_size};
    bnnep_network *made;
    const bnnep_status status = bnnep_network_read(context, &source, o, &made);
    bnnep_network_free(made);
    return status;
}
static bnnep_status take_sink_of_a_checkpoint(void *sink) {
    return bnnep_checkpoint_write(net.optimizer, sink, NULL);
}
static bnnep_status take_sink_of_a_network(void *sink) {
    return bnnep_network_write(net.network, sink, NULL);
}
static bnnep_status take_relaxation(void *r) {
    const bnnep_status staged = bnnep_workspace_stage(workspace, x, target, 1);
    return staged == BNNEP_OK ? bnnep_workspace_relax(workspace, r, NULL) : staged;
}
static bnnep_status take_contrast(void *c) {
    assert_ok(bnnep_workspace_stage(workspace, x, target, 1));
    assert_ok(phase_run(workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5, NULL));
    return bnnep_optimizer_contrast(net.optimizer, workspace, c);
}

static const struct {
    const char *name;
    size_t bytes;
    void (*fill)(void *to);
    bnnep_status (*take)(void *structure);
} takers[] = {
    {"context_options", sizeof(bnnep_context_options), fill_nothing, take_context},
    {"dataset_options", sizeof(bnnep_dataset_options), fill_dataset, take_dataset},
    {"dataset_options of a callback", sizeof(bnnep_dataset_options), fill_dataset, take_dataset_of_callback},
    {"open_options", sizeof(bnnep_open_options), fill_nothing, take_open},
    {"source of images", sizeof(bnnep_source), fill_source_of_images, take_source_of_images},
    {"source of labels", sizeof(bnnep_source), fill_source_of_labels, take_source_of_labels},
    {"transform", sizeof(bnnep_transform), fill_nothing, take_transform},
    {"network_options", sizeof(bnnep_network_options), fill_network, take_network},
    {"network_options of a forecast", sizeof(bnnep_network_options), fill_network, take_network_memory},
    {"connection", sizeof(bnnep_connection), fill_connection, take_connection},
    {"optimizer_options", sizeof(bnnep_optimizer_options), fill_optimizer, take_optimizer},
    {"run_options to train", sizeof(bnnep_run_options), fill_nothing, take_run_to_train},
    {"run_options of a batch", sizeof(bnnep_run_options), fill_nothing, take_run_of_a_batch},
    {"run_options to evaluate", sizeof(bnnep_run_options), fill_nothing, take_run_to_evaluate},
    {"run_options to predict", sizeof(bnnep_run_options), fill_nothing, take_run_to_predict},
    {"workspace_options", sizeof(bnnep_workspace_options), fill_nothing, take_workspace},
    {"source of a checkpoint", sizeof(bnnep_source), fill_source_of_a_file, take_source_of_a_checkpoint},
    {"source of a network", sizeof(bnnep_source), fill_source_of_a_file, take_source_of_a_network},
    {"source of a text", sizeof(bnnep_source), fill_source_of_a_file, take_source_of_a_text},
    {"load_options", sizeof(bnnep_load_options), fill_nothing, take_load},
    {"sink of a checkpoint", sizeof(bnnep_sink), fill_nothing, take_sink_of_a_checkpoint},
    {"sink of a network", sizeof(bnnep_sink), fill_nothing, take_sink_of_a_network},
    {"relaxation", sizeof(bnnep_relaxation), fill_nothing, take_relaxation},
    {"contrast_options", sizeof(bnnep_contrast_options), fill_nothing, take_contrast},
};

static void expect(size_t i, const char *what, bnnep_status got, bnnep_status wanted) {
    if (got != wanted)
        fail_msg("%s, %s: %s (%s), expected %s", takers[i].name, what, bnnep_status_name(got),
                 got == BNNEP_OK ? "" : bnnep_last_error(), bnnep_status_name(wanted));
}

/* Zeroes a structure, fills it in and gives it a size. */
static bnnep_status take_with_size(size_t i, void *structure, size_t size) {
    memset(structure, 0, ROOM);
    takers[i].fill(structure);
    memcpy(structure, &size, sizeof size);
    return takers[i].take(structure);
}

static void taken(void **state) {
    (void)state;
    _Alignas(max_align_t) unsigned char structure[ROOM];
    static const size_t impossible[] = {0, 1, sizeof(size_t) - 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        expect(i, "its own size", take_with_size(i, structure, takers[i].bytes), BNNEP_OK);
        for (size_t s = 0; s < sizeof impossible / sizeof impossible[0]; s++) {
            expect(i, "a size that cannot be", take_with_size(i, structure, impossible[s]), BNNEP_ERROR_ARGUMENT);
            assert_non_null(strstr(bnnep_last_error(), "size is"));
        }
        expect(i, "a newer header", take_with_size(i, structure, takers[i].bytes + 24), BNNEP_OK);
        const size_t newer = takers[i].bytes + 24;
        for (size_t at = takers[i].bytes; at < newer; at++) {
            memset(structure, 0, ROOM);
            takers[i].fill(structure);
            memcpy(structure, &newer, sizeof newer);
            structure[at] = 1;
            expect(i, "an unknown field", takers[i].take(structure), BNNEP_ERROR_UNSUPPORTED);
        }
        structure[newer - 1] = 0; /* the last one that was refused */
        structure[newer] = 1;     /* beyond it */
        expect(i, "what lies behind", takers[i].take(structure), BNNEP_OK);
    }
}

/* `reserved` is a field that this library does not know. */
static void reserved_fields(void **state) {
    (void)state;
    static const struct {
        const char *taker;
        size_t at;
    } fields[] = {
        {"open_options", offsetof(bnnep_open_options, reserved)},
        {"connection", offsetof(bnnep_connection, reserved)},
        {"run_options to train", offsetof(bnnep_run_options, reserved)},
        {"load_options", offsetof(bnnep_load_options, reserved)},
        {"relaxation", offsetof(bnnep_relaxation, reserved)},
    };
    _Alignas(max_align_t) unsigned char structure[ROOM];
    for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
        for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++)
            if (strcmp(takers[i].name, fields[f].taker) == 0) {
                expect(i, "no reserved field", take_with_size(i, structure, takers[i].bytes), BNNEP_OK);
                structure[fields[f].at] = 1;
                expect(i, "a reserved field", takers[i].take(structure), BNNEP_ERROR_UNSUPPORTED);
            }
}

/* What lies beyond the size is not read: an older program has something else there. */
static void older(void **state) {
    (void)state;
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_network *network;
    fill_network(&o);
    o.max_batch = 7;
    o.grid_bits = 1; /* would be refused */
    o.size = offsetof(bnnep_network_options, max_batch);
    assert_ok(bnnep_network_create(context, &o, &network));
    assert_ok(bnnep_network_get_info(network, &info));
    assert_int_equal(info.max_batch, 64);
    bnnep_network_free(network);
}

/* An array of structures of a newer header: each begins where its size says. */
static void longer_connections(void **state) {
    (void)state;
    const struct {
        bnnep_connection known;
        int64_t added_later;
    } newer[] = {{{.size = sizeof newer[0], .outputs = 5}, 0}, {{.size = sizeof newer[0], .outputs = CLASSES}, 0}};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_network *network;
    fill_network(&o);
    o.connections = &newer[0].known;
    assert_ok(bnnep_network_create(context, &o, &network));
    assert_ok(bnnep_network_get_info(network, &info));
    assert_int_equal(info.weights, 5 * INPUTS + CLASSES * 5);
    bnnep_network_free(network);
}

/* --- the calls that give a structure ------------------------------------------------------------------------------ */

static bnnep_status give_backend(void *to) {
    return bnnep_backend_get(context, 0, to);
}
static bnnep_status give_device(void *to) {
    return bnnep_device_get(context, bnnep_backend_count(context) - 1, 0, to);
}
static bnnep_status give_dataset(void *to) {
    return bnnep_dataset_get_info(dataset, to);
}
static bnnep_status give_network(void *to) {
    return bnnep_network_get_info(net.network, to);
}
static bnnep_status give_connection(void *to) {
    return bnnep_network_get_connection(net.network, 1, to);
}
static bnnep_status give_optimizer(void *to) {
    return bnnep_optimizer_get_info(net.optimizer, to);
}
static bnnep_status give_relaxed(void *to) {
    assert_ok(bnnep_workspace_stage(workspace, x, target, 1));
    return bnnep_workspace_relax(workspace, &(bnnep_relaxation){.size = sizeof(bnnep_relaxation)}, to);
}
static bnnep_status give_evaluation(void *to) {
    return bnnep_network_evaluate(net.network, dataset, NULL, to);
}

static const struct {
    const char *name;
    size_t bytes;
    bnnep_status (*give)(void *to);
} givers[] = {
    {"backend_info", sizeof(bnnep_backend_info), give_backend},
    {"device_info", sizeof(bnnep_device_info), give_device},
    {"dataset_info", sizeof(bnnep_dataset_info), give_dataset},
    {"network_info", sizeof(bnnep_network_info), give_network},
    {"connection_info", sizeof(bnnep_connection_info), give_connection},
    {"optimizer_info", sizeof(bnnep_optimizer_info), give_optimizer},
    {"relaxed", sizeof(bnnep_relaxed), give_relaxed},
    {"report", sizeof(bnnep_report), give_evaluation},
};

static void given(void **state) {
    (void)state;
    _Alignas(max_align_t) unsigned char whole[ROOM], part[ROOM];
    for (size_t i = 0; i < sizeof givers / sizeof givers[0]; i++) {
        const bool timed = strcmp(givers[i].name, "report") == 0; /* no two are alike */
        for (size_t size = 0; size < givers[i].bytes + 24; size += 4) {
            memset(whole, 0, ROOM);
            memcpy(whole, &givers[i].bytes, sizeof size);
            assert_ok(givers[i].give(whole));
            memset(part, 0, ROOM);
            memset(part + size, 0xA5, ROOM - size);
            memcpy(part, &size, sizeof size);
            if (size < sizeof size) {
                assert_refused(givers[i].give(part), BNNEP_ERROR_ARGUMENT, "size is");
                continue;
            }
            assert_ok(givers[i].give(part));
            assert_memory_equal(part, &size, sizeof size);
            for (size_t b = size; b < ROOM; b++)
                if (part[b] != 0xA5)
                    fail_msg("%s of size %zu: byte %zu was written", givers[i].name, size, b);
            const size_t common = size < givers[i].bytes ? size : givers[i].bytes;
            if (!timed)
                assert_memory_equal(part + sizeof size, whole + sizeof size, common - sizeof size);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(taken), cmocka_unit_test(reserved_fields),
                                       cmocka_unit_test(older), cmocka_unit_test(longer_connections),
                                       cmocka_unit_test(given)};
    return cmocka_run_group_tests_name("sizes", tests, make_handles, free_handles);
}
