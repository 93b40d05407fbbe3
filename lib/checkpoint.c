/* SPDX-License-Identifier: MIT */
/* Checkpoints and network files: a network, and what an optimizer must remember, in a safetensors container. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/record.h"
#include "lib/sink.h"
#include "lib/stream.h"

#define FORMAT_VERSION "1"

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
static struct bnnep_tensor *list_tensors(const bnnep_context *context, const struct bnnep_link *links,
                                         size_t connections, bool momenta, size_t *count) {
    struct bnnep_tensor *tensors = bnnep_take(context, connections * KINDS, sizeof *tensors);
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

static bool put_json(json_t *metadata, const char *key, json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    const bool done = text && json_object_set_new(metadata, key, json_string(text)) == 0;
    free(text);
    json_decref(value);
    return done;
}

/* The metadata of a file. Nothing that it says needs more than its version: `requires` names no feature. */
static bnnep_status describe(const bnnep_network *net, const bnnep_optimizer *opt, const char *name, json_t *note,
                             json_t *metadata) {
    if (opt && !isfinite(opt->epoch.loss))
        return bnnep_fail(BNNEP_ERROR_DATA, "%s: not written: the loss of the epoch is %g", name, opt->epoch.loss);
    bool complete =
        metadata &&
        json_object_set_new(metadata, "format", json_string(opt ? "bnnep-checkpoint" : "bnnep-network")) == 0 &&
        json_object_set_new(metadata, "format_version", json_string(FORMAT_VERSION)) == 0 &&
        json_object_set_new(metadata, "requires", json_string("[]")) == 0 &&
        json_object_set_new(metadata, "library", json_string(bnnep_version_string())) == 0 &&
        json_object_set(metadata, "note", note) == 0 &&
        put_json(metadata, "network", bnnep_record_network(net, opt == NULL));
    if (opt)
        complete = complete && put_json(metadata, "optimizer", bnnep_record_optimizer(opt)) &&
                   put_json(metadata, "position", bnnep_record_position(opt));
    return complete ? BNNEP_OK : bnnep_fail_memory(name, 0);
}

/* opt NULL: without momenta. */
static bnnep_status save(const bnnep_network *net, const bnnep_optimizer *opt, const bnnep_sink *theirs,
                         const char *text) {
    size_t count;
    json_error_t error;
    bnnep_sink sink;
    bnnep_status status = bnnep_take_sink(&sink, theirs);
    if (status != BNNEP_OK)
        return status;
    const char *name = bnnep_sink_name(&sink);
    json_t *note = json_pack_ex(&error, 0, "s", text ? text : ""), *metadata = json_object();
    if (!note && json_error_code(&error) == json_error_invalid_utf8) {
        json_decref(metadata);
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: not written: the note is not UTF-8", name);
    }
    struct bnnep_tensor *tensors =
        list_tensors(net->context, net->shape->link, net->model.connections, opt != NULL, &count);
    status = tensors ? describe(net, opt, name, note, metadata) : bnnep_fail_memory(name, 0);
    for (size_t i = 0; status == BNNEP_OK && i < count; i++)
        tensors[i].from = tensors[i].fill == fill_momentum ? (const void *)opt : (const void *)net;
    if (status == BNNEP_OK)
        status = bnnep_container_write(net->context, &sink, metadata, tensors, count);
    json_decref(note);
    json_decref(metadata);
    bnnep_give_back(net->context, tensors);
    return status;
}

bnnep_status bnnep_checkpoint_write(const bnnep_optimizer *opt, const bnnep_sink *sink, const char *note) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_write: optimizer is NULL");
    return save(opt->network, opt, sink, note);
}

