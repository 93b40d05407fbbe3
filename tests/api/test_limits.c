/* SPDX-License-Identifier: MIT */
/* What is larger than a context allows is refused before it is taken: networks, files, what files unpack to, data. */
#include <stdlib.h>
#include <string.h>
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
    assert_refused(bnnep_network_read(context, &source, NULL, &network), BNNEP_ERROR_MEMORY, "max_bytes");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limited_networks),
        cmocka_unit_test(limited_files),
#ifndef BNNEP_WITHOUT_ZLIB
        cmocka_unit_test(bombs),
#endif
        cmocka_unit_test(limited_data),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
