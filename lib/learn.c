/* SPDX-License-Identifier: MIT */
/* Contrasts, and the updates by them. */
#include <float.h>
#include <math.h>

#include "lib/internal.h"

bnnep_status bnnep_check_trainable(const bnnep_optimizer *opt, size_t count) {
    const size_t most = opt->network->workspace->max_batch;
    if (opt->tape == 0 || count <= most)
        return BNNEP_OK;
    return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                      "a batch of %zu samples; by BPTT this network trains on at most %zu (max_batch)", count, most);
}

/* What the parts of a contrast, plain sums over the batch, are to be multiplied by. */
static struct bnnep_gain gain_of(const bnnep_optimizer *opt, double gain) {
    const double half = opt->network->model.convolutional ? 1.0 : 0.5; /* of the scaling factor's gradient */
    return (struct bnnep_gain){.of = {gain, gain, half * gain}};
}

/* What multiplies |m|, which is told in thresholds. Of a threshold of 0, or one that is not known yet, nothing is held.
 */
static float consolidation_of(const bnnep_optimizer *opt, float threshold) {
    const double per_momentum = (double)opt->options.consolidation / (double)threshold;
    return threshold > 0.0f ? (float)fmin(per_momentum, (double)FLT_MAX) : 0.0f;
}

/* The rules in float, each computed in double and rounded once: gamma is as small as 5e-8. gains: [connections], or one
 * for all. */
static bnnep_status set_rules(bnnep_optimizer *opt, const struct bnnep_gain *gains, bool one) {
    for (size_t k = 0; k < opt->network->model.connections; k++) {
        const double *gain = gains[one ? 0 : k].of;
        const double fallen = bnnep_fallen(opt, k), gamma = fallen * opt->rates.of[BNNEP_RATE_GAMMA][k];
        const double lr_bias = fallen * bnnep_bias_rate_of(opt, k), lr_alpha = fallen * bnnep_scale_rate_of(opt, k);
        const float threshold = (float)bnnep_threshold_of(opt, k);
        const struct bnnep_rule rule = {
            .size = sizeof rule,
            .decay = (float)(1.0 - gamma),
            .gain = (float)(gamma * gain[BNNEP_CONTRAST_WEIGHTS]),
            .threshold = threshold,
            .bias_gain = (float)(lr_bias * gain[BNNEP_CONTRAST_BIAS]),
            .scale_gain = (float)(lr_alpha * gain[BNNEP_CONTRAST_ALPHA]),
            .at_threshold = opt->network->model.convolutional,
            .reset = opt->options.flip_reset,
            .consolidation = consolidation_of(opt, threshold),
        };
        if (!isfinite(rule.gain) || !isfinite(rule.bias_gain) || !isfinite(rule.scale_gain))
            return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                              "connection %zu: a rate divided by beta times the batch is beyond the range of float", k);
        opt->rules[k] = rule;
    }
    return BNNEP_OK;
}

static struct bnnep_learning learning_of(bnnep_optimizer *opt, int32_t first, int32_t second) {
    opt->squared = (opt->asks || bnnep_measures(&opt->options)) && opt->network->backend->can->squares;
    return (struct bnnep_learning){
        .size = sizeof(struct bnnep_learning),
        .rules = opt->rule_of,
        .flips = opt->flips,
        .first = first,
        .second = second,
        .learn_scale = opt->rates.of[BNNEP_RATE_ALPHA] != NULL,
        .covariance = opt->options.covariance,
        .squares = opt->squared ? opt->squares : NULL,
    };
}

/* --- in one pass, for training ------------------------------------------------------------------------------------ */

bnnep_status bnnep_learn(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t first) {
    bnnep_network *net = opt->network;
    const struct bnnep_backend *backend = net->backend;
    char why[BNNEP_WHY] = "";
    const double betas = (double)ws->beta[BNNEP_PHASE_NUDGED] - (double)ws->beta[first], count = (double)ws->count;
    const struct bnnep_gain gain = gain_of(opt, opt->tape > 0 ? -1.0 / count : 1.0 / (betas * count));
    bnnep_status status = set_rules(opt, &gain, true);
    if (status != BNNEP_OK)
        return status;
    struct bnnep_learning how = learning_of(opt, first, BNNEP_PHASE_NUDGED);
    status = bnnep_means_sum(opt, ws, &how);
    if (status != BNNEP_OK) {
        opt->squared = false;
        return status;
    }
    opt->contrasted = false;
    for (size_t k = 0; k < net->model.connections; k++)
        opt->contrast_gain[k] = gain;
    if (backend->learn)
        status = backend->learn(opt->device, ws->device, &how, why);
    else {
        status = backend->contrast(opt->device, ws->device, &how, why);
        if (status == BNNEP_OK)
            status = backend->update(opt->device, &how, why);
    }
    net->revision++;
    opt->squared = opt->squared && status == BNNEP_OK;
    if (status == BNNEP_OK) {
        bnnep_means_keep(opt, &how);
        bnnep_measure(opt, &gain, true);
    }
    return bnnep_backend_failed(net, status, why);
}

