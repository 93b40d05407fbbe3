/* SPDX-License-Identifier: MIT */
/*
 * The innermost loops of the cpu backend, compiled once for every instruction set from the same text and picked when
 * a network is made. All of them give the same bits: lanes are independent, and the order of additions is written down.
 */
#ifndef BNNEP_KERNELS_H
#define BNNEP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "backends/rules.h"

/* Samples that go through a network of real activations side by side. */
#define LANES ((size_t)16)

/* Tables of the 32 signed sums of 5 inputs, 13 of them for the 64 inputs of a word of weights: as much as the
 * first-level cache holds. An entry is LANES floats or integers, or half as many doubles. */
#define GROUP ((size_t)5)
#define GROUPS ((size_t)13)
#define ENTRIES ((size_t)1 << GROUP)
#define ENTRY_BYTES ((size_t)64) /* 2^6 */
#define TABLE_BYTES (GROUPS * ENTRIES * ENTRY_BYTES)

/* The same for digits, integers of up to 9 bits and a sign, 64 of which sum to 16 bits. */
#define DIGIT_GROUP ((size_t)6)
#define DIGIT_ENTRIES ((size_t)1 << DIGIT_GROUP)
#define DIGIT_ENTRY_BYTES (LANES * sizeof(int16_t))
#define MOST_DIGIT 511

/* How a digit is taken from what has not been told yet, in each lane. */
struct bnnep_digit_steps {
    float step[LANES];     /* what 1 stands for, a power of 2 */
    float per_step[LANES]; /* 1 / step, or 0 for a lane that tells nothing */
    float least[LANES];    /* fewer steps than these are not told */
};

/* Bits of a panel: a vector of weights that share a row (up) or a column (down). */
#define PANEL ((size_t)256)
#define PANEL_WORDS (PANEL / 64)

struct cpu_kernels {
    const char *name;

    /* Tables for `inputs` (at most 64) inputs, x [inputs][LANES]. Returns how many groups there are. */
    size_t (*tables)(const float *x, size_t inputs, size_t bytes, void *tables);
    /* out[j][LANES] += sum of the groups' signed inputs by the word words[j * stride], j < rows. */
    void (*add_signed)(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes,
                       const void *tables, float *out);
    /* The same with sums in double, LANES / 2 lanes at a time. */
    size_t (*tables_exact)(const double *x, size_t inputs, size_t bytes, void *tables);
    void (*add_signed_exact)(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes,
                             const void *tables, double *out);

    /* out[j] <- the bits of words[j * stride] that the mask has, moved together; j < count. */
    void (*extract)(const uint64_t *words, size_t stride, size_t count, uint64_t mask, uint64_t *out);

    /* The same with sums of integers: steps of a grid. */
    size_t (*tables_whole)(const int32_t *x, size_t inputs, size_t bytes, void *tables);
    void (*add_signed_whole)(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes,
                             const void *tables, int32_t *out);

    /* The same with digits [inputs][LANES / 2], two lanes to a word; 0 groups if all are 0. sums is [rows][LANES]. */
    size_t (*digit_tables)(const int32_t *digits, size_t inputs, void *tables);
    void (*add_digits)(const uint64_t *words, size_t rows, size_t groups, const void *tables, int32_t *sums);

    /* --- real activations; arrays are [unit][LANES] --- */
    /* largest is raised to the largest |x - told| of each lane. */
    void (*largest_change)(const float *x, const float *told, size_t units, float *largest);
    /* digits [units][LANES / 2] <- (x - told) / step, the nearest digits; told += step * digit; left is raised to the
     * largest |x - told| that stays. |x - told| is at most 2^20 steps. */
    void (*tell)(const float *x, float *told, size_t units, const struct bnnep_digit_steps *steps, int32_t *digits,
                 float *left);
    /* kept += step * sums */
    void (*take_digits)(const int32_t *sums, size_t units, const float *step, float *kept);
    /* whole <- x in steps of a grid, the nearest; and integers back to floats, in place. */
    void (*to_grid)(const float *x, size_t count, float steps, int32_t *whole);
    void (*from_grid)(void *sums, size_t count, float steps);
    /* state <- clamp(forward + scale * feedback), on the grid if there is one, in the lanes where moving is 1;
     * change[LANES] is raised to the largest step. */
    void (*move_hidden)(float *state, const float *forward, const float *feedback, float scale, size_t units,
                        const struct bnnep_grid *grid, const float *moving, float *change);
    /* value <- alpha * value + bias */
    void (*scale_rows)(float *value, float alpha, const float *bias, size_t rows);
    /* Pooling windows of all rows: value and place take the largest alpha * sums + bias of pool x pool places, which
     * are stride apart, or row_stride from one row to the next. */
    void (*pool)(const float *sums, size_t pool, size_t stride, size_t row_stride, size_t rows, const float *alpha,
                 const float *bias, float *value, int32_t *place);
    /* kept <- place in the lanes where moving is 1. */
    void (*keep_places)(const int32_t *place, size_t rows, const float *moving, int32_t *kept);
    /* value [places][rows][LANES]: alpha * above where the place is this one, 0 elsewhere. */
    void (*unpool)(const float *above, const int32_t *place, int32_t places, const float *alpha, size_t rows,
                   float *value);

