/* SPDX-License-Identifier: MIT */
/*
 * The two phases of a network of real activations. A thread takes tiles through all steps by itself. Where there are
 * fewer tiles than threads and a step takes long, all threads share each step of one tile after the other.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/real/delta.h"
#include "backends/cpu/real/lanes.h"

/* Multiply-adds of a sample and direction from which on a step is long enough to be shared: waking threads for it takes
 * what sharing saves at 10 million, and pays at 17 million. */
#define LONG_STEP ((size_t)12000000)
/* Multiply-adds a unit from which on it pays that samples change places, which touches a cache line a unit. */
#define WORTH_A_REFILL ((size_t)512)

/* A phase under way. */
struct relaxation {
    struct real_workspace *ws;
    const struct bnnep_phase_run *how;
    size_t shares; /* of the tiles, that are taken through the phase side by side */
    size_t parts;  /* of a connection's sums */
    bool refill, delta_coded;
    atomic_bool cancelled;
    atomic_uint_fast64_t sample_steps;
    atomic_uint most_steps;
};

/* Some layers, by their indices. */
struct layers {
    size_t first, stride, count;
};

/* Some samples on their way through a phase. */
struct passage {
    struct relaxation *run;
    int32_t t;                   /* the step, of the tile: odd in the odd steps of each of its samples */
    bool begins;                 /* it is the first of some */
    struct layers layers;        /* what is done now, is done to these */
    unsigned worker;             /* who takes them; with shared steps all do */
    struct real_scratch *common; /* where the parts of a step meet */
    struct real_precision precision;
    float stride[LANES]; /* of a step that is over-relaxed */
    bool over_relaxed;
    struct real_lanes lanes;
};

/* --- one step ----------------------------------------------------------------------------------------------------- */

/* Tasks are parts of layers: which one, and which part of it. */
static size_t layer_of(const struct passage *p, size_t task) {
    assert(p->run->parts > 0);
    return p->layers.first + task / p->run->parts * p->layers.stride;
}

static struct real_part part_of(const struct passage *p, size_t task) {
    return (struct real_part){task % p->run->parts, p->run->parts};
}

static struct real_scratch *scratch_of(const struct passage *p, unsigned worker) {
    struct real_scratch *scratch = &p->run->ws->scratch[worker];
    scratch->bytes = p->lanes.half ? ENTRY_BYTES / 2 : ENTRY_BYTES;
    return scratch;
}

static const float *state_of(const struct passage *p, size_t k) {
    return bnnep_real_state(p->run->ws, p->run->how->to, p->lanes.tile, k);
}

static void encode_layer(void *arg, size_t i, unsigned worker) {
    const struct passage *p = arg;
    const size_t k = p->layers.first + i * p->layers.stride;
    bnnep_real_encode(p->run->ws, state_of(p, k), k, &p->precision, &p->common->delta, scratch_of(p, worker)->left);
}

/* Of this step. */
static int32_t *argmax_of(const struct passage *p, size_t k) {
    return p->common->step.argmax ? p->common->step.argmax + p->run->ws->offset[k] * LANES : NULL;
}

/* Of the layer's last forward. */
static int32_t *kept_argmax_of(const struct passage *p, size_t k) {
    int32_t *kept = p->run->ws->argmax[p->run->how->to];
    return kept ? kept + bnnep_real_at(p->run->ws, p->lanes.tile, k) : NULL;
}

static bool is_alternating(const struct passage *p) {
    return p->run->ws->network->model->schedule != BNNEP_SCHEDULE_SYNCHRONOUS;
}

static void forward_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    const struct real_workspace *ws = p->run->ws;
    const size_t k = layer_of(p, task);
    float *forward = p->common->step.forward;
    if (p->run->delta_coded)
        bnnep_real_delta_forward(ws, k, part_of(p, task), &p->common->delta, forward, scratch_of(p, worker));
    else
        bnnep_real_forward(ws->network, k, part_of(p, task), state_of(p, k - 1), forward + ws->offset[k] * LANES,
                           argmax_of(p, k), scratch_of(p, worker));
}

