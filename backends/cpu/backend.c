/* SPDX-License-Identifier: MIT */
/* The table of the cpu backend: parameters by network.c, all else by the engine of the network's activations. */
#include <stdlib.h>

#include "backends/cpu/cpu.h"

/* A workspace or an optimizer. */
struct handle {
    const struct cpu_engine *engine;
    void *own;
};

static const struct cpu_engine *engine_of(const struct bnnep_model *model) {
    return bnnep_cpu_binary(model) ? &bnnep_binary_engine : &bnnep_real_engine;
}

static bnnep_status probe(const char *device, char *why) {
    return bnnep_cpu_threads(device, why) ? BNNEP_OK : BNNEP_ERROR_ARGUMENT;
}

static bnnep_status network_create(const struct bnnep_model *model, const char *device, void **out, char *why) {
    const bnnep_status status = bnnep_cpu_network_create(model, device, out, why);
    if (status == BNNEP_OK)
        ((struct cpu_network *)*out)->engine = engine_of(model);
    return status;
}

static struct handle *handle_make(const struct cpu_engine *engine, char *why) {
    struct handle *handle = malloc(sizeof *handle);
    if (!handle)
        bnnep_cpu_no_memory(why);
    else
        *handle = (struct handle){.engine = engine};
    return handle;
}

/* Hands the handle out, or frees it. */
static bnnep_status handle_finish(struct handle *handle, bnnep_status status, void **out) {
    if (status == BNNEP_OK)
        *out = handle;
    else
        free(handle);
    return status;
}

static uint64_t workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    char why[BNNEP_WHY];
    return sizeof(struct handle) + engine_of(model)->workspace_bytes(model, max_batch, bnnep_cpu_threads(device, why));
}

static bnnep_status workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    const struct cpu_network *net = network;
    struct handle *handle = handle_make(net->engine, why);
    if (!handle)
        return BNNEP_ERROR_MEMORY;
    const unsigned wanted = threads > 0 ? (unsigned)threads : net->threads;
    return handle_finish(handle, net->engine->workspace_create(net, max_batch, wanted, &handle->own, why), out);
}

static void workspace_destroy(void *workspace) {
    struct handle *handle = workspace;
    if (handle)
        handle->engine->workspace_destroy(handle->own);
    free(handle);
}

static bnnep_status stage(void *workspace, const float *x, const float *target, size_t count, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    ws->engine->stage(ws->own, x, target, count);
    return BNNEP_OK;
}

static bnnep_status relax(void *workspace, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    return ws->engine->relax(ws->own, how, done);
}

static bnnep_status put_state(void *workspace, enum bnnep_phase phase, size_t layer, const float *state, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    ws->engine->put_state(ws->own, phase, layer, state);
    return BNNEP_OK;
}

static bnnep_status get_state(const void *workspace, enum bnnep_phase phase, size_t layer, float *state, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    ws->engine->get_state(ws->own, phase, layer, state);
    return BNNEP_OK;
}

static uint64_t optimizer_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    return sizeof(struct handle) + engine_of(model)->optimizer_bytes(model, max_batch, tape);
}

static bnnep_status optimizer_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct cpu_network *net = network;
    struct handle *handle = handle_make(net->engine, why);
    if (!handle)
        return BNNEP_ERROR_MEMORY;
    return handle_finish(handle, net->engine->optimizer_create(net, max_batch, tape, &handle->own, why), out);
}

static void optimizer_destroy(void *optimizer) {
    struct handle *handle = optimizer;
    if (handle)
        handle->engine->optimizer_destroy(handle->own);
    free(handle);
}

static bnnep_status put_momentum(void *optimizer, size_t k, const float *momentum, char *why) {
    const struct handle *opt = optimizer;
    (void)why;
    opt->engine->put_momentum(opt->own, k, momentum);
    return BNNEP_OK;
}

static bnnep_status get_momentum(const void *optimizer, size_t k, float *momentum, char *why) {
    const struct handle *opt = optimizer;
    (void)why;
    opt->engine->get_momentum(opt->own, k, momentum);
    return BNNEP_OK;
}

static bnnep_status backpropagate(void *optimizer, void *workspace, int32_t steps, char *why) {
    const struct handle *opt = optimizer, *ws = workspace;
    (void)why;
    opt->engine->backpropagate(opt->own, ws->own, steps);
    return BNNEP_OK;
}

static bnnep_status learn(void *optimizer, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                          uint64_t *flips, char *why) {
    const struct handle *opt = optimizer, *ws = workspace;
    (void)why;
    opt->engine->learn(opt->own, ws->own, rules, learn_scale, flips);
    return BNNEP_OK;
}

const struct bnnep_backend bnnep_backend_cpu = {
    .abi = BNNEP_BACKEND_ABI,
    .name = "cpu",
    .summary = "weights as bits, tables of signed sums, counted flips, OpenBLAS; option threads=N",
    .probe = probe,
    .network_bytes = bnnep_cpu_network_bytes,
    .workspace_bytes = workspace_bytes,
    .optimizer_bytes = optimizer_bytes,
    .network_create = network_create,
    .network_destroy = free,
    .put = bnnep_cpu_put,
    .get = bnnep_cpu_get,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .stage = stage,
    .relax = relax,
    .put_state = put_state,
    .get_state = get_state,
    .optimizer_create = optimizer_create,
    .optimizer_destroy = optimizer_destroy,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .backpropagate = backpropagate,
    .learn = learn,
};
