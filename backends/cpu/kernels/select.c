/* SPDX-License-Identifier: MIT */
/* Which kernels run on this machine. */
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels/kernels.h"

extern const struct cpu_kernels bnnep_kernels_generic;
#if defined(__x86_64__)
extern const struct cpu_kernels bnnep_kernels_avx2, bnnep_kernels_avx512;
#elif defined(__aarch64__)
extern const struct cpu_kernels bnnep_kernels_neon;
#endif

const struct cpu_kernels *bnnep_runnable_kernels(size_t i) {
    const struct cpu_kernels *runnable[4] = {NULL};
    size_t count = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        runnable[count++] = &bnnep_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
        runnable[count++] = &bnnep_kernels_avx2;
#elif defined(__aarch64__)
    runnable[count++] = &bnnep_kernels_neon;
#endif
    runnable[count++] = &bnnep_kernels_generic;
    return i < count ? runnable[i] : NULL;
}

const struct cpu_kernels *bnnep_select_kernels(void) {
    const char *wanted = getenv("BNNEP_CPU");
    const struct cpu_kernels *kernels;
    for (size_t i = 0; wanted && (kernels = bnnep_runnable_kernels(i)); i++)
        if (strcmp(kernels->name, wanted) == 0)
            return kernels;
    return bnnep_runnable_kernels(0);
}
