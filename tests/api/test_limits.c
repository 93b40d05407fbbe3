/* SPDX-License-Identifier: MIT */
/* What is larger than a context allows is refused before it is taken: networks, files, what files unpack to, data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "counted.h"
#include "support.h"

enum { VALUES = 25 };

static void limited_networks(void **state) {
    (void)state;
    const bnnep_connection large[] = {BNNEP_FC(900), BNNEP_FC(10)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_workspace_options w = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    bnnep_workspace *workspace;
    const double rates[] = {0.1, 0.1};
    uint64_t untrained;
    o.input_channels = 700;
    o.connections = large;
    o.connection_count = 2;
    o.max_batch = 1;
    p.gamma = p.threshold = p.lr_bias = rates;
    assert_ok(bnnep_network_memory(NULL, &o, 0, &untrained));
    assert_ok(counted_context("cpu", untrained / 2, &context));
    assert_refused(bnnep_network_create(context, &o, &network), BNNEP_ERROR_MEMORY, "max_bytes");
    assert_null(network);
    bnnep_context_free(context);
    assert_ok(counted_context("cpu", untrained + untrained / 2, &context));
    assert_ok(bnnep_network_create(context, &o, &network));
    assert_refused(bnnep_optimizer_create(network, &p, &optimizer), BNNEP_ERROR_MEMORY, "max_bytes");
    w.max_batch = 2000;
    assert_refused(bnnep_workspace_create(network, &w, &workspace), BNNEP_ERROR_MEMORY, "max_bytes");
    assert_true(!optimizer && !workspace);
    w.max_batch = 2;
    assert_ok(bnnep_workspace_create(network, &w, &workspace));
    bnnep_workspace_free(workspace);
    bnnep_network_free(network);
    bnnep_context_free(context);
    assert_int_equal(atomic_load(&counted.pieces), 0);
}

static int32_t zeros(void *user, void *bytes, size_t count, size_t *got) {
    size_t *left = user;
    *got = count < *left ? count : *left;
    *left -= *got;
    memset(bytes, 0, *got);
    return 0;
}

/* Files: their bytes, and what they unpack to. The limit stops them early, whatever they promise. */
static void limited_files(void **state) {
    (void)state;
    enum { LIMIT = 100000 };
    bnnep_context *context;
    bnnep_dataset *dataset;
    bnnep_network *network;
    const bnnep_open_options records = {.size = sizeof records, .format = BNNEP_FORMAT_CIFAR10};
    const size_t some = 100 * 3073; /* less than what is taken at a time */
    size_t endless = SIZE_MAX, left = some;
    bnnep_source source = {.size = sizeof source, .read = zeros, .user = &endless};
    assert_ok(counted_context("cpu", LIMIT, &context));
    const long before = atomic_load(&counted.bytes);
    assert_refused(bnnep_network_read(context, &source, NULL, &network), BNNEP_ERROR_FORMAT, "no digest");
    assert_refused(bnnep_dataset_from_source(context, &source, &records, &dataset), BNNEP_ERROR_MEMORY, "max_bytes");
    assert_true(SIZE_MAX - endless < 5 * LIMIT);
    source.user = &left;
    assert_refused(bnnep_dataset_from_source(context, &source, &records, &dataset), BNNEP_ERROR_MEMORY, "max_bytes");
    assert_true(!dataset && !network);
    assert_int_equal(atomic_load(&counted.bytes), before);
    bnnep_context_free(context);
}

#ifndef BNNEP_WITHOUT_ZLIB
/* A few bytes that unpack to many. */
static void bombs(void **state) {
    (void)state;
    enum { LIMIT = 100000, BOMB = 10000000 };
    static uint8_t packed[BOMB / 100];
    uint8_t *plain = calloc(BOMB, 1);
    z_stream z = {.next_in = plain, .avail_in = BOMB, .next_out = packed, .avail_out = sizeof packed};
    bnnep_context *context;
    bnnep_dataset *dataset;
    assert_non_null(plain);
    memcpy(plain, (const uint8_t[]){0, 0, 8, 3, 0, 0, 0x27, 0x0f, 0, 0, 0, 10, 0, 0, 0, 100}, 16);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&z), Z_OK);
    const bnnep_source source = {.size = sizeof source, .bytes = packed, .count = (size_t)z.total_out};
    assert_true(source.count < LIMIT);
    assert_ok(counted_context("cpu", LIMIT, &context));
    const long before = atomic_load(&counted.bytes);
    assert_refused(bnnep_dataset_from_source(context, &source, NULL, &dataset), BNNEP_ERROR_MEMORY, "max_bytes");
    assert_null(dataset);
    assert_int_equal(atomic_load(&counted.bytes), before);
    bnnep_context_free(context);
    free(plain);
}
#endif

