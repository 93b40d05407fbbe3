/* SPDX-License-Identifier: MIT */
/*
 * The two phases of a network of real activations. A thread takes tiles through all steps by itself. Where there are
 * fewer tiles than threads and a step takes long, all threads share each step of one tile after the other.
 */
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/real/real.h"

/* Multiply-adds of a sample and direction from which on a step is long enough to be shared: waking threads for it takes
 * what sharing saves at 10 million, and pays at 17 million. */
#define LONG_STEP ((size_t)12000000)
/* Multiply-adds a unit from which on it pays that samples change places, which touches a cache line a unit. */
#define WORTH_A_REFILL ((size_t)512)

struct phase {
    struct real_workspace *ws;
    const struct bnnep_relaxation *how;
    size_t shares; /* of the tiles, that are taken through the phase side by side */
    size_t parts;  /* of a connection's sums */
    bool refill;
    atomic_bool cancelled;
    atomic_uint_fast64_t sample_steps;
    atomic_uint most_steps;
};

/* Some samples on their way through a phase. */
struct passage {
    struct phase *phase;
    unsigned worker;             /* who takes them; with shared steps all do */
    struct real_scratch *common; /* where the parts of a step meet */
    struct real_lanes lanes;
};

/* --- one step ------------------------------------------------------------------------------------------------------
 */

/* The output layer: no feedback, but it may be nudged. */
static void move_output(const struct passage *p, const float *forward, float *change) {
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
    const float *target = ws->target + p->lanes.tile * units * LANES, *moving = p->lanes.moving;
    float *state = bnnep_real_state(ws, how->to, p->lanes.tile, top);
    for (size_t v = 0; v < units * LANES; v++) {
        const size_t l = v % LANES;
        const float next = bnnep_next_state(&neuron, state[v], forward[v], target[v], 0.0f);
        const float step = fabsf(next - state[v]) * moving[l];
        change[l] = step > change[l] ? step : change[l];
        state[v] = moving[l] != 0.0f ? next : state[v];
    }
}

/* The argmax of this step, for the samples that move. */
static void keep_places(const struct passage *p, size_t first, size_t beyond) {
    const struct real_workspace *ws = p->phase->ws;
    int32_t *place = ws->place[p->phase->how->to] + bnnep_real_at(ws, p->lanes.tile, 0);
    for (size_t v = first * LANES; v < beyond * LANES; v++)
        place[v] = p->lanes.moving[v % LANES] != 0.0f ? p->common->pooled[v] : place[v];
}

static struct real_part part_of(const struct passage *p, size_t task) {
    return (struct real_part){task % p->phase->parts, p->phase->parts};
}

static struct real_scratch *scratch_of(const struct passage *p, unsigned worker) {
    struct real_scratch *scratch = &p->phase->ws->scratch[worker];
    scratch->bytes = p->lanes.half ? ENTRY_BYTES / 2 : ENTRY_BYTES;
    return scratch;
}

static void forward_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    bnnep_real_forward_of(p->phase->ws, p->phase->how->to, p->lanes.tile, 1 + task / p->phase->parts, part_of(p, task),
                          p->common, scratch_of(p, worker));
}

static void feedback_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    bnnep_real_feedback_of(p->phase->ws, p->phase->how->to, p->lanes.tile, 1 + task / p->phase->parts, part_of(p, task),
                           p->common, scratch_of(p, worker));
}

static void move_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    struct real_workspace *ws = p->phase->ws;
    const struct cpu_network *net = ws->network;
    const struct bnnep_model *model = net->model;
    const size_t layer = task / p->phase->parts, units = model->links[layer].out, top = model->connections - 1;
    const size_t first = bnnep_real_first(part_of(p, task), units), beyond = bnnep_real_beyond(part_of(p, task), units);
    const float *forward =
        layer == 0 ? ws->drive + p->lanes.tile * units * LANES : p->common->forward + ws->offset[layer] * LANES;
    float *change = ws->scratch[worker].change;
    if (layer > 0 && bnnep_cpu_is_convolution(&model->links[layer])) /* those of the drive never change */
        keep_places(p, ws->offset[layer] + first, ws->offset[layer] + beyond);
    if (layer < top)
        net->kernels->move_hidden(bnnep_real_state(ws, p->phase->how->to, p->lanes.tile, layer) + first * LANES,
                                  forward + first * LANES, p->common->feedback + (ws->offset[layer] + first) * LANES,
                                  bnnep_real_feedback_scale(ws, layer + 1), beyond - first, &model->grid,
                                  p->lanes.moving, change);
    else if (part_of(p, task).index == 0)
        move_output(p, forward, change);
}

static void do_parts(struct passage *p, size_t layers, pool_task task) {
    const struct phase *phase = p->phase;
    if (phase->parts > 1)
        bnnep_pool_run(phase->ws->pool, layers * phase->parts, task, p);
    else
        for (size_t i = 0; i < layers; i++)
            task(p, i, p->worker);
}

/* All layers move at once. */
static void step(struct passage *p) {
    const size_t layers = p->phase->ws->network->model->connections;
    do_parts(p, layers - 1, forward_part);
    do_parts(p, layers - 1, feedback_part); /* looks where the forward parts found the largest sums */
    do_parts(p, layers, move_part);
}

