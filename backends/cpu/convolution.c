/* SPDX-License-Identifier: MIT */
/*
 * Convolutions with max-pooling on tiles of samples. Going up, each place of a pooling window is one product of the
 * sign matrix with a patch of LANES samples. Going down, only the pooled positions send anything: a sample's feedback
 * is gathered in a map with channels innermost, [row][column][channel] with its padding, where the footprint of a
 * kernel row is contiguous.
 */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/rules.h"

/* Elements of the padded map below a convolution. */
size_t bnnep_cpu_padded(const struct bnnep_link *link) {
    return (link->from.height + 2 * link->padding) * (link->from.width + 2 * link->padding) * link->from.channels;
}

/* Row and column in the convolution's output of place q of window u. */
static void position_of(const struct bnnep_link *link, size_t u, size_t q, size_t *y, size_t *x) {
    *y = u / link->to.width * link->pool + q / link->pool;
    *x = u % link->to.width * link->pool + q % link->pool;
}

/* What the kernel sees from (y, x): map [channel][row][column][LANES] -> patch [columns][LANES]. */
static void take_patch(const struct bnnep_link *link, const float *map, size_t y, size_t x, float *patch) {
    const size_t K = link->kernel, P = link->padding, H = link->from.height, W = link->from.width;
    /* kernel columns first ... last-1 lie in the map */
    size_t first = x < P ? P - x : 0, last = W + P > x ? W + P - x : 0;
    first = first < K ? first : K;
    last = last < K ? last : K;
    last = last > first ? last : first;
    for (size_t c = 0; c < link->from.channels; c++)
        for (size_t row = 0; row < K; row++, patch += K * LANES) {
            if (y + row < P || y + row - P >= H || first == last) {
                memset(patch, 0, K * LANES * sizeof *patch);
                continue;
            }
            const float *from = map + ((c * H + y + row - P) * W + x + first - P) * LANES;
            memset(patch, 0, first * LANES * sizeof *patch);
            memcpy(patch + first * LANES, from, (last - first) * LANES * sizeof *patch);
            memset(patch + last * LANES, 0, (K - last) * LANES * sizeof *patch);
        }
}

/* The values of one place q of window u, from the sums of all channels: kept where they are the largest so far. */
static void keep_largest(const struct bnnep_link *link, const struct cpu_connection *c, size_t u, size_t q,
                         const float *sums, float *value, uint16_t *place) {
    const size_t units = link->to.height * link->to.width;
    for (size_t o = 0; o < link->rows; o++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = (o * units + u) * LANES + l;
            const float here = bnnep_forward(c->alpha[o], sums[o * LANES + l], c->bias[o]);
            const bool better = q == 0 || here > value[v]; /* the first maximum */
            value[v] = better ? here : value[v];
            place[v] = better ? (uint16_t)q : place[v];
        }
}

/* The same, without bias, kept where the place is the given one. */
static void keep_place(const struct bnnep_link *link, const struct cpu_connection *c, size_t u, size_t q,
                       const float *sums, float *value, const uint16_t *place) {
    const size_t units = link->to.height * link->to.width;
    for (size_t o = 0; o < link->rows; o++)
        for (size_t l = 0; l < LANES; l++) {
            const size_t v = (o * units + u) * LANES + l;
            if (place[v] == q)
                value[v] = c->alpha[o] * sums[o * LANES + l];
        }
}

void bnnep_cpu_convolve(const struct bnnep_link *link, const struct cpu_connection *c, const float *below, bool exact,
                        float *value, uint16_t *place, struct cpu_scratch *scratch) {
    for (size_t u = 0; u < link->to.height * link->to.width; u++)
        for (size_t q = 0; q < link->pool * link->pool; q++) {
            size_t y, x;
            position_of(link, u, q, &y, &x);
            take_patch(link, below, y, x, scratch->patch);
            if (exact)
                bnnep_cpu_product_exact(link, c, scratch->patch, scratch->channel, scratch->tile, scratch->sum);
            else
                bnnep_cpu_products(link, c, scratch->patch, NULL, scratch->channel, NULL, (float *)scratch->tile);
            keep_largest(link, c, u, q, scratch->channel, value, place);
        }
}