    /* --- learning --- */
    /* Bit n: x[n] is not 0; n < 64. */
    uint64_t (*nonzero)(const float *x);
    /* 64 columns: G[i] += sum over the samples n, bits of a word, of above[n] * below[n * stride + i]. */
    void (*add_outer)(const float *above, uint64_t samples, const float *below, size_t stride, float *G);
    /* 64 columns: G[i] += sum over the events e of factor[e] * map[from[e] + i]. */
    void (*gather)(const float *factor, const uint32_t *from, size_t events, const float *map, float *G);
    /* Momenta of up to 64 weights take in the contrast G; returns which of them flip. Bit i of signs: W_i > 0. */
    uint64_t (*turn)(float *momentum, const float *G, size_t count, const struct bnnep_rule *rule, bool at_threshold,
                     uint64_t signs);

    /* m *= decay, so many times, for momenta without contrast. */
    void (*fade)(float *momentum, size_t count, float decay, unsigned times);

    /* --- binary activations --- */
    /* Neurons that switched on (ups) and off (downs): sums[i] += sum over ups of sign i of their vectors of `panel`,
     * [neuron][PANEL_WORDS], minus that over downs; i < outputs <= PANEL. outputs is rounded up to a multiple of 32. */
    void (*counts)(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                   size_t down_count, size_t outputs, int32_t *sums);
    /* forward = alpha sums + bias;  pre = forward + alpha sums, or where the sums have their alphas in them already. */
    void (*forward_of_sums)(size_t units, const int32_t *sums, float alpha, const float *bias, float *forward);
    void (*add_feedback)(size_t units, const float *forward, const int32_t *sums, float alpha, float *pre);
    void (*add_feedback_exact)(size_t units, const float *forward, const double *sums, float *pre);
    /* Place q of a pooling window for sums [channel][LANES / 2] of inputs: largest and at take it where alpha * sums +
     * bias is the largest so far. */
    void (*pool_exact)(size_t channels, const double *sums, int32_t q, const float *alpha, const float *bias,
                       float *largest, int32_t *at);
    /* fwd_k of one pooling window of each channel, and its argmax: positions are `stride` apart, or `row_stride`. */
    void (*pool_sums)(size_t channels, const int32_t *sums, size_t pool, size_t stride, size_t row_stride,
                      const float *alpha, const float *bias, float *value, uint16_t *place);
    /* sums += alpha * counts, or contrast = (counts + signs) / 2: how many more of `signs` signs were +1. Both leave
     * zeros, for the next ones. */
    void (*take_counts)(int32_t *counts, size_t outputs, double alpha, double *sums);
    void (*take_contrast)(int32_t *counts, size_t outputs, int32_t signs, float *contrast);
    /* One step of a layer; returns the largest change of a state. target and prediction are those of an output. Arrays
     * of floats are padded to whole words of 64 units; `active` gets bits. */
    float (*move_neurons)(const struct bnnep_neuron *neuron, size_t units, const float *pre, const float *target,
                          const float *prediction, float *state, uint64_t *active);
    void (*activations)(size_t units, const float *state, float theta, uint64_t *active);
};

/* The best table for this machine; the environment's BNNEP_CPU (generic, avx2, avx512, neon) overrides it where that
 * one can run. */
const struct cpu_kernels *bnnep_select_kernels(void);
/* Table number i of those that can run here, or NULL: for tests. */
const struct cpu_kernels *bnnep_runnable_kernels(size_t i);

/* bnnep_<name>_<instruction set> */
#define BNNEP_JOIN_(a, b, c) a##b##_##c
#define BNNEP_JOIN(a, b, c) BNNEP_JOIN_(a, b, c)
#define KERNEL(name) BNNEP_JOIN(bnnep_, name, BNNEP_ISA)

#endif
