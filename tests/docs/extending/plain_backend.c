/* SPDX-License-Identifier: MIT */
/*
 * A whole backend in one file: plain loops over fully connected networks, trained by equilibrium propagation. The
 * library loads it as a module, and tests/api/test_conformance.c holds it against ref. It goes by the name "cuda",
 * which is the name in lib/registry.c that stands for a module; one of its own takes a line there.
 *
 * Arrays of all connections or layers lie one behind the other: weights [connection][row][column], states
 * [sample][unit of layers 1 ... L].
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/arena.h"
#include "backends/backend.h"

_Static_assert(BNNEP_BACKEND_ABI == 4, "the interface has changed: see what is new in backends/backend.h");

struct network {
    const struct bnnep_model *model;
    float *sign, *alpha, *bias; /* +1 or -1; [connection]; [unit] */
};

struct workspace {
    const struct network *net;
    size_t count; /* samples staged */
    float *x, *target, *state[BNNEP_PHASES], *next;
};

struct optimizer {
    struct network *net;
    float *momentum;
};

/* --- where things lie --------------------------------------------------------------------------------------------- */

static size_t units_before(const struct bnnep_model *model, size_t k) {
    size_t units = 0;
    for (size_t i = 0; i < k; i++)
        units += model->links[i].out;
    return units;
}

static size_t weights_before(const struct bnnep_model *model, size_t k) {
    size_t weights = 0;
    for (size_t i = 0; i < k; i++)
        weights += model->links[i].rows * model->links[i].columns;
    return weights;
}

static float *state_of(const struct workspace *ws, enum bnnep_phase phase, size_t k, size_t n) {
    const struct bnnep_model *model = ws->net->model;
    return ws->state[phase] + n * bnnep_units(model) + units_before(model, k);
}

static bnnep_status fail(bnnep_status status, const char *what, char *why) {
    snprintf(why, BNNEP_WHY, "%s", what);
    return status;
}

/* --- objects, each a block of memory (backends/arena.h) ----------------------------------------------------------- */

static struct network *divide_network(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct network *net = bnnep_arena_take(arena, 1, sizeof *net), seed = {.model = model};
    seed.sign = bnnep_arena_take(arena, weights_before(model, model->connections), sizeof(float));
    seed.alpha = bnnep_arena_take(arena, model->connections, sizeof(float));
    seed.bias = bnnep_arena_take(arena, bnnep_units(model), sizeof(float));
    if (net)
        *net = seed;
    return net;
}

static struct workspace *divide_workspace(struct bnnep_arena *arena, const struct bnnep_model *model, size_t samples) {
    struct workspace *ws = bnnep_arena_take(arena, 1, sizeof *ws), seed = {.count = 0};
    seed.x = bnnep_arena_take(arena, samples * model->links[0].in, sizeof(float));
    seed.target = bnnep_arena_take(arena, samples * model->links[model->connections - 1].out, sizeof(float));
    for (int phase = 0; phase < BNNEP_PHASES; phase++)
        seed.state[phase] = bnnep_arena_take(arena, samples * bnnep_units(model), sizeof(float));
    seed.next = bnnep_arena_take(arena, bnnep_units(model), sizeof(float));
    if (ws)
        *ws = seed;
    return ws;
}

static struct optimizer *divide_optimizer(struct bnnep_arena *arena, const struct bnnep_model *model) {
    struct optimizer *optimizer = bnnep_arena_take(arena, 1, sizeof *optimizer);
    float *momentum = bnnep_arena_take(arena, weights_before(model, model->connections), sizeof(float));
    if (optimizer)
        optimizer->momentum = momentum;
    return optimizer;
}

static uint64_t network_bytes(const struct bnnep_model *model) {
    struct bnnep_arena arena = {0};
    divide_network(&arena, model);
    return arena.used;
}

static uint64_t workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    struct bnnep_arena arena = {0};
    (void)device;
    divide_workspace(&arena, model, max_batch);
    return arena.used;
}

static uint64_t optimizer_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    struct bnnep_arena arena = {0};
    (void)max_batch, (void)tape;
    divide_optimizer(&arena, model);
    return arena.used;
}

