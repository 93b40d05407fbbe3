/* SPDX-License-Identifier: MIT */
/* Networks: description, creation, initial values. Their parameters are in parameters.c. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "lib/internal.h"

#define MOST_CONNECTIONS 1024
#define MOST_BATCH 65536
#define MOST_STEPS 1000000000
#define MOST_UNITS (INT32_MAX / 2)
#define MOST_EDGE 255
#define LEAST_BITS 8 /* of a grid */
#define MOST_BITS 20
#define MOST_WEIGHTS (UINT64_C(1) << 40)

/* --- description --------------------------------------------------------------------------------------------- */

static bnnep_status check_numbers(const bnnep_network_options *o) {
    if (o->dynamics != BNNEP_REAL_ACTIVATIONS && o->dynamics != BNNEP_BINARY_ACTIVATIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "dynamics is %d; known are 0 (real activations) and 1 (binary)",
                          o->dynamics);
    if (o->input_channels < 1 || o->input_height < 1 || o->input_width < 1 ||
        (double)o->input_channels * o->input_height * o->input_width > MOST_UNITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the input is %d x %d x %d; each must be at least 1, all at most %d values",
                          o->input_channels, o->input_height, o->input_width, MOST_UNITS);
    if (o->classes < 2)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "classes is %d; it must be at least 2", o->classes);
    if (o->expand_output < 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "expand_output is %d; it must be at least 1", o->expand_output);
    if (!(o->theta >= 0.0f && o->theta <= 1.0f))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "theta is %g; it must be from 0 to 1", (double)o->theta);
    if (!(o->gamma_neur > 0.0f && o->gamma_neur <= 1.0f))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "gamma_neur is %g; it must be above 0 and at most 1",
                          (double)o->gamma_neur);
    if (o->max_batch < 1 || o->max_batch > MOST_BATCH)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "max_batch is %d; it must be from 1 to %d", o->max_batch, MOST_BATCH);
    return BNNEP_OK;
}

static bnnep_status check_relaxation(int32_t free_steps, float settle_tolerance) {
    if (free_steps < 1 || free_steps > MOST_STEPS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "free_steps is %d; it must be from 1 to %d", free_steps, MOST_STEPS);
    if (!isfinite(settle_tolerance))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "settle_tolerance is %g; it must be a finite number",
                          (double)settle_tolerance);
    return BNNEP_OK;
}

/* Reads connection k of the caller's array, whose elements may have an older or newer layout. */
static bnnep_status read_connection(const bnnep_network_options *o, size_t k, bnnep_connection *c) {
    const size_t stride = o->connections[0].size;
    *c = (bnnep_connection)BNNEP_FC(0);
    const void *theirs = (const char *)o->connections + k * stride;
    const bnnep_status status = bnnep_take_options(c, sizeof *c, theirs, "bnnep_connection");
    if (status != BNNEP_OK)
        return status;
    if (((const bnnep_connection *)theirs)->size != stride)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: its size is not that of connection 0", k);
    if (c->kind != BNNEP_FULLY_CONNECTED && c->kind != BNNEP_CONVOLUTION)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "connection %zu: kind is %d; known are 0 (fully connected) and 1 (convolution)", k, c->kind);
    if (c->outputs < 1 || c->outputs > MOST_UNITS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: outputs is %d; it must be from 1 to %d", k, c->outputs,
                          MOST_UNITS);
    if (c->kind == BNNEP_FULLY_CONNECTED && (c->kernel || c->padding || c->pool))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: kernel, padding and pool belong to convolutions", k);
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

/* Joins connection k to the layer of shape *map below it, and sets *map to the layer it leads to. */
static bnnep_status join(const bnnep_network_options *o, size_t k, struct bnnep_map *map, struct bnnep_link *link) {
    bnnep_connection c;
    bnnep_status status = read_connection(o, k, &c);
    if (status != BNNEP_OK)
        return status;
    const size_t below = map->channels * map->height * map->width, rows = (size_t)c.outputs;
    if (c.kind == BNNEP_FULLY_CONNECTED) {
        *link =
            (struct bnnep_link){.kind = c.kind, .rows = rows, .columns = below, .in = below, .out = rows, .scales = 1};
        *map = (struct bnnep_map){rows, 1, 1};
    } else {
        if (k > 0 && link[-1].kind != BNNEP_CONVOLUTION)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                              "connection %zu: a convolution cannot follow a fully connected layer", k);
        struct bnnep_map to;
        status = pool_map(&c, k, map, &to);
        if (status != BNNEP_OK)
            return status;
        if ((double)to.channels * (double)to.height * (double)to.width > MOST_UNITS)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: leads to more than %d units", k, MOST_UNITS);
        *link = (struct bnnep_link){
            .kind = c.kind,
            .rows = rows,
            .columns = map->channels * (size_t)c.kernel * (size_t)c.kernel,
            .in = below,
            .out = to.channels * to.height * to.width,
            .scales = rows,
            .from = *map,
            .to = to,
            .kernel = (size_t)c.kernel,
            .padding = (size_t)c.padding,
            .pool = (size_t)c.pool,
        };
        *map = to;
    }
    if ((uint64_t)link->rows * link->columns > MOST_WEIGHTS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu: %zu x %zu weights are more than 2^40", k, link->rows,
                          link->columns);
    return BNNEP_OK;
}