/* --- one after the other ------------------------------------------------------------------------------------- */

/* What a contrast is taken with. */
static bnnep_status claim(struct bnnep_call *call, bnnep_optimizer *opt, bnnep_workspace *ws) {
    if (!opt || !ws)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: %s is NULL", call->name, opt ? "workspace" : "optimizer");
    bnnep_status status = bnnep_call_changes(call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = bnnep_call_changes(call, &ws->claim, "workspace");
    return status == BNNEP_OK ? bnnep_call_reads(call, &opt->network->claim, "network") : status;
}

/* Does the workspace hold a batch that the optimizer can learn from? */
static bnnep_status check_batch(const bnnep_optimizer *opt, const bnnep_workspace *ws) {
    if (ws->network != opt->network)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the workspace was made for another network");
    if (ws->count > 0 && ws->revision != opt->network->revision)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the network's parameters changed since the batch was staged: stage it again");
    return bnnep_check_trainable(opt, ws->count);
}

static size_t values_of(const struct bnnep_link *link, int32_t part) {
    return part == BNNEP_CONTRAST_WEIGHTS ? link->rows * link->columns
           : part == BNNEP_CONTRAST_BIAS  ? link->rows
                                          : link->scales;
}

/* A contrast that is kept takes as much memory again as the momenta. */
static bnnep_status check_room(const bnnep_optimizer *opt) {
    const bnnep_network *net = opt->network;
    uint64_t bytes = net->backend->optimizer_bytes(net->place, &net->model, net->workspace->max_batch, opt->tape);
    for (size_t k = 0; k < net->model.connections; k++)
        bytes += (uint64_t)values_of(net->model.links[k], BNNEP_CONTRAST_WEIGHTS) * sizeof(float);
    return bnnep_check_bytes(net->context, "an optimizer with its contrast", bytes);
}

static bnnep_status take_contrast(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t first, int32_t second,
                                  double gain) {
    char why[BNNEP_WHY] = "";
    struct bnnep_learning how = learning_of(opt, first, second);
    how.rules = NULL;
    how.flips = NULL;
    how.squares = NULL;
    opt->squared = false;
    bnnep_status status = check_room(opt);
    if (status == BNNEP_OK)
        status = bnnep_means_sum(opt, ws, &how);
    if (status != BNNEP_OK)
        return status;
    const struct bnnep_backend *backend = opt->network->backend;
    status = backend->contrast(opt->device, ws->device, &how, why);
    if (status != BNNEP_OK)
        return bnnep_backend_failed(opt->network, status, why);
    bnnep_means_keep(opt, &how);
    opt->contrasted = true;
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->contrast_gain[k] = gain_of(opt, gain);
    return BNNEP_OK;
}

/* The contrast of two phases, by options that have their defaults. */
static bnnep_status contrast_phases(bnnep_optimizer *opt, bnnep_workspace *ws, const bnnep_contrast_options *o) {
    bnnep_status status = check_batch(opt, ws);
    if (status != BNNEP_OK)
        return status;
    if (opt->tape > 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the optimizer was made for BPTT: bnnep_optimizer_backpropagate() leaves "
                          "its contrast");
    status = bnnep_check_reached(ws, o->first);
    if (status == BNNEP_OK)
        status = bnnep_check_reached(ws, o->second);
    if (status != BNNEP_OK)
        return status;
    if (o->first == o->second)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "first and second are both phase %d; a contrast is of two", o->first);
    const double betas = (double)ws->beta[o->second] - (double)ws->beta[o->first];
    const double divisor = o->divisor != 0.0 ? o->divisor : betas;
    const double gain = 1.0 / (divisor * (double)ws->count);
    if (!isfinite(divisor) || !isfinite(gain))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the divisor is %g; it must be a finite number other than 0", divisor);
    return take_contrast(opt, ws, o->first, o->second, gain);
}

