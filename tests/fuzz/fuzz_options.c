/* SPDX-License-Identifier: MIT */
/*
 * Structures with options, of any size and content, and the functions that take them. Each structure is also made as
 * one of the size that the library knows, cut or filled up with zeros: both must come to the same status.
 */
#include <string.h>

#include "fuzz_structure.h"

/* There is a handle if and only if all went well. */
static void check_handle(bnnep_status status, const void *made) {
    PROMISE((status == BNNEP_OK) == (made != NULL));
    PROMISE(status <= 0 && status >= BNNEP_CANCELLED && bnnep_last_error());
}

static int32_t read_zeros(void *user, const bnnep_batch *batch) {
    const size_t *values = user;
    for (size_t n = 0; n < batch->count; n++) {
        if (batch->inputs)
            memset(batch->inputs + n * *values, 0, *values * sizeof(float));
        if (batch->labels)
            batch->labels[n] = 0;
    }
    return 0;
}

/* --- contexts ---------------------------------------------------------------------------------------------------- */

static bnnep_status make_context(const void *options) {
    bnnep_context *context = (void *)1;
    const bnnep_status status = bnnep_context_create(options, &context);
    check_handle(status, context);
    bnnep_context_free(context);
    return status;
}

static void try_context(struct fuzz_bytes *bytes) {
    static const char *const names[] = {"auto", "ref", "cpu", "cpu:threads=4", "cuda:0", "", "none"};
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    o.threads = 1;
    struct structure s = structure_make(bytes, &o, sizeof o);
    STRUCTURE_SET(&s, bnnep_context_options, backend, names[fuzz_choice(bytes, 7)]);
    STRUCTURE_SET(&s, bnnep_context_options, module_path, fuzz_choice(bytes, 2) ? "/nowhere" : NULL);
    STRUCTURE_SET(&s, bnnep_context_options, log, NULL);
    STRUCTURE_SET(&s, bnnep_context_options, allocate, NULL);
    STRUCTURE_SET(&s, bnnep_context_options, release, NULL);
    structure_limit(&s, offsetof(bnnep_context_options, threads), 2, 64); /* threads are made, and take their time */
    structure_check(&s, make_context);
    structure_free(&s);
}

/* --- data sets --------------------------------------------------------------------------------------------------- */

enum { COUNT = 2, EDGE = 8, ROOM = COUNT * EDGE * EDGE * EDGE * sizeof(float) };
static const uint8_t *data; /* [ROOM] */

static bnnep_status make_dataset(const void *options) {
    static const int32_t labels[COUNT] = {1, 0};
    bnnep_dataset *set = (void *)1;
    const bnnep_status status = bnnep_dataset_from_memory(fuzz_small_context(true), options, data, labels, COUNT, &set);
    check_handle(status, set);
    bnnep_dataset_free(set);
    return status;
}

static bnnep_status make_dataset_of_callback(const void *options) {
    static size_t values = 1;
    bnnep_dataset *set = (void *)1;
    const bnnep_status status =
        bnnep_dataset_from_callback(fuzz_small_context(true), options, read_zeros, &values, COUNT, &set);
    check_handle(status, set);
    bnnep_dataset_free(set);
    return status;
}

static void try_dataset(struct fuzz_bytes *bytes) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    struct structure s = structure_make(bytes, &o, sizeof o);
    structure_limit(&s, offsetof(bnnep_dataset_options, channels), EDGE, INT32_MAX);
    structure_limit(&s, offsetof(bnnep_dataset_options, height), EDGE, INT32_MAX);
    structure_limit(&s, offsetof(bnnep_dataset_options, width), EDGE, INT32_MAX);
    structure_check(&s, fuzz_choice(bytes, 2) ? make_dataset : make_dataset_of_callback);
    structure_free(&s);
}

static const bnnep_source *images;

static bnnep_status open_images(const void *options) {
    bnnep_dataset *set = (void *)1;
    const bnnep_status status = bnnep_dataset_from_source(fuzz_small_context(true), images, options, &set);
    check_handle(status, set);
    bnnep_dataset_free(set);
    return status;
}

