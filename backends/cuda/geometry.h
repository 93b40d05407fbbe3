/* SPDX-License-Identifier: MIT */
/* Where a convolution looks. */
#ifndef BNNEP_CUDA_GEOMETRY_H
#define BNNEP_CUDA_GEOMETRY_H

#include "backends/cuda/cuda.h"

namespace bnnep_cuda {

/* The input unit that column i of the sign matrix sees from place q of the window of pooled unit u, or -1 if that lies
 * in the padding. */
__device__ inline int seen_by(const shape &l, int i, int u, int q) {
    const int channel = i / (l.kernel * l.kernel), offset = i % (l.kernel * l.kernel);
    const bnnep_position at = bnnep_place_of(u, q, l.to_width, l.pool);
    const int y = static_cast<int>(at.y) + offset / l.kernel - l.padding;
    const int x = static_cast<int>(at.x) + offset % l.kernel - l.padding;
    if (y < 0 || x < 0 || y >= l.from_height || x >= l.from_width)
        return -1;
    return (channel * l.from_height + y) * l.from_width + x;
}

} // namespace bnnep_cuda

#endif
