/* SPDX-License-Identifier: MIT */
/* The two phases of a network of real activations: a thread takes a tile of samples through all steps. */
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/real/real.h"

struct phase {
    struct real_workspace *ws;
    const struct bnnep_relaxation *how;
    atomic_bool cancelled;
    atomic_uint_fast64_t sample_steps;
    atomic_uint most_steps;
};

/* One tile on its way through a phase. */
struct passage {
    struct phase *phase;
    struct real_scratch *scratch;
    size_t tile;
    float moving[LANES]; /* 1: the sample has not settled */
    float change[LANES]; /* largest change of its states in this step */
    /* Lanes that have changed places, so that all that move are in the first half. */
    size_t swaps;
    struct {
        size_t resting, moving;
    } swap[LANES / 2];
};

void bnnep_real_forward(const struct real_workspace *ws, size_t k, const float *below, float *value, int32_t *place,
                        struct real_scratch *scratch) {
    const struct cpu_network *net = ws->network;
    const struct cpu_connection *c = &net->connection[k];
    if (bnnep_cpu_is_convolution(&net->model->links[k])) {
        bnnep_real_convolve(net, k, below, value, place, scratch);
        return;
    }
    bnnep_real_up(net, k, below, value, scratch);
    net->kernels->scale_rows(value, c->alpha[0], c->bias, c->rows);
}

float bnnep_real_feedback_scale(const struct real_workspace *ws, size_t k) {
    const struct cpu_connection *c = &ws->network->connection[k];
    if (!bnnep_cpu_is_convolution(&ws->network->model->links[k]))
        return c->alpha[0];
    return bnnep_real_has_grid(ws->network) ? bnnep_largest(c->alpha, c->rows) : 1.0f;
}

void bnnep_real_sums_of(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile,
                        struct real_scratch *scratch) {
    const struct cpu_network *net = ws->network;
    for (size_t k = 1; k < net->model->connections; k++) {
        const size_t at = ws->offset[k] * LANES;
        const float *below = bnnep_real_state(ws, slot, tile, k - 1), *above = bnnep_real_state(ws, slot, tile, k);
        float *feedback = scratch->feedback + ws->offset[k - 1] * LANES;
        int32_t *place = scratch->pooled ? scratch->pooled + at : NULL;
        bnnep_real_forward(ws, k, below, scratch->forward + at, place, scratch);
        if (bnnep_cpu_is_convolution(&net->model->links[k]))
            bnnep_real_feed_back(net, k, above, place, feedback, scratch);
        else
            bnnep_real_down(net, k, above, feedback, scratch);
    }
}

/* The output layer: no feedback, but it may be nudged. */
static void move_output(struct passage *p, const float *forward) {
    struct real_workspace *ws = p->phase->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_relaxation *how = p->phase->how;
    const size_t top = model->connections - 1, units = model->links[top].out;
    const struct bnnep_neuron neuron = {
        .output = true,
        .clamp_nudged = !model->convolutional,
        .beta = how->beta,
        .grid = model->grid,
    };
    const float *target = ws->target + p->tile * units * LANES;
    float *state = bnnep_real_state(ws, how->to, p->tile, top);
    for (size_t v = 0; v < units * LANES; v++) {
        const size_t l = v % LANES;
        const float next = bnnep_next_state(&neuron, state[v], forward[v], target[v], 0.0f);
        const float step = fabsf(next - state[v]) * p->moving[l];
        p->change[l] = step > p->change[l] ? step : p->change[l];
        state[v] = p->moving[l] != 0.0f ? next : state[v];
    }
}

/* The argmax of this step, for the samples that move; that of connection 0 never changes. */
static void keep_places(struct passage *p) {
    struct real_workspace *ws = p->phase->ws;
    int32_t *place = ws->place[p->phase->how->to] + bnnep_real_at(ws, p->tile, 0);
    for (size_t v = ws->network->model->links[0].out * LANES; v < ws->units * LANES; v++)
        place[v] = p->moving[v % LANES] != 0.0f ? p->scratch->pooled[v] : place[v];
}

/* One time step of a tile: all layers move at once. */
static void step(struct passage *p) {
    struct real_workspace *ws = p->phase->ws;
    const struct cpu_network *net = ws->network;
    const struct bnnep_model *model = net->model;
    const size_t L = model->connections;
    const float *drive = ws->drive + p->tile * model->links[0].out * LANES;
    bnnep_real_sums_of(ws, p->phase->how->to, p->tile, p->scratch);
    if (model->convolutional)
        keep_places(p);
    memset(p->change, 0, sizeof p->change);
    for (size_t k = 0; k + 1 < L; k++)
        net->kernels->move_hidden(bnnep_real_state(ws, p->phase->how->to, p->tile, k),
                                  k == 0 ? drive : p->scratch->forward + ws->offset[k] * LANES,
                                  p->scratch->feedback + ws->offset[k] * LANES, bnnep_real_feedback_scale(ws, k + 1),
                                  model->links[k].out, &model->grid, p->moving, p->change);
    move_output(p, L == 1 ? drive : p->scratch->forward + ws->offset[L - 1] * LANES);
}

