/* SPDX-License-Identifier: MIT */
/* Parameters and momenta of the cpu backend, and its place in the table of backends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/cpu/binary/binary.h"
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

size_t bnnep_cpu_units(const struct bnnep_model *model) {
    size_t units = 0;
    for (size_t k = 0; k < model->connections; k++)
        units += model->links[k].out;
    return units;
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
        bytes += sizeof(struct cpu_connection) + ((uint64_t)up_words(&c) + down_words(&c)) * sizeof(uint64_t) +
                 (link->scales + link->rows) * sizeof(float);
    }
    return bytes;
}

static void network_destroy(void *handle) {
    struct cpu_network *net = handle;
    if (net && net->connection)
        for (size_t k = 0; k < net->model->connections; k++) {
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
        c->alpha = bnnep_cpu_alloc(link->scales, sizeof(float));
        c->bias = bnnep_cpu_alloc(link->rows, sizeof(float));
        complete = c->up && c->down && c->alpha && c->bias;
    }
    if (!complete) {
        network_destroy(net);
        return no_memory(why);
    }
    *out = net;
    return BNNEP_OK;
}

void bnnep_cpu_transpose(uint64_t *words) {
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
                bnnep_cpu_transpose(words);
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
    if (from->bits || from->scale)
        c->changes++;
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
    if (to->bits)
        read_up(c, to->bits);
    if (to->scale)
        memcpy(to->scale, c->alpha, link->scales * sizeof(float));
    if (to->bias)
        memcpy(to->bias, c->bias, link->rows * sizeof(float));
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
    return bnnep_cpu_binary(model) ? bnnep_binary_workspace_bytes(model, device, max_batch)
                                   : bnnep_real_workspace_bytes(model, threads, max_batch);
}

static bnnep_status workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    const struct cpu_network *net = network;
    const unsigned wanted = threads > 0 ? (unsigned)threads : net->threads;
    return bnnep_cpu_binary(net->model) ? bnnep_binary_workspace_create(network, max_batch, threads, out, why)
                                        : bnnep_real_workspace_create(net, max_batch, wanted, out, why);
}

static void workspace_destroy(void *ws) {
    if (ws)
        (binary(ws) ? bnnep_binary_workspace_destroy : bnnep_real_workspace_destroy)(ws);
}

static bnnep_status stage(void *ws, const float *x, const float *target, size_t count, char *why) {
    return (binary(ws) ? bnnep_binary_stage : bnnep_real_stage)(ws, x, target, count, why);
}

static bnnep_status relax(void *ws, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    return (binary(ws) ? bnnep_binary_relax : bnnep_real_relax)(ws, how, done, why);
}

static bnnep_status put_state(void *ws, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    return (binary(ws) ? bnnep_binary_put_state : bnnep_real_put_state)(ws, slot, layer, state, why);
}

static bnnep_status get_state(const void *ws, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    return (binary(ws) ? bnnep_binary_get_state : bnnep_real_get_state)(ws, slot, layer, state, why);
}

static bnnep_status learn(void *learner, void *ws, const struct bnnep_rule *rules, bool learn_scale, uint64_t *flips,
                          char *why) {
    return (binary(ws) ? bnnep_binary_learn : bnnep_real_learn)(learner, ws, rules, learn_scale, flips, why);
}

const struct bnnep_backend bnnep_backend_cpu = {
    .abi = BNNEP_BACKEND_ABI,
    .name = "cpu",
    .summary = "weights as bits, tables of signed sums, counted flips, OpenBLAS; option threads=N",
    .probe = probe,
    .network_bytes = network_bytes,
    .workspace_bytes = workspace_bytes,
    .learner_bytes = bnnep_cpu_learner_bytes,
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
    .learner_create = bnnep_cpu_learner_create,
    .learner_destroy = bnnep_cpu_learner_destroy,
    .put_momentum = bnnep_cpu_put_momentum,
    .get_momentum = bnnep_cpu_get_momentum,
    .backpropagate = bnnep_real_backpropagate,
    .learn = learn,
};
