/* SPDX-License-Identifier: MIT */
#ifndef BNNEP_KERNEL_LIST_H
#define BNNEP_KERNEL_LIST_H

#include "backends/cpu/kernels/kernels.h"

/* Table number i to test, or NULL: those that run on this machine, and one with vectors of 64 bytes that the compiler
 * takes apart, so that AVX-512's text is tried where the machine lacks it. */
const struct cpu_kernels *tested_kernels(size_t i);

#endif
