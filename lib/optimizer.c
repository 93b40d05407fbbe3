/* SPDX-License-Identifier: MIT */
/* Optimizers: what they are made with, their rates, clones. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/internal.h"

bnnep_status bnnep_check_beta(double beta) {
    if (!isfinite((float)beta) || fabsf((float)beta) < FLT_MIN)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g; it must be a finite number other than 0", beta);
    return BNNEP_OK;
}

/* --- rates --------------------------------------------------------------------------------------------------- */

const char *const bnnep_rate_names[BNNEP_RATES] = {"gamma", "threshold", "lr_bias", "lr_alpha", "beta"};

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

bnnep_status bnnep_check_rates(int32_t which, const double *values, size_t count) {
    if (which == BNNEP_RATE_BETA)
        return values ? bnnep_check_beta(values[0]) : bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is NULL");
    return which == BNNEP_RATE_GAMMA ? check_array("gamma", values, count, 0.0, true, 1.0)
                                     : check_array(bnnep_rate_names[which], values, count, 0.0, false, (double)FLT_MAX);
}

size_t bnnep_rate_count(const bnnep_optimizer *opt, int32_t which) {
    return !opt->rates.of[which] ? 0 : which == BNNEP_RATE_BETA ? 1 : opt->network->model.connections;
}

static bnnep_status check_access(const char *function, const bnnep_optimizer *opt, int32_t which, const double *values,
                                 size_t count) {
    if (!opt || !values)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: %s is NULL", function, opt ? "values" : "optimizer");
    if (which < 0 || which >= BNNEP_RATES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "rate %d does not exist; known are 0 to %d", which, BNNEP_RATES - 1);
    if (!opt->rates.of[which])
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the optimizer was made without learning rates of the scaling factors");
    if (count != bnnep_rate_count(opt, which))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: the array has %zu elements, expected %zu", bnnep_rate_names[which],
                          count, bnnep_rate_count(opt, which));
    return BNNEP_OK;
}

bnnep_status bnnep_optimizer_get_rates(const bnnep_optimizer *opt, int32_t which, double *values, size_t count) {
    struct bnnep_call call = {.name = "bnnep_optimizer_get_rates"};
    bnnep_status status = check_access(call.name, opt, which, values, count);
    if (status == BNNEP_OK)
        status = bnnep_call_reads(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        memcpy(values, opt->rates.of[which], count * sizeof *values);
    return bnnep_call_end(&call, status);
}

bnnep_status bnnep_optimizer_set_rates(bnnep_optimizer *opt, int32_t which, const double *values, size_t count) {
    struct bnnep_call call = {.name = "bnnep_optimizer_set_rates"};
    bnnep_status status = check_access(call.name, opt, which, values, count);
    if (status == BNNEP_OK)
        status = bnnep_check_rates(which, values, count);
    if (status == BNNEP_OK)
        status = bnnep_call_changes(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        memcpy(opt->rates.of[which], values, count * sizeof *values);
    return bnnep_call_end(&call, status);
}

/* --- options ------------------------------------------------------------------------------------------------- */

static bnnep_status check_method(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (o->method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION)
        return BNNEP_OK;
    if (o->method != BNNEP_METHOD_BPTT)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "method is %d; known are 0 (equilibrium propagation) and 1 (BPTT)",
                          o->method);
    if (net->model.dynamics == BNNEP_DYNAMICS_BINARY)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT is not defined for binary activations, which have no derivative");
    if (!net->backend->can->tape)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not do BPTT", net->backend->name);
    if (o->lr_alpha)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT is not defined for learnt scaling factors: lr_alpha must be NULL");
    if (net->options.schedule != BNNEP_SCHEDULE_SYNCHRONOUS)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "BPTT goes back through synchronous steps: schedule must be 0");
    if (net->model.feedback != 1.0f)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT goes back through feedback of full strength: feedback is %g, and must be 1",
                          (double)net->model.feedback);
    if (net->options.grid_bits)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "BPTT goes through states that are not rounded: grid_bits must be 0");
    return BNNEP_OK;
}

/* The steps may become fewer later, and more again: training checks them too. */
static bnnep_status check_steps(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (o->method != BNNEP_METHOD_BPTT || net->free_steps > o->nudged_steps)
        return BNNEP_OK;
    return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                      "BPTT with nudged_steps %d needs at least %d free_steps, the network has %d", o->nudged_steps,
                      o->nudged_steps + 1, net->free_steps);
}