/* Data that are copied; those that are borrowed take no memory. */
static void limited_data(void **state) {
    (void)state;
    static float x[300 * VALUES];
    static int32_t labels[300];
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_dataset *dataset;
    o.channels = VALUES;
    assert_ok(counted_context("cpu", sizeof x / 2, &context));
    assert_refused(bnnep_dataset_from_memory(context, &o, x, labels, 300, &dataset), BNNEP_ERROR_MEMORY, "max_bytes");
    assert_null(dataset);
    assert_ok(bnnep_dataset_from_memory(context, &o, x, labels, 100, &dataset));
    bnnep_dataset_free(dataset);
    o.borrow = 1;
    assert_ok(bnnep_dataset_from_memory(context, &o, x, labels, 300, &dataset));
    bnnep_dataset_free(dataset);
    bnnep_context_free(context);
}

/* Up to 2^bits, small numbers as often as large ones. */
static int32_t any(struct stream *stream, int32_t bits) {
    return stream_between(stream, 1, 1 << stream_between(stream, 0, bits));
}

/* A description whose numbers are as large as their limits. */
static void draw_description(struct stream *stream, bnnep_network_options *o, bnnep_connection *connections) {
    *o = (bnnep_network_options)BNNEP_NETWORK_OPTIONS_INIT;
    o->dynamics = stream_between(stream, 0, 1);
    o->input_channels = any(stream, 20);
    o->input_height = any(stream, 6);
    o->input_width = any(stream, 6);
    o->max_batch = any(stream, 16);
    o->connections = connections;
    o->connection_count = (size_t)stream_between(stream, 2, 3);
    for (size_t k = 0; k + 1 < o->connection_count; k++) {
        const int32_t kernel = stream_between(stream, 1, stream_between(stream, 0, 1) ? 3 : 255);
        connections[k] = (bnnep_connection)BNNEP_CONV(any(stream, 14), kernel, stream_between(stream, 0, 255),
                                                      stream_between(stream, 1, 255));
    }
    connections[o->connection_count - 1] = (bnnep_connection)BNNEP_FC(2);
    o->classes = 2;
}

/* What a network of such a description takes at the least: of one array of each kind, the largest. */
static double least_bytes(const bnnep_network_options *o, bool maps) {
    double height = o->input_height, width = o->input_width, channels = o->input_channels, most = 0.0;
    for (size_t k = 0; k < o->connection_count; k++) {
        const bnnep_connection *c = &o->connections[k];
        const bool convolution = c->kind == BNNEP_CONNECTION_CONVOLUTION;
        const double columns = channels * (convolution ? c->kernel * c->kernel : height * width);
        const double high = height + 2 * c->padding, broad = width + 2 * c->padding;
        most = fmax(most, columns * c->outputs / 8.0);
        most = fmax(most, 4.0 * o->max_batch * channels * (maps ? high * broad : height * width));
        height = convolution ? floor((high - c->kernel + 1.0) / c->pool) : 1.0;
        width = convolution ? floor((broad - c->kernel + 1.0) / c->pool) : 1.0;
        channels = c->outputs;
    }
    return most;
}

/* Sizes are counted in full, or refused, and never what is left of them by the size of a pointer. */
static void large_descriptions(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    int counted_ones = 0;
    for (size_t b = 0; b < 2; b++) {
        struct stream stream = {5};
        bnnep_context *context = context_on(backends[b]);
        for (int i = 0; i < 20000; i++) {
            bnnep_network_options o;
            bnnep_connection connections[3];
            uint64_t bytes;
            draw_description(&stream, &o, connections);
            if (bnnep_network_memory(context, &o, 1, &bytes) != BNNEP_OK)
                continue;
            const double least = least_bytes(&o, b == 1 && o.dynamics == BNNEP_DYNAMICS_REAL);
            if ((double)bytes < fmin(least, (double)SIZE_MAX))
                fail_msg("description %d on %s: %.0f bytes at the least, counted %.0f", i, backends[b], least,
                         (double)bytes);
            counted_ones++;
        }
        bnnep_context_free(context);
    }
    assert_true(counted_ones > 1000);
}

/* 2^29 x 2^35 weights: a product that is 0 in 64 bits. */
static void weights_beyond_count(void **state) {
    (void)state;
    const bnnep_connection connections[] = {BNNEP_CONV(1 << 29, 128, 64, 2), BNNEP_FC(2)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    uint64_t bytes;
    o.input_channels = 1 << 21;
    o.connections = connections;
    o.connection_count = 2;
    o.classes = 2;
    assert_refused(bnnep_network_memory(NULL, &o, 0, &bytes), BNNEP_ERROR_ARGUMENT,
                   "connection 0: 536870912 x 34359738368 weights are more than");
}

/* A file that a pointer of 32 bits cannot reach the end of: it is not read to find that it is none of ours. */
static void vast_file(void **state) {
    (void)state;
    char path[] = "/tmp/bnnep-limits-XXXXXX";
    bnnep_network *network;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, INT64_C(5) << 30), 0);
    assert_refused(bnnep_network_load(NULL, path, NULL, &network), BNNEP_ERROR_FORMAT, "its metadata hold no digest");
    assert_null(network);
    close(file);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limited_networks),
        cmocka_unit_test(limited_files),
#ifndef BNNEP_WITHOUT_ZLIB
        cmocka_unit_test(bombs),
#endif
        cmocka_unit_test(limited_data),
        cmocka_unit_test(large_descriptions),
        cmocka_unit_test(weights_beyond_count),
        cmocka_unit_test(vast_file),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
