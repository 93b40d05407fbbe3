/* SPDX-License-Identifier: MIT */
/* Every table of kernels that this machine can run gives the bits of the generic one, on shapes that are no multiple of
 * anything; and the generic one gives what the words say. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_list.h"
#include "support.h"

enum { CASES = 60, MOST_ROWS = 300 };

static float number(struct stream *stream) {
    return (float)stream_between(stream, -1000, 1000) / 777.0f;
}

static void *memory(size_t bytes) {
    void *room = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(room);
    memset(room, 0, (bytes + 63) / 64 * 64);
    return room;
}

static uint64_t word_of(struct stream *stream) {
    return (uint64_t)stream_next(stream) << 32 | stream_next(stream);
}

static const struct cpu_kernels *generic(void) {
    const struct cpu_kernels *kernels = NULL;
    for (size_t i = 0; tested_kernels(i); i++)
        kernels = tested_kernels(i);
    assert_string_equal(kernels->name, "generic");
    return kernels;
}

/* Runs `compare` on each table with random sizes. */
static void on_each(void (*compare)(const struct cpu_kernels *kernels, struct stream *stream)) {
    for (size_t i = 0; tested_kernels(i); i++) {
        struct stream stream = {i};
        print_message("%s\n", tested_kernels(i)->name);
        for (int c = 0; c < CASES; c++)
            compare(tested_kernels(i), &stream);
    }
}

/* Of a word of weights; often as many as code of its own is for. */
static size_t inputs_of(struct stream *stream) {
    static const size_t often[] = {5, 10, 32, 64};
    return stream_next(stream) % 2 ? often[stream_next(stream) % 4] : (size_t)stream_between(stream, 1, 64);
}

static void compare_sums(const struct cpu_kernels *kernels, struct stream *stream) {
    const size_t inputs = inputs_of(stream), rows = (size_t)stream_between(stream, 0, MOST_ROWS);
    float *x = memory(64 * LANES * sizeof *x), *one = memory((MOST_ROWS + 1) * LANES * sizeof *one),
          *other = memory((MOST_ROWS + 1) * LANES * sizeof *other);
    double *exact_x = memory(64 * LANES * sizeof *exact_x), *exact = memory((MOST_ROWS + 1) * LANES * sizeof *exact),
           *some = memory((MOST_ROWS + 1) * LANES * sizeof *some);
    uint64_t *words = memory((MOST_ROWS + 1) * sizeof *words);
    void *tables = memory(TABLE_BYTES);
    for (size_t v = 0; v < inputs * LANES; v++)
        x[v] = number(stream);
    for (size_t v = 0; v < MOST_ROWS; v++)
        words[v] = word_of(stream);
    size_t groups = generic()->f32->tables(x, inputs, ENTRY_BYTES, 0.0f, tables);
    generic()->f32->add(words, rows, groups, ENTRY_BYTES, tables, one);
    memset(tables, 0x55, TABLE_BYTES);
    groups = kernels->f32->tables(x, inputs, ENTRY_BYTES, 0.0f, tables);
    kernels->f32->add(words, rows, groups, ENTRY_BYTES, tables, other);
    assert_memory_equal(one, other, (MOST_ROWS + 1) * LANES * sizeof *one);
    memset(other, 0, (MOST_ROWS + 1) * LANES * sizeof *other);
    groups = kernels->f32->tables(x, inputs, ENTRY_BYTES / 2, 0.0f, tables);
    kernels->f32->add(words, rows, groups, ENTRY_BYTES / 2, tables, other);
    for (size_t j = 0; j < rows; j++)
        assert_memory_equal(one + j * LANES, other + j * LANES, LANES / 2 * sizeof *one);
    for (size_t half = 0; half < 2; half++) { /* 8 lanes at a time */
        for (size_t v = 0; v < inputs * LANES / 2; v++)
            exact_x[v] = (double)x[v / (LANES / 2) * LANES + half * LANES / 2 + v % (LANES / 2)];
        memset(exact, 0, (MOST_ROWS + 1) * LANES * sizeof *exact);
        memset(some, 0, (MOST_ROWS + 1) * LANES * sizeof *some);
        groups = kernels->f64->tables(exact_x, inputs, ENTRY_BYTES / 2, 0.0f, tables);
        kernels->f64->add(words, rows, groups, ENTRY_BYTES / 2, tables, some);
        groups = kernels->f64->tables(exact_x, inputs, ENTRY_BYTES, 0.0f, tables);
        kernels->f64->add(words, rows, groups, ENTRY_BYTES, tables, exact);
        for (size_t j = 0; j < rows; j++)
            assert_memory_equal(exact + j * LANES / 2, some + j * LANES / 2, LANES / 4 * sizeof *exact);
        for (size_t v = 0; v < rows * LANES / 2; v++) {
            const size_t j = v / (LANES / 2);
            double sum = 0.0;
            for (size_t i = 0; i < inputs; i++)
                sum += (words[j] >> i & 1 ? 1.0 : -1.0) * exact_x[i * LANES / 2 + v % (LANES / 2)];
            assert_true(fabs(exact[v] - sum) <= 1e-13);
            assert_true(fabs((double)one[j * LANES + half * LANES / 2 + v % (LANES / 2)] - sum) <= 2e-5);
        }
    }
    free(x), free(one), free(other), free(exact_x), free(exact), free(some), free(words), free(tables);
}

