/* SPDX-License-Identifier: MIT */
/* The two phases on the cpu backend: a thread takes a tile of samples through all steps. */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/rules.h"

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

struct phase {
    struct cpu_workspace *ws;
    const struct bnnep_relaxation *how;
    atomic_bool cancelled;
    atomic_uint_fast64_t sample_steps;
    atomic_uint most_steps;
};

/* One tile on its way through a phase. */
struct passage {
    struct phase *phase;
    struct cpu_scratch *scratch;
    size_t tile;
    float moving[LANES]; /* 1: the sample has not settled */
    float change[LANES]; /* largest change of its states in this step */
};

const float *bnnep_cpu_activations(const struct cpu_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                                   float *to) {
    const struct bnnep_model *model = ws->network->model;
    const float *state = bnnep_cpu_state(ws, slot, tile, k);
    if (!bnnep_cpu_binary(model))
        return state;
    const float theta = model->theta;
    for (size_t v = 0; v < model->links[k].out * LANES; v++)
        to[v] = bnnep_activation(true, theta, state[v]);
    return to;
}

/* alpha B a + b, and alpha B^T a, from the plain sums. */
static void scale_forward(const struct bnnep_link *link, const struct cpu_connection *c, float *value) {
    for (size_t j = 0; j < link->rows; j++)
        for (size_t l = 0; l < LANES; l++)
            value[j * LANES + l] = bnnep_forward(c->alpha[0], value[j * LANES + l], c->bias[j]);
}

static void scale_feedback(const struct bnnep_link *link, const struct cpu_connection *c, float *value) {
    for (size_t v = 0; v < link->columns * LANES; v++)
        value[v] *= c->alpha[0];
}

void bnnep_cpu_forward(const struct cpu_workspace *ws, size_t k, const float *below, float *value, uint16_t *place,
                       struct cpu_scratch *scratch) {
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = &model->links[k];
    const struct cpu_connection *c = &ws->network->connection[k];
    const bool exact = k == 0 && bnnep_cpu_binary(model);
    if (bnnep_cpu_is_convolution(link)) {
        bnnep_cpu_convolve(link, c, below, exact, value, place, scratch);
        return;
    }
    if (exact)
        bnnep_cpu_product_exact(link, c, below, value, scratch->tile, scratch->sum);
    else
        bnnep_cpu_products(link, c, below, NULL, value, NULL, (float *)scratch->tile);
    scale_forward(link, c, value);
}

void bnnep_cpu_sums(const struct cpu_workspace *ws, enum bnnep_slot slot, size_t tile, const float *moving,
                    struct cpu_scratch *scratch) {
    const struct bnnep_model *model = ws->network->model;
    const size_t drive = model->links[0].out * LANES;
    memcpy(scratch->forward, ws->drive + tile * drive, drive * sizeof(float));
    if (ws->place[slot])
        memcpy(scratch->pooled, ws->place[slot] + bnnep_cpu_at(ws, tile, 0), drive * sizeof(uint16_t));
    const float *below = bnnep_cpu_activations(ws, slot, tile, 0, scratch->active);
    for (size_t k = 1; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        const struct cpu_connection *c = &ws->network->connection[k];
        const size_t at = ws->offset[k] * LANES;
        const float *above = bnnep_cpu_activations(ws, slot, tile, k, scratch->active + at);
        float *forward = scratch->forward + at, *feedback = scratch->feedback + ws->offset[k - 1] * LANES;
        if (bnnep_cpu_is_convolution(link)) {
            bnnep_cpu_convolve(link, c, below, false, forward, scratch->pooled + at, scratch);
            bnnep_cpu_feed_back(link, c, above, scratch->pooled + at, moving, feedback, scratch);
        } else {
            bnnep_cpu_products(link, c, below, above, forward, feedback, (float *)scratch->tile);
            scale_forward(link, c, forward);
            scale_feedback(link, c, feedback);
        }
        below = above;
    }
}

/* What the update of one layer reads and writes; arrays are [unit][LANES]. */
struct layer {
    size_t units;
    const float *forward, *feedback;  /* feedback is NULL for the output */
    const float *target, *prediction; /* NULL for a hidden layer */
    float *state;
};

INLINE void move(const struct layer *layer, struct bnnep_neuron neuron, float *restrict moving,
                 float *restrict change) {
    /* state may be the prediction itself */
    float *state = layer->state;
    const float *forward = layer->forward, *feedback = layer->feedback;
    for (size_t j = 0; j < layer->units; j++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = j * LANES + l;
            const float s = state[v];
            const float pre = neuron.output ? forward[v] : forward[v] + feedback[v];
            const float next = bnnep_next_state(&neuron, s, pre, neuron.output ? layer->target[v] : 0.0f,
                                                neuron.output ? layer->prediction[v] : 0.0f);
            const float step = fabsf(next - s) * moving[l];
            change[l] = step > change[l] ? step : change[l];
            state[v] = moving[l] != 0.0f ? next : s;
        }
}

