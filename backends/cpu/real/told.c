/* SPDX-License-Identifier: MIT */
/*
 * Relaxation by changes. Units tell their neighbours how their states changed, as sigma-delta neurons do (O'Connor and
 * Welling 2016), and the sums of what was told are kept from step to step:
 *     sum += B (told now - told before).
 * A change is told in digits of 9 bits and a sign, whose unit is a power of 2 that follows the largest change of the
 * sample's layer. What rounding leaves is told later, with the next change, so that it does not add up. Sums of digits
 * are integers, exact in any order; each step adds them to a float once.
 *
 * Without a tolerance, and in the first step of a phase, so many digits are told that less than 2^-23 is left of each
 * state, which is what float32 keeps of one. A state that moves by less is not told: the last bits do not flutter, and
 * a sample can come to rest. With a tolerance one digit is told a step, and 2^-10 of the largest change is left: that
 * vanishes as the sample comes to rest, but may decide between two places of a pooling window that nearly tie.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/real/real.h"

#define PACKED (LANES / 2)

/* Unpooled units of the layer above connection k. */
static size_t unpooled_of(const struct bnnep_link *link) {
    return bnnep_cpu_is_convolution(link) ? link->out * link->pool * link->pool : link->out;
}

size_t bnnep_real_unpooled(const struct bnnep_model *model, size_t *at) {
    size_t units = 0;
    for (size_t k = 0; k < model->connections; k++) {
        if (at)
            at[k] = units;
        units += k > 0 ? unpooled_of(&model->links[k]) : 0; /* the drive is constant */
    }
    return units;
}

size_t bnnep_real_products(const struct bnnep_model *model) {
    size_t products = 0;
    for (size_t k = 1; k < model->connections; k++) {
        const struct bnnep_link *link = &model->links[k];
        products += unpooled_of(link) * (bnnep_cpu_is_convolution(link) ? link->columns : link->in);
    }
    return products;
}

/* Multiply-adds a unit from which on it pays to tell changes, in fully connected networks and, whose places of all
 * pooling windows tell as well, in convolutional ones (docs/performance.md). */
#define WORTH_TELLING ((size_t)32)
#define WORTH_TELLING_MAPS ((size_t)2048)

bool bnnep_real_tells(const struct bnnep_model *model) {
    const size_t worth = model->convolutional ? WORTH_TELLING_MAPS : WORTH_TELLING;
    return model->grid.steps == 0.0f && bnnep_real_products(model) >= worth * bnnep_cpu_units(model);
}

uint64_t bnnep_real_told_bytes(const struct bnnep_model *model) {
    if (!bnnep_real_tells(model))
        return 0;
    const uint64_t units = bnnep_cpu_units(model), unpooled = bnnep_real_unpooled(model, NULL);
    const uint64_t maps = model->convolutional ? unpooled : 0;
    return ((2 * units + unpooled + maps) * LANES + MOST_DIGITS * (units + maps) * PACKED) * sizeof(float) +
           2 * model->connections * sizeof(struct real_telling);
}

bool bnnep_real_told_make(struct real_told *told, const struct bnnep_model *model) {
    if (!bnnep_real_tells(model))
        return true;
    const size_t units = bnnep_cpu_units(model), unpooled = bnnep_real_unpooled(model, NULL);
    const size_t maps = model->convolutional ? unpooled : 0;
    told->state = bnnep_cpu_alloc(units * LANES, sizeof(float));
    told->back = bnnep_cpu_alloc(units * LANES, sizeof(float));
    told->forward = bnnep_cpu_alloc(unpooled * LANES, sizeof(float));
    told->digits = bnnep_cpu_alloc(MOST_DIGITS * (units + maps) * PACKED, sizeof(int32_t));
    told->layer = calloc(2 * model->connections, sizeof *told->layer);
    if (model->convolutional)
        told->spread = bnnep_cpu_alloc(maps * LANES, sizeof(float));
    if (!told->state || !told->back || !told->forward || !told->digits || !told->layer ||
        (model->convolutional && !told->spread))
        return false;
    told->map = told->layer + model->connections;
    int32_t *digit = told->digits;
    for (size_t k = 0; k < model->connections; k++)
        for (size_t n = 0; n < MOST_DIGITS; n++) {
            const struct bnnep_link *link = &model->links[k];
            told->layer[k].digit[n] = digit;
            digit += link->out * PACKED;
            told->map[k].digit[n] = digit;
            digit += k > 0 && model->convolutional ? unpooled_of(link) * PACKED : 0;
        }
    return true;
}

void bnnep_real_told_free(struct real_told *told) {
    free(told->state);
    free(told->spread);
    free(told->forward);
    free(told->back);
    free(told->digits);
    free(told->layer);
}

/* --- nothing has been told yet -------------------------------------------------------------------------------------
 */

static void forget_lane(float *array, size_t units, size_t lane) {
    for (size_t v = lane; v < units * LANES; v += LANES)
        array[v] = 0.0f;
}

