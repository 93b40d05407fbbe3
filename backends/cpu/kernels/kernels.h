/* SPDX-License-Identifier: MIT */
/*
 * The innermost loops of the cpu backend, compiled once for every instruction set from the same text and picked when
 * a network is made. All of them give the same bits: lanes are independent, and the order of additions is written down.
 */
#ifndef BNNEP_KERNELS_H
#define BNNEP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "backends/rules.h"

/* Samples that go through a network of real activations side by side. */
#define LANES ((size_t)16)

/* Tables of the 16 signed sums of 4 inputs: 16 groups of 4 are served by one word of weights. */
#define GROUP ((size_t)4)
#define GROUPS ((size_t)16)
#define TABLE_BYTES (GROUPS * 16 * 64)

struct cpu_kernels {
    const char *name;

    /* Tables for `inputs` (at most 64) inputs, x [inputs][LANES]. Returns how many groups there are. */
    size_t (*tables)(const float *x, size_t inputs, void *tables);
    /* out[j][LANES] += sum of the groups' signed inputs by the word words[j * stride], j < rows. */
    void (*add_signed)(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables,
                       float *out);
    /* The same with sums in double, 8 lanes at a time. */
    size_t (*tables_exact)(const double *x, size_t inputs, void *tables);
    void (*add_signed_exact)(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables,
                             double *out);
};

/* The best table for this machine; the environment's BNNEP_CPU (generic, avx2, avx512, neon) overrides it where that
 * one can run. */
const struct cpu_kernels *bnnep_select_kernels(void);
/* Table number i of those that can run here, or NULL: for tests. */
const struct cpu_kernels *bnnep_runnable_kernels(size_t i);

/* bnnep_<name>_<instruction set> */
#define BNNEP_JOIN_(a, b, c) a##b##_##c
#define BNNEP_JOIN(a, b, c) BNNEP_JOIN_(a, b, c)
#define KERNEL(name) BNNEP_JOIN(bnnep_, name, BNNEP_ISA)

#endif
