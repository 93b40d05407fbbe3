/* SPDX-License-Identifier: MIT */
/* The peaks of one instruction set: that of the flags this file is compiled with, see CMakeLists.txt. */
#include "bench/bench.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* Registers: how wide, and how many chains they hold without spilling; few enough for -O3 to unroll the loops. */
#if defined(__AVX512F__)
enum { WIDTH = 64, CHAINS = 16 };
#elif defined(__AVX__)
enum { WIDTH = 32, CHAINS = 12 };
#elif defined(__aarch64__)
enum { WIDTH = 16, CHAINS = 16 };
#else
enum { WIDTH = 16, CHAINS = 12 };
#endif
enum { ROUNDS = 4096 };

typedef float float_vector __attribute__((vector_size(WIDTH)));
typedef uint64_t word_vector __attribute__((vector_size(WIDTH)));

/* Results go here, so that they are computed. */
static volatile uint64_t sink;

static void use(const void *value) {
    uint64_t word;
    memcpy(&word, value, sizeof word);
    sink = word;
}

/* Independent chains of sum = sum * x + y, enough of them to hide the latency; volatile, so that nothing is known when
 * this is compiled. */
static double multiply_adds(void) {
    volatile float half = 0.5f;
    const float_vector x = half - (float_vector){0}, y = 1.0f - x;
    float_vector sum[CHAINS], all = {0};
    for (int c = 0; c < CHAINS; c++)
        sum[c] = x + half * (float)c;
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = sum[c] * x + y;
    for (int c = 0; c < CHAINS; c++)
        all += sum[c];
    use(&all);
    const size_t lanes = WIDTH / sizeof(float);
    return (double)ROUNDS * CHAINS * (double)lanes;
}

/* Two operations a link; each chain takes in its neighbour, lest the compiler foresee the result. */
static double bit_logic(void) {
    volatile uint64_t pattern = 0x9e3779b97f4a7c15u;
    const word_vector x = pattern ^ (word_vector) { 0 };
    word_vector sum[CHAINS], all = {0};
    for (int c = 0; c < CHAINS; c++)
        sum[c] = x << (unsigned)c;
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            sum[c] = (sum[c] & sum[(c + 1) % CHAINS]) ^ x;
    for (int c = 0; c < CHAINS; c++)
        all += sum[c];
    use(&all);
    return 2.0 * ROUNDS * CHAINS * WIDTH * 8;
}

/* --- AND and count ------------------------------------------------------------------------------------------------ */

/* count(): bits set in each lane; add(): lanes, at most 31 counts each; widen(): their sums in lanes of 64 bits. */
#if defined(__AVX512VPOPCNTDQ__)
typedef __m512i bits;
static inline bits count(bits v) {
    return _mm512_popcnt_epi64(v);
}
static inline bits add(bits a, bits b) {
    return _mm512_add_epi64(a, b);
}
static inline bits widen(bits v) {
    return v;
}
#elif defined(__AVX2__)
typedef __m256i bits;
static inline bits count(bits v) {
    const bits ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2,
                                       3, 2, 3, 3, 4),
               nibble = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(ones, v & nibble),
                           _mm256_shuffle_epi8(ones, _mm256_srli_epi16(v, 4) & nibble));
}
static inline bits add(bits a, bits b) {
    return _mm256_add_epi8(a, b);
}
static inline bits widen(bits v) {
    return _mm256_sad_epu8(v, _mm256_setzero_si256());
}
#elif defined(__ARM_NEON)
typedef uint64x2_t bits;
static inline bits count(bits v) {
    return vreinterpretq_u64_u8(vcntq_u8(vreinterpretq_u8_u64(v)));
}
static inline bits add(bits a, bits b) {
    return vreinterpretq_u64_u8(vaddq_u8(vreinterpretq_u8_u64(a), vreinterpretq_u8_u64(b)));
}
static inline bits widen(bits v) {
    return vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vreinterpretq_u8_u64(v))));
}
#else
typedef uint64_t bits;
static inline bits count(bits v) {
    return (bits)__builtin_popcountll(v);
}
static inline bits add(bits a, bits b) {
    return a + b;
}
static inline bits widen(bits v) {
    return v;
}
#endif

enum { LENGTH = 31, PRODUCTS = 256 };

/* Two rows of weights with two samples, as a kernel would that loads each operand once for two products. */
static double bit_products(void) {
    volatile unsigned char pattern = 0x5a;
    bits row[2][LENGTH], sample[2][LENGTH], total[4];
    memset(row, pattern, sizeof row);
    memset(sample, pattern, sizeof sample);
    memset(total, 0, sizeof total);
    for (int p = 0; p < PRODUCTS; p++) {
        bits sum[4];
        memset(sum, 0, sizeof sum);
        row[0][p % LENGTH] ^= total[0]; /* so that each round is one of its own */
        for (size_t i = 0; i < LENGTH; i++)
            for (int j = 0; j < 4; j++)
                sum[j] = add(sum[j], count(row[j / 2][i] & sample[j % 2][i]));
        for (int j = 0; j < 4; j++)
            total[j] += widen(sum[j]);
    }
    for (int j = 0; j < 4; j++)
        use(&total[j]);
    return (double)PRODUCTS * LENGTH * 4 * sizeof(bits) * 8;
}

extern const struct limit_kernels LIMIT_KERNELS;
const struct limit_kernels LIMIT_KERNELS = {
    .name = LIMIT_NAME,
    .multiply_adds = multiply_adds,
    .bit_products = bit_products,
    .bit_logic = bit_logic,
};
