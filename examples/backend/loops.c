/* SPDX-License-Identifier: MIT */
/*
 * A backend outside the library: it goes through the phases of fully connected networks by plain loops of its own, and
 * leaves all else to the reference backend. To begin with: replace what relax() does, see that the tests still pass,
 * and then take over more. README.md tells how to build, use and test it.
 *
 * Networks and optimizers are ref's own: their functions are left out of the table. A workspace wraps one of ref's,
 * which holds the staged batch and the states between the phases.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <bnnep/backend.h>

struct workspace {
    const struct bnnep_host *host;
    const struct bnnep_model *model;
    const void *network; /* ref's */
    void *own;           /* ref's workspace */
    size_t count;        /* samples staged */
    float *x, *target;   /* [sample][input], [sample][output] */
    float *state;        /* [layer][sample][unit] */
    float *active, *pre; /* of one sample, [layer][unit] */
    uint8_t *bits;       /* signs of a connection, as ref gives them */
    int8_t *sign;        /* [connection][row][column] */
    float *alpha, *bias; /* [connection], [layer][unit] */
};

/* --- memory: one block --------------------------------------------------------------------------------------- */

struct sizes {
    size_t units, weights, bits;
};

static struct sizes sizes_of(const struct bnnep_model *model) {
    struct sizes s = {0};
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const size_t bits = link->rows * ((link->columns + 7) / 8);
        s.units += link->out;
        s.weights += link->rows * link->columns;
        s.bits = bits > s.bits ? bits : s.bits;
    }
    return s;
}

static uint64_t own_bytes(const struct bnnep_model *model, size_t batch) {
    const struct sizes s = sizes_of(model);
    const size_t last = model->links[model->connections - 1]->out;
    const size_t floats = batch * (model->links[0]->in + last + s.units) + 3 * s.units + model->connections;
    return sizeof(struct workspace) + floats * sizeof(float) + s.weights + s.bits;
}

static uint64_t workspace_bytes(void *device, const struct bnnep_model *model, size_t max_batch, size_t threads) {
    const struct bnnep_host *host = device;
    return own_bytes(model, max_batch) + host->ref->workspace_bytes(device, model, max_batch, threads);
}

static bnnep_status workspace_create(void *device, const struct bnnep_model *model, const void *network,
                                     size_t max_batch, size_t threads, void **out, char *why) {
    const struct bnnep_host *host = device;
    const struct sizes s = sizes_of(model);
    const size_t bytes = (size_t)own_bytes(model, max_batch);
    struct workspace *ws = host->allocate(host->memory_user, bytes);
    if (!ws) {
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
    memset(ws, 0, bytes);
    ws->host = host;
    ws->model = model;
    ws->network = network;
    ws->x = (float *)(ws + 1);
    ws->target = ws->x + max_batch * model->links[0]->in;
    ws->state = ws->target + max_batch * model->links[model->connections - 1]->out;
    ws->active = ws->state + max_batch * s.units;
    ws->pre = ws->active + s.units;
    ws->bias = ws->pre + s.units;
    ws->alpha = ws->bias + s.units;
    ws->sign = (int8_t *)(ws->alpha + model->connections);
    ws->bits = (uint8_t *)(ws->sign + s.weights);
    const bnnep_status status = host->ref->workspace_create(device, model, network, max_batch, threads, &ws->own, why);
    if (status == BNNEP_OK)
        *out = ws;
    else
        host->release(host->memory_user, ws);
    return status;
}

static void workspace_destroy(void *handle) {
    struct workspace *ws = handle;
    if (!ws)
        return;
    ws->host->ref->workspace_destroy(ws->own);
    ws->host->release(ws->host->memory_user, ws);
}

/* --- a batch ------------------------------------------------------------------------------------------------- */

/* The parameters, which stay as they are until the next batch is staged. */
static bnnep_status fetch_parameters(struct workspace *ws, char *why) {
    int8_t *sign = ws->sign;
    float *bias = ws->bias;
    for (size_t k = 0; k < ws->model->connections; k++) {
        const struct bnnep_link *link = ws->model->links[k];
        const struct bnnep_parameters_out to = {
            .size = sizeof to, .bits = ws->bits, .scale = &ws->alpha[k], .bias = bias};
        const bnnep_status status = ws->host->ref->get(ws->network, k, &to, why);
        if (status != BNNEP_OK)
            return status;
        for (size_t j = 0; j < link->rows; j++)
            for (size_t i = 0; i < link->columns; i++)
                *sign++ = ws->bits[j * ((link->columns + 7) / 8) + i / 8] >> i % 8 & 1 ? 1 : -1;
        bias += link->out;
    }
    return BNNEP_OK;
}

static bnnep_status stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    struct workspace *ws = handle;
    const struct bnnep_link *first = ws->model->links[0], *last = ws->model->links[ws->model->connections - 1];
    ws->count = count;
    for (size_t v = 0; v < count * first->in; v++)
        ws->x[v] = bnnep_on_grid(&ws->model->grid, x[v]);
    if (target)
        memcpy(ws->target, target, count * last->out * sizeof *target);
    const bnnep_status status = ws->host->ref->stage(ws->own, x, target, count, why);
    return status == BNNEP_OK && !ws->model->convolutional ? fetch_parameters(ws, why) : status;
}

/* --- a phase ------------------------------------------------------------------------------------------------- */

