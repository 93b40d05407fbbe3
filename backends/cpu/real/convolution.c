/* SPDX-License-Identifier: MIT */
/*
 * Convolutions with max-pooling on tiles of samples, maps [row][column][channel][LANES]. The tables of a pixel serve
 * all places of the kernel that see it and all channels: going up, an input pixel adds to the sums of up to K x K
 * positions; going down, a position of the unpooled map adds to up to K x K input pixels. Padding takes no work.
 */
#include <string.h>

#include "backends/cpu/real/connection.h"

/* All sums are numbers of 4 bytes, which become floats when they are finished. */
#define ROW_BYTES (LANES * sizeof(float))

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The kernel's places that see row (or column) `at` of a map of `size`, from positions first ... first+count-1. */
struct span {
    size_t first, beyond;
};

static struct span seen_from(const struct bnnep_link *link, size_t at, size_t first, size_t count) {
    /* place = at + padding - position, 0 <= place < kernel */
    const size_t shifted = at + link->padding;
    struct span span = {0, 0};
    if (shifted < first)
        return span;
    span.first = shifted + 1 > first + count ? shifted + 1 - first - count : 0;
    span.beyond = least(link->kernel, shifted - first + 1);
    if (span.first > span.beyond)
        span.first = span.beyond;
    return span;
}

/* The unpooled sums of all channels for one row of pooling windows into windows.sums, [row in the
 * window][column][channel][LANES]. */
static void sum_windows(const struct cpu_network *net, size_t k, size_t window_row, const float *below,
                        struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const struct arithmetic *in = bnnep_real_sums_below(net, k);
    const size_t C = link->from.channels, K = link->kernel, width = link->to.width * link->pool;
    const size_t top = window_row * link->pool;
    char *sums = scratch->windows.sums;
    memset(sums, 0, bnnep_real_window_sums(link) * sizeof(float));
    for (size_t y = 0; y < link->from.height; y++) {
        const struct span rows = seen_from(link, y, top, link->pool);
        for (size_t x = 0; x < link->from.width && rows.first < rows.beyond; x++) {
            const struct span columns = seen_from(link, x, 0, width);
            for (size_t i = 0; i < C; i += 64) {
                const float *pixel = below + ((y * link->from.width + x) * C + i) * LANES;
                const size_t groups =
                    in->tables(pixel, least(64, C - i), scratch->bytes, net->model->grid.steps, scratch->tables);
                for (size_t row = rows.first; row < rows.beyond; row++)
                    for (size_t column = columns.first; column < columns.beyond; column++) {
                        const size_t position = (y + link->padding - row - top) * width + x + link->padding - column;
                        in->add(bnnep_cpu_up_word(c, row * K + column, i), c->rows, groups, scratch->bytes,
                                scratch->tables, sums + position * c->rows * ROW_BYTES);
                    }
            }
        }
    }
    in->finish(sums, bnnep_real_window_sums(link), net->model->grid.steps);
}

/* The sums at place q of a window in the row that was summed last. */
static const float *sums_at(const struct bnnep_link *link, size_t window, size_t q, const float *sums) {
    const size_t width = link->to.width * link->pool;
    return sums + (q / link->pool * width + window * link->pool + q % link->pool) * link->rows * LANES;
}

void bnnep_real_convolve(const struct cpu_network *net, size_t k, struct real_part part, const float *below,
                         float *value, int32_t *argmax, struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const size_t width = link->to.width * link->pool, pixel = link->rows * LANES;
    const size_t first = bnnep_real_first(part, link->to.height), beyond = bnnep_real_beyond(part, link->to.height);
    const struct pooling windows = {link->pool, pixel, width * pixel, c->alpha, c->bias};
    for (size_t y = first; y < beyond; y++) {
        sum_windows(net, k, y, below, scratch);
        for (size_t x = 0, u = y * link->to.width; x < link->to.width; x++, u++)
            net->kernels->states->pool(sums_at(link, x, 0, scratch->windows.sums), &windows, link->rows,
                                       value + u * pixel, argmax + u * pixel);
    }
}

