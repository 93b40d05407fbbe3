/* SPDX-License-Identifier: MIT */
/*
 * Convolutions with max-pooling on tiles of samples, maps [row][column][channel][LANES]. The tables of a pixel serve
 * all places of the kernel that see it and all channels: going up, an input pixel adds to the sums of up to K x K
 * positions; going down, a position of the unpooled map adds to up to K x K input pixels. Padding takes no work.
 */
#include <string.h>

#include "backends/cpu/real/real.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t bnnep_real_padded(const struct bnnep_link *link) {
    return (link->from.height + 2 * link->padding) * (link->from.width + 2 * link->padding) * link->from.channels;
}

size_t bnnep_real_sums(const struct bnnep_link *link) {
    return link->pool * link->to.width * link->pool * link->rows * LANES;
}

/* The kernel's places that see row (or column) `at` of a map of `size`, from positions first ... first+count-1. */
struct span {
    size_t first, last; /* last is beyond */
};

static struct span seen_from(const struct bnnep_link *link, size_t at, size_t first, size_t count) {
    /* place = at + padding - position, 0 <= place < kernel */
    const size_t shifted = at + link->padding;
    struct span span = {0, 0};
    if (shifted < first)
        return span;
    span.first = shifted + 1 > first + count ? shifted + 1 - first - count : 0;
    span.last = least(link->kernel, shifted - first + 1);
    if (span.first > span.last)
        span.first = span.last;
    return span;
}

void bnnep_real_sum_windows(const struct cpu_network *net, size_t k, size_t window_row, struct real_operand below,
                            struct real_scratch *scratch) {
    const struct bnnep_link *link = &net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const size_t C = link->from.channels, K = link->kernel, width = link->to.width * link->pool;
    const size_t top = window_row * link->pool;
    memset(scratch->sums, 0, bnnep_real_sums(link) * sizeof *scratch->sums);
    for (size_t y = 0; y < link->from.height; y++) {
        const struct span rows = seen_from(link, y, top, link->pool);
        for (size_t x = 0; x < link->from.width && rows.first < rows.last; x++) {
            const struct span columns = seen_from(link, x, 0, width);
            for (size_t i = 0; i < C; i += 64) {
                const size_t unit = (y * link->from.width + x) * C + i;
                const size_t groups = bnnep_real_tables(net, &below, unit, least(64, C - i), scratch);
                for (size_t row = rows.first; row < rows.last && groups > 0; row++)
                    for (size_t column = columns.first; column < columns.last; column++) {
                        const size_t position = (y + link->padding - row - top) * width + x + link->padding - column;
                        bnnep_real_add_signed(net, &below, bnnep_cpu_up_word(c, row * K + column, i), c->rows, groups,
                                              scratch, scratch->sums + position * c->rows * LANES);
                    }
            }
        }
    }
    bnnep_real_finish_sums(net, &below, scratch->sums, bnnep_real_sums(link));
}

/* The sums at place q of a window in the row that was summed last. */
static const float *sums_at(const struct bnnep_link *link, size_t window, size_t q, const float *sums) {
    const size_t width = link->to.width * link->pool;
    return sums + (q / link->pool * width + window * link->pool + q % link->pool) * link->rows * LANES;
}

void bnnep_real_pool_windows(const struct cpu_network *net, size_t k, size_t window_row, const float *sums,
                             float *value, int32_t *place) {
    const struct bnnep_link *link = &net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const size_t width = link->to.width * link->pool, pixel = link->rows * LANES;
    for (size_t u = window_row * link->to.width, x = 0; x < link->to.width; x++, u++)
        net->kernels->pool(sums_at(link, x, 0, sums), link->pool, pixel, width * pixel, link->rows, c->alpha, c->bias,
                           value + u * pixel, place + u * pixel);
}

void bnnep_real_convolve(const struct cpu_network *net, size_t k, struct real_part part, const float *below,
                         float *value, int32_t *place, struct real_scratch *scratch) {
    const struct bnnep_link *link = &net->model->links[k];
    const size_t first = bnnep_real_first(part, link->to.height), beyond = bnnep_real_beyond(part, link->to.height);
    for (size_t y = first; y < beyond; y++) {
        bnnep_real_sum_windows(net, k, y, bnnep_real_values(below), scratch);
        bnnep_real_pool_windows(net, k, y, scratch->sums, value, place);
    }
}

void bnnep_real_convolve_at(const struct cpu_network *net, size_t k, const float *below, const int32_t *place,
                            float *value, struct real_scratch *scratch) {
    const struct bnnep_link *link = &net->model->links[k];
    const float *alpha = net->connection[k].alpha;
    for (size_t u = 0, y = 0; y < link->to.height; y++) {
        bnnep_real_sum_windows(net, k, y, bnnep_real_values(below), scratch);
        for (size_t x = 0; x < link->to.width; x++, u++)
            for (size_t v = 0; v < link->rows * LANES; v++) {
                const size_t q = (size_t)place[u * link->rows * LANES + v];
                value[u * link->rows * LANES + v] = alpha[v / LANES] * sums_at(link, x, q, scratch->sums)[v];
            }
    }
}

/* Channels first ... first + some - 1 of the map below take what one position of the unpooled map sends down; its
 * tables hold output channels o ... */
