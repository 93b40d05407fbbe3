/* SPDX-License-Identifier: MIT */
/* Optimizers: how a network learns, its momenta, and the update. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "lib/internal.h"

static bnnep_status check_beta(float beta) {
    if (!isfinite(beta) || fabsf(beta) < FLT_MIN)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g; it must be a finite number other than 0", (double)beta);
    return BNNEP_OK;
}

/* Checks one of the arrays: min < or <= value <= max. */
static bnnep_status check_array(const char *name, const double *values, size_t count, double min, bool above,
                                double max) {
    if (!values)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s is NULL; it needs one element a connection", name);
    for (size_t k = 0; k < count; k++)
        if (!(above ? values[k] > min : values[k] >= min) || !(values[k] <= max))
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s of connection %zu is %g; it must be %s %g%s", name, k,
                              values[k], above ? "above" : "at least", min,
                              max < FLT_MAX ? " and at most 1" : " and within the range of float");
    return BNNEP_OK;
}

static bnnep_status check_method(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (o->method == BNNEP_EQUILIBRIUM_PROPAGATION)
        return BNNEP_OK;
    if (o->method != BNNEP_BPTT)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "method is %d; known are 0 (equilibrium propagation) and 1 (BPTT)",
                          o->method);
    if (net->model.dynamics == BNNEP_BINARY_ACTIVATIONS)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT is not defined for binary activations, which have no derivative");
    if (o->lr_alpha)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT is not defined for learnt scaling factors: lr_alpha must be NULL");
    if (net->options.grid_bits)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT goes through states that are not rounded: grid_bits must be 0");
    if (net->options.free_steps <= o->nudged_steps)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "BPTT with nudged_steps %d needs at least %d free_steps, the network has %d", o->nudged_steps,
                          o->nudged_steps + 1, net->options.free_steps);
    return BNNEP_OK;
}

static bnnep_status check_options(const bnnep_network *net, const bnnep_optimizer_options *o) {
    const size_t connections = net->model.connections;
    if (o->nudged_steps < 1 || o->nudged_steps > 1000000)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "nudged_steps is %d; it must be at least 1", o->nudged_steps);
    bnnep_status status = check_method(net, o);
    if (status == BNNEP_OK)
        status = check_beta(o->beta);
    if (status == BNNEP_OK)
        status = check_array("gamma", o->gamma, connections, 0.0, true, 1.0);
    if (status == BNNEP_OK)
        status = check_array("threshold", o->threshold, connections, 0.0, false, (double)FLT_MAX);
    if (status == BNNEP_OK)
        status = check_array("lr_bias", o->lr_bias, connections, 0.0, false, (double)FLT_MAX);
    if (status == BNNEP_OK && o->lr_alpha)
        status = check_array("lr_alpha", o->lr_alpha, connections, 0.0, false, (double)FLT_MAX);
    return status;
}

/* Takes copies of the caller's arrays. */
static bnnep_status keep_arrays(bnnep_optimizer *opt, size_t connections) {
    bnnep_optimizer_options *o = &opt->options;
    opt->gamma = bnnep_array((uint64_t)5 * connections, sizeof(double));
    opt->rules = bnnep_array(connections, sizeof *opt->rules);
    opt->flips = bnnep_array(connections, sizeof *opt->flips);
    opt->epoch_flips = bnnep_array(connections, sizeof *opt->epoch_flips);
    opt->epoch = (struct bnnep_sums){0};
    if (!opt->gamma || !opt->rules || !opt->flips || !opt->epoch_flips)
        return bnnep_fail_memory("an optimizer", connections * (5 * sizeof(double) + sizeof *opt->rules));
    opt->threshold = opt->gamma + connections;
    opt->lr_bias = opt->gamma + 2 * connections;
    opt->lr_alpha = o->lr_alpha ? opt->gamma + 3 * connections : NULL;
    opt->first_lr_alpha = o->lr_alpha ? opt->gamma + 4 * connections : NULL;
    for (size_t k = 0; k < connections; k++) {
        opt->gamma[k] = o->gamma[k];
        opt->threshold[k] = o->threshold[k];
        opt->lr_bias[k] = o->lr_bias[k];
        if (opt->lr_alpha)
            opt->lr_alpha[k] = opt->first_lr_alpha[k] = o->lr_alpha[k];
    }
    o->gamma = opt->gamma;
    o->threshold = opt->threshold;
    o->lr_bias = opt->lr_bias;
    o->lr_alpha = opt->lr_alpha;
    return BNNEP_OK;
}