static bnnep_status open_source(const void *source) {
    bnnep_dataset *set = (void *)1;
    const bnnep_status status = bnnep_dataset_from_source(fuzz_small_context(true), source, NULL, &set);
    check_handle(status, set);
    bnnep_dataset_free(set);
    return status;
}

static void try_source(struct fuzz_bytes *bytes) {
    static const uint8_t file[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
    static const uint8_t more[] = {0, 0, 8, 1, 0, 0, 0, 2, 3, 9};
    const bnnep_source source = fuzz_source(file, sizeof file), labels = fuzz_source(more, sizeof more);
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    images = &source;
    if (fuzz_choice(bytes, 2)) {
        struct structure s = structure_make(bytes, &o, sizeof o);
        STRUCTURE_SET(&s, bnnep_open_options, labels, fuzz_choice(bytes, 2) ? &labels : NULL);
        structure_check(&s, open_images);
        structure_free(&s);
        return;
    }
    struct structure s = structure_make(bytes, &source, sizeof source);
    STRUCTURE_SET(&s, bnnep_source, path, fuzz_choice(bytes, 4) == 3 ? "/nowhere/at-all" : NULL);
    STRUCTURE_SET(&s, bnnep_source, bytes, fuzz_choice(bytes, 4) == 3 ? NULL : file);
    STRUCTURE_SET(&s, bnnep_source, read, NULL);
    STRUCTURE_SET(&s, bnnep_source, name, fuzz_choice(bytes, 2) ? "a name" : NULL);
    STRUCTURE_SET(&s, bnnep_source, count, fuzz_choice(bytes, sizeof file + 1));
    structure_check(&s, open_source);
    structure_free(&s);
}

static bnnep_dataset *plain;

static bnnep_status transform(const void *options) {
    bnnep_dataset *set = (void *)1;
    const bnnep_status status = bnnep_dataset_transformed(plain, options, &set);
    check_handle(status, set);
    bnnep_dataset_free(set);
    return status;
}

static void try_transform(struct fuzz_bytes *bytes) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_transform how = BNNEP_TRANSFORM_INIT;
    float mean[4], deviation[4];
    o.channels = 2;
    o.height = o.width = 3;
    PROMISE(bnnep_dataset_from_memory(NULL, &o, data, NULL, COUNT, &plain) == BNNEP_OK);
    fuzz_fill(bytes, mean, sizeof mean);
    fuzz_fill(bytes, deviation, sizeof deviation);
    struct structure s = structure_make(bytes, &how, sizeof how);
    STRUCTURE_SET(&s, bnnep_transform, mean, fuzz_choice(bytes, 2) ? mean : NULL);
    STRUCTURE_SET(&s, bnnep_transform, deviation, fuzz_choice(bytes, 2) ? deviation : NULL);
    structure_check(&s, transform);
    structure_free(&s);
    bnnep_dataset_free(plain);
}

/* --- networks and what is made of them --------------------------------------------------------------------------- */

static bool reference;
static bnnep_network *network;
static bnnep_workspace *workspace;
static bnnep_optimizer *optimizer;

static bnnep_status make_network(const void *options) {
    bnnep_network *made = (void *)1;
    uint64_t needed = 0;
    bnnep_context *context = fuzz_small_context(reference);
    const bnnep_status status = bnnep_network_create(context, options, &made);
    check_handle(status, made);
    if (status == BNNEP_OK) {
        bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
        PROMISE(bnnep_network_memory(context, options, 1, &needed) == BNNEP_OK && needed > 0);
        PROMISE(bnnep_network_get_info(made, &info) == BNNEP_OK && info.inputs > 0);
        const bool quick = info.inputs * info.weights < 1 << 14 && needed < 1 << 19; /* even in padded maps */
        float *inputs = quick ? calloc((size_t)info.inputs, sizeof *inputs) : NULL;
        int32_t class = -1;
        if (inputs && bnnep_network_set_relaxation(made, 2, info.settle_tolerance) == BNNEP_OK)
            PROMISE(bnnep_network_predict(made, inputs, 1, NULL, NULL, &class) == BNNEP_OK && class >= 0);
        free(inputs);
    }
    bnnep_network_free(made);
    return status;
}

