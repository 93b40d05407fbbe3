/* SPDX-License-Identifier: MIT */
/* Contrasts, momenta and flips. */
#include "backends/cpu/kernels/vectors.h"

typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES)));
enum { WIDTH = VECTOR_BYTES / 4, BLOCK = 64 / WIDTH };

/* 64 columns at a time stay in registers while the samples go by. */
static void add_block(const float *factor, const size_t *from, size_t samples, const float *restrict below,
                      float *restrict G) {
    floats sum[BLOCK];
    for (size_t b = 0; b < BLOCK; b++)
        __builtin_memcpy(&sum[b], G + b * WIDTH, sizeof sum[b]);
    for (size_t n = 0; n < samples; n++)
        for (size_t b = 0; b < BLOCK; b++) {
            floats x;
            __builtin_memcpy(&x, below + from[n] + b * WIDTH, sizeof x);
            sum[b] += factor[n] * x;
        }
    for (size_t b = 0; b < BLOCK; b++)
        __builtin_memcpy(G + b * WIDTH, &sum[b], sizeof sum[b]);
}

void KERNEL(add_outer)(const float *above, const float *below, size_t stride, size_t columns, float *G) {
    float factor[LANES];
    size_t from[LANES], samples = 0; /* many are 0: units that rest at 0 or 1 */
    for (size_t l = 0; l < LANES; l++) {
        factor[samples] = above[l];
        from[samples] = l * stride;
        samples += above[l] != 0.0f;
    }
    for (size_t i = 0; samples > 0 && i < columns; i += 64)
        add_block(factor, from, samples, below + i, G + i);
}

void KERNEL(add_scaled)(double *restrict to, const double *restrict from, double factor, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] += factor * from[i];
}

/* One by one. Bit i of `signs` tells the sign of W. */
static uint64_t turn_some(float *restrict m, const float *restrict G, size_t first, size_t last,
                          const struct bnnep_rule *rule, bool at_threshold, uint64_t signs) {
    uint64_t flips = 0;
    for (size_t i = first; i < last; i++) {
        m[i] = bnnep_momentum(m[i], rule->decay, rule->gain, G[i]);
        const float sign = signs >> i & 1 ? 1.0f : -1.0f;
        flips |= (uint64_t)bnnep_flips(sign, m[i], rule->threshold, at_threshold) << i;
    }
    return flips;
}

uint64_t KERNEL(turn)(float *restrict m, const float *restrict G, size_t count, const struct bnnep_rule *rule,
                      bool at_threshold, uint64_t signs) {
    words shift, any = {0};
    for (size_t l = 0; l < WIDTH; l++)
        shift[l] = (uint32_t)(31 - l);
    const floats threshold = rule->threshold - (floats){0};
    size_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        floats momentum, contrast;
        __builtin_memcpy(&momentum, m + i, sizeof momentum);
        __builtin_memcpy(&contrast, G + i, sizeof contrast);
        momentum = rule->decay * momentum + rule->gain * contrast;
        __builtin_memcpy(m + i, &momentum, sizeof momentum);
        /* -sign * m: the bit of a positive weight goes to the place of the float's sign */
        const words top = ((uint32_t)(signs >> i) - (words){0}) << shift & 0x80000000u;
        const floats pull = (floats)((words)momentum ^ top);
        any |= at_threshold ? (words)(pull >= threshold) : (words)(pull > threshold);
    }
    uint64_t flips = turn_some(m, G, i, count, rule, at_threshold, signs);
    uint32_t some = 0;
    for (size_t l = 0; l < WIDTH; l++)
        some |= any[l];
    for (size_t j = 0; some && j < i; j++) { /* rare */
        const float sign = signs >> j & 1 ? 1.0f : -1.0f;
        flips |= (uint64_t)bnnep_flips(sign, m[j], rule->threshold, at_threshold) << j;
    }
    return flips;
}
