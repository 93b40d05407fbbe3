/* SPDX-License-Identifier: MIT */
/* The learning rule on weights that are kept as bits: momenta, and which signs flip (bnnep_momentum, bnnep_flips). */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

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

static uint64_t update_weights(const struct cpu_network *net, size_t k, const struct cpu_weights *which,
                               const struct bnnep_rule *rule, const float *G, float *momentum) {
    const struct cpu_connection *c = &net->connection[k];
    const float alpha = c->alpha[net->model->links[k]->scales == 1 ? 0 : which->row];
    uint64_t flipped = 0;
    for (size_t done = 0; done < which->count; done += 64) {
        const size_t i = which->first + done, some = which->count - done < 64 ? which->count - done : 64;
        const uint64_t signs = bnnep_cpu_up_word(c, which->part, i)[which->row * c->words];
        uint64_t flips = update_word(net->kernels, momentum + done, G + done, some, rule, alpha, signs);
        for (; flips; flips &= flips - 1, flipped++)
            flip(c, which->row, which->part, i + (size_t)__builtin_ctzll(flips));
    }
    return flipped;
}

uint64_t bnnep_cpu_learn_weights(const struct cpu_network *net, const struct cpu_learning *learning, size_t k,
                                 const struct cpu_weights *which, const float *G, float *momentum) {
    const struct cpu_connection *c = &net->connection[k];
    const size_t at = which->row * c->columns + which->part * c->inner + which->first;
    if (!learning->kept)
        return update_weights(net, k, which, learning->how->rules[k], G, momentum + at);
    memcpy(learning->kept->weights[k] + at, G, which->count * sizeof *G);
    return 0;
}

void bnnep_cpu_learn_bias(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t j,
                          float G) {
    if (learning->kept)
        learning->kept->bias[k][j] = G;
    else
        net->connection[k].bias[j] += learning->how->rules[k]->bias_gain * G;
}

void bnnep_cpu_learn_scale(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t i,
                           float G) {
    struct cpu_connection *c = &net->connection[k];
    if (learning->kept) {
        learning->kept->scale[k][i] = G;
        return;
    }
    const float before = c->alpha[i];
    c->alpha[i] += learning->how->rules[k]->scale_gain * G;
    c->changes += bnnep_sign(before) != bnnep_sign(c->alpha[i]);
}

/* --- by a contrast that was kept ---------------------------------------------------------------------------------- */

enum { TASK_ROWS = 64 }; /* that share a word of `down` */

struct update {
    const struct cpu_network *net;
    const struct cpu_learning *learning;
    const struct cpu_contrast *kept;
    size_t k;
    float *momentum;
    atomic_uint_fast64_t flips;
};

static void update_rows(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    const struct cpu_connection *c = &update->net->connection[update->k];
    uint64_t flips = 0;
    (void)worker;
    for (size_t row = task * TASK_ROWS; row < c->rows && row < (task + 1) * TASK_ROWS; row++) {
        const float *G = update->kept->weights[update->k] + row * c->columns;
        for (size_t part = 0; part < c->parts; part++)
            flips += bnnep_cpu_learn_weights(update->net, update->learning, update->k,
                                             &(struct cpu_weights){row, part, 0, c->inner}, G + part * c->inner,
                                             update->momentum);
        bnnep_cpu_learn_bias(update->net, update->learning, update->k, row, update->kept->bias[update->k][row]);
    }
    atomic_fetch_add(&update->flips, flips);
}

void bnnep_cpu_update(const struct cpu_network *net, const struct bnnep_learning *how, size_t k,
                      const struct cpu_contrast *kept, float *momentum) {
    const struct cpu_learning learning = {.how = how};
    struct update update = {.net = net, .learning = &learning, .kept = kept, .k = k, .momentum = momentum};
    const struct bnnep_link *link = net->model->links[k];
    bnnep_pool_run(net->device->pool, bnnep_pool_threads(net->device->pool), (link->rows + TASK_ROWS - 1) / TASK_ROWS,
                   update_rows, &update);
    how->flips[k] = atomic_load(&update.flips);
    net->connection[k].changes += how->flips[k];
    for (size_t i = 0; how->learn_scale && i < link->scales; i++)
        bnnep_cpu_learn_scale(net, &learning, k, i, kept->scale[k][i]);
}