static void try_network(struct fuzz_bytes *bytes) {
    enum { MOST = 4 };
    static const bnnep_connection templates[] = {BNNEP_FC(2), BNNEP_CONV(2, 2, 1, 1), BNNEP_FC(3)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    o.input_height = o.input_width = 4;
    o.classes = 2;
    o.max_batch = 2;
    o.connection_count = fuzz_choice(bytes, MOST + 1);
    /* All connections are as large as the first says; the structure is what the library steps by. */
    const bnnep_connection *first = &templates[fuzz_choice(bytes, 3)];
    struct structure c = structure_make(bytes, first, sizeof *first);
    char *connections = calloc(MOST, c.bytes);
    PROMISE(connections);
    for (size_t k = 0; k < MOST; k++)
        memcpy(connections + k * c.bytes, c.at, c.bytes);
    for (size_t k = 1; k < o.connection_count && c.bytes >= sizeof *first; k++) {
        bnnep_connection other = templates[fuzz_choice(bytes, 3)];
        memcpy(&other, c.at, sizeof other.size);
        memcpy(connections + k * c.bytes, &other, sizeof other);
    }
    struct structure s = structure_make(bytes, &o, sizeof o);
    STRUCTURE_SET(&s, bnnep_network_options, connections,
                  fuzz_choice(bytes, 8) == 7 ? NULL : (const void *)connections);
    structure_limit(&s, offsetof(bnnep_network_options, connection_count), MOST, 1024);
    reference = fuzz_choice(bytes, 2);
    structure_check(&s, make_network);
    structure_free(&s);
    structure_free(&c);
    free(connections);
}

static bnnep_status make_optimizer(const void *options) {
    bnnep_optimizer *made = (void *)1;
    const bnnep_status status = bnnep_optimizer_create(network, options, &made);
    check_handle(status, made);
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    if (status == BNNEP_OK && bnnep_optimizer_get_info(made, &info) == BNNEP_OK && info.nudged_steps < 100) {
        static const float inputs[FUZZ_INPUTS] = {0.5f, 1.0f};
        static const int32_t label = 1;
        const bnnep_status trained = bnnep_optimizer_train_batch(made, inputs, &label, 1, NULL, NULL);
        PROMISE(trained == BNNEP_OK || trained == BNNEP_ERROR_ARGUMENT);
    }
    bnnep_optimizer_free(made);
    return status;
}

static void try_optimizer(struct fuzz_bytes *bytes) {
    double rates[4][2];
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++)
            rates[i][k] = structure_number(bytes);
    struct structure s = structure_make(bytes, &o, sizeof o);
    STRUCTURE_SET(&s, bnnep_optimizer_options, gamma, fuzz_choice(bytes, 8) == 7 ? NULL : rates[0]);
    STRUCTURE_SET(&s, bnnep_optimizer_options, threshold, fuzz_choice(bytes, 8) == 7 ? NULL : rates[1]);
    STRUCTURE_SET(&s, bnnep_optimizer_options, lr_bias, fuzz_choice(bytes, 8) == 7 ? NULL : rates[2]);
    STRUCTURE_SET(&s, bnnep_optimizer_options, lr_alpha, fuzz_choice(bytes, 2) ? NULL : rates[3]);
    structure_check(&s, make_optimizer);
    structure_free(&s);
}

static bnnep_status make_workspace(const void *options) {
    bnnep_workspace *made = (void *)1;
    const bnnep_status status = bnnep_workspace_create(network, options, &made);
    check_handle(status, made);
    bnnep_workspace_free(made);
    return status;
}

static bnnep_status predict(const void *options) {
    static const float inputs[3 * FUZZ_INPUTS] = {0.5f, 1.0f};
    int32_t classes[3];
    return bnnep_network_predict(network, inputs, 3, options, NULL, classes);
}

static bnnep_status relax(const void *options) {
    static const float inputs[FUZZ_INPUTS] = {0.5f}, targets[4] = {1.0f};
    PROMISE(bnnep_workspace_stage(workspace, inputs, targets, 1) == BNNEP_OK);
    return bnnep_workspace_relax(workspace, options, NULL);
}

static bnnep_status contrast(const void *options) {
    bnnep_relaxation nudged = BNNEP_RELAXATION_INIT;
    nudged.to = BNNEP_PHASE_NUDGED;
    nudged.beta = 0.5;
    PROMISE(relax(&nudged) == BNNEP_OK);
    return bnnep_optimizer_contrast(optimizer, workspace, options);
}

