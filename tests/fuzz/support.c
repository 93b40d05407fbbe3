/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", folder);
}

const char *fuzz_path(const char *name) {
    static char paths[8][160];
    static int next;
    if (!*folder) {
        strcpy(folder, "/tmp/bnnep-fuzz-XXXXXX");
        PROMISE(mkdtemp(folder));
        PROMISE(atexit(remove_folder) == 0);
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *fuzz_write(const char *name, const uint8_t *data, size_t size) {
    const char *path = fuzz_path(name);
    FILE *file = fopen(path, "wb");
    PROMISE(file);
    PROMISE(size == 0 || fwrite(data, 1, size, file) == size);
    PROMISE(fclose(file) == 0);
    return path;
}

const char *fuzz_write_container(const char *name, const uint8_t *data, size_t size) {
    static const char key[] = "\"digest\":\"";
    const size_t length = sizeof key - 1;
    uint8_t *copy = malloc(size + 1);
    char digest[9];
    PROMISE(copy);
    if (size > 0)
        memcpy(copy, data, size);
    for (size_t at = 8; at + length + 8 <= size; at++)
        if (memcmp(copy + at, key, length) == 0) {
            memcpy(copy + at + length, "00000000", 8);
            snprintf(digest, sizeof digest, "%08lx", crc32(0, copy + 8, (uInt)(size - 8)));
            memcpy(copy + at + length, digest, 8);
            break;
        }
    const char *path = fuzz_write(name, copy, size);
    free(copy);
    return path;
}

bnnep_optimizer *fuzz_optimizer(bnnep_network **network) {
    static const bnnep_connection connections[] = {BNNEP_FC(5), BNNEP_FC(4)};
    static const double gamma[] = {0.1, 0.1}, threshold[] = {1e-3, 1e-3}, rate[] = {0.01, 0.02};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    bnnep_context_options where = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    o.input_channels = FUZZ_INPUTS;
    o.input_height = o.input_width = 1;
    o.classes = 2;
    o.expand_output = 2;
    o.connections = connections;
    o.connection_count = 2;
    o.free_steps = 5;
    o.max_batch = FUZZ_BATCH;
    where.backend = "ref";
    PROMISE(bnnep_context_create(&where, &context) == BNNEP_OK);
    PROMISE(bnnep_network_create(context, &o, network) == BNNEP_OK);
    bnnep_context_free(context);
    p.nudged_steps = 2;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = p.lr_alpha = rate;
    PROMISE(bnnep_optimizer_create(*network, &p, &optimizer) == BNNEP_OK);
    return optimizer;
}
