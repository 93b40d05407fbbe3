/* SPDX-License-Identifier: MIT */
/* Momenta, and the decays that some of them still owe. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/binary/binary.h"
#include "backends/cpu/real/real.h"

/* Panels of 256 weights, of one row and one place of the kernel each. */
static size_t panels_of(const struct bnnep_link *link) {
    const bool convolution = bnnep_cpu_is_convolution(link);
    const size_t parts = convolution ? link->kernel * link->kernel : 1, inner = link->columns / parts;
    return link->rows * parts * ((inner + PANEL - 1) / PANEL);
}

uint64_t bnnep_cpu_learner_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    uint64_t bytes = sizeof(struct cpu_learner) + bnnep_real_tape_bytes(model, max_batch, tape);
    for (size_t k = 0; k < model->connections; k++) {
        const uint64_t weights = (uint64_t)model->links[k].rows * model->links[k].columns;
        bytes += sizeof(float *) + sizeof(struct cpu_owed) + weights * sizeof(float);
        if (bnnep_cpu_binary(model))
            bytes += panels_of(&model->links[k]);
    }
    return bytes;
}

void bnnep_cpu_learner_destroy(void *handle) {
    struct cpu_learner *learner = handle;
    if (!learner)
        return;
    for (size_t k = 0; k < learner->network->model->connections; k++) {
        if (learner->momentum)
            free(learner->momentum[k]);
        if (learner->owed)
            free(learner->owed[k].decays);
    }
    free(learner->momentum);
    free(learner->owed);
    bnnep_real_tape_free(&learner->tape);
    free(learner);
}

bnnep_status bnnep_cpu_learner_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct cpu_network *net = network;
    struct cpu_learner *learner = calloc(1, sizeof *learner);
    if (learner) {
        learner->network = net;
        learner->momentum = calloc(net->model->connections, sizeof *learner->momentum);
        learner->owed = calloc(net->model->connections, sizeof *learner->owed);
    }
    bool complete = learner && learner->momentum && learner->owed;
    for (size_t k = 0; complete && k < net->model->connections; k++) {
        const struct cpu_connection *c = &net->connection[k];
        learner->momentum[k] = bnnep_cpu_alloc(c->rows * c->columns, sizeof(float));
        if (bnnep_cpu_binary(net->model))
            learner->owed[k].decays = calloc(panels_of(&net->model->links[k]), 1);
        complete = learner->momentum[k] && (learner->owed[k].decays || !bnnep_cpu_binary(net->model));
    }
    if (complete && tape > 0)
        complete = bnnep_real_tape_make(&learner->tape, net->model, max_batch, tape) == BNNEP_OK;
    if (!complete) {
        bnnep_cpu_learner_destroy(learner);
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
    *out = learner;
    return BNNEP_OK;
}

/* Momenta are in the order of `down`'s columns. */
bnnep_status bnnep_cpu_put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    const struct cpu_connection *c = &learner->network->connection[k];
    struct cpu_owed *owed = &learner->owed[k];
    for (size_t j = 0; j < c->rows; j++)
        for (size_t canonical = 0; canonical < c->columns; canonical++)
            learner->momentum[k][j * c->columns + bnnep_cpu_column(c, canonical)] =
                momentum[j * c->columns + canonical];
    owed->known = false;
    if (owed->decays)
        memset(owed->decays, 0, panels_of(&learner->network->model->links[k]));
    return BNNEP_OK;
}

/* With the decays that are owed, which stay so. */
bnnep_status bnnep_cpu_get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    (void)why;
    const struct cpu_learner *learner = handle;
    const struct cpu_connection *c = &learner->network->connection[k];
    const struct cpu_owed *owed = &learner->owed[k];
    const float *from = learner->momentum[k];
    for (size_t j = 0; j < c->rows; j++, from += c->columns, momentum += c->columns)
        for (size_t part = 0; part < c->parts; part++)
            for (size_t panel = 0; panel < (c->inner + PANEL - 1) / PANEL; panel++) {
                const size_t first = part * c->inner + panel * PANEL, left = c->inner - panel * PANEL;
                const size_t count = left < PANEL ? left : PANEL;
                float some[PANEL];
                memcpy(some, from + first, count * sizeof *some);
                if (owed->decays)
                    learner->network->kernels->fade(some, count, owed->decay, *bnnep_cpu_owed(c, owed, j, part, panel));
                for (size_t i = 0; i < count; i++)
                    momentum[bnnep_cpu_canonical(c, first + i)] = some[i];
            }
    return BNNEP_OK;
}

/*
 * A momentum without contrast only decays: it comes no nearer to its threshold. So where no weight of a panel has a
 * contrast, the decay can wait and be made up for, one multiplication after the other as if it had not waited. Not
 * where something else than the update of before may have put a momentum beyond its threshold.
 */
bool bnnep_cpu_may_wait(const struct cpu_learner *learner, size_t k, const struct bnnep_rule *rule) {
    const struct cpu_owed *owed = &learner->owed[k];
    return owed->known && owed->changes == learner->network->connection[k].changes && owed->decay == rule->decay &&
           rule->decay >= 0.0f && rule->decay <= 1.0f && rule->threshold > 0.0f && rule->threshold >= owed->threshold;
}

void bnnep_cpu_remember(struct cpu_learner *learner, size_t k, const struct bnnep_rule *rule) {
    struct cpu_owed *owed = &learner->owed[k];
    owed->known = true;
    owed->decay = rule->decay;
    owed->threshold = rule->threshold;
    owed->changes = learner->network->connection[k].changes;
}
