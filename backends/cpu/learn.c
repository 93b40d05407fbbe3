/* SPDX-License-Identifier: MIT */
/*
 * Contrast, momentum, flips, biases and scaling factors on the cpu backend, in one pass over the momenta.
 *
 * The contrast is taken as the change of the activations from phase to phase, da = a^b - a^*:
 *     a_out^b a_in^b - a_out^* a_in^* = da_out a_in^b + a_out^* da_in
 * which is free of the cancellation of the left side and, since the input is clamped, one product for
 * connection 0.
 */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/rules.h"

struct update {
    struct cpu_learner *learner;
    struct cpu_workspace *ws;
    size_t k; /* connection */
    struct bnnep_rule rule;
    atomic_uint_fast64_t flips;
};

/* A block of rows and columns of the connection that is being updated. */
struct block {
    size_t row, rows, column, columns;
};

/* --- da ---------------------------------------------------------------------------------------------------- */

static void change_of_tile(void *arg, size_t tile, unsigned worker) {
    struct cpu_workspace *ws = arg;
    (void)worker;
    const struct bnnep_model *model = ws->network->model;
    const bool binary = cpu_binary(model);
    const float theta = model->theta;
    const float *free = cpu_state(ws, BNNEP_SLOT_FREE, tile, 0), *nudged = cpu_state(ws, BNNEP_SLOT_NUDGED, tile, 0);
    float *delta = ws->delta + tile * ws->units * LANES;
    for (size_t v = 0; v < ws->units * LANES; v++)
        delta[v] = bnnep_activation(binary, theta, nudged[v]) - bnnep_activation(binary, theta, free[v]);
    /* Lanes without a sample count for nothing, whatever states they hold. */
    for (size_t l = LANES; tile * LANES + l > ws->count; l--)
        for (size_t j = 0; j < ws->units; j++)
            delta[j * LANES + l - 1] = 0.0f;
}

static const float *delta_of(const struct cpu_workspace *ws, size_t tile, size_t k) {
    return ws->delta + (tile * ws->units + ws->offset[k]) * LANES;
}

/* `units` states from `state` on, as activations. */
static const float *activate(const struct bnnep_model *model, const float *state, size_t units, float *to) {
    if (!cpu_binary(model))
        return state;
    const float theta = model->theta;
    for (size_t v = 0; v < units * LANES; v++)
        to[v] = bnnep_activation(true, theta, state[v]);
    return to;
}

/* --- scaling factors --------------------------------------------------------------------------------------- */

/* a_{k+1} . B_k a_k of each sample of a tile, in both phases. */
static void dots_of_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t k = update->k, units = model->links[k].out;
    struct cpu_scratch *scratch = &ws->scratch[worker];
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        double *dot = ws->dot[slot] + tile * LANES;
        const float *forward = ws->drive + tile * units * LANES;
        if (k > 0) {
            const float *below = cpu_activations(ws, slot, tile, k - 1, scratch->active);
            cpu_products(&model->links[k], &ws->network->connection[k], below, NULL, scratch->forward, NULL,
                         (float *)scratch->tile);
            forward = scratch->forward;
        }
        const float *above = cpu_activations(ws, slot, tile, k, scratch->active);
        memset(dot, 0, LANES * sizeof *dot);
        for (size_t j = 0; j < units; j++)
            for (size_t l = 0; l < LANES; l++)
                dot[l] += (double)above[j * LANES + l] * (double)forward[j * LANES + l];
    }
}

static double scale_contrast(struct update *update) {
    struct cpu_workspace *ws = update->ws;
    double contrast = 0.0;
    pool_run(ws->pool, ws->tiles, dots_of_tile, update);
    for (size_t n = 0; n < ws->count; n++)
        contrast += ws->dot[BNNEP_SLOT_NUDGED][n] - ws->dot[BNNEP_SLOT_FREE][n];
    return ws->network->connection[update->k].alpha[0] * contrast;
}

/* --- signs -------------------------------------------------------------------------------------------------- */

/* The contrast of a block, [rows][columns] with stride b->columns, by dense products. */
static void dense_contrast(struct update *update, const struct block *b, struct cpu_scratch *scratch) {
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t k = update->k;
    float *G = scratch->contrast;
    memset(G, 0, b->rows * b->columns * sizeof *G);
    for (size_t tile = 0; tile < ws->tiles; tile++) {
        const float *below = k == 0 ? ws->input + (tile * model->links[0].in + b->column) * LANES
                                    : activate(model, cpu_state(ws, BNNEP_SLOT_NUDGED, tile, k - 1) + b->column * LANES,
                                               b->columns, scratch->below);
        cpu_outer(b->rows, b->columns, delta_of(ws, tile, k) + b->row * LANES, below, G, b->columns);
        if (k > 0) {
            const float *above =
                activate(model, cpu_state(ws, BNNEP_SLOT_FREE, tile, k) + b->row * LANES, b->rows, scratch->above);
            cpu_outer(b->rows, b->columns, above, delta_of(ws, tile, k - 1) + b->column * LANES, G, b->columns);
        }
    }
}

