/* SPDX-License-Identifier: MIT */
/* What the samples of a batch add up to in each unit after both phases, for covariances. */
#include <string.h>

#include "backends/cpu/real/learn.h"

/* Units of a task. */
#define TOTAL_UNITS ((size_t)256)

struct adding {
    struct real_workspace *ws;
    const struct bnnep_learning *how;
    size_t first; /* unit */
};

/* The samples' values of one unit, LANES of them side by side, the next ones `apart` numbers behind. */
static double add_up(const float *lanes, size_t apart, size_t samples) {
    double strand[LANES] = {0.0}, total = 0.0;
    for (; samples >= LANES; samples -= LANES, lanes += apart)
        for (size_t l = 0; l < LANES; l++)
            strand[l] += (double)lanes[l];
    for (size_t l = 0; l < samples; l++)
        strand[l] += (double)lanes[l];
    for (size_t l = 0; l < LANES; l++)
        total += strand[l];
    return total;
}

static void add_up_units(void *arg, size_t task, unsigned worker) {
    const struct adding *adding = arg;
    struct real_workspace *ws = adding->ws;
    const size_t first = adding->first + task * TOTAL_UNITS, beyond = bnnep_real_least(first + TOTAL_UNITS, ws->units);
    (void)worker;
    for (int which = 0; which < 2; which++) {
        const float *state = ws->state[which == 0 ? adding->how->first : adding->how->second];
        for (size_t j = first; j < beyond; j++)
            ws->contrast.total[which][j] = add_up(state + j * LANES, ws->units * LANES, ws->count);
    }
}

static void add_up_inputs(void *arg, size_t task, unsigned worker) {
    const struct adding *adding = arg;
    struct real_workspace *ws = adding->ws;
    const size_t in = ws->network->model->links[0]->in;
    (void)worker;
    for (size_t i = task * TOTAL_UNITS; i < bnnep_real_least((task + 1) * TOTAL_UNITS, in); i++)
        ws->contrast.input_total[i] = add_up(ws->input + i * LANES, in * LANES, ws->count);
}

/* The sums that are given, of a batch of one sample. The first fully connected connection is `first`. */
static void take_sums(struct real_workspace *ws, const struct bnnep_learning *how, size_t first) {
    const struct bnnep_model *model = ws->network->model;
    const struct cpu_connection *connection = &ws->network->connection[first];
    for (int which = 0; which < 2; which++) {
        double *below = first > 0 ? ws->contrast.total[which] + ws->offset[first - 1] : ws->contrast.input_total;
        for (size_t i = 0; i < connection->columns; i++)
            below[bnnep_cpu_column(connection, i)] = how->sums[which][first][i];
        for (size_t k = first; k < model->connections; k++)
            memcpy(ws->contrast.total[which] + ws->offset[k], how->sums[which][k + 1],
                   model->links[k]->out * sizeof(double));
    }
}

void bnnep_real_add_up(struct real_workspace *ws, const struct bnnep_learning *how) {
    const struct bnnep_model *model = ws->network->model;
    size_t convolutions = 0;
    while (convolutions < model->connections && bnnep_is_convolution(model->links[convolutions]))
        convolutions++;
    if (how->sums[0]) {
        take_sums(ws, how, convolutions);
        return;
    }
    struct adding adding = {.ws = ws, .how = how};
    if (convolutions == 0)
        bnnep_pool_run(ws->pool, ws->threads, (model->links[0]->in + TOTAL_UNITS - 1) / TOTAL_UNITS, add_up_inputs,
                       &adding);
    else
        adding.first = ws->offset[convolutions - 1];
    bnnep_pool_run(ws->pool, ws->threads, (ws->units - adding.first + TOTAL_UNITS - 1) / TOTAL_UNITS, add_up_units,
                   &adding);
}