/* m_0 = 2 gamma N(0, 1): the first update leaves (1-gamma) of it. */
static bnnep_status draw_momenta(bnnep_optimizer *opt) {
    const bnnep_network *net = opt->network;
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < net->model.connections; k++) {
        const uint64_t weights = (uint64_t)net->links[k].rows * net->links[k].columns;
        float *momentum = bnnep_array(weights + 1, sizeof *momentum);
        if (!momentum)
            return bnnep_fail_memory("drawn momenta", weights * sizeof *momentum);
        for (uint64_t i = 0; i < weights; i += 2) {
            uint32_t words[4];
            bnnep_draw(opt->options.seed, BNNEP_DRAW_NOISE, (uint32_t)k, i / 2, words);
            bnnep_draw_normal(words, momentum + i);
            momentum[i] *= (float)(2.0 * opt->gamma[k]);
            momentum[i + 1] *= (float)(2.0 * opt->gamma[k]);
        }
        status = bnnep_optimizer_set_momentum(opt, k, momentum, (size_t)weights);
        free(momentum);
    }
    return status;
}

bnnep_status bnnep_optimizer_create(bnnep_network *net, const bnnep_optimizer_options *theirs, bnnep_optimizer **out) {
    if (!net || !theirs || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_create: %s is NULL",
                          !net      ? "network"
                          : !theirs ? "options"
                                    : "out");
    *out = NULL;
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_status status = bnnep_take_options(&o, sizeof o, theirs, "bnnep_optimizer_options");
    if (status == BNNEP_OK)
        status = check_options(net, &o);
    if (status != BNNEP_OK)
        return status;
    bnnep_optimizer *opt = calloc(1, sizeof *opt);
    if (!opt)
        return bnnep_fail_memory("an optimizer", sizeof *opt);
    bnnep_network_retain(net);
    opt->network = net;
    opt->options = o;
    if (o.method == BNNEP_BPTT)
        opt->tape = o.nudged_steps + (net->model.convolutional ? 0 : 1);
    status = keep_arrays(opt, net->model.connections);
    if (status == BNNEP_OK) {
        char why[BNNEP_WHY] = "";
        const size_t batch = net->workspace->max_batch;
        status = net->backend->optimizer_create(net->device, batch, opt->tape, &opt->device, why);
        if (status == BNNEP_ERROR_MEMORY)
            bnnep_fail_memory("the momenta", net->backend->optimizer_bytes(&net->model, batch, opt->tape));
        else if (status != BNNEP_OK)
            bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    }
    if (status == BNNEP_OK && o.momentum_noise)
        status = draw_momenta(opt);
    if (status != BNNEP_OK) {
        bnnep_optimizer_free(opt);
        return status;
    }
    *out = opt;
    return BNNEP_OK;
}

void bnnep_optimizer_free(bnnep_optimizer *opt) {
    if (!opt)
        return;
    bnnep_network *net = opt->network;
    if (opt->device)
        net->backend->optimizer_destroy(opt->device);
    free(opt->gamma);
    free(opt->rules);
    free(opt->flips);
    free(opt->epoch_flips);
    free(opt);
    bnnep_network_free(net);
}

bnnep_status bnnep_optimizer_set_beta(bnnep_optimizer *opt, float beta, int32_t random_beta) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_set_beta: optimizer is NULL");
    const bnnep_status status = check_beta(beta);
    if (status == BNNEP_OK) {
        opt->options.beta = beta;
        opt->options.random_beta = random_beta;
    }
    return status;
}

bnnep_status bnnep_optimizer_set_lr_alpha(bnnep_optimizer *opt, const double *lr_alpha) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_set_lr_alpha: optimizer is NULL");
    if (!opt->lr_alpha)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the optimizer was made without learning rates of the scaling factors");
    const size_t connections = opt->network->model.connections;
    const bnnep_status status = check_array("lr_alpha", lr_alpha, connections, 0.0, false, (double)FLT_MAX);
    for (size_t k = 0; status == BNNEP_OK && k < connections; k++)
        opt->lr_alpha[k] = lr_alpha[k];
    return status;
}

bnnep_status bnnep_optimizer_get_position(const bnnep_optimizer *opt, uint64_t *batches, uint64_t *epochs) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_get_position: optimizer is NULL");
    if (batches)
        *batches = opt->batches;
    if (epochs)
        *epochs = opt->epochs;
    return BNNEP_OK;
}

