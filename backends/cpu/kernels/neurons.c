/* SPDX-License-Identifier: MIT */
/* The update of a layer of neurons with binary activations, 64 at a time: a word of activations. */
#include <string.h>

#include "backends/cpu/kernels/vectors.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define WORD ((size_t)64)

/* Bit i of the result is the sign of on[i]. */
static inline uint64_t pack(const int32_t *on) {
    uint64_t word = 0;
#if defined(__AVX2__)
    for (size_t i = 0; i < WORD; i += 8)
        word |= (uint64_t)(unsigned)_mm256_movemask_ps(_mm256_loadu_ps((const float *)(const void *)(on + i))) << i;
#elif defined(__SSE2__)
    for (size_t i = 0; i < WORD; i += 4)
        word |= (uint64_t)(unsigned)_mm_movemask_ps(_mm_loadu_ps((const float *)(const void *)(on + i))) << i;
#else
    for (size_t i = 0; i < WORD; i++)
        word |= (uint64_t)(on[i] < 0) << i;
#endif
    return word;
}

void KERNEL(forward_of_sums)(size_t units, const int32_t *sums, float alpha, const float *bias, float *forward) {
    for (size_t i = 0; i < units; i++)
        forward[i] = bnnep_forward(alpha, (float)sums[i], bias[i]);
}

void KERNEL(add_feedback)(size_t units, const float *forward, const int32_t *sums, float alpha, float *pre) {
    for (size_t i = 0; i < units; i++)
        pre[i] = forward[i] + alpha * (float)sums[i];
}

void KERNEL(add_feedback_exact)(size_t units, const float *forward, const double *sums, float *pre) {
    for (size_t i = 0; i < units; i++)
        pre[i] = forward[i] + (float)sums[i];
}

/* 8 lanes: half of LANES, as sums in double come. */
typedef double exact_lanes __attribute__((vector_size(64)));
typedef float lanes __attribute__((vector_size(32)));
typedef int32_t places __attribute__((vector_size(32)));

void KERNEL(pool_exact)(size_t channels, const double *sums, int32_t q, const float *alpha, const float *bias,
                        float *restrict largest, int32_t *restrict at) {
    const exact_lanes *sum = (const exact_lanes *)(const void *)sums;
    places *best = (places *)(void *)largest, *place = (places *)(void *)at;
    for (size_t o = 0; o < channels; o++) {
        const lanes here = alpha[o] * __builtin_convertvector(sum[o], lanes) + bias[o];
        const places better = q == 0 ? ~(places){0} : here > (lanes)best[o]; /* the first maximum */
        best[o] = ((places)here & better) | (best[o] & ~better);
        place[o] = (q & better) | (place[o] & ~better);
    }
}

/* 16 channels at a time, so that the largest values so far stay in registers. */
static inline __attribute__((always_inline)) void pool_some(size_t channels, const int32_t *sums, size_t pool,
                                                            size_t stride, size_t row_stride, const float *alpha,
                                                            const float *bias, float *value, uint16_t *place) {
    float largest[16];
    int32_t at[16];
    for (size_t y = 0, q = 0; y < pool; y++)
        for (size_t x = 0; x < pool; x++, q++)
            for (size_t o = 0; o < channels; o++) {
                const float here = bnnep_forward(alpha[o], (float)sums[y * row_stride + x * stride + o], bias[o]);
                const bool better = q == 0 || here > largest[o]; /* the first maximum */
                largest[o] = better ? here : largest[o];
                at[o] = better ? (int32_t)q : at[o];
            }
    for (size_t o = 0; o < channels; o++) {
        value[o] = largest[o];
        place[o] = (uint16_t)at[o];
    }
}

void KERNEL(pool_sums)(size_t channels, const int32_t *sums, size_t pool, size_t stride, size_t row_stride,
                       const float *alpha, const float *bias, float *value, uint16_t *place) {
    size_t o = 0;
    for (; o + 16 <= channels; o += 16)
        pool_some(16, sums + o, pool, stride, row_stride, alpha + o, bias + o, value + o, place + o);
    if (o < channels)
        pool_some(channels - o, sums + o, pool, stride, row_stride, alpha + o, bias + o, value + o, place + o);
}

typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t whole __attribute__((vector_size(VECTOR_BYTES)));
enum { WIDTH = VECTOR_BYTES / 4 };

/* bnnep_clamp01, which compilers do not make two instructions of. */
static inline floats clamp(floats v) {
    const whole above = (whole)v & ~(v < 0.0f), beyond = v > 1.0f;
    return (floats)((above & ~beyond) | ((whole)(1.0f - (floats){0}) & beyond));
}

/* One word of neurons. Returns the activations. */
static inline __attribute__((always_inline)) uint64_t move_word(const struct bnnep_neuron *neuron, const float *pre,
                                                                const float *target, const float *prediction,
                                                                float *state, floats *change) {
    int32_t on[WORD];
    for (size_t i = 0; i < WORD; i += WIDTH) {
        float leaked[WIDTH];
        for (size_t l = 0; l < WIDTH; l++)
            leaked[l] = bnnep_leak(neuron, state[i + l], pre[i + l], target[i + l], prediction[i + l]);
        floats before, after;
        memcpy(&after, leaked, sizeof after);
        memcpy(&before, state + i, sizeof before);
        after = clamp(after);
        memcpy(state + i, &after, sizeof after);
        const floats step = (floats)((whole)(after - before) & INT32_MAX);
        const whole larger = step > *change;
        *change = (floats)(((whole)step & larger) | ((whole)*change & ~larger));
        const whole active = after - neuron->theta >= 0.0f; /* bnnep_activation */
        memcpy(on + i, &active, sizeof active);
    }
    return pack(on);
}

enum role { HIDDEN, FREE, NUDGED };

/* The loop without the branches that do not change inside it: `role` is known where this is inlined. */
static inline __attribute__((always_inline)) float move(struct bnnep_neuron neuron, enum role role, size_t units,
                                                        const float *pre, const float *target, const float *prediction,
                                                        float *state, uint64_t *active) {
    floats change = {0.0f};
    float largest = 0.0f;
    neuron.binary = neuron.fixed_prediction = true;
    neuron.output = role != HIDDEN;
    if (role != NUDGED)
        neuron.beta = 0.0f;
    else if (neuron.beta == 0.0f)
        __builtin_unreachable();
    for (size_t i = 0; i < units; i += WORD)
        active[i / WORD] = move_word(&neuron, pre + i, role == NUDGED ? target + i : state + i,
                                     role == NUDGED ? prediction + i : state + i, state + i, &change);
    if (units % WORD) /* no activation where there is no neuron */
        active[units / WORD] &= (UINT64_C(1) << units % WORD) - 1;
    for (size_t l = 0; l < WIDTH; l++)
        largest = change[l] > largest ? change[l] : largest;
    return largest;
}

float KERNEL(move_neurons)(const struct bnnep_neuron *neuron, size_t units, const float *pre, const float *target,
                           const float *prediction, float *state, uint64_t *active) {
    if (!neuron->output)
        return move(*neuron, HIDDEN, units, pre, NULL, NULL, state, active);
    if (neuron->beta == 0.0f)
        return move(*neuron, FREE, units, pre, NULL, NULL, state, active);
    return move(*neuron, NUDGED, units, pre, target, neuron->fixed_prediction ? prediction : state, state, active);
}

void KERNEL(activations)(size_t units, const float *state, float theta, uint64_t *active) {
    for (size_t i = 0; i < units; i += WORD) {
        int32_t on[WORD];
        for (size_t j = 0; j < WORD; j++)
            on[j] = bnnep_activation(true, theta, state[i + j]) != 0.0f ? -1 : 0;
        active[i / WORD] = pack(on);
    }
    if (units % WORD)
        active[units / WORD] &= (UINT64_C(1) << units % WORD) - 1;
}
