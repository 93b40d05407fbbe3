/* SPDX-License-Identifier: MIT */
/* One time step of some samples: events into sums, sums into states. */
#include <string.h>

#include "backends/cpu/binary/binary.h"

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
    p->step = p->calm = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct binary_layer *layer = &ws->layer[k];
        ws->network->kernels->neurons->activations(layer->units, bnnep_binary_part(p->record, layer->state),
                                                   model->theta, p->active + layer->offset / 64);
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
    kernels->counts->counts(panel, events->up, events->ups, events->down, events->downs, outputs, sums);
}

/* Asks for number `share` of `shares` parts of some memory. */
static void fetch(const uint64_t *from, size_t words, size_t share, size_t shares) {
    for (size_t i = words * share / shares / 8 * 8; i < words * (share + 1) / shares; i += 8)
        __builtin_prefetch(from + i, 0, 2);
}

/* Sums of a connection in one direction: signs [panel][inputs][PANEL_WORDS], the layer index whose events they take,
 * and where they stand in a record. */
struct sums {
    const uint64_t *weights;
    size_t inputs, outputs;
    size_t events_of, offset;
};

static size_t count_events(const struct sums *of, struct binary_passage *const *passage, size_t count) {
    size_t events = 0;
    for (size_t i = 0; i < count; i++)
        events +=
            passage[i]->moving ? passage[i]->events[of->events_of].ups + passage[i]->events[of->events_of].downs : 0;
    return events;
}

/* Adds the events of all passages to their sums, a panel of weights after the other. While one is in use the next is
 * fetched, if it will be needed as a whole. */
static void apply_panels(const struct cpu_kernels *kernels, const struct sums *to, struct binary_share share,
                         struct binary_passage *const *passage, size_t count) {
    const size_t panels = (to->outputs + PANEL - 1) / PANEL, beyond = panels * (share.index + 1) / share.count;
    const size_t events = count_events(to, passage, count), panel_words = to->inputs * PANEL_WORDS;
    for (size_t panel = panels * share.index / share.count; panel < beyond && events > 0; panel++) {
        const uint64_t *words = to->weights + panel * panel_words;
        const size_t first = panel * PANEL, some = to->outputs - first < PANEL ? to->outputs - first : PANEL;
        const bool fetching = panel + 1 < beyond && events > to->inputs / 4;
        for (size_t i = 0; i < count; i++) {
            const struct binary_passage *p = passage[i];
            if (fetching)
                fetch(words + panel_words, panel_words, i, count);
            if (p->moving && happened(&p->events[to->events_of]))
                add_events(kernels, words, &p->events[to->events_of], some,
                           (int32_t *)bnnep_binary_part(p->record, to->offset) + first);
        }
    }
}

void bnnep_binary_apply_connection(const struct binary_workspace *ws, size_t k, bool back, struct binary_share share,
                                   struct binary_passage *const *passage, size_t count) {
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct binary_layer *layer = &ws->layer[k];
    const struct sums to = back ? (struct sums){c->up, c->rows, c->columns, k, layer->back}
                                : (struct sums){c->down, c->columns, c->rows, k - 1, layer->forward};
    apply_panels(ws->network->kernels, &to, share, passage, count);
}