bnnep_status bnnep_optimizer_contrast(bnnep_optimizer *opt, bnnep_workspace *ws, const bnnep_contrast_options *theirs) {
    struct bnnep_call call = {.name = "bnnep_optimizer_contrast"};
    bnnep_contrast_options o;
    bnnep_status status = claim(&call, opt, ws);
    if (status == BNNEP_OK)
        status = bnnep_take_contrast_options(&o, theirs);
    if (status == BNNEP_OK)
        status = contrast_phases(opt, ws, &o);
    return bnnep_call_end(&call, status);
}

/* Updates by the contrast that is kept. */
static bnnep_status update(bnnep_optimizer *opt) {
    bnnep_network *net = opt->network;
    char why[BNNEP_WHY] = "";
    if (!opt->contrasted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "there is no contrast to update by");
    bnnep_status status = set_rules(opt, opt->contrast_gain, false);
    if (status != BNNEP_OK)
        return status;
    const struct bnnep_learning how = learning_of(opt, 0, 0);
    status = net->backend->update(opt->device, &how, why);
    net->revision++;
    opt->squared = opt->squared && status == BNNEP_OK;
    if (status == BNNEP_OK)
        bnnep_measure(opt, opt->contrast_gain, false);
    return bnnep_backend_failed(net, status, why);
}

bnnep_status bnnep_optimizer_update(bnnep_optimizer *opt, bnnep_report *theirs) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_update: optimizer is NULL");
    struct bnnep_call call = {.name = "bnnep_optimizer_update"};
    struct bnnep_diagnosis diagnosis = {.momenta = NULL};
    bnnep_report report;
    bnnep_status status = bnnep_take_options(&report, sizeof report, theirs, "bnnep_report");
    if (status == BNNEP_OK)
        status = bnnep_call_changes(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = bnnep_call_changes(&call, &opt->network->claim, "network");
    if (status == BNNEP_OK)
        status = bnnep_diagnosis_open(opt, &report, &diagnosis);
    if (status == BNNEP_OK) {
        opt->asks = report.contrasts != NULL;
        status = update(opt);
    }
    if (status == BNNEP_OK)
        status = bnnep_diagnose(opt, &diagnosis);
    for (size_t k = 0; status == BNNEP_OK && report.flips && k < opt->network->model.connections; k++)
        report.flips[k] = opt->flips[k];
    bnnep_diagnosis_close(opt->network, &diagnosis);
    return bnnep_call_end(&call, status);
}

/* --- back-propagation through time --------------------------------------------------------------------------- */

static bnnep_status check_backpropagate(const bnnep_optimizer *opt, const bnnep_workspace *ws, int32_t steps) {
    const bnnep_status status = check_batch(opt, ws);
    if (status != BNNEP_OK)
        return status;
    if (opt->tape == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the optimizer was not made for BPTT");
    if (steps < 1 || steps > opt->tape)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "steps is %d; this optimizer remembers 1 to %d", steps, opt->tape);
    if (ws->count == 0 || !ws->targeted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "no batch with targets is staged in this workspace");
    return BNNEP_OK;
}

bnnep_status bnnep_walk_back(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t steps) {
    char why[BNNEP_WHY] = "";
    bnnep_status status = check_backpropagate(opt, ws, steps);
    if (status != BNNEP_OK)
        return status;
    opt->contrasted = false;
    status = opt->network->backend->backpropagate(opt->device, ws->device, steps, why);
    return bnnep_backend_failed(opt->network, status, why);
}

bnnep_status bnnep_optimizer_backpropagate(bnnep_optimizer *opt, bnnep_workspace *ws, int32_t steps) {
    struct bnnep_call call = {.name = "bnnep_optimizer_backpropagate"};
    bnnep_status status = claim(&call, opt, ws);
    if (status == BNNEP_OK)
        status = bnnep_walk_back(opt, ws, steps);
    if (status == BNNEP_OK)
        status = take_contrast(opt, ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, -1.0 / (double)ws->count);
    return bnnep_call_end(&call, status);
}

/* --- reading and setting a contrast -------------------------------------------------------------------------- */

