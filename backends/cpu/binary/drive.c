/* SPDX-License-Identifier: MIT */
/*
 * Staging a batch: the drive fwd_0(x), which stays the same in every step, and the states that the free phase starts
 * from. Sums over inputs are taken in double and rounded once (backends/rules.h), DRIVE_LANES samples at a time.
 */
#include <string.h>

#include "backends/cpu/binary/binary.h"

struct staging {
    struct binary_workspace *ws;
    const float *x, *target;
};

/* sums [rows][DRIVE_LANES] = B lanes, by the words of columns at words[i][row * stride]. */
static void signed_sums(const struct cpu_kernels *kernels, const struct cpu_connection *c, size_t columns,
                        const uint64_t *packed, struct binary_scratch *s) {
    memset(s->sums, 0, c->rows * DRIVE_LANES * sizeof(double));
    for (size_t i = 0; i < columns; i += 64) {
        const size_t inputs = columns - i < 64 ? columns - i : 64;
        bool all_zero = true;
        for (size_t v = i * DRIVE_LANES; v < (i + inputs) * DRIVE_LANES; v++)
            all_zero = all_zero && s->lanes[v] == 0.0;
        if (all_zero)
            continue;
        const size_t groups = kernels->tables_exact(s->lanes + i * DRIVE_LANES, inputs, ENTRY_BYTES, s->tables);
        if (packed)
            kernels->add_signed_exact(packed + i / 64 * c->rows, 1, c->rows, groups, ENTRY_BYTES, s->tables, s->sums);
        else
            kernels->add_signed_exact(bnnep_cpu_up(c, 0, i / PANEL) + i % PANEL / 64, PANEL_WORDS, c->rows, groups,
                                      ENTRY_BYTES, s->tables, s->sums);
    }
}

static void drive_layer(struct binary_workspace *ws, size_t first, size_t present, struct binary_scratch *s) {
    const struct bnnep_link *link = &ws->network->model->links[0];
    for (size_t i = 0; i < link->in; i++)
        for (size_t l = 0; l < DRIVE_LANES; l++)
            s->lanes[i * DRIVE_LANES + l] = l < present ? (double)ws->x[(first + l) * link->in + i] : 0.0;
    signed_sums(ws->network->kernels, &ws->network->connection[0], link->in, NULL, s);
    for (size_t l = 0; l < present; l++) {
        float *drive = ws->drive + (first + l) * link->out;
        for (size_t j = 0; j < link->out; j++)
            drive[j] = (float)s->sums[j * DRIVE_LANES + l];
    }
}

/* --- convolutions ------------------------------------------------------------------------------------------------- */

/* A convolution's few input channels would fill a panel each: its columns are packed into words instead. */
static void pack(struct binary_workspace *ws) {
    const struct cpu_connection *c = &ws->network->connection[0];
    memset(ws->packed, 0, (c->columns + 63) / 64 * c->rows * sizeof *ws->packed);
    for (size_t i = 0; i < c->columns; i++) {
        const uint64_t *up = bnnep_cpu_up(c, i / c->inner, i % c->inner / PANEL) + i % c->inner % PANEL / 64;
        for (size_t j = 0; j < c->rows; j++)
            ws->packed[i / 64 * c->rows + j] |= (up[j * PANEL_WORDS] >> i % c->inner % 64 & 1) << i % 64;
    }
}

/* What the kernel sees from (y, x), as columns are ordered: [position][channel]. */
static void take_patch(const struct binary_workspace *ws, size_t first, size_t present, size_t y, size_t x,
                       double *lanes) {
    const struct bnnep_link *link = &ws->network->model->links[0];
    const size_t K = link->kernel, P = link->padding, H = link->from.height, W = link->from.width;
    const size_t C = link->from.channels;
    memset(lanes, 0, K * K * C * DRIVE_LANES * sizeof *lanes);
    for (size_t row = 0; row < K; row++)
        for (size_t column = 0; column < K; column++, lanes += C * DRIVE_LANES) {
            if (y + row < P || y + row - P >= H || x + column < P || x + column - P >= W)
                continue;
            const float *pixel = ws->x + first * link->in + (y + row - P) * W + x + column - P;
            for (size_t i = 0; i < C; i++)
                for (size_t l = 0; l < present; l++)
                    lanes[i * DRIVE_LANES + l] = (double)pixel[l * link->in + i * H * W];
        }
}

