/* SPDX-License-Identifier: MIT */
/* Descriptions of networks: what they may be, and the shapes of their connections. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/internal.h"

#define MOST_CONNECTIONS 1024
#define MOST_BATCH 65536
#define MOST_STEPS 1000000000
#define MOST_UNITS (INT32_MAX / 2)
#define MOST_EDGE 255
#define LEAST_BITS 8 /* of a grid */
#define MOST_BITS 20
#define WEAK_FEEDBACK 0.1f
#if SIZE_MAX > 0xffffffff
#define MOST_WEIGHTS (UINT64_C(1) << 40)
#else
#define MOST_WEIGHTS (UINT64_C(1) << 28)
#endif

/* --- description --------------------------------------------------------------------------------------------- */

static bnnep_status check_numbers(const bnnep_network_options *o) {
    if (o->dynamics != BNNEP_DYNAMICS_REAL && o->dynamics != BNNEP_DYNAMICS_BINARY)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "dynamics is %d; known are 0 (real activations) and 1 (binary)",
                          o->dynamics);
    if (o->schedule < BNNEP_SCHEDULE_SYNCHRONOUS || o->schedule > BNNEP_SCHEDULE_OVER_RELAXED)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "schedule is %d; known are 0 (synchronous), 1 (alternating) and 2 (over-relaxed)",
                          o->schedule);
    if (o->schedule == BNNEP_SCHEDULE_OVER_RELAXED && o->dynamics == BNNEP_DYNAMICS_BINARY)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "schedule is 2 (over-relaxed), which needs full-precision activations");
    if (o->start != BNNEP_START_PAPER && o->start != BNNEP_START_BALANCED)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "start is %d; known are 0 (the paper's) and 1 (balanced)", o->start);
    if (!(o->feedback >= 0.0f && o->feedback <= 1.0f))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "feedback is %g; it must be above 0 and at most 1",
                          (double)o->feedback);
    if (o->feedback != 0.0f && o->feedback != 1.0f && o->dynamics == BNNEP_DYNAMICS_BINARY)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "feedback is %g, which needs full-precision activations",
                          (double)o->feedback);
    if (o->input_channels < 1 || o->input_height < 1 || o->input_width < 1 ||
        (double)o->input_channels * o->input_height * o->input_width > MOST_UNITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the input is %d x %d x %d; each must be at least 1, all at most %d values",
                          o->input_channels, o->input_height, o->input_width, MOST_UNITS);
    if (o->classes < 2)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "classes is %d; it must be at least 2", o->classes);
    if (o->expand_output < 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "expand_output is %d; it must be at least 1", o->expand_output);
    if (!((float)o->theta > 0.0f && (float)o->theta <= 1.0f))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "theta is %g; it must be above 0 and at most 1", o->theta);
    if (!((float)o->gamma_neur > 0.0f && (float)o->gamma_neur <= 1.0f))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "gamma_neur is %g; it must be above 0 and at most 1", o->gamma_neur);
    return BNNEP_OK;
}

bnnep_status bnnep_check_relaxation(int32_t free_steps, double settle_tolerance) {
    if (free_steps < 1 || free_steps > MOST_STEPS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "free_steps is %d; it must be from 1 to %d", free_steps, MOST_STEPS);
    if (!isfinite((float)settle_tolerance))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "settle_tolerance is %g; it must be a finite number", settle_tolerance);
    return BNNEP_OK;
}

/* Reads connection k of the caller's array, whose elements may have an older or newer layout. */
static bnnep_status read_connection(const bnnep_network_options *o, size_t k, bnnep_connection *c) {
    const size_t stride = o->connections[0].size;
    *c = (bnnep_connection)BNNEP_FC(0);
    const void *theirs = (const char *)o->connections + k * stride;
    size_t size;
    memcpy(&size, theirs, sizeof size);
    if (size != stride) /* before so many bytes of it are read */
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: its size is not that of connection 0", k);
    const bnnep_status status = bnnep_take_options(c, sizeof *c, theirs, "bnnep_connection");
    if (status != BNNEP_OK)
        return status;
    if (c->reserved != 0)
        return bnnep_check_reserved(c->reserved, "bnnep_connection");
    if (c->kind != BNNEP_CONNECTION_FULL && c->kind != BNNEP_CONNECTION_CONVOLUTION)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "connection %zu: kind is %d; known are 0 (fully connected) and 1 (convolution)", k, c->kind);
    if (c->from != 0 || c->to != 0)
        return bnnep_fail(
            BNNEP_ERROR_UNSUPPORTED,
            "connection %zu: from is %d and to is %d; this library knows chains alone, in which both are 0", k, c->from,
            c->to);
    if (c->outputs < 1 || c->outputs > MOST_UNITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: outputs is %d; it must be from 1 to %d", k, c->outputs,
                          MOST_UNITS);
    if (c->kind == BNNEP_CONNECTION_FULL && (c->kernel || c->padding || c->pool))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: kernel, padding and pool belong to convolutions", k);
    if (c->kind == BNNEP_CONNECTION_CONVOLUTION && c->pool == 0)
        c->pool = 1;
    return BNNEP_OK;
}

