/* SPDX-License-Identifier: MIT */
/* Real activations: how states move, and what pooling keeps. Arrays are [unit][LANES]. */
#include "backends/cpu/kernels/vectors.h"

void KERNEL(to_grid)(const float *restrict x, size_t count, float steps, int32_t *restrict whole) {
    for (size_t v = 0; v < count; v++)
        whole[v] = (int32_t)rintf(x[v] * steps);
}

void KERNEL(from_grid)(void *sums, size_t count, float steps) {
    const float step = 1.0f / steps;
    const int32_t *whole = sums;
    float *value = sums;
    for (size_t v = 0; v < count; v++)
        value[v] = (float)whole[v] * step;
}

/* Inlined twice, for where there is a grid and where there is none. */
static inline __attribute__((always_inline)) void move_units(float *restrict state, const float *restrict forward,
                                                             const float *restrict feedback, float scale, size_t units,
                                                             struct bnnep_grid grid, const float *restrict moving,
                                                             float *restrict change) {
    for (size_t j = 0; j < units; j++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = j * LANES + l;
            const float s = state[v], next = bnnep_on_grid(&grid, bnnep_clamp01(forward[v] + scale * feedback[v]));
            const float step = fabsf(next - s) * moving[l];
            change[l] = step > change[l] ? step : change[l];
            state[v] = moving[l] != 0.0f ? next : s;
        }
}

void KERNEL(move_hidden)(float *state, const float *forward, const float *feedback, float scale, size_t units,
                         const struct bnnep_grid *grid, const float *moving, float *change) {
    if (grid->steps == 0.0f)
        move_units(state, forward, feedback, scale, units, (struct bnnep_grid){.steps = 0.0f}, moving, change);
    else
        move_units(state, forward, feedback, scale, units, *grid, moving, change);
}

void KERNEL(scale_rows)(float *restrict value, float alpha, const float *restrict bias, size_t rows) {
    for (size_t j = 0; j < rows; j++)
        for (size_t l = 0; l < LANES; l++)
            value[j * LANES + l] = bnnep_forward(alpha, value[j * LANES + l], bias[j]);
}

typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t whole __attribute__((vector_size(VECTOR_BYTES)));
enum { WIDTH = VECTOR_BYTES / 4 };

void KERNEL(pool)(const float *sums, size_t pool, size_t stride, size_t row_stride, size_t rows, const float *alpha,
                  const float *bias, float *value, int32_t *place) {
    for (size_t o = 0; o < rows; o++)
        for (size_t l = 0; l < LANES; l += WIDTH) {
            const float *from = sums + o * LANES + l;
            floats best = {0};
            whole at = {0};
            for (int32_t q = 0, y = 0; y < (int32_t)pool; y++)
                for (size_t x = 0; x < pool; x++, q++) {
                    const floats sum = *(const floats *)(const void *)(from + (size_t)y * row_stride + x * stride);
                    const floats here = alpha[o] * sum + bias[o];
                    const whole better = q == 0 ? ~(whole){0} : here > best; /* the first maximum */
                    best = (floats)(((whole)here & better) | ((whole)best & ~better));
                    at = ((q - (whole){0}) & better) | (at & ~better);
                }
            *(floats *)(void *)(value + o * LANES + l) = best;
            *(whole *)(void *)(place + o * LANES + l) = at;
        }
}

void KERNEL(keep_places)(const int32_t *restrict place, size_t rows, const float *restrict moving,
                         int32_t *restrict kept) {
    int32_t takes[LANES];
    for (size_t l = 0; l < LANES; l++)
        takes[l] = moving[l] != 0.0f ? -1 : 0;
    for (size_t j = 0; j < rows; j++)
        for (size_t l = 0; l < LANES; l++)
            kept[j * LANES + l] = (place[j * LANES + l] & takes[l]) | (kept[j * LANES + l] & ~takes[l]);
}

void KERNEL(unpool)(const float *above, const int32_t *place, int32_t places, const float *alpha, size_t rows,
                    float *value) {
    for (size_t o = 0; o < rows; o++)
        for (size_t l = 0; l < LANES; l += WIDTH) {
            const size_t v = o * LANES + l;
            const whole a = (whole)(alpha[o] * *(const floats *)(const void *)(above + v));
            const whole at = *(const whole *)(const void *)(place + v);
            for (int32_t q = 0; q < places; q++)
                *(whole *)(void *)(value + (size_t)q * rows * LANES + v) = a & (at == q);
        }
}