static void drive_window(struct binary_workspace *ws, size_t first, size_t present, size_t u,
                         struct binary_scratch *s) {
    const struct bnnep_link *link = &ws->network->model->links[0];
    const struct cpu_connection *c = &ws->network->connection[0];
    for (size_t q = 0; q < link->pool * link->pool; q++) {
        size_t y, x;
        bnnep_binary_position(link, u, q, &y, &x);
        take_patch(ws, first, present, y, x, s->lanes);
        signed_sums(ws->network->kernels, c, c->columns, ws->packed, s);
        ws->network->kernels->pool_exact(c->rows, s->sums, (int32_t)q, c->alpha, c->bias, s->largest, s->at);
    }
    for (size_t l = 0; l < present; l++)
        for (size_t o = 0; o < c->rows; o++) {
            const size_t unit = (first + l) * link->out + u * c->rows + o;
            ws->drive[unit] = s->largest[o * DRIVE_LANES + l];
            ws->drive_place[unit] = (uint16_t)s->at[o * DRIVE_LANES + l];
        }
}

/* --- a batch -------------------------------------------------------------------------------------------------------
 */

static void stage_lanes(void *arg, size_t task, unsigned worker) {
    const struct staging *staging = arg;
    struct binary_workspace *ws = staging->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = &model->links[0], *last = &model->links[model->connections - 1];
    const size_t first = task * DRIVE_LANES;
    const size_t present = ws->count - first < DRIVE_LANES ? ws->count - first : DRIVE_LANES;
    memcpy(ws->x + first * link->in, staging->x + first * link->in, present * link->in * sizeof(float));
    for (size_t n = first; staging->target && n < first + present; n++)
        memcpy(ws->target + n * bnnep_binary_padded(last->out), staging->target + n * last->out,
               last->out * sizeof(float));
    if (bnnep_cpu_is_convolution(link))
        for (size_t u = 0; u < link->to.height * link->to.width; u++)
            drive_window(ws, first, present, u, &ws->scratch[worker]);
    else
        drive_layer(ws, first, present, &ws->scratch[worker]);
    for (size_t n = first; n < first + present; n++) {
        char *record = bnnep_binary_record(ws, BNNEP_SLOT_FREE, n);
        memcpy(record, ws->start, ws->layout.bytes);
        if (bnnep_cpu_is_convolution(link)) /* its argmax stays as it is: the input is clamped */
            memcpy(bnnep_binary_part(record, ws->layer[0].place), ws->drive_place + n * link->out,
                   link->out * sizeof(uint16_t));
    }
}

/* All samples start from the same states: their sums are worked out once. */
static void make_start(struct binary_workspace *ws) {
    const struct bnnep_model *model = ws->network->model;
    struct binary_passage *p = &ws->scratch[0].passage[0];
    memset(ws->start, 0, ws->layout.bytes);
    for (size_t k = 0; k < model->connections; k++) {
        float *state = bnnep_binary_part(ws->start, ws->layer[k].state);
        for (size_t i = 0; i < model->links[k].out; i++)
            state[i] = bnnep_start(true, model->convolutional);
    }
    p->record = ws->start;
    bnnep_binary_begin(ws, p);
    bnnep_binary_apply(ws, p, 1, &ws->scratch[0]);
}

bnnep_status bnnep_binary_stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    (void)why;
    struct binary_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    ws->count = count;
    for (size_t k = 0; k < model->connections; k++)
        if (bnnep_cpu_is_convolution(&model->links[k]))
            bnnep_binary_group(&model->links[k], &ws->network->connection[k], &ws->groups[k]);
    if (bnnep_cpu_is_convolution(&model->links[0]))
        pack(ws);
    make_start(ws);
    bnnep_pool_run(ws->pool, (count + DRIVE_LANES - 1) / DRIVE_LANES, stage_lanes, &(struct staging){ws, x, target});
    return BNNEP_OK;
}
