/* SPDX-License-Identifier: MIT */
/* Memory of the reference backend, parameters in and out, and its place in the table of backends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/ref/ref.h"

static bnnep_status no_memory(char *why) {
    snprintf(why, BNNEP_WHY, "out of memory");
    return BNNEP_ERROR_MEMORY;
}

static bnnep_status probe(const char *device, char *why) {
    if (device[0] == '\0')
        return BNNEP_OK;
    snprintf(why, BNNEP_WHY, "ref takes no options, but was given '%.64s'", device);
    return BNNEP_ERROR_ARGUMENT;
}

/* --- values of all layers --------------------------------------------------------------------------------------- */

static uint64_t units_of(const struct bnnep_model *model) {
    uint64_t units = 0;
    for (size_t k = 0; k < model->connections; k++)
        units += model->links[k].out;
    return units;
}

static size_t largest_layer(const struct bnnep_model *model) {
    size_t units = model->links[0].in;
    for (size_t k = 0; k < model->connections; k++)
        units = model->links[k].out > units ? model->links[k].out : units;
    return units;
}

static void **make(const struct bnnep_model *model, size_t samples, size_t size) {
    void **layers = calloc(model->connections, sizeof *layers);
    for (size_t k = 0; layers && k < model->connections; k++)
        if (!(layers[k] = calloc(samples * model->links[k].out, size))) {
            bnnep_ref_layers_free(layers, model);
            return NULL;
        }
    return layers;
}

ref_layers bnnep_ref_layers_make(const struct bnnep_model *model, size_t samples) {
    return (ref_layers)(void *)make(model, samples, sizeof(float));
}

ref_places bnnep_ref_places_make(const struct bnnep_model *model, size_t samples) {
    return (ref_places)(void *)make(model, samples, sizeof(uint16_t));
}

void bnnep_ref_layers_free(void *layers, const struct bnnep_model *model) {
    void **each = layers;
    for (size_t k = 0; each && k < model->connections; k++)
        free(each[k]);
    free(each);
}

/* --- network --------------------------------------------------------------------------------------------- */

static uint64_t network_bytes(const struct bnnep_model *model) {
    uint64_t bytes = sizeof(struct ref_network);
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        bytes += sizeof(struct ref_connection) + (uint64_t)link->rows * link->columns +
                 (link->scales + link->rows) * sizeof(float);
    }
    return bytes;
}

static void network_destroy(void *handle) {
    struct ref_network *net = handle;
    if (net && net->connection)
        for (size_t k = 0; k < net->model->connections; k++) {
            free(net->connection[k].sign);
            free(net->connection[k].alpha);
            free(net->connection[k].bias);
        }
    if (net)
        free(net->connection);
    free(net);
}

static bnnep_status network_create(const struct bnnep_model *model, const char *device, void **out, char *why) {
    (void)device;
    struct ref_network *net = calloc(1, sizeof *net);
    if (!net)
        return no_memory(why);
    net->model = model;
    net->connection = calloc(model->connections, sizeof *net->connection);
    bool complete = net->connection != NULL;
    for (size_t k = 0; complete && k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        struct ref_connection *c = &net->connection[k];
        c->sign = calloc(link->rows, link->columns);
        c->alpha = calloc(link->scales, sizeof(float));
        c->bias = calloc(link->rows, sizeof(float));
        complete = c->sign && c->alpha && c->bias;
    }
    if (!complete) {
        network_destroy(net);
        return no_memory(why);
    }
    *out = net;
    return BNNEP_OK;
}

