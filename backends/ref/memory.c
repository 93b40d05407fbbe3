/* SPDX-License-Identifier: MIT */
/* The objects of the reference backend, each a block of memory; parameters in and out; the table of its functions. */
#include <stdio.h>
#include <string.h>

#include "backends/arena.h"
#include "backends/ref/ref.h"

static bnnep_status no_memory(char *why) {
    snprintf(why, BNNEP_WHY, "out of memory");
    return BNNEP_ERROR_MEMORY;
}

/* --- the device: the host's memory ------------------------------------------------------------------------------ */

static size_t device_count(char *why) {
    (void)why;
    return 1;
}

static void device_get(size_t index, char *name, char *summary, uint64_t *memory_bytes) {
    (void)index;
    name[0] = '\0';
    snprintf(summary, BNNEP_WHY, "one thread");
    *memory_bytes = 0;
}

static bnnep_status open_device(const struct bnnep_host *host, const char *name, void **device, char *why) {
    if (name[0] != '\0') {
        snprintf(why, BNNEP_WHY, "ref has no device '%.64s'", name);
        return BNNEP_ERROR_BACKEND;
    }
    *device = (void *)(uintptr_t)host;
    return BNNEP_OK;
}

static void close_device(void *device) {
    (void)device;
}

/* --- arrays of all layers or connections ------------------------------------------------------------------------ */

static size_t largest_layer(const struct bnnep_model *model) {
    size_t units = model->links[0]->in;
    for (size_t k = 0; k < model->connections; k++)
        units = model->links[k]->out > units ? model->links[k]->out : units;
    return units;
}

/* How many elements an array of connection k has. */
typedef size_t (*extent)(const struct bnnep_link *link);

static size_t units_above(const struct bnnep_link *link) {
    return link->out;
}

static size_t columns_of(const struct bnnep_link *link) {
    return link->columns;
}

static size_t two_of_each_scale(const struct bnnep_link *link) {
    return 2 * link->scales;
}

static size_t weights_of(const struct bnnep_link *link) {
    return link->rows * link->columns;
}

/* [connection][times * extent] of elements of some size. */
static void *take_each(struct bnnep_arena *arena, const struct bnnep_model *model, extent of, size_t times,
                       size_t size) {
    void **each = bnnep_arena_take(arena, model->connections, sizeof *each);
    for (size_t k = 0; k < model->connections; k++) {
        void *array = bnnep_arena_take(arena, times * of(model->links[k]), size);
        if (each)
            each[k] = array;
    }
    return each;
}

static ref_layers take_layers(struct bnnep_arena *arena, const struct bnnep_model *model, size_t samples) {
    return take_each(arena, model, units_above, samples, sizeof(float));
}

static ref_places take_places(struct bnnep_arena *arena, const struct bnnep_model *model, size_t samples) {
    return take_each(arena, model, units_above, samples, sizeof(uint16_t));
}

/* --- network ------------------------------------------------------------------------------------------------------ */

static struct ref_network *divide_network(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct ref_network *net = bnnep_arena_take(arena, 1, sizeof *net);
    struct ref_connection *connection = bnnep_arena_take(arena, model->connections, sizeof *connection);
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const struct ref_connection c = {.sign = bnnep_arena_take(arena, weights_of(link), sizeof(int8_t)),
                                         .alpha = bnnep_arena_take(arena, link->scales, sizeof(float)),
                                         .bias = bnnep_arena_take(arena, link->rows, sizeof(float))};
        if (connection)
            connection[k] = c;
    }
    if (net)
        *net = (struct ref_network){.model = model, .connection = connection};
    return net;
}

static uint64_t network_bytes(void *device, const struct bnnep_model *model) {
    struct bnnep_arena arena = {0};
    (void)device;
    divide_network(&arena, model);
    return arena.used;
}

static bnnep_status network_create(void *device, const struct bnnep_model *model, void **out, char *why) {
    const struct bnnep_host *host = device;
    struct bnnep_arena arena = {.used = (size_t)network_bytes(device, model)};
    if (!bnnep_arena_open(&arena, host))
        return no_memory(why);
    struct ref_network *net = divide_network(&arena, model);
    net->host = host;
    *out = net;
    return BNNEP_OK;
}

