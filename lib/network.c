/* SPDX-License-Identifier: MIT */
/* Networks: creation, clones. Descriptions are in description.c, initial values in initial.c, parameters in
 * parameters.c. */
#include <string.h>

#include "lib/internal.h"

/* --- memory -------------------------------------------------------------------------------------------------- */

/* What a network takes with its workspace and, if trained, an optimizer. */
static uint64_t bytes_of(const struct bnnep_choice *choice, const bnnep_network_options *o,
                         const struct bnnep_model *model, bool trained) {
    const size_t L = model->connections, batch = (size_t)o->max_batch;
    const struct bnnep_backend *backend = choice->backend;
    return backend->network_bytes(choice->device, model) + backend->workspace_bytes(choice->device, model, batch, 0) +
           (trained ? backend->optimizer_bytes(choice->device, model, batch, 0) + bnnep_means_bytes(model) : 0) +
           L * (sizeof(struct bnnep_link) + sizeof(struct bnnep_link *)) +
           bnnep_workspace_host_bytes(o, model->links[0]->in, model->links[L - 1]->out) + sizeof(bnnep_network);
}

bnnep_status bnnep_network_memory(bnnep_context *given, const bnnep_network_options *theirs, int32_t trained,
                                  uint64_t *bytes) {
    if (!bytes || !theirs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_memory: %s is NULL", theirs ? "bytes" : "options");
    bnnep_context *context;
    bnnep_network_options o;
    struct bnnep_shape *shape;
    struct bnnep_choice choice;
    bnnep_status status = bnnep_take_network_options(&o, theirs);
    if (status == BNNEP_OK)
        status = bnnep_context_use(given, &context);
    if (status != BNNEP_OK)
        return status;
    status = bnnep_describe(context, &o, &shape);
    if (status == BNNEP_OK) {
        const struct bnnep_model model = bnnep_model_of(&o, shape);
        status = bnnep_choose_backend(context, &model, &choice);
        const uint64_t counted = status == BNNEP_OK ? bytes_of(&choice, &o, &model, trained) : 0;
        if (counted >= BNNEP_UNCOUNTED)
            status = bnnep_fail_memory("counting what a network takes", 0);
        if (status == BNNEP_OK)
            *bytes = counted;
        bnnep_give_back(context, shape);
    }
    bnnep_context_free(context);
    return status;
}

/* --- creation ------------------------------------------------------------------------------------------------ */

/* All of a network but its options, context and shape. */
static bnnep_status build(bnnep_network *net, bool drawn) {
    char why[BNNEP_WHY] = "";
    struct bnnep_choice choice;
    net->model = bnnep_model_of(&net->options, net->shape);
    net->inputs = net->model.links[0]->in;
    net->outputs = net->model.links[net->model.connections - 1]->out;
    bnnep_status status = bnnep_choose_backend(net->context, &net->model, &choice);
    if (status == BNNEP_OK)
        status = bnnep_check_bytes(net->context, "a network", bytes_of(&choice, &net->options, &net->model, false));
    if (status != BNNEP_OK)
        return status;
    if (net->options.feedback == 0.0f && choice.backend->can->weak_feedback)
        net->model.feedback = bnnep_default_feedback(&net->options, net->shape);
    net->options.feedback = net->model.feedback;
    net->backend = choice.backend;
    net->place = choice.device;
    status = net->backend->network_create(choice.device, &net->model, &net->device, why);
    if (status == BNNEP_ERROR_MEMORY)
        return bnnep_fail_memory("a network", net->backend->network_bytes(choice.device, &net->model));
    if (status != BNNEP_OK)
        return bnnep_backend_failed(net, status, why);
    status = drawn ? bnnep_draw_parameters(net) : BNNEP_OK;
    return status == BNNEP_OK ? bnnep_workspace_make(net, (size_t)net->options.max_batch, 0, false, &net->workspace)
                              : status;
}

bnnep_status bnnep_network_make(bnnep_context *given, const bnnep_network_options *options, bool drawn,
                                bnnep_network **out) {
    bnnep_context *context;
    struct bnnep_shape *shape;
    bnnep_status status = bnnep_context_use(given, &context);
    if (status != BNNEP_OK)
        return status;
    status = bnnep_describe(context, options, &shape);
    bnnep_network *net = status == BNNEP_OK ? bnnep_take(context, 1, sizeof *net) : NULL;
    if (!net) {
        status = status == BNNEP_OK ? bnnep_fail_memory("a network", sizeof *net) : status;
        bnnep_give_back(context, shape);
        bnnep_context_free(context);
        return status;
    }
    atomic_init(&net->references, 1);
    net->context = context;
    net->shape = shape;
    net->options = *options;
    net->options.connections = NULL;
    net->options.settle_tolerance = (float)options->settle_tolerance;
    net->free_steps = options->free_steps;
    net->settle_tolerance = (float)options->settle_tolerance;
    status = build(net, drawn);
    if (status != BNNEP_OK) {
        bnnep_network_free(net);
        return status;
    }
    *out = net;
    return BNNEP_OK;
}

bnnep_status bnnep_network_create(bnnep_context *context, const bnnep_network_options *theirs, bnnep_network **out) {
    if (out)
        *out = NULL;
    if (!theirs || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_create: %s is NULL", out ? "options" : "out");
    bnnep_network_options o;
    const bnnep_status status = bnnep_take_network_options(&o, theirs);
    return status == BNNEP_OK ? bnnep_network_make(context, &o, true, out) : status;
}

/* --- clones -------------------------------------------------------------------------------------------------- */

/* The description that the network's shape came from. */
static void describe_links(const bnnep_network *net, bnnep_connection *connections) {
    for (size_t k = 0; k < net->model.connections; k++) {
        const struct bnnep_link *link = net->model.links[k];
        connections[k] = (bnnep_connection){.size = sizeof *connections,
                                            .kind = link->kind,
                                            .outputs = (int32_t)link->rows,
                                            .kernel = (int32_t)link->kernel,
                                            .padding = (int32_t)link->padding,
                                            .pool = (int32_t)link->pool};
    }
}

static bnnep_status copy_parameters(const bnnep_network *from, size_t k, bnnep_network *to) {
    const struct bnnep_link *link = from->model.links[k];
    const uint64_t bytes = (uint64_t)link->rows * ((link->columns + 7) / 8);
    char why[BNNEP_WHY] = "";
    const struct bnnep_parameters_out copy = {
        .size = sizeof copy,
        .bits = bnnep_take(from->context, bytes, 1),
        .scale = bnnep_take(from->context, link->scales, sizeof(float)),
        .bias = bnnep_take(from->context, link->rows, sizeof(float)),
    };
    bnnep_status status = BNNEP_OK;
    if (!copy.bits || !copy.scale || !copy.bias)
        status = bnnep_fail_memory("a clone's parameters", bytes);
    if (status == BNNEP_OK)
        status = bnnep_backend_failed(from, from->backend->get(from->device, k, &copy, why), why);
    const struct bnnep_parameters values = {sizeof values, copy.bits, copy.scale, copy.bias};
    if (status == BNNEP_OK)
        status = bnnep_backend_failed(to, to->backend->put(to->device, k, &values, why), why);
    bnnep_give_back(from->context, copy.bits);
    bnnep_give_back(from->context, copy.scale);
    bnnep_give_back(from->context, copy.bias);
    return status;
}

/* A network like another one, which nobody changes. */
static bnnep_status copy(const bnnep_network *net, bnnep_context *context, bnnep_network **out) {
    const size_t L = net->model.connections;
    bnnep_connection *connections = bnnep_take(net->context, L, sizeof *connections);
    if (!connections)
        return bnnep_fail_memory("a clone", L * sizeof *connections);
    bnnep_network_options options = net->options;
    describe_links(net, connections);
    options.connections = connections;
    bnnep_network *clone = NULL;
    bnnep_status status = bnnep_network_make(context, &options, false, &clone);
    bnnep_give_back(net->context, connections);
    for (size_t k = 0; status == BNNEP_OK && k < L; k++)
        status = copy_parameters(net, k, clone);
    if (status != BNNEP_OK) {
        bnnep_network_free(clone);
        return status;
    }
    clone->free_steps = net->free_steps;
    clone->settle_tolerance = net->settle_tolerance;
    *out = clone;
    return BNNEP_OK;
}

bnnep_status bnnep_network_clone(const bnnep_network *net, bnnep_context *context, bnnep_network **out) {
    if (out)
        *out = NULL;
    if (!net || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_clone: %s is NULL", net ? "out" : "network");
    struct bnnep_call call = {.name = "bnnep_network_clone"};
    bnnep_status status = bnnep_call_reads(&call, &net->claim, "network");
    if (status == BNNEP_OK)
        status = copy(net, context ? context : net->context, out);
    return bnnep_call_end(&call, status);
}

/* --- what a network is --------------------------------------------------------------------------------------- */

bnnep_status bnnep_network_set_relaxation(bnnep_network *net, int32_t free_steps, double settle_tolerance) {
    if (!net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_set_relaxation: network is NULL");
    struct bnnep_call call = {.name = "bnnep_network_set_relaxation"};
    bnnep_status status = bnnep_check_relaxation(free_steps, settle_tolerance);
    if (status == BNNEP_OK)
        status = bnnep_call_changes(&call, &net->claim, "network");
    if (status == BNNEP_OK) {
        net->free_steps = free_steps;
        net->settle_tolerance = (float)settle_tolerance;
    }
    return bnnep_call_end(&call, status);
}

bnnep_workspace *bnnep_network_workspace(bnnep_network *net) {
    return net ? net->workspace : NULL;
}

bnnep_status bnnep_network_get_info(const bnnep_network *net, bnnep_network_info *info) {
    if (!net || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_get_info: %s is NULL", net ? "info" : "network");
    uint64_t weights = 0;
    for (size_t k = 0; k < net->model.connections; k++)
        weights += (uint64_t)net->model.links[k]->rows * net->model.links[k]->columns;
    const bnnep_network_options *o = &net->options;
    const bnnep_network_info found = {
        .backend = net->backend->name,
        .connection_count = net->model.connections,
        .layer_count = net->model.connections + 1,
        .inputs = net->inputs,
        .outputs = net->outputs,
        .weights = weights,
        .dynamics = o->dynamics,
        .classes = o->classes,
        .expand_output = o->expand_output,
        .max_batch = o->max_batch,
        .free_steps = net->free_steps,
        .settle_tolerance = (double)net->settle_tolerance,
        .input_channels = o->input_channels,
        .input_height = o->input_height,
        .input_width = o->input_width,
        .grid_bits = o->grid_bits,
        .schedule = o->schedule,
        .feedback = net->model.feedback,
        .theta = (double)net->model.theta,
        .gamma_neur = (double)net->model.gamma_neur,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_network_info");
}

bnnep_status bnnep_network_get_connection(const bnnep_network *net, size_t connection, bnnep_connection_info *info) {
    if (!net || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_get_connection: %s is NULL", net ? "info" : "network");
    if (connection >= net->model.connections)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "connection %zu does not exist; the network has %zu", connection,
                          net->model.connections);
    const struct bnnep_link *link = net->model.links[connection];
    const bool fc = link->kind == BNNEP_CONNECTION_FULL;
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
