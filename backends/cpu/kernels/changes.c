/* SPDX-License-Identifier: MIT */
/* How units tell their changes, in digits; arrays are [unit][LANES], digits packed as in digit_sums.c. */
#include "backends/cpu/kernels/vectors.h"

#define PART (VECTOR_BYTES < 32 ? 16 : 32)
typedef float floats __attribute__((vector_size(PART)));
typedef int32_t words __attribute__((vector_size(PART)));
typedef float loose __attribute__((vector_size(PART), aligned(4))); /* one that lies anywhere */
enum { WIDTH = PART / 4, HALF = LANES / 2 };

static inline floats load(const float *from) {
    return *(const loose *)(const void *)from;
}

static inline void store(float *to, floats v) {
    *(loose *)(void *)to = v;
}

static inline floats magnitude(floats v) {
    return (floats)((words)v & INT32_MAX);
}

static inline floats either(words condition, floats yes, floats no) {
    return (floats)(((words)yes & condition) | ((words)no & ~condition));
}

static inline floats larger(floats a, floats b) {
    return either(a > b, a, b);
}

void KERNEL(largest_change)(const float *x, const float *told, size_t units, float *largest) {
    for (size_t l = 0; l < LANES; l += WIDTH) {
        floats most = load(largest + l);
        for (size_t v = l; v < units * LANES; v += LANES)
            most = larger(magnitude(load(x + v) - load(told + v)), most);
        store(largest + l, most);
    }
}

/* A digit of WIDTH lanes of one unit, in the low half of each word; told moves by as many steps. */
static inline __attribute__((always_inline)) words
tell_lanes(const float *x, float *told, const struct bnnep_digit_steps *s, size_t l, floats *left) {
    /* The sum with this number has the nearest integer in its lowest bits. */
    const floats shift = 0x1.8p23f - (floats){0};
    const floats change = load(x + l) - load(told + l), steps = change * load(s->per_step + l);
    const floats rounded = (steps + shift) - shift, most = (float)MOST_DIGIT - (floats){0};
    const floats within = either(rounded > most, most, either(rounded < -most, -most, rounded));
    const floats digit = either(magnitude(steps) < load(s->least + l), (floats){0}, within);
    const floats now = load(told + l) + digit * load(s->step + l);
    store(told + l, now);
    *left = larger(magnitude(load(x + l) - now), *left);
    return (words)(digit + shift) & 0xffff;
}

void KERNEL(tell)(const float *x, float *told, size_t units, const struct bnnep_digit_steps *s, int32_t *digits,
                  float *left) {
    for (size_t i = 0; i < HALF; i += WIDTH) {
        floats low_left = load(left + i), high_left = load(left + HALF + i);
        for (size_t j = 0; j < units; j++) {
            const words low = tell_lanes(x + j * LANES, told + j * LANES, s, i, &low_left);
            const words high = tell_lanes(x + j * LANES, told + j * LANES, s, HALF + i, &high_left);
            *(words *)(void *)(digits + j * HALF + i) = low | high << 16;
        }
        store(left + i, low_left);
        store(left + HALF + i, high_left);
    }
}

void KERNEL(take_digits)(const int32_t *restrict sums, size_t units, const float *restrict step, float *restrict kept) {
    for (size_t j = 0; j < units; j++)
        for (size_t l = 0; l < LANES; l++)
            kept[j * LANES + l] += step[l] * (float)sums[j * LANES + l];
}
