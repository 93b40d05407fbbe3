/* SPDX-License-Identifier: MIT */
/* Parameters of the cpu backend: signs as bits, in both directions. */
#include <stdio.h>
#include <string.h>

#include "backends/arena.h"
#include "backends/cpu/cpu.h"

bnnep_status bnnep_cpu_no_memory(char *why) {
    snprintf(why, BNNEP_WHY, "out of memory");
    return BNNEP_ERROR_MEMORY;
}

static size_t panels_of(size_t units, size_t words) {
    return (units + words * 64 - 1) / (words * 64);
}

/* All of a connection but its arrays. */
static struct cpu_connection shape_of(const struct bnnep_model *model, size_t k) {
    const struct bnnep_link *link = model->links[k];
    const bool convolution = bnnep_is_convolution(link);
    const bool on_map = !convolution && k > 0 && bnnep_is_convolution(model->links[k - 1]);
    struct cpu_connection c = {.rows = link->rows, .columns = link->columns, .positions = 1, .parts = 1};
    if (convolution)
        c.parts = c.positions = link->kernel * link->kernel;
    else if (on_map)
        c.positions = model->links[k - 1]->to.height * model->links[k - 1]->to.width;
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

static struct cpu_network *divide(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct cpu_network *net = bnnep_arena_take(arena, 1, sizeof *net);
    struct cpu_connection *connection = bnnep_arena_take(arena, model->connections, sizeof *connection);
    for (size_t k = 0; k < model->connections; k++) {
        struct cpu_connection c = shape_of(model, k);
        c.up = bnnep_arena_take(arena, up_words(&c), sizeof(uint64_t));
        c.down = bnnep_arena_take(arena, down_words(&c), sizeof(uint64_t));
        c.alpha = bnnep_arena_take(arena, model->links[k]->scales, sizeof(float));
        c.bias = bnnep_arena_take(arena, c.rows, sizeof(float));
        c.tally = bnnep_arena_take(arena, bnnep_cpu_most_tasks(&c), sizeof *c.tally);
        if (connection)
            connection[k] = c;
    }
    if (net)
        *net = (struct cpu_network){.model = model, .connection = connection};
    return net;
}

uint64_t bnnep_cpu_network_bytes(void *device, const struct bnnep_model *model) {
    struct bnnep_arena arena = {0};
    (void)device;
    divide(&arena, model);
    return arena.used;
}

bnnep_status bnnep_cpu_network_create(void *handle, const struct bnnep_model *model, void **out, char *why) {
    const struct cpu_device *device = handle;
    struct bnnep_arena arena = {.used = (size_t)bnnep_cpu_network_bytes(handle, model)};
    if (!bnnep_arena_open(&arena, device->host))
        return bnnep_cpu_no_memory(why);
    struct cpu_network *net = divide(&arena, model);
    net->device = device;
    net->kernels = bnnep_select_kernels();
    net->outer = model->grid.steps != 0.0f ? net->kernels->i32 : net->kernels->f32;
    net->sums = model->grid.steps != 0.0f && model->grid.steps <= COARSE_STEPS ? net->kernels->i16 : net->outer;
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

void bnnep_cpu_order_columns(const struct cpu_connection *c, const float *canonical, float *ours) {
    for (size_t j = 0; j < c->rows; j++)
        for (size_t i = 0; i < c->columns; i++)
            ours[j * c->columns + bnnep_cpu_column(c, i)] = canonical[j * c->columns + i];
}

void bnnep_cpu_canonical_columns(const struct cpu_connection *c, const float *ours, float *canonical) {
    for (size_t j = 0; j < c->rows; j++)
        for (size_t i = 0; i < c->columns; i++)
            canonical[j * c->columns + i] = ours[j * c->columns + bnnep_cpu_column(c, i)];
}

bnnep_status bnnep_cpu_put(void *handle, size_t k, const struct bnnep_parameters *from, char *why) {
    (void)why;
    struct cpu_network *net = handle;
    const struct bnnep_link *link = net->model->links[k];
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

bnnep_status bnnep_cpu_get(const void *handle, size_t k, const struct bnnep_parameters_out *to, char *why) {
    (void)why;
    const struct cpu_network *net = handle;
    const struct bnnep_link *link = net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    if (to->bits)
        read_up(c, to->bits);
    if (to->scale)
        memcpy(to->scale, c->alpha, link->scales * sizeof(float));
    if (to->bias)
        memcpy(to->bias, c->bias, link->rows * sizeof(float));
    return BNNEP_OK;
}
