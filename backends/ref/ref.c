/* SPDX-License-Identifier: MIT */
/*
 * The reference backend: plain loops in the order of the equations, sums in double. It is the oracle of the
 * tests and the text to learn the algorithm from; it is not made for speed.
 *
 * Arrays: signs [rows][columns] as +1/-1 bytes, states and activations [sample][unit].
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "backends/rules.h"

struct connection {
    int8_t *sign;
    float *alpha, *bias;
};

struct network {
    const struct bnnep_model *model;
    struct connection *connection; /* [connections] */
};

struct workspace {
    const struct network *network;
    size_t count;               /* samples staged */
    float *x, *target;          /* [count][in], [count][out] */
    float *drive;               /* [count][units of layer 1]: B_0 x, the same in every step */
    float **state[BNNEP_SLOTS]; /* [layer 0 ... L-1, meaning 1 ... L][count][units] */
    float **next;               /* [layer][units]: states of one sample at t+1 */
    double **sum;               /* [connection][columns]: contrast of one row, summed over the batch */
    bool targeted;
};

struct learner {
    struct network *network;
    float **momentum; /* [connection][rows][columns] */
};

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

/* --- network --------------------------------------------------------------------------------------------- */

static uint64_t network_bytes(const struct bnnep_model *model) {
    uint64_t bytes = sizeof(struct network);
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        bytes += sizeof(struct connection) + (uint64_t)link->rows * link->columns +
                 (link->scales + link->rows) * sizeof(float);
    }
    return bytes;
}