void bnnep_real_forget(const struct real_workspace *ws, struct real_told *told) {
    memset(told->state, 0, ws->units * LANES * sizeof *told->state);
    memset(told->back, 0, ws->units * LANES * sizeof *told->back);
    memset(told->forward, 0, ws->unpooled * LANES * sizeof *told->forward);
    if (told->spread)
        memset(told->spread, 0, ws->unpooled * LANES * sizeof *told->spread);
}

void bnnep_real_forget_lane(const struct real_workspace *ws, struct real_told *told, size_t lane) {
    forget_lane(told->state, ws->units, lane);
    forget_lane(told->back, ws->units, lane);
    forget_lane(told->forward, ws->unpooled, lane);
    if (told->spread)
        forget_lane(told->spread, ws->unpooled, lane);
}

/* --- telling -------------------------------------------------------------------------------------------------------
 */

/* Who tells: a layer, or the places of a convolution's windows. */
struct teller {
    const struct real_workspace *ws;
    size_t k;
    const float *state;
    const int32_t *place; /* NULL: the layer */
    struct real_scratch *scratch;
};

/* Some units of a teller. */
struct block {
    const float *x;
    size_t at, units;
};

static const struct bnnep_link *link_of(const struct teller *from) {
    return &from->ws->network->model->links[from->k];
}

static size_t channel_blocks(const struct bnnep_link *link) {
    return (link->rows + 63) / 64;
}

static size_t blocks_of(const struct teller *from) {
    const struct bnnep_link *link = link_of(from);
    return from->place ? link->out / link->rows * channel_blocks(link) : 1;
}

/* Block i; that of a map is made anew each time. */
static struct block block_of(const struct teller *from, size_t i) {
    const struct bnnep_link *link = link_of(from);
    if (!from->place)
        return (struct block){from->state, 0, link->out};
    const size_t across = channel_blocks(link), o = i % across * 64, unit = i / across * link->rows + o;
    const size_t some = link->rows - o < 64 ? link->rows - o : 64, places = link->pool * link->pool;
    from->ws->network->kernels->unpool(from->state + unit * LANES, from->place + unit * LANES, (int32_t)places,
                                       from->scratch->share + o, some, from->scratch->unpooled);
    return (struct block){from->scratch->unpooled, unit * places, some * places};
}

/* How much finer a digit is than the one before, which leaves half a step: 512 of these, of which 511 are told. */
#define FINER 0x1p-10f

/* The smallest power of 2 of which a change is at most MOST_DIGIT. */
static float step_for(float change) {
    int exponent;
    frexpf(change / MOST_DIGIT, &exponent);
    const float step = ldexpf(1.0f, exponent);
    return step > FINEST ? step : FINEST;
}

/* What digit n of each sample counts, given what is pending; false if there is nothing to tell. */
static bool choose_steps(const struct real_manner *manner, size_t n, const float *pending, float *step,
                         struct bnnep_digit_steps *steps) {
    bool any = false;
    for (size_t l = 0; l < LANES; l++) {
        const bool first = n == 0, done = !first && (!manner->fine[l] || step[l] <= FINEST);
        const bool tells = manner->moving[l] != 0.0f && pending[l] >= FINEST && !done;
        if (first)
            step[l] = tells ? step_for(pending[l]) : 0.0f;
        else if (tells)
            step[l] = step[l] * FINER > FINEST ? step[l] * FINER : FINEST;
        steps->step[l] = tells ? step[l] : 0.0f;
        steps->per_step[l] = tells ? 1.0f / step[l] : 0.0f;
        steps->least[l] = step[l] > FINEST ? 0.5f : 1.0f;
        any = any || tells;
    }
    return any;
}

static void tell(const struct teller *from, float *told, struct real_telling *telling,
                 const struct real_manner *manner) {
    const struct cpu_kernels *kernels = from->ws->network->kernels;
    float pending[LANES] = {0.0f}, step[LANES] = {0.0f}, *left = from->scratch->left;
    struct bnnep_digit_steps steps;
    for (size_t i = 0; i < blocks_of(from); i++) {
        const struct block b = block_of(from, i);
        kernels->largest_change(b.x, told + b.at * LANES, b.units, pending);
    }
    size_t n = 0;
    for (; n < MOST_DIGITS && choose_steps(manner, n, pending, step, &steps); n++) {
        memset(pending, 0, sizeof pending);
        for (size_t i = 0; i < blocks_of(from); i++) {
            const struct block b = block_of(from, i);
            kernels->tell(b.x, told + b.at * LANES, b.units, &steps, telling->digit[n] + b.at * PACKED, pending);
        }
        memcpy(telling->step[n], steps.step, sizeof steps.step);
    }
    telling->digits = n;
    for (size_t l = 0; l < LANES; l++)
        left[l] = pending[l] > left[l] ? pending[l] : left[l];
}

void bnnep_real_tell_layer(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                           const struct real_manner *manner, const struct real_scratch *to,
                           struct real_scratch *scratch) {
    const struct teller layer = {ws, k, bnnep_real_state(ws, slot, tile, k), NULL, scratch};
    tell(&layer, to->told.state + ws->offset[k] * LANES, &to->told.layer[k], manner);
}