static bnnep_status write_network(const void *sink) {
    return bnnep_network_write(network, sink, NULL);
}

static bnnep_status read_network(const void *options) {
    static uint8_t bytes[1 << 12];
    uint64_t count;
    bnnep_network *made = (void *)1;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.bytes = bytes;
    sink.room = sizeof bytes;
    sink.count = &count;
    PROMISE(bnnep_network_write(network, &sink, NULL) == BNNEP_OK);
    const bnnep_source source = fuzz_source(bytes, (size_t)count);
    const bnnep_status status = bnnep_network_read(fuzz_small_context(true), &source, options, &made);
    check_handle(status, made);
    bnnep_network_free(made);
    return status;
}

static void try_sink(struct fuzz_bytes *bytes) {
    static uint8_t room[1 << 12];
    uint64_t count;
    bnnep_sink o = BNNEP_SINK_INIT;
    o.room = sizeof room;
    struct structure s = structure_make(bytes, &o, sizeof o);
    STRUCTURE_SET(&s, bnnep_sink, path, fuzz_choice(bytes, 4) == 3 ? "/nowhere/at-all" : NULL);
    STRUCTURE_SET(&s, bnnep_sink, bytes, fuzz_choice(bytes, 2) ? room : NULL);
    STRUCTURE_SET(&s, bnnep_sink, write, NULL);
    STRUCTURE_SET(&s, bnnep_sink, name, NULL);
    STRUCTURE_SET(&s, bnnep_sink, count, fuzz_choice(bytes, 2) ? &count : NULL);
    STRUCTURE_SET(&s, bnnep_sink, room, fuzz_choice(bytes, 2) ? sizeof room : 16 * fuzz_byte(bytes));
    structure_check(&s, write_network);
    structure_free(&s);
}

/* A structure without pointers, or whose pointers stay NULL. */
static void try_simple(struct fuzz_bytes *bytes, unsigned which) {
    static const bnnep_workspace_options of_workspace = BNNEP_WORKSPACE_OPTIONS_INIT;
    static const bnnep_run_options of_run = BNNEP_RUN_OPTIONS_INIT;
    static const bnnep_relaxation of_relaxation = BNNEP_RELAXATION_INIT;
    static const bnnep_contrast_options of_contrast = BNNEP_CONTRAST_OPTIONS_INIT;
    static const bnnep_load_options of_load = BNNEP_LOAD_OPTIONS_INIT;
    static const struct {
        const void *first;
        size_t size;
        bnnep_status (*use)(const void *);
    } of[] = {{&of_workspace, sizeof of_workspace, make_workspace},
              {&of_run, sizeof of_run, predict},
              {&of_relaxation, sizeof of_relaxation, relax},
              {&of_contrast, sizeof of_contrast, contrast},
              {&of_load, sizeof of_load, read_network}};
    struct structure s = structure_make(bytes, of[which].first, of[which].size);
    if (of[which].use == predict) {
        STRUCTURE_SET(&s, bnnep_run_options, workspace, fuzz_choice(bytes, 2) ? workspace : NULL);
        STRUCTURE_SET(&s, bnnep_run_options, progress, NULL);
        STRUCTURE_SET(&s, bnnep_run_options, interrupt, NULL);
    }
    if (of[which].use == relax)
        structure_limit(&s, offsetof(bnnep_relaxation, steps), 50, INT32_MAX);
    structure_check(&s, of[which].use);
    structure_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static uint8_t zeros[ROOM];
    struct fuzz_bytes bytes = {input, size};
    const unsigned which = fuzz_choice(&bytes, 12);
    data = zeros;
    if (which < 4) {
        void (*const try[])(struct fuzz_bytes *) = {try_context, try_dataset, try_source, try_transform};
        try[which](&bytes);
        return 0;
    }
    if (which == 4) {
        try_network(&bytes);
        return 0;
    }
    optimizer = fuzz_optimizer(&network);
    workspace = bnnep_network_workspace(network);
    if (which == 5)
        try_optimizer(&bytes);
    else if (which == 6)
        try_sink(&bytes);
    else
        try_simple(&bytes, which - 7);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return 0;
}
