/* SPDX-License-Identifier: MIT */
/*
 * Covariances of batches of one sample.
 *
 * One sample has no covariance: nothing tells what all samples share from what this one has. So its contrast is taken
 * about running means A of each unit's activations, the mean of both phases being what a sample adds to them, this one
 * included. With a and a' after the first and second phase,
 *
 *     G_ji = (a'_j - A_j) (a'_i - A_i) - (a_j - A_j) (a_i - A_i)
 *          = a'_j a'_i - a_j a_i - ( A_i (a'_j - a_j) + A_j (a'_i - a_i) )
 *
 * which is 0 for the first sample, and whose average over many is that of the covariances. The bracket is
 * bnnep_product_of_sums() of units that add up to A -+ (a' - a) / 2 after the two phases, so that a backend is told
 * these in place of a batch's sums, and has no other rule.
 */
#include <string.h>

#include "lib/internal.h"

/* A mean is that of all samples until there are so many, and then moves by this share of one. */
#define LONGEST ((uint64_t)4096)

static size_t units_of(const struct bnnep_model *model, size_t layer) {
    return layer == 0 ? model->links[0]->in : model->links[layer - 1]->out;
}

/* Does a fully connected connection begin or end at this layer, 0 the input? */
static bool meets_connected(const struct bnnep_model *model, size_t layer) {
    return (layer < model->connections && !bnnep_is_convolution(model->links[layer])) ||
           (layer > 0 && !bnnep_is_convolution(model->links[layer - 1]));
}

/* Units of all layers that have means, and of the widest. */
static uint64_t count_units(const struct bnnep_model *model, uint64_t *widest) {
    uint64_t units = 0;
    *widest = 0;
    for (size_t layer = 0; layer <= model->connections; layer++) {
        const size_t wide = meets_connected(model, layer) ? units_of(model, layer) : 0;
        units += wide;
        *widest = wide > *widest ? wide : *widest;
    }
    return units;
}

uint64_t bnnep_means_bytes(const struct bnnep_model *model) {
    uint64_t widest;
    const uint64_t units = count_units(model, &widest);
    return 2 * (units * (sizeof(float) + sizeof(double)) + widest * sizeof(float)) +
           (model->connections + 1) * (sizeof(struct bnnep_layer_mean) + 2 * sizeof(double *));
}

bnnep_status bnnep_means_make(bnnep_optimizer *opt) {
    const bnnep_network *net = opt->network;
    struct bnnep_means *means = &opt->means;
    const size_t layers = net->model.connections + 1;
    uint64_t widest;
    const uint64_t units = count_units(&net->model, &widest);
    if (!opt->options.covariance)
        return BNNEP_OK;
    means->layer = bnnep_take(net->context, layers, sizeof *means->layer);
    means->sums_of =
        bnnep_take(net->context, 2 * layers, sizeof *means->sums_of); /* NOLINT(bugprone-sizeof-expression) */
    means->values = bnnep_take(net->context, 2 * (units + widest) + 1, sizeof *means->values);
    means->sums = bnnep_take(net->context, 2 * units + 1, sizeof *means->sums);
    if (!means->layer || !means->sums_of || !means->values || !means->sums)
        return bnnep_fail_memory("means of activations", 2 * units * (sizeof *means->values + sizeof *means->sums));
    float *values = means->values;
    double *sums = means->sums;
    for (size_t layer = 0; layer < layers; layer++) {
        struct bnnep_layer_mean *m = &means->layer[layer];
        if (!meets_connected(&net->model, layer))
            continue;
        m->units = units_of(&net->model, layer);
        m->mean = values;
        m->next = values += m->units;
        values += m->units;
        for (int which = 0; which < 2; which++, sums += m->units)
            means->sums_of[(size_t)which * layers + layer] = m->sums[which] = sums;
    }
    means->state[0] = values;
    means->state[1] = values + widest;
    return BNNEP_OK;
}

void bnnep_means_free(bnnep_optimizer *opt) {
    const bnnep_context *context = opt->network->context;
    bnnep_give_back(context, opt->means.layer);
    bnnep_give_back(context, opt->means.sums_of);
    bnnep_give_back(context, opt->means.values);
    bnnep_give_back(context, opt->means.sums);
}

/* Activations of a layer after a phase, of the one sample; the input does not change. */
static bnnep_status activations(const bnnep_workspace *ws, int32_t phase, size_t layer, float *to) {
    const bnnep_network *net = ws->network;
    const bool binary = net->model.dynamics == BNNEP_DYNAMICS_BINARY;
    char why[BNNEP_WHY] = "";
    if (layer == 0) {
        for (size_t i = 0; i < net->inputs; i++)
            to[i] = bnnep_on_grid(&net->model.grid, ws->lone_input[i]);
        return BNNEP_OK;
    }
    const bnnep_status status = net->backend->get_state(ws->device, phase, layer, to, why);
    for (size_t j = 0; status == BNNEP_OK && j < units_of(&net->model, layer); j++)
        to[j] = bnnep_activation(binary, net->model.theta, to[j]);
    return bnnep_backend_failed(net, status, why);
}

bnnep_status bnnep_means_sum(bnnep_optimizer *opt, const bnnep_workspace *ws, struct bnnep_learning *how) {
    struct bnnep_means *means = &opt->means;
    const size_t layers = opt->network->model.connections + 1;
    if (!how->covariance || ws->count != 1 || opt->network->backend->can->covariance < 2)
        return BNNEP_OK;
    const uint64_t seen = means->samples + 1;
    const float share = 1.0f / (float)(seen < LONGEST ? seen : LONGEST);
    bnnep_status status = BNNEP_OK;
    for (size_t layer = 0; layer < layers; layer++) {
        struct bnnep_layer_mean *m = &means->layer[layer];
        for (int which = 0; status == BNNEP_OK && m->units > 0 && which < 2; which++)
            status = activations(ws, which == 0 ? how->first : how->second, layer, means->state[which]);
        if (status != BNNEP_OK)
            return status;
        for (size_t j = 0; j < m->units; j++) {
            const float first = means->state[0][j], second = means->state[1][j], mean = 0.5f * (first + second);
            m->next[j] = seen == 1 ? mean : m->mean[j] + share * (mean - m->mean[j]);
            const double half = 0.5 * ((double)second - (double)first);
            m->sums[0][j] = (double)m->next[j] - half;
            m->sums[1][j] = (double)m->next[j] + half;
        }
    }
    for (int which = 0; which < 2; which++)
        how->sums[which] = means->sums_of + (size_t)which * layers;
    return BNNEP_OK;
}

void bnnep_means_keep(bnnep_optimizer *opt, const struct bnnep_learning *how) {
    opt->means.first = how->sums[0] && opt->means.samples == 0;
    if (!how->sums[0])
        return;
    for (size_t layer = 0; layer <= opt->network->model.connections; layer++) {
        struct bnnep_layer_mean *m = &opt->means.layer[layer];
        if (m->units > 0)
            memcpy(m->mean, m->next, m->units * sizeof *m->mean);
    }
    opt->means.samples++;
}

void bnnep_means_copy(const bnnep_optimizer *from, bnnep_optimizer *to) {
    for (size_t layer = 0; from->means.samples > 0 && layer <= from->network->model.connections; layer++) {
        const struct bnnep_layer_mean *m = &from->means.layer[layer];
        if (m->units > 0)
            memcpy(to->means.layer[layer].mean, m->mean, m->units * sizeof *m->mean);
    }
    to->means.samples = from->means.samples;
}
