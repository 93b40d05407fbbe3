/* SPDX-License-Identifier: MIT */
/* Workspaces: a staged batch, its phases, and their states. */
#include <math.h>
#include <string.h>

#include "lib/internal.h"

static uint64_t host_bytes_per_sample(uint64_t inputs, uint64_t outputs) {
    return (inputs + 2 * outputs) * sizeof(float) + sizeof(int32_t) + sizeof(uint64_t);
}

uint64_t bnnep_workspace_host_bytes(const bnnep_network_options *options, uint64_t inputs, uint64_t outputs) {
    return sizeof(bnnep_workspace) + inputs * sizeof(float) +
           (uint64_t)options->max_batch * host_bytes_per_sample(inputs, outputs);
}

bnnep_status bnnep_workspace_make(bnnep_network *net, size_t max_batch, size_t threads, bool owns_reference,
                                  bnnep_workspace **out) {
    char why[BNNEP_WHY] = "";
    const bnnep_context *context = net->context;
    *out = NULL;
    bnnep_workspace *ws = bnnep_take(context, 1, sizeof *ws);
    if (!ws)
        return bnnep_fail_memory("a workspace", sizeof *ws);
    if (owns_reference)
        bnnep_network_retain(net);
    ws->network = net;
    ws->owns_reference = owns_reference;
    ws->max_batch = max_batch;
    ws->inputs = bnnep_take(context, (uint64_t)max_batch * net->inputs, sizeof(float));
    ws->lone_input = bnnep_take(context, net->inputs, sizeof(float));
    ws->targets = bnnep_take(context, (uint64_t)max_batch * net->outputs, sizeof(float));
    ws->outputs = bnnep_take(context, (uint64_t)max_batch * net->outputs, sizeof(float));
    ws->labels = bnnep_take(context, max_batch, sizeof(int32_t));
    ws->indices = bnnep_take(context, max_batch, sizeof(uint64_t));
    bnnep_status status = BNNEP_OK;
    if (!ws->inputs || !ws->lone_input || !ws->targets || !ws->outputs || !ws->labels || !ws->indices)
        status = bnnep_fail_memory("a workspace", max_batch * host_bytes_per_sample(net->inputs, net->outputs));
    else {
        status =
            net->backend->workspace_create(net->place, &net->model, net->device, max_batch, threads, &ws->device, why);
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
    bnnep_workspace_options o;
    bnnep_status status = bnnep_take_options(&o, sizeof o, theirs, "bnnep_workspace_options");
    if (status != BNNEP_OK)
        return status;
    if (o.max_batch == 0)
        o.max_batch = network->options.max_batch;
    status = bnnep_check_batch(&network->options, network->shape, o.max_batch);
    if (status != BNNEP_OK)
        return status;
    if (o.threads < 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "threads is %d; it must be at least 1, or 0 for all of the context's",
                          o.threads);
    /* Only the reference count changes, and it is atomic. */
    bnnep_network *net = (bnnep_network *)(uintptr_t)network;
    const size_t batch = (size_t)o.max_batch, threads = (size_t)o.threads;
    status = bnnep_check_bytes(net->context, "a workspace",
                               net->backend->workspace_bytes(net->place, &net->model, batch, threads) +
                                   batch * host_bytes_per_sample(net->inputs, net->outputs));
    if (status != BNNEP_OK)
        return status;
    return bnnep_workspace_make(net, batch, threads, true, out);
}

/* --- the phases, one by one --------------------------------------------------------------------------------------- */

/* What a phase works with. */
static bnnep_status claim(struct bnnep_call *call, bnnep_workspace *ws) {
    const bnnep_status status = bnnep_call_changes(call, &ws->claim, "workspace");
    return status == BNNEP_OK ? bnnep_call_reads(call, &ws->network->claim, "network") : status;
}

bnnep_status bnnep_stage_checked(bnnep_workspace *ws, const float *inputs, const float *targets, size_t count) {
    const bnnep_network *net = ws->network;
    char why[BNNEP_WHY] = "";
    const bnnep_status status = net->backend->stage(ws->device, inputs, targets, count, why);
    if (status != BNNEP_OK)
        return bnnep_backend_failed(net, status, why);
    if (count == 1) /* its mean is taken: means.c */
        memcpy(ws->lone_input, inputs, net->inputs * sizeof *inputs);
    ws->count = count;
    ws->staging++;
    ws->revision = net->revision;
    ws->targeted = targets != NULL;
    for (int phase = 0; phase < BNNEP_PHASES; phase++) {
        ws->reached[phase] = phase == BNNEP_PHASE_FREE;
        ws->beta[phase] = 0.0f;
    }
    return BNNEP_OK;
}

bnnep_status bnnep_workspace_stage(bnnep_workspace *ws, const float *inputs, const float *targets, size_t count) {
    if (!ws || !inputs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_workspace_stage: %s is NULL", ws ? "inputs" : "workspace");
    if (count < 1 || count > ws->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a batch of %zu samples; this workspace takes 1 to %zu (max_batch)",
                          count, ws->max_batch);
    const bnnep_network *net = ws->network;
    struct bnnep_call call = {.name = "bnnep_workspace_stage"};
    bnnep_status status = bnnep_check_inputs(inputs, count, net->inputs, net->model.grid.most, 0, NULL);
    for (size_t v = 0; status == BNNEP_OK && targets && v < count * net->outputs; v++)
        if (!isfinite(targets[v]))
            status = bnnep_fail(BNNEP_ERROR_DATA, "target of sample %zu, unit %zu is %g", v / net->outputs,
                                v % net->outputs, (double)targets[v]);
    if (status == BNNEP_OK)
        status = claim(&call, ws);
    if (status == BNNEP_OK)
        status = bnnep_stage_checked(ws, inputs, targets, count);
    return bnnep_call_end(&call, status);
}

bnnep_status bnnep_relax_watched(bnnep_workspace *ws, const bnnep_relaxation *how, struct bnnep_run *run,
                                 bnnep_relaxed *done) {
    const bnnep_network *net = ws->network;
    const struct bnnep_phase_run phase = {
        .size = sizeof phase,
        .from = how->from,
        .to = how->to,
        .steps = how->steps ? how->steps : net->free_steps,
        .beta = (float)how->beta,
        .tolerance = net->settle_tolerance,
        .cancelled = run ? bnnep_run_stopped : NULL,
        .cancel_user = run,
    };
    char why[BNNEP_WHY] = "";
    const bnnep_status status = net->backend->relax(ws->device, &phase, done, why);
    if (status == BNNEP_CANCELLED)
        return bnnep_run_cancelled(run);
    if (status != BNNEP_OK)
        return bnnep_backend_failed(net, status, why);
    ws->reached[how->to] = true;
    ws->beta[how->to] = (float)how->beta;
    return BNNEP_OK;
}

bnnep_status bnnep_check_phase(const bnnep_workspace *ws, int32_t phase) {
    const int32_t phases = ws->network->backend->can->phases;
    if (phase < 0 || phase >= BNNEP_PHASES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "phase is %d; known are 0 (free), 1 (nudged) and 2 (other)", phase);
    if (phase >= phases)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "phase is %d, and backend %s keeps the states of %d phases", phase,
                          ws->network->backend->name, phases);
    if (ws->count == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "no batch is staged in this workspace");
    return BNNEP_OK;
}

bnnep_status bnnep_check_reached(const bnnep_workspace *ws, int32_t phase) {
    const bnnep_status status = bnnep_check_phase(ws, phase);
    if (status == BNNEP_OK && phase < BNNEP_PHASES && !ws->reached[phase]) /* the bound is for the compiler */
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the %s phase of the staged batch was not run",
                          phase == BNNEP_PHASE_NUDGED ? "nudged" : "other");
    return status;
}