/* Shapes of all connections in a new array. */
static bnnep_status join_links(const bnnep_network_options *o, struct bnnep_link **out) {
    if (!o->connections || o->connection_count < 1 || o->connection_count > MOST_CONNECTIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a network has from 1 to %d connections, this description has %zu",
                          MOST_CONNECTIONS, o->connections ? o->connection_count : 0);
    const size_t L = o->connection_count;
    struct bnnep_link *links = bnnep_array(L, sizeof *links);
    if (!links)
        return bnnep_fail_memory("a network", L * sizeof *links);
    struct bnnep_map map = {(size_t)o->input_channels, (size_t)o->input_height, (size_t)o->input_width};
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < L; k++)
        status = join(o, k, &map, &links[k]);
    if (status == BNNEP_OK && links[L - 1].kind != BNNEP_FULLY_CONNECTED)
        status = bnnep_fail(BNNEP_ERROR_ARGUMENT, "the last connection is a convolution; it must be fully connected");
    if (status == BNNEP_OK && (int64_t)links[L - 1].out != (int64_t)o->classes * o->expand_output)
        status =
            bnnep_fail(BNNEP_ERROR_ARGUMENT, "the last layer has %zu units, but classes * expand_output is %d * %d",
                       links[L - 1].out, o->classes, o->expand_output);
    if (status != BNNEP_OK) {
        free(links);
        links = NULL;
    }
    *out = links;
    return status;
}