/* The same loop four times over, each without the branches that do not change inside it. */
static void move_layer(const struct layer *layer, struct bnnep_neuron neuron, float *moving, float *change) {
    if (neuron.binary) {
        neuron.binary = true;
        if (neuron.output) {
            neuron.output = true;
            move(layer, neuron, moving, change);
        } else {
            neuron.output = false;
            move(layer, neuron, moving, change);
        }
    } else {
        neuron.binary = false;
        if (neuron.output) {
            neuron.output = true;
            move(layer, neuron, moving, change);
        } else {
            neuron.output = false;
            move(layer, neuron, moving, change);
        }
    }
}

/* The argmax of this step, for the samples that move. */
static void keep_places(struct passage *p) {
    struct cpu_workspace *ws = p->phase->ws;
    uint16_t *place = ws->place[p->phase->how->to] + bnnep_cpu_at(ws, p->tile, 0);
    for (size_t v = 0; v < ws->units * LANES; v++)
        place[v] = p->moving[v % LANES] != 0.0f ? p->scratch->pooled[v] : place[v];
}

/* One time step of a tile: all layers move at once. */
static void step(struct passage *p) {
    struct cpu_workspace *ws = p->phase->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_relaxation *how = p->phase->how;
    const size_t L = model->connections;
    bnnep_cpu_sums(ws, how->to, p->tile, p->moving, p->scratch);
    if (model->convolutional)
        keep_places(p);
    memset(p->change, 0, sizeof p->change);
    for (size_t k = 0; k < L; k++) {
        const bool output = k + 1 == L;
        const size_t units = model->links[k].out, at = ws->offset[k] * LANES;
        const struct layer layer = {
            .units = units,
            .forward = p->scratch->forward + at,
            .feedback = output ? NULL : p->scratch->feedback + at,
            .target = output ? ws->target + p->tile * units * LANES : NULL,
            .prediction = output ? bnnep_cpu_state(ws, BNNEP_SLOT_FREE, p->tile, k) : NULL,
            .state = bnnep_cpu_state(ws, how->to, p->tile, k),
        };
        const struct bnnep_neuron neuron = {
            .binary = bnnep_cpu_binary(model),
            .output = output,
            .clamp_nudged = !model->convolutional,
            .fixed_prediction = model->convolutional,
            .theta = model->theta,
            .keep = (float)(1.0 - (double)model->gamma_neur),
            .gain = model->gamma_neur,
            .beta = how->beta,
        };
        move_layer(&layer, neuron, p->moving, p->change);
    }
}

static void relax_tile(void *arg, size_t tile, unsigned worker) {
    struct phase *phase = arg;
    struct cpu_workspace *ws = phase->ws;
    const struct bnnep_relaxation *how = phase->how;
    struct passage p = {.phase = phase, .scratch = &ws->scratch[worker], .tile = tile};
    if (how->from != how->to) {
        memcpy(bnnep_cpu_state(ws, how->to, tile, 0), bnnep_cpu_state(ws, how->from, tile, 0),
               ws->units * LANES * sizeof(float));
        if (ws->place[how->to])
            memcpy(ws->place[how->to] + bnnep_cpu_at(ws, tile, 0), ws->place[how->from] + bnnep_cpu_at(ws, tile, 0),
                   ws->units * LANES * sizeof(uint16_t));
    }
    /* Lanes without a sample rest. */
    size_t moving = ws->count - tile * LANES < LANES ? ws->count - tile * LANES : LANES;
    for (size_t l = 0; l < moving; l++)
        p.moving[l] = 1.0f;
    uint64_t sample_steps = 0;
    uint32_t steps = 0;
    while (steps < (uint32_t)how->steps && moving > 0) {
        if (worker == 0 && how->cancelled && how->cancelled(how->cancel_user))
            atomic_store(&phase->cancelled, true);
        if (atomic_load(&phase->cancelled))
            return;
        step(&p);
        steps++;
        sample_steps += moving;
        for (size_t l = 0; l < LANES; l++)
            if (p.moving[l] != 0.0f && p.change[l] <= how->tolerance) {
                p.moving[l] = 0.0f;
                moving--;
            }
    }
    atomic_fetch_add(&phase->sample_steps, sample_steps);
    for (unsigned most = atomic_load(&phase->most_steps);
         most < steps && !atomic_compare_exchange_weak(&phase->most_steps, &most, steps);)
        continue;
}

bnnep_status bnnep_cpu_relax(void *handle, const struct bnnep_relaxation *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct cpu_workspace *ws = handle;
    struct phase phase = {.ws = ws, .how = how};
    bnnep_pool_run(ws->pool, ws->tiles, relax_tile, &phase);
    if (atomic_load(&phase.cancelled))
        return BNNEP_CANCELLED;
    done->sample_steps = atomic_load(&phase.sample_steps);
    done->most_steps = atomic_load(&phase.most_steps);
    return BNNEP_OK;
}
