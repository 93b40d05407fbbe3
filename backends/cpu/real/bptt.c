/* SPDX-License-Identifier: MIT */
/* Back-propagation through time on the cpu backend: the steps of a tile are recorded, then walked back. */
#include <string.h>

#include "backends/cpu/real/connection.h"
#include "backends/cpu/real/learn.h"

struct recall {
    struct real_tape *tape;
    struct real_workspace *ws;
    struct bnnep_neuron neuron; /* any: all layers have one activation */
};

/* The steps of a tile, from the free states; they end up there. */
static void record(const struct recall *recall, size_t tile, struct real_scratch *scratch) {
    struct real_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t at = bnnep_real_at(ws, tile, 0), count = ws->units * LANES, first = model->links[0]->out * LANES;
    float *state = ws->state[BNNEP_PHASE_FREE] + at;
    for (int32_t t = 0; t < recall->tape->steps; t++) {
        float *pre = recall->tape->pre[t] + at;
        memcpy(recall->tape->state[t] + at, state, count * sizeof *state);
        bnnep_real_sum_all(ws, BNNEP_PHASE_FREE, tile, scratch);
        memcpy(pre, ws->drive + tile * first, first * sizeof *pre);
        memcpy(pre + first, scratch->step.forward + first, (count - first) * sizeof *pre);
        for (size_t k = 1; k < model->connections; k++) {
            const float scale = bnnep_real_feedback_scale(ws->network, k);
            for (size_t v = ws->offset[k - 1] * LANES; v < ws->offset[k] * LANES; v++)
                pre[v] += scale * scratch->step.feedback[v];
        }
        for (size_t v = 0; v < count; v++)
            state[v] = bnnep_rho(&recall->neuron, pre[v]);
        if (model->convolutional) {
            int32_t *free = ws->argmax[BNNEP_PHASE_FREE] + at;
            memcpy(free + first, scratch->step.argmax + first, (count - first) * sizeof *free);
            memcpy(recall->tape->argmax[t] + at, free, count * sizeof *free);
        }
    }
}

/* gradient = dLoss/dstate before step t, from delta: layer k was read forward by connection k+1 and backward by
 * connection k. */
static void through_weights(const struct recall *recall, int32_t t, size_t tile, float *gradient,
                            struct real_scratch *scratch) {
    const struct real_workspace *ws = recall->ws;
    const struct cpu_network *net = ws->network;
    const struct bnnep_model *model = net->model;
    float *delta = recall->tape->delta[t] + bnnep_real_at(ws, tile, 0);
    memset(gradient, 0, ws->units * LANES * sizeof *gradient);
    for (size_t k = 1; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const size_t below = ws->offset[k - 1] * LANES, above = ws->offset[k] * LANES;
        const int32_t *argmax = model->convolutional ? recall->tape->argmax[t] + bnnep_real_at(ws, tile, k) : NULL;
        float *down = scratch->step.feedback + below, *up = scratch->step.forward + above;
        const float scale = bnnep_real_feedback_scale(net, k);
        bnnep_real_feedback_adjoint(net, k, delta + below, argmax, up, scratch);
        bnnep_real_feedback(net, k, WHOLE, delta + above, argmax, down, scratch);
        for (size_t v = 0; v < link->in * LANES; v++)
            gradient[below + v] += scale * down[v];
        for (size_t v = 0; v < link->out * LANES; v++)
            gradient[above + v] += up[v];
    }
}

static void recall_tile(void *arg, size_t tile, unsigned worker) {
    const struct recall *recall = arg;
    struct real_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    struct real_scratch *scratch = &ws->scratch[worker];
    const size_t at = bnnep_real_at(ws, tile, 0), count = ws->units * LANES, top = model->connections - 1;
    float *gradient = scratch->gradient.loss;
    record(recall, tile, scratch);
    const float *output = bnnep_real_state(ws, BNNEP_PHASE_FREE, tile, top);
    const float *target = ws->target + tile * model->links[top]->out * LANES;
    memset(gradient, 0, count * sizeof *gradient);
    for (size_t v = 0; v < model->links[top]->out * LANES; v++)
        if (tile * LANES + v % LANES < ws->count) /* lanes without a sample have no loss */
            gradient[ws->offset[top] * LANES + v] = output[v] - target[v];
    for (int32_t t = recall->tape->steps - 1; t >= 0; t--) {
        const float *pre = recall->tape->pre[t] + at;
        float *delta = recall->tape->delta[t] + at;
        for (size_t v = 0; v < count; v++)
            delta[v] = bnnep_rho_slope(&recall->neuron, pre[v]) * gradient[v];
        if (t > 0)
            through_weights(recall, t, tile, gradient, scratch);
    }
}

void bnnep_real_backpropagate(void *handle, void *workspace, int32_t steps) {
    struct real_optimizer *optimizer = handle;
    struct real_workspace *ws = workspace;
    optimizer->tape.steps = steps;
    bnnep_pool_run(ws->pool, ws->threads, ws->tiles, recall_tile,
                   &(struct recall){&optimizer->tape, ws, bnnep_neuron_of(ws->network->model, 0, 0.0f)});
}
