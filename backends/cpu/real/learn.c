/* SPDX-License-Identifier: MIT */
/*
 * Gradient, momentum, flips, biases and scaling factors of networks of real activations, in one pass over the momenta.
 *
 * The contrast is taken as the change of the activations from phase to phase, da = a^b - a^*:
 *     a_out^b a_in^b - a_out^* a_in^* = da_out a_in^b + a_out^* da_in
 * which is free of the cancellation of the left side and, since the input is clamped, one product for
 * connection 0. Back-propagation through time gives a list of such products, two for each step. The gradient of a
 * convolution is gathered from the places that the pooling took.
 */
#ifdef BNNEP_WITH_OPENBLAS
#include <cblas.h>
#endif
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/real/real.h"

/* A term of the gradient: the sum over the batch of above below^T, each an array [tile][units][LANES] of all layers.
 * below is NULL for the input. */
struct term {
    const float *above, *below;
    const int32_t *place; /* convolutions in back-propagation: the argmax that goes with it */
};

struct update {
    struct cpu_learner *learner;
    struct real_workspace *ws;
    size_t k; /* connection */
    struct bnnep_rule rule;
    struct term term; /* the one that is being added to a convolution's gradient */
    atomic_uint_fast64_t flips;
};

static const struct bnnep_link *link_of(const struct update *update) {
    return &update->ws->network->model->links[update->k];
}

static const struct cpu_connection *connection_of(const struct update *update) {
    return &update->ws->network->connection[update->k];
}

/* --- da ---------------------------------------------------------------------------------------------------- */

static void change_of_tile(void *arg, size_t tile, unsigned worker) {
    struct real_workspace *ws = arg;
    (void)worker;
    const float *free = bnnep_real_state(ws, BNNEP_SLOT_FREE, tile, 0),
                *nudged = bnnep_real_state(ws, BNNEP_SLOT_NUDGED, tile, 0);
    float *delta = ws->delta + tile * ws->units * LANES;
    for (size_t v = 0; v < ws->units * LANES; v++)
        delta[v] = nudged[v] - free[v];
    /* Lanes without a sample count for nothing, whatever states they hold. */
    for (size_t l = LANES; tile * LANES + l > ws->count; l--)
        for (size_t j = 0; j < ws->units; j++)
            delta[j * LANES + l - 1] = 0.0f;
}

/* --- scaling factors --------------------------------------------------------------------------------------- */

/* W_k a_k without bias (fully connected), or fwd_k(a_k) (convolution), of a tile after a phase. */
static const float *pull_of_tile(struct update *update, enum bnnep_slot slot, size_t tile,
                                 struct real_scratch *scratch) {
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const struct cpu_connection *c = connection_of(update);
    const float *below =
        update->k == 0 ? ws->input + tile * link->in * LANES : bnnep_real_state(ws, slot, tile, update->k - 1);
    float *value = scratch->forward;
    if (bnnep_cpu_is_convolution(link)) {
        bnnep_real_convolve(ws->network, update->k, WHOLE, below, value, scratch->pooled, scratch);
        return value;
    }
    bnnep_real_up(ws->network, update->k, WHOLE, bnnep_real_values(below), value, scratch);
    for (size_t v = 0; v < link->out * LANES; v++)
        value[v] *= c->alpha[0];
    return value;
}

/* a_{k+1} . W_k a_k of each sample of a tile and each scaling factor, in both phases. */
static void dots_of_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    for (int slot = 0; slot < BNNEP_SLOTS; slot++) {
        const float *value = pull_of_tile(update, (enum bnnep_slot)slot, tile, &ws->scratch[worker]);
        const float *above = bnnep_real_state(ws, (enum bnnep_slot)slot, tile, update->k);
        for (size_t i = 0; i < link->scales; i++) {
            double *dot = ws->dot[slot] + (i * ws->tiles + tile) * LANES;
            memset(dot, 0, LANES * sizeof *dot);
            for (size_t j = i; j < link->out; j += link->scales) /* [position][channel] */
                for (size_t l = 0; l < LANES; l++)
                    dot[l] += (double)above[j * LANES + l] * (double)value[j * LANES + l];
        }
    }
}