static bnnep_status network_create(const struct bnnep_model *model, const char *device, void **out, char *why) {
    struct bnnep_arena arena = {.used = network_bytes(model)};
    (void)device;
    if (model->convolutional)
        return fail(BNNEP_ERROR_UNSUPPORTED, "convolutions are not done here", why);
    if (!bnnep_arena_open(&arena))
        return fail(BNNEP_ERROR_MEMORY, "out of memory", why);
    *out = divide_network(&arena, model);
    return BNNEP_OK;
}

static bnnep_status workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    const struct network *net = network;
    struct bnnep_arena arena = {.used = workspace_bytes(net->model, "", max_batch)};
    (void)threads;
    if (!bnnep_arena_open(&arena))
        return fail(BNNEP_ERROR_MEMORY, "out of memory", why);
    struct workspace *ws = divide_workspace(&arena, net->model, max_batch);
    ws->net = net;
    *out = ws;
    return BNNEP_OK;
}

static bnnep_status optimizer_create(void *network, size_t max_batch, int32_t tape, void **out, char *why) {
    struct network *net = network;
    struct bnnep_arena arena = {.used = optimizer_bytes(net->model, max_batch, tape)};
    if (tape > 0)
        return fail(BNNEP_ERROR_UNSUPPORTED, "back-propagation through time is not done here", why);
    if (!bnnep_arena_open(&arena))
        return fail(BNNEP_ERROR_MEMORY, "out of memory", why);
    struct optimizer *optimizer = divide_optimizer(&arena, net->model);
    optimizer->net = net;
    *out = optimizer;
    return BNNEP_OK;
}

/* --- in and out --------------------------------------------------------------------------------------------------- */

static bnnep_status probe(const char *device, char *why) {
    return device[0] == '\0' ? BNNEP_OK : fail(BNNEP_ERROR_ARGUMENT, "this backend takes no options", why);
}