static bnnep_status check_covariance(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (o->covariance != 0 && o->covariance != 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "covariance is %d; it must be 0 or 1", o->covariance);
    if (o->covariance && o->method == BNNEP_METHOD_BPTT)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "covariance is 1, which needs contrasts of two phases, not BPTT");
    if (o->covariance && !net->backend->can->covariance)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not do contrasts of covariances",
                          net->backend->name);
    return BNNEP_OK;
}

static bnnep_status check_consolidation(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (!(o->consolidation >= 0.0f && o->consolidation <= 1e6f))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "consolidation is %g; it must be from 0 to 1e6",
                          (double)o->consolidation);
    if (o->consolidation > 0.0f && !net->backend->can->consolidation)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not consolidate", net->backend->name);
    return BNNEP_OK;
}

static bnnep_status check_options(const bnnep_network *net, const bnnep_optimizer_options *o) {
    const size_t connections = net->model.connections;
    if (o->nudged_steps < 1 || o->nudged_steps > 1000000)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "nudged_steps is %d; it must be at least 1", o->nudged_steps);
    if (o->nudge < BNNEP_NUDGE_RANDOM_SIGN || o->nudge > BNNEP_NUDGE_CENTRED)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "nudge is %d; known are 0 (random sign), 1 (fixed) and 2 (centred)",
                          o->nudge);
    if (o->nudge == BNNEP_NUDGE_CENTRED && net->backend->can->phases < BNNEP_PHASES)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "nudge is 2 (centred), which takes three phases, and backend %s keeps the states of %d",
                          net->backend->name, net->backend->can->phases);
    if (o->keep_order != 0 && o->keep_order != 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "keep_order is %d; it must be 0 or 1", o->keep_order);
    if (o->connection_count != 0 && o->connection_count != connections)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the optimizer's arrays have %zu elements, the network %zu connections",
                          o->connection_count, connections);
    if (o->lr_alpha && !net->backend->can->scale)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not learn scaling factors", net->backend->name);
    const double *const given[BNNEP_RATES] = {o->gamma, o->threshold, o->lr_bias, o->lr_alpha, &o->beta};
    bnnep_status status = check_covariance(net, o);
    if (status == BNNEP_OK)
        status = check_consolidation(net, o);
    if (status == BNNEP_OK)
        status = check_method(net, o);
    if (status == BNNEP_OK)
        status = bnnep_check_units(net, o);
    for (int32_t which = 0; status == BNNEP_OK && which < BNNEP_RATES; which++)
        if (which != BNNEP_RATE_ALPHA || o->lr_alpha)
            status = bnnep_check_rates(which, given[which], connections);
    return status;
}

/* --- creation ------------------------------------------------------------------------------------------------ */

/* Divides `room` for the rates that `given` has, and copies them. Returns what is left of the room. */
static double *copy_rates(struct bnnep_rates *rates, const double *const given[BNNEP_RATES], size_t connections,
                          double *room) {
    for (int32_t which = 0; which < BNNEP_RATES; which++) {
        const size_t count = which == BNNEP_RATE_BETA ? 1 : connections;
        rates->of[which] = given[which] ? room : NULL;
        if (given[which])
            memcpy(room, given[which], count * sizeof *room);
        room += count;
    }
    return room;
}

/* Takes copies of the caller's arrays, and makes those that belong to an update. */
static bnnep_status keep_arrays(bnnep_optimizer *opt, size_t L) {
    bnnep_optimizer_options *o = &opt->options;
    const bnnep_context *context = opt->network->context;
    const double *const given[BNNEP_RATES] = {o->gamma, o->threshold, o->lr_bias, o->lr_alpha, &o->beta};
    double *room = bnnep_take(context, 2 * ((BNNEP_RATES - 1) * (uint64_t)L + 1), sizeof *room);
    opt->values = room;
    opt->rules = bnnep_take(context, L, sizeof *opt->rules);
    opt->rule_of = bnnep_take(context, L, sizeof *opt->rule_of); /* NOLINT(bugprone-sizeof-expression): a pointer */
    opt->contrast_gain = bnnep_take(context, L, sizeof *opt->contrast_gain);
    opt->flips = bnnep_take(context, L, sizeof *opt->flips);
    opt->squares = bnnep_take(context, L, sizeof *opt->squares);
    opt->spread = bnnep_take(context, L, sizeof *opt->spread);
    opt->renewed = bnnep_take(context, L, sizeof *opt->renewed);
    opt->epoch_flips = bnnep_take(context, L, sizeof *opt->epoch_flips);
    if (!room || !opt->rules || !opt->rule_of || !opt->contrast_gain || !opt->flips || !opt->squares || !opt->spread ||
        !opt->renewed || !opt->epoch_flips)
        return bnnep_fail_memory("an optimizer", L * (sizeof *room * 2 * BNNEP_RATES + sizeof *opt->rules));
    room = copy_rates(&opt->made, given, L, room);
    copy_rates(&opt->rates, given, L, room);
    for (size_t k = 0; k < L; k++)
        opt->rule_of[k] = &opt->rules[k];
    o->gamma = opt->made.of[BNNEP_RATE_GAMMA];
    o->threshold = opt->made.of[BNNEP_RATE_THRESHOLD];
    o->lr_bias = opt->made.of[BNNEP_RATE_BIAS];
    o->lr_alpha = opt->made.of[BNNEP_RATE_ALPHA];
    o->connection_count = L;
    return BNNEP_OK;
}

