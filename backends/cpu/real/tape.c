/* SPDX-License-Identifier: MIT */
/* Back-propagation through time on the cpu backend: the steps of a tile are recorded, then walked back. */
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/real/real.h"

static size_t lanes_of(size_t samples) {
    return (samples + LANES - 1) / LANES * LANES;
}

uint64_t bnnep_real_tape_bytes(const struct bnnep_model *model, size_t max_batch, int32_t steps) {
    const uint64_t place = model->convolutional ? sizeof(int32_t) : 0;
    return (uint64_t)steps *
           (4 * sizeof(void *) + lanes_of(max_batch) * (uint64_t)bnnep_cpu_units(model) * (3 * sizeof(float) + place));
}

void bnnep_real_tape_free(struct real_tape *tape) {
    for (int32_t t = 0; t < tape->room; t++) {
        if (tape->state)
            free(tape->state[t]);
        if (tape->pre)
            free(tape->pre[t]);
        if (tape->delta)
            free(tape->delta[t]);
        if (tape->place)
            free(tape->place[t]);
    }
    free(tape->state);
    free(tape->pre);
    free(tape->delta);
    free(tape->place);
}

bnnep_status bnnep_real_tape_make(struct real_tape *tape, const struct bnnep_model *model, size_t max_batch,
                                  int32_t steps) {
    const size_t room = lanes_of(max_batch) * bnnep_cpu_units(model), count = (size_t)steps;
    tape->room = steps;
    tape->state = calloc(count, sizeof *tape->state);
    tape->pre = calloc(count, sizeof *tape->pre);
    tape->delta = calloc(count, sizeof *tape->delta);
    tape->place = calloc(count, sizeof *tape->place);
    bool complete = tape->state && tape->pre && tape->delta && tape->place;
    for (int32_t t = 0; complete && t < steps; t++) {
        tape->state[t] = bnnep_cpu_alloc(room, sizeof(float));
        tape->pre[t] = bnnep_cpu_alloc(room, sizeof(float));
        tape->delta[t] = bnnep_cpu_alloc(room, sizeof(float));
        complete = tape->state[t] && tape->pre[t] && tape->delta[t];
        if (model->convolutional)
            complete = (tape->place[t] = bnnep_cpu_alloc(room, sizeof(int32_t))) && complete;
    }
    return complete ? BNNEP_OK : BNNEP_ERROR_MEMORY;
}

struct recall {
    struct real_tape *tape;
    struct real_workspace *ws;
};

/* The steps of a tile, from the free states; they end up there. */
static void record(const struct recall *recall, size_t tile, struct real_scratch *scratch) {
    struct real_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t at = bnnep_real_at(ws, tile, 0), count = ws->units * LANES, first = model->links[0].out * LANES;
    float *state = ws->state[BNNEP_SLOT_FREE] + at;
    for (int32_t t = 0; t < recall->tape->steps; t++) {
        float *pre = recall->tape->pre[t] + at;
        memcpy(recall->tape->state[t] + at, state, count * sizeof *state);
        bnnep_real_sums_of(ws, BNNEP_SLOT_FREE, tile, scratch);
        memcpy(pre, ws->drive + tile * first, first * sizeof *pre);
        memcpy(pre + first, scratch->forward + first, (count - first) * sizeof *pre);
        for (size_t k = 1; k < model->connections; k++) {
            const float scale = bnnep_real_feedback_scale(ws, k);
            for (size_t v = ws->offset[k - 1] * LANES; v < ws->offset[k] * LANES; v++)
                pre[v] += scale * scratch->feedback[v];
        }
        for (size_t v = 0; v < count; v++)
            state[v] = bnnep_clamp01(pre[v]);
        if (model->convolutional) {
            int32_t *free = ws->place[BNNEP_SLOT_FREE] + at;
            memcpy(free + first, scratch->pooled + first, (count - first) * sizeof *free);
            memcpy(recall->tape->place[t] + at, free, count * sizeof *free);
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
        const struct bnnep_link *link = &model->links[k];
        const struct cpu_connection *c = &net->connection[k];
        const size_t below = ws->offset[k - 1] * LANES, above = ws->offset[k] * LANES;
        float *down = scratch->feedback + below, *up = scratch->forward + above;
        float scale = c->alpha[0];
        if (bnnep_cpu_is_convolution(link)) {
            const int32_t *place = recall->tape->place[t] + bnnep_real_at(ws, tile, k);
            bnnep_real_convolve_at(net, k, delta + below, place, up, scratch);
            bnnep_real_convolve_back(net, k, WHOLE, bnnep_real_values(delta + above), place, down, scratch);
            scale = 1.0f; /* both have it by now */
        } else {
            bnnep_real_up(net, k, WHOLE, bnnep_real_values(delta + below), up, scratch);
            bnnep_real_down(net, k, WHOLE, bnnep_real_values(delta + above), down, scratch);
        }
        for (size_t v = 0; v < link->in * LANES; v++)
            gradient[below + v] += scale * down[v];
        for (size_t v = 0; v < link->out * LANES; v++)
            gradient[above + v] += scale * up[v];
    }
}

static void recall_tile(void *arg, size_t tile, unsigned worker) {
    const struct recall *recall = arg;
    struct real_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    struct real_scratch *scratch = &ws->scratch[worker];
    const size_t at = bnnep_real_at(ws, tile, 0), count = ws->units * LANES, top = model->connections - 1;
    float *gradient = scratch->gradient;
    record(recall, tile, scratch);
    const float *output = bnnep_real_state(ws, BNNEP_SLOT_FREE, tile, top);
    const float *target = ws->target + tile * model->links[top].out * LANES;
    memset(gradient, 0, count * sizeof *gradient);
    for (size_t v = 0; v < model->links[top].out * LANES; v++)
        if (tile * LANES + v % LANES < ws->count) /* lanes without a sample have no loss */
            gradient[ws->offset[top] * LANES + v] = output[v] - target[v];
    for (int32_t t = recall->tape->steps - 1; t >= 0; t--) {
        const float *pre = recall->tape->pre[t] + at;
        float *delta = recall->tape->delta[t] + at;
        /* the derivative of the clamp is 1 on [0, 1] */
        for (size_t v = 0; v < count; v++)
            delta[v] = pre[v] >= 0.0f && pre[v] <= 1.0f ? gradient[v] : 0.0f;
        if (t > 0)
            through_weights(recall, t, tile, gradient, scratch);
    }
}

bnnep_status bnnep_real_backpropagate(void *handle, void *workspace, int32_t steps, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    struct real_workspace *ws = workspace;
    learner->tape.steps = steps;
    bnnep_pool_run(ws->pool, ws->tiles, recall_tile, &(struct recall){&learner->tape, ws});
    return BNNEP_OK;
}