static void check_extracting(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { COUNT = 77, STRIDE = 3 };
    const size_t count = (size_t)stream_between(stream, 0, COUNT), stride = (size_t)stream_between(stream, 1, STRIDE);
    const uint64_t masks[] = {word_of(stream), word_of(stream) & word_of(stream) & word_of(stream), UINT64_MAX, 0};
    const uint64_t mask = masks[stream_next(stream) % 4];
    uint64_t words[COUNT * STRIDE], out[COUNT] = {0};
    for (size_t j = 0; j < COUNT * STRIDE; j++)
        words[j] = word_of(stream);
    kernels->counts->extract(words, stride, count, mask, out);
    for (size_t j = 0; j < COUNT; j++) {
        uint64_t wanted = 0;
        for (size_t i = 0, to = 0; i < 64 && j < count; i++)
            if (mask >> i & 1)
                wanted |= (words[j * stride] >> i & 1) << to++;
        assert_true(out[j] == wanted);
    }
}

/* Sums of values on a grid, integers of up to 25 bits and a sign, which just fit; of all lanes or of half of them. */
static void compare_whole_sums(const struct cpu_kernels *kernels, struct stream *stream) {
    const size_t bytes = stream_next(stream) % 2 ? ENTRY_BYTES : ENTRY_BYTES / 2;
    const size_t inputs = inputs_of(stream), rows = (size_t)stream_between(stream, 0, MOST_ROWS);
    float *x = memory(64 * LANES * sizeof *x);
    int32_t *sums = memory((MOST_ROWS + 1) * LANES * sizeof *sums);
    uint64_t *words = memory((MOST_ROWS + 1) * sizeof *words);
    void *tables = memory(TABLE_BYTES);
    for (size_t v = 0; v < inputs * LANES; v++)
        x[v] = (float)(2 * (stream_next(stream) % 9 ? stream_between(stream, -10000000, 10000000) : (1 << 24) - 1)) /
               256.0f;
    for (size_t v = 0; v < MOST_ROWS; v++)
        words[v] = stream_next(stream) % 9 ? word_of(stream) : UINT64_MAX;
    const size_t groups = kernels->i32->tables(x, inputs, bytes, 256.0f, tables);
    kernels->i32->add(words, rows, groups, bytes, tables, sums);
    for (size_t v = 0; v < rows * LANES; v++) {
        int64_t sum = 0;
        if (v % LANES * sizeof *x >= bytes)
            continue;
        for (size_t i = 0; i < inputs; i++)
            sum += (words[v / LANES] >> i & 1 ? 1 : -1) * (int64_t)(x[i * LANES + v % LANES] * 256.0f);
        assert_int_equal(sums[v], sum);
    }
    free(x), free(sums), free(words), free(tables);
}

