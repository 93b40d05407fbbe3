/* SPDX-License-Identifier: MIT */
/*
 * --compare-gradients: how the contrast of equilibrium propagation follows the gradient of back-propagation through
 * time. After t nudged steps the contrast should equal the gradient through the last t free steps (Ernoult et al.,
 * NeurIPS 2019), if the free phase has settled and beta is small. One line a connection and step: connection=0 step=10
 * cosine=0.9987 relative_error=0.051 A gradient is read as the momentum that an update with gamma = 1 leaves; nothing
 * flips and no rate is above 0.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "train.h"

struct comparison {
    struct setup *setup;
    const struct options *options;
    bnnep_optimizer *contrast, *gradient;
    float *inputs, *targets;
    size_t samples, outputs;
};

static bnnep_status make_optimizer(struct setup *setup, int32_t method, int steps, bnnep_optimizer **out) {
    double one[MOST_VALUES], never[MOST_VALUES], zero[MOST_VALUES];
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    for (size_t k = 0; k < setup->connections; k++) {
        one[k] = 1.0;
        never[k] = 1e30;
        zero[k] = 0.0;
    }
    p.method = method;
    p.nudged_steps = steps;
    p.gamma = one;
    p.threshold = never;
    p.lr_bias = zero;
    return bnnep_optimizer_create(setup->network, &p, out);
}

/* The contrast after `step` nudged steps, and the gradient through as many free ones. */
static bnnep_status run_step(struct comparison *c, int step) {
    bnnep_workspace *ws = bnnep_network_workspace(c->setup->network);
    const int T = c->options->T;
    const float beta = (float)c->options->beta;
    bnnep_status status = bnnep_stage(ws, c->inputs, c->targets, c->samples);
    if (status == BNNEP_OK)
        status = bnnep_relax(ws, BNNEP_FREE, BNNEP_FREE, T, 0.0f, NULL);
    if (status == BNNEP_OK)
        status = bnnep_relax(ws, BNNEP_FREE, BNNEP_NUDGED, step, beta, NULL);
    if (status == BNNEP_OK)
        status = bnnep_learn(c->contrast, ws, beta, NULL);
    if (status == BNNEP_OK)
        status = bnnep_stage(ws, c->inputs, c->targets, c->samples);
    if (status == BNNEP_OK)
        status = bnnep_relax(ws, BNNEP_FREE, BNNEP_FREE, T - step, 0.0f, NULL);
    if (status == BNNEP_OK)
        status = bnnep_backpropagate(c->gradient, ws, step);
    return status == BNNEP_OK ? bnnep_learn(c->gradient, ws, 0.0f, NULL) : status;
}

static bnnep_status print_step(const struct comparison *c, int step) {
    for (size_t k = 0; k < c->setup->connections; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(c->setup->network, k, &info);
        const size_t weights = (size_t)(info.rows * info.columns);
        float *a = malloc(weights * sizeof *a), *b = malloc(weights * sizeof *b);
        bnnep_status status = a && b ? bnnep_optimizer_get_momentum(c->contrast, k, a, weights) : BNNEP_ERROR_MEMORY;
        if (status == BNNEP_OK)
            status = bnnep_optimizer_get_momentum(c->gradient, k, b, weights);
        double aa = 0.0, ab = 0.0, bb = 0.0, difference = 0.0;
        for (size_t i = 0; status == BNNEP_OK && i < weights; i++) {
            const double ours = (double)a[i], theirs = (double)b[i];
            aa += ours * ours;
            ab += ours * theirs;
            bb += theirs * theirs;
            difference += (ours - theirs) * (ours - theirs);
        }
        free(a);
        free(b);
        if (status != BNNEP_OK)
            return status;
        if (aa > 0.0 && bb > 0.0)
            printf("connection=%zu step=%d cosine=%.4f relative_error=%.3f\n", k, step, ab / sqrt(aa * bb),
                   sqrt(difference / bb));
        else /* the error has not come so far down yet */
            printf("connection=%zu step=%d cosine=%s relative_error=%s\n", k, step, aa == bb ? "1.0000" : "0.0000",
                   aa == bb ? "0.000" : "inf");
    }
    return BNNEP_OK;
}

/* The first batch of the training set, and its targets. */
static bnnep_status read_batch(struct comparison *c) {
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_dataset_info data = BNNEP_DATASET_INFO_INIT;
    bnnep_network_get_info(c->setup->network, &info);
    bnnep_dataset_get_info(c->setup->train, &data);
    c->samples = (size_t)c->options->batch_size < data.count ? (size_t)c->options->batch_size : (size_t)data.count;
    c->outputs = (size_t)info.outputs;
    c->inputs = malloc(c->samples * (size_t)info.inputs * sizeof *c->inputs);
    c->targets = calloc(c->samples * c->outputs, sizeof *c->targets);
    int32_t *labels = malloc(c->samples * sizeof *labels);
    bnnep_status status = c->inputs && c->targets && labels
                              ? bnnep_dataset_read(c->setup->train, 0, c->samples, c->inputs, labels)
                              : BNNEP_ERROR_MEMORY;
    const size_t expand = (size_t)info.expand_output;
    for (size_t n = 0; status == BNNEP_OK && n < c->samples; n++)
        for (size_t e = 0; e < expand; e++)
            c->targets[n * c->outputs + (size_t)labels[n] * expand + e] = 1.0f;
    free(labels);
    return status;
}

int compare_gradients(struct setup *setup, const struct options *options) {
    struct comparison c = {.setup = setup, .options = options};
    bnnep_status status = make_optimizer(setup, BNNEP_EQUILIBRIUM_PROPAGATION, options->Kmax, &c.contrast);
    if (status == BNNEP_OK)
        status = make_optimizer(setup, BNNEP_BPTT, options->Kmax, &c.gradient);
    if (status == BNNEP_OK)
        status = read_batch(&c);
    for (int step = 1; status == BNNEP_OK && step <= options->Kmax; step++) {
        status = run_step(&c, step);
        if (status == BNNEP_OK)
            status = print_step(&c, step);
        fflush(stdout);
    }
    bnnep_optimizer_free(c.contrast);
    bnnep_optimizer_free(c.gradient);
    free(c.inputs);
    free(c.targets);
    return status == BNNEP_OK ? 0 : setup_failed(status);
}
