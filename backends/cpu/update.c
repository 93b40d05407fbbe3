/* SPDX-License-Identifier: MIT */
/* The learning rule on weights that are kept as bits: momenta, and which signs flip (bnnep_momentum, bnnep_flips). */
#include <math.h>
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
    never.consolidation = 0.0f;
    kernels->momenta->update(momentum, G, count, &never, signs);
    return bnnep_flips(0.0f, 1.0f, rule->threshold, rule->at_threshold) ? ~UINT64_C(0) >> (64 - count) : 0;
}

/* Returns how many flipped. */
static uint64_t update_weights(const struct cpu_network *net, size_t k, const struct cpu_weights *which,
                               const struct bnnep_rule *rule, const float *G, float *momentum) {
    const struct cpu_connection *c = &net->connection[k];
    const float alpha = c->alpha[net->model->links[k]->scales == 1 ? 0 : which->row];
    uint64_t flipped = 0;
    for (size_t done = 0; done < which->count; done += 64) {
        const size_t i = which->first + done, some = which->count - done < 64 ? which->count - done : 64;
        const uint64_t signs = bnnep_cpu_up_word(c, which->part, i)[which->row * c->words];
        uint64_t flips = update_word(net->kernels, momentum + done, G + done, some, rule, alpha, signs);
        for (; flips; flips &= flips - 1, flipped++) {
            const size_t at = (size_t)__builtin_ctzll(flips);
            flip(c, which->row, which->part, i + at);
            momentum[done + at] = rule->reset ? 0.0f : momentum[done + at];
        }
    }
    return flipped;
}

void bnnep_cpu_learn_weights(const struct cpu_network *net, const struct cpu_learning *learning, size_t k,
                             const struct cpu_weights *which, const float *G, float *momentum,
                             struct cpu_tally *tally) {
    const struct cpu_connection *c = &net->connection[k];
    const size_t at = which->row * c->columns + which->part * c->inner + which->first;
    if (learning->kept) {
        memcpy(learning->kept->weights[k] + at, G, which->count * sizeof *G);
        return;
    }
    if (learning->how->squares)
        tally->squares.weights += net->kernels->momenta->squares(G, which->count);
    tally->flips += update_weights(net, k, which, learning->how->rules[k], G, momentum + at);
}

void bnnep_cpu_learn_bias(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t j,
                          float G, struct cpu_tally *tally) {
    if (learning->kept) {
        learning->kept->bias[k][j] = G;
        return;
    }
    tally->squares.bias += (double)G * (double)G;
    net->connection[k].bias[j] += learning->how->rules[k]->bias_gain * G;
}

void bnnep_cpu_learn_scale(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t i,
                           float G) {
    struct cpu_connection *c = &net->connection[k];
    if (learning->kept) {
        learning->kept->scale[k][i] = G;
        return;
    }
    if (learning->how->squares)
        learning->how->squares[k].scale += (double)G * (double)G;
    const float before = c->alpha[i];
    c->alpha[i] += learning->how->rules[k]->scale_gain * G;
    c->changes += bnnep_sign(before) != bnnep_sign(c->alpha[i]);
}

/* --- what an update did ------------------------------------------------------------------------------------------- */

void bnnep_cpu_tell(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t task,
                    const struct cpu_tally *tally) {
    if (!learning->kept)
        net->connection[k].tally[task] = *tally;
}

void bnnep_cpu_add_up(const struct cpu_network *net, const struct cpu_learning *learning, size_t k, size_t tasks) {
    struct cpu_tally all = {0};
    if (learning->kept)
        return;
    for (size_t task = 0; task < tasks; task++) {
        const struct cpu_tally *one = &net->connection[k].tally[task];
        all.flips += one->flips;
        all.squares.weights += one->squares.weights;
        all.squares.bias += one->squares.bias;
    }
    learning->how->flips[k] = all.flips;
    if (learning->how->squares)
        learning->how->squares[k] = all.squares; /* those of scaling factors are still to come */
}

/* --- by a contrast that was kept ---------------------------------------------------------------------------------- */

struct update {
    const struct cpu_network *net;
    const struct cpu_learning *learning;
    const struct cpu_contrast *kept;
    size_t k;
    float *momentum;
};

static void update_rows(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    const struct cpu_connection *c = &update->net->connection[update->k];
    struct cpu_tally tally = {0};
    (void)worker;
    for (size_t row = task * TASK_ROWS; row < c->rows && row < (task + 1) * TASK_ROWS; row++) {
        const float *G = update->kept->weights[update->k] + row * c->columns;
        for (size_t part = 0; part < c->parts; part++)
            bnnep_cpu_learn_weights(update->net, update->learning, update->k,
                                    &(struct cpu_weights){row, part, 0, c->inner}, G + part * c->inner,
                                    update->momentum, &tally);
        bnnep_cpu_learn_bias(update->net, update->learning, update->k, row, update->kept->bias[update->k][row], &tally);
    }
    bnnep_cpu_tell(update->net, update->learning, update->k, task, &tally);
}

void bnnep_cpu_update(const struct cpu_network *net, const struct bnnep_learning *how, size_t k,
                      const struct cpu_contrast *kept, float *momentum) {
    const struct cpu_learning learning = {.how = how};
    struct update update = {.net = net, .learning = &learning, .kept = kept, .k = k, .momentum = momentum};
    const struct bnnep_link *link = net->model->links[k];
    const size_t tasks = (link->rows + TASK_ROWS - 1) / TASK_ROWS;
    bnnep_pool_run(net->device->pool, bnnep_pool_threads(net->device->pool), tasks, update_rows, &update);
    bnnep_cpu_add_up(net, &learning, k, tasks);
    net->connection[k].changes += how->flips[k];
    for (size_t i = 0; how->learn_scale && i < link->scales; i++)
        bnnep_cpu_learn_scale(net, &learning, k, i, kept->scale[k][i]);
}