/* Sums of states on a coarse grid, which may all be 1, or half a step away from a point of the grid. */
static void check_coarse_sums(const struct cpu_kernels *kernels, struct stream *stream) {
    const size_t inputs = inputs_of(stream), rows = (size_t)stream_between(stream, 0, MOST_ROWS);
    const bool all = stream_next(stream) % 5 == 0;
    float *x = memory(64 * LANES * sizeof *x);
    int32_t *sums = memory((MOST_ROWS + 1) * LANES * sizeof *sums);
    uint64_t *words = memory((MOST_ROWS + 1) * sizeof *words);
    void *tables = memory(TABLE_BYTES);
    for (size_t v = 0; v < inputs * LANES; v++)
        x[v] = all ? 1.0f : (float)stream_between(stream, -1024, 1024) / 2.0f / COARSE_STEPS;
    for (size_t j = 0; j < MOST_ROWS; j++)
        words[j] = stream_next(stream) % 3 ? word_of(stream) : stream_next(stream) % 2 ? UINT64_MAX : 0;
    const size_t groups = kernels->i16->tables(x, inputs, ENTRY_BYTES, COARSE_STEPS, tables);
    if (groups > 0)
        kernels->i16->add(words, rows, groups, ENTRY_BYTES, tables, sums);
    for (size_t v = 0; v < (MOST_ROWS + 1) * LANES; v++) {
        int32_t sum = 0;
        for (size_t i = 0; i < inputs && v < rows * LANES; i++)
            sum += (words[v / LANES] >> i & 1 ? 1 : -1) * (int32_t)nearbyintf(x[i * LANES + v % LANES] * COARSE_STEPS);
        assert_int_equal(sums[v], sum);
    }
    free(x), free(sums), free(words), free(tables);
}

/* Sums of digits, two lanes to a word, the largest among them. */
static void check_digit_sums(const struct cpu_kernels *kernels, struct stream *stream) {
    const size_t inputs = inputs_of(stream), rows = (size_t)stream_between(stream, 0, MOST_ROWS);
    int32_t *packed = memory(64 * LANES / 2 * sizeof *packed), *sums = memory((MOST_ROWS + 1) * LANES * sizeof *sums);
    uint64_t *words = memory((MOST_ROWS + 1) * sizeof *words);
    void *tables = memory(TABLE_BYTES);
    int32_t digit[64 * LANES];
    memset(tables, 0x55, TABLE_BYTES);
    assert_int_equal(kernels->digits->tables(packed, inputs, ENTRY_BYTES, 0.0f, tables), 0); /* nothing to add */
    const size_t only = stream_next(stream) % 3 ? 64 * LANES : stream_next(stream) % (inputs * LANES);
    for (size_t v = 0; v < 64 * LANES; v++) {
        digit[v] = stream_next(stream) % 9 ? stream_between(stream, -MOST_DIGIT, MOST_DIGIT) : MOST_DIGIT;
        digit[v] = only == 64 * LANES || only == v ? digit[v] : 0;
    }
    if (only < 64 * LANES)
        digit[only] = -1;
    for (size_t v = 0; v < inputs * LANES / 2; v++) {
        const int32_t *unit = digit + v / (LANES / 2) * LANES + v % (LANES / 2);
        packed[v] = (int32_t)((uint32_t)unit[0] % 65536 | (uint32_t)unit[LANES / 2] << 16);
    }
    for (size_t j = 0; j < MOST_ROWS; j++)
        words[j] = stream_next(stream) % 9 ? word_of(stream) : UINT64_MAX;
    for (size_t v = 0; v < (MOST_ROWS + 1) * LANES; v++)
        sums[v] = (int32_t)v * 1000;
    const size_t groups = kernels->digits->tables(packed, inputs, ENTRY_BYTES, 0.0f, tables);
    assert_int_equal(groups, (inputs + DIGIT_GROUP - 1) / DIGIT_GROUP);
    kernels->digits->add(words, rows, groups, ENTRY_BYTES, tables, sums);
    for (size_t v = 0; v < (MOST_ROWS + 1) * LANES; v++) {
        int32_t sum = (int32_t)v * 1000;
        for (size_t i = 0; i < inputs && v < rows * LANES; i++)
            sum += (words[v / LANES] >> i & 1 ? 1 : -1) * digit[i * LANES + v % LANES];
        assert_int_equal(sums[v], sum);
    }
    free(packed), free(sums), free(words), free(tables);
}