static bnnep_status put(void *handle, size_t k, const struct bnnep_parameters *from, char *why) {
    (void)why;
    struct ref_network *net = handle;
    const struct bnnep_link *link = net->model->links[k];
    struct ref_connection *c = &net->connection[k];
    const size_t stride = (link->columns + 7) / 8;
    if (from->bits)
        for (size_t j = 0; j < link->rows; j++)
            for (size_t i = 0; i < link->columns; i++)
                c->sign[j * link->columns + i] = from->bits[j * stride + i / 8] >> (i % 8) & 1 ? 1 : -1;
    if (from->scale)
        memcpy(c->alpha, from->scale, link->scales * sizeof(float));
    if (from->bias)
        memcpy(c->bias, from->bias, link->rows * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get(const void *handle, size_t k, const struct bnnep_parameters_out *to, char *why) {
    (void)why;
    const struct ref_network *net = handle;
    const struct bnnep_link *link = net->model->links[k];
    const struct ref_connection *c = &net->connection[k];
    const size_t stride = (link->columns + 7) / 8;
    if (to->bits) {
        memset(to->bits, 0, link->rows * stride);
        for (size_t j = 0; j < link->rows; j++)
            for (size_t i = 0; i < link->columns; i++)
                if (c->sign[j * link->columns + i] > 0)
                    to->bits[j * stride + i / 8] |= (uint8_t)(1u << (i % 8));
    }
    if (to->scale)
        memcpy(to->scale, c->alpha, link->scales * sizeof(float));
    if (to->bias)
        memcpy(to->bias, c->bias, link->rows * sizeof(float));
    return BNNEP_OK;
}

/* --- workspace --------------------------------------------------------------------------------------------------- */

static struct ref_workspace *divide_workspace(struct bnnep_arena *arena, const struct bnnep_model *model,
                                              size_t max_batch) {
    struct ref_workspace *ws = bnnep_arena_take(arena, 1, sizeof *ws), seed = {.max_batch = max_batch};
    seed.x = bnnep_arena_take(arena, max_batch * model->links[0]->in, sizeof(float));
    seed.target = bnnep_arena_take(arena, max_batch * model->links[model->connections - 1]->out, sizeof(float));
    seed.drive = bnnep_arena_take(arena, max_batch * model->links[0]->out, sizeof(float));
    for (int phase = 0; phase < BNNEP_PHASES; phase++) {
        seed.state[phase] = take_layers(arena, model, max_batch);
        seed.argmax[phase] = take_places(arena, model, max_batch);
    }
    seed.active = take_layers(arena, model, 1);
    seed.forward = take_layers(arena, model, 1);
    seed.feedback = take_layers(arena, model, 1);
    seed.pre = take_layers(arena, model, 1);
    seed.pooled = take_places(arena, model, 1);
    seed.sum = take_each(arena, model, columns_of, 1, sizeof(double));
    seed.total = take_each(arena, model, columns_of, 2, sizeof(double));
    seed.scale = take_each(arena, model, two_of_each_scale, 1, sizeof(double));
    seed.back = bnnep_arena_take(arena, largest_layer(model), sizeof(double));
    if (ws)
        *ws = seed;
    return ws;
}

static uint64_t workspace_bytes(void *device, const struct bnnep_model *model, size_t max_batch, size_t threads) {
    struct bnnep_arena arena = {0};
    (void)device, (void)threads;
    divide_workspace(&arena, model, max_batch);
    return arena.used;
}

static bnnep_status workspace_create(void *device, const struct bnnep_model *model, const void *network,
                                     size_t max_batch, size_t threads, void **out, char *why) {
    const struct ref_network *net = network;
    struct bnnep_arena arena = {.used = (size_t)workspace_bytes(device, model, max_batch, threads)};
    if (!bnnep_arena_open(&arena, net->host))
        return no_memory(why);
    struct ref_workspace *ws = divide_workspace(&arena, net->model, max_batch);
    ws->network = net;
    *out = ws;
    return BNNEP_OK;
}

static bnnep_status put_state(void *handle, int32_t phase, size_t layer, const float *state, char *why) {
    (void)why;
    struct ref_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1]->out;
    memcpy(ws->state[phase][layer - 1], state, ws->count * units * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get_state(const void *handle, int32_t phase, size_t layer, float *state, char *why) {
    (void)why;
    const struct ref_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1]->out;
    memcpy(state, ws->state[phase][layer - 1], ws->count * units * sizeof(float));
    return BNNEP_OK;
}

/* --- optimizer ---------------------------------------------------------------------------------------------------- */

static struct ref_tape take_tape(struct bnnep_arena *arena, const struct bnnep_model *model, size_t max_batch,
                                 size_t steps) {
    struct ref_tape tape = {.room = (int32_t)steps};
    if (steps == 0)
        return tape;
    tape.start = take_layers(arena, model, max_batch);
    tape.pre = bnnep_arena_take(arena, steps, sizeof *tape.pre);
    tape.argmax = bnnep_arena_take(arena, steps, sizeof *tape.argmax);
    tape.delta = bnnep_arena_take(arena, steps, sizeof *tape.delta);
    for (size_t t = 0; t < steps; t++) {
        const ref_layers pre = take_layers(arena, model, max_batch), delta = take_layers(arena, model, max_batch);
        const ref_places argmax = take_places(arena, model, max_batch);
        if (pre) {
            tape.pre[t] = pre;
            tape.argmax[t] = argmax;
            tape.delta[t] = delta;
        }
    }
    return tape;
}

static size_t scales_of(const struct bnnep_link *link) {
    return link->scales;
}

static size_t rows_of(const struct bnnep_link *link) {
    return link->rows;
}

static struct ref_optimizer *divide_optimizer(struct bnnep_arena *arena, const struct bnnep_model *model,
                                              size_t max_batch, int32_t tape) {
    struct ref_optimizer *optimizer = bnnep_arena_take(arena, 1, sizeof *optimizer), seed = {0};
    seed.momentum = take_each(arena, model, weights_of, 1, sizeof(float));
    seed.contrast = take_each(arena, model, weights_of, 1, sizeof(float));
    seed.bias_contrast = take_each(arena, model, rows_of, 1, sizeof(float));
    seed.scale_contrast = take_each(arena, model, scales_of, 1, sizeof(float));
    seed.tape = take_tape(arena, model, max_batch, (size_t)tape);
    if (optimizer)
        *optimizer = seed;
    return optimizer;
}

static uint64_t optimizer_bytes(void *device, const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    struct bnnep_arena arena = {0};
    (void)device;
    divide_optimizer(&arena, model, max_batch, tape);
    return arena.used;
}

static bnnep_status optimizer_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct ref_network *net = network;
    struct bnnep_arena arena = {.used = (size_t)optimizer_bytes(NULL, net->model, max_batch, tape)};
    if (!bnnep_arena_open(&arena, net->host))
        return no_memory(why);
    struct ref_optimizer *optimizer = divide_optimizer(&arena, net->model, max_batch, tape);
    optimizer->network = net;
    *out = optimizer;
    return BNNEP_OK;
}

static bnnep_status put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    (void)why;
    struct ref_optimizer *optimizer = handle;
    const struct bnnep_link *link = optimizer->network->model->links[k];
    memcpy(optimizer->momentum[k], momentum, link->rows * link->columns * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    (void)why;
    const struct ref_optimizer *optimizer = handle;
    const struct bnnep_link *link = optimizer->network->model->links[k];
    memcpy(momentum, optimizer->momentum[k], link->rows * link->columns * sizeof(float));
    return BNNEP_OK;
}

static void copy(float *to, const float *from, size_t count) {
    if (to && from)
        memcpy(to, from, count * sizeof *to);
}

static bnnep_status put_contrast(void *handle, size_t k, const struct bnnep_contrast *from, char *why) {
    (void)why;
    struct ref_optimizer *optimizer = handle;
    const struct bnnep_link *link = optimizer->network->model->links[k];
    copy(optimizer->contrast[k], from->weights, weights_of(link));
    copy(optimizer->bias_contrast[k], from->bias, link->rows);
    copy(optimizer->scale_contrast[k], from->scale, link->scales);
    return BNNEP_OK;
}

static bnnep_status get_contrast(const void *handle, size_t k, const struct bnnep_contrast_out *to, char *why) {
    (void)why;
    const struct ref_optimizer *optimizer = handle;
    const struct bnnep_link *link = optimizer->network->model->links[k];
    copy(to->weights, optimizer->contrast[k], weights_of(link));
    copy(to->bias, optimizer->bias_contrast[k], link->rows);
    copy(to->scale, optimizer->scale_contrast[k], link->scales);
    return BNNEP_OK;
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

const struct bnnep_backend bnnep_backend_ref = {
    .abi = BNNEP_BACKEND_ABI,
    .size = sizeof bnnep_backend_ref,
    .name = "ref",
    .summary = "plain loops in double precision, the reference",
    .can = &can,
    .device_count = device_count,
    .device_get = device_get,
    .open = open_device,
    .close = close_device,
    .network_bytes = network_bytes,
    .workspace_bytes = workspace_bytes,
    .optimizer_bytes = optimizer_bytes,
    .network_create = network_create,
    .network_destroy = bnnep_arena_free,
    .put = put,
    .get = get,
    .workspace_create = workspace_create,
    .workspace_destroy = bnnep_arena_free,
    .stage = bnnep_ref_stage,
    .relax = bnnep_ref_relax,
    .put_state = put_state,
    .get_state = get_state,
    .optimizer_create = optimizer_create,
    .optimizer_destroy = bnnep_arena_free,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .contrast = bnnep_ref_contrast,
    .put_contrast = put_contrast,
    .get_contrast = get_contrast,
    .update = bnnep_ref_update,
    .backpropagate = bnnep_ref_backpropagate,
};