/* The backend's part. */
static bnnep_status build(bnnep_optimizer *opt) {
    const bnnep_network *net = opt->network;
    const struct bnnep_backend *backend = net->backend;
    const size_t batch = net->workspace->max_batch;
    char why[BNNEP_WHY] = "";
    const uint64_t bytes = backend->optimizer_bytes(net->place, &net->model, batch, opt->tape) +
                           (opt->options.covariance ? bnnep_means_bytes(&net->model) : 0);
    bnnep_status status = bnnep_check_bytes(net->context, "an optimizer", bytes);
    if (status != BNNEP_OK)
        return status;
    status = backend->optimizer_create(net->device, batch, opt->tape, &opt->device, why);
    return status == BNNEP_ERROR_MEMORY ? bnnep_fail_memory("the momenta", bytes)
                                        : bnnep_backend_failed(net, status, why);
}

/* An optimizer by options that have their defaults. */
static bnnep_status make(bnnep_network *net, const bnnep_optimizer_options *o, bnnep_optimizer **out) {
    bnnep_status status = check_options(net, o);
    if (status != BNNEP_OK)
        return status;
    bnnep_optimizer *opt = bnnep_take(net->context, 1, sizeof *opt);
    if (!opt)
        return bnnep_fail_memory("an optimizer", sizeof *opt);
    bnnep_network_retain(net);
    opt->network = net;
    opt->options = *o;
    if (o->method == BNNEP_METHOD_BPTT)
        opt->tape = o->nudged_steps + (net->model.convolutional ? 0 : 1);
    status = keep_arrays(opt, net->model.connections);
    if (status == BNNEP_OK)
        status = build(opt);
    if (status == BNNEP_OK)
        status = bnnep_means_make(opt);
    if (status != BNNEP_OK) {
        bnnep_optimizer_free(opt);
        return status;
    }
    *out = opt;
    return BNNEP_OK;
}

/* By the default rule. */
static bnnep_status make_by_default(bnnep_network *net, bnnep_optimizer_options *o, bnnep_optimizer **out) {
    double *values = bnnep_take(net->context, 4 * (uint64_t)net->model.connections, sizeof *values);
    if (!values)
        return bnnep_fail_memory("an optimizer", 4 * net->model.connections * sizeof *values);
    bnnep_default_rule(net, o, values);
    const bnnep_status status = make(net, o, out);
    bnnep_give_back(net->context, values);
    return status;
}

bnnep_status bnnep_optimizer_create(bnnep_network *net, const bnnep_optimizer_options *theirs, bnnep_optimizer **out) {
    if (out)
        *out = NULL;
    if (!net || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_create: %s is NULL", net ? "out" : "network");
    bnnep_optimizer_options o;
    bnnep_status status = bnnep_take_optimizer_options(&o, theirs);
    if (status == BNNEP_OK)
        status = check_steps(net, &o);
    if (status != BNNEP_OK)
        return status;
    if (bnnep_leaves_rule(&o))
        return make_by_default(net, &o, out);
    o.beta = o.beta != 0.0 ? o.beta : BNNEP_BETA;
    return make(net, &o, out);
}

void bnnep_optimizer_free(bnnep_optimizer *opt) {
    if (!opt)
        return;
    bnnep_network *net = opt->network;
    const bnnep_context *context = net->context;
    if (opt->device)
        net->backend->optimizer_destroy(opt->device);
    bnnep_give_back(context, opt->values);
    bnnep_give_back(context, opt->rules);
    bnnep_give_back(context, opt->rule_of);
    bnnep_give_back(context, opt->contrast_gain);
    bnnep_give_back(context, opt->flips);
    bnnep_give_back(context, opt->squares);
    bnnep_give_back(context, opt->spread);
    bnnep_give_back(context, opt->renewed);
    bnnep_give_back(context, opt->epoch_flips);
    bnnep_means_free(opt);
    bnnep_give_back(context, opt);
    bnnep_network_free(net);
}

/* --- clones -------------------------------------------------------------------------------------------------- */

static bool same_shape(const bnnep_network *a, const bnnep_network *b) {
    bool same = a->model.connections == b->model.connections && a->model.dynamics == b->model.dynamics;
    for (size_t k = 0; same && k < a->model.connections; k++)
        same = memcmp(a->model.links[k], b->model.links[k], sizeof(struct bnnep_link)) == 0;
    return same;
}

static bnnep_status copy_momenta(const bnnep_optimizer *from, bnnep_optimizer *to) {
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < from->network->model.connections; k++) {
        const struct bnnep_link *link = from->network->model.links[k];
        const size_t weights = link->rows * link->columns;
        float *momentum = bnnep_take(to->network->context, weights, sizeof *momentum);
        status = momentum ? bnnep_optimizer_get_momentum(from, k, momentum, weights)
                          : bnnep_fail_memory("a clone's momenta", weights * sizeof *momentum);
        if (status == BNNEP_OK)
            status = bnnep_optimizer_set_momentum(to, k, momentum, weights);
        bnnep_give_back(to->network->context, momentum);
    }
    return status;
}