static void feedback_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    const struct real_workspace *ws = p->run->ws;
    const size_t k = layer_of(p, task) + 1;
    const bool now = p->begins || !is_alternating(p);
    if (p->run->delta_coded)
        bnnep_real_delta_feedback(ws, k, part_of(p, task), &p->common->delta, scratch_of(p, worker));
    else
        bnnep_real_feedback(ws->network, k, part_of(p, task), state_of(p, k),
                            now ? argmax_of(p, k) : kept_argmax_of(p, k),
                            p->common->step.feedback + ws->offset[k - 1] * LANES, scratch_of(p, worker));
}

/* The output layer: no feedback, but it may be nudged. */
static void move_output(const struct passage *p, const float *forward, float *state, float *change) {
    const struct real_workspace *ws = p->run->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t top = model->connections - 1, units = model->links[top]->out;
    struct bnnep_neuron neuron = bnnep_neuron_of(model, top, p->run->how->beta);
    const float *target = ws->target + p->lanes.tile * units * LANES, *moving = p->lanes.moving;
    for (size_t v = 0; v < units * LANES; v++) {
        const size_t l = v % LANES;
        neuron.stride = p->stride[l];
        const float next = bnnep_next_state(&neuron, state[v], forward[v], target[v], 0.0f);
        const float step = fabsf(next - state[v]) * moving[l];
        change[l] = step > change[l] ? step : change[l];
        state[v] = moving[l] != 0.0f ? next : state[v];
    }
}

/* Some units of a layer, from `first` on. */
static void move_hidden(const struct passage *p, size_t k, const float *forward, size_t first, size_t units,
                        float *change) {
    const struct real_workspace *ws = p->run->ws;
    const struct cpu_network *net = ws->network;
    const float *feedback = p->run->delta_coded ? p->common->delta.feedback : p->common->step.feedback;
    const struct pull pull = {forward, feedback + (ws->offset[k] + first) * LANES,
                              bnnep_real_feedback_scale(net, k + 1)};
    const struct bnnep_neuron neuron = bnnep_neuron_of(net->model, k, p->run->how->beta);
    float *state = bnnep_real_state(ws, p->run->how->to, p->lanes.tile, k) + first * LANES;
    net->kernels->states->move_hidden(state, &pull, units, &neuron, p->lanes.moving, p->over_relaxed ? p->stride : NULL,
                                      change);
}

/* Of some units, from `first` on; that of the drive never changes. */
static void keep_argmax(const struct passage *p, size_t k, size_t first, size_t beyond) {
    const struct cpu_network *net = p->run->ws->network;
    if (k > 0 && bnnep_is_convolution(net->model->links[k]))
        net->kernels->states->keep_argmax(argmax_of(p, k) + first * LANES, beyond - first, p->lanes.moving,
                                          kept_argmax_of(p, k) + first * LANES);
}

static void keep_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    const size_t k = layer_of(p, task), units = p->run->ws->network->model->links[k]->out;
    (void)worker;
    keep_argmax(p, k, bnnep_real_first(part_of(p, task), units), bnnep_real_beyond(part_of(p, task), units));
}

static void move_part(void *arg, size_t task, unsigned worker) {
    const struct passage *p = arg;
    struct real_workspace *ws = p->run->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t k = layer_of(p, task), units = model->links[k]->out, tile = p->lanes.tile;
    const size_t first = bnnep_real_first(part_of(p, task), units), beyond = bnnep_real_beyond(part_of(p, task), units);
    const float *forward = k == 0 ? ws->drive + tile * units * LANES : p->common->step.forward + ws->offset[k] * LANES;
    float *change = ws->scratch[worker].change;
    keep_argmax(p, k, first, beyond);
    if (k + 1 < model->connections)
        move_hidden(p, k, forward + first * LANES, first, beyond - first, change);
    else if (part_of(p, task).index == 0)
        move_output(p, forward, bnnep_real_state(ws, p->run->how->to, tile, k), change);
}

/* The layers from index `first` on, and below `beyond`, that move in this step; or that do not. All move at once in a
 * synchronous one. */
static struct layers layers_that(const struct passage *p, bool move, size_t first, size_t beyond) {
    const size_t stride = is_alternating(p) ? 2 : 1;
    first += is_alternating(p) && bnnep_moves(true, first, p->t) != move;
    return (struct layers){first, stride, first < beyond ? (beyond - first + stride - 1) / stride : 0};
}