void bnnep_real_convolve_at(const struct cpu_network *net, size_t k, const float *below, const int32_t *argmax,
                            float *value, struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    const float *alpha = net->connection[k].alpha;
    for (size_t u = 0, y = 0; y < link->to.height; y++) {
        sum_windows(net, k, y, below, scratch);
        for (size_t x = 0; x < link->to.width; x++, u++)
            for (size_t v = 0; v < link->rows * LANES; v++) {
                const size_t at = u * link->rows * LANES + v;
                value[at] = alpha[v / LANES] * sums_at(link, x, (size_t)argmax[at], scratch->windows.sums)[v];
            }
    }
}

/* Channels first ... first + some - 1 of the map below, which take what the unpooled map sends down. */
struct receivers {
    size_t first, some;
    char *sums; /* of all channels: numbers of the arithmetic, of 4 bytes */
};

/* Output channels from o on, whose tables there are, at a position of the unpooled map: adds to what its kernel sees.
 */
static void scatter(const struct cpu_network *net, size_t k, struct bnnep_position at, size_t o, size_t groups,
                    struct receivers to, const struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const size_t K = link->kernel, C = link->from.channels, P = link->padding, W = link->from.width;
    const uint64_t *words = bnnep_cpu_down_word(c, o) + to.first;
    for (size_t row = 0; row < K; row++)
        for (size_t column = 0; column < K; column++)
            if (at.y + row >= P && at.y + row - P < link->from.height && at.x + column >= P && at.x + column - P < W)
                bnnep_real_sums_above(net, k)->add(
                    words + (row * K + column) * C, to.some, groups, scratch->bytes, scratch->tables,
                    to.sums + (((at.y + row - P) * W + at.x + column - P) * C + to.first) * ROW_BYTES);
}

/* What the output channels multiply their activations with, before the sum. */
static const float *factors(const struct cpu_network *net, size_t k, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    if (net->model->grid.steps == 0.0f)
        return c->alpha;
    const float largest = bnnep_largest(c->alpha, c->rows);
    for (size_t o = 0; o < c->rows; o++)
        scratch->windows.share[o] = bnnep_share(c->alpha[o], largest);
    return scratch->windows.share;
}

/* What `some` channels of window u from channel o on send down: unpooled, [place][channel][LANES]. */
static void scatter_window(const struct cpu_network *net, size_t k, size_t u, size_t o, size_t some,
                           struct receivers to, struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    const float steps = net->model->grid.steps, *unpooled = scratch->windows.unpooled;
    for (size_t q = 0; q < link->pool * link->pool; q++, unpooled += some * LANES) {
        const size_t groups =
            bnnep_real_sums_above(net, k)->tables(unpooled, some, scratch->bytes, steps, scratch->tables);
        scatter(net, k, bnnep_place_of(u, q, link->to.width, link->pool), o, groups, to, scratch);
    }
}

void bnnep_real_convolve_back(const struct cpu_network *net, size_t k, struct real_part part, const float *above,
                              const int32_t *argmax, float *value, struct real_scratch *scratch) {
    const struct bnnep_link *link = net->model->links[k];
    const int32_t places = (int32_t)(link->pool * link->pool);
    const size_t rows = link->rows, C = link->from.channels, pixels = link->in / C;
    const float *factor = factors(net, k, scratch);
    const size_t first = bnnep_real_first(part, C);
    const struct receivers to = {first, bnnep_real_beyond(part, C) - first, (char *)value};
    if (to.some == 0)
        return;
    for (size_t pixel = 0; pixel < pixels; pixel++)
        memset(value + (pixel * C + first) * LANES, 0, to.some * LANES * sizeof *value);
    for (size_t u = 0; u < link->out / rows; u++)
        for (size_t o = 0; o < rows; o += 64) {
            const size_t some = least(64, rows - o), unit = u * rows + o;
            net->kernels->states->unpool(above + unit * LANES, argmax + unit * LANES, places, factor + o, some,
                                         scratch->windows.unpooled);
            scatter_window(net, k, u, o, some, to, scratch);
        }
    for (size_t pixel = 0; pixel < pixels; pixel++)
        bnnep_real_sums_above(net, k)->finish(value + (pixel * C + first) * LANES, to.some * LANES,
                                              net->model->grid.steps);
}