static bnnep_status put(void *handle, size_t k, const struct bnnep_parameters *from, char *why) {
    (void)why;
    struct ref_network *net = handle;
    const struct bnnep_link *link = &net->model->links[k];
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
    const struct bnnep_link *link = &net->model->links[k];
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

static uint64_t workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    (void)device;
    const size_t L = model->connections;
    const uint64_t units = units_of(model);
    uint64_t columns = 0, scales = 0;
    for (size_t k = 0; k < L; k++) {
        columns += model->links[k].columns;
        scales += model->links[k].scales;
    }
    const uint64_t floats = model->links[0].in + model->links[0].out + model->links[L - 1].out + BNNEP_SLOTS * units;
    return sizeof(struct ref_workspace) + (2 * BNNEP_SLOTS + 7) * L * sizeof(void *) +
           max_batch * (floats * sizeof(float) + BNNEP_SLOTS * units * sizeof(uint16_t)) +
           units * (4 * sizeof(float) + sizeof(uint16_t)) + (columns + 2 * scales + largest_layer(model)) * sizeof(double);
}

static void workspace_destroy(void *handle) {
    struct ref_workspace *ws = handle;
    if (!ws)
        return;
    const struct bnnep_model *model = ws->network->model;
    void *const layers[] = {ws->state[0], ws->state[1], ws->place[0], ws->place[1], ws->active, ws->forward,
                            ws->feedback, ws->pre,      ws->pooled,   ws->sum,      ws->scale};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        bnnep_ref_layers_free(layers[i], model);
    free(ws->x);
    free(ws->target);
    free(ws->drive);
    free(ws->back);
    free(ws);
}

/* [connection][columns or scales] */
static double **make_sums(const struct bnnep_model *model, bool scales) {
    double **sums = calloc(model->connections, sizeof *sums);
    for (size_t k = 0; sums && k < model->connections; k++)
        if (!(sums[k] = calloc(scales ? 2 * model->links[k].scales : model->links[k].columns, sizeof **sums))) {
            bnnep_ref_layers_free(sums, model);
            return NULL;
        }
    return sums;
}

static bnnep_status workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    (void)threads;
    const struct ref_network *net = network;
    const struct bnnep_model *model = net->model;
    struct ref_workspace *ws = calloc(1, sizeof *ws);
    if (!ws)
        return no_memory(why);
    ws->network = net;
    ws->max_batch = max_batch;
    ws->x = calloc(max_batch * model->links[0].in, sizeof(float));
    ws->target = calloc(max_batch * model->links[model->connections - 1].out, sizeof(float));
    ws->drive = calloc(max_batch * model->links[0].out, sizeof(float));
    bool complete = ws->x && ws->target && ws->drive;
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        complete = (ws->state[slot] = bnnep_ref_layers_make(model, max_batch)) && complete;
        complete = (ws->place[slot] = bnnep_ref_places_make(model, max_batch)) && complete;
    }
    complete = (ws->active = bnnep_ref_layers_make(model, 1)) && complete;
    complete = (ws->forward = bnnep_ref_layers_make(model, 1)) && complete;
    complete = (ws->feedback = bnnep_ref_layers_make(model, 1)) && complete;
    complete = (ws->pre = bnnep_ref_layers_make(model, 1)) && complete;
    complete = (ws->pooled = bnnep_ref_places_make(model, 1)) && complete;
    complete = (ws->sum = make_sums(model, false)) && complete;
    complete = (ws->scale = make_sums(model, true)) && complete;
    complete = (ws->back = calloc(largest_layer(model), sizeof *ws->back)) && complete;
    if (!complete) {
        workspace_destroy(ws);
        return no_memory(why);
    }
    *out = ws;
    return BNNEP_OK;
}

