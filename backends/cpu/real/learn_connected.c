/* SPDX-License-Identifier: MIT */
/*
 * The gradient and the update of a fully connected layer: sums of outer products, 64 samples, bits of a word, at a
 * time. Rows at rest and inputs that are zero take no work, but for what makes covariances of the products.
 */
#ifdef BNNEP_WITH_OPENBLAS
#include <cblas.h>
#endif
#include <string.h>

#include "backends/cpu/real/learn.h"

static size_t blocks(size_t count, size_t block) {
    return (count + block - 1) / block;
}

/* --- the layer below, sample by sample --------------------------------------------------------------------------- */

/* Samples of LEARN_TILES tiles, of 64 columns: where they are, and which are not zero. */
struct below {
    const float *x; /* [LEARN_SAMPLES], stride apart */
    size_t stride;
    uint64_t nonzero;
};

/* 64 columns, as far as there are so many, of the samples from a tile on. */
static uint64_t take_below(const struct real_update *update, const struct real_term *term, size_t tile, size_t column,
                           float *to, size_t stride) {
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    const size_t units = term->below ? ws->units : link->in, some = bnnep_real_least(64, link->columns - column);
    const float *from = bnnep_real_below(update, term, tile) + column * LANES;
    uint64_t nonzero = 0;
    for (size_t t = 0; t < LEARN_TILES && tile + t < ws->tiles; t++, from += units * LANES)
        for (size_t l = 0; l < LANES; l++, to += stride) {
            for (size_t j = 0; j < some; j++)
                to[j] = from[j * LANES + l];
            for (size_t j = some; j < 64; j++)
                to[j] = 0.0f;
            nonzero |= (uint64_t)(ws->network->kernels->momenta->nonzero(to) != 0) << (t * LANES + l);
        }
    return nonzero;
}

/* Where term i of two phases keeps a block of the layer below: the samples, and which are nonzero. */
static float *kept_below(const struct real_update *update, size_t i, size_t tile, size_t column) {
    const struct real_workspace *ws = update->ws;
    const size_t stride = bnnep_real_sample_stride(bnnep_real_link(update)->columns);
    return ws->contrast.below + (i * ws->tiles + tile) * LANES * stride + column;
}

static uint64_t *kept_nonzero(const struct real_update *update, size_t i, size_t tile, size_t column) {
    const size_t across = blocks(bnnep_real_link(update)->columns, 64);
    const size_t groups = blocks(update->ws->tiles, LEARN_TILES);
    return update->ws->contrast.nonzero + (i * groups + tile / LEARN_TILES) * across + column / 64;
}

/* The terms of two phases serve all rows: a task is a block of one. */
static void keep_block(void *arg, size_t task, unsigned worker) {
    const struct real_update *update = arg;
    const size_t columns = bnnep_real_link(update)->columns, across = blocks(columns, 64);
    const size_t groups = blocks(update->ws->tiles, LEARN_TILES), i = task / across / groups;
    const size_t tile = task / across % groups * LEARN_TILES, column = task % across * 64;
    const struct real_term term = bnnep_real_term(update, i);
    (void)worker;
    *kept_nonzero(update, i, tile, column) =
        take_below(update, &term, tile, column, kept_below(update, i, tile, column), bnnep_real_sample_stride(columns));
}

static bool is_kept(const struct real_update *update) {
    return update->optimizer->tape.room == 0;
}

static struct below below_of(const struct real_update *update, size_t i, const struct real_term *term, size_t tile,
                             size_t column, struct real_scratch *scratch) {
    if (is_kept(update))
        return (struct below){kept_below(update, i, tile, column),
                              bnnep_real_sample_stride(bnnep_real_link(update)->columns),
                              *kept_nonzero(update, i, tile, column)};
    const uint64_t nonzero = take_below(update, term, tile, column, scratch->gradient.below, 64);
    return (struct below){scratch->gradient.below, 64, nonzero};
}