static void do_tasks(struct passage *p, struct layers layers, size_t parts, pool_task task) {
    const struct relaxation *run = p->run;
    const size_t tasks = layers.count * parts;
    p->layers = layers;
    if (run->parts > 1)
        bnnep_pool_run(run->ws->pool, run->ws->threads, tasks, task, p);
    else
        for (size_t i = 0; i < tasks; i++)
            task(p, i, p->worker);
}

static void step(struct passage *p) {
    const struct bnnep_model *model = p->run->ws->network->model;
    const size_t L = model->connections, parts = p->run->parts;
    const bool first = p->begins && is_alternating(p) && model->convolutional;
    if (p->run->delta_coded)
        do_tasks(p, layers_that(p, !is_alternating(p), 0, L), 1, encode_layer); /* the others listen */
    do_tasks(p, first ? (struct layers){1, 1, L - 1} : layers_that(p, true, 1, L), parts, forward_part);
    if (first)
        do_tasks(p, layers_that(p, false, 1, L), parts, keep_part);
    do_tasks(p, layers_that(p, true, 0, L - 1), parts, feedback_part); /* from the argmax that forward parts found */
    do_tasks(p, layers_that(p, true, 0, L), parts, move_part);
}

/* --- a phase ------------------------------------------------------------------------------------------------------ */

/* The nudged phase starts where the free phase ended. */
static void copy_states(struct real_workspace *ws, const struct bnnep_phase_run *how, size_t first, size_t beyond) {
    const size_t at = bnnep_real_at(ws, first, 0), count = (beyond - first) * ws->units * LANES;
    memcpy(ws->state[how->to] + at, ws->state[how->from] + at, count * sizeof(float));
    if (ws->argmax[how->to])
        memcpy(ws->argmax[how->to] + at, ws->argmax[how->from] + at, count * sizeof(int32_t));
}

/* Did no state of a sample change by more than the tolerance in this step, whoever saw it, and is no more left to be
 * sent? Forgets what was seen, for the next step. */
static bool has_settled(struct passage *p, size_t lane) {
    struct real_scratch *scratch = p->run->ws->scratch;
    const unsigned first = p->run->parts > 1 ? 0 : p->worker;
    const unsigned beyond = p->run->parts > 1 ? p->run->ws->threads : p->worker + 1;
    const float tolerance = p->run->how->tolerance, most_left = tolerance > FINEST ? tolerance : FINEST;
    bool settled = true;
    for (unsigned w = first; w < beyond; w++) {
        settled = settled && scratch[w].change[lane] <= tolerance && scratch[w].left[lane] <= most_left;
        scratch[w].change[lane] = scratch[w].left[lane] = 0.0f;
    }
    return settled;
}

/* Counts the step; samples that have settled, or have done all steps, go no further. */
static void settle(struct passage *p) {
    struct real_lanes *lanes = &p->lanes;
    const struct bnnep_phase_run *how = p->run->how;
    for (size_t l = 0; l < LANES; l++) {
        const bool settled = has_settled(p, l);
        if (lanes->moving[l] == 0.0f)
            continue;
        lanes->steps[l]++;
        lanes->calm[l] = settled ? lanes->calm[l] + 1 : 0;
        if (lanes->calm[l] < bnnep_calm_steps(is_alternating(p)) && lanes->steps[l] < how->steps)
            continue;
        lanes->moving[l] = 0.0f;
        lanes->in_use--;
        bnnep_raise_to(&p->run->most_steps, (unsigned)lanes->steps[l]);
    }
}

static bool goes_on(struct passage *p) {
    const struct bnnep_phase_run *how = p->run->how;
    if (p->worker == 0 && how->cancelled && how->cancelled(how->cancel_user))
        atomic_store(&p->run->cancelled, true);
    return !atomic_load(&p->run->cancelled);
}

/* Samples that begin have sent nothing, and what a layer sends first is sent down to the finest step. */
static void begin_coding(struct passage *p, bool new_tile) {
    const struct real_lanes *lanes = &p->lanes;
    if (new_tile)
        bnnep_real_delta_reset(p->run->ws, &p->common->delta);
    for (size_t l = 0; l < LANES; l++) {
        const bool begins = lanes->moving[l] != 0.0f && lanes->steps[l] == 0;
        if (begins && !new_tile)
            bnnep_real_delta_reset_lane(p->run->ws, &p->common->delta, l);
        p->precision.fine[l] =
            lanes->steps[l] < bnnep_calm_steps(is_alternating(p)) || !(p->run->how->tolerance > 0.0f);
    }
}

