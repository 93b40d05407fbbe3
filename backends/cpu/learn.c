/* SPDX-License-Identifier: MIT */
/*
 * Gradient, momentum, flips, biases and scaling factors on the cpu backend, in one pass over the momenta.
 *
 * The contrast is taken as the change of the activations from phase to phase, da = a^b - a^*:
 *     a_out^b a_in^b - a_out^* a_in^* = da_out a_in^b + a_out^* da_in
 * which is free of the cancellation of the left side and, since the input is clamped, one product for
 * connection 0. Back-propagation through time gives a list of such products, two for each step. The gradient of a
 * convolution is gathered, in double, from the places that the pooling took.
 */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/rules.h"

/* A term of the gradient: the sum over the batch of weight * above below^T, each an array [tile][units][LANES] of all
 * layers. below is NULL for the input. `activate` says that they are states of a binary network. */
struct term {
    const float *above, *below;
    bool activate_above, activate_below;
    double weight;
    const uint16_t *place; /* convolutions: the argmax that goes with it */
};

struct update {
    struct cpu_learner *learner;
    struct cpu_workspace *ws;
    size_t k; /* connection */
    struct bnnep_rule rule;
    struct term term; /* the one that is being added to a convolution's gradient */
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
    const bool binary = bnnep_cpu_binary(model);
    const float theta = model->theta;
    const float *free = bnnep_cpu_state(ws, BNNEP_SLOT_FREE, tile, 0),
                *nudged = bnnep_cpu_state(ws, BNNEP_SLOT_NUDGED, tile, 0);
    float *delta = ws->delta + tile * ws->units * LANES;
    for (size_t v = 0; v < ws->units * LANES; v++)
        delta[v] = bnnep_activation(binary, theta, nudged[v]) - bnnep_activation(binary, theta, free[v]);
    /* Lanes without a sample count for nothing, whatever states they hold. */
    for (size_t l = LANES; tile * LANES + l > ws->count; l--)
        for (size_t j = 0; j < ws->units; j++)
            delta[j * LANES + l - 1] = 0.0f;
}

/* `units` states of a binary network from `state` on, as activations. */
static const float *activate(const struct bnnep_model *model, const float *state, size_t units, float *to) {
    const float theta = model->theta;
    for (size_t v = 0; v < units * LANES; v++)
        to[v] = bnnep_activation(true, theta, state[v]);
    return to;
}

/* --- scaling factors --------------------------------------------------------------------------------------- */

/* W_k a_k without bias (fully connected), or fwd_k(a_k) (convolution), of a tile after a phase. */
static const float *pull_of_tile(struct update *update, enum bnnep_slot slot, size_t tile,
                                 struct cpu_scratch *scratch) {
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const size_t k = update->k;
    const struct bnnep_link *link = &model->links[k];
    const struct cpu_connection *c = &ws->network->connection[k];
    const bool exact = k == 0 && bnnep_cpu_binary(model);
    const float *below =
        k == 0 ? ws->input + tile * link->in * LANES : bnnep_cpu_activations(ws, slot, tile, k - 1, scratch->active);
    float *value = scratch->forward;
    if (bnnep_cpu_is_convolution(link)) {
        bnnep_cpu_convolve(link, c, below, exact, value, scratch->pooled, scratch);
        return value;
    }
    if (exact)
        bnnep_cpu_product_exact(link, c, below, value, scratch->tile, scratch->sum);
    else
        bnnep_cpu_products(link, c, below, NULL, value, NULL, (float *)scratch->tile);
    for (size_t v = 0; v < link->out * LANES; v++)
        value[v] *= c->alpha[0];
    return value;
}

/* a_{k+1} . W_k a_k of each sample of a tile and each scaling factor, in both phases. */
static void dots_of_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_link *link = &ws->network->model->links[update->k];
    const size_t units = link->out / link->scales; /* that share a scaling factor */
    struct cpu_scratch *scratch = &ws->scratch[worker];
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        const float *value = pull_of_tile(update, (enum bnnep_slot)slot, tile, scratch);
        const float *above = bnnep_cpu_activations(ws, (enum bnnep_slot)slot, tile, update->k, scratch->active);
        for (size_t i = 0; i < link->scales; i++) {
            double *dot = ws->dot[slot] + (i * ws->tiles + tile) * LANES;
            memset(dot, 0, LANES * sizeof *dot);
            for (size_t v = i * units * LANES; v < (i + 1) * units * LANES; v++)
                dot[v % LANES] += (double)above[v] * (double)value[v];
        }
    }
}

