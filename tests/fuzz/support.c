/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

bnnep_context *fuzz_context(bool reference) {
    static bnnep_context *contexts[2];
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    o.backend = reference ? "ref" : "cpu";
    o.threads = 1;
    o.max_bytes = (uint64_t)256 << 20;
    if (!contexts[reference])
        PROMISE(bnnep_context_create(&o, &contexts[reference]) == BNNEP_OK);
    return contexts[reference];
}

bnnep_source fuzz_source(const uint8_t *bytes, size_t size) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    source.bytes = bytes;
    source.count = size;
    return source;
}

uint8_t *fuzz_digested(const uint8_t *bytes, size_t size) {
    static const char key[] = "\"digest\":\"";
    const size_t length = sizeof key - 1;
    uint8_t *copy = malloc(size + 1);
    char digest[9];
    PROMISE(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    for (size_t at = 8; at + length + 8 <= size; at++)
        if (memcmp(copy + at, key, length) == 0) {
            memcpy(copy + at + length, "00000000", 8);
            snprintf(digest, sizeof digest, "%08lx", crc32(0, copy + 8, (uInt)(size - 8)));
            memcpy(copy + at + length, digest, 8);
            break;
        }
    return copy;
}

uint8_t *fuzz_compressed(const uint8_t *bytes, size_t size, size_t *length) {
    const size_t room = size + size / 8 + 64;
    uint8_t *to = malloc(room);
    PROMISE(to);
#ifdef BNNEP_WITHOUT_ZLIB
    if (size > 0)
        memcpy(to, bytes, size);
    *length = size;
#else
    z_stream stream = {.next_in = bytes, .avail_in = (uInt)size, .next_out = to, .avail_out = (uInt)room};
    PROMISE(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + 16 /* gzip */, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    PROMISE(deflate(&stream, Z_FINISH) == Z_STREAM_END && deflateEnd(&stream) == Z_OK);
    *length = stream.total_out;
#endif
    return to;
}

bnnep_optimizer *fuzz_optimizer(bnnep_network **network) {
    static const bnnep_connection connections[] = {BNNEP_FC(5), BNNEP_FC(4)};
    static const double gamma[] = {0.1, 0.1}, threshold[] = {1e-3, 1e-3}, rate[] = {0.01, 0.02};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    o.input_channels = FUZZ_INPUTS;
    o.classes = 2;
    o.expand_output = 2;
    o.connections = connections;
    o.connection_count = 2;
    o.free_steps = 5;
    o.max_batch = FUZZ_BATCH;
    PROMISE(bnnep_network_create(fuzz_context(true), &o, network) == BNNEP_OK);
    p.nudged_steps = 2;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = p.lr_alpha = rate;
    PROMISE(bnnep_optimizer_create(*network, &p, &optimizer) == BNNEP_OK);
    return optimizer;
}
