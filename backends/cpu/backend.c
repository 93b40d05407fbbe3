/* SPDX-License-Identifier: MIT */
/* The table of the cpu backend: parameters by network.c, all else by the engine of the network's activations. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/arena.h"
#include "backends/cpu/cpu.h"

/* A workspace or an optimizer. */
struct handle {
    const struct cpu_engine *engine;
    void *own;
    /* optimizer only */
    struct cpu_network *network;
    struct cpu_contrast *kept; /* NULL until it is asked for: training does without */
};

static const struct cpu_engine *engine_of(const struct bnnep_model *model) {
    return bnnep_cpu_binary(model) ? &bnnep_binary_engine : &bnnep_real_engine;
}

/* --- devices and networks ----------------------------------------------------------------------------------------- */

static size_t device_count(char *why) {
    (void)why;
    return 1;
}

static void device_get(size_t index, char *name, char *summary, uint64_t *memory_bytes) {
    (void)index;
    name[0] = '\0';
    snprintf(summary, BNNEP_WHY, "%s instructions, %ld processors", bnnep_select_kernels()->name,
             sysconf(_SC_NPROCESSORS_ONLN));
    *memory_bytes = 0;
}

static bnnep_status open_device(const struct bnnep_host *host, const char *name, void **out, char *why) {
    struct bnnep_arena arena = {.used = sizeof(struct cpu_device)};
    if (name[0] != '\0') {
        snprintf(why, BNNEP_WHY, "cpu has no device '%.64s'", name);
        return BNNEP_ERROR_BACKEND;
    }
    if (!bnnep_arena_open(&arena, host))
        return bnnep_cpu_no_memory(why);
    struct cpu_device *device = bnnep_arena_take(&arena, 1, sizeof *device);
    *device = (struct cpu_device){.host = host, .pool = bnnep_pool_create(host)};
    if (!device->pool) {
        bnnep_arena_free(device);
        return bnnep_cpu_no_memory(why);
    }
    *out = device;
    return BNNEP_OK;
}

static void close_device(void *handle) {
    struct cpu_device *device = handle;
    if (device)
        bnnep_pool_destroy(device->pool);
    bnnep_arena_free(device);
}

static bnnep_status network_create(void *device, const struct bnnep_model *model, void **out, char *why) {
    const bnnep_status status = bnnep_cpu_network_create(device, model, out, why);
    if (status == BNNEP_OK)
        ((struct cpu_network *)*out)->engine = engine_of(model);
    return status;
}

static struct handle *handle_make(const struct cpu_network *net, char *why) {
    struct bnnep_arena arena = {.used = sizeof(struct handle)};
    if (!bnnep_arena_open(&arena, net->device->host)) {
        bnnep_cpu_no_memory(why);
        return NULL;
    }
    struct handle *handle = bnnep_arena_take(&arena, 1, sizeof *handle);
    handle->engine = net->engine;
    return handle;
}

/* Hands the handle out, or frees it. */
static bnnep_status handle_finish(struct handle *handle, bnnep_status status, void **out) {
    if (status == BNNEP_OK)
        *out = handle;
    else
        bnnep_arena_free(handle);
    return status;
}

/* --- workspaces --------------------------------------------------------------------------------------------------- */

/* The most that a workspace computes with: as many as asked for, of those that there are. */
static unsigned threads_of(const struct cpu_device *device, size_t threads) {
    const unsigned all = bnnep_pool_threads(device->pool);
    return threads > 0 && threads < all ? (unsigned)threads : all;
}

static uint64_t workspace_bytes(void *device, const struct bnnep_model *model, size_t max_batch, size_t threads) {
    return sizeof(struct handle) + engine_of(model)->workspace_bytes(model, max_batch, threads_of(device, threads));
}

static bnnep_status workspace_create(void *device, const struct bnnep_model *model, const void *network,
                                     size_t max_batch, size_t threads, void **out, char *why) {
    const struct cpu_network *net = network;
    (void)model;
    struct handle *handle = handle_make(net, why);
    if (!handle)
        return BNNEP_ERROR_MEMORY;
    const unsigned most = threads_of(device, threads);
    return handle_finish(handle, net->engine->workspace_create(net, max_batch, most, &handle->own, why), out);
}

static void workspace_destroy(void *workspace) {
    struct handle *handle = workspace;
    if (handle)
        handle->engine->workspace_destroy(handle->own);
    bnnep_arena_free(handle);
}

static bnnep_status stage(void *workspace, const float *x, const float *target, size_t count, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    ws->engine->stage(ws->own, x, target, count);
    return BNNEP_OK;
}

static bnnep_status relax(void *workspace, const struct bnnep_phase_run *how, bnnep_relaxed *done, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    return ws->engine->relax(ws->own, how, done);
}

static bnnep_status put_state(void *workspace, int32_t phase, size_t layer, const float *state, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    ws->engine->put_state(ws->own, phase, layer, state);
    return BNNEP_OK;
}

static bnnep_status get_state(const void *workspace, int32_t phase, size_t layer, float *state, char *why) {
    const struct handle *ws = workspace;
    (void)why;
    ws->engine->get_state(ws->own, phase, layer, state);
    return BNNEP_OK;
}

/* --- optimizers --------------------------------------------------------------------------------------------------- */

static uint64_t optimizer_bytes(void *device, const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    (void)device;
    return sizeof(struct handle) + engine_of(model)->optimizer_bytes(model, max_batch, tape);
}

static bnnep_status optimizer_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct cpu_network *net = network;
    struct handle *handle = handle_make(net, why);
    if (!handle)
        return BNNEP_ERROR_MEMORY;
    handle->network = net;
    return handle_finish(handle, net->engine->optimizer_create(net, max_batch, tape, &handle->own, why), out);
}

