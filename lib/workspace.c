/* SPDX-License-Identifier: MIT */
/* Workspaces: a staged batch, its phases, and their states. */
#include <math.h>
#include <stdlib.h>

#include "lib/internal.h"

static uint64_t host_bytes_per_sample(uint64_t inputs, uint64_t outputs) {
    return (inputs + 2 * outputs) * sizeof(float) + sizeof(int32_t) + sizeof(uint64_t);
}

uint64_t bnnep_workspace_host_bytes(const bnnep_network_options *options, uint64_t inputs, uint64_t outputs) {
    return sizeof(bnnep_workspace) + (uint64_t)options->max_batch * host_bytes_per_sample(inputs, outputs);
}

bnnep_status bnnep_workspace_make(bnnep_network *net, size_t max_batch, int32_t threads, bool owns_reference,
                                  bnnep_workspace **out) {
    char why[BNNEP_WHY] = "";
    *out = NULL;
    bnnep_workspace *ws = calloc(1, sizeof *ws);
    if (!ws)
        return bnnep_fail_memory("a workspace", sizeof *ws);
    if (owns_reference)
        bnnep_network_retain(net);
    ws->network = net;
    ws->owns_reference = owns_reference;
    ws->max_batch = max_batch;
    ws->inputs = bnnep_array((uint64_t)max_batch * net->inputs, sizeof(float));
    ws->targets = bnnep_array((uint64_t)max_batch * net->outputs, sizeof(float));
    ws->outputs = bnnep_array((uint64_t)max_batch * net->outputs, sizeof(float));
    ws->labels = bnnep_array(max_batch, sizeof(int32_t));
    ws->indices = bnnep_array(max_batch, sizeof(uint64_t));
    bnnep_status status = BNNEP_OK;
    if (!ws->inputs || !ws->targets || !ws->outputs || !ws->labels || !ws->indices)
        status = bnnep_fail_memory("a workspace", max_batch * host_bytes_per_sample(net->inputs, net->outputs));
    else {
        status = net->backend->workspace_create(net->device, max_batch, threads, &ws->device, why);
        if (status != BNNEP_OK)
            bnnep_fail(status, "a workspace for batches of %zu: %s", max_batch, why);
    }
    if (status != BNNEP_OK) {
        bnnep_workspace_free(ws);
        return status;
    }
    *out = ws;
    return BNNEP_OK;
}

bnnep_status bnnep_workspace_create(const bnnep_network *network, const bnnep_workspace_options *theirs,
                                    bnnep_workspace **out) {
    if (out)
        *out = NULL;
    if (!network || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_workspace_create: %s is NULL", network ? "out" : "network");
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    if (theirs) {
        const bnnep_status status = bnnep_take_options(&o, sizeof o, theirs, "bnnep_workspace_options");
        if (status != BNNEP_OK)
            return status;
    }
    if (o.max_batch == 0)
        o.max_batch = network->options.max_batch;
    if (o.max_batch < 1 || o.max_batch > 65536)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "max_batch is %d; it must be from 1 to 65536", o.max_batch);
    if (o.threads < 0 || o.threads > 64)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "threads is %d; it must be from 0 to 64", o.threads);
    /* Only the reference count changes, and it is atomic. */
    return bnnep_workspace_make((bnnep_network *)(uintptr_t)network, (size_t)o.max_batch, o.threads, true, out);
}

/* --- the phases, one by one --------------------------------------------------------------------------------------- */

bnnep_status bnnep_stage_checked(bnnep_workspace *ws, const float *inputs, const float *targets, size_t count) {
    const bnnep_network *net = ws->network;
    char why[BNNEP_WHY] = "";
    const bnnep_status status = net->backend->stage(ws->device, inputs, targets, count, why);
    if (status != BNNEP_OK)
        return bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    ws->count = count;
    ws->staging++;
    ws->revision = net->revision;
    ws->targeted = targets != NULL;
    ws->reached[BNNEP_PHASE_FREE] = true;
    ws->reached[BNNEP_PHASE_NUDGED] = false;
    return BNNEP_OK;
}

bnnep_status bnnep_stage(bnnep_workspace *ws, const float *inputs, const float *targets, size_t count) {
    if (!ws || !inputs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_stage: %s is NULL", ws ? "inputs" : "workspace");
    if (count < 1 || count > ws->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a batch of %zu samples; this workspace takes 1 to %zu (max_batch)",
                          count, ws->max_batch);
    const bnnep_network *net = ws->network;
    bnnep_status status = bnnep_check_inputs(inputs, count, net->inputs, net->model.grid.most, 0, NULL);
    for (size_t v = 0; status == BNNEP_OK && targets && v < count * net->outputs; v++)
        if (!isfinite(targets[v]))
            status = bnnep_fail(BNNEP_ERROR_DATA, "target of sample %zu, unit %zu is %g", v / net->outputs,
                                v % net->outputs, (double)targets[v]);
    return status == BNNEP_OK ? bnnep_stage_checked(ws, inputs, targets, count) : status;
}

static int32_t ask(void *user) {
    struct bnnep_watch *watch = user;
    watch->event.event = BNNEP_EVENT_STEP;
    return watch->progress(watch->user, &watch->event);
}

bnnep_status bnnep_relax_watched(bnnep_workspace *ws, enum bnnep_phase from, enum bnnep_phase to, int32_t steps,
                                 float beta, struct bnnep_watch *watch, bnnep_relaxed *done) {
    const bnnep_network *net = ws->network;
    const bool watched = watch && watch->progress;
    const struct bnnep_relaxation how = {
        .from = from,
        .to = to,
        .steps = steps,
        .beta = beta,
        .tolerance = net->options.settle_tolerance,
        .cancelled = watched ? ask : NULL,
        .cancel_user = watch,
    };
    char why[BNNEP_WHY] = "";
    const bnnep_status status = net->backend->relax(ws->device, &how, done, why);
    if (status == BNNEP_CANCELLED)
        return bnnep_fail(status, "cancelled by the progress callback");
    if (status != BNNEP_OK)
        return bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    ws->reached[to] = true;
    return BNNEP_OK;
}

static bnnep_status check_phase(const bnnep_workspace *ws, int32_t phase) {
    if (phase != BNNEP_FREE && phase != BNNEP_NUDGED)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "phase is %d; known are 0 (free) and 1 (nudged)", phase);
    if (ws->count == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "no batch is staged in this workspace");
    return BNNEP_OK;
}