void bnnep_real_tell_map(const struct real_workspace *ws, enum bnnep_slot slot, size_t tile, size_t k,
                         const struct real_manner *manner, const struct real_scratch *to,
                         struct real_scratch *scratch) {
    const struct cpu_connection *c = &ws->network->connection[k];
    const struct teller map = {ws, k, bnnep_real_state(ws, slot, tile, k), to->pooled + ws->offset[k] * LANES, scratch};
    const float scale = bnnep_real_told_scale(ws, k);
    for (size_t o = 0; o < c->rows; o++)
        scratch->share[o] = c->alpha[o] / scale;
    tell(&map, to->told.spread + ws->spread[k] * LANES, &to->told.map[k], manner);
}

/* --- listening -----------------------------------------------------------------------------------------------------
 */

static struct real_operand digits_of(const struct real_telling *telling, size_t n) {
    return (struct real_operand){NULL, telling->digit[n]};
}

/* Convolutions take up a row of windows at a time, as long as it is in the cache. */
static void listen_forward_map(const struct real_workspace *ws, size_t k, struct real_part part,
                               const struct real_scratch *to, struct real_scratch *scratch) {
    const struct cpu_network *net = ws->network;
    const struct bnnep_link *link = &net->model->links[k];
    const struct real_telling *telling = &to->told.layer[k - 1];
    const size_t row = bnnep_real_sums(link), at = ws->offset[k] * LANES;
    const size_t first = bnnep_real_first(part, link->to.height), beyond = bnnep_real_beyond(part, link->to.height);
    for (size_t y = first; y < beyond; y++) {
        float *kept = to->told.forward + ws->spread[k] * LANES + y * row;
        for (size_t n = 0; n < telling->digits; n++) {
            bnnep_real_sum_windows(net, k, y, digits_of(telling, n), scratch);
            net->kernels->take_digits((const int32_t *)(void *)scratch->sums, row / LANES, telling->step[n], kept);
        }
        bnnep_real_pool_windows(net, k, y, kept, to->forward + at, to->pooled + at);
    }
}

void bnnep_real_listen_forward(const struct real_workspace *ws, size_t k, struct real_part part,
                               const struct real_scratch *to, struct real_scratch *scratch) {
    const struct cpu_network *net = ws->network;
    if (bnnep_cpu_is_convolution(&net->model->links[k])) {
        listen_forward_map(ws, k, part, to, scratch);
        return;
    }
    const struct cpu_connection *c = &net->connection[k];
    const struct real_telling *telling = &to->told.layer[k - 1];
    const size_t first = bnnep_real_first(part, c->rows), some = bnnep_real_beyond(part, c->rows) - first;
    float *value = to->forward + ws->offset[k] * LANES, *part_of_it = value + first * LANES;
    float *kept = to->told.forward + (ws->spread[k] + first) * LANES;
    for (size_t n = 0; n < telling->digits; n++) {
        bnnep_real_up(net, k, part, digits_of(telling, n), value, scratch);
        net->kernels->take_digits((const int32_t *)(void *)part_of_it, some, telling->step[n], kept);
    }
    memcpy(part_of_it, kept, some * LANES * sizeof *kept);
    net->kernels->scale_rows(part_of_it, c->alpha[0], c->bias + first, some);
}

void bnnep_real_listen_back(const struct real_workspace *ws, size_t k, struct real_part part,
                            const struct real_scratch *to, struct real_scratch *scratch) {
    const struct cpu_network *net = ws->network;
    const struct bnnep_link *link = &net->model->links[k];
    const bool convolution = bnnep_cpu_is_convolution(link);
    const struct real_telling *telling = convolution ? &to->told.map[k] : &to->told.layer[k];
    /* a part of the channels of each pixel, or of the units */
    const size_t units = convolution ? link->from.channels : link->in, pixels = link->in / units;
    const size_t first = bnnep_real_first(part, units), some = bnnep_real_beyond(part, units) - first;
    float *sums = to->feedback + ws->offset[k - 1] * LANES, *kept = to->told.back + ws->offset[k - 1] * LANES;
    for (size_t n = 0; n < telling->digits; n++) {
        if (convolution)
            bnnep_real_convolve_back(net, k, part, digits_of(telling, n), NULL, sums, scratch);
        else
            bnnep_real_down(net, k, part, digits_of(telling, n), sums, scratch);
        for (size_t v = first; v < pixels * units; v += units)
            net->kernels->take_digits((const int32_t *)(void *)(sums + v * LANES), some, telling->step[n],
                                      kept + v * LANES);
    }
}

/* That of a convolution is a power of 2 which no alpha exceeds, so that what it tells is of the size of states. */
float bnnep_real_told_scale(const struct real_workspace *ws, size_t k) {
    const struct cpu_connection *c = &ws->network->connection[k];
    if (!bnnep_cpu_is_convolution(&ws->network->model->links[k]))
        return c->alpha[0];
    int exponent;
    frexpf(bnnep_largest(c->alpha, c->rows), &exponent);
    return ldexpf(1.0f, exponent);
}