/* The map that a convolution with pooling makes of `from`. */
static bnnep_status pool_map(const bnnep_connection *c, size_t k, const struct bnnep_map *from, struct bnnep_map *to) {
    if (c->kernel < 1 || c->kernel > MOST_EDGE)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: kernel is %d; it must be from 1 to %d", k, c->kernel,
                          MOST_EDGE);
    if (c->padding < 0 || c->padding > MOST_EDGE)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: padding is %d; it must be from 0 to %d", k, c->padding,
                          MOST_EDGE);
    if (c->pool < 1 || c->pool > MOST_EDGE)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: pool is %d; it must be from 1 to %d", k, c->pool,
                          MOST_EDGE);
    const size_t kernel = (size_t)c->kernel, pool = (size_t)c->pool;
    const size_t height = from->height + 2 * (size_t)c->padding, width = from->width + 2 * (size_t)c->padding;
    if (kernel > height || kernel > width)
        return bnnep_fail(
            BNNEP_ERROR_ARGUMENT,
            "connection %zu: the kernel of %zu x %zu is larger than the map of %zu x %zu with its padding", k, kernel,
            kernel, height, width);
    if (pool > height - kernel + 1 || pool > width - kernel + 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "connection %zu: the pooling window of %zu x %zu is larger than the convolution's %zu x %zu",
                          k, pool, pool, height - kernel + 1, width - kernel + 1);
    *to = (struct bnnep_map){(size_t)c->outputs, (height - kernel + 1) / pool, (width - kernel + 1) / pool};
    return BNNEP_OK;
}

/* Weights can be more than size_t holds. */
static bnnep_status check_weights(size_t k, size_t rows, uint64_t columns) {
    if (columns > MOST_WEIGHTS / rows)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: %zu x %llu weights are more than %llu", k, rows,
                          (unsigned long long)columns, (unsigned long long)MOST_WEIGHTS);
    return BNNEP_OK;
}

static bnnep_status join_connected(const bnnep_connection *c, size_t k, const struct bnnep_map *map,
                                   struct bnnep_map *to, struct bnnep_link *link) {
    const size_t below = map->channels * map->height * map->width, rows = (size_t)c->outputs;
    *link = (struct bnnep_link){
        .size = sizeof *link, .kind = c->kind, .rows = rows, .columns = below, .in = below, .out = rows, .scales = 1};
    *to = (struct bnnep_map){rows, 1, 1};
    return check_weights(k, rows, below);
}

static bnnep_status join_convolution(const bnnep_connection *c, size_t k, const struct bnnep_map *map,
                                     struct bnnep_map *to, struct bnnep_link *link) {
    const size_t rows = (size_t)c->outputs, kernel = (size_t)c->kernel;
    if (k > 0 && link[-1].kind != BNNEP_CONNECTION_CONVOLUTION)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: a convolution cannot follow a fully connected layer",
                          k);
    const bnnep_status status = pool_map(c, k, map, to);
    if (status != BNNEP_OK)
        return status;
    if ((double)to->channels * (double)to->height * (double)to->width > MOST_UNITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: leads to more than %d units", k, MOST_UNITS);
    *link = (struct bnnep_link){
        .size = sizeof *link,
        .kind = c->kind,
        .rows = rows,
        .columns = map->channels * kernel * kernel,
        .in = map->channels * map->height * map->width,
        .out = to->channels * to->height * to->width,
        .scales = rows,
        .from = *map,
        .to = *to,
        .kernel = kernel,
        .padding = (size_t)c->padding,
        .pool = (size_t)c->pool,
    };
    return check_weights(k, rows, (uint64_t)map->channels * kernel * kernel);
}

