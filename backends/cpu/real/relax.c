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
    bool told;                   /* by changes: told.c */
    struct real_manner manner;
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

static struct real_part part_of(const struct passage *p, size_t task) {
    return (struct real_part){task % p->phase->parts, p->phase->parts};
}

static struct real_scratch *scratch_of(const struct passage *p, unsigned worker) {
    struct real_scratch *scratch = &p->phase->ws->scratch[worker];
    scratch->bytes = p->lanes.half ? ENTRY_BYTES / 2 : ENTRY_BYTES;
    return scratch;
}

static void tell_layer(void *arg, size_t layer, unsigned worker) {
    const struct passage *p = arg;
    bnnep_real_tell_layer(p->phase->ws, p->phase->how->to, p->lanes.tile, layer, &p->manner, p->common,
                          scratch_of(p, worker));
}

static void tell_map(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    if (bnnep_cpu_is_convolution(&p->phase->ws->network->model->links[1 + task]))
        bnnep_real_tell_map(p->phase->ws, p->phase->how->to, p->lanes.tile, 1 + task, &p->manner, p->common,
                            scratch_of(p, worker));
}

static void forward_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    const struct real_workspace *ws = p->phase->ws;
    const size_t k = 1 + task / p->phase->parts;
    if (p->told)
        bnnep_real_listen_forward(ws, k, part_of(p, task), p->common, scratch_of(p, worker));
    else
        bnnep_real_forward_of(ws, p->phase->how->to, p->lanes.tile, k, part_of(p, task), p->common,
                              scratch_of(p, worker));
}

static void feedback_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    const struct real_workspace *ws = p->phase->ws;
    const size_t k = 1 + task / p->phase->parts;
    if (p->told)
        bnnep_real_listen_back(ws, k, part_of(p, task), p->common, scratch_of(p, worker));
    else
        bnnep_real_feedback_of(ws, p->phase->how->to, p->lanes.tile, k, part_of(p, task), p->common,
                               scratch_of(p, worker));
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
        net->kernels->keep_places(
            p->common->pooled + (ws->offset[layer] + first) * LANES, beyond - first, p->lanes.moving,
            ws->place[p->phase->how->to] + bnnep_real_at(ws, p->lanes.tile, layer) + first * LANES);
    if (layer < top)
        net->kernels->move_hidden(
            bnnep_real_state(ws, p->phase->how->to, p->lanes.tile, layer) + first * LANES, forward + first * LANES,
            (p->told ? p->common->told.back : p->common->feedback) + (ws->offset[layer] + first) * LANES,
            (p->told ? bnnep_real_told_scale : bnnep_real_feedback_scale)(ws, layer + 1), beyond - first, &model->grid,
            p->lanes.moving, change);
    else if (part_of(p, task).index == 0)
        move_output(p, forward, change);
}

static void do_tasks(struct passage *p, size_t tasks, pool_task task) {
    const struct phase *phase = p->phase;
    if (phase->parts > 1)
        bnnep_pool_run(phase->ws->pool, tasks, task, p);
    else
        for (size_t i = 0; i < tasks; i++)
            task(p, i, p->worker);
}