/* Leaves the change of each scaling factor in dot[0][i * tiles * LANES]. */
static void scale_contrast(struct update *update) {
    struct real_workspace *ws = update->ws;
    bnnep_pool_run(ws->pool, ws->tiles, dots_of_tile, update);
    for (size_t i = 0; i < link_of(update)->scales; i++) {
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
    const size_t pairs = update->k > 0 ? 2 : 1; /* nothing goes back to the input */
    return update->learner->tape.room > 0 ? pairs * (size_t)update->learner->tape.steps : pairs;
}

static struct term term_of(const struct update *update, size_t i) {
    const struct real_workspace *ws = update->ws;
    const struct real_tape *tape = &update->learner->tape;
    const bool hidden = update->k > 0;
    if (tape->room > 0) {
        const size_t t = hidden ? i / 2 : i;
        return hidden && i % 2 ? (struct term){tape->state[t], tape->delta[t], tape->place[t]}
                               : (struct term){tape->delta[t], hidden ? tape->state[t] : NULL, tape->place[t]};
    }
    return i == 0 ? (struct term){ws->delta, hidden ? ws->state[BNNEP_SLOT_NUDGED] : NULL, NULL}
                  : (struct term){ws->state[BNNEP_SLOT_FREE], ws->delta, NULL};
}

/* The layer below connection k in one of a term's arrays. */
static const float *below_of(const struct update *update, const struct term *term, size_t tile) {
    const struct real_workspace *ws = update->ws;
    if (!term->below)
        return ws->input + tile * ws->network->model->links[0].in * LANES;
    return term->below + bnnep_real_at(ws, tile, update->k - 1);
}

/* Gradient of the bias of row j, summed over the batch and the row's units: that of the states, or of the loss. */
static double bias_gradient(const struct update *update, size_t j) {
    const struct real_workspace *ws = update->ws;
    const struct real_tape *tape = &update->learner->tape;
    const struct bnnep_link *link = link_of(update);
    double sum = 0.0;
    for (int32_t t = 0; t < (tape->room > 0 ? tape->steps : 1); t++)
        for (size_t tile = 0; tile < ws->tiles; tile++) {
            const float *delta = (tape->room > 0 ? tape->delta[t] : ws->delta) + bnnep_real_at(ws, tile, update->k);
            for (size_t unit = j; unit < link->out; unit += link->rows)
                for (size_t l = 0; l < LANES; l++)
                    sum += (double)delta[unit * LANES + l];
        }
    return sum;
}

/* --- momenta and flips ----------------------------------------------------------------------------------------- */

/* Momentum and flips of `count` columns of a row, from column i of a part on; i is a multiple of 64. */
static uint64_t turn(struct update *update, size_t row, size_t part, size_t i, size_t count, const float *G) {
    const struct cpu_network *net = update->ws->network;
    const struct cpu_connection *c = connection_of(update);
    const float alpha = c->alpha[link_of(update)->scales == 1 ? 0 : row];
    const bool at_threshold = net->model->convolutional;
    float *momentum = update->learner->momentum[update->k] + row * c->columns + part * c->inner + i;
    uint64_t turned = 0;
    for (size_t done = 0; done < count; done += 64, i += 64) {
        const size_t some = count - done < 64 ? count - done : 64;
        uint64_t *word = bnnep_cpu_up_word(c, part, i) + row;
        uint64_t flips =
            bnnep_cpu_turn(net->kernels, momentum + done, G + done, some, &update->rule, at_threshold, alpha, *word);
        for (; flips; flips &= flips - 1, turned++)
            bnnep_cpu_flip(c, row, part * c->inner + i + (size_t)__builtin_ctzll(flips));
    }
    return turned;
}

/* --- fully connected -------------------------------------------------------------------------------------------- */

/* The samples of LEARN_TILES tiles from `tile` on, [unit][LANES] each: side by side in rows, [unit][LEARN_SAMPLES], or
 * one by one, [LEARN_SAMPLES][LEARN_COLUMNS]. */
static void side_by_side(const struct real_workspace *ws, const float *array, size_t units, size_t tile, size_t rows,
                         float *to) {
    for (size_t t = 0; t < LEARN_TILES && tile + t < ws->tiles; t++)
        for (size_t j = 0; j < rows; j++)
            memcpy(to + j * LEARN_SAMPLES + t * LANES, array + t * units * LANES + j * LANES, LANES * sizeof *to);
}

static void one_by_one(const struct real_workspace *ws, const float *array, size_t units, size_t tile, size_t columns,
                       float *to) {
    for (size_t t = 0; t < LEARN_TILES && tile + t < ws->tiles; t++)
        for (size_t l = 0; l < LANES; l++) {
            float *sample = to + (t * LANES + l) * LEARN_COLUMNS;
            for (size_t j = 0; j < columns; j++)
                sample[j] = array[(t * units + j) * LANES + l];
            for (size_t j = columns; j % 64 != 0; j++)
                sample[j] = 0.0f; /* not what another task left: it would count as work to do */
        }
}

/* Samples with work to do, of 64, from which on OpenBLAS's dense product is the faster one (docs/performance.md). Its
 * calls have at most 2^18 multiply-adds, which it does in the calling thread whatever its own thread count is set to
 * (interface/gemm.c): our threads never meet its thread pool, and its setting cannot change our bits. */
#define DENSE 46

/* contrast += above below if OpenBLAS is there and is the faster one for so much work. */
static bool dense_product(size_t work, size_t rows, size_t samples, const float *above, const float *below,
                          float *contrast) {
#ifdef BNNEP_WITH_OPENBLAS
    if (work < rows * DENSE)
        return false;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, 64, (int)samples, 1.0f, above, (int)LEARN_SAMPLES,
                below, (int)LEARN_COLUMNS, 1.0f, contrast, (int)LEARN_COLUMNS);
    return true;
#else
    (void)work, (void)rows, (void)samples, (void)above, (void)below, (void)contrast;
    return false;
#endif
}