static bnnep_status check_part(const bnnep_optimizer *opt, size_t k, int32_t part, const float *values, size_t count) {
    if (!opt || !values)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "contrast: the %s is NULL", opt ? "array" : "optimizer");
    const struct bnnep_model *model = &opt->network->model;
    if (k >= model->connections)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "contrast: connection %zu does not exist; the network has %zu", k,
                          model->connections);
    if (part < 0 || part >= BNNEP_CONTRAST_PARTS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "contrast: part %d does not exist; known are 0 to %d", part,
                          BNNEP_CONTRAST_PARTS - 1);
    if (part == BNNEP_CONTRAST_ALPHA && !opt->rates.of[BNNEP_RATE_ALPHA])
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the optimizer was made without learning rates of the scaling factors");
    if (count != values_of(model->links[k], part))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "contrast of connection %zu: the array has %zu elements, expected %zu",
                          k, count, values_of(model->links[k], part));
    return BNNEP_OK;
}

/* A part of the contrast that is kept. */
static bnnep_status get_part(const bnnep_optimizer *opt, size_t k, int32_t part, float *values, size_t count) {
    if (!opt->contrasted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "there is no contrast");
    char why[BNNEP_WHY] = "";
    const struct bnnep_contrast_out to = {
        .size = sizeof to,
        .weights = part == BNNEP_CONTRAST_WEIGHTS ? values : NULL,
        .bias = part == BNNEP_CONTRAST_BIAS ? values : NULL,
        .scale = part == BNNEP_CONTRAST_ALPHA ? values : NULL,
    };
    const bnnep_status got = opt->network->backend->get_contrast(opt->device, k, &to, why);
    for (size_t i = 0; got == BNNEP_OK && i < count; i++)
        values[i] = (float)(opt->contrast_gain[k].of[part] * (double)values[i]);
    return bnnep_backend_failed(opt->network, got, why);
}

bnnep_status bnnep_optimizer_get_contrast(const bnnep_optimizer *opt, size_t k, int32_t part, float *values,
                                          size_t count) {
    struct bnnep_call call = {.name = "bnnep_optimizer_get_contrast"};
    bnnep_status status = check_part(opt, k, part, values, count);
    if (status == BNNEP_OK)
        status = bnnep_call_reads(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = get_part(opt, k, part, values, count);
    return bnnep_call_end(&call, status);
}

static bnnep_status put_part(bnnep_optimizer *opt, size_t k, int32_t part, const float *values) {
    char why[BNNEP_WHY] = "";
    const struct bnnep_contrast from = {
        .size = sizeof from,
        .weights = part == BNNEP_CONTRAST_WEIGHTS ? values : NULL,
        .bias = part == BNNEP_CONTRAST_BIAS ? values : NULL,
        .scale = part == BNNEP_CONTRAST_ALPHA ? values : NULL,
    };
    const bnnep_status status = opt->network->backend->put_contrast(opt->device, k, &from, why);
    opt->squared = false;
    if (status == BNNEP_OK)
        opt->contrast_gain[k].of[part] = 1.0;
    return bnnep_backend_failed(opt->network, status, why);
}

/* A contrast that is 0 everywhere, for what the caller will not set. */
static bnnep_status clear(bnnep_optimizer *opt) {
    const struct bnnep_model *model = &opt->network->model;
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < model->connections; k++) {
        const size_t most = values_of(model->links[k], BNNEP_CONTRAST_WEIGHTS);
        float *zeros = bnnep_take(opt->network->context, most, sizeof *zeros);
        if (!zeros)
            status = bnnep_fail_memory("a contrast", most * sizeof *zeros);
        for (int32_t part = 0; status == BNNEP_OK && part < BNNEP_CONTRAST_PARTS; part++)
            status = put_part(opt, k, part, zeros);
        bnnep_give_back(opt->network->context, zeros);
    }
    return status;
}

bnnep_status bnnep_optimizer_set_contrast(bnnep_optimizer *opt, size_t k, int32_t part, const float *values,
                                          size_t count) {
    struct bnnep_call call = {.name = "bnnep_optimizer_set_contrast"};
    bnnep_status status = check_part(opt, k, part, values, count);
    if (status == BNNEP_OK)
        status = bnnep_check_finite("contrast", values, count);
    if (status == BNNEP_OK)
        status = bnnep_call_changes(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = check_room(opt);
    if (status == BNNEP_OK && !opt->contrasted)
        status = clear(opt);
    if (status == BNNEP_OK)
        status = put_part(opt, k, part, values);
    if (status == BNNEP_OK) {
        opt->contrasted = true;
        opt->means.first = false;
    }
    return bnnep_call_end(&call, status);
}
