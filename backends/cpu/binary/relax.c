/* SPDX-License-Identifier: MIT */
/*
 * The two phases of a network with binary activations. A thread takes a chunk of samples through all steps by itself.
 * Where the weights are too many for its cache, all threads take samples through steps together, each with its part of
 * the panels, so that each reads a part of the weights.
 */
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/binary/binary.h"

struct phase {
    struct binary_workspace *ws;
    const struct bnnep_relaxation *how;
    size_t chunk;  /* samples that go together */
    bool together; /* by all threads */
    atomic_bool cancelled;
    atomic_uint_fast64_t sample_steps;
    atomic_uint most_steps;
};

/* Samples that go through a phase together. */
struct group {
    struct phase *phase;
    unsigned worker; /* who takes them, if not all do */
    size_t first, count;
    struct binary_passage **passage; /* [count] */
};

/* --- events ------------------------------------------------------------------------------------------------------- */

static size_t list_bits(uint64_t word, size_t base, uint32_t *list) {
    size_t count = 0;
    for (; word; word &= word - 1)
        list[count++] = (uint32_t)(base + (size_t)__builtin_ctzll(word));
    return count;
}

static void find_events(const struct binary_layer *layer, const struct binary_passage *p,
                        struct binary_events *events) {
    const uint64_t *active = p->active + layer->offset / 64, *seen = bnnep_binary_part(p->record, layer->seen);
    events->ups = events->downs = 0;
    for (size_t i = 0; i < (layer->units + 63) / 64; i++) {
        events->ups += list_bits(active[i] & ~seen[i], 64 * i, events->up + events->ups);
        events->downs += list_bits(seen[i] & ~active[i], 64 * i, events->down + events->downs);
    }
}

