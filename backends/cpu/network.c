/* SPDX-License-Identifier: MIT */
/* Parameters and momenta of the cpu backend, and its place in the table of backends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/cpu/real/real.h"

/* Each thread takes one of OpenBLAS's buffers, of which a process has a fixed number (128 in Debian's build). */
#define MOST_THREADS 64u

void *bnnep_cpu_alloc(size_t count, size_t size) {
    if (count > (SIZE_MAX - 64) / size)
        return NULL;
    const size_t bytes = (count * size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes ? bytes : 64);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

static bnnep_status no_memory(char *why) {
    snprintf(why, BNNEP_WHY, "out of memory");
    return BNNEP_ERROR_MEMORY;
}

/* The number of threads that a device string asks for, or 0 and why not. */
unsigned bnnep_cpu_threads(const char *device, char *why) {
    if (device[0] == '\0') {
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        return online < 1 ? 1 : online > (long)MOST_THREADS ? MOST_THREADS : (unsigned)online;
    }
    static const char key[] = "threads=";
    if (strncmp(device, key, sizeof key - 1) == 0) {
        char *end;
        errno = 0;
        const long threads = strtol(device + sizeof key - 1, &end, 10);
        if (end != device + sizeof key - 1 && *end == '\0' && !errno && threads >= 1 && threads <= (long)MOST_THREADS)
            return (unsigned)threads;
    }
    snprintf(why, BNNEP_WHY, "cpu takes 'threads=N' with N from 1 to %u, but was given '%.64s'", MOST_THREADS, device);
    return 0;
}

static bnnep_status probe(const char *device, char *why) {
    return bnnep_cpu_threads(device, why) ? BNNEP_OK : BNNEP_ERROR_ARGUMENT;
}

static size_t stride_of(const struct bnnep_link *link) {
    return (link->columns + 63) / 64 * 8;
}

static size_t panels_of(size_t units, size_t words) {
    return (units + words * 64 - 1) / (words * 64);
}

/* All of a connection but its arrays. */
static struct cpu_connection shape_of(const struct bnnep_model *model, size_t k) {
    const struct bnnep_link *link = &model->links[k];
    const bool convolution = bnnep_cpu_is_convolution(link);
    const bool on_map = !convolution && k > 0 && bnnep_cpu_is_convolution(&model->links[k - 1]);
    struct cpu_connection c = {.rows = link->rows, .columns = link->columns, .positions = 1, .parts = 1};
    if (convolution)
        c.parts = c.positions = link->kernel * link->kernel;
    else if (on_map)
        c.positions = model->links[k - 1].to.height * model->links[k - 1].to.width;
    c.channels = c.columns / c.positions;
    c.inner = c.columns / c.parts;
    c.words = bnnep_cpu_binary(model) ? PANEL_WORDS : 1;
    c.up_panels = panels_of(c.inner, c.words);
    c.down_panels = panels_of(c.rows, c.words);
    return c;
}

static size_t up_words(const struct cpu_connection *c) {
    return c->parts * c->up_panels * c->rows * c->words;
}

static size_t down_words(const struct cpu_connection *c) {
    return c->down_panels * c->columns * c->words;
}

static uint64_t network_bytes(const struct bnnep_model *model) {
    uint64_t bytes = sizeof(struct cpu_network);
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        const struct cpu_connection c = shape_of(model, k);
        bytes += sizeof(struct cpu_connection) + (uint64_t)link->rows * stride_of(link) +
                 ((uint64_t)up_words(&c) + down_words(&c)) * sizeof(uint64_t) +
                 (link->scales + link->rows) * sizeof(float);
    }
    return bytes;
}

static void network_destroy(void *handle) {
    struct cpu_network *net = handle;
    if (net && net->connection)
        for (size_t k = 0; k < net->model->connections; k++) {
            free(net->connection[k].bits);
            free(net->connection[k].up);
            free(net->connection[k].down);
            free(net->connection[k].alpha);
            free(net->connection[k].bias);
        }
    if (net)
        free(net->connection);
    free(net);
}