static void network_destroy(void *handle) {
    struct network *net = handle;
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
    struct network *net = calloc(1, sizeof *net);
    if (!net)
        return no_memory(why);
    net->model = model;
    net->connection = calloc(model->connections, sizeof *net->connection);
    bool complete = net->connection != NULL;
    for (size_t k = 0; complete && k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        struct connection *c = &net->connection[k];
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
    struct network *net = handle;
    const struct bnnep_link *link = &net->model->links[k];
    struct connection *c = &net->connection[k];
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
    const struct network *net = handle;
    const struct bnnep_link *link = &net->model->links[k];
    const struct connection *c = &net->connection[k];
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

/* --- workspace ------------------------------------------------------------------------------------------- */

static uint64_t workspace_bytes(const struct bnnep_model *model, const char *device, size_t max_batch) {
    (void)device;
    const size_t L = model->connections;
    uint64_t units = 0, columns = 0;
    for (size_t k = 0; k < L; k++) {
        units += model->links[k].out;
        columns += model->links[k].columns;
    }
    const uint64_t a_sample = model->links[0].in + model->links[0].out + model->links[L - 1].out + BNNEP_SLOTS * units;
    return sizeof(struct workspace) + 4 * L * sizeof(void *) + (max_batch * a_sample + units) * sizeof(float) +
           columns * sizeof(double);
}

static void free_layers(float **layers, size_t count) {
    for (size_t k = 0; layers && k < count; k++)
        free(layers[k]);
    free(layers);
}

static void workspace_destroy(void *handle) {
    struct workspace *ws = handle;
    if (!ws)
        return;
    const size_t L = ws->network->model->connections;
    free(ws->x);
    free(ws->target);
    free(ws->drive);
    for (int slot = 0; slot < BNNEP_SLOTS; slot++)
        free_layers(ws->state[slot], L);
    free_layers(ws->next, L);
    for (size_t k = 0; ws->sum && k < L; k++)
        free(ws->sum[k]);
    free(ws->sum);
    free(ws);
}

/* samples x units of each layer 1 ... L; NULL if out of memory. */
static float **make_layers(const struct bnnep_model *model, size_t samples) {
    float **layers = calloc(model->connections, sizeof *layers);
    for (size_t k = 0; layers && k < model->connections; k++)
        if (!(layers[k] = calloc(samples * model->links[k].out, sizeof(float)))) {
            free_layers(layers, k);
            return NULL;
        }
    return layers;
}

static bnnep_status workspace_create(const void *network, size_t max_batch, int32_t threads, void **out, char *why) {
    (void)threads;
    const struct network *net = network;
    const struct bnnep_model *model = net->model;
    const size_t L = model->connections;
    struct workspace *ws = calloc(1, sizeof *ws);
    if (!ws)
        return no_memory(why);
    ws->network = net;
    ws->x = calloc(max_batch * model->links[0].in, sizeof(float));
    ws->target = calloc(max_batch * model->links[L - 1].out, sizeof(float));
    ws->drive = calloc(max_batch * model->links[0].out, sizeof(float));
    bool complete = ws->x && ws->target && ws->drive;
    for (int slot = 0; slot < BNNEP_SLOTS; slot++)
        complete = (ws->state[slot] = make_layers(model, max_batch)) && complete;
    complete = (ws->next = make_layers(model, 1)) && complete;
    ws->sum = calloc(L, sizeof *ws->sum);
    for (size_t k = 0; ws->sum && k < L; k++)
        complete = (ws->sum[k] = calloc(model->links[k].columns, sizeof(double))) && complete;
    if (!complete || !ws->sum) {
        workspace_destroy(ws);
        return no_memory(why);
    }
    *out = ws;
    return BNNEP_OK;
}

/* Row j of B_k times the activations a of layer k (states s, thresholded in a binary network). */
static float forward_sum(const struct network *net, size_t k, size_t j, const float *s, bool is_input) {
    const struct bnnep_model *model = net->model;
    const bool binary = model->dynamics == BNNEP_BINARY_ACTIVATIONS && !is_input;
    const size_t columns = model->links[k].columns;
    const int8_t *row = net->connection[k].sign + j * columns;
    double sum = 0.0;
    for (size_t i = 0; i < columns; i++)
        sum += row[i] * (double)bnnep_activation(binary, model->theta, s[i]);
    return (float)sum;
}

/* Column i of B_k, transposed, times the activations of layer k+1. */
static float feedback_sum(const struct network *net, size_t k, size_t i, const float *s) {
    const struct bnnep_model *model = net->model;
    const bool binary = model->dynamics == BNNEP_BINARY_ACTIVATIONS;
    const size_t columns = model->links[k].columns;
    double sum = 0.0;
    for (size_t j = 0; j < model->links[k].rows; j++)
        sum += net->connection[k].sign[j * columns + i] * (double)bnnep_activation(binary, model->theta, s[j]);
    return (float)sum;
}

static bnnep_status stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    (void)why;
    struct workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const size_t in = model->links[0].in, hidden = model->links[0].out;
    const size_t out = model->links[model->connections - 1].out;
    ws->count = count;
    ws->targeted = target != NULL;
    memcpy(ws->x, x, count * in * sizeof(float));
    if (target)
        memcpy(ws->target, target, count * out * sizeof(float));
    for (size_t n = 0; n < count; n++)
        for (size_t j = 0; j < hidden; j++)
            ws->drive[n * hidden + j] = forward_sum(ws->network, 0, j, ws->x + n * in, true);
    /* The free phase starts from 0 with real activations, from 1 with binary ones. */
    const float start = model->dynamics == BNNEP_BINARY_ACTIVATIONS ? 1.0f : 0.0f;
    for (size_t k = 0; k < model->connections; k++)
        for (size_t v = 0; v < count * model->links[k].out; v++)
            ws->state[BNNEP_SLOT_FREE][k][v] = start;
    return BNNEP_OK;
}

/* One time step of sample n: all layers move at once, from the states of time t. Returns the largest change. */
static float step(struct workspace *ws, size_t n, const struct bnnep_relaxation *how) {
    const struct network *net = ws->network;
    const struct bnnep_model *model = net->model;
    const size_t L = model->connections;
    float **state = ws->state[how->to], change = 0.0f;
    for (size_t k = 0; k < L; k++) { /* connection k and the layer k+1 it leads to, index k in state */
        const size_t units = model->links[k].out;
        const float *s = state[k] + n * units;
        const struct bnnep_neuron neuron = {
            .binary = model->dynamics == BNNEP_BINARY_ACTIVATIONS,
            .output = k + 1 == L,
            .clamp_nudged = !model->convolutional,
            .fixed_prediction = model->convolutional,
            .alpha_up = k + 1 < L ? net->connection[k + 1].alpha[0] : 0.0f,
            .theta = model->theta,
            .keep = (float)(1.0 - (double)model->gamma_neur),
            .gain = model->gamma_neur,
            .beta = how->beta,
        };
        for (size_t j = 0; j < units; j++) {
            const float forward = k == 0 ? ws->drive[n * units + j]
                                         : forward_sum(net, k, j, state[k - 1] + n * model->links[k].in, false);
            const float feedback =
                k + 1 < L ? feedback_sum(net, k + 1, j, state[k + 1] + n * model->links[k + 1].out) : 0.0f;
            const float pre = bnnep_preactivation(net->connection[k].alpha[0], forward, net->connection[k].bias[j],
                                                  neuron.alpha_up, feedback);
            const float target = neuron.output ? ws->target[n * units + j] : 0.0f;
            const float prediction = ws->state[BNNEP_SLOT_FREE][k][n * units + j];
            ws->next[k][j] = bnnep_next_state(&neuron, s[j], pre, target, prediction);
        }
    }
    for (size_t k = 0; k < L; k++) {
        const size_t units = model->links[k].out;
        for (size_t j = 0; j < units; j++)
            change = fmaxf(change, fabsf(ws->next[k][j] - state[k][n * units + j]));
        memcpy(state[k] + n * units, ws->next[k], units * sizeof(float));
    }
    return change;
}

static bnnep_status relax(void *handle, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    done->sample_steps = 0;
    done->most_steps = 0;
    if (how->from != how->to)
        for (size_t k = 0; k < model->connections; k++)
            memcpy(ws->state[how->to][k], ws->state[how->from][k], ws->count * model->links[k].out * sizeof(float));
    for (size_t n = 0; n < ws->count; n++) {
        uint32_t steps = 0;
        for (float change = INFINITY; steps < (uint32_t)how->steps && change > how->tolerance; steps++) {
            if (how->cancelled && how->cancelled(how->cancel_user))
                return BNNEP_CANCELLED;
            change = step(ws, n, how);
        }
        done->sample_steps += steps;
        if (steps > done->most_steps)
            done->most_steps = steps;
    }
    return BNNEP_OK;
}

static bnnep_status put_state(void *handle, enum bnnep_slot slot, size_t layer, const float *state, char *why) {
    (void)why;
    struct workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    memcpy(ws->state[slot][layer - 1], state, ws->count * units * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get_state(const void *handle, enum bnnep_slot slot, size_t layer, float *state, char *why) {
    (void)why;
    const struct workspace *ws = handle;
    const size_t units = ws->network->model->links[layer - 1].out;
    memcpy(state, ws->state[slot][layer - 1], ws->count * units * sizeof(float));
    return BNNEP_OK;
}

/* --- learner --------------------------------------------------------------------------------------------- */

static uint64_t learner_bytes(const struct bnnep_model *model) {
    uint64_t bytes = sizeof(struct learner);
    for (size_t k = 0; k < model->connections; k++)
        bytes += sizeof(float *) + (uint64_t)model->links[k].rows * model->links[k].columns * sizeof(float);
    return bytes;
}

static void learner_destroy(void *handle) {
    struct learner *learner = handle;
    if (learner)
        free_layers(learner->momentum, learner->network->model->connections);
    free(learner);
}

static bnnep_status learner_create(void *network, void **out, char *why) {
    struct network *net = network;
    const size_t L = net->model->connections;
    struct learner *learner = calloc(1, sizeof *learner);
    if (!learner)
        return no_memory(why);
    learner->network = net;
    learner->momentum = calloc(L, sizeof *learner->momentum);
    bool complete = learner->momentum != NULL;
    for (size_t k = 0; complete && k < L; k++)
        complete = (learner->momentum[k] =
                        calloc(net->model->links[k].rows * net->model->links[k].columns, sizeof(float))) != NULL;
    if (!complete) {
        learner_destroy(learner);
        return no_memory(why);
    }
    *out = learner;
    return BNNEP_OK;
}

static bnnep_status put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    (void)why;
    struct learner *learner = handle;
    const struct bnnep_link *link = &learner->network->model->links[k];
    memcpy(learner->momentum[k], momentum, link->rows * link->columns * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    (void)why;
    const struct learner *learner = handle;
    const struct bnnep_link *link = &learner->network->model->links[k];
    memcpy(momentum, learner->momentum[k], link->rows * link->columns * sizeof(float));
    return BNNEP_OK;
}

/* States that connection k starts from: the input, or a layer after a phase. */
static const float *states_below(const struct workspace *ws, enum bnnep_slot slot, size_t k, size_t n) {
    const float *base = k == 0 ? ws->x : ws->state[slot][k - 1];
    return base + n * ws->network->model->links[k].in;
}

static const float *states_above(const struct workspace *ws, enum bnnep_slot slot, size_t k, size_t n) {
    return ws->state[slot][k] + n * ws->network->model->links[k].out;
}

/* Sum over the batch of (a_{k+1} . W_k a_k) in the nudged phase minus the same in the free phase. */
static double scale_contrast(const struct workspace *ws, size_t k) {
    const struct bnnep_model *model = ws->network->model;
    const bool binary = model->dynamics == BNNEP_BINARY_ACTIVATIONS;
    double contrast = 0.0;
    for (size_t n = 0; n < ws->count; n++) {
        double sum[BNNEP_SLOTS] = {0.0, 0.0};
        for (int slot = 0; slot < BNNEP_SLOTS; slot++)
            for (size_t j = 0; j < model->links[k].rows; j++) {
                const float a = bnnep_activation(binary, model->theta, states_above(ws, slot, k, n)[j]);
                sum[slot] += (double)a * forward_sum(ws->network, k, j, states_below(ws, slot, k, n), k == 0);
            }
        contrast += sum[BNNEP_SLOT_NUDGED] - sum[BNNEP_SLOT_FREE];
    }
    return ws->network->connection[k].alpha[0] * contrast;
}

/* Row j of connection k: G_i = sum over the batch of a_j^b a_i^b - a_j^* a_i^*. Returns the same of the bias,
 * sum of a_j^b - a_j^*. */
static double row_contrast(const struct workspace *ws, size_t k, size_t j, double *G) {
    const struct bnnep_model *model = ws->network->model;
    const bool binary = model->dynamics == BNNEP_BINARY_ACTIVATIONS;
    const size_t columns = model->links[k].columns;
    double bias = 0.0;
    for (size_t i = 0; i < columns; i++)
        G[i] = 0.0;
    for (size_t n = 0; n < ws->count; n++)
        for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
            const double phase = slot == BNNEP_SLOT_NUDGED ? 1.0 : -1.0;
            const double a = phase * bnnep_activation(binary, model->theta, states_above(ws, slot, k, n)[j]);
            const float *below = states_below(ws, slot, k, n);
            for (size_t i = 0; i < columns; i++)
                G[i] += a * bnnep_activation(binary && k > 0, model->theta, below[i]);
            bias += a;
        }
    return bias;
}

static bnnep_status learn(void *handle, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                          uint64_t *flips, char *why) {
    (void)why;
    struct learner *learner = handle;
    struct workspace *ws = workspace;
    struct network *net = learner->network;
    const struct bnnep_model *model = net->model;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        const struct bnnep_rule *rule = &rules[k];
        struct connection *c = &net->connection[k];
        const float sign_alpha = bnnep_sign(c->alpha[0]);
        const double scale = learn_scale ? scale_contrast(ws, k) : 0.0;
        flips[k] = 0;
        for (size_t j = 0; j < link->rows; j++) {
            float *m = learner->momentum[k] + j * link->columns;
            int8_t *sign = c->sign + j * link->columns;
            const double bias = row_contrast(ws, k, j, ws->sum[k]);
            for (size_t i = 0; i < link->columns; i++) {
                m[i] = bnnep_momentum(m[i], rule->decay, rule->gain, (float)ws->sum[k][i]);
                if (bnnep_flips(sign_alpha * sign[i], m[i], rule->threshold, model->convolutional)) {
                    sign[i] = (int8_t)-sign[i];
                    flips[k]++;
                }
            }
            c->bias[j] += rule->bias_gain * (float)bias;
        }
        if (learn_scale)
            c->alpha[0] += rule->scale_gain * (float)scale;
    }
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
    .stage = stage,
    .relax = relax,
    .put_state = put_state,
    .get_state = get_state,
    .learner_create = learner_create,
    .learner_destroy = learner_destroy,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .learn = learn,
};
