/* SPDX-License-Identifier: MIT */
/* Sums of inputs with the signs of a weight matrix, through look-up tables shared by all rows. */
#include "backends/cpu/kernels/finish.h"
#include "backends/cpu/kernels/vectors.h"

#define ELEMENT float
#define NAME(x) f32_##x
#include "backends/cpu/kernels/lut.h"

#define ELEMENT double
#define NAME(x) f64_##x
#include "backends/cpu/kernels/lut.h"

#define ELEMENT int32_t
#define NAME(x) i32_##x
#include "backends/cpu/kernels/lut.h"

/* Floats in steps of a grid, the nearest. */
static size_t grid_tables(const void *x, size_t inputs, size_t bytes, float steps, void *tables) {
    const float *from = x;
    int32_t whole[64 * LANES] __attribute__((aligned(64)));
    for (size_t v = 0; v < inputs * LANES; v++)
        whole[v] = (int32_t)rintf(from[v] * steps);
    return i32_tables(whole, inputs, bytes, steps, tables);
}

static const struct arithmetic lut_f32 = {LANES * sizeof(float), f32_tables, f32_add, leave};
static const struct arithmetic lut_f64 = {LANES / 2 * sizeof(double), f64_tables, f64_add, leave};
static const struct arithmetic lut_i32 = {LANES * sizeof(float), grid_tables, i32_add, grid_finish};