/* The most values that a step sums up: the inputs of a unit, or what may be fed back to one. */
static uint64_t most_terms(const struct bnnep_link *links, size_t connections) {
    uint64_t most = 0;
    for (size_t k = 0; k < connections; k++) {
        const uint64_t up = links[k].columns;
        const uint64_t down = links[k].kind == BNNEP_CONVOLUTION
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
    if (o->dynamics == BNNEP_BINARY_ACTIVATIONS)
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

/* Checks all of a description that takes no memory in proportion to the network. The links are a new array. */
static bnnep_status read_description(const bnnep_network_options *theirs, bnnep_network_options *options,
                                     struct bnnep_link **links, struct bnnep_choice *choice) {
    *options = (bnnep_network_options)BNNEP_NETWORK_OPTIONS_INIT;
    if (!theirs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the network's options are NULL");
    bnnep_status status = bnnep_take_options(options, sizeof *options, theirs, "bnnep_network_options");
    if (status == BNNEP_OK)
        status = check_numbers(options);
    if (status == BNNEP_OK)
        status = check_relaxation(options->free_steps, options->settle_tolerance);
    if (status == BNNEP_OK)
        status = join_links(options, links);
    if (status != BNNEP_OK)
        return status;
    status = check_grid(options, *links);
    if (status == BNNEP_OK)
        status = bnnep_choose_backend(options->backend, options->log, options->log_user, choice);
    if (status != BNNEP_OK) {
        free(*links);
        *links = NULL;
    }
    return status;
}

bnnep_status bnnep_network_links(const bnnep_network_options *theirs, struct bnnep_link **links) {
    bnnep_network_options options;
    struct bnnep_choice choice;
    return read_description(theirs, &options, links, &choice);
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

static struct bnnep_model model_of(const bnnep_network_options *o, const struct bnnep_link *links) {
    return (struct bnnep_model){
        .dynamics = o->dynamics,
        .convolutional = links[0].kind == BNNEP_CONVOLUTION,
        .connections = o->connection_count,
        .links = links,
        .theta = o->theta,
        .gamma_neur = o->gamma_neur,
        .grid = grid_of(o, links),
    };
}

bnnep_status bnnep_network_memory(const bnnep_network_options *theirs, int32_t trained, uint64_t *bytes) {
    if (!bytes)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_memory: bytes is NULL");
    bnnep_network_options o;
    struct bnnep_link *links;
    struct bnnep_choice choice;
    const bnnep_status status = read_description(theirs, &o, &links, &choice);
    if (status != BNNEP_OK)
        return status;
    const struct bnnep_model model = model_of(&o, links);
    const size_t L = model.connections;
    *bytes = choice.backend->network_bytes(&model) +
             choice.backend->workspace_bytes(&model, choice.device, (size_t)o.max_batch) +
             (trained ? choice.backend->optimizer_bytes(&model, (size_t)o.max_batch, 0) : 0) + L * sizeof *links +
             bnnep_workspace_host_bytes(&o, links[0].in, links[L - 1].out) + sizeof(bnnep_network);
    free(links);
    return BNNEP_OK;
}

/* --- initial values ---------------------------------------------------------------------------------------------- */

/* w ~ U(-r, r), r = 1/sqrt(fan_in): B = sign(w), alpha = mean|w| (of the whole matrix, or of each output channel of a
 * convolution) rounded to 4 decimals. Biases likewise; 0 in a convolutional network with binary activations. */
static void draw_connection(const struct bnnep_model *model, size_t k, uint64_t seed,
                            const struct bnnep_parameters_out *to) {
    const struct bnnep_link *link = &model->links[k];
    const double r = 1.0 / sqrt((double)link->columns);
    const size_t stride = (link->columns + 7) / 8, rows_a_scale = link->rows / link->scales;
    double sum = 0.0;
    uint32_t words[4] = {0};
    for (size_t j = 0; j < link->rows; j++) {
        for (size_t i = 0; i < link->columns; i++) {
            const uint64_t weight = (uint64_t)j * link->columns + i;
            if (weight % 4 == 0)
                bnnep_draw(seed, BNNEP_DRAW_WEIGHT, (uint32_t)k, weight / 4, words);
            const float w = bnnep_draw_symmetric(words[weight % 4]);
            sum += fabs((double)w);
            if (w >= 0.0f)
                to->bits[j * stride + i / 8] |= (uint8_t)(1u << (i % 8));
        }
        if ((j + 1) % rows_a_scale == 0) {
            const double mean = r * sum / ((double)rows_a_scale * (double)link->columns);
            to->scale[j / rows_a_scale] = (float)(round(mean * 1e4) / 1e4);
            sum = 0.0;
        }
    }
    const bool zero = model->convolutional && model->dynamics == BNNEP_BINARY_ACTIVATIONS;
    for (size_t j = 0; j < link->rows; j++) {
        bnnep_draw(seed, BNNEP_DRAW_BIAS, (uint32_t)k, j, words);
        to->bias[j] = zero ? 0.0f : (float)(r * bnnep_draw_symmetric(words[0]));
    }
}

static bnnep_status initialise(bnnep_network *net) {
    for (size_t k = 0; k < net->model.connections; k++) {
        const struct bnnep_link *link = &net->links[k];
        const uint64_t bytes = (uint64_t)link->rows * ((link->columns + 7) / 8);
        const struct bnnep_parameters_out drawn = {
            .bits = bnnep_array(bytes, 1),
            .scale = bnnep_array(link->scales, sizeof(float)),
            .bias = bnnep_array(link->rows, sizeof(float)),
        };
        char why[BNNEP_WHY] = "";
        bnnep_status status = BNNEP_OK;
        if (!drawn.bits || !drawn.scale || !drawn.bias)
            status = bnnep_fail_memory("initial values", bytes);
        else {
            draw_connection(&net->model, k, net->options.seed, &drawn);
            const struct bnnep_parameters values = {drawn.bits, drawn.scale, drawn.bias};
            status = net->backend->put(net->device, k, &values, why);
            if (status != BNNEP_OK)
                bnnep_fail(status, "initial values of connection %zu: %s", k, why);
        }
        free(drawn.bits);
        free(drawn.scale);
        free(drawn.bias);
        if (status != BNNEP_OK)
            return status;
    }
    return BNNEP_OK;
}

/* --- lifetime ----------------------------------------------------------------------------------------------------- */

static bnnep_status build(bnnep_network *net, const struct bnnep_choice *choice, bool drawn) {
    char why[BNNEP_WHY] = "";
    net->backend = choice->backend;
    net->model = model_of(&net->options, net->links);
    net->inputs = net->links[0].in;
    net->outputs = net->links[net->model.connections - 1].out;
    const bnnep_status status = net->backend->network_create(&net->model, choice->device, &net->device, why);
    if (status == BNNEP_ERROR_MEMORY)
        return bnnep_fail_memory("a network", net->backend->network_bytes(&net->model));
    if (status != BNNEP_OK)
        return bnnep_fail(status, "backend %s: %s", net->backend->name, why);
    const bnnep_status initialised = drawn ? initialise(net) : BNNEP_OK;
    if (initialised != BNNEP_OK)
        return initialised;
    return bnnep_workspace_make(net, (size_t)net->options.max_batch, 0, false, &net->workspace);
}

bnnep_status bnnep_network_create(const bnnep_network_options *options, bnnep_network **out) {
    if (!out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_create: out is NULL");
    *out = NULL;
    return bnnep_network_make(options, true, out);
}

bnnep_status bnnep_network_make(const bnnep_network_options *theirs, bool drawn, bnnep_network **out) {
    bnnep_network_options options;
    struct bnnep_link *links;
    struct bnnep_choice choice;
    bnnep_status status = read_description(theirs, &options, &links, &choice);
    if (status != BNNEP_OK)
        return status;
    bnnep_network *net = calloc(1, sizeof *net);
    if (!net) {
        free(links);
        return bnnep_fail_memory("a network", sizeof *net);
    }
    atomic_init(&net->references, 1);
    net->options = options;
    net->options.connections = NULL;
    net->options.backend = NULL;
    net->links = links;
    status = build(net, &choice, drawn);
    if (status != BNNEP_OK) {
        bnnep_network_free(net);
        return status;
    }
    *out = net;
    return BNNEP_OK;
}

bnnep_status bnnep_network_set_relaxation(bnnep_network *net, int32_t free_steps, float settle_tolerance) {
    if (!net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_set_relaxation: network is NULL");
    const bnnep_status status = check_relaxation(free_steps, settle_tolerance);
    if (status == BNNEP_OK) {
        net->options.free_steps = free_steps;
        net->options.settle_tolerance = settle_tolerance;
    }
    return status;
}

bnnep_workspace *bnnep_network_workspace(bnnep_network *net) {
    return net ? net->workspace : NULL;
}

bnnep_status bnnep_pick_workspace(const bnnep_network *net, bnnep_workspace *given, bnnep_workspace **out) {
    *out = given ? given : net->workspace;
    if ((*out)->network != net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the workspace was made for another network");
    return BNNEP_OK;
}

bnnep_status bnnep_network_get_info(const bnnep_network *net, bnnep_network_info *info) {
    if (!net || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_get_info: %s is NULL", net ? "info" : "network");
    uint64_t weights = 0;
    for (size_t k = 0; k < net->model.connections; k++)
        weights += (uint64_t)net->links[k].rows * net->links[k].columns;
    const bnnep_network_options *o = &net->options;
    const bnnep_network_info found = {
        .backend = net->backend->name,
        .connections = net->model.connections,
        .inputs = net->inputs,
        .outputs = net->outputs,
        .weights = weights,
        .dynamics = o->dynamics,
        .classes = o->classes,
        .expand_output = o->expand_output,
        .max_batch = o->max_batch,
        .free_steps = o->free_steps,
        .settle_tolerance = o->settle_tolerance,
        .input_channels = o->input_channels,
        .input_height = o->input_height,
        .input_width = o->input_width,
        .grid_bits = o->grid_bits,
        .theta = o->theta,
        .gamma_neur = o->gamma_neur,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_network_info");
}

bnnep_status bnnep_network_get_connection(const bnnep_network *net, size_t connection, bnnep_connection_info *info) {
    if (!net || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_get_connection: %s is NULL", net ? "info" : "network");
    if (connection >= net->model.connections)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu does not exist; the network has %zu", connection,
                          net->model.connections);
    const struct bnnep_link *link = &net->links[connection];
    const bool fc = link->kind == BNNEP_FULLY_CONNECTED;
    const bnnep_connection_info found = {
        .kind = link->kind,
        .rows = link->rows,
        .columns = link->columns,
        .scales = link->scales,
        .units = link->out,
        .channels = fc ? link->out : link->to.channels,
        .height = fc ? 1 : link->to.height,
        .width = fc ? 1 : link->to.width,
        .kernel = (int32_t)link->kernel,
        .padding = (int32_t)link->padding,
        .pool = (int32_t)link->pool,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_connection_info");
}