/* The same for connection 0 of a binary network: inputs of the few samples whose bit differs between the phases,
 * added up in double (see backends/rules.h). */
static void exact_contrast(struct update *update, const struct block *b, struct cpu_scratch *scratch) {
    struct cpu_workspace *ws = update->ws;
    const size_t in = ws->network->model->links[0].in;
    double *sum = scratch->tile;
    for (size_t j = 0; j < b->rows; j++) {
        memset(sum, 0, b->columns * sizeof *sum);
        for (size_t n = 0; n < ws->count; n++) {
            const float delta = delta_of(ws, n / LANES, 0)[(b->row + j) * LANES + n % LANES];
            const float *x = ws->x + n * in + b->column;
            if (delta != 0.0f)
                for (size_t i = 0; i < b->columns; i++)
                    sum[i] += (double)delta * (double)x[i];
        }
        for (size_t i = 0; i < b->columns; i++)
            scratch->contrast[j * b->columns + i] = (float)sum[i];
    }
}

/* Momentum and flips of a block. Returns the number of flips. */
static uint64_t turn(struct update *update, const struct block *b, const float *G) {
    const struct cpu_network *net = update->ws->network;
    const struct cpu_connection *c = &net->connection[update->k];
    const struct bnnep_rule rule = update->rule;
    const bool at_threshold = net->model->convolutional;
    const float sign_alpha = bnnep_sign(c->alpha[0]);
    uint64_t flips = 0;
    for (size_t j = 0; j < b->rows; j++) {
        float *momentum =
            update->learner->momentum[update->k] + (b->row + j) * net->model->links[update->k].columns + b->column;
        uint8_t *bits = c->bits + (b->row + j) * c->stride + b->column / 8;
        for (size_t i = 0; i < b->columns; i += 8) {
            const size_t width = b->columns - i < 8 ? b->columns - i : 8;
            const unsigned byte = bits[i / 8];
            unsigned turned = 0;
            for (size_t v = 0; v < width; v++) {
                const float m = bnnep_momentum(momentum[i + v], rule.decay, rule.gain, G[j * b->columns + i + v]);
                momentum[i + v] = m;
                const float sign = byte >> v & 1 ? sign_alpha : -sign_alpha;
                turned |= (unsigned)bnnep_flips(sign, m, rule.threshold, at_threshold) << v;
            }
            bits[i / 8] = (uint8_t)(byte ^ turned);
            for (; turned; turned &= turned - 1)
                flips++;
        }
    }
    return flips;
}

static void update_rows(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_link *link = &ws->network->model->links[update->k];
    const struct cpu_connection *c = &ws->network->connection[update->k];
    struct cpu_scratch *scratch = &ws->scratch[worker];
    struct block b = {.row = task * c->tile_rows};
    b.rows = link->rows - b.row < c->tile_rows ? link->rows - b.row : c->tile_rows;
    uint64_t flips = 0;
    for (; b.column < link->columns; b.column += c->tile_columns) {
        b.columns = link->columns - b.column < c->tile_columns ? link->columns - b.column : c->tile_columns;
        if (update->k == 0 && cpu_binary(ws->network->model))
            exact_contrast(update, &b, scratch);
        else
            dense_contrast(update, &b, scratch);
        flips += turn(update, &b, scratch->contrast);
    }
    atomic_fetch_add(&update->flips, flips);
    for (size_t j = b.row; j < b.row + b.rows; j++) {
        double sum = 0.0;
        for (size_t n = 0; n < ws->count; n++)
            sum += (double)delta_of(ws, n / LANES, update->k)[j * LANES + n % LANES];
        c->bias[j] += update->rule.bias_gain * (float)sum;
    }
}

bnnep_status cpu_learn(void *handle, void *workspace, const struct bnnep_rule *rules, bool learn_scale, uint64_t *flips,
                       char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    struct cpu_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    pool_run(ws->pool, ws->tiles, change_of_tile, ws);
    for (size_t k = 0; k < model->connections; k++) {
        struct update update = {.learner = learner, .ws = ws, .k = k, .rule = rules[k]};
        struct cpu_connection *c = &learner->network->connection[k];
        const double scale = learn_scale ? scale_contrast(&update) : 0.0;
        pool_run(ws->pool, (model->links[k].rows + c->tile_rows - 1) / c->tile_rows, update_rows, &update);
        flips[k] = atomic_load(&update.flips);
        if (learn_scale)
            c->alpha[0] += update.rule.scale_gain * (float)scale;
    }
    return BNNEP_OK;
}
