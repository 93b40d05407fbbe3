/* SPDX-License-Identifier: MIT */
/*
 * The innermost loops of the cpu backend, compiled once for every instruction set from the same text and picked when
 * a network is made. All of them give the same bits: lanes are independent, and the order of additions is written down.
 *
 * Each file of kernels ends with the table of what it has to offer; isa.c puts the tables of an instruction set
 * together.
 */
#ifndef BNNEP_KERNELS_H
#define BNNEP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bnnep/backend.h>
#include <bnnep/rules.h>

/* Samples that go through a network of real activations side by side. */
#define LANES ((size_t)16)

/* Bits of a panel: a vector of weights that share a row (up) or a column (down). */
#define PANEL ((size_t)256)
#define PANEL_WORDS (PANEL / 64)

/* --- sums of inputs with the signs of a weight matrix: lut.h, lut_i16.c ------------------------------------------- */

/* A look-up table of the 32 signed sums of 5 inputs serves all rows of the weights; 13 of them hold the 64 inputs of a
 * word of weights, as much as the first-level cache. An entry is LANES numbers of 4 bytes, or half as many of 8. */
#define GROUP ((size_t)5)
#define GROUPS ((size_t)13)
#define ENTRIES ((size_t)1 << GROUP)
#define ENTRY_BYTES ((size_t)64) /* 2^6 */
#define TABLE_BYTES (GROUPS * ENTRIES * ENTRY_BYTES)

/* Of 16-bit digits: 64 entries of 6 inputs. Digits have up to 9 bits and a sign, so that 64 of them sum to 16 bits.
 * States of up to 1 on a grid of so many steps are summed up as digits too, 60 at a time. */
#define DIGIT_GROUP ((size_t)6)
#define DIGIT_ENTRIES ((size_t)1 << DIGIT_GROUP)
#define DIGIT_ENTRY_BYTES (LANES * sizeof(int16_t))
#define MOST_DIGIT 511
#define COARSE_STEPS 512.0f

/* Signed sums in one type of number. */
struct arithmetic {
    size_t unit_bytes; /* of an operand's unit, all lanes of it */
    /* Tables for up to 64 inputs, [input][unit_bytes]; only the first `bytes` of each entry, a half or all of it.
     * Returns how many groups there are; where all inputs are known to be 0, none. steps: of the grid, if the operand
     * is rounded to one. */
    size_t (*tables)(const void *x, size_t inputs, size_t bytes, float steps, void *tables);
    /* sums[j] += the groups' signed inputs by the bits of words[j], j < rows. */
    void (*add)(const uint64_t *words, size_t rows, size_t groups, size_t bytes, const void *tables, void *sums);
    /* Sums, `count` numbers, become float32 where they lie, unless their users take them as they are. */
    void (*finish)(void *sums, size_t count, float steps);
};

/* --- real activations; arrays are [unit][LANES]: states.c --------------------------------------------------------- */

/* What a layer is pulled by: forward + scale * feedback. */
struct pull {
    const float *forward, *feedback;
    float scale;
};

/* A pooling window of each of some rows: pool x pool places, `stride` numbers apart, or row_stride from one row of the
 * window to the next. */
struct pooling {
    size_t pool, stride, row_stride;
    const float *alpha, *bias; /* [rows] */
};

struct state_kernels {
    /* state goes stride[LANES] of the way (NULL: all of it) to rho(pull), on the grid if there is one, in the lanes
     * where moving is 1; change[LANES] is raised to the largest step. */
    void (*move_hidden)(float *state, const struct pull *pull, size_t units, const struct bnnep_neuron *neuron,
                        const float *moving, const float *stride, float *change);
    /* value <- alpha * sums + bias; they may be the same array. */
    void (*scale_rows)(const float *sums, float alpha, const float *bias, size_t rows, float *value);
    /* value and argmax take the largest alpha * sums + bias of each window. */
    void (*pool)(const float *sums, const struct pooling *windows, size_t rows, float *value, int32_t *argmax);
    /* kept <- argmax in the lanes where moving is 1. */
    void (*keep_argmax)(const int32_t *argmax, size_t rows, const float *moving, int32_t *kept);
    /* value [places][rows][LANES]: alpha * above at the argmax, 0 elsewhere. */
    void (*unpool)(const float *above, const int32_t *argmax, int32_t places, const float *alpha, size_t rows,
                   float *value);
};

/* --- delta coding: delta.c ---------------------------------------------------------------------------------------- */

/* How a digit is taken from what has not been sent yet, in each lane. */
struct digit_steps {
    float step[LANES];     /* what 1 stands for, a power of 2 */
    float per_step[LANES]; /* 1 / step, or 0 for a lane that sends nothing */
    float least[LANES];    /* fewer steps than these are not sent */
};

struct delta_kernels {
    /* largest is raised to the largest |x - sent| of each lane. */
    void (*largest_change)(const float *x, const float *sent, size_t units, float *largest);
    /* digits [units][LANES / 2] <- (x - sent) / step, the nearest digits; sent += step * digit; left is raised to the
     * largest |x - sent| that stays. |x - sent| is at most 2^20 steps. */
    void (*encode)(const float *x, float *sent, size_t units, const struct digit_steps *steps, int32_t *digits,
                   float *left);
    /* kept += step * sums */
    void (*accumulate)(const int32_t *sums, size_t units, const float *step, float *kept);
};

