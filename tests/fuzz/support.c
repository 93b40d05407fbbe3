/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#define MOST_BYTES 0 /* the default */
#define FEW_BYTES (UINT64_C(4) << 20)

FILE *fuzz_errors;

/* --- contexts ---------------------------------------------------------------------------------------------------- */

static bnnep_context *make_context(bool reference, uint64_t most) {
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    o.backend = reference ? "ref" : "cpu";
    o.threads = 1;
    o.max_bytes = most;
    PROMISE(bnnep_context_create(&o, &context) == BNNEP_OK);
    return context;
}

bnnep_context *fuzz_context(bool reference) {
    static bnnep_context *contexts[2];
    if (!contexts[reference])
        contexts[reference] = make_context(reference, MOST_BYTES);
    return contexts[reference];
}

bnnep_context *fuzz_small_context(bool reference) {
    static bnnep_context *contexts[2];
    if (!contexts[reference])
        contexts[reference] = make_context(reference, FEW_BYTES);
    return contexts[reference];
}

/* --- bytes as choices -------------------------------------------------------------------------------------------- */

unsigned fuzz_byte(struct fuzz_bytes *bytes) {
    if (bytes->left == 0)
        return 0;
    bytes->left--;
    return *bytes->at++;
}

unsigned fuzz_choice(struct fuzz_bytes *bytes, unsigned count) {
    return fuzz_byte(bytes) % count;
}

void fuzz_fill(struct fuzz_bytes *bytes, void *to, size_t size) {
    const size_t some = size < bytes->left ? size : bytes->left;
    if (some > 0)
        memcpy(to, bytes->at, some);
    memset((char *)to + some, 0, size - some);
    bytes->at += some;
    bytes->left -= some;
}

char *fuzz_text(struct fuzz_bytes *bytes) {
    const uint8_t *end = bytes->left ? memchr(bytes->at, 0, bytes->left) : NULL;
    const size_t length = end ? (size_t)(end - bytes->at) : bytes->left;
    char *text = malloc(length + 1);
    PROMISE(text);
    fuzz_fill(bytes, text, length);
    text[length] = '\0';
    fuzz_byte(bytes);
    return text;
}

/* --- what programs print ----------------------------------------------------------------------------------------- */

void fuzz_hush(FILE *file) {
    static FILE *nowhere;
    if (!nowhere) {
        fuzz_errors = stderr;
        nowhere = fopen("/dev/null", "w");
        PROMISE(nowhere);
    }
    stdout = file ? file : nowhere; /* they are variables in the GNU library */
    stderr = nowhere;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

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

uint8_t *fuzz_checkpoint(const bnnep_optimizer *optimizer, const char *note, size_t *size) {
    uint64_t count = 0;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.room = 8192; /* most are smaller */
    sink.bytes = malloc(sink.room);
    sink.count = &count;
    PROMISE(sink.bytes);
    bnnep_status status = bnnep_checkpoint_write(optimizer, &sink, note);
    if (status == BNNEP_ERROR_ARGUMENT && count > sink.room) {
        free(sink.bytes);
        sink.room = (size_t)count;
        sink.bytes = malloc(sink.room);
        PROMISE(sink.bytes);
        status = bnnep_checkpoint_write(optimizer, &sink, note);
    }
    *size = (size_t)count;
    if (status == BNNEP_OK)
        return sink.bytes;
    free(sink.bytes);
    return NULL;
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
