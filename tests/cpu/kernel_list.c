/* SPDX-License-Identifier: MIT */
#include "kernel_list.h"

extern const struct cpu_kernels bnnep_kernels_wide;

const struct cpu_kernels *tested_kernels(size_t i) {
    return i == 0 ? &bnnep_kernels_wide : bnnep_runnable_kernels(i - 1);
}