static bnnep_status put_state(void *handle, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    (void)why;
    struct ref_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    memcpy(ws->state[slot][layer - 1], state, ws->count * units * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get_state(const void *handle, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    (void)why;
    const struct ref_workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    memcpy(state, ws->state[slot][layer - 1], ws->count * units * sizeof(float));
    return BNNEP_OK;
}

/* --- learner ----------------------------------------------------------------------------------------------------- */

static uint64_t learner_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    const uint64_t steps = (uint64_t)tape, units = units_of(model), L = model->connections;
    uint64_t bytes = sizeof(struct ref_learner);
    for (size_t k = 0; k < L; k++)
        bytes += sizeof(float *) + (uint64_t)model->links[k].rows * model->links[k].columns * sizeof(float);
    if (steps > 0)
        bytes += max_batch * units * (sizeof(float) + steps * (2 * sizeof(float) + sizeof(uint16_t))) +
                 (3 * steps + (3 * steps + 1) * L) * sizeof(void *);
    return bytes;
}

static void learner_destroy(void *handle) {
    struct ref_learner *learner = handle;
    if (!learner)
        return;
    const struct bnnep_model *model = learner->network->model;
    struct ref_tape *tape = &learner->tape;
    for (int32_t t = 0; t < tape->room; t++) {
        bnnep_ref_layers_free(tape->pre ? tape->pre[t] : NULL, model);
        bnnep_ref_layers_free(tape->place ? tape->place[t] : NULL, model);
        bnnep_ref_layers_free(tape->delta ? tape->delta[t] : NULL, model);
    }
    free(tape->pre);
    free(tape->place);
    free(tape->delta);
    bnnep_ref_layers_free(tape->start, model);
    bnnep_ref_layers_free(learner->momentum, model);
    free(learner);
}

static bool make_tape(struct ref_tape *tape, const struct bnnep_model *model, size_t max_batch, int32_t steps) {
    tape->room = steps;
    tape->start = bnnep_ref_layers_make(model, max_batch);
    tape->pre = calloc((size_t)steps, sizeof *tape->pre);
    tape->place = calloc((size_t)steps, sizeof *tape->place);
    tape->delta = calloc((size_t)steps, sizeof *tape->delta);
    bool complete = tape->start && tape->pre && tape->place && tape->delta;
    for (int32_t t = 0; complete && t < steps; t++) {
        tape->pre[t] = bnnep_ref_layers_make(model, max_batch);
        tape->place[t] = bnnep_ref_places_make(model, max_batch);
        tape->delta[t] = bnnep_ref_layers_make(model, max_batch);
        complete = tape->pre[t] && tape->place[t] && tape->delta[t];
    }
    return complete;
}

static bnnep_status learner_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct ref_network *net = network;
    const size_t L = net->model->connections;
    struct ref_learner *learner = calloc(1, sizeof *learner);
    if (!learner)
        return no_memory(why);
    learner->network = net;
    learner->momentum = calloc(L, sizeof *learner->momentum);
    bool complete = learner->momentum != NULL;
    for (size_t k = 0; complete && k < L; k++)
        complete = (learner->momentum[k] =
                        calloc(net->model->links[k].rows * net->model->links[k].columns, sizeof(float))) != NULL;
    if (tape > 0)
        complete = complete && make_tape(&learner->tape, net->model, max_batch, tape);
    if (!complete) {
        learner_destroy(learner);
        return no_memory(why);
    }
    *out = learner;
    return BNNEP_OK;
}

static bnnep_status put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    (void)why;
    struct ref_learner *learner = handle;
    const struct bnnep_link *link = &learner->network->model->links[k];
    memcpy(learner->momentum[k], momentum, link->rows * link->columns * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    (void)why;
    const struct ref_learner *learner = handle;
    const struct bnnep_link *link = &learner->network->model->links[k];
    memcpy(momentum, learner->momentum[k], link->rows * link->columns * sizeof(float));
    return BNNEP_OK;
}

const struct bnnep_backend bnnep_backend_ref = {
    .abi = BNNEP_BACKEND_ABI,
    .name = "ref",
    .summary = "plain loops in double precision, the reference",
    .probe = probe,
    .network_bytes = network_bytes,
    .workspace_bytes = workspace_bytes,
    .learner_bytes = learner_bytes,
    .network_create = network_create,
    .network_destroy = network_destroy,
    .put = put,
    .get = get,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .stage = bnnep_ref_stage,
    .relax = bnnep_ref_relax,
    .put_state = put_state,
    .get_state = get_state,
    .learner_create = learner_create,
    .learner_destroy = learner_destroy,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .backpropagate = bnnep_ref_backpropagate,
    .learn = bnnep_ref_learn,
};