static bnnep_status network_create(const struct bnnep_model *model, const char *device, void **out, char *why) {
    const unsigned threads = bnnep_cpu_threads(device, why);
    if (!threads)
        return BNNEP_ERROR_ARGUMENT;
    struct cpu_network *net = calloc(1, sizeof *net);
    if (!net)
        return no_memory(why);
    net->model = model;
    net->threads = threads;
    net->kernels = bnnep_select_kernels();
    net->connection = calloc(model->connections, sizeof *net->connection);
    bool complete = net->connection != NULL;
    for (size_t k = 0; complete && k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        struct cpu_connection *c = &net->connection[k];
        *c = shape_of(model, k);
        c->up = bnnep_cpu_alloc(up_words(c), sizeof(uint64_t));
        c->down = bnnep_cpu_alloc(down_words(c), sizeof(uint64_t));
        c->stride = stride_of(link);
        /* Few rows leave room for more columns. */
        c->tile_rows = link->rows < TILE_ROWS ? link->rows : TILE_ROWS;
        c->tile_columns = TILE / c->tile_rows / 8 * 8;
        c->bits = bnnep_cpu_alloc(link->rows, c->stride);
        c->alpha = bnnep_cpu_alloc(link->scales, sizeof(float));
        c->bias = bnnep_cpu_alloc(link->rows, sizeof(float));
        complete = c->bits && c->up && c->down && c->alpha && c->bias;
    }
    if (!complete) {
        network_destroy(net);
        return no_memory(why);
    }
    *out = net;
    return BNNEP_OK;
}

/* 64 words of 64 bits as a matrix, transposed in place: bit j of word i becomes bit i of word j. */
static void transpose(uint64_t *words) {
    uint64_t mask = UINT64_C(0x00000000ffffffff);
    for (size_t half = 32; half > 0; half /= 2, mask ^= mask << half)
        for (size_t i = 0; i < 64; i = (i + half + 1) & ~half) {
            const uint64_t swap = (words[i] >> half ^ words[i + half]) & mask;
            words[i] ^= swap << half;
            words[i + half] ^= swap;
        }
}

/* `down` from `up`, 64 rows and 64 columns at a time. */
static void fill_down(const struct cpu_connection *c) {
    for (size_t part = 0; part < c->parts; part++)
        for (size_t i = 0; i < c->inner; i += 64)
            for (size_t row = 0; row < c->rows; row += 64) {
                uint64_t words[64] = {0};
                const uint64_t *up = bnnep_cpu_up_word(c, part, i);
                uint64_t *down = bnnep_cpu_down_word(c, row);
                for (size_t j = 0; j < 64 && row + j < c->rows; j++)
                    words[j] = up[(row + j) * c->words];
                transpose(words);
                for (size_t j = 0; j < 64 && i + j < c->inner; j++)
                    down[(part * c->inner + i + j) * c->words] = words[j];
            }
}

static void fill_up(const struct cpu_connection *c, const uint8_t *bits) {
    const size_t bytes = (c->columns + 7) / 8;
    memset(c->up, 0, up_words(c) * sizeof *c->up);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (c->positions == 1) { /* in the same order, byte for byte */
        for (size_t j = 0; j < c->rows; j++, bits += bytes)
            for (size_t i = 0; i < c->columns; i += 64)
                memcpy(bnnep_cpu_up_word(c, 0, i) + j * c->words, bits + i / 8,
                       c->columns - i < 64 ? bytes - i / 8 : 8);
        return;
    }
#endif
    for (size_t j = 0; j < c->rows; j++, bits += bytes)
        for (size_t canonical = 0; canonical < c->columns; canonical++) {
            const size_t column = bnnep_cpu_column(c, canonical), i = column % c->inner;
            const uint64_t bit = bits[canonical / 8] >> canonical % 8 & 1;
            bnnep_cpu_up_word(c, column / c->inner, i)[j * c->words] |= bit << i % 64;
        }
}

/* The canonical bits from `up`. */
static void read_up(const struct cpu_connection *c, uint8_t *bits) {
    const size_t bytes = (c->columns + 7) / 8;
    memset(bits, 0, c->rows * bytes);
    for (size_t j = 0; j < c->rows; j++, bits += bytes)
        for (size_t canonical = 0; canonical < c->columns; canonical++) {
            const size_t column = bnnep_cpu_column(c, canonical), i = column % c->inner;
            const uint64_t word = bnnep_cpu_up_word(c, column / c->inner, i)[j * c->words];
            bits[canonical / 8] |= (uint8_t)((word >> i % 64 & 1) << canonical % 8);
        }
}