/* Leaves the change of each scaling factor in dot[0][i * tiles * LANES]. */
static void scale_contrast(struct update *update) {
    struct cpu_workspace *ws = update->ws;
    bnnep_pool_run(ws->pool, ws->tiles, dots_of_tile, update);
    for (size_t i = 0; i < ws->network->model->links[update->k].scales; i++) {
        double *free = ws->dot[BNNEP_SLOT_FREE] + i * ws->tiles * LANES, contrast = 0.0;
        const double *nudged = ws->dot[BNNEP_SLOT_NUDGED] + i * ws->tiles * LANES;
        for (size_t n = 0; n < ws->count; n++)
            contrast += nudged[n] - free[n];
        free[0] = contrast;
    }
}

/* --- terms ------------------------------------------------------------------------------------------------- */

/* How many terms there are, and number i of them. */
static size_t term_count(const struct update *update) {
    const bool convolution = bnnep_cpu_is_convolution(&update->ws->network->model->links[update->k]);
    const size_t pairs = update->k > 0 ? 2 : 1; /* nothing goes back to the input */
    if (update->learner->tape.room > 0)
        return pairs * (size_t)update->learner->tape.steps;
    return convolution ? 2 : pairs;
}

static struct term term_of(const struct update *update, size_t i) {
    const struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct cpu_tape *tape = &update->learner->tape;
    const bool binary = bnnep_cpu_binary(model), hidden = update->k > 0;
    const float *free = ws->state[BNNEP_SLOT_FREE], *nudged = ws->state[BNNEP_SLOT_NUDGED];
    if (tape->room > 0) {
        const size_t t = hidden ? i / 2 : i;
        return hidden && i % 2
                   ? (struct term){tape->state[t], tape->delta[t], false, false, 1.0, tape->place[t]}
                   : (struct term){tape->delta[t], hidden ? tape->state[t] : NULL, false, false, 1.0, tape->place[t]};
    }
    if (bnnep_cpu_is_convolution(&model->links[update->k])) {
        const int slot = i == 0 ? BNNEP_SLOT_NUDGED : BNNEP_SLOT_FREE;
        return (struct term){
            ws->state[slot], hidden ? ws->state[slot] : NULL, binary, binary && hidden, i == 0 ? 1.0 : -1.0,
            ws->place[slot]};
    }
    return i == 0 ? (struct term){ws->delta, hidden ? nudged : NULL, false, binary && hidden, 1.0, NULL}
                  : (struct term){free, ws->delta, binary, false, 1.0, NULL};
}

/* The layer below connection k in one of a term's arrays. */
static const float *below_of(const struct update *update, const struct term *term, size_t tile) {
    const struct cpu_workspace *ws = update->ws;
    if (!term->below)
        return ws->input + tile * ws->network->model->links[0].in * LANES;
    return term->below + bnnep_cpu_at(ws, tile, update->k - 1);
}

/* Gradient of the bias of row j, summed over the batch and the row's units: that of the states, or of the loss. */
static double bias_gradient(const struct update *update, size_t j) {
    const struct cpu_workspace *ws = update->ws;
    const struct cpu_tape *tape = &update->learner->tape;
    const struct bnnep_link *link = &ws->network->model->links[update->k];
    const size_t units = link->out / link->rows;
    double sum = 0.0;
    for (int32_t t = 0; t < (tape->room > 0 ? tape->steps : 1); t++)
        for (size_t n = 0; n < ws->count; n++) {
            const float *delta = (tape->room > 0 ? tape->delta[t] : ws->delta) + bnnep_cpu_at(ws, n / LANES, update->k);
            for (size_t u = 0; u < units; u++)
                sum += (double)delta[(j * units + u) * LANES + n % LANES];
        }
    return sum;
}

/* --- signs -------------------------------------------------------------------------------------------------- */

