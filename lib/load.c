/* SPDX-License-Identifier: MIT */
/* Networks from files, and the texts of files. */
#include <stdio.h>
#include <string.h>

#include "lib/file.h"
#include "lib/stream.h"

/* A few bytes can describe a network of any size. */
static bnnep_status check_memory(bnnep_context *context, const struct bnnep_container *file,
                                 const bnnep_network_options *o) {
    uint64_t bytes;
    const bnnep_status status = bnnep_network_memory(context, o, 0, &bytes);
    if (status != BNNEP_OK || bytes <= context->file_network)
        return status;
    return bnnep_fail(BNNEP_ERROR_MEMORY,
                      "%s: its network takes %llu bytes with max_batch %d; the context's file_network allows %llu",
                      file->path, (unsigned long long)bytes, o->max_batch, (unsigned long long)context->file_network);
}

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
    status = bnnep_tensors_find(file, shape->link, o->connection_count, BNNEP_HELD_PARAMETERS, &tensors, &count);
    if (status == BNNEP_OK)
        status = check_memory(context, file, o);
    if (status == BNNEP_OK)
        status = bnnep_network_make(context, o, false, &net);
    if (status == BNNEP_OK)
        status = bnnep_tensors_take(file, tensors, count, net, NULL);
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
    status = bnnep_file_open(context, source, 0, &file);
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
    status = bnnep_file_open(context, source, 0, &file);
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