/* Adds one term's samples from `tile` on. Rows at rest and inputs that are black take no work. */
static void add_samples(struct update *update, const struct term *term, size_t tile, size_t row, size_t rows,
                        size_t column, size_t columns, struct real_scratch *scratch) {
    const struct real_workspace *ws = update->ws;
    const struct cpu_kernels *kernels = ws->network->kernels;
    const struct bnnep_link *link = link_of(update);
    const size_t units_below = term->below ? ws->units : link->in;
    uint64_t moved[LEARN_ROWS];
    side_by_side(ws, term->above + bnnep_real_at(ws, tile, update->k) + row * LANES, ws->units, tile, rows,
                 scratch->above);
    one_by_one(ws, below_of(update, term, tile) + column * LANES, units_below, tile, columns, scratch->below);
    const size_t left = (ws->tiles - tile) * LANES, samples = left < LEARN_SAMPLES ? left : LEARN_SAMPLES;
    for (size_t j = 0; j < rows; j++)
        moved[j] = kernels->nonzero(scratch->above + j * LEARN_SAMPLES) & ~UINT64_C(0) >> (LEARN_SAMPLES - samples);
    for (size_t i = 0; i < columns; i += 64) {
        uint64_t lit = 0;
        for (size_t n = 0; n < samples; n++)
            lit |= (uint64_t)(kernels->nonzero(scratch->below + n * LEARN_COLUMNS + i) != 0) << n;
        size_t work = 0;
        for (size_t j = 0; j < rows; j++)
            work += (size_t)__builtin_popcountll(moved[j] & lit);
        if (dense_product(work, rows, samples, scratch->above, scratch->below + i, scratch->contrast + i))
            continue;
        for (size_t j = 0; j < rows; j++)
            if (moved[j] & lit)
                kernels->add_outer(scratch->above + j * LEARN_SAMPLES, moved[j] & lit, scratch->below + i,
                                   LEARN_COLUMNS, scratch->contrast + j * LEARN_COLUMNS + i);
    }
}

