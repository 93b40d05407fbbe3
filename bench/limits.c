/* SPDX-License-Identifier: MIT */
/* What the machine can do with some threads at once: the best of several tries, and of the instruction sets it has. */
#include "bench/bench.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/program.h"

enum { TRIES = 3 };
#define SECONDS 0.1 /* a try */

extern const struct limit_kernels limit_kernels_generic;
#if defined(__x86_64__)
extern const struct limit_kernels limit_kernels_avx2, limit_kernels_avx512, limit_kernels_vpopcntdq;
#endif

static bool can_run(const struct limit_kernels *kernels) {
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f");
    if (kernels == &limit_kernels_avx2)
        return avx2;
    if (kernels == &limit_kernels_avx512)
        return avx512;
    if (kernels == &limit_kernels_vpopcntdq)
        return avx512 && __builtin_cpu_supports("avx512vpopcntdq");
#endif
    return kernels == &limit_kernels_generic;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

/* One thread of a try: a kernel over and over, or if there is none a copy from one array to another. */
struct runner {
    pthread_t thread;
    pthread_barrier_t *start;
    double (*kernel)(void);
    char *from, *to;
    size_t bytes;
    double rate; /* a second */
};

static double work_once(const struct runner *r) {
    if (r->kernel)
        return r->kernel();
    memcpy(r->to, r->from, r->bytes);
    return 2.0 * (double)r->bytes;
}

static void *run(void *arg) {
    struct runner *r = arg;
    if (!r->kernel)
        memset(r->from, 1, r->bytes); /* the pages come near the thread */
    work_once(r);
    pthread_barrier_wait(r->start);
    const double started = now();
    double done = 0.0, seconds;
    do {
        done += work_once(r);
        seconds = now() - started;
    } while (seconds < SECONDS);
    r->rate = done / seconds;
    return NULL;
}

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", program_name, what);
    exit(1);
}

/* All threads at once: each the kernel, or its part of the copy. */
static double try_once(int threads, double (*kernel)(void), char *from, char *to, size_t bytes) {
    struct runner *runners = calloc((size_t)threads, sizeof *runners);
    const size_t part = bytes / (size_t)threads;
    pthread_barrier_t start;
    double rate = 0.0;
    if (!runners || pthread_barrier_init(&start, NULL, (unsigned)threads))
        die("out of memory");
    for (int t = 0; t < threads; t++) {
        struct runner *r = &runners[t];
        *r = (struct runner){.start = &start, .kernel = kernel, .bytes = part};
        if (!kernel) {
            r->from = from + (size_t)t * part;
            r->to = to + (size_t)t * part;
        }
        if (pthread_create(&r->thread, NULL, run, r))
            die("cannot make so many threads");
    }
    for (int t = 0; t < threads; t++) {
        pthread_join(runners[t].thread, NULL);
        rate += runners[t].rate;
    }
    pthread_barrier_destroy(&start);
    free(runners);
    return rate;
}

static double peak_of(int threads, double (*kernel)(void)) {
    double best = 0.0;
    for (int i = 0; i < TRIES; i++)
        best = fmax(best, try_once(threads, kernel, NULL, NULL, 0));
    return best;
}

/* Arrays four times as large as the last cache, from 128 to 256 MiB. */
static size_t bytes_to_copy(void) {
    const size_t least = (size_t)128 << 20, most = (size_t)256 << 20;
    long cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    const size_t bytes = cache > 0 ? 4 * (size_t)cache : 0;
    return bytes < least ? least : bytes > most ? most : bytes;
}

static double copy_bandwidth(int threads) {
    const size_t bytes = bytes_to_copy();
    char *from = malloc(bytes), *to = malloc(bytes);
    double best = 0.0;
    if (!from || !to)
        die("out of memory for the arrays to copy");
    for (int i = 0; i < TRIES; i++)
        best = fmax(best, try_once(threads, NULL, from, to, bytes));
    free(from);
    free(to);
    return best;
}

struct limits measure_limits(int threads) {
    static const struct limit_kernels *const all[] = {
        &limit_kernels_generic,
#if defined(__x86_64__)
        &limit_kernels_avx2,
        &limit_kernels_avx512,
        &limit_kernels_vpopcntdq,
#endif
    };
    struct limits limits = {.copy = copy_bandwidth(threads)};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!can_run(all[i]))
            continue;
        limits.multiply_adds = fmax(limits.multiply_adds, peak_of(threads, all[i]->multiply_adds));
        limits.bit_products = fmax(limits.bit_products, peak_of(threads, all[i]->bit_products));
        limits.bit_logic = fmax(limits.bit_logic, peak_of(threads, all[i]->bit_logic));
    }
    return limits;
}
