/* SPDX-License-Identifier: MIT */
/* The update of a layer of neurons with binary activations, 64 at a time: a word of activations. */
#include "backends/cpu/kernels/vectors.h"

#define WORD ((size_t)64)

/* Bit i of the result is the sign of on[i]. */
static inline uint64_t pack(const int32_t *on) {
    uint64_t word = 0;
#if defined(__AVX512DQ__)
    for (size_t i = 0; i < WORD; i += 16)
        word |= (uint64_t)_mm512_movepi32_mask(_mm512_loadu_si512(on + i)) << i;
#elif defined(__AVX2__)
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

static void forward_of_sums(size_t units, const int32_t *sums, float alpha, const float *bias, float *forward) {
    for (size_t i = 0; i < units; i++)
        forward[i] = bnnep_forward(alpha, (float)sums[i], bias[i]);
}

static void add_feedback(size_t units, const float *forward, const int32_t *sums, float alpha, float *pre) {
    for (size_t i = 0; i < units; i++)
        pre[i] = forward[i] + alpha * (float)sums[i];
}

static void add_feedback_f64(size_t units, const float *forward, const double *sums, float *pre) {
    for (size_t i = 0; i < units; i++)
        pre[i] = forward[i] + (float)sums[i];
}

/* 8 lanes: half of LANES, as sums in double come. */
typedef double lanes_f64 OF_BYTES(64);
typedef float lanes_f32 OF_BYTES(32);
typedef int32_t lanes_i32 OF_BYTES(32);

static void pool_f64(size_t channels, const double *sums, int32_t q, const float *alpha, const float *bias,
                     float *restrict largest, int32_t *restrict argmax) {
    const lanes_f64 *sum = (const lanes_f64 *)sums;
    lanes_i32 *best = (lanes_i32 *)largest, *place = (lanes_i32 *)argmax;
    for (size_t o = 0; o < channels; o++) {
        const lanes_f32 here = alpha[o] * __builtin_convertvector(sum[o], lanes_f32) + bias[o];
        const lanes_i32 better =
            q == 0 ? ~(lanes_i32){0} : (lanes_i32)(here > (lanes_f32)best[o]); /* bnnep_is_argmax */
        best[o] = ((lanes_i32)here & better) | (best[o] & ~better);
        place[o] = (q & better) | (place[o] & ~better);
    }
}

/* 16 channels at a time, so that the largest values so far stay in registers; from channel `first` on. */
INLINE void pool_some(size_t first, size_t channels, const int32_t *sums, const struct pooling *windows, float *value,
                      uint16_t *argmax) {
    const float *alpha = windows->alpha + first, *bias = windows->bias + first;
    float most[16] = {0.0f};
    int32_t at[16] = {0};
    for (size_t y = 0, q = 0; y < windows->pool; y++)
        for (size_t x = 0; x < windows->pool; x++, q++)
            for (size_t o = 0; o < channels; o++) {
                const int32_t sum = sums[first + y * windows->row_stride + x * windows->stride + o];
                const float here = bnnep_forward(alpha[o], (float)sum, bias[o]);
                const bool better = bnnep_is_argmax(q, here, most[o]);
                most[o] = better ? here : most[o];
                at[o] = better ? (int32_t)q : at[o];
            }
    for (size_t o = 0; o < channels; o++) {
        value[first + o] = most[o];
        argmax[first + o] = (uint16_t)at[o];
    }
}

static void pool_sums(size_t channels, const int32_t *sums, const struct pooling *windows, float *value,
                      uint16_t *argmax) {
    const struct pooling copy = *windows; /* which value and argmax cannot change */
    size_t o = 0;
    for (; o + 16 <= channels; o += 16)
        pool_some(o, 16, sums, &copy, value, argmax);
    if (o < channels)
        pool_some(o, channels - o, sums, &copy, value, argmax);
}

/* bnnep_clamp01: what is not above 1, nor below 0, stays as it is, -0 and NaN as well. */
static inline floats clamp(floats v) {
    return smaller(1.0f - (floats){0}, larger((floats){0}, v));
}

/* Arrays of a layer. */
struct layer {
    const float *pre, *target, *prediction;
    float *state;
    uint64_t *active;
};

/* One word of neurons, from neuron i on. Returns the activations. */
INLINE uint64_t move_word(const struct bnnep_neuron *neuron, const struct layer *layer, size_t i, floats *change) {
    const float *pre = layer->pre + i, *target = layer->target + i, *prediction = layer->prediction + i;
    float *state = layer->state + i;
    int32_t on[WORD];
    for (size_t v = 0; v < WORD; v += WIDTH) {
        float leaked[WIDTH];
        for (size_t l = 0; l < WIDTH; l++)
            leaked[l] = bnnep_leak(neuron, state[v + l], pre[v + l], target[v + l], prediction[v + l]);
        const floats before = load(state + v), after = clamp(load(leaked));
        store(state + v, after);
        *change = larger(magnitude(after - before), *change);
        const ints active = after - neuron->theta >= 0.0f; /* bnnep_activation */
        memcpy(on + v, &active, sizeof active);
    }
    return pack(on);
}

enum role { HIDDEN, FREE, NUDGED };

/* The loop without the branches that do not change inside it: `role` is known where this is inlined. */
INLINE float move(struct bnnep_neuron neuron, enum role role, size_t units, struct layer layer) {
    floats change = {0.0f};
    float largest = 0.0f;
    neuron.binary = neuron.fixed_prediction = true;
    neuron.output = role != HIDDEN;
    if (role != NUDGED)
        neuron.beta = 0.0f;
    else if (neuron.beta == 0.0f)
        __builtin_unreachable();
    for (size_t i = 0; i < units; i += WORD)
        layer.active[i / WORD] = move_word(&neuron, &layer, i, &change);
    if (units % WORD) /* no activation where there is no neuron */
        layer.active[units / WORD] &= (UINT64_C(1) << units % WORD) - 1;
    const part_floats halved =
        larger_part(load_part((const float *)&change), load_part((const float *)(&change + 1) - PART_WIDTH));
    for (size_t l = 0; l < PART_WIDTH; l++)
        largest = halved[l] > largest ? halved[l] : largest;
    return largest;
}

static float move_neurons(const struct bnnep_neuron *neuron, size_t units, const float *pre, const float *target,
                          const float *prediction, float *state, uint64_t *active) {
    const struct layer alone = {pre, state, state, state, active}; /* without a target */
    if (!neuron->output)
        return move(*neuron, HIDDEN, units, alone);
    if (neuron->beta == 0.0f)
        return move(*neuron, FREE, units, alone);
    return move(*neuron, NUDGED, units,
                (struct layer){pre, target, neuron->fixed_prediction ? prediction : state, state, active});
}

static void activations(size_t units, const float *state, float theta, uint64_t *active) {
    for (size_t i = 0; i < units; i += WORD) {
        int32_t on[WORD];
        for (size_t j = 0; j < WORD; j++)
            on[j] = bnnep_activation(true, theta, state[i + j]) != 0.0f ? -1 : 0;
        active[i / WORD] = pack(on);
    }
    if (units % WORD)
        active[units / WORD] &= (UINT64_C(1) << units % WORD) - 1;
}

static const struct neuron_kernels neuron_kernels = {
    .forward_of_sums = forward_of_sums,
    .add_feedback = add_feedback,
    .add_feedback_f64 = add_feedback_f64,
    .pool_f64 = pool_f64,
    .pool = pool_sums,
    .move = move_neurons,
    .activations = activations,
};
