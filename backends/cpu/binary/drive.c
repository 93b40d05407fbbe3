/* SPDX-License-Identifier: MIT */
/*
 * Staging a batch: the drive fwd_0(x), which stays the same in every step, and the states that the free phase starts
 * from. Sums over inputs are taken in double and rounded once (bnnep/rules.h), DRIVE_LANES samples at a time.
 */
#include <math.h>
#include <string.h>

#include "backends/cpu/binary/binary.h"

struct staging {
    struct binary_workspace *ws;
    const float *x, *target;
};

/* Are the sums of some inputs exact in any order (bnnep/rules.h)? */
static bool in_any_order(const float *x, size_t samples, size_t inputs) {
    for (size_t n = 0; n < samples; n++) {
        double size = 0.0;
        for (size_t i = 0; i < inputs; i++, x++) {
            const double steps = (double)*x * 0x1p31;
            size += fabs((double)*x);
            if (steps != rint(steps))
                return false;
        }
        if (!(size < 0x1p21))
            return false;
    }
    return true;
}

/* Lanes of 64 inputs, if their sums are exact in any order without those that are 0 in all samples: otherwise a
 * sample's bits would depend on its neighbours. Bits of the inputs that are left. */
static uint64_t gather_inputs(const double *lanes, size_t inputs, bool any_order, double *present) {
    uint64_t mask = 0;
    bool zero = true;
    for (size_t i = 0; i < inputs; i++, lanes += DRIVE_LANES) {
        bool any = false;
        for (size_t l = 0; l < DRIVE_LANES; l++)
            any = any || lanes[l] != 0.0;
        zero = zero && !any;
        if (any_order && !any)
            continue;
        mask |= UINT64_C(1) << i;
        memcpy(present, lanes, DRIVE_LANES * sizeof *present);
        present += DRIVE_LANES;
    }
    return zero ? 0 : mask;
}

/* Rows whose sums stay in the second-level cache while all inputs are added up. */
#define DRIVE_ROWS ((size_t)1024)

/* s->sums [rows][DRIVE_LANES] = B s->lanes of up to DRIVE_ROWS rows from `row` on; their signs are those of `packed`,
 * [word of columns][rows], or if that is NULL of c->up. */
static void signed_sums(const struct cpu_kernels *kernels, const struct cpu_connection *c, size_t row, size_t rows,
                        const uint64_t *packed, struct binary_scratch *s) {
    double present[64 * DRIVE_LANES] __attribute__((aligned(64)));
    uint64_t words[DRIVE_ROWS];
    memset(s->sums, 0, rows * DRIVE_LANES * sizeof *s->sums);
    for (size_t i = 0; i < c->columns; i += 64) {
        const size_t inputs = c->columns - i < 64 ? c->columns - i : 64;
        const uint64_t mask = gather_inputs(s->lanes + i * DRIVE_LANES, inputs, s->any_order, present);
        if (mask == 0)
            continue;
        const size_t groups =
            kernels->f64->tables(present, (size_t)__builtin_popcountll(mask), ENTRY_BYTES, 0.0f, s->tables);
        if (packed)
            kernels->counts->extract(packed + i / 64 * c->rows + row, 1, rows, mask, words);
        else
            kernels->counts->extract(bnnep_cpu_up(c, 0, i / PANEL) + i % PANEL / 64 + row * PANEL_WORDS, PANEL_WORDS,
                                     rows, mask, words);
        kernels->f64->add(words, rows, groups, ENTRY_BYTES, s->tables, s->sums);
    }
}

static size_t rows_from(const struct cpu_connection *c, size_t row) {
    return c->rows - row < DRIVE_ROWS ? c->rows - row : DRIVE_ROWS;
}