struct receivers {
    size_t first, some;
};

static void scatter(const struct cpu_network *net, size_t k, size_t y, size_t x, size_t o,
                    const struct real_operand *in, size_t groups, struct receivers to, float *value,
                    const struct real_scratch *scratch) {
    const struct bnnep_link *link = &net->model->links[k];
    const struct cpu_connection *c = &net->connection[k];
    const size_t K = link->kernel, C = link->from.channels, P = link->padding, W = link->from.width;
    const uint64_t *words = bnnep_cpu_down_word(c, o) + to.first;
    for (size_t row = 0; row < K; row++)
        for (size_t column = 0; column < K; column++)
            if (y + row >= P && y + row - P < link->from.height && x + column >= P && x + column - P < W)
                bnnep_real_add_signed(net, in, words + (row * K + column) * C, to.some, groups, scratch,
                                      value + (((y + row - P) * W + x + column - P) * C + to.first) * LANES);
}

/* What the output channels multiply their activations with, before the sum. */
static const float *factors(const struct cpu_network *net, size_t k, struct real_scratch *scratch) {
    const struct cpu_connection *c = &net->connection[k];
    if (!bnnep_real_has_grid(net))
        return c->alpha;
    const float largest = bnnep_largest(c->alpha, c->rows);
    for (size_t o = 0; o < c->rows; o++)
        scratch->share[o] = bnnep_share(c->alpha[o], largest);
    return scratch->share;
}

/* What 64 channels of a window send down, unpooled: units [place][channel] of an operand, from `unit` on. */
static void scatter_window(const struct cpu_network *net, size_t k, size_t window, size_t o, size_t some,
                           const struct real_operand *in, size_t unit, struct receivers to, float *value,
                           struct real_scratch *scratch) {
    const struct bnnep_link *link = &net->model->links[k];
    const size_t F = link->pool, y = window / link->to.width * F, x = window % link->to.width * F;
    for (size_t q = 0; q < F * F; q++) {
        const size_t groups = bnnep_real_tables(net, in, unit + q * some, some, scratch);
        if (groups > 0)
            scatter(net, k, y + q / F, x + q % F, o, in, groups, to, value, scratch);
    }
}

void bnnep_real_convolve_back(const struct cpu_network *net, size_t k, struct real_part part, struct real_operand above,
                              const int32_t *place, float *value, struct real_scratch *scratch) {
    const struct bnnep_link *link = &net->model->links[k];
    const size_t places = link->pool * link->pool, rows = link->rows, C = link->from.channels, pixels = link->in / C;
    const struct real_operand unpooled = bnnep_real_values(scratch->unpooled);
    const float *factor = above.digits ? NULL : factors(net, k, scratch);
    const size_t first = bnnep_real_first(part, C);
    const struct receivers to = {first, bnnep_real_beyond(part, C) - first};
    if (to.some == 0)
        return;
    for (size_t pixel = 0; pixel < pixels; pixel++)
        memset(value + (pixel * C + first) * LANES, 0, to.some * LANES * sizeof *value);
    for (size_t window = 0; window < link->out / rows; window++)
        for (size_t o = 0; o < rows; o += 64) {
            const size_t some = least(64, rows - o), unit = window * rows + o;
            if (above.digits)
                scatter_window(net, k, window, o, some, &above, unit * places, to, value, scratch);
            else {
                net->kernels->unpool(above.x + unit * LANES, place + unit * LANES, (int32_t)places, factor + o, some,
                                     scratch->unpooled);
                scatter_window(net, k, window, o, some, &unpooled, 0, to, value, scratch);
            }
        }
    for (size_t pixel = 0; pixel < pixels; pixel++)
        bnnep_real_finish_sums(net, &above, value + (pixel * C + first) * LANES, to.some * LANES);
}

void bnnep_real_pad(const struct bnnep_link *link, const float *below, size_t lane, float *map) {
    const size_t H = link->from.height, W = link->from.width, C = link->from.channels, P = link->padding;
    memset(map, 0, bnnep_real_padded(link) * sizeof *map);
    for (size_t y = 0; y < H; y++)
        for (size_t v = 0; v < W * C; v++)
            map[((y + P) * (W + 2 * P) + P) * C + v] = below[(y * W * C + v) * LANES + lane];
}

size_t bnnep_real_kernel_row(const struct bnnep_link *link) {
    return (link->kernel * link->from.channels + 63) / 64 * 64;
}

size_t bnnep_real_view(const struct bnnep_link *link, size_t window, int32_t place) {
    const size_t F = link->pool, width = link->from.width + 2 * link->padding, q = (size_t)place;
    const size_t y = window / link->to.width * F + q / F, x = window % link->to.width * F + q % F;
    return (y * width + x) * link->from.channels;
}

void bnnep_real_gather(const struct cpu_network *net, size_t k, const struct real_views *views, const float *maps,
                       float *G) {
    const struct bnnep_link *link = &net->model->links[k];
    const size_t row = bnnep_real_kernel_row(link), width = link->from.width + 2 * link->padding;
    for (size_t y = 0; y < link->kernel; y++)
        for (size_t i = 0; i < row; i += 64)
            net->kernels->gather(views->factor, views->from, views->count, maps + y * width * link->from.channels + i,
                                 G + y * row + i);
}
