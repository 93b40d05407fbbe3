/* SPDX-License-Identifier: MIT */
/* An update of a network of real activations, connection by connection, and of its scaling factors; the optimizer's
 * memory. */
#include <string.h>

#include "backends/arena.h"
#include "backends/cpu/real/connection.h"
#include "backends/cpu/real/learn.h"

/* --- da ---------------------------------------------------------------------------------------------------- */

static void change_of_tile(void *arg, size_t tile, unsigned worker) {
    const struct real_update *update = arg;
    const struct real_workspace *ws = update->ws;
    (void)worker;
    const float *first = bnnep_real_state(ws, update->learning->how->first, tile, 0),
                *second = bnnep_real_state(ws, update->learning->how->second, tile, 0);
    float *change = ws->contrast.change + tile * ws->units * LANES;
    for (size_t v = 0; v < ws->units * LANES; v++)
        change[v] = second[v] - first[v];
    /* Lanes without a sample count for nothing, whatever states they hold. */
    for (size_t l = LANES; tile * LANES + l > ws->count; l--)
        for (size_t j = 0; j < ws->units; j++)
            change[j * LANES + l - 1] = 0.0f;
}

/* --- scaling factors --------------------------------------------------------------------------------------- */

/* W_k a_k without bias (fully connected), or fwd_k(a_k) (convolution), of a tile after a phase. */
static const float *pull_of_tile(struct real_update *update, int32_t phase, size_t tile, struct real_scratch *scratch) {
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const float *below =
        update->k == 0 ? ws->input + tile * link->in * LANES : bnnep_real_state(ws, phase, tile, update->k - 1);
    float *value = scratch->step.forward;
    if (bnnep_is_convolution(link))
        bnnep_real_forward(ws->network, update->k, WHOLE, below, value, scratch->step.argmax, scratch);
    else
        bnnep_real_feedback_adjoint(ws->network, update->k, below, NULL, value, scratch);
    return value;
}

/* a_{k+1} . W_k a_k of each sample of a tile and each scaling factor, in both phases. */
static void dots_of_tile(void *arg, size_t tile, unsigned worker) {
    struct real_update *update = arg;
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    for (int which = 0; which < 2; which++) {
        const int32_t phase = which == 0 ? update->learning->how->first : update->learning->how->second;
        const float *value = pull_of_tile(update, phase, tile, &ws->scratch[worker]);
        const float *above = bnnep_real_state(ws, phase, tile, update->k);
        for (size_t i = 0; i < link->scales; i++) {
            double *dot = ws->contrast.dot[which] + (i * ws->tiles + tile) * LANES;
            memset(dot, 0, LANES * sizeof *dot);
            for (size_t j = i; j < link->out; j += link->scales) /* [position][channel] */
                for (size_t l = 0; l < LANES; l++)
                    dot[l] += (double)above[j * LANES + l] * (double)value[j * LANES + l];
        }
    }
}