/* The nudged phase starts where the free phase ended. */
static void copy_states(struct real_workspace *ws, const struct bnnep_relaxation *how, size_t tile) {
    const size_t at = bnnep_real_at(ws, tile, 0), count = ws->units * LANES;
    memcpy(ws->state[how->to] + at, ws->state[how->from] + at, count * sizeof(float));
    if (ws->place[how->to])
        memcpy(ws->place[how->to] + at, ws->place[how->from] + at, count * sizeof(int32_t));
}

static void swap_lanes(uint32_t *array, size_t units, size_t a, size_t b) {
    for (; units > 0; units--, array += LANES) {
        const uint32_t kept = array[a];
        array[a] = array[b];
        array[b] = kept;
    }
}

/* Puts the lanes of each swap in each other's place; done twice, nothing has happened. Lanes do not mix, so it changes
 * no result. */
static void swap_all(struct passage *p) {
    struct real_workspace *ws = p->phase->ws;
    const struct bnnep_model *model = ws->network->model;
    const enum bnnep_slot to = p->phase->how->to;
    const size_t first = model->links[0].out, last = model->links[model->connections - 1].out;
    for (size_t i = 0; i < p->swaps; i++) {
        const size_t a = p->swap[i].resting, b = p->swap[i].moving;
        swap_lanes((uint32_t *)bnnep_real_state(ws, to, p->tile, 0), ws->units, a, b);
        swap_lanes((uint32_t *)ws->drive + p->tile * first * LANES, first, a, b);
        swap_lanes((uint32_t *)ws->target + p->tile * last * LANES, last, a, b);
        if (ws->place[to])
            swap_lanes((uint32_t *)ws->place[to] + bnnep_real_at(ws, p->tile, 0), ws->units, a, b);
        swap_lanes((uint32_t *)p->moving, 1, a, b);
    }
}

/* When at most half of the samples still move, they go on in half a tile. */
static void pack(struct passage *p) {
    for (size_t resting = 0, moving = LANES / 2; moving < LANES; moving++) {
        if (p->moving[moving] == 0.0f)
            continue;
        while (p->moving[resting] != 0.0f)
            resting++;
        p->swap[p->swaps].resting = resting++;
        p->swap[p->swaps++].moving = moving;
    }
    swap_all(p);
    p->scratch->bytes = ENTRY_BYTES / 2;
}

static void unpack(struct passage *p) {
    swap_all(p);
    p->scratch->bytes = ENTRY_BYTES;
}

/* Samples that have come to rest in this step. */
static size_t settle(struct passage *p) {
    size_t settled = 0;
    for (size_t l = 0; l < LANES; l++)
        if (p->moving[l] != 0.0f && p->change[l] <= p->phase->how->tolerance) {
            p->moving[l] = 0.0f;
            settled++;
        }
    return settled;
}

static void relax_tile(void *arg, size_t tile, unsigned worker) {
    struct phase *phase = arg;
    struct real_workspace *ws = phase->ws;
    const struct bnnep_relaxation *how = phase->how;
    struct passage p = {.phase = phase, .scratch = &ws->scratch[worker], .tile = tile};
    if (how->from != how->to)
        copy_states(ws, how, tile);
    /* Lanes without a sample rest. */
    size_t moving = ws->count - tile * LANES < LANES ? ws->count - tile * LANES : LANES;
    for (size_t l = 0; l < moving; l++)
        p.moving[l] = 1.0f;
    uint64_t sample_steps = 0;
    uint32_t steps = 0;
    for (; steps < (uint32_t)how->steps && moving > 0; steps++) {
        if (worker == 0 && how->cancelled && how->cancelled(how->cancel_user))
            atomic_store(&phase->cancelled, true);
        if (atomic_load(&phase->cancelled))
            break;
        if (moving <= LANES / 2 && p.scratch->bytes == ENTRY_BYTES)
            pack(&p);
        step(&p);
        sample_steps += moving;
        moving -= settle(&p);
    }
    unpack(&p);
    atomic_fetch_add(&phase->sample_steps, sample_steps);
    for (unsigned most = atomic_load(&phase->most_steps);
         most < steps && !atomic_compare_exchange_weak(&phase->most_steps, &most, steps);)
        continue;
}

bnnep_status bnnep_real_relax(void *handle, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct real_workspace *ws = handle;
    struct phase phase = {.ws = ws, .how = how};
    bnnep_pool_run(ws->pool, ws->tiles, relax_tile, &phase);
    if (atomic_load(&phase.cancelled))
        return BNNEP_CANCELLED;
    done->sample_steps = atomic_load(&phase.sample_steps);
    done->most_steps = atomic_load(&phase.most_steps);
    return BNNEP_OK;
}