static bnnep_status put(void *handle, size_t k, const struct bnnep_parameters *from, char *why) {
    (void)why;
    struct cpu_network *net = handle;
    const struct bnnep_link *link = &net->model->links[k];
    struct cpu_connection *c = &net->connection[k];
    const size_t bytes = (link->columns + 7) / 8;
    for (size_t j = 0; from->bits && j < link->rows; j++)
        memcpy(c->bits + j * c->stride, from->bits + j * bytes, bytes);
    if (from->bits) {
        fill_up(c, from->bits);
        fill_down(c);
    }
    if (from->scale)
        memcpy(c->alpha, from->scale, link->scales * sizeof(float));
    if (from->bias)
        memcpy(c->bias, from->bias, link->rows * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get(const void *handle, size_t k, const struct bnnep_parameters_out *to, char *why) {
    (void)why;
    const struct cpu_network *net = handle;
    const struct bnnep_link *link = &net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const size_t bytes = (link->columns + 7) / 8;
    if (to->bits && !bnnep_cpu_binary(net->model))
        read_up(c, to->bits);
    for (size_t j = 0; to->bits && bnnep_cpu_binary(net->model) && j < link->rows; j++)
        memcpy(to->bits + j * bytes, c->bits + j * c->stride, bytes);
    if (to->scale)
        memcpy(to->scale, c->alpha, link->scales * sizeof(float));
    if (to->bias)
        memcpy(to->bias, c->bias, link->rows * sizeof(float));
    return BNNEP_OK;
}

/* The signs that a byte of bits stands for. */
#define SIGN(b, i) ((b) >> (i)&1 ? 1.0f : -1.0f)
#define SIGNS(b)                                                                                                       \
    { SIGN(b, 0), SIGN(b, 1), SIGN(b, 2), SIGN(b, 3), SIGN(b, 4), SIGN(b, 5), SIGN(b, 6), SIGN(b, 7) }
#define SIGNS4(b) SIGNS(b), SIGNS((b) + 1), SIGNS((b) + 2), SIGNS((b) + 3)
#define SIGNS16(b) SIGNS4(b), SIGNS4((b) + 4), SIGNS4((b) + 8), SIGNS4((b) + 12)
#define SIGNS64(b) SIGNS16(b), SIGNS16((b) + 16), SIGNS16((b) + 32), SIGNS16((b) + 48)
static const float signs_of_byte[256][8] = {SIGNS64(0), SIGNS64(64), SIGNS64(128), SIGNS64(192)};

void bnnep_cpu_unpack(const struct cpu_connection *connection, size_t row, size_t rows, size_t column, size_t columns,
                      float *tile, size_t ld) {
    const uint8_t *bits = connection->bits + row * connection->stride + column / 8;
    for (size_t j = 0; j < rows; j++, bits += connection->stride, tile += ld)
        for (size_t b = 0; b < (columns + 7) / 8; b++)
            memcpy(tile + 8 * b, signs_of_byte[bits[b]], sizeof signs_of_byte[0]);
}

static uint64_t learner_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    uint64_t bytes = sizeof(struct cpu_learner) + bnnep_real_tape_bytes(model, max_batch, tape);
    for (size_t k = 0; k < model->connections; k++)
        bytes += sizeof(float *) + (uint64_t)model->links[k].rows * model->links[k].columns * sizeof(float);
    return bytes;
}

static void learner_destroy(void *handle) {
    struct cpu_learner *learner = handle;
    if (!learner)
        return;
    for (size_t k = 0; learner->momentum && k < learner->network->model->connections; k++)
        free(learner->momentum[k]);
    free(learner->momentum);
    bnnep_real_tape_free(&learner->real_tape);
    free(learner);
}

static bnnep_status learner_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct cpu_network *net = network;
    struct cpu_learner *learner = calloc(1, sizeof *learner);
    if (!learner)
        return no_memory(why);
    learner->network = net;
    learner->momentum = calloc(net->model->connections, sizeof *learner->momentum);
    bool complete = learner->momentum != NULL;
    for (size_t k = 0; complete && k < net->model->connections; k++) {
        const struct bnnep_link *link = &net->model->links[k];
        complete = (learner->momentum[k] = bnnep_cpu_alloc(link->rows * link->columns, sizeof(float))) != NULL;
    }
    if (complete && tape > 0)
        complete = bnnep_real_tape_make(&learner->real_tape, net->model, max_batch, tape) == BNNEP_OK;
    if (!complete) {
        learner_destroy(learner);
        return no_memory(why);
    }
    *out = learner;
    return BNNEP_OK;
}