/* Changes are sent in digits, and what was sent and what is left are the change. */
static void check_coding(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { UNITS = 30 };
    const size_t units = (size_t)stream_between(stream, 1, UNITS);
    float *x = memory((UNITS + 1) * LANES * sizeof *x), *sent = memory((UNITS + 1) * LANES * sizeof *sent);
    float *kept = memory((UNITS + 1) * LANES * sizeof *kept), before[UNITS * LANES];
    float largest[LANES] = {0}, left[LANES] = {0}, most_left[LANES] = {0};
    int32_t *digits = memory((UNITS + 1) * LANES / 2 * sizeof *digits);
    int32_t *sums = memory((UNITS + 1) * LANES * sizeof *sums);
    struct digit_steps steps;
    for (size_t v = 0; v < UNITS * LANES; v++) {
        x[v] = stream_next(stream) % 5 ? number(stream) : 9.0f * number(stream); /* some beyond a digit */
        before[v] = sent[v] = (float)stream_between(stream, -100, 100) / 128.0f;
    }
    kernels->delta->largest_change(x, sent, units, largest);
    for (size_t l = 0; l < LANES; l++) {
        float most = 0.0f;
        for (size_t j = 0; j < units; j++)
            most = fmaxf(most, fabsf(x[j * LANES + l] - sent[j * LANES + l]));
        assert_true(largest[l] == most);
        steps.step[l] = stream_next(stream) % 4 ? 1.0f / 128.0f : 0.0f;
        steps.per_step[l] = steps.step[l] != 0.0f ? 128.0f : 0.0f;
        steps.least[l] = stream_next(stream) % 2 ? 0.5f : 1.0f;
    }
    kernels->delta->encode(x, sent, units, &steps, digits, left);
    for (size_t v = 0; v < UNITS * LANES; v++) {
        const size_t l = v % LANES;
        const float change = (x[v] - before[v]) * steps.per_step[l];
        const int nearest = (int)nearbyintf(change);
        const int within = nearest > MOST_DIGIT ? MOST_DIGIT : nearest < -MOST_DIGIT ? -MOST_DIGIT : nearest;
        const int digit = v >= units * LANES || fabsf(change) < steps.least[l] ? 0 : within;
        const uint32_t word = (uint32_t)digits[v / LANES * (LANES / 2) + l % (LANES / 2)];
        assert_int_equal((int16_t)(uint16_t)(l < LANES / 2 ? word : word >> 16), digit);
        assert_true(sent[v] == before[v] + (float)digit * steps.step[l]);
        if (v < units * LANES)
            most_left[l] = fmaxf(most_left[l], fabsf(x[v] - sent[v]));
        kept[v] = x[v];
        sums[v] = stream_between(stream, -1000, 1000);
    }
    assert_memory_equal(left, most_left, sizeof left);
    kernels->delta->accumulate(sums, units, steps.step, kept);
    for (size_t v = 0; v < UNITS * LANES; v++)
        assert_true(kept[v] == (v < units * LANES ? x[v] + (float)sums[v] * steps.step[v % LANES] : x[v]));
    free(x), free(sent), free(kept), free(digits), free(sums);
}

static void digits(void **state) {
    (void)state;
    on_each(check_digit_sums);
    on_each(check_coarse_sums);
    on_each(check_coding);
}