static bnnep_status check_reached(const bnnep_workspace *ws, int32_t phase) {
    const bnnep_status status = check_phase(ws, phase);
    if (status == BNNEP_OK && !ws->reached[phase])
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the nudged phase of the staged batch was not run");
    return status;
}

bnnep_status bnnep_relax(bnnep_workspace *ws, int32_t from, int32_t to, int32_t steps, float beta,
                         bnnep_relaxed *relaxed) {
    if (!ws)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_relax: workspace is NULL");
    bnnep_status status = check_reached(ws, from);
    if (status == BNNEP_OK)
        status = check_phase(ws, to);
    if (status != BNNEP_OK)
        return status;
    if (ws->revision != ws->network->revision)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the network's parameters changed since the batch was staged: stage it again");
    if (steps < 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "steps is %d; it must be at least 0", steps);
    if (!isfinite(beta))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g; it must be a finite number", (double)beta);
    if (beta != 0.0f && !ws->targeted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g, but the batch was staged without targets", (double)beta);
    bnnep_relaxed done = BNNEP_RELAXED_INIT;
    status = bnnep_relax_watched(ws, (enum bnnep_phase)from, (enum bnnep_phase)to, steps, beta, NULL, &done);
    if (status == BNNEP_OK && relaxed)
        status = bnnep_give_struct(relaxed, &done, sizeof done, "bnnep_relaxed");
    return status;
}

/* --- states ------------------------------------------------------------------------------------------------------- */

static bnnep_status check_state(const bnnep_workspace *ws, size_t layer, const float *state, size_t count) {
    if (!ws || !state)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "state: the %s is NULL", ws ? "array" : "workspace");
    const size_t layers = ws->network->model.connections;
    if (layer < 1 || layer > layers)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "layer %zu has no state; layers 1 to %zu have", layer, layers);
    const size_t wanted = ws->count * ws->network->links[layer - 1].out;
    if (ws->count > 0 && count != wanted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "state of layer %zu: the array has %zu elements, expected %zu", layer,
                          count, wanted);
    return BNNEP_OK;
}

bnnep_status bnnep_workspace_get_state(const bnnep_workspace *ws, int32_t phase, size_t layer, float *state,
                                       size_t count) {
    bnnep_status status = check_state(ws, layer, state, count);
    if (status == BNNEP_OK)
        status = check_reached(ws, phase);
    if (status != BNNEP_OK)
        return status;
    char why[BNNEP_WHY] = "";
    const struct bnnep_backend *backend = ws->network->backend;
    status = backend->get_state(ws->device, (enum bnnep_phase)phase, layer, state, why);
    return status == BNNEP_OK ? status : bnnep_fail(status, "backend %s: %s", backend->name, why);
}

/* Can a unit of the layer be in this state? On a grid, sums rely on it. */
static bnnep_status check_value(const bnnep_network *net, size_t layer, size_t element, float value) {
    const struct bnnep_grid *grid = &net->model.grid;
    if (!isfinite(value))
        return bnnep_fail(BNNEP_ERROR_DATA, "state of layer %zu, element %zu is %g", layer, element, (double)value);
    const float most = layer < net->model.connections ? 1.0f : grid->most;
    if (grid->steps != 0.0f && !(bnnep_on_grid(grid, value) == value && fabsf(value) <= most))
        return bnnep_fail(BNNEP_ERROR_DATA,
                          "state of layer %zu, element %zu is %g; it must be a multiple of 2^-%d within -%g to %g",
                          layer, element, (double)value, net->options.grid_bits, (double)most, (double)most);
    return BNNEP_OK;
}

bnnep_status bnnep_workspace_set_state(bnnep_workspace *ws, int32_t phase, size_t layer, const float *state,
                                       size_t count) {
    bnnep_status status = check_state(ws, layer, state, count);
    if (status == BNNEP_OK)
        status = check_reached(ws, phase);
    for (size_t v = 0; status == BNNEP_OK && v < count; v++)
        status = check_value(ws->network, layer, v, state[v]);
    if (status != BNNEP_OK)
        return status;
    char why[BNNEP_WHY] = "";
    const struct bnnep_backend *backend = ws->network->backend;
    status = backend->put_state(ws->device, (enum bnnep_phase)phase, layer, state, why);
    return status == BNNEP_OK ? status : bnnep_fail(status, "backend %s: %s", backend->name, why);
}