/* --- the layer above, samples side by side ----------------------------------------------------------------------- */

/* [row][LEARN_SAMPLES] of the samples from a tile on; which of them count in each row. */
static void take_above(const struct real_update *update, const struct real_term *term, size_t tile, size_t row,
                       size_t rows, float *above, uint64_t *moved) {
    const struct real_workspace *ws = update->ws;
    const float *from = term->above + bnnep_real_at(ws, tile, update->k) + row * LANES;
    const size_t tiles = bnnep_real_least(LEARN_TILES, ws->tiles - tile);
    for (size_t j = 0; j < rows; j++) {
        for (size_t t = 0; t < tiles; t++)
            memcpy(above + j * LEARN_SAMPLES + t * LANES, from + (t * ws->units + j) * LANES, LANES * sizeof *above);
        moved[j] = ws->network->kernels->momenta->nonzero(above + j * LEARN_SAMPLES) &
                   ~UINT64_C(0) >> (LEARN_SAMPLES - tiles * LANES);
    }
}

/* --- products ----------------------------------------------------------------------------------------------------- */

/* Samples with work to do, of 64, from which on OpenBLAS's dense product is the faster one (docs/performance.md). Its
 * calls have at most 2^18 multiply-adds, which it does in the calling thread whatever its own thread count is set to
 * (interface/gemm.c): our threads never meet its thread pool, and its setting cannot change our bits. */
#define DENSE 46

/* G += above below if OpenBLAS is there and is the faster one for so much work. */
static bool dense_product(size_t work, size_t rows, size_t samples, const float *above, const struct below *below,
                          float *G) {
#ifdef BNNEP_WITH_OPENBLAS
    if (work < rows * DENSE)
        return false;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, 64, (int)samples, 1.0f, above, (int)LEARN_SAMPLES,
                below->x, (int)below->stride, 1.0f, G, (int)TASK_COLUMNS);
    return true;
#else
    (void)work, (void)rows, (void)samples, (void)above, (void)below, (void)G;
    return false;
#endif
}

/* G [rows][TASK_COLUMNS] of 64 columns += what some samples add. */
static void add_block(const struct cpu_kernels *kernels, const float *above, const uint64_t *moved, size_t rows,
                      size_t samples, const struct below *below, float *G) {
    size_t work = 0;
    for (size_t j = 0; j < rows; j++)
        work += (size_t)__builtin_popcountll(moved[j] & below->nonzero);
    if (work == 0 || dense_product(work, rows, samples, above, below, G))
        return;
    for (size_t j = 0; j < rows; j++)
        if (moved[j] & below->nonzero)
            kernels->momenta->add_outer(above + j * LEARN_SAMPLES, moved[j] & below->nonzero, below->x, below->stride,
                                        G + j * TASK_COLUMNS);
}

/* A block of weights. */
struct block {
    size_t row, rows, column, columns;
};

/* Asks for 64 momenta of each row, which are needed after the products. */
static void fetch_momenta(const struct real_update *update, const struct block *b, size_t column) {
    const size_t columns = bnnep_real_link(update)->columns;
    const float *momentum = update->optimizer->momentum[update->k] + b->row * columns + b->column + column;
    for (size_t j = 0; j < b->rows; j++, momentum += columns)
        for (size_t i = 0; i < bnnep_real_least(64, b->columns - column); i += 16)
            __builtin_prefetch(momentum + i, 1, 2);
}

