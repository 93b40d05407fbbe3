/* SPDX-License-Identifier: MIT */
/* The learning rule on weights that are kept as bits: momenta, and which signs flip (bnnep_momentum, bnnep_flips). */
#include <math.h>

#include "backends/cpu/cpu.h"

/* Flips one weight in both forms. */
static void flip(const struct cpu_connection *c, size_t row, size_t part, size_t i) {
    bnnep_cpu_up_word(c, part, i)[row * c->words] ^= UINT64_C(1) << i % 64;
    bnnep_cpu_down_word(c, row)[(part * c->inner + i) * c->words] ^= UINT64_C(1) << row % 64;
}

/* Up to 64 weights of a row, whose bits are `signs`; which of them flip. */
static uint64_t update_word(const struct cpu_kernels *kernels, float *momentum, const float *G, size_t count,
                            const struct bnnep_rule *rule, float alpha, uint64_t signs) {
    if (alpha != 0.0f)
        return kernels->momenta->update(momentum, G, count, rule, alpha > 0.0f ? signs : ~signs);
    /* W = 0 pulls with 0. */
    struct bnnep_rule never = *rule;
    never.threshold = INFINITY;
    never.at_threshold = false;
    kernels->momenta->update(momentum, G, count, &never, signs);
    return bnnep_flips(0.0f, 1.0f, rule->threshold, rule->at_threshold) ? ~UINT64_C(0) >> (64 - count) : 0;
}

uint64_t bnnep_cpu_update(const struct cpu_network *net, size_t k, const struct cpu_weights *which,
                          const struct bnnep_rule *rule, const float *G, float *momentum) {
    const struct cpu_connection *c = &net->connection[k];
    const float alpha = c->alpha[net->model->links[k].scales == 1 ? 0 : which->row];
    uint64_t flipped = 0;
    momentum += which->row * c->columns + which->part * c->inner + which->first;
    for (size_t done = 0; done < which->count; done += 64) {
        const size_t i = which->first + done, some = which->count - done < 64 ? which->count - done : 64;
        const uint64_t signs = bnnep_cpu_up_word(c, which->part, i)[which->row * c->words];
        uint64_t flips = update_word(net->kernels, momentum + done, G + done, some, rule, alpha, signs);
        for (; flips; flips &= flips - 1, flipped++)
            flip(c, which->row, which->part, i + (size_t)__builtin_ctzll(flips));
    }
    return flipped;
}