/* All layers move at once. */
static void step(struct passage *p) {
    const struct bnnep_model *model = p->phase->ws->network->model;
    const size_t layers = model->connections, parts = p->phase->parts;
    if (p->told && layers > 1)
        do_tasks(p, layers, tell_layer);
    do_tasks(p, (layers - 1) * parts, forward_part);
    if (p->told && model->convolutional)
        do_tasks(p, layers - 1, tell_map); /* from where the forward parts found the largest sums */
    do_tasks(p, (layers - 1) * parts, feedback_part);
    do_tasks(p, layers * parts, move_part);
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

/* Did no state of a sample change by more than the tolerance in this step, whoever saw it, and is no more left to be
 * told? */
static bool rests(struct passage *p, size_t lane) {
    struct real_scratch *scratch = p->phase->ws->scratch;
    const unsigned first = p->phase->parts > 1 ? 0 : p->worker;
    const unsigned beyond = p->phase->parts > 1 ? p->phase->ws->threads : p->worker + 1;
    const float tolerance = p->phase->how->tolerance, most_left = tolerance > FINEST ? tolerance : FINEST;
    bool rests = true;
    for (unsigned w = first; w < beyond; w++) {
        rests = rests && scratch[w].change[lane] <= tolerance && scratch[w].left[lane] <= most_left;
        scratch[w].change[lane] = scratch[w].left[lane] = 0.0f;
    }
    return rests;
}

/* Counts the step, and lets go of samples that have come to rest or have done all steps. */
static void settle(struct passage *p) {
    struct real_lanes *lanes = &p->lanes;
    const struct bnnep_relaxation *how = p->phase->how;
    for (size_t l = 0; l < LANES; l++) {
        const bool at_rest = rests(p, l);
        if (lanes->moving[l] == 0.0f)
            continue;
        lanes->steps[l]++;
        if (!at_rest && lanes->steps[l] < how->steps)
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

/* Do the units tell changes (told.c)? Convolutions only where a tolerance lets them do it in one digit: in two, it
 * takes as long as sums of states, and in three longer. */
static bool tells_changes(const struct phase *phase) {
    const struct bnnep_model *model = phase->ws->network->model;
    return bnnep_real_tells(model) && (!model->convolutional || phase->how->tolerance > 0.0f);
}

/* Samples that begin have told nothing, and what they tell first is told down to the finest step. */
static void greet(struct passage *p, bool tile) {
    const struct real_lanes *lanes = &p->lanes;
    if (tile)
        bnnep_real_forget(p->phase->ws, &p->common->told);
    for (size_t l = 0; l < LANES; l++) {
        const bool begins = lanes->moving[l] != 0.0f && lanes->steps[l] == 0;
        if (begins && !tile)
            bnnep_real_forget_lane(p->phase->ws, &p->common->told, l);
        p->manner.fine[l] = begins || !(p->phase->how->tolerance > 0.0f);
    }
}

static void relax_share(void *arg, size_t share, unsigned worker) {
    struct phase *phase = arg;
    struct real_workspace *ws = phase->ws;
    const size_t first = share * ws->tiles / phase->shares, beyond = (share + 1) * ws->tiles / phase->shares;
    struct passage p = {.phase = phase, .worker = worker, .common = &ws->scratch[worker]};
    struct real_lanes *lanes = &p.lanes;
    p.told = tells_changes(phase);
    p.manner.moving = lanes->moving;
    *lanes = (struct real_lanes){.ws = ws,
                                 .slot = phase->how->to,
                                 .next = first * LANES,
                                 .end = beyond * LANES < ws->count ? beyond * LANES : ws->count,
                                 .exchange = ws->exchange + first * MOST_EXCHANGES};
    if (phase->how->from != phase->how->to)
        copy_states(ws, phase->how, first, beyond);
    uint64_t sample_steps = 0;
    while (phase->how->steps > 0 && (lanes->in_use > 0 || lanes->next < lanes->end) && goes_on(&p)) {
        const bool tile = lanes->in_use == 0;
        if (tile)
            bnnep_real_begin_tile(lanes);
        else if (phase->refill)
            bnnep_real_refill(lanes);
        if (p.told)
            greet(&p, tile);
        else if (lanes->in_use <= LANES / 2 && !lanes->half)
            bnnep_real_pack(lanes);
        step(&p);
        sample_steps += lanes->in_use;
        settle(&p);
    }
    bnnep_real_go_home(lanes);
    atomic_fetch_add(&phase->sample_steps, sample_steps);
}

bnnep_status bnnep_real_relax(void *handle, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct real_workspace *ws = handle;
    const size_t products = bnnep_real_products(ws->network->model);
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
