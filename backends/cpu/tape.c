/* SPDX-License-Identifier: MIT */
/* Back-propagation through time on the cpu backend: the steps of a tile are recorded, then walked back. */
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/rules.h"

uint64_t bnnep_cpu_tape_bytes(const struct bnnep_model *model, size_t max_batch, int32_t steps) {
    const uint64_t place = model->convolutional ? sizeof(uint16_t) : 0;
    return (uint64_t)steps * (4 * sizeof(void *) + bnnep_cpu_lanes(max_batch) * (uint64_t)bnnep_cpu_units(model) *
                                                       (3 * sizeof(float) + place));
}

void bnnep_cpu_tape_free(struct cpu_tape *tape) {
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

bnnep_status bnnep_cpu_tape_make(struct cpu_tape *tape, const struct bnnep_model *model, size_t max_batch,
                                 int32_t steps) {
    const size_t room = bnnep_cpu_lanes(max_batch) * bnnep_cpu_units(model), count = (size_t)steps;
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
            complete = (tape->place[t] = bnnep_cpu_alloc(room, sizeof(uint16_t))) && complete;
    }
    return complete ? BNNEP_OK : BNNEP_ERROR_MEMORY;
}

struct recall {
    struct cpu_tape *tape;
    struct cpu_workspace *ws;
};

/* The steps of a tile, from the free states; they end up there. */
static void record(const struct recall *recall, size_t tile, struct cpu_scratch *scratch) {
    struct cpu_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t at = bnnep_cpu_at(ws, tile, 0), count = ws->units * LANES, top = model->connections - 1;
    float *state = ws->state[BNNEP_SLOT_FREE] + at;
    for (int32_t t = 0; t < recall->tape->steps; t++) {
        float *pre = recall->tape->pre[t] + at;
        memcpy(recall->tape->state[t] + at, state, count * sizeof *state);
        bnnep_cpu_sums(ws, BNNEP_SLOT_FREE, tile, NULL, scratch);
        memset(scratch->feedback + ws->offset[top] * LANES, 0, model->links[top].out * LANES * sizeof *state);
        for (size_t v = 0; v < count; v++) {
            pre[v] = scratch->forward[v] + scratch->feedback[v];
            state[v] = bnnep_clamp01(pre[v]);
        }
        if (model->convolutional) {
            memcpy(recall->tape->place[t] + at, scratch->pooled, count * sizeof(uint16_t));
            memcpy(ws->place[BNNEP_SLOT_FREE] + at, scratch->pooled, count * sizeof(uint16_t));
        }
    }
}

/* gradient = dLoss/dstate before step t, from delta: layer k was read forward by connection k+1 and backward by
 * connection k. */
static void through_weights(const struct recall *recall, int32_t t, size_t tile, float *gradient,
                            struct cpu_scratch *scratch) {
    const struct cpu_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    float *delta = recall->tape->delta[t] + bnnep_cpu_at(ws, tile, 0);
    memset(gradient, 0, ws->units * LANES * sizeof *gradient);
    for (size_t k = 1; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        const struct cpu_connection *c = &ws->network->connection[k];
        const size_t below = ws->offset[k - 1] * LANES, above = ws->offset[k] * LANES;
        float *down = scratch->feedback + below, *up = scratch->forward + above;
        float scale = c->alpha[0];
        if (bnnep_cpu_is_convolution(link)) {
            const uint16_t *place = recall->tape->place[t] + bnnep_cpu_at(ws, tile, k);
            bnnep_cpu_convolve_at(link, c, delta + below, place, up, scratch);
            bnnep_cpu_feed_back(link, c, delta + above, place, NULL, down, scratch);
            scale = 1.0f; /* both have it by now */
        } else
            bnnep_cpu_products(link, c, delta + below, delta + above, up, down, (float *)scratch->tile);
        for (size_t v = 0; v < link->in * LANES; v++)
            gradient[below + v] += scale * down[v];
        for (size_t v = 0; v < link->out * LANES; v++)
            gradient[above + v] += scale * up[v];
    }
}

static void recall_tile(void *arg, size_t tile, unsigned worker) {
    const struct recall *recall = arg;
    struct cpu_workspace *ws = recall->ws;
    const struct bnnep_model *model = ws->network->model;
    struct cpu_scratch *scratch = &ws->scratch[worker];
    const size_t at = bnnep_cpu_at(ws, tile, 0), count = ws->units * LANES, top = model->connections - 1;
    float *gradient = scratch->active; /* no binary activations here */
    record(recall, tile, scratch);
    const float *output = bnnep_cpu_state(ws, BNNEP_SLOT_FREE, tile, top);
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

bnnep_status bnnep_cpu_backpropagate(void *handle, void *workspace, int32_t steps, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    struct cpu_workspace *ws = workspace;
    learner->tape.steps = steps;
    bnnep_pool_run(ws->pool, ws->tiles, recall_tile, &(struct recall){&learner->tape, ws});
    return BNNEP_OK;
}