void bnnep_cpu_convolve_at(const struct bnnep_link *link, const struct cpu_connection *c, const float *below,
                           const uint16_t *place, float *value, struct cpu_scratch *scratch) {
    for (size_t u = 0; u < link->to.height * link->to.width; u++)
        for (size_t q = 0; q < link->pool * link->pool; q++) {
            size_t y, x;
            position_of(link, u, q, &y, &x);
            take_patch(link, below, y, x, scratch->patch);
            bnnep_cpu_products(link, c, scratch->patch, NULL, scratch->channel, NULL, (float *)scratch->tile);
            keep_place(link, c, u, q, scratch->channel, value, place);
        }
}

/* Signs of output channel o with input channels innermost: [row][column][channel]. */
static void unpack_channel(const struct bnnep_link *link, const struct cpu_connection *c, size_t o, double *signs) {
    const size_t K2 = link->kernel * link->kernel, C = link->from.channels;
    const uint8_t *bits = c->bits + o * c->stride;
    for (size_t i = 0; i < C; i++)
        for (size_t p = 0; p < K2; p++) {
            const size_t column = i * K2 + p;
            signs[p * C + i] = bits[column / 8] >> (column % 8) & 1 ? 1.0 : -1.0;
        }
}

/* to [n] += factor * from [n] */
static void add_scaled(double *restrict to, const double *restrict from, double factor, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] += factor * from[i];
}

/* The feedback of one lane, into the padded map. */
static void scatter(const struct bnnep_link *link, const struct cpu_connection *c, const float *above,
                    const uint16_t *place, double *map, double *signs) {
    const size_t units = link->to.height * link->to.width, C = link->from.channels, K = link->kernel;
    const size_t width = link->from.width + 2 * link->padding;
    for (size_t o = 0; o < link->rows; o++) {
        unpack_channel(link, c, o, signs);
        for (size_t u = 0; u < units; u++) {
            const float a = above[(o * units + u) * LANES];
            if (a == 0.0f)
                continue;
            size_t y, x;
            position_of(link, u, place[(o * units + u) * LANES], &y, &x);
            for (size_t row = 0; row < K; row++)
                add_scaled(map + ((y + row) * width + x) * C, signs + row * K * C, (double)c->alpha[o] * (double)a,
                           K * C);
        }
    }
}

void bnnep_cpu_feed_back(const struct bnnep_link *link, const struct cpu_connection *c, const float *above,
                         const uint16_t *place, const float *moving, float *value, struct cpu_scratch *scratch) {
    const size_t H = link->from.height, W = link->from.width, C = link->from.channels, P = link->padding;
    double *map = scratch->map;
    for (size_t l = 0; l < LANES; l++) {
        if (moving && moving[l] == 0.0f)
            continue;
        memset(map, 0, bnnep_cpu_padded(link) * sizeof *map);
        scatter(link, c, above + l, place + l, map, scratch->signs);
        for (size_t i = 0; i < C; i++)
            for (size_t y = 0; y < H; y++)
                for (size_t x = 0; x < W; x++)
                    value[((i * H + y) * W + x) * LANES + l] = (float)map[((y + P) * (W + 2 * P) + x + P) * C + i];
    }
}

void bnnep_cpu_pad(const struct bnnep_link *link, const float *below, size_t lane, bool binary, float theta,
                   double *map) {
    const size_t H = link->from.height, W = link->from.width, C = link->from.channels, P = link->padding;
    memset(map, 0, bnnep_cpu_padded(link) * sizeof *map);
    for (size_t i = 0; i < C; i++)
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++)
                map[((y + P) * (W + 2 * P) + x + P) * C + i] =
                    (double)bnnep_activation(binary, theta, below[((i * H + y) * W + x) * LANES + lane]);
}

void bnnep_cpu_gather(const struct bnnep_link *link, size_t o, double weight, const float *above, const uint16_t *place,
                      size_t lane, bool binary, float theta, const double *map, double *G) {
    const size_t units = link->to.height * link->to.width, C = link->from.channels, K = link->kernel;
    const size_t width = link->from.width + 2 * link->padding;
    for (size_t u = 0; u < units; u++) {
        const size_t v = (o * units + u) * LANES + lane;
        const float a = bnnep_activation(binary, theta, above[v]);
        if (a == 0.0f)
            continue;
        size_t y, x;
        position_of(link, u, place[v], &y, &x);
        for (size_t row = 0; row < K; row++)
            add_scaled(G + row * K * C, map + ((y + row) * width + x) * C, weight * (double)a, K * C);
    }
}
