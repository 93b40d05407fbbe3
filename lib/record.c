/* SPDX-License-Identifier: MIT */
/* What a file's metadata say of a network and an optimizer. Positions are in position.c. */
#include <stdlib.h>
#include <string.h>

#include "lib/record.h"

/* --- networks --------------------------------------------------------------------------------------------------------
 */

json_t *bnnep_record_network(const bnnep_network *net, bool now) {
    const bnnep_network_options *o = &net->options;
    json_t *connections = json_array();
    for (size_t k = 0; k < net->model.connections; k++) {
        const struct bnnep_link *link = net->model.links[k];
        json_array_append_new(connections,
                              json_pack("{s:i, s:I, s:I, s:I, s:I}", "kind", link->kind, "outputs",
                                        (json_int_t)link->rows, "kernel", (json_int_t)link->kernel, "padding",
                                        (json_int_t)link->padding, "pool", (json_int_t)link->pool));
    }
    return json_pack("{s:i, s:[i,i,i], s:i, s:i, s:f, s:f, s:i, s:f, s:i, s:o}", "dynamics", o->dynamics, "input",
                     o->input_channels, o->input_height, o->input_width, "classes", o->classes, "expand_output",
                     o->expand_output, "theta", (double)net->model.theta, "gamma_neur", (double)net->model.gamma_neur,
                     "free_steps", now ? net->free_steps : o->free_steps, "settle_tolerance",
                     now ? (double)net->settle_tolerance : o->settle_tolerance, "grid_bits", o->grid_bits,
                     "connections", connections);
}

/* The relaxation of a checkpoint is that of its position. */
static bnnep_status read_relaxation(const struct bnnep_container *file, bnnep_network_options *o) {
    if (!bnnep_container_text(file, "position"))
        return BNNEP_OK;
    json_t *position = bnnep_container_json(file, "position");
    if (!position)
        return BNNEP_ERROR_FORMAT;
    bnnep_status status = BNNEP_OK;
    if (json_unpack(position, "{s?i, s?F}", "free_steps", &o->free_steps, "settle_tolerance", &o->settle_tolerance) !=
        0)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its position's relaxation cannot be read", file->path);
    json_decref(position);
    return status;
}

bnnep_status bnnep_record_read_network(const struct bnnep_container *file, bnnep_network_options *o,
                                       bnnep_connection *connections, size_t room) {
    json_t *n = bnnep_container_json(file, "network"), *all;
    if (!n)
        return BNNEP_ERROR_FORMAT;
    bnnep_status status = BNNEP_OK;
    if (json_unpack(n, "{s:i, s:[i,i,i], s:i, s:i, s:F, s:F, s:i, s:F, s?i, s:o}", "dynamics", &o->dynamics, "input",
                    &o->input_channels, &o->input_height, &o->input_width, "classes", &o->classes, "expand_output",
                    &o->expand_output, "theta", &o->theta, "gamma_neur", &o->gamma_neur, "free_steps", &o->free_steps,
                    "settle_tolerance", &o->settle_tolerance, "grid_bits", &o->grid_bits, "connections", &all) != 0 ||
        !json_is_array(all) || json_array_size(all) > room)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its description of the network cannot be read", file->path);
    for (size_t k = 0; status == BNNEP_OK && k < json_array_size(all); k++) {
        connections[k] = (bnnep_connection)BNNEP_FC(0);
        if (json_unpack(json_array_get(all, k), "{s:i, s:i, s:i, s:i, s:i}", "kind", &connections[k].kind, "outputs",
                        &connections[k].outputs, "kernel", &connections[k].kernel, "padding", &connections[k].padding,
                        "pool", &connections[k].pool) != 0)
            status =
                bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its description of connection %zu cannot be read", file->path, k);
    }
    if (status == BNNEP_OK) {
        o->connections = connections;
        o->connection_count = json_array_size(all);
        status = read_relaxation(file, o);
    }
    json_decref(n);
    return status;
}

/* --- optimizers
 * ------------------------------------------------------------------------------------------------------- */

static json_t *list(const double *values, size_t count) {
    json_t *array = json_array();
    for (size_t k = 0; values && k < count; k++)
        json_array_append_new(array, json_real(values[k]));
    return array;
}

json_t *bnnep_record_optimizer(const bnnep_optimizer *opt) {
    const bnnep_optimizer_options *o = &opt->options;
    const size_t count = opt->network->model.connections;
    return json_pack("{s:i, s:i, s:f, s:i, s:b, s:I, s:o, s:o, s:o, s:o}", "method", o->method, "nudged_steps",
                     o->nudged_steps, "beta", o->beta, "nudge", o->nudge, "keep_order", o->keep_order != 0, "seed",
                     (json_int_t)o->seed, "gamma", list(o->gamma, count), "threshold", list(o->threshold, count),
                     "lr_bias", list(o->lr_bias, count), "lr_alpha", list(o->lr_alpha, count));
}

/* --- comparing
 * -------------------------------------------------------------------------------------------------------- */

/* Is a value what a file means that lacks it? */
static bool is_zero(const json_t *value) {
    return json_is_false(value) || (json_is_number(value) && json_number_value(value) == 0.0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

bnnep_status bnnep_record_compare(const struct bnnep_container *file, const char *what, json_t *ours) {
    json_t *theirs = bnnep_container_json(file, what), *value;
    const char *key;
    bnnep_status status = theirs && ours ? BNNEP_OK : BNNEP_ERROR_FORMAT;
    /* through text and back, like the file's values */
    char *text = ours ? json_dumps(ours, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_t *read = text ? json_loads(text, 0, NULL) : NULL;
    if (theirs && !read)
        status = bnnep_fail(BNNEP_ERROR_MEMORY, "out of memory for %s", file->path);
    if (status == BNNEP_OK)
        json_object_foreach(read, key, value) {
            const json_t *found = json_object_get(theirs, key);
            if (found ? json_equal(value, found) : is_zero(value))
                continue;
            char *has = found ? json_dumps(found, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
            char *wants = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
            status = bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: is of another run: its %s's %s is %s, here it is %s",
                                file->path, what, key, has ? has : "missing", wants ? wants : "another");
            free(has);
            free(wants);
            break;
        }
    free(text);
    json_decref(read);
    json_decref(theirs);
    json_decref(ours);
    return status;
}
