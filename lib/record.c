/* SPDX-License-Identifier: MIT */
/* What a file's metadata say of a network and an optimizer. Positions are in position.c. */
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/record.h"

/* --- networks ------------------------------------------------------------------------------------------------ */

static json_t *record_connections(const struct bnnep_model *model) {
    json_t *connections = json_array();
    for (size_t k = 0; connections && k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        json_t *one =
            json_pack("{s:i, s:I, s:I, s:I, s:I}", "kind", link->kind, "outputs", (json_int_t)link->rows, "kernel",
                      (json_int_t)link->kernel, "padding", (json_int_t)link->padding, "pool", (json_int_t)link->pool);
        if (json_array_append_new(connections, one) != 0) {
            json_decref(connections);
            connections = NULL;
        }
    }
    return connections;
}

json_t *bnnep_record_network(const bnnep_network *net, bool now) {
    const bnnep_network_options *o = &net->options;
    json_t *connections = record_connections(&net->model);
    if (!connections)
        return NULL;
    const double weak = net->model.feedback != 1.0f ? (double)net->model.feedback : 0.0; /* 0, or missing: 1 */
    return json_pack("{s:i, s:[i,i,i], s:i, s:i, s:f, s:f, s:i, s:f, s:i, s:i, s:f, s:o}", "dynamics", o->dynamics,
                     "input", o->input_channels, o->input_height, o->input_width, "classes", o->classes,
                     "expand_output", o->expand_output, "theta", (double)net->model.theta, "gamma_neur",
                     (double)net->model.gamma_neur, "free_steps", now ? net->free_steps : o->free_steps,
                     "settle_tolerance", now ? (double)net->settle_tolerance : o->settle_tolerance, "grid_bits",
                     o->grid_bits, "schedule", o->schedule, "feedback", weak, "connections", connections);
}

/* An integer of an object, which must fit; *to stays if it is optional and not there. */
static bool read_int(const json_t *object, const char *key, bool optional, int32_t *to) {
    const json_t *value = json_object_get(object, key);
    const json_int_t number = json_integer_value(value);
    if (!value)
        return optional;
    *to = (int32_t)number;
    return json_is_integer(value) && number >= INT32_MIN && number <= INT32_MAX;
}

static bool read_double(const json_t *object, const char *key, bool optional, double *to) {
    const json_t *value = json_object_get(object, key);
    if (!value)
        return optional;
    *to = json_number_value(value);
    return json_is_number(value);
}

bool bnnep_record_read_relaxation(const json_t *position, int32_t *free_steps, double *settle_tolerance) {
    return read_int(position, "free_steps", true, free_steps) &&
           read_double(position, "settle_tolerance", true, settle_tolerance);
}

/* The relaxation of a checkpoint is that of its position. */
static bnnep_status read_relaxation(const struct bnnep_container *file, bnnep_network_options *o) {
    if (!bnnep_container_text(file, "position"))
        return BNNEP_OK;
    json_t *position;
    const bnnep_status status = bnnep_container_json(file, "position", &position);
    if (status != BNNEP_OK)
        return status;
    const bool read = bnnep_record_read_relaxation(position, &o->free_steps, &o->settle_tolerance);
    json_decref(position);
    return read ? BNNEP_OK : bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its position's relaxation cannot be read", file->path);
}

bnnep_status bnnep_check_file_steps(const struct bnnep_container *file, int32_t steps) {
    return steps <= file->context->file_steps
               ? BNNEP_OK
               : bnnep_fail(BNNEP_ERROR_MEMORY, "%s: asks for %d free steps; the context's file_steps allow %d",
                            file->path, steps, file->context->file_steps);
}

static bool read_feedback(const json_t *object, float *feedback) {
    double value = 0.0;
    const bool read = read_double(object, "feedback", true, &value) && value >= 0.0 && value <= 1.0;
    *feedback = read ? (float)value : 0.0f;
    return read;
}

static bool read_shape(const json_t *n, bnnep_network_options *o) {
    const json_t *input = json_object_get(n, "input");
    int32_t *const shape[] = {&o->input_channels, &o->input_height, &o->input_width};
    bool read = json_array_size(input) == 3;
    for (size_t i = 0; read && i < 3; i++) {
        const json_int_t size = json_integer_value(json_array_get(input, i));
        read = size >= 1 && size <= INT32_MAX;
        *shape[i] = read ? (int32_t)size : 0;
    }
    return read && read_int(n, "dynamics", false, &o->dynamics) && read_int(n, "classes", false, &o->classes) &&
           read_int(n, "expand_output", false, &o->expand_output) && read_double(n, "theta", false, &o->theta) &&
           read_double(n, "gamma_neur", false, &o->gamma_neur) && read_int(n, "free_steps", false, &o->free_steps) &&
           read_double(n, "settle_tolerance", false, &o->settle_tolerance) &&
           read_int(n, "grid_bits", true, &o->grid_bits) && read_int(n, "schedule", true, &o->schedule) &&
           read_feedback(n, &o->feedback);
}