static bnnep_status check_relaxation(const bnnep_workspace *ws, const bnnep_relaxation *how) {
    bnnep_status status = bnnep_check_reserved(how->reserved, "bnnep_relaxation");
    if (status == BNNEP_OK)
        status = bnnep_check_reached(ws, how->from);
    if (status == BNNEP_OK)
        status = bnnep_check_phase(ws, how->to);
    if (status != BNNEP_OK)
        return status;
    if (ws->revision != ws->network->revision)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the network's parameters changed since the batch was staged: stage it again");
    if (how->steps < 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "steps is %d; it must be at least 1, or 0 for free_steps", how->steps);
    if (!isfinite((float)how->beta))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g; it must be a finite number", how->beta);
    if ((float)how->beta != 0.0f && !ws->targeted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "beta is %g, but the batch was staged without targets", how->beta);
    return BNNEP_OK;
}

bnnep_status bnnep_workspace_relax(bnnep_workspace *ws, const bnnep_relaxation *theirs, bnnep_relaxed *relaxed) {
    if (!ws || !theirs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_workspace_relax: %s is NULL", ws ? "relaxation" : "workspace");
    bnnep_relaxation how;
    struct bnnep_call call = {.name = "bnnep_workspace_relax"};
    bnnep_status status = bnnep_take_options(&how, sizeof how, theirs, "bnnep_relaxation");
    if (status == BNNEP_OK)
        status = claim(&call, ws);
    if (status == BNNEP_OK)
        status = check_relaxation(ws, &how);
    bnnep_relaxed done = BNNEP_RELAXED_INIT, room;
    if (status == BNNEP_OK) /* before anything is done */
        status = bnnep_take_options(&room, sizeof room, relaxed, "bnnep_relaxed");
    if (status == BNNEP_OK)
        status = bnnep_relax_watched(ws, &how, NULL, &done);
    if (status == BNNEP_OK && relaxed)
        status = bnnep_give_struct(relaxed, &done, sizeof done, "bnnep_relaxed");
    return bnnep_call_end(&call, status);
}

/* --- states ------------------------------------------------------------------------------------------------------- */

static bnnep_status check_state(const bnnep_workspace *ws, int32_t phase, size_t layer, size_t count) {
    const size_t layers = ws->network->model.connections;
    if (layer < 1 || layer > layers)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "layer %zu has no state; layers 1 to %zu have", layer, layers);
    const size_t wanted = ws->count * ws->network->model.links[layer - 1]->out;
    if (ws->count > 0 && count != wanted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "state of layer %zu: the array has %zu elements, expected %zu", layer,
                          count, wanted);
    return bnnep_check_reached(ws, phase);
}

