/* SPDX-License-Identifier: MIT */
/* Checkpoints and network files: a network, and what an optimizer must remember, in a safetensors container. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/container.h"

#define FORMAT_VERSION "1"

/* --- descriptions ------------------------------------------------------------------------------------------------- */

static json_t *describe_network(const bnnep_network *net) {
    const bnnep_network_options *o = &net->options;
    json_t *connections = json_array();
    for (size_t k = 0; k < net->model.connections; k++) {
        const struct bnnep_link *link = &net->links[k];
        json_array_append_new(connections,
                              json_pack("{s:i, s:I, s:I, s:I, s:I}", "kind", link->kind, "outputs",
                                        (json_int_t)link->rows, "kernel", (json_int_t)link->kernel, "padding",
                                        (json_int_t)link->padding, "pool", (json_int_t)link->pool));
    }
    return json_pack("{s:i, s:[i,i,i], s:i, s:i, s:f, s:f, s:i, s:f, s:i, s:o}", "dynamics", o->dynamics, "input",
                     o->input_channels, o->input_height, o->input_width, "classes", o->classes, "expand_output",
                     o->expand_output, "theta", (double)o->theta, "gamma_neur", (double)o->gamma_neur, "free_steps",
                     o->free_steps, "settle_tolerance", (double)o->settle_tolerance, "grid_bits", o->grid_bits,
                     "connections", connections);
}

static json_t *list(const double *values, size_t count) {
    json_t *array = json_array();
    for (size_t k = 0; values && k < count; k++)
        json_array_append_new(array, json_real(values[k]));
    return array;
}

/* What an optimizer was made with. */
static json_t *describe_optimizer(const bnnep_optimizer *opt) {
    const bnnep_optimizer_options *o = &opt->options;
    const size_t count = opt->network->model.connections;
    return json_pack("{s:i, s:i, s:f, s:b, s:b, s:I, s:b, s:o, s:o, s:o, s:o}", "method", o->method, "nudged_steps",
                     o->nudged_steps, "beta", (double)o->beta, "random_beta", o->random_beta != 0, "shuffle",
                     o->shuffle != 0, "seed", (json_int_t)o->seed, "momentum_noise", o->momentum_noise != 0, "gamma",
                     list(opt->gamma, count), "threshold", list(opt->threshold, count), "lr_bias",
                     list(opt->lr_bias, count), "lr_alpha", list(opt->first_lr_alpha, count));
}

/* Where a run stands: counters, sums of the epoch under way, current learning rates. */
static json_t *describe_position(const bnnep_optimizer *opt) {
    const struct bnnep_sums *r = &opt->epoch;
    json_t *flips = json_array();
    for (size_t k = 0; k < opt->network->model.connections; k++)
        json_array_append_new(flips, json_integer((json_int_t)opt->epoch_flips[k]));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:i, s:i, s:f, s:o, s:o}", "batches",
                     (json_int_t)opt->batches, "epochs", (json_int_t)opt->epochs, "epoch_count",
                     (json_int_t)opt->epoch_count, "epoch_batch_size", (json_int_t)opt->epoch_batch_size, "samples",
                     (json_int_t)r->samples, "epoch_batches", (json_int_t)r->batches, "errors", (json_int_t)r->errors,
                     "errors_single", (json_int_t)r->errors_single, "loss", r->loss, "steps_free", r->steps_free,
                     "steps_nudged", r->steps_nudged, "steps_free_max", (int)r->steps_free_max, "steps_nudged_max",
                     (int)r->steps_nudged_max, "seconds", r->seconds, "flips", flips, "lr_alpha",
                     list(opt->lr_alpha, opt->network->model.connections));
}