static bool read_connection(const json_t *object, bnnep_connection *c) {
    *c = (bnnep_connection)BNNEP_FC(0);
    return read_int(object, "kind", false, &c->kind) && read_int(object, "outputs", false, &c->outputs) &&
           read_int(object, "kernel", false, &c->kernel) && read_int(object, "padding", false, &c->padding) &&
           read_int(object, "pool", false, &c->pool);
}

bnnep_status bnnep_record_read_network(const struct bnnep_container *file, bnnep_network_options *o,
                                       bnnep_connection *connections, size_t room) {
    json_t *n;
    bnnep_status status = bnnep_container_json(file, "network", &n);
    if (status != BNNEP_OK)
        return status;
    const json_t *all = json_object_get(n, "connections");
    if (!read_shape(n, o) || !json_is_array(all) || json_array_size(all) > room)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its description of the network cannot be read", file->path);
    for (size_t k = 0; status == BNNEP_OK && k < json_array_size(all); k++)
        if (!read_connection(json_array_get(all, k), &connections[k]))
            status =
                bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its description of connection %zu cannot be read", file->path, k);
    if (status == BNNEP_OK) {
        o->connections = connections;
        o->connection_count = json_array_size(all);
        status = read_relaxation(file, o);
    }
    if (status == BNNEP_OK)
        status = bnnep_check_file_steps(file, o->free_steps);
    json_decref(n);
    return status;
}

/* --- optimizers ---------------------------------------------------------------------------------------------- */

json_t *bnnep_record_optimizer(const bnnep_optimizer *opt) {
    const bnnep_optimizer_options *o = &opt->options;
    const size_t count = opt->network->model.connections;
    return json_pack("{s:i, s:i, s:f, s:i, s:b, s:I, s:i, s:i, s:i, s:f, s:I, s:i, s:i, s:f, s:o, s:o, s:o, s:o}",
                     "method", o->method, "nudged_steps", o->nudged_steps, "beta", o->beta, "nudge", o->nudge,
                     "keep_order", o->keep_order != 0, "seed", (json_int_t)o->seed, "threshold_kind", o->threshold_kind,
                     "rate_kind", o->rate_kind, "fall", o->fall, "fall_to", o->fall_to, "fall_updates",
                     (json_int_t)o->fall_updates, "flip_reset", o->flip_reset, "covariance", o->covariance,
                     "consolidation", (double)o->consolidation, "gamma", bnnep_json_list(o->gamma, count), "threshold",
                     bnnep_json_list(o->threshold, count), "lr_bias", bnnep_json_list(o->lr_bias, count), "lr_alpha",
                     bnnep_json_list(o->lr_alpha, count));
}

/* --- comparing ----------------------------------------------------------------------------------------------- */

/* Is a value what a file means that lacks it? */
static bool is_zero(const json_t *value) {
    return json_is_false(value) || (json_is_number(value) && json_number_value(value) == 0.0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* Fields of ours as they are written and read again, like those of the file. */
static bnnep_status reread(const struct bnnep_container *file, const char *what, json_t *ours, json_t **read) {
    char *text = ours ? bnnep_json_text(ours, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    *read = NULL;
    const bnnep_status status =
        text ? bnnep_json_read(file->context, what, text, strlen(text), read) : bnnep_fail_memory(file->path, 0);
    free(text);
    return status;
}

static bnnep_status differs(const struct bnnep_container *file, const char *what, const char *key, const json_t *found,
                            const json_t *wanted) {
    char *has = found ? bnnep_json_text(found, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    char *wants = bnnep_json_text(wanted, JSON_COMPACT | JSON_ENCODE_ANY);
    const bnnep_status status = bnnep_fail(
        BNNEP_ERROR_ARGUMENT, "%s: is of another run: its %s's %s is %s, here it is %s", file->path, what, key,
        has     ? has
        : found ? "another"
                : "missing",
        wants ? wants : "another");
    free(has);
    free(wants);
    return status;
}

bnnep_status bnnep_record_compare(const struct bnnep_container *file, const char *what, json_t *ours) {
    json_t *theirs, *read = NULL, *value;
    const char *key;
    bnnep_status status = bnnep_container_json(file, what, &theirs);
    if (status == BNNEP_OK)
        status = reread(file, what, ours, &read);
    if (status == BNNEP_OK)
        json_object_foreach(read, key, value) {
            const json_t *found = json_object_get(theirs, key);
            if (found ? json_equal(value, found) : is_zero(value))
                continue;
            status = differs(file, what, key, found, value);
            break;
        }
    json_decref(read);
    json_decref(theirs);
    json_decref(ours);
    return status;
}