/* The gradient of a block, [rows][columns] with stride b->columns, by dense products. */
static void dense_gradient(struct update *update, const struct block *b, struct cpu_scratch *scratch) {
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    float *G = scratch->contrast;
    memset(G, 0, b->rows * b->columns * sizeof *G);
    for (size_t i = 0; i < term_count(update); i++) {
        const struct term term = term_of(update, i);
        for (size_t tile = 0; tile < ws->tiles; tile++) {
            const float *above = term.above + bnnep_cpu_at(ws, tile, update->k) + b->row * LANES;
            const float *below = below_of(update, &term, tile) + b->column * LANES;
            if (term.activate_above)
                above = activate(model, above, b->rows, scratch->above);
            if (term.activate_below)
                below = activate(model, below, b->columns, scratch->below);
            bnnep_cpu_outer(b->rows, b->columns, above, below, G, b->columns);
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
            const float delta = ws->delta[bnnep_cpu_at(ws, n / LANES, 0) + (b->row + j) * LANES + n % LANES];
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
    const bool shared = net->model->links[update->k].scales == 1;
    uint64_t flips = 0;
    for (size_t j = 0; j < b->rows; j++) {
        const float sign_alpha = bnnep_sign(c->alpha[shared ? 0 : b->row + j]);
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

/* A block of rows of a fully connected layer. */
static void update_rows(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = &model->links[update->k];
    const struct cpu_connection *c = &ws->network->connection[update->k];
    struct cpu_scratch *scratch = &ws->scratch[worker];
    struct block b = {.row = task * c->tile_rows};
    b.rows = link->rows - b.row < c->tile_rows ? link->rows - b.row : c->tile_rows;
    uint64_t flips = 0;
    for (; b.column < link->columns; b.column += c->tile_columns) {
        b.columns = link->columns - b.column < c->tile_columns ? link->columns - b.column : c->tile_columns;
        if (update->k == 0 && bnnep_cpu_binary(model))
            exact_contrast(update, &b, scratch);
        else
            dense_gradient(update, &b, scratch);
        flips += turn(update, &b, scratch->contrast);
    }
    atomic_fetch_add(&update->flips, flips);
    for (size_t j = b.row; j < b.row + b.rows; j++)
        c->bias[j] += update->rule.bias_gain * (float)bias_gradient(update, j);
}

/* --- convolutions -------------------------------------------------------------------------------------------- */

/* The map below, of each sample of a tile. */
static void pad_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = &model->links[update->k];
    const float *below = below_of(update, &update->term, tile);
    (void)worker;
    for (size_t n = tile * LANES; n < ws->count && n < (tile + 1) * LANES; n++)
        bnnep_cpu_pad(link, below, n % LANES, update->term.activate_below, model->theta,
                      ws->maps + n * bnnep_cpu_padded(link));
}

/* One term, added to the gradient of one output channel. */
static void gather_channel(void *arg, size_t o, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = &model->links[update->k];
    const struct term *term = &update->term;
    (void)worker;
    for (size_t n = 0; n < ws->count; n++) {
        const size_t at = bnnep_cpu_at(ws, n / LANES, update->k);
        bnnep_cpu_gather(link, o, term->weight, term->above + at, term->place + at, n % LANES, term->activate_above,
                         model->theta, ws->maps + n * bnnep_cpu_padded(link), ws->gradient + o * link->columns);
    }
}

static void update_channel(void *arg, size_t o, unsigned worker) {
    struct update *update = arg;
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_link *link = &ws->network->model->links[update->k];
    struct cpu_scratch *scratch = &ws->scratch[worker];
    const size_t K2 = link->kernel * link->kernel, C = link->from.channels;
    const double *G = ws->gradient + o * link->columns;
    for (size_t i = 0; i < C; i++)
        for (size_t p = 0; p < K2; p++)
            scratch->contrast[i * K2 + p] = (float)G[p * C + i];
    const struct block b = {.row = o, .rows = 1, .columns = link->columns};
    atomic_fetch_add(&update->flips, turn(update, &b, scratch->contrast));
    ws->network->connection[update->k].bias[o] += update->rule.bias_gain * (float)bias_gradient(update, o);
}

static void update_convolution(struct update *update) {
    struct cpu_workspace *ws = update->ws;
    const struct bnnep_link *link = &ws->network->model->links[update->k];
    memset(ws->gradient, 0, link->rows * link->columns * sizeof *ws->gradient);
    for (size_t i = 0; i < term_count(update); i++) {
        update->term = term_of(update, i);
        bnnep_pool_run(ws->pool, ws->tiles, pad_tile, update);
        bnnep_pool_run(ws->pool, link->rows, gather_channel, update);
    }
    bnnep_pool_run(ws->pool, link->rows, update_channel, update);
}

bnnep_status bnnep_cpu_learn(void *handle, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                             uint64_t *flips, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    struct cpu_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    if (learner->tape.room == 0)
        bnnep_pool_run(ws->pool, ws->tiles, change_of_tile, ws);
    for (size_t k = 0; k < model->connections; k++) {
        struct update update = {.learner = learner, .ws = ws, .k = k, .rule = rules[k]};
        const struct bnnep_link *link = &model->links[k];
        struct cpu_connection *c = &learner->network->connection[k];
        if (learn_scale)
            scale_contrast(&update);
        if (bnnep_cpu_is_convolution(link))
            update_convolution(&update);
        else
            bnnep_pool_run(ws->pool, (link->rows + c->tile_rows - 1) / c->tile_rows, update_rows, &update);
        flips[k] = atomic_load(&update.flips);
        for (size_t i = 0; learn_scale && i < link->scales; i++)
            c->alpha[i] += update.rule.scale_gain * (float)ws->dot[BNNEP_SLOT_FREE][i * ws->tiles * LANES];
    }
    return BNNEP_OK;
}
