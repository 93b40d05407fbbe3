/* SPDX-License-Identifier: MIT */
/* Contrasts, momenta and flips. */
#include "backends/cpu/kernels/vectors.h"

enum { BLOCK = 64 / WIDTH }; /* vectors of 64 columns */

static uint64_t nonzero(const float *x) {
    uints found[2] = {{0}}; /* of each 32: lane l of vector v answers in bit v * WIDTH + l */
    for (size_t v = 0; v < BLOCK; v++) {
        uints bit;
        floats some;
        for (size_t l = 0; l < WIDTH; l++)
            bit[l] = UINT32_C(1) << (v * WIDTH + l) % 32;
        memcpy(&some, x + v * WIDTH, sizeof some);
        found[v * WIDTH / 32] |= (uints)(some != 0.0f) & bit;
    }
    uint64_t bits = 0;
    for (size_t l = 0; l < WIDTH; l++)
        bits |= (uint64_t)found[1][l] << 32 | found[0][l];
    return bits;
}

static void add_outer(const float *restrict above, uint64_t samples, const float *restrict below, size_t stride,
                      float *restrict G) {
    floats sum[BLOCK];
    for (size_t b = 0; b < BLOCK; b++)
        memcpy(&sum[b], G + b * WIDTH, sizeof sum[b]);
    for (; samples; samples &= samples - 1) {
        const size_t n = (size_t)__builtin_ctzll(samples);
        for (size_t b = 0; b < BLOCK; b++) {
            floats x;
            memcpy(&x, below + n * stride + b * WIDTH, sizeof x);
            sum[b] += above[n] * x;
        }
    }
    for (size_t b = 0; b < BLOCK; b++)
        memcpy(G + b * WIDTH, &sum[b], sizeof sum[b]);
}

static void gather(const float *restrict factor, const uint32_t *restrict from, size_t events,
                   const float *restrict map, float *restrict G) {
    floats sum[BLOCK];
    for (size_t b = 0; b < BLOCK; b++)
        memcpy(&sum[b], G + b * WIDTH, sizeof sum[b]);
    for (size_t e = 0; e < events; e++)
        for (size_t b = 0; b < BLOCK; b++) {
            floats x;
            memcpy(&x, map + from[e] + b * WIDTH, sizeof x);
            sum[b] += factor[e] * x;
        }
    for (size_t b = 0; b < BLOCK; b++)
        memcpy(G + b * WIDTH, &sum[b], sizeof sum[b]);
}

static void take_covariance(const double above[2], const double *restrict first, const double *restrict second,
                            size_t count, double share, float *restrict contrast) {
    for (size_t i = 0; i < count; i++) {
        const double below[2] = {first[i], second[i]};
        contrast[i] = bnnep_covariance(contrast[i], bnnep_product_of_sums(above, below), share);
    }
}

/* bnnep_consolidated. top: the sign of a float where W is positive. */
static floats consolidated(uints top, floats before, floats after, float consolidation) {
    const floats step = after - before, x = consolidation * before, square = x * x;
    const floats cosh = 1.0f + square * (0.5f + square * (1.0f / 24.0f));
    const uints holds = (uints)((floats)((uints)before ^ top) < 0.0f) & (uints)((floats)((uints)step ^ top) > 0.0f);
    const floats share = 1.0f / (cosh * cosh);
    const uints some = (uints)(share > 0.0f);
    const floats held = (floats)(((uints)(before + share * step) & some) | ((uints)before & ~some));
    return (floats)(((uints)held & holds) | ((uints)after & ~holds));
}

/* One by one. Bit i of `signs` tells the sign of W. */
static uint64_t update_some(float *restrict m, const float *restrict G, size_t first, size_t last,
                            const struct bnnep_rule *rule, uint64_t signs) {
    uint64_t flips = 0;
    for (size_t i = first; i < last; i++) {
        const float sign = signs >> i & 1 ? 1.0f : -1.0f, after = bnnep_momentum(m[i], rule->decay, rule->gain, G[i]);
        m[i] = bnnep_consolidated(sign, m[i], after, rule->consolidation);
        flips |= (uint64_t)bnnep_flips(sign, m[i], rule->threshold, rule->at_threshold) << i;
    }
    return flips;
}

/* consolidates: a constant where this is called, so that it costs nothing where it is not asked for. */
INLINE uint64_t update_all(float *restrict m, const float *restrict G, size_t count, const struct bnnep_rule *rule,
                           uint64_t signs, bool consolidates) {
    uints shift, any = {0};
    for (size_t l = 0; l < WIDTH; l++)
        shift[l] = (uint32_t)(31 - l);
    const floats threshold = rule->threshold - (floats){0};
    size_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        floats before, contrast;
        memcpy(&before, m + i, sizeof before);
        memcpy(&contrast, G + i, sizeof contrast);
        floats momentum = rule->decay * before + rule->gain * contrast;
        /* -sign * m: the bit of a positive weight goes to the place of the float's sign */
        const uints top = ((uint32_t)(signs >> i) - (uints){0}) << shift & 0x80000000u;
        if (consolidates)
            momentum = consolidated(top, before, momentum, rule->consolidation);
        memcpy(m + i, &momentum, sizeof momentum);
        const floats pull = (floats)((uints)momentum ^ top);
        any |= rule->at_threshold ? (uints)(pull >= threshold) : (uints)(pull > threshold);
    }
    uint64_t flips = update_some(m, G, i, count, rule, signs);
    uint32_t some = 0;
    for (size_t l = 0; l < WIDTH; l++)
        some |= any[l];
    for (size_t j = 0; some && j < i; j++) { /* rare */
        const float sign = signs >> j & 1 ? 1.0f : -1.0f;
        flips |= (uint64_t)bnnep_flips(sign, m[j], rule->threshold, rule->at_threshold) << j;
    }
    return flips;
}

static uint64_t update(float *restrict m, const float *restrict G, size_t count, const struct bnnep_rule *rule,
                       uint64_t signs) {
    return rule->consolidation != 0.0f ? update_all(m, G, count, rule, signs, true)
                                       : update_all(m, G, count, rule, signs, false);
}

/* Strands that a compiler can make vectors of, whatever their width: the same bits everywhere. */
static double squares(const float *G, size_t count) {
    enum { STRANDS = 16 };
    double sum[STRANDS] = {0.0}, all = 0.0;
    size_t i = 0;
    for (; i + STRANDS <= count; i += STRANDS)
        for (size_t s = 0; s < STRANDS; s++)
            sum[s] += (double)G[i + s] * (double)G[i + s];
    for (size_t s = 0; i + s < count; s++)
        sum[s] += (double)G[i + s] * (double)G[i + s];
    for (size_t s = 0; s < STRANDS; s++)
        all += sum[s];
    return all;
}

static void decay_lazily(float *m, size_t count, float decay, unsigned times) {
    size_t i = 0;
    for (; i + 64 <= count; i += 64) {
        floats some[BLOCK];
        memcpy(some, m + i, sizeof some);
        for (unsigned t = 0; t < times; t++)
            for (size_t b = 0; b < BLOCK; b++)
                some[b] *= decay;
        memcpy(m + i, some, sizeof some);
    }
    for (; i < count; i++)
        for (unsigned t = 0; t < times; t++)
            m[i] *= decay;
}

static const struct momentum_kernels momentum_kernels = {
    .nonzero = nonzero,
    .add_outer = add_outer,
    .gather = gather,
    .covariance = take_covariance,
    .update = update,
    .squares = squares,
    .decay = decay_lazily,
};