/* --- learning: momenta.c ------------------------------------------------------------------------------------------ */

struct momentum_kernels {
    /* Bit n: x[n] is not 0; n < 64. */
    uint64_t (*nonzero)(const float *x);
    /* 64 columns: G[i] += sum over the samples n, bits of a word, of above[n] * below[n * stride + i]. */
    void (*add_outer)(const float *above, uint64_t samples, const float *below, size_t stride, float *G);
    /* 64 columns: G[i] += sum over the events e of factor[e] * map[from[e] + i]. */
    void (*gather)(const float *factor, const uint32_t *from, size_t events, const float *map, float *G);
    /* Contrasts of products become those of covariances, by what the batch adds up to after the first and the second
     * phase: above[0] and above[1], and below. share: 1 / samples. */
    void (*covariance)(const double above[2], const double *first, const double *second, size_t count, double share,
                       float *contrast);
    /* Momenta of up to 64 weights take in the contrast G; returns which of them flip. Bit i of signs: W_i > 0. */
    uint64_t (*update)(float *momentum, const float *G, size_t count, const struct bnnep_rule *rule, uint64_t signs);
    /* Sum of the squares of so many contrasts. */
    double (*squares)(const float *G, size_t count);
    /* m *= decay, so many times, for momenta without contrast. */
    void (*decay)(float *momentum, size_t count, float decay, unsigned times);
};

/* --- binary activations: counts.c, neurons.c, extract.c ----------------------------------------------------------- */

struct count_kernels {
    /* Neurons that switched on (ups) and off (downs): sums[i] += sum over ups of sign i of their vectors of `panel`,
     * [neuron][PANEL_WORDS], minus that over downs; i < outputs <= PANEL. outputs is rounded up to a multiple of 32. */
    void (*counts)(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                   size_t down_count, size_t outputs, int32_t *sums);
    /* sums += alpha * counts, or contrast = (counts + signs) / 2: how many more of `signs` signs were +1. Both leave
     * zeros, for the next ones. */
    void (*add_counts)(int32_t *counts, size_t outputs, double alpha, double *sums);
    void (*contrast)(int32_t *counts, size_t outputs, int32_t signs, float *contrast);
    /* out[j] <- the bits of words[j * stride] that the mask has, moved together; j < count. */
    void (*extract)(const uint64_t *words, size_t stride, size_t count, uint64_t mask, uint64_t *out);
};

struct neuron_kernels {
    /* forward = alpha sums + bias;  pre = forward + alpha sums, or where the sums have their alphas in them already. */
    void (*forward_of_sums)(size_t units, const int32_t *sums, float alpha, const float *bias, float *forward);
    void (*add_feedback)(size_t units, const float *forward, const int32_t *sums, float alpha, float *pre);
    void (*add_feedback_f64)(size_t units, const float *forward, const double *sums, float *pre);
    /* Place q of a pooling window for sums [channel][LANES / 2] of inputs: largest and argmax take it where
     * alpha * sums + bias is the largest so far. */
    void (*pool_f64)(size_t channels, const double *sums, int32_t q, const float *alpha, const float *bias,
                     float *largest, int32_t *argmax);
    /* fwd_k of one pooling window of each channel, and its argmax. */
    void (*pool)(size_t channels, const int32_t *sums, const struct pooling *windows, float *value, uint16_t *argmax);
    /* One step of a layer; returns the largest change of a state. target and prediction are those of an output. Arrays
     * of floats are padded to whole words of 64 units; `active` gets bits. */
    float (*move)(const struct bnnep_neuron *neuron, size_t units, const float *pre, const float *target,
                  const float *prediction, float *state, uint64_t *active);
    void (*activations)(size_t units, const float *state, float theta, uint64_t *active);
};

/* --- all of an instruction set ------------------------------------------------------------------------------------ */

struct cpu_kernels {
    const char *name;
    bool halves; /* sums of half a tile take less time than those of a whole one, being half as many vectors */
    const struct arithmetic *f32;       /* activations */
    const struct arithmetic *i32, *i16; /* those on a grid, in steps of it; hidden ones on a coarse grid */
    const struct arithmetic *digits;    /* packed */
    const struct arithmetic *f64;       /* inputs of binary networks, LANES / 2 at a time */
    const struct state_kernels *states;
    const struct delta_kernels *delta;
    const struct momentum_kernels *momenta;
    const struct count_kernels *counts;
    const struct neuron_kernels *neurons;
};

/* The best table for this machine; the environment's BNNEP_CPU (generic, avx2, avx512, neon) overrides it where that
 * one can run. */
const struct cpu_kernels *bnnep_select_kernels(void);
/* Table number i of those that can run here, or NULL: for tests. */
const struct cpu_kernels *bnnep_runnable_kernels(size_t i);

#endif
