/* SPDX-License-Identifier: MIT */
/* Vectors of this instruction set, which the files of kernels share: types, selection, loads. */
#ifndef BNNEP_VECTORS_H
#define BNNEP_VECTORS_H

#include <string.h>

#include "backends/cpu/kernels/kernels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(BNNEP_VECTOR_BYTES)
#define VECTOR_BYTES BNNEP_VECTOR_BYTES /* given by a test */
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
/* Of vectors that are better not longer than this. */
#define PART_BYTES (VECTOR_BYTES < 32 ? 16 : 32)

/* Vectors of sums that are in registers at a time. */
#define SUMS ((size_t)8)

#define INLINE static inline __attribute__((always_inline))
/* A vector may be read as one of another type. */
#define OF_BYTES(bytes) __attribute__((vector_size(bytes), may_alias))

typedef float floats OF_BYTES(VECTOR_BYTES);
typedef int32_t ints OF_BYTES(VECTOR_BYTES);
typedef uint32_t uints OF_BYTES(VECTOR_BYTES);
enum { WIDTH = VECTOR_BYTES / 4 };

typedef float part_floats OF_BYTES(PART_BYTES);
typedef int32_t part_ints OF_BYTES(PART_BYTES);
typedef uint32_t part_uints OF_BYTES(PART_BYTES);
typedef int16_t part_shorts OF_BYTES(PART_BYTES);
typedef uint64_t part_longs OF_BYTES(PART_BYTES);
typedef uint8_t part_bytes OF_BYTES(PART_BYTES);
enum { PART_WIDTH = PART_BYTES / 4 };

/* Vectors from and to where they may lie anywhere. */
INLINE floats load(const float *from) {
    floats v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, floats v) {
    memcpy(to, &v, sizeof v);
}

INLINE part_floats load_part(const float *from) {
    part_floats v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store_part(float *to, part_floats v) {
    memcpy(to, &v, sizeof v);
}

/* Lane by lane: yes where the condition is -1, no where it is 0. */
INLINE floats select(ints condition, floats yes, floats no) {
    return (floats)(((ints)yes & condition) | ((ints)no & ~condition));
}

INLINE ints select_ints(ints condition, ints yes, ints no) {
    return (yes & condition) | (no & ~condition);
}

INLINE part_floats select_part(part_ints condition, part_floats yes, part_floats no) {
    return (part_floats)(((part_ints)yes & condition) | ((part_ints)no & ~condition));
}

INLINE floats magnitude(floats v) {
    return (floats)((ints)v & INT32_MAX);
}

INLINE part_floats magnitude_part(part_floats v) {
    return (part_floats)((part_ints)v & INT32_MAX);
}

/* a > b ? a : b, and a < b ? a : b, which x86 has instructions for and compilers do not find. */
#if defined(__SSE2__) && !defined(BNNEP_VECTOR_BYTES)
#if defined(__AVX512F__)
#define X86(operation) _mm512_##operation
#define X86_PART(operation) _mm256_##operation
#elif defined(__AVX2__)
#define X86(operation) _mm256_##operation
#define X86_PART(operation) _mm256_##operation
#else
#define X86(operation) _mm_##operation
#define X86_PART(operation) _mm_##operation
#endif
INLINE floats larger(floats a, floats b) {
    return (floats)X86(max_ps)(a, b);
}
INLINE floats smaller(floats a, floats b) {
    return (floats)X86(min_ps)(a, b);
}
INLINE part_floats larger_part(part_floats a, part_floats b) {
    return (part_floats)X86_PART(max_ps)(a, b);
}
INLINE part_floats smaller_part(part_floats a, part_floats b) {
    return (part_floats)X86_PART(min_ps)(a, b);
}
#else
INLINE floats larger(floats a, floats b) {
    return select(a > b, a, b);
}
INLINE floats smaller(floats a, floats b) {
    return select(a < b, a, b);
}
INLINE part_floats larger_part(part_floats a, part_floats b) {
    return select_part(a > b, a, b);
}
INLINE part_floats smaller_part(part_floats a, part_floats b) {
    return select_part(a < b, a, b);
}
#endif

/* Bit by bit, the sum of three and what it carries. */
INLINE part_longs sum_bits(part_longs a, part_longs b, part_longs c) {
#if defined(__AVX512VL__)
    return (part_longs)_mm256_ternarylogic_epi64((__m256i)a, (__m256i)b, (__m256i)c, 0x96);
#else
    return a ^ b ^ c;
#endif
}

INLINE part_longs carry_bits(part_longs a, part_longs b, part_longs c) {
#if defined(__AVX512VL__)
    return (part_longs)_mm256_ternarylogic_epi64((__m256i)a, (__m256i)b, (__m256i)c, 0xe8);
#else
    return (a & b) | ((a ^ b) & c);
#endif
}

/* Keeps a vector's operations in the order in which they are written, where it matters to the cache. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(BNNEP_VECTOR_BYTES)
#define IN_ORDER(vector) __asm__ volatile("" : "+x"(vector))
#elif defined(__GNUC__) && defined(__aarch64__) && !defined(BNNEP_VECTOR_BYTES)
#define IN_ORDER(vector) __asm__ volatile("" : "+w"(vector))
#else
#define IN_ORDER(vector) ((void)0)
#endif

#endif
