/* SPDX-License-Identifier: MIT */
/*
 * Momenta of a network with binary activations, and the decays of some of them that are pending.
 *
 * A momentum without contrast only decays: it comes no nearer to its threshold. So where no weight of a panel has a
 * contrast, the decay can wait and be made up for, one multiplication after the other as if it had not waited. Not
 * where something else than the update of before may have put a momentum beyond its threshold.
 */
#include <string.h>

#include "backends/arena.h"
#include "backends/cpu/binary/binary.h"

/* Panels of weights, of one row and one place of the kernel each. */
static size_t panels_of(const struct bnnep_link *link) {
    const size_t parts = bnnep_is_convolution(link) ? link->kernel * link->kernel : 1, inner = link->columns / parts;
    return link->rows * parts * ((inner + PANEL - 1) / PANEL);
}

static struct binary_optimizer *divide(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct binary_optimizer *optimizer = bnnep_arena_take(arena, 1, sizeof *optimizer), seed = {0};
    seed.momentum = bnnep_arena_take(arena, model->connections, sizeof *seed.momentum);
    seed.pending = bnnep_arena_take(arena, model->connections, sizeof *seed.pending);
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        float *momentum = bnnep_arena_take(arena, link->rows * link->columns, sizeof(float));
        uint8_t *decays = bnnep_arena_take(arena, panels_of(link), 1);
        if (!seed.momentum || !seed.pending)
            continue;
        seed.momentum[k] = momentum;
        seed.pending[k].decays = decays;
    }
    if (optimizer)
        *optimizer = seed;
    return optimizer;
}

/* There is no back-propagation through binary activations, hence no tape. */
uint64_t bnnep_binary_optimizer_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    struct bnnep_arena arena = {0};
    (void)max_batch, (void)tape;
    divide(&arena, model);
    return arena.used;
}

bnnep_status bnnep_binary_optimizer_create(struct cpu_network *net, size_t max_batch, int32_t tape, void **out,
                                           char *why) {
    struct bnnep_arena arena = {.used = (size_t)bnnep_binary_optimizer_bytes(net->model, max_batch, tape)};
    if (!bnnep_arena_open(&arena, net->device->host))
        return bnnep_cpu_no_memory(why);
    struct binary_optimizer *optimizer = divide(&arena, net->model);
    optimizer->network = net;
    *out = optimizer;
    return BNNEP_OK;
}

void bnnep_binary_put_momentum(void *handle, size_t k, const float *momentum) {
    struct binary_optimizer *optimizer = handle;
    const struct cpu_connection *c = &optimizer->network->connection[k];
    struct binary_pending *pending = &optimizer->pending[k];
    bnnep_cpu_order_columns(c, momentum, optimizer->momentum[k]);
    pending->known = false;
    memset(pending->decays, 0, panels_of(optimizer->network->model->links[k]));
}

static uint8_t *decays_of(const struct cpu_connection *c, const struct binary_pending *pending, size_t row, size_t part,
                          size_t panel) {
    return pending->decays + (row * c->parts + part) * c->up_panels + panel;
}

/* With the decays that are pending, which stay so. */
void bnnep_binary_get_momentum(const void *handle, size_t k, float *momentum) {
    const struct binary_optimizer *optimizer = handle;
    const struct cpu_connection *c = &optimizer->network->connection[k];
    const struct binary_pending *pending = &optimizer->pending[k];
    const float *from = optimizer->momentum[k];
    for (size_t j = 0; j < c->rows; j++, from += c->columns, momentum += c->columns)
        for (size_t part = 0; part < c->parts; part++)
            for (size_t panel = 0; panel < c->up_panels; panel++) {
                const size_t first = part * c->inner + panel * PANEL, left = c->inner - panel * PANEL;
                const size_t count = left < PANEL ? left : PANEL;
                float some[PANEL];
                memcpy(some, from + first, count * sizeof *some);
                optimizer->network->kernels->momenta->decay(some, count, pending->decay,
                                                            *decays_of(c, pending, j, part, panel));
                for (size_t i = 0; i < count; i++)
                    momentum[bnnep_cpu_canonical(c, first + i)] = some[i];
            }
}

bool bnnep_binary_may_wait(const struct binary_optimizer *optimizer, size_t k, const struct bnnep_rule *rule) {
    const struct binary_pending *pending = &optimizer->pending[k];
    return pending->known && pending->changes == optimizer->network->connection[k].changes &&
           pending->decay == rule->decay && rule->decay >= 0.0f && rule->decay <= 1.0f && rule->threshold > 0.0f &&
           rule->threshold >= pending->threshold && rule->consolidation == 0.0f;
}

void bnnep_binary_remember(struct binary_optimizer *optimizer, size_t k, const struct bnnep_rule *rule) {
    struct binary_pending *pending = &optimizer->pending[k];
    pending->known = true;
    pending->decay = rule->decay;
    pending->threshold = rule->threshold;
    pending->changes = optimizer->network->connection[k].changes;
}

/* Rows wait for different times, so that some 1 in 50 panels stop waiting in an update, not all in one. */
bool bnnep_binary_flush(const struct binary_optimizer *optimizer, size_t k, const struct cpu_weights *panel,
                        bool can_wait) {
    const struct cpu_connection *c = &optimizer->network->connection[k];
    const struct binary_pending *pending = &optimizer->pending[k];
    uint8_t *decays = decays_of(c, pending, panel->row, panel->part, panel->first / PANEL);
    if (can_wait && *decays < 32 + panel->row % 32) {
        ++*decays;
        return false;
    }
    float *momentum = optimizer->momentum[k] + panel->row * c->columns + panel->part * c->inner + panel->first;
    optimizer->network->kernels->momenta->decay(momentum, panel->count, pending->decay, *decays);
    *decays = 0;
    return true;
}

float *bnnep_binary_momentum(void *handle, size_t k) {
    struct binary_optimizer *optimizer = handle;
    const struct cpu_connection *c = &optimizer->network->connection[k];
    for (size_t row = 0; row < c->rows; row++)
        for (size_t part = 0; part < c->parts; part++)
            for (size_t first = 0; first < c->inner; first += PANEL) {
                const size_t left = c->inner - first;
                const struct cpu_weights panel = {row, part, first, left < PANEL ? left : PANEL};
                bnnep_binary_flush(optimizer, k, &panel, false);
            }
    optimizer->pending[k].known = false;
    return optimizer->momentum[k];
}