static bool put_json(json_t *metadata, const char *key, json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    const bool done = text && json_object_set_new(metadata, key, json_string(text)) == 0;
    free(text);
    json_decref(value);
    return done;
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

static bnnep_status fill_momentum(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_optimizer_get_momentum(from, k, bytes, count);
}

static bnnep_status fill_alpha(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_network_get_alpha(from, k, bytes, count);
}

static bnnep_status fill_bias(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_network_get_bias(from, k, bytes, count);
}

static bnnep_status fill_signs(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_network_get_sign_bits(from, k, bytes, count);
}

enum { KINDS = 4 };

/* The tensors of a file, floats first so that all are aligned. NULL if out of memory. */
static struct bnnep_tensor *list_tensors(const struct bnnep_link *links, size_t connections, bool momenta,
                                         size_t *count) {
    struct bnnep_tensor *tensors = bnnep_array(connections * KINDS, sizeof *tensors);
    static const char *const names[KINDS] = {"momentum", "alpha", "bias", "signs"};
    *count = 0;
    for (int kind = momenta ? 0 : 1; tensors && kind < KINDS; kind++)
        for (size_t k = 0; k < connections; k++) {
            const struct bnnep_link *link = &links[k];
            struct bnnep_tensor *t = &tensors[(*count)++];
            snprintf(t->name, sizeof t->name, "connection.%zu.%s", k, names[kind]);
            t->connection = k;
            t->is_float = kind < 3;
            t->rows = kind == 1 ? link->scales : link->rows;
            t->columns = kind == 0 ? link->columns : kind == 3 ? (link->columns + 7) / 8 : 0;
            t->fill = kind == 0 ? fill_momentum : kind == 1 ? fill_alpha : kind == 2 ? fill_bias : fill_signs;
        }
    return tensors;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* The metadata of a file. */
static bnnep_status describe(const bnnep_network *net, const bnnep_optimizer *opt, const char *path, json_t *note,
                             json_t *metadata) {
    if (opt && !isfinite(opt->epoch.loss))
        return bnnep_fail(BNNEP_ERROR_DATA, "%s: not written: the loss of the epoch is %g", path, opt->epoch.loss);
    bool complete =
        metadata &&
        json_object_set_new(metadata, "format", json_string(opt ? "bnnep-checkpoint" : "bnnep-network")) == 0 &&
        json_object_set_new(metadata, "format_version", json_string(FORMAT_VERSION)) == 0 &&
        json_object_set_new(metadata, "library", json_string(bnnep_version_string())) == 0 &&
        json_object_set(metadata, "note", note) == 0 && put_json(metadata, "network", describe_network(net));
    if (opt)
        complete = complete && put_json(metadata, "optimizer", describe_optimizer(opt)) &&
                   put_json(metadata, "position", describe_position(opt));
    return complete ? BNNEP_OK : bnnep_fail_memory(path, 0);
}

/* opt NULL: without momenta. */
static bnnep_status save(const bnnep_network *net, const bnnep_optimizer *opt, const char *path, const char *text) {
    size_t count;
    json_error_t error;
    json_t *note = json_pack_ex(&error, 0, "s", text ? text : ""), *metadata = json_object();
    if (!note && json_error_code(&error) == json_error_invalid_utf8) {
        json_decref(metadata);
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: not written: the note is not UTF-8", path);
    }
    struct bnnep_tensor *tensors = list_tensors(net->links, net->model.connections, opt != NULL, &count);
    bnnep_status status = tensors ? describe(net, opt, path, note, metadata) : bnnep_fail_memory(path, 0);
    for (size_t i = 0; status == BNNEP_OK && i < count; i++)
        tensors[i].from = tensors[i].fill == fill_momentum ? (const void *)opt : (const void *)net;
    if (status == BNNEP_OK)
        status = bnnep_container_write(path, metadata, tensors, count);
    json_decref(note);
    json_decref(metadata);
    free(tensors);
    return status;
}

bnnep_status bnnep_checkpoint_save(const bnnep_optimizer *opt, const char *path, const char *note) {
    if (!opt || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_save: %s is NULL", opt ? "path" : "optimizer");
    return save(opt->network, opt, path, note);
}

bnnep_status bnnep_network_save(const bnnep_network *net, const char *path, const char *note) {
    if (!net || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_save: %s is NULL", net ? "path" : "network");
    return save(net, NULL, path, note);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Opens a file of ours. */
static bnnep_status open_file(const char *path, struct bnnep_container *file) {
    bnnep_status status = bnnep_container_open(path, file);
    if (status != BNNEP_OK)
        return status;
    const char *format = bnnep_container_text(file, "format"), *version = bnnep_container_text(file, "format_version");
    if (!format || (strcmp(format, "bnnep-checkpoint") != 0 && strcmp(format, "bnnep-network") != 0))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its format is %s, expected bnnep-checkpoint or bnnep-network",
                            path, format ? format : "not named");
    else if (!version || strcmp(version, FORMAT_VERSION) != 0)
        status = bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: its format version is %s, libbnnep %s reads version %s", path,
                            version ? version : "not named", bnnep_version_string(), FORMAT_VERSION);
    if (status != BNNEP_OK)
        bnnep_container_close(file);
    return status;
}

/* A JSON text of the metadata, or NULL and a message. */
static json_t *get_json(const struct bnnep_container *file, const char *key) {
    const char *text = bnnep_container_text(file, key);
    json_error_t error;
    json_t *value = text ? json_loads(text, 0, &error) : NULL;
    if (!json_is_object(value)) {
        bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its metadata hold no %s", file->path, key);
        json_decref(value);
        return NULL;
    }
    /* Older files have no grid. */
    if (strcmp(key, "network") == 0 && !json_object_get(value, "grid_bits"))
        json_object_set_new(value, "grid_bits", json_integer(0));
    return value;
}

/* Every field of `ours` must be in the file with the same value. */
static bnnep_status compare(const struct bnnep_container *file, const char *what, json_t *ours) {
    json_t *theirs = get_json(file, what), *value;
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
            if (json_equal(value, found))
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

/* Is a tensor in the file, with values that a network can have? */
static bnnep_status check_tensor(const struct bnnep_container *file, const struct bnnep_tensor *tensor,
                                 const struct bnnep_link *link) {
    const void *bytes;
    char what[4096 + sizeof tensor->name];
    const bnnep_status status = bnnep_container_tensor(file, tensor, &bytes);
    if (status != BNNEP_OK)
        return status;
    snprintf(what, sizeof what, "%s: tensor %s", file->path, tensor->name);
    return tensor->is_float ? bnnep_check_finite(what, bytes, (size_t)bnnep_tensor_count(tensor))
                            : bnnep_check_bits(what, bytes, link);
}

/* All tensors that a network of these connections reads from a file, checked. The caller frees them with free(). */
static bnnep_status find_tensors(const struct bnnep_container *file, const struct bnnep_link *links, size_t connections,
                                 bool momenta, struct bnnep_tensor **tensors, size_t *count) {
    *tensors = list_tensors(links, connections, momenta, count);
    bnnep_status status = *tensors ? BNNEP_OK : bnnep_fail_memory(file->path, 0);
    for (size_t i = 0; status == BNNEP_OK && i < *count; i++)
        status = check_tensor(file, &(*tensors)[i], &links[(*tensors)[i].connection]);
    return status;
}

/* Sets the parameters from the tensors found. */
static bnnep_status take_tensors(const struct bnnep_container *file, const struct bnnep_tensor *tensors, size_t count,
                                 bnnep_network *net, bnnep_optimizer *opt) {
    bnnep_status status = BNNEP_OK;
    for (size_t i = 0; status == BNNEP_OK && i < count; i++) {
        const struct bnnep_tensor *t = &tensors[i];
        const size_t values = (size_t)bnnep_tensor_count(t);
        const void *bytes;
        status = bnnep_container_tensor(file, t, &bytes);
        if (status == BNNEP_OK)
            status = t->fill == fill_momentum ? bnnep_optimizer_set_momentum(opt, t->connection, bytes, values)
                     : t->fill == fill_alpha  ? bnnep_network_set_alpha(net, t->connection, bytes, values)
                     : t->fill == fill_bias   ? bnnep_network_set_bias(net, t->connection, bytes, values)
                                              : bnnep_network_set_sign_bits(net, t->connection, bytes, values);
    }
    return status;
}

static bnnep_status bad_position(const struct bnnep_container *file, const char *field) {
    return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its position's %s cannot be read", file->path, field);
}

/* Can an optimizer have this position? An epoch under way has done whole batches, and has more to do. */
static bool is_position(const bnnep_optimizer *at) {
    const struct bnnep_sums *r = &at->epoch;
    const bool counts = at->batches <= INT64_MAX && at->epochs <= INT64_MAX && at->epoch_count <= INT64_MAX &&
                        r->errors <= r->samples && r->errors_single <= r->samples;
    return counts && (r->batches == 0 ||
                      (r->samples < at->epoch_count && at->epoch_batch_size > 0 &&
                       r->samples / at->epoch_batch_size == r->batches && r->samples % at->epoch_batch_size == 0));
}

/* The position, checked, into copies; nothing of the optimizer changes. */
static bnnep_status read_position(const struct bnnep_container *file, const bnnep_optimizer *opt, bnnep_optimizer *to,
                                  uint64_t *flips, double *lr_alpha) {
    json_t *p = get_json(file, "position");
    json_int_t batches, epochs, count, batch_size, samples, done, errors, single;
    int free_max, nudged_max;
    json_t *flip_list, *alpha_list;
    struct bnnep_sums *r = &to->epoch;
    const size_t L = opt->network->model.connections;
    if (!p)
        return BNNEP_ERROR_FORMAT;
    bnnep_status status = BNNEP_OK;
    if (json_unpack(p, "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:F, s:F, s:F, s:i, s:i, s:F, s:o, s:o}", "batches",
                    &batches, "epochs", &epochs, "epoch_count", &count, "epoch_batch_size", &batch_size, "samples",
                    &samples, "epoch_batches", &done, "errors", &errors, "errors_single", &single, "loss", &r->loss,
                    "steps_free", &r->steps_free, "steps_nudged", &r->steps_nudged, "steps_free_max", &free_max,
                    "steps_nudged_max", &nudged_max, "seconds", &r->seconds, "flips", &flip_list, "lr_alpha",
                    &alpha_list) != 0)
        status = bad_position(file, "counters");
    else if (json_array_size(flip_list) != L)
        status = bad_position(file, "flips");
    else if (json_array_size(alpha_list) != (opt->lr_alpha ? L : 0))
        status = bad_position(file, "lr_alpha");
    else {
        to->batches = (uint64_t)batches;
        to->epochs = (uint64_t)epochs;
        to->epoch_count = (uint64_t)count;
        to->epoch_batch_size = (size_t)batch_size;
        r->samples = (uint64_t)samples;
        r->batches = (uint64_t)done;
        r->errors = (uint64_t)errors;
        r->errors_single = (uint64_t)single;
        r->steps_free_max = (uint32_t)free_max;
        r->steps_nudged_max = (uint32_t)nudged_max;
        for (size_t k = 0; k < L; k++) {
            flips[k] = (uint64_t)json_integer_value(json_array_get(flip_list, k));
            lr_alpha[k] = json_number_value(json_array_get(alpha_list, k));
            if (!(lr_alpha[k] >= 0.0 && lr_alpha[k] <= (double)FLT_MAX))
                status = bad_position(file, "lr_alpha");
        }
        if (status == BNNEP_OK && !is_position(to))
            status = bad_position(file, "counters");
    }
    json_decref(p);
    return status;
}

static bnnep_status load(const struct bnnep_container *file, bnnep_optimizer *opt) {
    const size_t L = opt->network->model.connections;
    bnnep_status status = compare(file, "network", describe_network(opt->network));
    if (status == BNNEP_OK)
        status = compare(file, "optimizer", describe_optimizer(opt));
    if (status != BNNEP_OK)
        return status;
    bnnep_optimizer position = *opt;
    uint64_t *flips = bnnep_array(L, sizeof *flips);
    double *lr_alpha = bnnep_array(L, sizeof *lr_alpha);
    struct bnnep_tensor *tensors = NULL;
    size_t count;
    status =
        flips && lr_alpha ? read_position(file, opt, &position, flips, lr_alpha) : bnnep_fail_memory(file->path, 0);
    if (status == BNNEP_OK)
        status = find_tensors(file, opt->network->links, L, true, &tensors, &count);
    if (status == BNNEP_OK)
        status = take_tensors(file, tensors, count, opt->network, opt);
    if (status == BNNEP_OK) {
        *opt = position;
        for (size_t k = 0; k < L; k++) {
            opt->epoch_flips[k] = flips[k];
            if (opt->lr_alpha)
                opt->lr_alpha[k] = lr_alpha[k];
        }
    }
    free(tensors);
    free(flips);
    free(lr_alpha);
    return status;
}

bnnep_status bnnep_checkpoint_load(bnnep_optimizer *opt, const char *path) {
    if (!opt || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_load: %s is NULL", opt ? "path" : "optimizer");
    struct bnnep_container file;
    bnnep_status status = open_file(path, &file);
    if (status != BNNEP_OK)
        return status;
    if (strcmp(bnnep_container_text(&file, "format"), "bnnep-checkpoint") != 0)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is a network without an optimizer, expected a checkpoint", path);
    else
        status = load(&file, opt);
    bnnep_container_close(&file);
    return status;
}

/* Options of the network in the file; connections has room for `room`. */
static bnnep_status read_network(const struct bnnep_container *file, bnnep_network_options *o,
                                 bnnep_connection *connections, size_t room) {
    json_t *n = get_json(file, "network"), *all;
    double theta, gamma_neur, tolerance;
    if (!n)
        return BNNEP_ERROR_FORMAT;
    bnnep_status status = BNNEP_OK;
    if (json_unpack(n, "{s:i, s:[i,i,i], s:i, s:i, s:F, s:F, s:i, s:F, s:i, s:o}", "dynamics", &o->dynamics, "input",
                    &o->input_channels, &o->input_height, &o->input_width, "classes", &o->classes, "expand_output",
                    &o->expand_output, "theta", &theta, "gamma_neur", &gamma_neur, "free_steps", &o->free_steps,
                    "settle_tolerance", &tolerance, "grid_bits", &o->grid_bits, "connections", &all) != 0 ||
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
        o->theta = (float)theta;
        o->gamma_neur = (float)gamma_neur;
        o->settle_tolerance = (float)tolerance;
        o->connections = connections;
        o->connection_count = json_array_size(all);
    }
    json_decref(n);
    return status;
}

/* Makes a network, after checking that the file holds all of it: a file can claim any size. */
static bnnep_status load_network(const struct bnnep_container *file, const bnnep_network_options *o,
                                 bnnep_network **out) {
    struct bnnep_link *links;
    struct bnnep_tensor *tensors;
    size_t count;
    bnnep_status status = bnnep_network_links(o, &links);
    if (status != BNNEP_OK)
        return status;
    status = find_tensors(file, links, o->connection_count, false, &tensors, &count);
    if (status == BNNEP_OK)
        status = bnnep_network_make(o, false, out);
    if (status == BNNEP_OK)
        status = take_tensors(file, tensors, count, *out, NULL);
    if (status != BNNEP_OK) {
        bnnep_network_free(*out);
        *out = NULL;
    }
    free(tensors);
    free(links);
    return status;
}

bnnep_status bnnep_network_load(const char *path, const bnnep_network_options *like, bnnep_network **out) {
    enum { ROOM = 1024 };
    if (out)
        *out = NULL;
    if (!path || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_load: %s is NULL", path ? "out" : "path");
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    struct bnnep_container file;
    bnnep_status status = like ? bnnep_take_options(&o, sizeof o, like, "bnnep_network_options") : BNNEP_OK;
    if (status == BNNEP_OK)
        status = open_file(path, &file);
    if (status != BNNEP_OK)
        return status;
    bnnep_connection *connections = bnnep_array(ROOM, sizeof *connections);
    status =
        connections ? read_network(&file, &o, connections, ROOM) : bnnep_fail_memory(path, ROOM * sizeof *connections);
    if (status == BNNEP_OK)
        status = load_network(&file, &o, out);
    free(connections);
    bnnep_container_close(&file);
    return status;
}

/* A text of a file's metadata, for function `caller`. */
static bnnep_status copy_text(const char *caller, const char *path, const char *key, char *text, size_t room,
                              size_t *length) {
    if (!path || !key || (!text && room > 0))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: %s is NULL", caller, !path ? "path" : !key ? "key" : "text");
    struct bnnep_container file;
    bnnep_status status = open_file(path, &file);
    if (status != BNNEP_OK)
        return status;
    const char *found = bnnep_container_text(&file, key);
    if (room > 0)
        snprintf(text, room, "%s", found ? found : "");
    if (length)
        *length = found ? strlen(found) : 0;
    bnnep_container_close(&file);
    return status;
}

bnnep_status bnnep_file_note(const char *path, char *note, size_t room, size_t *length) {
    return copy_text("bnnep_file_note", path, "note", note, room, length);
}

bnnep_status bnnep_file_text(const char *path, const char *key, char *text, size_t room, size_t *length) {
    return copy_text("bnnep_file_text", path, key, text, room, length);
}
