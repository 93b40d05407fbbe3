/* SPDX-License-Identifier: MIT */
/* Optimizers: how a network learns, its momenta, and the update. */
#include <math.h>
#include <stdlib.h>

#include "lib/internal.h"

static bnnep_status check_beta(float beta) {
    if (!isfinite(beta) || beta == 0.0f)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g; it must be a finite number other than 0", (double)beta);
    return BNNEP_OK;
}

/* Checks one of the arrays: min < or <= value <= max. */
static bnnep_status check_array(const char *name, const double *values, size_t count, double min, bool above,
                                double max) {
    if (!values)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s is NULL; it needs one element a connection", name);
    for (size_t k = 0; k < count; k++)
        if (!(above ? values[k] > min : values[k] >= min) || !(values[k] <= max) || !isfinite(values[k]))
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s of connection %zu is %g; it must be %s %g%s", name, k,
                              values[k], above ? "above" : "at least", min,
                              max < INFINITY ? " and at most 1" : " and finite");
    return BNNEP_OK;
}

static bnnep_status check_options(const bnnep_optimizer_options *o, size_t connections) {
    if (o->method == BNNEP_BPTT)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "back-propagation through time is not yet supported");
    if (o->method != BNNEP_EQUILIBRIUM_PROPAGATION)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "method is %d; known are 0 (equilibrium propagation) and 1 (BPTT)",
                          o->method);
    if (o->nudged_steps < 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "nudged_steps is %d; it must be at least 1", o->nudged_steps);
    bnnep_status status = check_beta(o->beta);
    if (status == BNNEP_OK)
        status = check_array("gamma", o->gamma, connections, 0.0, true, 1.0);
    if (status == BNNEP_OK)
        status = check_array("threshold", o->threshold, connections, 0.0, false, INFINITY);
    if (status == BNNEP_OK)
        status = check_array("lr_bias", o->lr_bias, connections, 0.0, false, INFINITY);
    if (status == BNNEP_OK && o->lr_alpha)
        status = check_array("lr_alpha", o->lr_alpha, connections, 0.0, false, INFINITY);
    return status;
}

/* Takes copies of the caller's arrays. */
static bnnep_status keep_arrays(bnnep_optimizer *opt, size_t connections) {
    bnnep_optimizer_options *o = &opt->options;
    opt->gamma = bnnep_array((uint64_t)4 * connections, sizeof(double));
    opt->rules = bnnep_array(connections, sizeof *opt->rules);
    opt->flips = bnnep_array(connections, sizeof *opt->flips);
    if (!opt->gamma || !opt->rules || !opt->flips)
        return bnnep_fail_memory("an optimizer", connections * (4 * sizeof(double) + sizeof *opt->rules));
    opt->threshold = opt->gamma + connections;
    opt->lr_bias = opt->gamma + 2 * connections;
    opt->lr_alpha = o->lr_alpha ? opt->gamma + 3 * connections : NULL;
    for (size_t k = 0; k < connections; k++) {
        opt->gamma[k] = o->gamma[k];
        opt->threshold[k] = o->threshold[k];
        opt->lr_bias[k] = o->lr_bias[k];
        if (opt->lr_alpha)
            opt->lr_alpha[k] = o->lr_alpha[k];
    }
    o->gamma = opt->gamma;
    o->threshold = opt->threshold;
    o->lr_bias = opt->lr_bias;
    o->lr_alpha = opt->lr_alpha;
    return BNNEP_OK;
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
        status = check_options(&o, net->model.connections);
    if (status != BNNEP_OK)
        return status;
    bnnep_optimizer *opt = calloc(1, sizeof *opt);
    if (!opt)
        return bnnep_fail_memory("an optimizer", sizeof *opt);
    bnnep_network_retain(net);
    opt->network = net;
    opt->options = o;
    status = keep_arrays(opt, net->model.connections);
    if (status == BNNEP_OK) {
        char why[BNNEP_WHY] = "";
        status = net->backend->learner_create(net->device, &opt->device, why);
        if (status == BNNEP_ERROR_MEMORY)
            bnnep_fail_memory("the momenta", net->backend->learner_bytes(&net->model));
        else if (status != BNNEP_OK)
            bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    }
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
        net->backend->learner_destroy(opt->device);
    free(opt->gamma);
    free(opt->rules);
    free(opt->flips);
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
    const bnnep_status status = check_array("lr_alpha", lr_alpha, connections, 0.0, false, INFINITY);
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
    return BNNEP_OK;
}

/* The rules in float, each computed in double and rounded once: gamma is as small as 5e-8. */
static void set_rules(bnnep_optimizer *opt, double beta, size_t batch) {
    const double c = 1.0 / (beta * (double)batch);
    const double half = opt->network->model.convolutional ? 1.0 : 0.5; /* of the scaling factor's gradient */
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->rules[k] = (struct bnnep_rule){
            .decay = (float)(1.0 - opt->gamma[k]),
            .gain = (float)(opt->gamma[k] * c),
            .threshold = (float)opt->threshold[k],
            .bias_gain = (float)(opt->lr_bias[k] * c),
            .scale_gain = opt->lr_alpha ? (float)(opt->lr_alpha[k] * half * c) : 0.0f,
        };
}

bnnep_status bnnep_learn(bnnep_optimizer *opt, bnnep_workspace *ws, float beta, uint64_t *flips) {
    if (!opt || !ws)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_learn: %s is NULL", opt ? "workspace" : "optimizer");
    const bnnep_network *net = opt->network;
    if (ws->network != net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the workspace was made for another network");
    if (ws->count == 0 || !ws->reached[BNNEP_SLOT_NUDGED])
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "there is no nudged phase to learn from in this workspace");
    bnnep_status status = check_beta(beta);
    if (status != BNNEP_OK)
        return status;
    char why[BNNEP_WHY] = "";
    set_rules(opt, beta, ws->count);
    status = net->backend->learn(opt->device, ws->device, opt->rules, opt->lr_alpha != NULL, opt->flips, why);
    if (status != BNNEP_OK)
        return bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    for (size_t k = 0; flips && k < net->model.connections; k++)
        flips[k] = opt->flips[k];
    return BNNEP_OK;
}