/* Leaves the contrast of each scaling factor in dot[0][i * tiles * LANES]. */
static void scale_contrast(struct real_update *update) {
    struct real_workspace *ws = update->ws;
    bnnep_pool_run(ws->pool, ws->threads, ws->tiles, dots_of_tile, update);
    for (size_t i = 0; i < bnnep_real_link(update)->scales; i++) {
        double *first = ws->contrast.dot[0] + i * ws->tiles * LANES, contrast = 0.0;
        const double *second = ws->contrast.dot[1] + i * ws->tiles * LANES;
        for (size_t n = 0; n < ws->count; n++)
            contrast += second[n] - first[n];
        first[0] = contrast;
    }
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

void bnnep_real_learn(void *handle, void *workspace, const struct cpu_learning *learning) {
    struct real_optimizer *optimizer = handle;
    struct real_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_learning *how = learning->how;
    if (optimizer->tape.room == 0)
        bnnep_pool_run(ws->pool, ws->threads, ws->tiles, change_of_tile,
                       &(struct real_update){.ws = ws, .learning = learning});
    const bool covariance = how->covariance && (ws->count > 1 || how->sums[0]);
    if (covariance)
        bnnep_real_add_up(ws, how);
    for (size_t k = 0; k < model->connections; k++) {
        struct real_update update = {.optimizer = optimizer, .ws = ws, .learning = learning, .k = k};
        update.covariance = covariance;
        if (how->learn_scale)
            scale_contrast(&update);
        if (bnnep_is_convolution(model->links[k]))
            bnnep_real_update_convolution(&update);
        else
            bnnep_real_update_connected(&update);
        for (size_t i = 0; how->learn_scale && i < model->links[k]->scales; i++)
            bnnep_cpu_learn_scale(ws->network, learning, k, i, (float)ws->contrast.dot[0][i * ws->tiles * LANES]);
    }
}

/* --- the optimizer's memory --------------------------------------------------------------------------------------- */

static struct real_tape take_tape(struct bnnep_arena *arena, const struct bnnep_model *model, size_t max_batch,
                                  size_t steps) {
    const size_t room = bnnep_real_tiles(max_batch) * LANES * bnnep_units(model);
    struct real_tape tape = {.room = (int32_t)steps};
    tape.state = bnnep_arena_take(arena, steps, sizeof *tape.state);
    tape.pre = bnnep_arena_take(arena, steps, sizeof *tape.pre);
    tape.delta = bnnep_arena_take(arena, steps, sizeof *tape.delta);
    tape.argmax = bnnep_arena_take(arena, steps, sizeof *tape.argmax);
    for (size_t t = 0; t < steps; t++) {
        float *state = bnnep_arena_take(arena, room, sizeof(float)),
              *pre = bnnep_arena_take(arena, room, sizeof(float));
        float *delta = bnnep_arena_take(arena, room, sizeof(float));
        int32_t *argmax = model->convolutional ? bnnep_arena_take(arena, room, sizeof(int32_t)) : NULL;
        if (!state)
            continue;
        tape.state[t] = state;
        tape.pre[t] = pre;
        tape.delta[t] = delta;
        tape.argmax[t] = argmax;
    }
    return tape;
}

static struct real_optimizer *divide(struct bnnep_arena *arena, const struct bnnep_model *model, size_t max_batch,
                                     int32_t tape) {
    struct real_optimizer *optimizer = bnnep_arena_take(arena, 1, sizeof *optimizer), seed = {0};
    seed.momentum = bnnep_arena_take(arena, model->connections, sizeof *seed.momentum);
    for (size_t k = 0; k < model->connections; k++) {
        float *momentum = bnnep_arena_take(arena, model->links[k]->rows * model->links[k]->columns, sizeof(float));
        if (seed.momentum)
            seed.momentum[k] = momentum;
    }
    seed.tape = take_tape(arena, model, max_batch, (size_t)tape);
    if (optimizer)
        *optimizer = seed;
    return optimizer;
}

uint64_t bnnep_real_optimizer_bytes(const struct bnnep_model *model, size_t max_batch, int32_t tape) {
    struct bnnep_arena arena = {0};
    divide(&arena, model, max_batch, tape);
    return arena.used;
}

bnnep_status bnnep_real_optimizer_create(struct cpu_network *net, size_t max_batch, int32_t tape, void **out,
                                         char *why) {
    struct bnnep_arena arena = {.used = (size_t)bnnep_real_optimizer_bytes(net->model, max_batch, tape)};
    if (!bnnep_arena_open(&arena, net->device->host))
        return bnnep_cpu_no_memory(why);
    struct real_optimizer *optimizer = divide(&arena, net->model, max_batch, tape);
    optimizer->network = net;
    *out = optimizer;
    return BNNEP_OK;
}

void bnnep_real_put_momentum(void *handle, size_t k, const float *momentum) {
    struct real_optimizer *optimizer = handle;
    bnnep_cpu_order_columns(&optimizer->network->connection[k], momentum, optimizer->momentum[k]);
}

void bnnep_real_get_momentum(const void *handle, size_t k, float *momentum) {
    const struct real_optimizer *optimizer = handle;
    bnnep_cpu_canonical_columns(&optimizer->network->connection[k], optimizer->momentum[k], momentum);
}

float *bnnep_real_momentum(void *handle, size_t k) {
    const struct real_optimizer *optimizer = handle;
    return optimizer->momentum[k];
}