/* All sums have the events in them: the activations are those that the sums are right for. */
void bnnep_binary_forget_events(const struct binary_workspace *ws, struct binary_passage *p) {
    const struct bnnep_model *model = ws->network->model;
    for (size_t k = 1; k < model->connections; k++) {
        p->stale[k] = p->stale[k] || happened(&p->events[k - 1]);
        p->stale[k - 1] = p->stale[k - 1] || (!bnnep_is_convolution(model->links[k]) && happened(&p->events[k]));
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
    const struct binary_share all = {0, 1};
    for (size_t k = 1; k < model->connections; k++) {
        const bool convolution = bnnep_is_convolution(model->links[k]);
        for (int back = 0; !convolution && back < 2; back++)
            bnnep_binary_apply_connection(ws, k, back, all, passage, count);
        for (size_t i = 0; convolution && i < count; i++)
            if (passage[i]->moving)
                bnnep_binary_convolve(ws, k, passage[i], scratch);
    }
    for (size_t i = 0; i < count; i++)
        bnnep_binary_forget_events(ws, passage[i]);
}

/* --- a step ------------------------------------------------------------------------------------------------------- */

/* fwd_k + fb_{k+1}, what connections k and k + 1 give some units of layer index k, from unit i on. */
static void add_up(const struct binary_workspace *ws, struct binary_passage *p, size_t k, size_t i, size_t units) {
    const struct cpu_network *net = ws->network;
    const struct bnnep_model *model = net->model;
    const struct binary_layer *layer = &ws->layer[k];
    const struct cpu_connection *c = &net->connection[k];
    float *forward = p->forward + layer->offset + i, *pre = p->pre + layer->offset + i;
    if (k > 0 && !bnnep_is_convolution(model->links[k]))
        net->kernels->neurons->forward_of_sums(units, (int32_t *)bnnep_binary_part(p->record, layer->forward) + i,
                                               c->alpha[0], c->bias + i, forward);
    if (k + 1 == model->connections)
        memcpy(pre, forward, units * sizeof *pre);
    else if (bnnep_is_convolution(model->links[k + 1]))
        net->kernels->neurons->add_feedback_f64(units, forward,
                                                (double *)bnnep_binary_part(p->record, layer[1].back) + i, pre);
    else
        net->kernels->neurons->add_feedback(units, forward, (int32_t *)bnnep_binary_part(p->record, layer[1].back) + i,
                                            c[1].alpha[0], pre);
}

/* Returns the largest change of a state. Units that did not move in the last step and are pulled as they were then
 * rest, PANEL at a time. */
static float move_layer(const struct binary_workspace *ws, const struct bnnep_phase_run *how, struct binary_passage *p,
                        size_t k) {
    const struct bnnep_model *model = ws->network->model;
    const struct binary_layer *layer = &ws->layer[k];
    const struct bnnep_neuron neuron = bnnep_neuron_of(model, k, how->beta);
    const float *target = ws->target + p->sample * bnnep_binary_padded(model->links[model->connections - 1]->out);
    const float *prediction = bnnep_binary_part(bnnep_binary_record(ws, BNNEP_PHASE_FREE, p->sample), layer->state);
    float *state = bnnep_binary_part(p->record, layer->state), change = 0.0f;
    for (size_t i = 0; i < layer->units; i += PANEL) {
        const size_t units = layer->units - i < PANEL ? layer->units - i : PANEL, at = layer->offset + i;
        const bool pulled = p->stale[k] || p->pulled[at / PANEL];
        if (pulled)
            add_up(ws, p, k, i, units);
        else if (p->still[at / PANEL])
            continue;
        const float here = ws->network->kernels->neurons->move(&neuron, units, p->pre + at, target + i, prediction + i,
                                                               state + i, p->active + at / 64);
        p->still[at / PANEL] = here == 0.0f;
        p->pulled[at / PANEL] = false;
        change = here > change ? here : change;
    }
    p->stale[k] = false;
    find_events(layer, p, &p->events[k]);
    return change;
}

void bnnep_binary_move(const struct binary_workspace *ws, const struct bnnep_phase_run *how, struct binary_passage *p,
                       struct binary_scratch *scratch) {
    const struct bnnep_model *model = ws->network->model;
    for (size_t k = 1; k < model->connections; k++)
        if (bnnep_is_convolution(model->links[k]))
            bnnep_binary_feed_back(ws, k, p, scratch);
    float change = 0.0f;
    p->step++;
    for (size_t k = 0; k < model->connections; k++) {
        if (!bnnep_moves(model->schedule, k, p->step)) {
            p->events[k].ups = p->events[k].downs = 0;
            continue;
        }
        const float here = move_layer(ws, how, p, k);
        change = here > change ? here : change;
    }
    p->calm = change > how->tolerance ? 0 : p->calm + 1;
    p->moving = p->calm < bnnep_calm_steps(model->schedule);
}