/* The gradient, [rows][TASK_COLUMNS]. */
static void block_gradient(const struct real_update *update, const struct block *b, struct real_scratch *scratch) {
    const struct real_workspace *ws = update->ws;
    uint64_t moved[TASK_ROWS];
    memset(scratch->gradient.contrast, 0, b->rows * TASK_COLUMNS * sizeof *scratch->gradient.contrast);
    for (size_t i = 0; i < bnnep_real_term_count(update); i++) {
        const struct real_term term = bnnep_real_term(update, i);
        for (size_t tile = 0; tile < ws->tiles; tile += LEARN_TILES) {
            const size_t samples = bnnep_real_least(LEARN_TILES, ws->tiles - tile) * LANES;
            take_above(update, &term, tile, b->row, b->rows, scratch->gradient.above, moved);
            for (size_t column = 0; column < b->columns; column += 64) {
                const struct below below = below_of(update, i, &term, tile, b->column + column, scratch);
                if (i == 0 && tile == 0)
                    fetch_momenta(update, b, column);
                add_block(ws->network->kernels, scratch->gradient.above, moved, b->rows, samples, &below,
                          scratch->gradient.contrast + column);
            }
        }
    }
}

/* Contrasts of products, [rows][TASK_COLUMNS], become those of covariances. */
static void take_covariances(const struct real_update *update, const struct block *b, float *G) {
    const struct real_workspace *ws = update->ws;
    const struct real_contrast *c = &ws->contrast;
    const size_t rows = ws->offset[update->k] + b->row, below = update->k > 0 ? ws->offset[update->k - 1] : 0;
    const double *first = (update->k > 0 ? c->total[0] + below : c->input_total) + b->column;
    const double *second = (update->k > 0 ? c->total[1] + below : c->input_total) + b->column;
    for (size_t j = 0; j < b->rows; j++) {
        const double above[2] = {c->total[0][rows + j], c->total[1][rows + j]};
        if (first != second || above[0] != above[1]) /* else the sums' products are the same in both phases */
            ws->network->kernels->momenta->covariance(above, first, second, b->columns, 1.0 / (double)ws->count,
                                                      G + j * TASK_COLUMNS);
    }
}

/* A task is a block of TASK_ROWS x TASK_COLUMNS weights. */
static void update_block(void *arg, size_t task, unsigned worker) {
    struct real_update *update = arg;
    const struct cpu_connection *c = &update->ws->network->connection[update->k];
    struct real_scratch *scratch = &update->ws->scratch[worker];
    const size_t across = blocks(c->columns, TASK_COLUMNS);
    struct block b = {.row = task / across * TASK_ROWS, .column = task % across * TASK_COLUMNS};
    b.rows = bnnep_real_least(TASK_ROWS, c->rows - b.row);
    b.columns = bnnep_real_least(TASK_COLUMNS, c->columns - b.column);
    struct cpu_tally tally = {0};
    block_gradient(update, &b, scratch);
    if (update->covariance)
        take_covariances(update, &b, scratch->gradient.contrast);
    for (size_t j = 0; j < b.rows; j++) {
        const struct cpu_weights which = {b.row + j, 0, b.column, b.columns};
        bnnep_cpu_learn_weights(update->ws->network, update->learning, update->k, &which,
                                scratch->gradient.contrast + j * TASK_COLUMNS, update->optimizer->momentum[update->k],
                                &tally);
    }
    for (size_t j = b.row; b.column == 0 && j < b.row + b.rows; j++)
        bnnep_real_learn_bias(update, j, &tally);
    bnnep_cpu_tell(update->ws->network, update->learning, update->k, task, &tally);
}

void bnnep_real_update_connected(struct real_update *update) {
    const struct real_workspace *ws = update->ws;
    const struct bnnep_link *link = bnnep_real_link(update);
    if (is_kept(update))
        bnnep_pool_run(ws->pool, ws->threads,
                       bnnep_real_term_count(update) * blocks(ws->tiles, LEARN_TILES) * blocks(link->columns, 64),
                       keep_block, update);
    const size_t tasks = blocks(link->rows, TASK_ROWS) * blocks(link->columns, TASK_COLUMNS);
    bnnep_pool_run(ws->pool, ws->threads, tasks, update_block, update);
    bnnep_cpu_add_up(ws->network, update->learning, update->k, tasks);
}
