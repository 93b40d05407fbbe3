/* SPDX-License-Identifier: MIT */
/* What sums become where they lie. */
#ifndef BNNEP_FINISH_H
#define BNNEP_FINISH_H

#include "backends/cpu/kernels/kernels.h"

/* The sums are what their users take. */
static void leave(void *sums, size_t count, float steps) {
    (void)sums, (void)count, (void)steps;
}

/* Steps of a grid become floats. */
static void grid_finish(void *sums, size_t count, float steps) {
    const float step = 1.0f / steps;
    const int32_t *whole = sums;
    float *value = sums;
    for (size_t v = 0; v < count; v++)
        value[v] = (float)whole[v] * step;
}

#endif