/* The gradient of a block of rows and columns, [rows][LEARN_COLUMNS]. */
static void block_gradient(struct update *update, size_t row, size_t rows, size_t column, size_t columns,
                           struct real_scratch *scratch) {
    memset(scratch->contrast, 0, rows * LEARN_COLUMNS * sizeof *scratch->contrast);
    for (size_t i = 0; i < term_count(update); i++) {
        const struct term term = term_of(update, i);
        for (size_t tile = 0; tile < update->ws->tiles; tile += LEARN_TILES)
            add_samples(update, &term, tile, row, rows, column, columns, scratch);
    }
}

static size_t blocks(size_t count, size_t block) {
    return (count + block - 1) / block;
}

/* A task is a block of LEARN_ROWS x LEARN_COLUMNS weights. */
static void update_block(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct cpu_connection *c = &update->learner->network->connection[update->k];
    struct real_scratch *scratch = &update->ws->scratch[worker];
    const size_t across = blocks(c->columns, LEARN_COLUMNS);
    const size_t row = task / across * LEARN_ROWS, column = task % across * LEARN_COLUMNS;
    const size_t rows = c->rows - row < LEARN_ROWS ? c->rows - row : LEARN_ROWS;
    const size_t columns = c->columns - column < LEARN_COLUMNS ? c->columns - column : LEARN_COLUMNS;
    uint64_t flips = 0;
    block_gradient(update, row, rows, column, columns, scratch);
    for (size_t j = 0; j < rows; j++)
        flips += turn(update, row + j, 0, column, columns, scratch->contrast + j * LEARN_COLUMNS);
    atomic_fetch_add(&update->flips, flips);
    for (size_t j = row; column == 0 && j < row + rows; j++)
        c->bias[j] += update->rule.bias_gain * (float)bias_gradient(update, j);
}

/* --- convolutions -------------------------------------------------------------------------------------------- */

/* Where the maps of a tile are, [MAPS][LANES][padded]. */
static float *maps_of(const struct update *update, size_t tile) {
    return update->ws->maps + tile * MAPS * LANES * bnnep_real_padded(link_of(update));
}

/* The maps that the gradient is gathered from: the layer below and, between two phases, its change. */
static void pad_tile(void *arg, size_t tile, unsigned worker) {
    struct update *update = arg;
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const size_t padded = bnnep_real_padded(link);
    (void)worker;
    for (size_t l = 0; l < LANES && tile * LANES + l < ws->count; l++) {
        bnnep_real_pad(link, below_of(update, &update->term, tile), l, maps_of(update, tile) + l * padded);
        if (update->term.place == NULL && update->k > 0)
            bnnep_real_pad(link, ws->delta + bnnep_real_at(ws, tile, update->k - 1), l,
                           maps_of(update, tile) + (LANES + l) * padded);
    }
}

static void add_view(struct real_views *views, float factor, size_t from) {
    views->factor[views->count] = factor;
    views->from[views->count] = (uint32_t)from;
    views->count += factor != 0.0f; /* units at rest take no work */
}

/* The term of a gradient. */
static void list_term(const struct update *update, size_t tile, size_t o, size_t l, struct real_views *views) {
    const struct bnnep_link *link = link_of(update);
    const size_t at = bnnep_real_at(update->ws, tile, update->k), map = l * bnnep_real_padded(link);
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const size_t v = at + (u * link->rows + o) * LANES + l;
        add_view(views, update->term.above[v], map + bnnep_real_view(link, u, update->term.place[v]));
    }
}

/* The contrast, with A the map below in the nudged phase and dA its change, as seen from the places of the phases:
 * a^b A^b(place^b) - a^* A^*(place^*) = a^b A^b(place^b) - a^* A^b(place^*) + a^* dA(place^*), in which the first two
 * are da A^b(place) where the places agree. */