void bnnep_binary_begin(const struct binary_workspace *ws, struct binary_passage *p) {
    const struct bnnep_model *model = ws->network->model;
    p->moving = true;
    for (size_t k = 0; k < model->connections; k++) {
        const struct binary_layer *layer = &ws->layer[k];
        ws->network->kernels->activations(layer->units, bnnep_binary_part(p->record, layer->state), model->theta,
                                          p->active + layer->offset / 64);
        find_events(layer, p, &p->events[k]);
        p->stale[k] = true;
    }
    memset(p->pulled, false, ws->layout.units / PANEL * sizeof *p->pulled);
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

static bool happened(const struct binary_events *events) {
    return events->ups + events->downs > 0;
}

static void add_events(const struct cpu_kernels *kernels, const uint64_t *panel, const struct binary_events *events,
                       size_t outputs, int32_t *sums) {
    kernels->counts(panel, events->up, events->ups, events->down, events->downs, outputs, sums);
}

/* Asks for number `share` of `shares` parts of some memory. */
static void fetch(const uint64_t *from, size_t words, size_t share, size_t shares) {
    for (size_t i = words * share / shares / 8 * 8; i < words * (share + 1) / shares; i += 8)
        __builtin_prefetch(from + i, 0, 2);
}

/* A part of the panels of some weights. */
struct share {
    size_t index, count;
};

/* Adds the events of layer index k of all passages to their sums at `offset`, a panel of weights after the other. While
 * one is in use the next is fetched, if it will be needed as a whole. */
static void apply_panels(const struct cpu_kernels *kernels, const uint64_t *weights, size_t inputs, size_t outputs,
                         struct share share, size_t k, size_t offset, struct binary_passage *const *passage,
                         size_t count) {
    const size_t panels = (outputs + PANEL - 1) / PANEL, beyond = panels * (share.index + 1) / share.count;
    size_t events = 0;
    for (size_t i = 0; i < count; i++)
        events += passage[i]->moving ? passage[i]->events[k].ups + passage[i]->events[k].downs : 0;
    for (size_t panel = panels * share.index / share.count; panel < beyond && events > 0; panel++) {
        const uint64_t *words = weights + panel * inputs * PANEL_WORDS;
        const size_t first = panel * PANEL, some = outputs - first < PANEL ? outputs - first : PANEL;
        const bool fetching = panel + 1 < beyond && events > inputs / 4;
        for (size_t i = 0; i < count; i++) {
            const struct binary_passage *p = passage[i];
            if (fetching)
                fetch(words + inputs * PANEL_WORDS, inputs * PANEL_WORDS, i, count);
            if (p->moving && happened(&p->events[k]))
                add_events(kernels, words, &p->events[k], some,
                           (int32_t *)bnnep_binary_part(p->record, offset) + first);
        }
    }
}

/* B a or B^T a of connection k, some outputs of it. */
static void apply_connection(const struct binary_workspace *ws, size_t k, bool back, struct share share,
                             struct binary_passage *const *passage, size_t count) {
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const struct cpu_kernels *kernels = ws->network->kernels;
    if (back)
        apply_panels(kernels, c->up, c->rows, c->columns, share, k, layer->back, passage, count);
    else
        apply_panels(kernels, c->down, c->columns, c->rows, share, k - 1, layer->forward, passage, count);
}

/* All sums have the events in them. */
static void forget_events(const struct binary_workspace *ws, struct binary_passage *p) {
    const struct bnnep_model *model = ws->network->model;
    for (size_t k = 1; k < model->connections; k++) {
        p->stale[k] = p->stale[k] || happened(&p->events[k - 1]);
        p->stale[k - 1] = p->stale[k - 1] || (!bnnep_cpu_is_convolution(&model->links[k]) && happened(&p->events[k]));
    }
    for (size_t k = 0; p->moving && k < model->connections; k++) {
        const struct binary_layer *layer = &ws->layer[k];
        memcpy(bnnep_binary_part(p->record, layer->seen), p->active + layer->offset / 64,
               (layer->units + 63) / 64 * sizeof(uint64_t));
    }
}

void bnnep_binary_apply(const struct binary_workspace *ws, struct binary_passage *const *passage, size_t count,
                        struct binary_scratch *scratch) {
    const struct bnnep_model *model = ws->network->model;
    const struct share all = {0, 1};
    for (size_t k = 1; k < model->connections; k++) {
        const bool convolution = bnnep_cpu_is_convolution(&model->links[k]);
        for (int back = 0; !convolution && back < 2; back++)
            apply_connection(ws, k, back, all, passage, count);
        for (size_t i = 0; convolution && i < count; i++)
            if (passage[i]->moving)
                bnnep_binary_convolve(ws, k, passage[i], scratch);
    }
    for (size_t i = 0; i < count; i++)
        forget_events(ws, passage[i]);
}

/* --- a step ------------------------------------------------------------------------------------------------------- */

/* fwd_{k-1} + fb_k of some units of layer index k, from unit i on. */
static void add_up(const struct binary_workspace *ws, struct binary_passage *p, size_t k, size_t i, size_t units) {
    const struct cpu_network *net = ws->network;
    const struct bnnep_model *model = net->model;
    const struct binary_layer *layer = &ws->layer[k];
    const struct cpu_connection *c = &net->connection[k];
    float *forward = p->forward + layer->offset + i, *pre = p->pre + layer->offset + i;
    if (k > 0 && !bnnep_cpu_is_convolution(&model->links[k]))
        net->kernels->forward_of_sums(units, (int32_t *)bnnep_binary_part(p->record, layer->forward) + i, c->alpha[0],
                                      c->bias + i, forward);
    if (k + 1 == model->connections)
        memcpy(pre, forward, units * sizeof *pre);
    else if (bnnep_cpu_is_convolution(&model->links[k + 1]))
        net->kernels->add_feedback_exact(units, forward, (double *)bnnep_binary_part(p->record, layer[1].back) + i,
                                         pre);
    else
        net->kernels->add_feedback(units, forward, (int32_t *)bnnep_binary_part(p->record, layer[1].back) + i,
                                   c[1].alpha[0], pre);
}

/* Returns the largest change of a state. Units that did not move in the last step and are pulled as they were then
 * rest, PANEL at a time. */
static float move_layer(const struct phase *phase, struct binary_passage *p, size_t k) {
    const struct binary_workspace *ws = phase->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct binary_layer *layer = &ws->layer[k];
    const struct bnnep_neuron neuron = {
        .binary = true,
        .output = k + 1 == model->connections,
        .clamp_nudged = !model->convolutional,
        .fixed_prediction = model->convolutional,
        .theta = model->theta,
        .keep = (float)(1.0 - (double)model->gamma_neur),
        .gain = model->gamma_neur,
        .beta = phase->how->beta,
    };
    const float *target = ws->target + p->sample * bnnep_binary_padded(model->links[model->connections - 1].out);
    const float *prediction = bnnep_binary_part(bnnep_binary_record(ws, BNNEP_SLOT_FREE, p->sample), layer->state);
    float *state = bnnep_binary_part(p->record, layer->state), change = 0.0f;
    for (size_t i = 0; i < layer->units; i += PANEL) {
        const size_t units = layer->units - i < PANEL ? layer->units - i : PANEL, at = layer->offset + i;
        const bool pulled = p->stale[k] || p->pulled[at / PANEL];
        if (pulled)
            add_up(ws, p, k, i, units);
        else if (p->still[at / PANEL])
            continue;
        const float here = ws->network->kernels->move_neurons(&neuron, units, p->pre + at, target + i, prediction + i,
                                                              state + i, p->active + at / 64);
        p->still[at / PANEL] = here == 0.0f;
        p->pulled[at / PANEL] = false;
        change = here > change ? here : change;
    }
    p->stale[k] = false;
    find_events(layer, p, &p->events[k]);
    return change;
}

static void move_passage(const struct phase *phase, struct binary_passage *p, struct binary_scratch *scratch) {
    const struct binary_workspace *ws = phase->ws;
    const struct bnnep_model *model = ws->network->model;
    for (size_t k = 1; k < model->connections; k++)
        if (bnnep_cpu_is_convolution(&model->links[k]))
            bnnep_binary_feed_back(ws, k, p, scratch);
    float change = 0.0f;
    for (size_t k = 0; k < model->connections; k++) {
        const float here = move_layer(phase, p, k);
        change = here > change ? here : change;
    }
    p->moving = change > phase->how->tolerance;
}

/* Parts of each direction of a connection that threads share out. */
static size_t shares_of(const struct group *g) {
    return 2 * g->phase->ws->threads;
}

static void apply_share(void *arg, size_t task, unsigned worker) {
    const struct group *g = arg;
    const size_t shares = shares_of(g);
    (void)worker;
    apply_connection(g->phase->ws, 1 + task / shares / 2, task / shares % 2, (struct share){task % shares, shares},
                     g->passage, g->count);
}

static void forget_and_move(void *arg, size_t i, unsigned worker) {
    const struct group *g = arg;
    struct binary_passage *p = g->passage[i];
    if (!p->moving)
        return;
    forget_events(g->phase->ws, p);
    move_passage(g->phase, p, &g->phase->ws->scratch[worker]);
}

/* One time step: all layers move at once. */
static void step(struct group *g) {
    const struct phase *phase = g->phase;
    struct binary_workspace *ws = phase->ws;
    if (phase->together) {
        bnnep_pool_run(ws->pool, (ws->network->model->connections - 1) * 2 * shares_of(g), apply_share, g);
        bnnep_pool_run(ws->pool, g->count, forget_and_move, g);
        return;
    }
    bnnep_binary_apply(ws, g->passage, g->count, &ws->scratch[g->worker]);
    for (size_t i = 0; i < g->count; i++)
        if (g->passage[i]->moving)
            move_passage(phase, g->passage[i], &ws->scratch[g->worker]);
}

/* --- a phase ------------------------------------------------------------------------------------------------------ */

static void start_passage(const struct phase *phase, struct binary_passage *p, size_t sample) {
    const struct binary_workspace *ws = phase->ws;
    const struct bnnep_relaxation *how = phase->how;
    const struct bnnep_link *first = &ws->network->model->links[0];
    const struct cpu_connection *c = &ws->network->connection[0];
    const float *drive = ws->drive + sample * first->out;
    p->sample = sample;
    p->record = bnnep_binary_record(ws, how->to, sample);
    if (how->from != how->to)
        memcpy(p->record, bnnep_binary_record(ws, how->from, sample), ws->layout.bytes);
    if (bnnep_cpu_is_convolution(first))
        memcpy(p->forward, drive, first->out * sizeof(float));
    else
        for (size_t j = 0; j < first->out; j++)
            p->forward[j] = bnnep_forward(c->alpha[0], drive[j], c->bias[j]);
    bnnep_binary_begin(ws, p);
}

static void start(void *arg, size_t i, unsigned worker) {
    const struct group *g = arg;
    (void)worker;
    start_passage(g->phase, g->passage[i], g->first + i);
}

static void relax_group(struct group *g) {
    struct phase *phase = g->phase;
    const struct bnnep_relaxation *how = phase->how;
    if (phase->together)
        bnnep_pool_run(phase->ws->pool, g->count, start, g);
    else
        for (size_t i = 0; i < g->count; i++)
            start(g, i, g->worker);
    uint64_t sample_steps = 0;
    uint32_t steps = 0;
    for (size_t moving = g->count; steps < (uint32_t)how->steps && moving > 0; steps++) {
        if (g->worker == 0 && how->cancelled && how->cancelled(how->cancel_user))
            atomic_store(&phase->cancelled, true);
        if (atomic_load(&phase->cancelled))
            return;
        step(g);
        sample_steps += moving;
        moving = 0;
        for (size_t i = 0; i < g->count; i++)
            moving += g->passage[i]->moving;
    }
    atomic_fetch_add(&phase->sample_steps, sample_steps);
    for (unsigned most = atomic_load(&phase->most_steps);
         most < steps && !atomic_compare_exchange_weak(&phase->most_steps, &most, steps);)
        continue;
}

/* Number `chunk` of the chunks of samples, in the passages of a thread, or of all. */
static void relax_chunk(void *arg, size_t chunk, unsigned worker) {
    struct phase *phase = arg;
    struct binary_workspace *ws = phase->ws;
    struct group g = {.phase = phase, .worker = worker, .first = chunk * phase->chunk};
    g.count = ws->count - g.first < phase->chunk ? ws->count - g.first : phase->chunk;
    g.passage = ws->scratch[worker].together;
    for (size_t i = 0; i < g.count; i++)
        g.passage[i] = &ws->scratch[worker + i / CHUNK].passage[i % CHUNK];
    relax_group(&g);
}

/* Bytes of signs that stream by in every step, in both forms; a convolution sees the same ones everywhere. */
static size_t streaming(const struct bnnep_model *model) {
    size_t signs = 0;
    for (size_t k = 1; k < model->connections; k++)
        if (!bnnep_cpu_is_convolution(&model->links[k]))
            signs += 2 * model->links[k].rows * model->links[k].columns;
    return signs / 8;
}

bnnep_status bnnep_binary_relax(void *handle, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct binary_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const bool small = streaming(model) <= SMALL_WEIGHTS;
    const size_t share = (ws->count + ws->threads - 1) / ws->threads, most = small ? SMALL_CHUNK : CHUNK;
    struct phase phase = {.ws = ws, .how = how, .chunk = share < most ? share : most};
    phase.together = !small && !model->convolutional && ws->threads > 1 && ws->count > 1;
    if (phase.together) {
        phase.chunk = CHUNK * ws->threads;
        for (size_t chunk = 0; chunk * phase.chunk < ws->count && !atomic_load(&phase.cancelled); chunk++)
            relax_chunk(&phase, chunk, 0);
    } else
        bnnep_pool_run(ws->pool, (ws->count + phase.chunk - 1) / phase.chunk, relax_chunk, &phase);
    if (atomic_load(&phase.cancelled))
        return BNNEP_CANCELLED;
    done->sample_steps = atomic_load(&phase.sample_steps);
    done->most_steps = atomic_load(&phase.most_steps);
    return BNNEP_OK;
}
