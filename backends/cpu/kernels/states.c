/* SPDX-License-Identifier: MIT */
/* Real activations: how states move, and what pooling keeps. Arrays are [unit][LANES]. */
#include "backends/cpu/kernels/vectors.h"

/* Inlined for where there is a grid or none, and strides or none. */
INLINE void move_units(float *restrict state, struct pull pull, size_t units, struct bnnep_neuron neuron,
                       const float *restrict moving, const float *restrict stride, float *restrict change) {
    const float *restrict forward = pull.forward, *restrict feedback = pull.feedback;
    for (size_t j = 0; j < units; j++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = j * LANES + l;
            const float s = state[v], rho = bnnep_rho(&neuron, forward[v] + pull.scale * feedback[v]);
            const float reached = stride ? bnnep_go(s, rho, stride[l]) : rho;
            const float next = bnnep_on_grid(&neuron.grid, reached), step = fabsf(next - s) * moving[l];
            change[l] = step > change[l] ? step : change[l];
            state[v] = moving[l] != 0.0f ? next : s;
        }
}

static void move_hidden(float *state, const struct pull *pull, size_t units, const struct bnnep_neuron *neuron,
                        const float *moving, const float *stride, float *change) {
    struct bnnep_neuron off_grid = *neuron;
    off_grid.grid = (struct bnnep_grid){.steps = 0.0f};
    if (neuron->grid.steps != 0.0f && stride)
        move_units(state, *pull, units, *neuron, moving, stride, change);
    else if (neuron->grid.steps != 0.0f)
        move_units(state, *pull, units, *neuron, moving, NULL, change);
    else if (stride)
        move_units(state, *pull, units, off_grid, moving, stride, change);
    else
        move_units(state, *pull, units, off_grid, moving, NULL, change);
}

static void scale_rows(const float *sums, float alpha, const float *bias, size_t rows, float *value) {
    for (size_t j = 0; j < rows; j++)
        for (size_t l = 0; l < LANES; l++)
            value[j * LANES + l] = bnnep_forward(alpha, sums[j * LANES + l], bias[j]);
}

static void pool(const float *sums, const struct pooling *windows, size_t rows, float *value, int32_t *argmax) {
    const size_t size = windows->pool;
    for (size_t o = 0; o < rows; o++)
        for (size_t l = 0; l < LANES; l += WIDTH) {
            const float *from = sums + o * LANES + l;
            floats best = {0};
            ints at = {0};
            for (int32_t q = 0, y = 0; y < (int32_t)size; y++)
                for (size_t x = 0; x < size; x++, q++) {
                    const floats sum = *(const floats *)(from + (size_t)y * windows->row_stride + x * windows->stride);
                    const floats here = windows->alpha[o] * sum + windows->bias[o];
                    const ints better = q == 0 ? ~(ints){0} : (ints)(here > best); /* bnnep_is_argmax */
                    best = select(better, here, best);
                    at = select_ints(better, q - (ints){0}, at);
                }
            *(floats *)(value + o * LANES + l) = best;
            *(ints *)(argmax + o * LANES + l) = at;
        }
}

static void keep_argmax(const int32_t *restrict argmax, size_t rows, const float *restrict moving,
                        int32_t *restrict kept) {
    int32_t takes[LANES];
    for (size_t l = 0; l < LANES; l++)
        takes[l] = moving[l] != 0.0f ? -1 : 0;
    for (size_t j = 0; j < rows; j++)
        for (size_t l = 0; l < LANES; l++)
            kept[j * LANES + l] = (argmax[j * LANES + l] & takes[l]) | (kept[j * LANES + l] & ~takes[l]);
}

static void unpool(const float *above, const int32_t *argmax, int32_t places, const float *alpha, size_t rows,
                   float *value) {
    for (size_t o = 0; o < rows; o++)
        for (size_t l = 0; l < LANES; l += WIDTH) {
            const size_t v = o * LANES + l;
            const ints a = (ints)(alpha[o] * *(const floats *)(above + v)), at = *(const ints *)(argmax + v);
            for (int32_t q = 0; q < places; q++)
                *(ints *)(value + (size_t)q * rows * LANES + v) = a & (at == q);
        }
}

static const struct state_kernels state_kernels = {
    .move_hidden = move_hidden,
    .scale_rows = scale_rows,
    .pool = pool,
    .keep_argmax = keep_argmax,
    .unpool = unpool,
};