static void begin_tile(struct passage *p) {
    p->t = 0;
    bnnep_real_begin_tile(&p->lanes);
}

static void begin_step(struct passage *p) {
    const bool can = p->run->ws->network->model->schedule == BNNEP_SCHEDULE_OVER_RELAXED;
    p->t++;
    p->begins = p->over_relaxed = false;
    for (size_t l = 0; l < LANES; l++) {
        p->begins = p->begins || (p->lanes.moving[l] != 0.0f && p->lanes.steps[l] == 0);
        p->stride[l] = bnnep_stride(can, p->run->how->beta, p->lanes.steps[l] + 1);
        p->over_relaxed = p->over_relaxed || p->stride[l] != 1.0f;
    }
}

/* Will lanes not in use go to samples that have not begun, now or, with alternating steps, after the next step? */
static bool awaits_refill(const struct passage *p) {
    return p->run->refill && p->lanes.next < p->lanes.end;
}

static void relax_share(void *arg, size_t share, unsigned worker) {
    struct relaxation *run = arg;
    struct real_workspace *ws = run->ws;
    const size_t first = share * ws->tiles / run->shares, beyond = (share + 1) * ws->tiles / run->shares;
    struct passage p = {.run = run, .worker = worker, .common = &ws->scratch[worker]};
    struct real_lanes *lanes = &p.lanes;
    p.precision.moving = lanes->moving;
    *lanes = (struct real_lanes){.ws = ws,
                                 .phase = run->how->to,
                                 .next = first * LANES,
                                 .end = beyond * LANES < ws->count ? beyond * LANES : ws->count,
                                 .exchange = ws->exchanges + first * MOST_EXCHANGES};
    if (run->how->from != run->how->to)
        copy_states(ws, run->how, first, beyond);
    uint64_t sample_steps = 0;
    while (run->how->steps > 0 && (lanes->in_use > 0 || lanes->next < lanes->end) && goes_on(&p)) {
        const bool new_tile = lanes->in_use == 0;
        if (new_tile)
            begin_tile(&p);
        else if (run->refill && !(is_alternating(&p) && p.t % 2))
            bnnep_real_refill(lanes);
        if (run->delta_coded)
            begin_coding(&p, new_tile);
        else if (ws->network->kernels->halves && lanes->in_use <= LANES / 2 && !lanes->half && !awaits_refill(&p))
            bnnep_real_pack(lanes);
        begin_step(&p);
        step(&p);
        sample_steps += lanes->in_use;
        settle(&p);
    }
    bnnep_real_go_home(lanes);
    atomic_fetch_add(&run->sample_steps, sample_steps);
}

/* Multiply-adds of one direction of a step. */
static uint64_t products_of(const struct bnnep_model *model) {
    uint64_t products = 0;
    for (size_t k = 1; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const size_t places = bnnep_is_convolution(link) ? link->pool * link->pool : 1;
        products += (uint64_t)link->out * places * link->columns;
    }
    return products;
}

bnnep_status bnnep_real_relax(void *handle, const struct bnnep_phase_run *how, bnnep_relaxed *done) {
    struct real_workspace *ws = handle;
    const uint64_t products = products_of(ws->network->model);
    struct relaxation run = {.ws = ws, .how = how, .shares = ws->tiles, .parts = 1};
    run.delta_coded = bnnep_real_is_delta_coded(ws->network->model);
    run.refill = products / WORTH_A_REFILL >= ws->units;
    if (ws->threads > 1 && products >= LONG_STEP && ws->tiles < ws->threads) {
        run.parts = ws->threads;
        run.shares = 1;
    } else if (run.refill && ws->threads < ws->tiles)
        run.shares = ws->threads;
    bnnep_pool_run(ws->pool, ws->threads, run.shares, relax_share, &run);
    for (unsigned w = 0; w < ws->threads; w++)
        ws->scratch[w].bytes = ENTRY_BYTES;
    if (atomic_load(&run.cancelled))
        return BNNEP_CANCELLED;
    done->sample_steps = atomic_load(&run.sample_steps);
    done->most_steps = (int32_t)atomic_load(&run.most_steps);
    return BNNEP_OK;
}
