/* SPDX-License-Identifier: MIT */
/* Products of sign matrices with a tile of samples, 64 inputs at a time. */
#include <string.h>

#include "backends/cpu/real/real.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* out [outputs][LANES] from in [inputs][LANES] by panels [outputs], one for each 64 inputs. */
static void product(const struct cpu_kernels *kernels, const uint64_t *panels, size_t inputs, size_t outputs,
                    const float *in, float *out, void *tables) {
    memset(out, 0, outputs * LANES * sizeof *out);
    for (size_t i = 0; i < inputs; i += 64, panels += outputs) {
        const size_t groups = kernels->tables(in + i * LANES, least(64, inputs - i), tables);
        kernels->add_signed(panels, 1, outputs, groups, tables, out);
    }
}

void bnnep_real_up(const struct cpu_kernels *kernels, const struct cpu_connection *c, const float *below, float *out,
                   void *tables) {
    product(kernels, c->up, c->columns, c->rows, below, out, tables);
}

void bnnep_real_down(const struct cpu_kernels *kernels, const struct cpu_connection *c, const float *above, float *out,
                     void *tables) {
    product(kernels, c->down, c->rows, c->columns, above, out, tables);
}
