/* SPDX-License-Identifier: MIT */
/*
 * Which samples are under way. A sample that is done lets one that has not begun take its lane, and when at most half
 * of the lanes are still in use, they become the first half of the tile. Lanes do not mix, so that it changes no
 * result; in the end all samples go back to where they came from.
 */
#include "backends/cpu/real/lanes.h"

static void swap(void *array, size_t units, size_t here, size_t there) {
    uint32_t *a = (uint32_t *)array + here, *b = (uint32_t *)array + there;
    for (; units > 0; units--, a += LANES, b += LANES) {
        const uint32_t kept = *a;
        *a = *b;
        *b = kept;
    }
}

/* All that a phase reads and writes of two samples changes places. */
static void exchange(const struct real_lanes *lanes, const struct real_exchange *e) {
    const struct real_workspace *ws = lanes->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t first = model->links[0]->out, last = model->links[model->connections - 1]->out;
    const size_t a = e->sample / LANES * LANES, b = e->with / LANES * LANES, m = e->sample % LANES, n = e->with % LANES;
    swap(ws->state[lanes->phase], ws->units, a * ws->units + m, b * ws->units + n);
    swap(ws->drive, first, a * first + m, b * first + n);
    swap(ws->target, last, a * last + m, b * last + n);
    if (ws->argmax[lanes->phase])
        swap(ws->argmax[lanes->phase], ws->units, a * ws->units + m, b * ws->units + n);
}

static void trade(struct real_lanes *lanes, size_t sample, size_t with) {
    struct real_exchange *e = &lanes->exchange[lanes->exchanges++];
    *e = (struct real_exchange){.sample = sample, .with = with};
    exchange(lanes, e);
}

static void start(struct real_lanes *lanes, size_t lane) {
    lanes->moving[lane] = 1.0f;
    lanes->steps[lane] = lanes->calm[lane] = 0;
    lanes->in_use++;
    lanes->next++;
}

void bnnep_real_begin_tile(struct real_lanes *lanes) {
    lanes->tile = lanes->next / LANES;
    lanes->half = false;
    while (lanes->next < lanes->end && lanes->next / LANES == lanes->tile)
        start(lanes, lanes->next % LANES);
}

void bnnep_real_refill(struct real_lanes *lanes) {
    for (size_t l = 0; l < LANES && lanes->next < lanes->end; l++)
        if (lanes->moving[l] == 0.0f) {
            trade(lanes, lanes->tile * LANES + l, lanes->next);
            start(lanes, l);
        }
}

void bnnep_real_pack(struct real_lanes *lanes) {
    for (size_t to = 0, from = LANES / 2; from < LANES; from++) {
        if (lanes->moving[from] == 0.0f)
            continue;
        while (lanes->moving[to] != 0.0f)
            to++;
        trade(lanes, lanes->tile * LANES + to, lanes->tile * LANES + from);
        lanes->moving[to] = 1.0f;
        lanes->steps[to] = lanes->steps[from];
        lanes->calm[to] = lanes->calm[from];
        lanes->moving[from] = 0.0f;
    }
    lanes->half = true;
}

void bnnep_real_go_home(struct real_lanes *lanes) {
    while (lanes->exchanges > 0)
        exchange(lanes, &lanes->exchange[--lanes->exchanges]);
}
