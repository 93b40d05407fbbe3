/* SPDX-License-Identifier: MIT */
/*
 * --compare-gradients: how the contrast of equilibrium propagation follows the gradient of back-propagation through
 * time. After t nudged steps the contrast should equal the gradient through the last t free steps (Ernoult et al.,
 * NeurIPS 2019), if the free phase has settled and beta is small. One line a connection and step: connection=0 step=10
 * cosine=0.9987 relative_error=0.051
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

/* There is no update: any rates will do. */
static bnnep_status make_optimizer(struct setup *setup, int32_t method, int steps, bnnep_optimizer **out) {
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    p.method = method;
    p.nudged_steps = steps;
    p.gamma = p.lr_bias = setup->gamma;
    p.threshold = setup->threshold;
    return bnnep_optimizer_create(setup->network, &p, out);
}

/* The contrast after `step` nudged steps, and the gradient through as many free ones. */
static bnnep_status run_step(struct comparison *c, int step) {
    bnnep_workspace *ws = bnnep_network_workspace(c->setup->network);
    bnnep_relaxation free_phase = BNNEP_RELAXATION_INIT, nudged_phase = BNNEP_RELAXATION_INIT;
    nudged_phase.beta = c->options->beta;
    nudged_phase.to = BNNEP_PHASE_NUDGED;
    nudged_phase.steps = step;
    bnnep_status status = bnnep_workspace_stage(ws, c->inputs, c->targets, c->samples);
    if (status == BNNEP_OK)
        status = bnnep_workspace_relax(ws, &free_phase, NULL);
    if (status == BNNEP_OK)
        status = bnnep_workspace_relax(ws, &nudged_phase, NULL);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_contrast(c->contrast, ws, NULL);
    free_phase.steps = c->options->T - step; /* back-propagation takes the rest; T is above Kmax */
    if (status == BNNEP_OK)
        status = bnnep_workspace_stage(ws, c->inputs, c->targets, c->samples);
    if (status == BNNEP_OK)
        status = bnnep_workspace_relax(ws, &free_phase, NULL);
    return status == BNNEP_OK ? bnnep_optimizer_backpropagate(c->gradient, ws, step) : status;
}

static bnnep_status get_weights(const bnnep_optimizer *optimizer, size_t k, float *values, size_t count) {
    return bnnep_optimizer_get_contrast(optimizer, k, BNNEP_CONTRAST_WEIGHTS, values, count);
}

static bnnep_status print_step(const struct comparison *c, int step) {
    for (size_t k = 0; k < c->setup->connections; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(c->setup->network, k, &info);
        const size_t weights = (size_t)(info.rows * info.columns);
        float *a = malloc(weights * sizeof *a), *b = malloc(weights * sizeof *b);
        bnnep_status status = a && b ? get_weights(c->contrast, k, a, weights) : BNNEP_ERROR_MEMORY;
        if (status == BNNEP_OK)
            status = get_weights(c->gradient, k, b, weights);
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
    bnnep_status status = make_optimizer(setup, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, options->Kmax, &c.contrast);
    if (status == BNNEP_OK)
        status = make_optimizer(setup, BNNEP_METHOD_BPTT, options->Kmax, &c.gradient);
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