bnnep_status bnnep_workspace_get_state(const bnnep_workspace *ws, int32_t phase, size_t layer, float *state,
                                       size_t count) {
    if (!ws || !state)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "state: the %s is NULL", ws ? "array" : "workspace");
    struct bnnep_call call = {.name = "bnnep_workspace_get_state"};
    char why[BNNEP_WHY] = "";
    bnnep_status status = bnnep_call_reads(&call, &ws->claim, "workspace");
    if (status == BNNEP_OK)
        status = check_state(ws, phase, layer, count);
    if (status == BNNEP_OK)
        status = bnnep_backend_failed(ws->network,
                                      ws->network->backend->get_state(ws->device, phase, layer, state, why), why);
    return bnnep_call_end(&call, status);
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
    if (!ws || !state)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "state: the %s is NULL", ws ? "array" : "workspace");
    struct bnnep_call call = {.name = "bnnep_workspace_set_state"};
    char why[BNNEP_WHY] = "";
    bnnep_status status = bnnep_call_changes(&call, &ws->claim, "workspace");
    if (status == BNNEP_OK)
        status = check_state(ws, phase, layer, count);
    for (size_t v = 0; status == BNNEP_OK && v < count; v++)
        status = check_value(ws->network, layer, v, state[v]);
    if (status == BNNEP_OK)
        status = bnnep_backend_failed(ws->network,
                                      ws->network->backend->put_state(ws->device, phase, layer, state, why), why);
    return bnnep_call_end(&call, status);
}