bnnep_status bnnep_optimizer_set_position(bnnep_optimizer *opt, uint64_t batches, uint64_t epochs) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_set_position: optimizer is NULL");
    opt->batches = batches;
    opt->epochs = epochs;
    opt->epoch = (struct bnnep_sums){0};
    return BNNEP_OK;
}

/* The rules in float, each computed in double and rounded once: gamma is as small as 5e-8. c multiplies the sum over
 * the batch: 1/(beta batch) for the contrast, -1/batch for the gradient of the loss. */
static bnnep_status set_rules(bnnep_optimizer *opt, double c) {
    const double half = opt->network->model.convolutional ? 1.0 : 0.5; /* of the scaling factor's gradient */
    for (size_t k = 0; k < opt->network->model.connections; k++) {
        const struct bnnep_rule rule = {
            .decay = (float)(1.0 - opt->gamma[k]),
            .gain = (float)(opt->gamma[k] * c),
            .threshold = (float)opt->threshold[k],
            .bias_gain = (float)(opt->lr_bias[k] * c),
            .scale_gain = opt->lr_alpha ? (float)(opt->lr_alpha[k] * half * c) : 0.0f,
            .at_threshold = opt->network->model.convolutional,
        };
        if (!isfinite(rule.gain) || !isfinite(rule.bias_gain) || !isfinite(rule.scale_gain))
            return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                              "connection %zu: a rate divided by beta times the batch is beyond the range of float", k);
        opt->rules[k] = rule;
    }
    return BNNEP_OK;
}

/* Is there something to learn from in this workspace? */
static bnnep_status check_learn(const bnnep_optimizer *opt, const bnnep_workspace *ws, float beta) {
    if (!opt || !ws)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_learn: %s is NULL", opt ? "workspace" : "optimizer");
    if (ws->network != opt->network)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the workspace was made for another network");
    if (opt->tape > 0 && (opt->taped != ws || opt->taped_staging != ws->staging))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the batch staged in this workspace was not back-propagated");
    if (opt->tape > 0)
        return BNNEP_OK;
    if (ws->count == 0 || !ws->reached[BNNEP_PHASE_NUDGED])
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "there is no nudged phase to learn from in this workspace");
    return check_beta(beta);
}

bnnep_status bnnep_learn(bnnep_optimizer *opt, bnnep_workspace *ws, float beta, uint64_t *flips) {
    bnnep_status status = check_learn(opt, ws, beta);
    if (status != BNNEP_OK)
        return status;
    bnnep_network *net = opt->network;
    char why[BNNEP_WHY] = "";
    status = set_rules(opt, opt->tape > 0 ? -1.0 / (double)ws->count : 1.0 / ((double)beta * (double)ws->count));
    if (status != BNNEP_OK)
        return status;
    status = net->backend->learn(opt->device, ws->device, opt->rules, opt->lr_alpha != NULL, opt->flips, why);
    net->revision++;
    if (status != BNNEP_OK)
        return bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    for (size_t k = 0; flips && k < net->model.connections; k++)
        flips[k] = opt->flips[k];
    return BNNEP_OK;
}

bnnep_status bnnep_backpropagate(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t steps) {
    if (!opt || !ws)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_backpropagate: %s is NULL", opt ? "workspace" : "optimizer");
    if (ws->network != opt->network)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the workspace was made for another network");
    if (opt->tape == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the optimizer was not made for BPTT");
    if (steps < 1 || steps > opt->tape)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "steps is %d; this optimizer remembers 1 to %d", steps, opt->tape);
    if (ws->revision != opt->network->revision)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the network's parameters changed since the batch was staged: stage it again");
    if (ws->count == 0 || !ws->targeted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "no batch with targets is staged in this workspace");
    if (ws->count > opt->network->workspace->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "a batch of %zu samples; this network trains on at most %zu (max_batch)", ws->count,
                          opt->network->workspace->max_batch);
    char why[BNNEP_WHY] = "";
    opt->taped = NULL;
    const bnnep_status status = opt->network->backend->backpropagate(opt->device, ws->device, steps, why);
    if (status != BNNEP_OK)
        return bnnep_fail(status, "backend %s: %s", opt->network->backend->name, why);
    opt->taped = ws;
    opt->taped_staging = ws->staging;
    return BNNEP_OK;
}
