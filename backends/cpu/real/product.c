/* SPDX-License-Identifier: MIT */
/* Products of sign matrices with a tile of samples, 64 inputs at a time. */
#include <string.h>

#include "backends/cpu/real/real.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Some of out [outputs][LANES] from in [inputs][LANES] by panels [outputs], one for each 64 inputs. */
static void product(const struct cpu_network *net, const uint64_t *panels, size_t inputs, size_t outputs,
                    struct real_part part, const struct real_operand *in, float *out, struct real_scratch *scratch) {
    const size_t first = bnnep_real_first(part, outputs), some = bnnep_real_beyond(part, outputs) - first;
    float *sums = out + first * LANES;
    memset(sums, 0, some * LANES * sizeof *sums);
    for (size_t i = 0; i < inputs && some > 0; i += 64, panels += outputs) {
        const size_t groups = bnnep_real_tables(net, in, i, least(64, inputs - i), scratch);
        if (groups > 0)
            bnnep_real_add_signed(net, in, panels + first, some, groups, scratch, sums);
    }
    bnnep_real_finish_sums(net, in, sums, some * LANES);
}

void bnnep_real_up(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand below,
                   float *out, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    product(net, c->up, c->columns, c->rows, part, &below, out, scratch);
}

void bnnep_real_down(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand above,
                     float *out, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    product(net, c->down, c->rows, c->columns, part, &above, out, scratch);
}