/* pre <- what the units of all layers receive from the active ones of sample n (docs/algorithm.md). */
static void receive(struct workspace *ws, size_t n) {
    const struct bnnep_model *model = ws->model;
    const int8_t *sign = ws->sign;
    const float *below = ws->x + n * model->links[0]->in, *bias = ws->bias;
    float *here = ws->active, *pre = ws->pre;
    for (size_t k = 0; k < model->connections; k++, pre += model->links[k - 1]->out) {
        const struct bnnep_link *link = model->links[k];
        const float scale = bnnep_feedback_scale(ws->alpha[k], model->feedback);
        for (size_t j = 0; j < link->rows; j++) {
            double sum = 0.0; /* exact, where ref's is (bnnep/rules.h) */
            for (size_t i = 0; i < link->columns; i++)
                sum += sign[j * link->columns + i] * (double)below[i];
            pre[j] = bnnep_forward(ws->alpha[k], (float)sum, bias[j]);
        }
        for (size_t i = 0; k > 0 && i < link->columns; i++) {
            double sum = 0.0;
            for (size_t j = 0; j < link->rows; j++)
                sum += sign[j * link->columns + i] * (double)here[j];
            pre[(ptrdiff_t)i - (ptrdiff_t)link->columns] += scale * (float)sum;
        }
        sign += link->rows * link->columns;
        bias += link->out;
        below = here;
        here += link->out;
    }
}

/* Step t of sample n: layers move at once. Returns the largest change. */
static float step(struct workspace *ws, size_t n, float beta, int32_t t) {
    const struct bnnep_model *model = ws->model;
    const bool binary = model->dynamics == BNNEP_DYNAMICS_BINARY;
    float change = 0.0f, *state = ws->state, *active = ws->active;
    for (size_t k = 0; k < model->connections; k++, state += ws->count * model->links[k - 1]->out)
        for (size_t j = 0; j < model->links[k]->out; j++)
            *active++ = bnnep_activation(binary, model->theta, state[n * model->links[k]->out + j]);
    receive(ws, n);
    state = ws->state;
    const float *pre = ws->pre;
    for (size_t k = 0; k < model->connections; k++, state += ws->count * model->links[k - 1]->out) {
        struct bnnep_neuron neuron = bnnep_neuron_of(model, k, beta);
        neuron.stride = bnnep_stride(model->schedule == BNNEP_SCHEDULE_OVER_RELAXED, beta, t);
        const size_t units = model->links[k]->out;
        for (size_t j = 0; j < units; j++) {
            float *s = &state[n * units + j];
            const float target = neuron.output ? ws->target[n * units + j] : 0.0f;
            const float pulled = bnnep_next_state(&neuron, *s, *pre++, target, *s);
            const float next = bnnep_moves(model->schedule, k, t) ? pulled : *s;
            change = fmaxf(change, fabsf(next - *s));
            *s = next;
        }
    }
    return change;
}

/* Reads the states of a phase from ref's workspace, or writes them there. */
static bnnep_status move_states(struct workspace *ws, int32_t phase, bool back, char *why) {
    const struct bnnep_backend *ref = ws->host->ref;
    float *state = ws->state;
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < ws->model->connections; k++) {
        status = back ? ref->put_state(ws->own, phase, k + 1, state, why)
                      : ref->get_state(ws->own, phase, k + 1, state, why);
        state += ws->count * ws->model->links[k]->out;
    }
    return status;
}

static bnnep_status relax(void *handle, const struct bnnep_phase_run *run, bnnep_relaxed *done, char *why) {
    struct workspace *ws = handle;
    if (ws->model->convolutional)
        return ws->host->ref->relax(ws->own, run, done, why);
    bnnep_status status = move_states(ws, run->from, false, why);
    done->sample_steps = 0;
    done->most_steps = 0;
    for (size_t n = 0; status == BNNEP_OK && n < ws->count; n++) {
        int32_t steps = 0, calm = 0; /* steps in a row that changed nothing */
        while (steps < run->steps && calm < bnnep_calm_steps(ws->model->schedule)) {
            if (run->cancelled && run->cancelled(run->cancel_user))
                return BNNEP_CANCELLED;
            calm = step(ws, n, run->beta, ++steps) > run->tolerance ? 0 : calm + 1;
        }
        done->sample_steps += (uint64_t)steps;
        done->most_steps = steps > done->most_steps ? steps : done->most_steps;
    }
    return status == BNNEP_OK ? move_states(ws, run->to, true, why) : status;
}

/* --- what takes a workspace, and is ref's -------------------------------------------------------------------- */

static bnnep_status put_state(void *handle, int32_t phase, size_t layer, const float *state, char *why) {
    const struct workspace *ws = handle;
    return ws->host->ref->put_state(ws->own, phase, layer, state, why);
}

static bnnep_status get_state(const void *handle, int32_t phase, size_t layer, float *state, char *why) {
    const struct workspace *ws = handle;
    return ws->host->ref->get_state(ws->own, phase, layer, state, why);
}

static bnnep_status contrast(void *optimizer, void *handle, const struct bnnep_learning *how, char *why) {
    const struct workspace *ws = handle;
    return ws->host->ref->contrast(optimizer, ws->own, how, why);
}

static bnnep_status backpropagate(void *optimizer, void *handle, int32_t steps, char *why) {
    const struct workspace *ws = handle;
    return ws->host->ref->backpropagate(optimizer, ws->own, steps, why);
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
    .reset = 1,
    .covariance = 2,
    .weak_feedback = 1,
    .consolidation = 1,
};

extern const struct bnnep_backend bnnep_backend_loops __attribute__((visibility("default")));
const struct bnnep_backend bnnep_backend_loops = {
    .abi = BNNEP_BACKEND_ABI,
    .size = sizeof bnnep_backend_loops,
    .name = "loops",
    .summary = "an example: phases by plain loops, all else by ref",
    .can = &can,
    .workspace_bytes = workspace_bytes,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .stage = stage,
    .relax = relax,
    .put_state = put_state,
    .get_state = get_state,
    .contrast = contrast,
    .backpropagate = backpropagate,
};
