/* SPDX-License-Identifier: MIT */
/*
 * The two phases of a network with binary activations. A thread takes a chunk of samples through all steps by itself.
 * Where the weights are too many for its cache, all threads take samples through steps together, each with its part of
 * the panels, so that each reads a part of the weights.
 */
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/binary/binary.h"

struct relaxation {
    struct binary_workspace *ws;
    const struct bnnep_phase_run *how;
    size_t chunk;  /* samples that go together */
    bool together; /* by all threads */
    atomic_bool cancelled;
    atomic_uint_fast64_t sample_steps;
    atomic_uint most_steps;
};

/* Samples that go through a phase together. */
struct company {
    struct relaxation *run;
    unsigned worker; /* who takes them, if not all do */
    size_t first, count;
    struct binary_passage **passage; /* [count] */
};

/* Parts of each direction of a connection that threads share out. */
static size_t shares_of(const struct company *c) {
    return (size_t)2 * c->run->ws->threads;
}

static void apply_share(void *arg, size_t task, unsigned worker) {
    const struct company *c = arg;
    const size_t shares = shares_of(c);
    (void)worker;
    bnnep_binary_apply_connection(c->run->ws, 1 + task / shares / 2, task / shares % 2,
                                  (struct binary_share){task % shares, shares}, c->passage, c->count);
}

static void forget_and_move(void *arg, size_t i, unsigned worker) {
    const struct company *c = arg;
    struct binary_passage *p = c->passage[i];
    if (!p->moving)
        return;
    bnnep_binary_forget_events(c->run->ws, p);
    bnnep_binary_move(c->run->ws, c->run->how, p, &c->run->ws->scratch[worker]);
}

/* One time step. */
static void step(struct company *c) {
    const struct relaxation *run = c->run;
    struct binary_workspace *ws = run->ws;
    if (run->together) {
        bnnep_pool_run(ws->pool, ws->threads, (ws->network->model->connections - 1) * 2 * shares_of(c), apply_share, c);
        bnnep_pool_run(ws->pool, ws->threads, c->count, forget_and_move, c);
        return;
    }
    bnnep_binary_apply(ws, c->passage, c->count, &ws->scratch[c->worker]);
    for (size_t i = 0; i < c->count; i++)
        if (c->passage[i]->moving)
            bnnep_binary_move(ws, run->how, c->passage[i], &ws->scratch[c->worker]);
}

/* --- a phase ------------------------------------------------------------------------------------------------------ */

static void start_passage(const struct relaxation *run, struct binary_passage *p, size_t sample) {
    const struct binary_workspace *ws = run->ws;
    const struct bnnep_phase_run *how = run->how;
    const struct bnnep_link *first = ws->network->model->links[0];
    const struct cpu_connection *below = &ws->network->connection[0];
    const float *drive = ws->drive + sample * first->out;
    p->sample = sample;
    p->record = bnnep_binary_record(ws, how->to, sample);
    if (how->from != how->to)
        memcpy(p->record, bnnep_binary_record(ws, how->from, sample), ws->layout.bytes);
    if (bnnep_is_convolution(first))
        memcpy(p->forward, drive, first->out * sizeof(float));
    else
        for (size_t j = 0; j < first->out; j++)
            p->forward[j] = bnnep_forward(below->alpha[0], drive[j], below->bias[j]);
    bnnep_binary_begin(ws, p);
}

static void start(void *arg, size_t i, unsigned worker) {
    const struct company *c = arg;
    (void)worker;
    start_passage(c->run, c->passage[i], c->first + i);
}

static void relax_company(struct company *c) {
    struct relaxation *run = c->run;
    const struct bnnep_phase_run *how = run->how;
    if (run->together)
        bnnep_pool_run(run->ws->pool, run->ws->threads, c->count, start, c);
    else
        for (size_t i = 0; i < c->count; i++)
            start(c, i, c->worker);
    uint64_t sample_steps = 0;
    uint32_t steps = 0;
    for (size_t moving = c->count; steps < (uint32_t)how->steps && moving > 0; steps++) {
        if (c->worker == 0 && how->cancelled && how->cancelled(how->cancel_user))
            atomic_store(&run->cancelled, true);
        if (atomic_load(&run->cancelled))
            return;
        step(c);
        sample_steps += moving;
        moving = 0;
        for (size_t i = 0; i < c->count; i++)
            moving += c->passage[i]->moving;
    }
    atomic_fetch_add(&run->sample_steps, sample_steps);
    bnnep_raise_to(&run->most_steps, steps);
}

/* Number `chunk` of the chunks of samples, in the passages of a thread, or of all. */
static void relax_chunk(void *arg, size_t chunk, unsigned worker) {
    struct relaxation *run = arg;
    struct binary_workspace *ws = run->ws;
    struct company c = {.run = run, .worker = worker, .first = chunk * run->chunk};
    c.count = ws->count - c.first < run->chunk ? ws->count - c.first : run->chunk;
    c.passage = ws->scratch[worker].together;
    for (size_t i = 0; i < c.count; i++)
        c.passage[i] = &ws->scratch[worker + i / CHUNK].passage[i % CHUNK];
    relax_company(&c);
}

/* Bytes of signs that stream by in every step, in both forms; a convolution sees the same ones everywhere. */
static size_t streaming(const struct bnnep_model *model) {
    size_t signs = 0;
    for (size_t k = 1; k < model->connections; k++)
        if (!bnnep_is_convolution(model->links[k]))
            signs += 2 * model->links[k]->rows * model->links[k]->columns;
    return signs / 8;
}

bnnep_status bnnep_binary_relax(void *handle, const struct bnnep_phase_run *how, bnnep_relaxed *done) {
    struct binary_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const bool small = streaming(model) <= SMALL_WEIGHTS;
    const size_t share = (ws->count + ws->threads - 1) / ws->threads, most = small ? SMALL_CHUNK : CHUNK;
    struct relaxation run = {.ws = ws, .how = how, .chunk = share < most ? share : most};
    run.together = !small && !model->convolutional && ws->threads > 1 && ws->count > 1;
    if (run.together) {
        run.chunk = CHUNK * ws->threads;
        for (size_t chunk = 0; chunk * run.chunk < ws->count && !atomic_load(&run.cancelled); chunk++)
            relax_chunk(&run, chunk, 0);
    } else
        bnnep_pool_run(ws->pool, ws->threads, (ws->count + run.chunk - 1) / run.chunk, relax_chunk, &run);
    if (atomic_load(&run.cancelled))
        return BNNEP_CANCELLED;
    done->sample_steps = atomic_load(&run.sample_steps);
    done->most_steps = (int32_t)atomic_load(&run.most_steps);
    return BNNEP_OK;
}