/* What a grid rounds to: the nearest, half to even, in a table of one input; and sums back to floats. */
static void check_grid(const struct cpu_kernels *kernels, struct stream *stream) {
    const float steps = 256.0f;
    float *x = memory(LANES * sizeof *x);
    int32_t *sums = memory(LANES * sizeof *sums);
    void *tables = memory(TABLE_BYTES);
    for (size_t l = 0; l < LANES; l++) /* some are halves of a step */
        x[l] = stream_next(stream) % 3 ? number(stream) : (float)stream_between(stream, -99, 99) / 512.0f;
    const size_t groups = kernels->i32->tables(x, 1, ENTRY_BYTES, steps, tables);
    kernels->i32->add((const uint64_t[]){UINT64_MAX}, 1, groups, ENTRY_BYTES, tables, sums);
    for (size_t l = 0; l < LANES; l++)
        assert_int_equal(sums[l], (int32_t)nearbyint((double)x[l] * (double)steps));
    int32_t whole[LANES];
    for (size_t l = 0; l < LANES; l++)
        whole[l] = sums[l] = (int32_t)(stream_next(stream) - (UINT32_C(1) << 31));
    kernels->i32->finish(sums, LANES, steps);
    memcpy(x, sums, LANES * sizeof *x);
    for (size_t l = 0; l < LANES; l++)
        assert_true(x[l] == (float)((double)(float)whole[l] / (double)steps));
    free(x), free(sums), free(tables);
}

static void signed_sums(void **state) {
    (void)state;
    on_each(compare_sums);
    on_each(check_extracting);
    on_each(compare_whole_sums);
    on_each(check_grid);
}

static void compare_states(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { ARRAYS = 4, COUNT = 40 * 16 };
    const size_t units = (size_t)stream_between(stream, 1, 40);
    float *a[ARRAYS], *b[ARRAYS], moving[LANES], stride[LANES], change_a[LANES] = {0}, change_b[LANES] = {0};
    for (int i = 0; i < ARRAYS; i++) {
        a[i] = memory(COUNT * sizeof *a[i]);
        b[i] = memory(COUNT * sizeof *b[i]);
        for (size_t v = 0; v < COUNT; v++)
            a[i][v] = b[i][v] = number(stream);
    }
    for (size_t l = 0; l < LANES; l++)
        moving[l] = (float)(stream_next(stream) % 2);
    for (size_t l = 0; l < LANES; l++)
        stride[l] = bnnep_stride(stream_next(stream) % 2, 0.0f, 9);
    const float *strides = stream_next(stream) % 2 ? stride : NULL;
    const struct bnnep_neuron neuron = {.grid = {stream_next(stream) % 2 ? 0x1p12f : 0.0f, 2.0f}};
    generic()->states->move_hidden(a[0], &(struct pull){a[1], a[2], 0.37f}, units, &neuron, moving, strides, change_a);
    kernels->states->move_hidden(b[0], &(struct pull){b[1], b[2], 0.37f}, units, &neuron, moving, strides, change_b);
    for (size_t v = 0; v < units * LANES; v++)
        assert_true(moving[v % LANES] == 0.0f || a[0][v] == bnnep_on_grid(&neuron.grid, a[0][v]));
    assert_memory_equal(change_a, change_b, sizeof change_a);
    generic()->states->scale_rows(a[1], 0.37f, a[2], units, a[1]);
    kernels->states->scale_rows(b[1], 0.37f, b[2], units, b[1]);
    for (int i = 0; i < ARRAYS; i++) {
        assert_memory_equal(a[i], b[i], COUNT * sizeof *a[i]);
        free(a[i]), free(b[i]);
    }
}

