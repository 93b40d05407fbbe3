/* SPDX-License-Identifier: MIT */
/* What a kernel file needs: the width of this instruction set's vectors, and what its functions are called. */
#ifndef BNNEP_VECTORS_H
#define BNNEP_VECTORS_H

#include "backends/cpu/kernels/kernels.h"

#if defined(BNNEP_VECTOR_BYTES)
#define VECTOR_BYTES BNNEP_VECTOR_BYTES /* given by a test */
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

/* Keeps a vector's operations in the order in which they are written, where it matters to the cache. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(BNNEP_VECTOR_BYTES)
#define IN_ORDER(vector) __asm__ volatile("" : "+x"(vector))
#elif defined(__GNUC__) && defined(__aarch64__) && !defined(BNNEP_VECTOR_BYTES)
#define IN_ORDER(vector) __asm__ volatile("" : "+w"(vector))
#else
#define IN_ORDER(vector) ((void)0)
#endif

#include "backends/cpu/kernels/declare.h"

#endif