/* Joins connection k to the layer of shape *map below it, and sets *map to the layer it leads to. */
static bnnep_status join(const bnnep_network_options *o, size_t k, struct bnnep_map *map, struct bnnep_link *link) {
    bnnep_connection c;
    const struct bnnep_map below = *map;
    const bnnep_status status = read_connection(o, k, &c);
    if (status != BNNEP_OK)
        return status;
    return (c.kind == BNNEP_CONNECTION_FULL ? join_connected : join_convolution)(&c, k, &below, map, link);
}

/* Shapes of all connections, one after the other. */
static bnnep_status join_links(const bnnep_network_options *o, struct bnnep_shape *shape) {
    const size_t L = o->connection_count;
    struct bnnep_map map = {(size_t)o->input_channels, (size_t)o->input_height, (size_t)o->input_width};
    for (size_t k = 0; k < L; k++) {
        const bnnep_status status = join(o, k, &map, &shape->link[k]);
        if (status != BNNEP_OK)
            return status;
        shape->link_of[k] = &shape->link[k];
    }
    const struct bnnep_link *last = &shape->link[L - 1];
    if (last->kind != BNNEP_CONNECTION_FULL)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the last connection is a convolution; it must be fully connected");
    if ((int64_t)last->out != (int64_t)o->classes * o->expand_output)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the last layer has %zu units, but classes * expand_output is %d * %d",
                          last->out, o->classes, o->expand_output);
    return BNNEP_OK;
}

/* The most values that a step sums up: the inputs of a unit, or what may be fed back to one. */
static uint64_t most_terms(const struct bnnep_link *links, size_t connections) {
    uint64_t most = 0;
    for (size_t k = 0; k < connections; k++) {
        const uint64_t up = links[k].columns;
        const uint64_t down = links[k].kind == BNNEP_CONNECTION_CONVOLUTION
                                  ? (uint64_t)links[k].rows * links[k].kernel * links[k].kernel
                                  : links[k].rows;
        most = up > most ? up : most;
        most = k > 0 && down > most ? down : most; /* nothing goes back to the input */
    }
    return most;
}

/* Do sums of so many values, none above 1, of so many bits fit into an int32_t? */
static bool fits(uint64_t terms, int32_t bits) {
    return terms + 1 < (UINT64_C(1) << 31) >> bits;
}

static bnnep_status check_grid(const bnnep_network_options *o, const struct bnnep_link *links) {
    if (o->grid_bits == 0)
        return BNNEP_OK;
    if (o->dynamics == BNNEP_DYNAMICS_BINARY)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "grid_bits is %d, but binary activations are exact without a grid: it must be 0",
                          o->grid_bits);
    if (o->grid_bits < LEAST_BITS || o->grid_bits > MOST_BITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "grid_bits is %d; it must be 0, or from %d to %d", o->grid_bits,
                          LEAST_BITS, MOST_BITS);
    const uint64_t terms = most_terms(links, o->connection_count);
    int32_t most = MOST_BITS;
    while (most >= LEAST_BITS && !fits(terms, most))
        most--;
    if (most < LEAST_BITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "grid_bits is %d, but sums of %llu values fit into 32 bits on no grid",
                          o->grid_bits, (unsigned long long)terms);
    if (o->grid_bits > most)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "grid_bits is %d, but sums of %llu values fit into 32 bits up to %d",
                          o->grid_bits, (unsigned long long)terms, most);
    return BNNEP_OK;
}

/* The grid of a checked description. Hidden states are at most 1; inputs, and outputs nudged without a clamp, may be as
 * large as their own sums have room for. */
static struct bnnep_grid grid_of(const bnnep_network_options *o, const struct bnnep_link *links) {
    const size_t inputs = links[0].columns, outputs = links[o->connection_count - 1].rows;
    struct bnnep_grid grid = {.steps = 0.0f, .most = FLT_MAX};
    if (o->grid_bits == 0)
        return grid;
    int32_t larger = 0; /* than 1, bits */
    while (o->grid_bits + larger < 30 && fits(inputs > outputs ? inputs : outputs, o->grid_bits + larger + 1))
        larger++;
    grid.steps = ldexpf(1.0f, o->grid_bits);
    grid.most = ldexpf(1.0f, larger);
    return grid;
}