static void drive_layer(struct binary_workspace *ws, size_t first, size_t present, struct binary_scratch *s) {
    const struct bnnep_link *link = ws->network->model->links[0];
    const struct cpu_connection *c = &ws->network->connection[0];
    for (size_t l = 0; l < DRIVE_LANES; l++)
        for (size_t i = 0; i < link->in; i++)
            s->lanes[i * DRIVE_LANES + l] = l < present ? (double)ws->x[(first + l) * link->in + i] : 0.0;
    for (size_t row = 0; row < c->rows; row += DRIVE_ROWS) {
        signed_sums(ws->network->kernels, c, row, rows_from(c, row), NULL, s);
        for (size_t l = 0; l < present; l++)
            for (size_t j = 0; j < rows_from(c, row); j++)
                ws->drive[(first + l) * link->out + row + j] = (float)s->sums[j * DRIVE_LANES + l];
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

/* What the kernel sees from a position, as columns are ordered: [position][channel]. */
static void take_patch(const struct binary_workspace *ws, size_t first, size_t present, struct bnnep_position at,
                       double *lanes) {
    const struct bnnep_link *link = ws->network->model->links[0];
    const size_t K = link->kernel, P = link->padding, H = link->from.height, W = link->from.width;
    const size_t C = link->from.channels;
    memset(lanes, 0, K * K * C * DRIVE_LANES * sizeof *lanes);
    for (size_t row = 0; row < K; row++)
        for (size_t column = 0; column < K; column++, lanes += C * DRIVE_LANES) {
            const size_t y = at.y + row, x = at.x + column; /* with the padding */
            if (y < P || y - P >= H || x < P || x - P >= W)
                continue;
            const float *pixel = ws->x + first * link->in + (y - P) * W + x - P;
            for (size_t i = 0; i < C; i++)
                for (size_t l = 0; l < present; l++)
                    lanes[i * DRIVE_LANES + l] = (double)pixel[l * link->in + i * H * W];
        }
}

static void drive_window(struct binary_workspace *ws, size_t first, size_t present, size_t u,
                         struct binary_scratch *s) {
    const struct bnnep_link *link = ws->network->model->links[0];
    const struct cpu_connection *c = &ws->network->connection[0];
    float *drive = ws->drive + first * link->out + u * c->rows;
    uint16_t *argmax = ws->drive_argmax + first * link->out + u * c->rows;
    for (size_t row = 0; row < c->rows; row += DRIVE_ROWS) {
        const size_t rows = rows_from(c, row);
        for (size_t q = 0; q < link->pool * link->pool; q++) {
            take_patch(ws, first, present, bnnep_binary_position(link, u, q), s->lanes);
            signed_sums(ws->network->kernels, c, row, rows, ws->packed, s);
            ws->network->kernels->neurons->pool_f64(rows, s->sums, (int32_t)q, c->alpha + row, c->bias + row,
                                                    s->largest, s->argmax);
        }
        for (size_t l = 0; l < present; l++)
            for (size_t o = 0; o < rows; o++) {
                drive[l * link->out + row + o] = s->largest[o * DRIVE_LANES + l];
                argmax[l * link->out + row + o] = (uint16_t)s->argmax[o * DRIVE_LANES + l];
            }
    }
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

static void stage_lanes(void *arg, size_t task, unsigned worker) {
    const struct staging *staging = arg;
    struct binary_workspace *ws = staging->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = model->links[0], *last = model->links[model->connections - 1];
    const size_t first = task * DRIVE_LANES;
    const size_t present = ws->count - first < DRIVE_LANES ? ws->count - first : DRIVE_LANES;
    memcpy(ws->x + first * link->in, staging->x + first * link->in, present * link->in * sizeof(float));
    ws->scratch[worker].any_order = in_any_order(staging->x + first * link->in, present, link->in);
    for (size_t n = first; staging->target && n < first + present; n++)
        memcpy(ws->target + n * bnnep_binary_padded(last->out), staging->target + n * last->out,
               last->out * sizeof(float));
    if (bnnep_is_convolution(link))
        for (size_t u = 0; u < link->to.height * link->to.width; u++)
            drive_window(ws, first, present, u, &ws->scratch[worker]);
    else
        drive_layer(ws, first, present, &ws->scratch[worker]);
    for (size_t n = first; n < first + present; n++) {
        char *record = bnnep_binary_record(ws, BNNEP_PHASE_FREE, n);
        memcpy(record, ws->start, ws->layout.bytes);
        if (bnnep_is_convolution(link)) /* its argmax stays as it is: the input is clamped */
            memcpy(bnnep_binary_part(record, ws->layer[0].argmax), ws->drive_argmax + n * link->out,
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
        for (size_t i = 0; i < model->links[k]->out; i++)
            state[i] = bnnep_start(true, model->convolutional);
    }
    p->record = ws->start;
    bnnep_binary_begin(ws, p);
    bnnep_binary_apply(ws, &p, 1, &ws->scratch[0]);
}

void bnnep_binary_stage(void *handle, const float *x, const float *target, size_t count) {
    struct binary_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    ws->count = count;
    for (size_t k = 0; k < model->connections; k++)
        if (bnnep_is_convolution(model->links[k]))
            bnnep_binary_find_alphas(model->links[k], &ws->network->connection[k], &ws->alphas[k]);
    if (bnnep_is_convolution(model->links[0]))
        pack(ws);
    make_start(ws);
    bnnep_pool_run(ws->pool, ws->threads, (count + DRIVE_LANES - 1) / DRIVE_LANES, stage_lanes,
                   &(struct staging){ws, x, target});
}
