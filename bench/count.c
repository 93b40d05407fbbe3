/* SPDX-License-Identifier: MIT */
/*
 * What a batch needs, counted from the equations, whatever the code does; docs/performance.md explains it.
 *
 * A product of a matrix of weights with the activations of a sample costs a multiply-add, or with binary activations a
 * bit product, for each weight that meets an activation. Samples that have settled need no steps; a step is counted in
 * full, although code that works on the neurons that changed needs less.
 */
#include "bench/bench.h"

#include <string.h>

/* Products of one connection, for one sample. */
struct products {
    double forward;  /* W a. Convolution: for every place of every pooling window */
    double feedback; /* W' a. Convolution: at one place of each window, that of its maximum; all others are 0 */
};

static struct products count_products(const struct setup *setup, const struct options *options, size_t k) {
    bnnep_connection_info c = BNNEP_CONNECTION_INFO_INIT;
    bnnep_network_get_connection(setup->network, k, &c);
    const double places = c.kind == BNNEP_CONNECTION_CONVOLUTION ? (double)options->pool * options->pool : 1.0;
    const double products = (double)c.units * (double)c.columns;
    return (struct products){.forward = places * products, .feedback = products};
}

static double count_weights(const struct setup *setup) {
    bnnep_network_info net = BNNEP_NETWORK_INFO_INIT;
    bnnep_network_get_info(setup->network, &net);
    return (double)net.weights;
}

void count_work(const struct setup *setup, const struct options *options, const struct measured *done, size_t samples,
                struct work work[PHASES]) {
    const bool binary = strcmp(options->binary_settings, "bin_W_N") == 0;
    const bool back = strcmp(options->optim, "bptt") == 0;
    const double batch = (double)samples;
    /* A step: both directions of all connections but the first, whose input is clamped. Back through a step: the
     * transpose of each, of a convolution at the maxima alone. Outer products: of activations that changed with those
     * before and after, one where the input does not change. */
    double step = 0.0, step_back = 0.0, outer = 0.0;
    for (size_t k = 0; k < setup->connections; k++) {
        const struct products p = count_products(setup, options, k);
        step += k > 0 ? p.forward + p.feedback : 0.0;
        step_back += k > 0 ? 2.0 * p.feedback : 0.0;
        outer += k > 0 ? 2.0 * p.feedback : p.feedback;
    }
    for (int p = 0; p < PHASES; p++) {
        const double products = batch * done->steps[p] * step;
        work[p] = (struct work){.multiply_adds = binary ? 0.0 : products, .bit_products = binary ? products : 0.0};
    }
    /* The input is real, also where activations are binary. */
    work[DRIVE].multiply_adds = batch * count_products(setup, options, 0).forward;
    if (back)
        work[THIRD].multiply_adds += batch * done->steps[THIRD] * step_back;
    /* The contrast of binary activations is 0 but for the neurons that differ: not counted. */
    if (!binary)
        work[LEARN].multiply_adds = batch * outer * (back ? done->steps[THIRD] : 1.0);
    work[LEARN].bytes = count_weights(setup) * 2.0 * sizeof(float); /* each momentum is read and written */
}

double least_seconds(const struct work *work, const struct limits *limits) {
    const double each[] = {work->multiply_adds / limits->multiply_adds, work->bit_products / limits->bit_products,
                           work->bytes / limits->copy};
    double most = 0.0;
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
        most = each[i] > most ? each[i] : most;
    return most;
}