static void list_contrast(const struct update *update, size_t tile, size_t o, size_t l, struct real_views *views) {
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const size_t at = bnnep_real_at(ws, tile, update->k), padded = bnnep_real_padded(link);
    for (size_t u = 0; u < link->to.height * link->to.width; u++) {
        const size_t v = at + (u * link->rows + o) * LANES + l;
        const float free = ws->state[BNNEP_SLOT_FREE][v], nudged = ws->state[BNNEP_SLOT_NUDGED][v];
        const int32_t place = ws->place[BNNEP_SLOT_FREE][v], moved_to = ws->place[BNNEP_SLOT_NUDGED][v];
        const size_t was = l * padded + bnnep_real_view(link, u, place);
        if (place == moved_to)
            add_view(views, ws->delta[v], was);
        else {
            add_view(views, nudged, l * padded + bnnep_real_view(link, u, moved_to));
            add_view(views, -free, was);
        }
        if (update->k > 0)
            add_view(views, free, LANES * padded + was);
    }
}

/* Adds the term, or the contrast, to the gradient of one output channel. */
static void gather_channel(void *arg, size_t o, unsigned worker) {
    struct update *update = arg;
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    struct real_views *views = &ws->scratch[worker].views;
    for (size_t tile = 0; tile < ws->tiles; tile++) {
        views->count = 0;
        for (size_t l = 0; l < LANES && tile * LANES + l < ws->count; l++)
            (update->term.place ? list_term : list_contrast)(update, tile, o, l, views);
        bnnep_real_gather(ws->network, update->k, views, maps_of(update, tile),
                          ws->gradient + o * link->kernel * bnnep_real_kernel_row(link));
    }
}

/* A task is LEARN_ROWS output channels. */
static void update_channels(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct cpu_connection *c = &update->learner->network->connection[update->k];
    const struct bnnep_link *link = link_of(update);
    (void)worker;
    uint64_t flips = 0;
    for (size_t o = task * LEARN_ROWS; o < c->rows && o < (task + 1) * LEARN_ROWS; o++) {
        const float *G = update->ws->gradient + o * link->kernel * bnnep_real_kernel_row(link);
        for (size_t part = 0; part < c->parts; part++)
            flips += turn(update, o, part, 0, c->inner,
                          G + part / link->kernel * bnnep_real_kernel_row(link) + part % link->kernel * c->inner);
        c->bias[o] += update->rule.bias_gain * (float)bias_gradient(update, o);
    }
    atomic_fetch_add(&update->flips, flips);
}

static void update_convolution(struct update *update) {
    struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    memset(ws->gradient, 0, link->rows * link->kernel * bnnep_real_kernel_row(link) * sizeof *ws->gradient);
    const size_t terms = update->learner->tape.room > 0 ? term_count(update) : 1;
    for (size_t i = 0; i < terms; i++) {
        update->term = term_of(update, i);
        bnnep_pool_run(ws->pool, ws->tiles, pad_tile, update);
        bnnep_pool_run(ws->pool, link->rows, gather_channel, update);
    }
    bnnep_pool_run(ws->pool, blocks(link->rows, LEARN_ROWS), update_channels, update);
}

bnnep_status bnnep_real_learn(void *handle, void *workspace, const struct bnnep_rule *rules, bool learn_scale,
                              uint64_t *flips, char *why) {
    (void)why;
    struct cpu_learner *learner = handle;
    struct real_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    if (learner->tape.room == 0)
        bnnep_pool_run(ws->pool, ws->tiles, change_of_tile, ws);
    for (size_t k = 0; k < model->connections; k++) {
        struct update update = {.learner = learner, .ws = ws, .k = k, .rule = rules[k]};
        struct cpu_connection *c = &learner->network->connection[k];
        if (learn_scale)
            scale_contrast(&update);
        if (bnnep_cpu_is_convolution(&model->links[k]))
            update_convolution(&update);
        else
            bnnep_pool_run(ws->pool, blocks(c->rows, LEARN_ROWS) * blocks(c->columns, LEARN_COLUMNS), update_block,
                           &update);
        flips[k] = atomic_load(&update.flips);
        for (size_t i = 0; learn_scale && i < model->links[k].scales; i++)
            c->alpha[i] += update.rule.scale_gain * (float)ws->dot[BNNEP_SLOT_FREE][i * ws->tiles * LANES];
    }
    return BNNEP_OK;
}