/* --- a phase -------------------------------------------------------------------------------------------------------
 */

/* The nudged phase starts where the free phase ended. */
static void copy_states(struct real_workspace *ws, const struct bnnep_relaxation *how, size_t first, size_t beyond) {
    const size_t at = bnnep_real_at(ws, first, 0), count = (beyond - first) * ws->units * LANES;
    memcpy(ws->state[how->to] + at, ws->state[how->from] + at, count * sizeof(float));
    if (ws->place[how->to])
        memcpy(ws->place[how->to] + at, ws->place[how->from] + at, count * sizeof(int32_t));
}

static void raise_to(atomic_uint *most, unsigned steps) {
    for (unsigned before = atomic_load(most); before < steps && !atomic_compare_exchange_weak(most, &before, steps);)
        continue;
}

/* The largest change of a sample's states in this step, whoever saw it. */
static float take_change(struct passage *p, size_t lane) {
    struct real_scratch *scratch = p->phase->ws->scratch;
    const unsigned first = p->phase->parts > 1 ? 0 : p->worker;
    const unsigned beyond = p->phase->parts > 1 ? p->phase->ws->threads : p->worker + 1;
    float change = 0.0f;
    for (unsigned w = first; w < beyond; w++) {
        change = scratch[w].change[lane] > change ? scratch[w].change[lane] : change;
        scratch[w].change[lane] = 0.0f;
    }
    return change;
}

/* Counts the step, and lets go of samples that have come to rest or have done all steps. */
static void settle(struct passage *p) {
    struct real_lanes *lanes = &p->lanes;
    const struct bnnep_relaxation *how = p->phase->how;
    for (size_t l = 0; l < LANES; l++) {
        const float change = take_change(p, l);
        if (lanes->moving[l] == 0.0f)
            continue;
        lanes->steps[l]++;
        if (!(change <= how->tolerance) && lanes->steps[l] < how->steps)
            continue;
        lanes->moving[l] = 0.0f;
        lanes->in_use--;
        raise_to(&p->phase->most_steps, (unsigned)lanes->steps[l]);
    }
}

static bool goes_on(struct passage *p) {
    const struct bnnep_relaxation *how = p->phase->how;
    if (p->worker == 0 && how->cancelled && how->cancelled(how->cancel_user))
        atomic_store(&p->phase->cancelled, true);
    return !atomic_load(&p->phase->cancelled);
}

static void relax_share(void *arg, size_t share, unsigned worker) {
    struct phase *phase = arg;
    struct real_workspace *ws = phase->ws;
    const size_t first = share * ws->tiles / phase->shares, beyond = (share + 1) * ws->tiles / phase->shares;
    struct passage p = {.phase = phase, .worker = worker, .common = &ws->scratch[worker]};
    struct real_lanes *lanes = &p.lanes;
    *lanes = (struct real_lanes){.ws = ws,
                                 .slot = phase->how->to,
                                 .next = first * LANES,
                                 .end = beyond * LANES < ws->count ? beyond * LANES : ws->count,
                                 .exchange = ws->exchange + first * MOST_EXCHANGES};
    if (phase->how->from != phase->how->to)
        copy_states(ws, phase->how, first, beyond);
    uint64_t sample_steps = 0;
    while (phase->how->steps > 0 && (lanes->in_use > 0 || lanes->next < lanes->end) && goes_on(&p)) {
        if (lanes->in_use == 0)
            bnnep_real_begin_tile(lanes);
        else if (phase->refill)
            bnnep_real_refill(lanes);
        if (lanes->in_use <= LANES / 2 && !lanes->half)
            bnnep_real_pack(lanes);
        step(&p);
        sample_steps += lanes->in_use;
        settle(&p);
    }
    bnnep_real_go_home(lanes);
    atomic_fetch_add(&phase->sample_steps, sample_steps);
}

/* Multiply-adds of one direction of a step. */
static size_t products_of(const struct bnnep_model *model) {
    size_t products = 0;
    for (size_t k = 1; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        products += bnnep_cpu_is_convolution(link)
                        ? link->out * link->pool * link->pool * link->kernel * link->kernel * link->from.channels
                        : link->out * link->in;
    }
    return products;
}

bnnep_status bnnep_real_relax(void *handle, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct real_workspace *ws = handle;
    const size_t products = products_of(ws->network->model);
    struct phase phase = {.ws = ws, .how = how, .shares = ws->tiles, .parts = 1};
    phase.refill = products >= WORTH_A_REFILL * ws->units;
    if (ws->threads > 1 && products >= LONG_STEP && ws->tiles < ws->threads) {
        phase.parts = ws->threads;
        phase.shares = 1;
    } else if (phase.refill && ws->threads < ws->tiles)
        phase.shares = ws->threads;
    bnnep_pool_run(ws->pool, phase.shares, relax_share, &phase);
    for (unsigned w = 0; w < ws->threads; w++)
        ws->scratch[w].bytes = ENTRY_BYTES;
    if (atomic_load(&phase.cancelled))
        return BNNEP_CANCELLED;
    done->sample_steps = atomic_load(&phase.sample_steps);
    done->most_steps = atomic_load(&phase.most_steps);
    return BNNEP_OK;
}