/* An optimizer like another one, which nobody changes. */
static bnnep_status copy(const bnnep_optimizer *opt, bnnep_network *net, bnnep_optimizer **out) {
    bnnep_optimizer *clone = NULL;
    bnnep_status status = make(net, &opt->options, &clone);
    if (status != BNNEP_OK)
        return status;
    status = copy_momenta(opt, clone);
    if (status != BNNEP_OK) {
        bnnep_optimizer_free(clone);
        return status;
    }
    const size_t L = net->model.connections;
    memcpy(clone->values, opt->values, 2 * ((BNNEP_RATES - 1) * L + 1) * sizeof *clone->values);
    memcpy(clone->epoch_flips, opt->epoch_flips, L * sizeof *clone->epoch_flips);
    memcpy(clone->spread, opt->spread, L * sizeof *clone->spread);
    memcpy(clone->renewed, opt->renewed, L * sizeof *clone->renewed);
    bnnep_means_copy(opt, clone);
    clone->updates = opt->updates;
    clone->measured = opt->measured;
    clone->fallen_at = opt->fallen_at;
    clone->renewed_at = opt->renewed_at;
    clone->epoch_count = opt->epoch_count;
    clone->epoch_batch_size = opt->epoch_batch_size;
    clone->epoch = opt->epoch;
    clone->batches = opt->batches;
    clone->epochs = opt->epochs;
    *out = clone;
    return BNNEP_OK;
}

bnnep_status bnnep_optimizer_clone(const bnnep_optimizer *opt, bnnep_network *net, bnnep_optimizer **out) {
    if (out)
        *out = NULL;
    if (!opt || !net || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_clone: %s is NULL",
                          !opt   ? "optimizer"
                          : !net ? "network"
                                 : "out");
    if (!same_shape(opt->network, net))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the network has another shape than the optimizer's");
    struct bnnep_call call = {.name = "bnnep_optimizer_clone"};
    bnnep_status status = bnnep_call_reads(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = copy(opt, net, out);
    return bnnep_call_end(&call, status);
}

/* --- what an optimizer is ------------------------------------------------------------------------------------ */

bnnep_status bnnep_optimizer_get_info(const bnnep_optimizer *opt, bnnep_optimizer_info *info) {
    if (!opt || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_get_info: %s is NULL", opt ? "info" : "optimizer");
    const bnnep_optimizer_info found = {
        .batches = opt->batches,
        .epochs = opt->epochs,
        .seed = opt->options.seed,
        .method = opt->options.method,
        .nudged_steps = opt->options.nudged_steps,
        .nudge = opt->options.nudge,
        .keep_order = opt->options.keep_order != 0,
        .learns_alpha = opt->rates.of[BNNEP_RATE_ALPHA] != NULL,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_optimizer_info");
}

bnnep_status bnnep_optimizer_set_position(bnnep_optimizer *opt, uint64_t batches, uint64_t epochs) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_set_position: optimizer is NULL");
    if (batches > INT64_MAX || epochs > INT64_MAX)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%llu batches and %llu epochs; neither may exceed 2^63 - 1",
                          (unsigned long long)batches, (unsigned long long)epochs);
    struct bnnep_call call = {.name = "bnnep_optimizer_set_position"};
    const bnnep_status status = bnnep_call_changes(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK) {
        opt->batches = opt->updates = batches;
        bnnep_measure_anew(opt);
        opt->epochs = epochs;
        bnnep_forget_epoch(opt);
    }
    return bnnep_call_end(&call, status);
}