/* Pooling windows of up to 3 x 3 places in a map with more, ties among them, and back. */
static void check_pooling(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { ROWS = 9, PLACES = 9, STRIDE = (ROWS + 1) * (int)LANES, ROW_STRIDE = 4 * STRIDE };
    const size_t pool = (size_t)stream_between(stream, 1, 3), rows = (size_t)stream_between(stream, 1, ROWS);
    const size_t places = pool * pool, count = rows * LANES;
    float *sums = memory(3 * ROW_STRIDE * sizeof *sums), *value = memory(ROWS * LANES * sizeof *value);
    float *unpooled = memory(PLACES * ROWS * LANES * sizeof *unpooled), alpha[ROWS], bias[ROWS];
    int32_t *argmax = memory(ROWS * LANES * sizeof *argmax);
    for (size_t v = 0; v < 3 * ROW_STRIDE; v++)
        sums[v] = (float)stream_between(stream, -3, 3);
    for (size_t o = 0; o < ROWS; o++) {
        alpha[o] = number(stream);
        bias[o] = number(stream);
    }
    const struct pooling windows = {pool, STRIDE, ROW_STRIDE, alpha, bias};
    kernels->states->pool(sums, &windows, rows, value, argmax);
    kernels->states->unpool(value, argmax, (int32_t)places, alpha, rows, unpooled);
    int32_t *kept = memory((ROWS + 1) * LANES * sizeof *kept);
    float moving[LANES];
    for (size_t l = 0; l < LANES; l++)
        moving[l] = (float)(stream_next(stream) % 2);
    memset(kept, 0x22, ROWS * LANES * sizeof *kept);
    kernels->states->keep_argmax(argmax, rows, moving, kept);
    for (size_t v = 0; v < (ROWS + 1) * LANES; v++)
        assert_int_equal(kept[v], v >= ROWS * LANES                        ? 0
                                  : v < count && moving[v % LANES] != 0.0f ? argmax[v]
                                                                           : 0x22222222);
    free(kept);
    for (size_t v = 0; v < count; v++) {
        const size_t o = v / LANES;
        float best = -INFINITY;
        int32_t at = -1;
        for (size_t q = 0; q < places; q++) {
            const float here = alpha[o] * sums[q / pool * ROW_STRIDE + q % pool * STRIDE + v] + bias[o];
            if (here > best) {
                best = here;
                at = (int32_t)q;
            }
        }
        assert_true(value[v] == best && argmax[v] == at);
        for (size_t q = 0; q < places; q++)
            assert_true(unpooled[q * count + v] == ((int32_t)q == at ? alpha[o] * best : 0.0f));
    }
    for (size_t v = count; v < ROWS * LANES; v++)
        assert_true(value[v] == 0.0f && argmax[v] == 0);
    free(sums), free(value), free(unpooled), free(argmax);
}

static void states(void **state) {
    (void)state;
    on_each(compare_states);
    on_each(check_pooling);
}

static void compare_learning(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { STRIDE = 192 };
    const size_t count = (size_t)stream_between(stream, 1, 64);
    const uint64_t signs = word_of(stream);
    float above[64], below[64 * STRIDE], a[STRIDE] = {0}, b[STRIDE] = {0};
    for (size_t l = 0; l < 64; l++)
        above[l] = stream_next(stream) % 3 ? number(stream) : 0.0f;
    for (size_t v = 0; v < 64 * STRIDE; v++)
        below[v] = number(stream);
    const uint64_t samples = kernels->momenta->nonzero(above);
    for (size_t n = 0; n < 64; n++)
        assert_int_equal(samples >> n & 1, above[n] != 0.0f);
    for (size_t i = 0; i + 64 <= STRIDE; i += 64) {
        generic()->momenta->add_outer(above, samples & signs, below + i, STRIDE, a + i);
        kernels->momenta->add_outer(above, samples & signs, below + i, STRIDE, b + i);
    }
    assert_memory_equal(a, b, sizeof a);
    uint32_t from[64];
    for (size_t e = 0; e < count; e++)
        from[e] = stream_next(stream) % (63 * STRIDE);
    generic()->momenta->gather(above, from, count, below, a);
    kernels->momenta->gather(above, from, count, below, b);
    assert_memory_equal(a, b, sizeof a);
    assert_true(kernels->momenta->squares(a, count) == generic()->momenta->squares(b, count));
    double squares = 0.0;
    for (size_t i = 0; i < count; i++)
        squares += (double)a[i] * (double)a[i];
    assert_true(fabs(kernels->momenta->squares(a, count) - squares) <= 1e-12 * squares);
}

