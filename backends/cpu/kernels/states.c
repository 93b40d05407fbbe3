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

void KERNEL(pool)(const float *restrict sums, int32_t q, size_t rows, const float *restrict alpha,
                  const float *restrict bias, float *restrict value, int32_t *restrict place) {
    for (size_t o = 0; o < rows; o++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = o * LANES + l;
            const float here = bnnep_forward(alpha[o], sums[v], bias[o]);
            const bool better = q == 0 || here > value[v]; /* the first maximum */
            value[v] = better ? here : value[v];
            place[v] = better ? q : place[v];
        }
}

void KERNEL(unpool)(const float *restrict above, const int32_t *restrict place, int32_t q, const float *restrict alpha,
                    size_t rows, float *restrict value) {
    for (size_t o = 0; o < rows; o++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = o * LANES + l;
            const float a = alpha[o] * above[v];
            value[v] = place[v] == q ? a : 0.0f;
        }
}
