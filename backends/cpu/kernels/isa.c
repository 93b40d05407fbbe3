/* SPDX-License-Identifier: MIT */
/* All kernels of one instruction set, BNNEP_ISA; compiled once for each. A new file of kernels is named here. */
#include "backends/cpu/kernels/vectors.h"

/* NOLINTBEGIN(bugprone-suspicious-include): what they define is static, and meant for this unit */
#include "backends/cpu/kernels/counts.c"
#include "backends/cpu/kernels/delta.c"
#include "backends/cpu/kernels/lut.c"
#include "backends/cpu/kernels/lut_i16.c"
#include "backends/cpu/kernels/momenta.c"
#include "backends/cpu/kernels/neurons.c"
#include "backends/cpu/kernels/states.c"
/* NOLINTEND(bugprone-suspicious-include) */

#define BNNEP_TEXT_(x) #x
#define BNNEP_TEXT(x) BNNEP_TEXT_(x)
#define BNNEP_JOIN_(a, b) a##b
#define BNNEP_JOIN(a, b) BNNEP_JOIN_(a, b)
#define KERNELS BNNEP_JOIN(bnnep_kernels_, BNNEP_ISA)

extern const struct cpu_kernels KERNELS;
const struct cpu_kernels KERNELS = {
    .name = BNNEP_TEXT(BNNEP_ISA),
    .halves = VECTOR_BYTES < ENTRY_BYTES,
    .f32 = &lut_f32,
    .i32 = &lut_i32,
    .i16 = &lut_i16,
    .digits = &lut_digits,
    .f64 = &lut_f64,
    .states = &state_kernels,
    .delta = &delta_kernels,
    .momenta = &momentum_kernels,
    .counts = &count_kernels,
    .neurons = &neuron_kernels,
};