bnnep_status bnnep_network_write(const bnnep_network *net, const bnnep_sink *sink, const char *note) {
    if (!net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_write: network is NULL");
    return save(net, NULL, sink, note);
}

bnnep_status bnnep_checkpoint_save(const bnnep_optimizer *opt, const char *path, const char *note) {
    if (!opt || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_save: %s is NULL", opt ? "path" : "optimizer");
    return save(opt->network, opt, &(bnnep_sink){.size = sizeof(bnnep_sink), .path = path}, note);
}

bnnep_status bnnep_network_save(const bnnep_network *net, const char *path, const char *note) {
    if (!net || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_save: %s is NULL", net ? "path" : "network");
    return save(net, NULL, &(bnnep_sink){.size = sizeof(bnnep_sink), .path = path}, note);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* A file may need features that came after its version; this library knows none. */
static bnnep_status check_requires(const struct bnnep_container *file) {
    const char *text = bnnep_container_text(file, "requires");
    json_t *list = text ? json_loads(text, 0, NULL) : json_array(), *feature;
    size_t i;
    bnnep_status status = BNNEP_OK;
    if (!json_is_array(list))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: what it requires is no list", file->path);
    else
        json_array_foreach(list, i, feature) {
            const char *name = json_string_value(feature);
            status = bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: requires '%.64s', which libbnnep %s does not know",
                                file->path, name ? name : "something", bnnep_version_string());
            break;
        }
    json_decref(list);
    return status;
}

/* Opens a file of ours. */
static bnnep_status open_file(const bnnep_context *context, const bnnep_source *theirs, struct bnnep_container *file) {
    bnnep_source source;
    bnnep_status status = bnnep_take_source(&source, theirs);
    if (status == BNNEP_OK)
        status = bnnep_container_open(context, &source, file);
    if (status != BNNEP_OK)
        return status;
    const char *format = bnnep_container_text(file, "format"), *version = bnnep_container_text(file, "format_version");
    if (!format || (strcmp(format, "bnnep-checkpoint") != 0 && strcmp(format, "bnnep-network") != 0))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its format is %s, expected bnnep-checkpoint or bnnep-network",
                            file->path, format ? format : "not named");
    else if (!version || strcmp(version, FORMAT_VERSION) != 0)
        status = bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: its format version is %s, libbnnep %s reads version %s",
                            file->path, version ? version : "not named", bnnep_version_string(), FORMAT_VERSION);
    else
        status = check_requires(file);
    if (status != BNNEP_OK)
        bnnep_container_close(file);
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

/* All tensors that a network of these connections reads from a file, checked. The caller gives them back. */
static bnnep_status find_tensors(const struct bnnep_container *file, const struct bnnep_link *links, size_t connections,
                                 bool momenta, struct bnnep_tensor **tensors, size_t *count) {
    *tensors = list_tensors(file->context, links, connections, momenta, count);
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

/* --- checkpoints -------------------------------------------------------------------------------------------------- */

static bnnep_status load(const struct bnnep_container *file, bnnep_optimizer *opt) {
    const bnnep_network *net = opt->network;
    const size_t L = net->model.connections;
    if (strcmp(bnnep_container_text(file, "format"), "bnnep-checkpoint") != 0)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is a network without an optimizer, expected a checkpoint",
                          file->path);
    bnnep_status status = bnnep_record_compare(file, "network", bnnep_record_network(net, false));
    if (status == BNNEP_OK)
        status = bnnep_record_compare(file, "optimizer", bnnep_record_optimizer(opt));
    if (status != BNNEP_OK)
        return status;
    struct bnnep_run_position position;
    struct bnnep_tensor *tensors = NULL;
    size_t count;
    status = bnnep_record_read_position(file, opt, &position);
    if (status == BNNEP_OK)
        status = find_tensors(file, net->shape->link, L, true, &tensors, &count);
    if (status == BNNEP_OK)
        status = take_tensors(file, tensors, count, opt->network, opt);
    if (status == BNNEP_OK)
        bnnep_position_take(&position, opt);
    bnnep_give_back(file->context, tensors);
    bnnep_position_free(file->context, &position);
    return status;
}

bnnep_status bnnep_checkpoint_read(bnnep_optimizer *opt, const bnnep_source *source) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_read: optimizer is NULL");
    struct bnnep_container file;
    bnnep_status status = open_file(opt->network->context, source, &file);
    if (status != BNNEP_OK)
        return status;
    status = load(&file, opt);
    bnnep_container_close(&file);
    return status;
}

bnnep_status bnnep_checkpoint_load(bnnep_optimizer *opt, const char *path) {
    if (!opt || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_load: %s is NULL", opt ? "path" : "optimizer");
    return bnnep_checkpoint_read(opt, &(bnnep_source){.size = sizeof(bnnep_source), .path = path});
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

/* Makes a network, after checking that the file holds all of it: a file can claim any size. */
static bnnep_status load_network(bnnep_context *context, const struct bnnep_container *file,
                                 const bnnep_network_options *o, bnnep_network **out) {
    struct bnnep_shape *shape;
    struct bnnep_tensor *tensors = NULL;
    size_t count;
    bnnep_network *net = NULL;
    bnnep_status status = bnnep_describe(context, o, &shape);
    if (status == BNNEP_ERROR_ARGUMENT) { /* the file's, as max_batch was checked */
        char what[512];
        snprintf(what, sizeof what, "%s", bnnep_last_error());
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: %s", file->path, what);
    }
    if (status != BNNEP_OK)
        return status;
    status = find_tensors(file, shape->link, o->connection_count, false, &tensors, &count);
    if (status == BNNEP_OK)
        status = bnnep_network_make(context, o, false, &net);
    if (status == BNNEP_OK)
        status = take_tensors(file, tensors, count, net, NULL);
    if (status != BNNEP_OK) {
        bnnep_network_free(net);
        net = NULL;
    }
    *out = net;
    bnnep_give_back(context, tensors);
    bnnep_give_back(context, shape);
    return status;
}

/* The network of an open file. */
static bnnep_status make_network(bnnep_context *context, const struct bnnep_container *file, int32_t max_batch,
                                 bnnep_network **out) {
    enum { ROOM = 1024 };
    bnnep_network_options o;
    bnnep_connection *connections = bnnep_take(context, ROOM, sizeof *connections);
    if (!connections)
        return bnnep_fail_memory(file->path, ROOM * sizeof *connections);
    bnnep_network_options_init(&o, sizeof o);
    o.max_batch = max_batch;
    bnnep_status status = bnnep_record_read_network(file, &o, connections, ROOM);
    if (status == BNNEP_OK)
        status = load_network(context, file, &o, out);
    bnnep_give_back(context, connections);
    return status;
}

bnnep_status bnnep_network_read(bnnep_context *given, const bnnep_source *source, const bnnep_load_options *theirs,
                                bnnep_network **out) {
    if (out)
        *out = NULL;
    else
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_read: out is NULL");
    bnnep_load_options o;
    bnnep_context *context;
    struct bnnep_container file;
    bnnep_status status = bnnep_take_load_options(&o, theirs);
    if (status == BNNEP_OK)
        status = bnnep_check_reserved(o.reserved, "bnnep_load_options");
    if (status == BNNEP_OK)
        status = bnnep_check_max_batch(o.max_batch);
    if (status == BNNEP_OK)
        status = bnnep_context_use(given, &context);
    if (status != BNNEP_OK)
        return status;
    status = open_file(context, source, &file);
    if (status == BNNEP_OK) {
        status = make_network(context, &file, o.max_batch, out);
        bnnep_container_close(&file);
    }
    bnnep_context_free(context);
    return status;
}

bnnep_status bnnep_network_load(bnnep_context *context, const char *path, const bnnep_load_options *options,
                                bnnep_network **out) {
    if (out)
        *out = NULL;
    if (!path || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_load: %s is NULL", path ? "out" : "path");
    return bnnep_network_read(context, &(bnnep_source){.size = sizeof(bnnep_source), .path = path}, options, out);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

bnnep_status bnnep_source_text(const bnnep_source *source, const char *key, char *text, size_t room, size_t *length) {
    if (!source || !key || (!text && room > 0))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_source_text: %s is NULL",
                          !source ? "source"
                          : !key  ? "key"
                                  : "text");
    struct bnnep_container file;
    bnnep_context *context;
    bnnep_status status = bnnep_context_use(NULL, &context);
    if (status != BNNEP_OK)
        return status;
    status = open_file(context, source, &file);
    if (status == BNNEP_OK) {
        const char *found = bnnep_container_text(&file, key);
        if (room > 0)
            snprintf(text, room, "%s", found ? found : "");
        if (length)
            *length = found ? strlen(found) : 0;
        bnnep_container_close(&file);
    }
    bnnep_context_free(context);
    return status;
}

bnnep_status bnnep_file_text(const char *path, const char *key, char *text, size_t room, size_t *length) {
    if (!path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_file_text: path is NULL");
    return bnnep_source_text(&(bnnep_source){.size = sizeof(bnnep_source), .path = path}, key, text, room, length);
}