/* By the rule one at a time, and that by what is said of it. */
static void check_covariances(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { MOST = 256 };
    const size_t count = (size_t)stream_between(stream, 1, MOST);
    const double share = 1.0 / (double)stream_between(stream, 2, 70000);
    const double above[2] = {(double)number(stream), (double)number(stream)};
    double first[MOST], second[MOST];
    float got[MOST + 1], wanted[MOST];
    got[count] = 7.0f;
    for (size_t i = 0; i < count; i++) {
        const double below[2] = {(double)number(stream), (double)number(stream)};
        first[i] = below[0];
        second[i] = below[1];
        got[i] = number(stream);
        wanted[i] = bnnep_covariance(got[i], bnnep_product_of_sums(above, below), share);
        assert_true(fabs((double)(got[i] - wanted[i]) - (above[1] * below[1] - above[0] * below[0]) * share) < 1e-6);
    }
    kernels->momenta->covariance(above, first, second, count, share, got);
    assert_memory_equal(got, wanted, count * sizeof *got);
    assert_true(got[count] == 7.0f);
}

/* Against the rule one by one; some momenta come to stand at the threshold exactly. */
static void compare_updates(const struct cpu_kernels *kernels, struct stream *stream) {
    const size_t count = (size_t)stream_between(stream, 1, 64);
    const bool extreme = stream_next(stream) % 4 == 0; /* steps without bounds */
    const struct bnnep_rule rule = {.decay = 0.75f,
                                    .gain = extreme ? 8.0f : 0.25f,
                                    .threshold = 0.5f,
                                    .at_threshold = stream_next(stream) % 2,
                                    .consolidation = stream_next(stream) % 2 ? 1.7f : 0.0f};
    const uint64_t signs = word_of(stream);
    float contrast[64], m[64], expected[64];
    for (size_t i = 0; i < 64; i++) {
        m[i] = extreme ? FLT_MAX : stream_next(stream) % 2 ? number(stream) : 0.5f;
        contrast[i] = extreme ? -FLT_MAX : m[i] != 0.5f ? number(stream) : stream_next(stream) % 2 ? 0.5f : -2.5f;
    }
    uint64_t flips = 0;
    for (size_t i = 0; i < 64; i++) {
        const float sign = signs >> i & 1 ? 1.0f : -1.0f;
        const float after = i < count ? bnnep_momentum(m[i], rule.decay, rule.gain, contrast[i]) : m[i];
        expected[i] = bnnep_consolidated(sign, m[i], after, rule.consolidation);
        assert_true(!isnan(expected[i]));
        if (i < count && bnnep_flips(sign, expected[i], rule.threshold, rule.at_threshold))
            flips |= UINT64_C(1) << i;
    }
    assert_int_equal(kernels->momenta->update(m, contrast, count, &rule, signs), flips);
    assert_memory_equal(m, expected, sizeof m);
}

/* A decay after the other, in so many momenta and in no more. */
static void check_fading(const struct cpu_kernels *kernels, struct stream *stream) {
    enum { MOST = 256 };
    const size_t count = (size_t)stream_between(stream, 1, MOST);
    const unsigned times = (unsigned)stream_between(stream, 0, 63);
    float m[MOST], before[MOST];
    for (size_t i = 0; i < MOST; i++)
        m[i] = before[i] = number(stream);
    kernels->momenta->decay(m, count, 0.999f, times);
    for (size_t i = 0; i < MOST; i++) {
        for (unsigned t = 0; t < times && i < count; t++)
            before[i] = 0.999f * before[i];
        assert_true(m[i] == before[i]);
    }
}

static void learning(void **state) {
    (void)state;
    on_each(compare_learning);
    on_each(check_covariances);
    on_each(compare_updates);
    on_each(check_fading);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(signed_sums), cmocka_unit_test(digits),
                                       cmocka_unit_test(states), cmocka_unit_test(learning)};
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