/* Deep networks of full-precision activations hold themselves active by what they feed back (docs/learning-rule.md). On
 * a grid weak feedback would be rounded away. Convolutions come first, so that the first link tells of them. */
float bnnep_default_feedback(const bnnep_network_options *o, const struct bnnep_shape *shape) {
    const bool deep = o->connection_count > 2 && !bnnep_is_convolution(&shape->link[0]);
    const bool real = o->dynamics == BNNEP_DYNAMICS_REAL && o->grid_bits == 0;
    return o->start == BNNEP_START_BALANCED && deep && real ? WEAK_FEEDBACK : 1.0f;
}

struct bnnep_model bnnep_model_of(const bnnep_network_options *o, const struct bnnep_shape *shape) {
    return (struct bnnep_model){
        .size = sizeof(struct bnnep_model),
        .dynamics = o->dynamics,
        .convolutional = shape->link[0].kind == BNNEP_CONNECTION_CONVOLUTION,
        .connections = o->connection_count,
        .links = shape->link_of,
        .theta = (float)o->theta,
        .gamma_neur = (float)o->gamma_neur,
        .grid = grid_of(o, shape->link),
        .schedule = o->schedule,
        .feedback = o->feedback != 0.0f ? o->feedback : 1.0f, /* or the default, where the backend can */
    };
}

bnnep_status bnnep_check_max_batch(int32_t max_batch) {
    if (max_batch < 1 || max_batch > MOST_BATCH)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "max_batch is %d; it must be from 1 to %d", max_batch, MOST_BATCH);
    return BNNEP_OK;
}

bnnep_status bnnep_check_batch(const bnnep_network_options *o, const struct bnnep_shape *shape, int32_t max_batch) {
    const bnnep_status status = bnnep_check_max_batch(max_batch);
    if (status != BNNEP_OK)
        return status;
    /* what a sample has of the largest arrays: states and inputs, and positions of a convolution before pooling; a map
     * with its padding */
    double values = (double)shape->link[0].in, padded = 0.0;
    for (size_t k = 0; k < o->connection_count; k++) {
        const struct bnnep_link *link = &shape->link[k];
        values += (double)link->out * (double)(link->pool ? link->pool * link->pool : 1);
        padded = fmax(padded, (double)link->from.channels * (double)(link->from.height + 2 * link->padding) *
                                  (double)(link->from.width + 2 * link->padding));
    }
    values = fmax(values, padded);
    if (values * max_batch > (double)(SIZE_MAX / 256))
        return bnnep_fail(BNNEP_ERROR_MEMORY, "a batch of %d samples of %.0f values is more than memory can address",
                          max_batch, values);
    return BNNEP_OK;
}

bnnep_status bnnep_describe(const bnnep_context *context, const bnnep_network_options *o, struct bnnep_shape **out) {
    struct bnnep_shape *shape;
    *out = NULL;
    bnnep_status status = check_numbers(o);
    if (status == BNNEP_OK)
        status = bnnep_check_relaxation(o->free_steps, o->settle_tolerance);
    if (status != BNNEP_OK)
        return status;
    if (!o->connections || o->connection_count < 1 || o->connection_count > MOST_CONNECTIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a network has from 1 to %d connections, this description has %zu",
                          MOST_CONNECTIONS, o->connections ? o->connection_count : 0);
    /* The shapes' arrays follow them. */
    const size_t L = o->connection_count;
    const size_t each =
        sizeof *shape->link + sizeof *shape->link_of; /* NOLINT(bugprone-sizeof-expression): a pointer */
    shape = bnnep_take(context, 1, sizeof *shape + L * each);
    if (!shape)
        return bnnep_fail_memory("a network", L * sizeof *shape->link);
    shape->link = (struct bnnep_link *)(shape + 1);
    shape->link_of = (const struct bnnep_link **)(shape->link + L);
    status = join_links(o, shape);
    if (status == BNNEP_OK)
        status = check_grid(o, shape->link);
    if (status == BNNEP_OK)
        status = bnnep_check_batch(o, shape, o->max_batch);
    if (status == BNNEP_OK)
        *out = shape;
    else
        bnnep_give_back(context, shape);
    return status;
}