static bnnep_status put(void *network, size_t k, const struct bnnep_parameters *from, char *why) {
    struct network *net = network;
    const struct bnnep_link *link = &net->model->links[k];
    const size_t stride = (link->columns + 7) / 8;
    float *sign = net->sign + weights_before(net->model, k);
    (void)why;
    for (size_t v = 0; from->bits && v < link->rows * link->columns; v++) {
        const size_t j = v / link->columns, i = v % link->columns;
        sign[v] = from->bits[j * stride + i / 8] >> i % 8 & 1 ? 1.0f : -1.0f;
    }
    if (from->scale)
        net->alpha[k] = from->scale[0];
    if (from->bias)
        memcpy(net->bias + units_before(net->model, k), from->bias, link->rows * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get(const void *network, size_t k, const struct bnnep_parameters_out *to, char *why) {
    const struct network *net = network;
    const struct bnnep_link *link = &net->model->links[k];
    const size_t stride = (link->columns + 7) / 8;
    const float *sign = net->sign + weights_before(net->model, k);
    (void)why;
    if (to->bits)
        memset(to->bits, 0, link->rows * stride);
    for (size_t v = 0; to->bits && v < link->rows * link->columns; v++) {
        const size_t j = v / link->columns, i = v % link->columns;
        to->bits[j * stride + i / 8] |= (uint8_t)((sign[v] > 0.0f) << i % 8);
    }
    if (to->scale)
        to->scale[0] = net->alpha[k];
    if (to->bias)
        memcpy(to->bias, net->bias + units_before(net->model, k), link->rows * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status put_state(void *workspace, enum bnnep_phase phase, size_t layer, const float *state, char *why) {
    const struct workspace *ws = workspace;
    const size_t units = ws->net->model->links[layer - 1].out;
    (void)why;
    for (size_t n = 0; n < ws->count; n++)
        memcpy(state_of(ws, phase, layer - 1, n), state + n * units, units * sizeof *state);
    return BNNEP_OK;
}

static bnnep_status get_state(const void *workspace, enum bnnep_phase phase, size_t layer, float *state, char *why) {
    const struct workspace *ws = workspace;
    const size_t units = ws->net->model->links[layer - 1].out;
    (void)why;
    for (size_t n = 0; n < ws->count; n++)
        memcpy(state + n * units, state_of(ws, phase, layer - 1, n), units * sizeof *state);
    return BNNEP_OK;
}

static bnnep_status put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    const struct optimizer *optimizer = handle;
    const struct bnnep_model *model = optimizer->net->model;
    const size_t count = model->links[k].rows * model->links[k].columns;
    (void)why;
    memcpy(optimizer->momentum + weights_before(model, k), momentum, count * sizeof *momentum);
    return BNNEP_OK;
}

static bnnep_status get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    const struct optimizer *optimizer = handle;
    const struct bnnep_model *model = optimizer->net->model;
    const size_t count = model->links[k].rows * model->links[k].columns;
    (void)why;
    memcpy(momentum, optimizer->momentum + weights_before(model, k), count * sizeof *momentum);
    return BNNEP_OK;
}

static bnnep_status stage(void *workspace, const float *x, const float *target, size_t count, char *why) {
    struct workspace *ws = workspace;
    const struct bnnep_model *model = ws->net->model;
    const size_t outputs = model->links[model->connections - 1].out;
    (void)why;
    ws->count = count;
    for (size_t v = 0; v < count * model->links[0].in; v++)
        ws->x[v] = bnnep_on_grid(&model->grid, x[v]);
    if (target)
        memcpy(ws->target, target, count * outputs * sizeof *target);
    for (size_t v = 0; v < count * bnnep_units(model); v++)
        ws->state[BNNEP_PHASE_FREE][v] = bnnep_start(model->dynamics == BNNEP_BINARY_ACTIVATIONS, false);
    return BNNEP_OK;
}

/* --- phases ------------------------------------------------------------------------------------------------------- */

/* a of unit i of layer k, which connection k leads from. */
static double active(const struct workspace *ws, enum bnnep_phase phase, size_t k, size_t n, size_t i) {
    const struct bnnep_model *model = ws->net->model;
    if (k == 0)
        return (double)ws->x[n * model->links[0].in + i];
    return (double)bnnep_activation(model->dynamics == BNNEP_BINARY_ACTIVATIONS, model->theta,
                                    state_of(ws, phase, k - 1, n)[i]);
}

/* Row j of B_k times the layer below, rounded once. */
static float up(const struct workspace *ws, enum bnnep_phase phase, size_t k, size_t n, size_t j) {
    const size_t columns = ws->net->model->links[k].columns;
    const float *row = ws->net->sign + weights_before(ws->net->model, k) + j * columns;
    double sum = 0.0;
    for (size_t i = 0; i < columns; i++)
        sum += (double)row[i] * active(ws, phase, k, n, i);
    return (float)sum;
}

/* Column i of B_k times the layer above. */
static float down(const struct workspace *ws, enum bnnep_phase phase, size_t k, size_t n, size_t i) {
    const struct bnnep_link *link = &ws->net->model->links[k];
    const float *sign = ws->net->sign + weights_before(ws->net->model, k);
    double sum = 0.0;
    for (size_t j = 0; j < link->rows; j++)
        sum += (double)sign[j * link->columns + i] * active(ws, phase, k + 1, n, j);
    return (float)sum;
}

/* One step of sample n: all units move at once. Returns the largest change. */
static float step(struct workspace *ws, const struct bnnep_relaxation *how, size_t n) {
    const struct network *net = ws->net;
    const struct bnnep_model *model = net->model;
    float change = 0.0f, *next = ws->next;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_neuron neuron = bnnep_neuron_of(model, k, how->beta);
        const float *s = state_of(ws, how->to, k, n), *prediction = state_of(ws, BNNEP_PHASE_FREE, k, n);
        const float *target = ws->target + n * model->links[k].out, *bias = net->bias + units_before(model, k);
        for (size_t j = 0; j < model->links[k].out; j++, next++) {
            float pre = bnnep_forward(net->alpha[k], up(ws, how->to, k, n, j), bias[j]);
            if (!neuron.output)
                pre += net->alpha[k + 1] * down(ws, how->to, k + 1, n, j);
            *next = bnnep_next_state(&neuron, s[j], pre, neuron.output ? target[j] : 0.0f, prediction[j]);
            change = fmaxf(change, fabsf(*next - s[j]));
        }
    }
    memcpy(state_of(ws, how->to, 0, n), ws->next, bnnep_units(model) * sizeof *ws->next);
    return change;
}

static bnnep_status relax(void *workspace, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    struct workspace *ws = workspace;
    (void)why;
    done->sample_steps = 0;
    done->most_steps = 0;
    if (how->from != how->to)
        memcpy(ws->state[how->to], ws->state[how->from], ws->count * bnnep_units(ws->net->model) * sizeof(float));
    for (size_t n = 0; n < ws->count; n++) {
        uint32_t steps = 0;
        for (float change = INFINITY; steps < (uint32_t)how->steps && change > how->tolerance; steps++) {
            if (how->cancelled && how->cancelled(how->cancel_user))
                return BNNEP_CANCELLED;
            change = step(ws, how, n);
        }
        done->sample_steps += steps;
        done->most_steps = steps > done->most_steps ? steps : done->most_steps;
    }
    return BNNEP_OK;
}

/* --- learning: the nudged phase minus the free one, summed over the batch ----------------------------------------- */

static double bias_contrast(const struct workspace *ws, size_t k, size_t j) {
    double sum = 0.0;
    for (size_t n = 0; n < ws->count; n++)
        sum += active(ws, BNNEP_PHASE_NUDGED, k + 1, n, j) - active(ws, BNNEP_PHASE_FREE, k + 1, n, j);
    return sum;
}

static double contrast(const struct workspace *ws, size_t k, size_t j, size_t i) {
    double sum = 0.0;
    for (size_t n = 0; n < ws->count; n++)
        sum += active(ws, BNNEP_PHASE_NUDGED, k + 1, n, j) * active(ws, BNNEP_PHASE_NUDGED, k, n, i) -
               active(ws, BNNEP_PHASE_FREE, k + 1, n, j) * active(ws, BNNEP_PHASE_FREE, k, n, i);
    return sum;
}

static double scale_contrast(const struct workspace *ws, size_t k) {
    double dot[BNNEP_PHASES], sum = 0.0;
    for (size_t n = 0; n < ws->count; n++) {
        for (int phase = 0; phase < BNNEP_PHASES; phase++) {
            dot[phase] = 0.0;
            for (size_t j = 0; j < ws->net->model->links[k].rows; j++)
                dot[phase] += active(ws, (enum bnnep_phase)phase, k + 1, n, j) *
                              (double)(ws->net->alpha[k] * up(ws, (enum bnnep_phase)phase, k, n, j));
        }
        sum += dot[BNNEP_PHASE_NUDGED] - dot[BNNEP_PHASE_FREE];
    }
    return sum;
}

static bnnep_status learn(void *handle, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                          uint64_t *flips, char *why) {
    const struct optimizer *optimizer = handle;
    const struct network *net = optimizer->net;
    const struct workspace *ws = workspace;
    float *sign = net->sign, *m = optimizer->momentum, *bias = net->bias;
    (void)why;
    for (size_t k = 0; k < net->model->connections; k++) {
        const struct bnnep_link *link = &net->model->links[k];
        const struct bnnep_rule *r = &rules[k];
        const double scale = learn_scale ? scale_contrast(ws, k) : 0.0;
        flips[k] = 0;
        for (size_t v = 0; v < link->rows * link->columns; v++, sign++, m++) {
            *m = bnnep_momentum(*m, r->decay, r->gain, (float)contrast(ws, k, v / link->columns, v % link->columns));
            if (!bnnep_flips(bnnep_sign(net->alpha[k]) * *sign, *m, r->threshold, r->at_threshold))
                continue;
            *sign = -*sign;
            flips[k]++;
        }
        for (size_t j = 0; j < link->rows; j++)
            *bias++ += r->bias_gain * (float)bias_contrast(ws, k, j);
        if (learn_scale)
            net->alpha[k] += r->scale_gain * (float)scale;
    }
    return BNNEP_OK;
}

static bnnep_status backpropagate(void *optimizer, void *workspace, int32_t steps, char *why) {
    (void)optimizer, (void)workspace, (void)steps;
    return fail(BNNEP_ERROR_UNSUPPORTED, "back-propagation through time is not done here", why);
}

extern const struct bnnep_backend bnnep_backend_cuda;
const struct bnnep_backend bnnep_backend_cuda = {
    .abi = BNNEP_BACKEND_ABI,
    .name = "cuda",
    .summary = "plain loops, fully connected networks only",
    .probe = probe,
    .network_bytes = network_bytes,
    .workspace_bytes = workspace_bytes,
    .optimizer_bytes = optimizer_bytes,
    .network_create = network_create,
    .network_destroy = free,
    .put = put,
    .get = get,
    .workspace_create = workspace_create,
    .workspace_destroy = free,
    .stage = stage,
    .relax = relax,
    .put_state = put_state,
    .get_state = get_state,
    .optimizer_create = optimizer_create,
    .optimizer_destroy = free,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .backpropagate = backpropagate,
    .learn = learn,
};