static void optimizer_destroy(void *optimizer) {
    struct handle *handle = optimizer;
    if (handle) {
        handle->engine->optimizer_destroy(handle->own);
        bnnep_arena_free(handle->kept);
    }
    bnnep_arena_free(handle);
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

static bnnep_status learn(void *optimizer, void *workspace, const struct bnnep_learning *how, char *why) {
    const struct handle *opt = optimizer, *ws = workspace;
    (void)why;
    opt->engine->learn(opt->own, ws->own, &(struct cpu_learning){.how = how});
    return BNNEP_OK;
}

/* --- contrasts that are kept -------------------------------------------------------------------------------------- */

static struct cpu_contrast *divide_contrast(struct bnnep_arena *arena, const struct cpu_network *net) {
    const struct bnnep_model *model = net->model;
    struct cpu_contrast *kept = bnnep_arena_take(arena, 1, sizeof *kept), seed;
    seed.weights = bnnep_arena_take(arena, model->connections, sizeof *seed.weights);
    seed.bias = bnnep_arena_take(arena, model->connections, sizeof *seed.bias);
    seed.scale = bnnep_arena_take(arena, model->connections, sizeof *seed.scale);
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        float *weights = bnnep_arena_take(arena, link->rows * link->columns, sizeof(float));
        float *bias = bnnep_arena_take(arena, link->rows, sizeof(float));
        float *scale = bnnep_arena_take(arena, link->scales, sizeof(float));
        if (!kept)
            continue;
        seed.weights[k] = weights;
        seed.bias[k] = bias;
        seed.scale[k] = scale;
    }
    if (kept)
        *kept = seed;
    return kept;
}

static bnnep_status make_room(struct handle *opt, char *why) {
    struct bnnep_arena arena = {0};
    if (opt->kept)
        return BNNEP_OK;
    divide_contrast(&arena, opt->network);
    if (!bnnep_arena_open(&arena, opt->network->device->host))
        return bnnep_cpu_no_memory(why);
    opt->kept = divide_contrast(&arena, opt->network);
    return BNNEP_OK;
}

static bnnep_status contrast(void *optimizer, void *workspace, const struct bnnep_learning *how, char *why) {
    struct handle *opt = optimizer;
    const struct handle *ws = workspace;
    const bnnep_status status = make_room(opt, why);
    if (status == BNNEP_OK)
        opt->engine->learn(opt->own, ws->own, &(struct cpu_learning){.how = how, .kept = opt->kept});
    return status;
}

static void copy(float *to, const float *from, size_t count) {
    if (to && from)
        memcpy(to, from, count * sizeof *to);
}

static bnnep_status put_contrast(void *optimizer, size_t k, const struct bnnep_contrast *from, char *why) {
    struct handle *opt = optimizer;
    const struct bnnep_link *link = opt->network->model->links[k];
    const bnnep_status status = make_room(opt, why);
    if (status != BNNEP_OK)
        return status;
    if (from->weights)
        bnnep_cpu_order_columns(&opt->network->connection[k], from->weights, opt->kept->weights[k]);
    copy(opt->kept->bias[k], from->bias, link->rows);
    copy(opt->kept->scale[k], from->scale, link->scales);
    return BNNEP_OK;
}

static bnnep_status get_contrast(const void *optimizer, size_t k, const struct bnnep_contrast_out *to, char *why) {
    const struct handle *opt = optimizer;
    const struct bnnep_link *link = opt->network->model->links[k];
    if (!opt->kept) {
        snprintf(why, BNNEP_WHY, "no contrast was taken");
        return BNNEP_ERROR_ARGUMENT;
    }
    if (to->weights)
        bnnep_cpu_canonical_columns(&opt->network->connection[k], opt->kept->weights[k], to->weights);
    copy(to->bias, opt->kept->bias[k], link->rows);
    copy(to->scale, opt->kept->scale[k], link->scales);
    return BNNEP_OK;
}

static bnnep_status update(void *optimizer, const struct bnnep_learning *how, char *why) {
    struct handle *opt = optimizer;
    const bnnep_status status = make_room(opt, why);
    for (size_t k = 0; status == BNNEP_OK && k < opt->network->model->connections; k++)
        bnnep_cpu_update(opt->network, how, k, opt->kept, opt->engine->momentum(opt->own, k));
    return status;
}

static const struct bnnep_capabilities can = {
    .size = sizeof can,
    .real = 1,
    .binary = 1,
    .convolution = 1,
    .grid = 1,
    .scale = 1,
    .tape = 1,
    .phases = BNNEP_PHASES,
    .momentum_types = 1,
    .alternating = 1,
    .over_relaxed = 1,
    .squares = 1,
    .covariance = 2,
    .weak_feedback = 1,
    .consolidation = 1,
    .reset = 1,
};

const struct bnnep_backend bnnep_backend_cpu = {
    .abi = BNNEP_BACKEND_ABI,
    .size = sizeof bnnep_backend_cpu,
    .name = "cpu",
    .summary = "weights as bits, tables of signed sums, counted flips, OpenBLAS",
    .can = &can,
    .device_count = device_count,
    .device_get = device_get,
    .open = open_device,
    .close = close_device,
    .network_bytes = bnnep_cpu_network_bytes,
    .workspace_bytes = workspace_bytes,
    .optimizer_bytes = optimizer_bytes,
    .network_create = network_create,
    .network_destroy = bnnep_arena_free,
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
    .contrast = contrast,
    .put_contrast = put_contrast,
    .get_contrast = get_contrast,
    .update = update,
    .learn = learn,
    .backpropagate = backpropagate,
};