static size_t order(const struct cpu_learner *learner, const struct cpu_connection *c, size_t canonical) {
    return bnnep_cpu_binary(learner->network->model) ? canonical : bnnep_cpu_column(c, canonical);
}

/* Momenta are in the order of `down`'s columns. */
static bnnep_status put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    const struct cpu_connection *c = &learner->network->connection[k];
    for (size_t j = 0; j < c->rows; j++)
        for (size_t canonical = 0; canonical < c->columns; canonical++)
            learner->momentum[k][j * c->columns + order(learner, c, canonical)] = momentum[j * c->columns + canonical];
    return BNNEP_OK;
}

static bnnep_status get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    (void)why;
    const struct cpu_learner *learner = handle;
    const struct cpu_connection *c = &learner->network->connection[k];
    for (size_t j = 0; j < c->rows; j++)
        for (size_t canonical = 0; canonical < c->columns; canonical++)
            momentum[j * c->columns + canonical] = learner->momentum[k][j * c->columns + order(learner, c, canonical)];
    return BNNEP_OK;
}

/* --- the two engines -----------------------------------------------------------------------------------------------
 */

static bool binary(const void *workspace) {
    const struct cpu_network *const *net = workspace; /* the first member of every workspace */
    return bnnep_cpu_binary((*net)->model);
}

static uint64_t workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    char why[BNNEP_WHY];
    const unsigned threads = bnnep_cpu_threads(device, why);
    return bnnep_cpu_binary(model) ? bnnep_cpu_workspace_bytes(model, device, max_batch)
                                   : bnnep_real_workspace_bytes(model, threads, max_batch);
}

static bnnep_status workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    const struct cpu_network *net = network;
    const unsigned wanted = threads > 0 ? (unsigned)threads : net->threads;
    return bnnep_cpu_binary(net->model) ? bnnep_cpu_workspace_create(network, max_batch, threads, out, why)
                                        : bnnep_real_workspace_create(net, max_batch, wanted, out, why);
}

static void workspace_destroy(void *ws) {
    if (ws)
        (binary(ws) ? bnnep_cpu_workspace_destroy : bnnep_real_workspace_destroy)(ws);
}

static bnnep_status stage(void *ws, const float *x, const float *target, size_t count, char *why) {
    return (binary(ws) ? bnnep_cpu_stage : bnnep_real_stage)(ws, x, target, count, why);
}

static bnnep_status relax(void *ws, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    return (binary(ws) ? bnnep_cpu_relax : bnnep_real_relax)(ws, how, done, why);
}

static bnnep_status put_state(void *ws, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    return (binary(ws) ? bnnep_cpu_put_state : bnnep_real_put_state)(ws, slot, layer, state, why);
}

static bnnep_status get_state(const void *ws, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    return (binary(ws) ? bnnep_cpu_get_state : bnnep_real_get_state)(ws, slot, layer, state, why);
}

static bnnep_status learn(void *learner, void *ws, const struct bnnep_rule *rules, bool learn_scale, uint64_t *flips,
                          char *why) {
    return (binary(ws) ? bnnep_cpu_learn : bnnep_real_learn)(learner, ws, rules, learn_scale, flips, why);
}

const struct bnnep_backend bnnep_backend_cpu = {
    .abi = BNNEP_BACKEND_ABI,
    .name = "cpu",
    .summary = "weights as bits, OpenBLAS products, threads over samples; option threads=N",
    .probe = probe,
    .network_bytes = network_bytes,
    .workspace_bytes = workspace_bytes,
    .learner_bytes = learner_bytes,
    .network_create = network_create,
    .network_destroy = network_destroy,
    .put = put,
    .get = get,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .stage = stage,
    .relax = relax,
    .put_state = put_state,
    .get_state = get_state,
    .learner_create = learner_create,
    .learner_destroy = learner_destroy,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .backpropagate = bnnep_real_backpropagate,
    .learn = learn,
};
