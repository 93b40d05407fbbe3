/* SPDX-License-Identifier: MIT */
/* Products of sign matrices with a tile of samples, 64 inputs at a time. */
#include <string.h>

#include "backends/cpu/real/connection.h"

/* Sign matrix as panels of words [outputs], one for each 64 inputs. */
struct panels {
    const uint64_t *words;
    size_t inputs, outputs;
};

static void product(const struct cpu_network *net, struct panels of, struct real_part part,
                    const struct real_operand *operand, void *all_sums, struct real_scratch *scratch) {
    const size_t first = bnnep_real_first(part, of.outputs), some = bnnep_real_beyond(part, of.outputs) - first;
    const size_t row_bytes = LANES * sizeof(float); /* all sums are numbers of 4 bytes */
    const struct arithmetic *in = operand->in;
    const char *x = operand->x;
    char *sums = (char *)all_sums + first * row_bytes;
    memset(sums, 0, some * row_bytes);
    for (size_t i = 0; i < of.inputs && some > 0; i += 64, x += 64 * in->unit_bytes, of.words += of.outputs) {
        const size_t inputs = of.inputs - i < 64 ? of.inputs - i : 64;
        const size_t groups = in->tables(x, inputs, scratch->bytes, net->model->grid.steps, scratch->tables);
        if (groups > 0)
            in->add(of.words + first, some, groups, scratch->bytes, scratch->tables, sums);
    }
    in->finish(sums, some * LANES, net->model->grid.steps);
}

void bnnep_real_up(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand below,
                   void *sums, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    product(net, (struct panels){c->up, c->columns, c->rows}, part, &below, sums, scratch);
}

void bnnep_real_down(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand above,
                     void *sums, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    product(net, (struct panels){c->down, c->rows, c->columns}, part, &above, sums, scratch);
}
