/* SPDX-License-Identifier: MIT */
#include "lib/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/json.h"
#include "lib/sink.h"
#include "lib/stream.h"

static const char digest_key[] = "\"digest\":\"";

uint64_t bnnep_tensor_count(const struct bnnep_tensor *tensor) {
    return tensor->columns ? tensor->rows * tensor->columns : tensor->rows;
}

uint64_t bnnep_tensor_bytes(const struct bnnep_tensor *tensor) {
    return bnnep_tensor_count(tensor) * (tensor->is_float ? sizeof(float) : 1);
}

static uint32_t add_to_digest(uint32_t digest, const void *bytes, uint64_t count) {
    const uint8_t *from = bytes;
    while (count > 0) {
        const uInt some = count < (1u << 30) ? (uInt)count : 1u << 30;
        digest = (uint32_t)crc32(digest, from, some);
        from += some;
        count -= some;
    }
    return digest;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static json_t *describe(const struct bnnep_tensor *tensor, uint64_t offset) {
    json_t *shape = tensor->columns ? json_pack("[I,I]", (json_int_t)tensor->rows, (json_int_t)tensor->columns)
                                    : json_pack("[I]", (json_int_t)tensor->rows);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", tensor->is_float ? "F32" : "U8", "shape", shape, "data_offsets",
                     (json_int_t)offset, (json_int_t)(offset + bnnep_tensor_bytes(tensor)));
}

/* The header as text, padded with spaces to a multiple of 8 bytes; NULL if out of memory. */
static char *make_header(const json_t *metadata, const struct bnnep_tensor *tensors, size_t count) {
    json_t *header = json_object(), *meta = json_deep_copy(metadata);
    uint64_t offset = 0;
    bool complete = header && meta && json_object_set_new(meta, "digest", json_string("00000000")) == 0 &&
                    json_object_set(header, "__metadata__", meta) == 0;
    for (size_t i = 0; complete && i < count; i++) {
        complete = json_object_set_new(header, tensors[i].name, describe(&tensors[i], offset)) == 0;
        offset += bnnep_tensor_bytes(&tensors[i]);
    }
    char *text = complete ? bnnep_json_text(header, JSON_COMPACT) : NULL, *padded = NULL;
    if (text) {
        const size_t length = strlen(text), room = (length + 7) / 8 * 8;
        padded = malloc(room + 1);
        if (padded) {
            memcpy(padded, text, length);
            memset(padded + length, ' ', room - length);
            padded[room] = '\0';
        }
    }
    free(text);
    json_decref(header);
    json_decref(meta);
    return padded;
}

/* A tensor's bytes, into a buffer of their size. Refuses what could not be loaded again. */
static bnnep_status fill(const char *path, const struct bnnep_tensor *tensor, void *buffer) {
    const size_t count = (size_t)bnnep_tensor_count(tensor);
    char what[BNNEP_PATH + sizeof tensor->name];
    const bnnep_status status = tensor->fill(tensor->from, tensor->connection, buffer, count);
    if (status != BNNEP_OK || !tensor->is_float)
        return status;
    snprintf(what, sizeof what, "%s: not written: tensor %s", path, tensor->name);
    return bnnep_check_finite(what, buffer, count);
}

/* A container to write, and room for its largest tensor. */
struct writing {
    const char *name;
    char *header;
    const struct bnnep_tensor *tensors;
    size_t count;
    void *buffer;
};

/* A header that this context would not read is not written. */
static bnnep_status check_header(const bnnep_context *context, const struct writing *w) {
    if (strlen(w->header) <= context->file_header)
        return BNNEP_OK;
    return bnnep_fail(BNNEP_ERROR_MEMORY,
                      "%s: not written: a header of %zu bytes, note included; the context's file_header allows %llu",
                      w->name, strlen(w->header), (unsigned long long)context->file_header);
}

/* Goes through all that is written: into the output, if it is not NULL, and into the digest. */
static bnnep_status go_through(const struct writing *w, struct bnnep_output *output, uint32_t *digest) {
    const uint64_t length = strlen(w->header);
    uint8_t prefix[8];
    bnnep_status status = BNNEP_OK;
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(length >> (8 * i));
    if (output)
        status = bnnep_output_write(output, prefix, sizeof prefix);
    if (output && status == BNNEP_OK)
        status = bnnep_output_write(output, w->header, length);
    *digest = add_to_digest(0, w->header, length);
    for (size_t i = 0; status == BNNEP_OK && i < w->count; i++) {
        const uint64_t bytes = bnnep_tensor_bytes(&w->tensors[i]);
        status = fill(w->name, &w->tensors[i], w->buffer);
        if (status == BNNEP_OK && output)
            status = bnnep_output_write(output, w->buffer, bytes);
        if (status == BNNEP_OK)
            *digest = add_to_digest(*digest, w->buffer, bytes);
    }
    return status;
}

/* The digest stands before what it is of: it is written over afterwards, or where that cannot be, all is gone through
 * twice. */
static bnnep_status write_all(const struct writing *w, struct bnnep_output *output) {
    char *const place = strstr(w->header, digest_key) + sizeof digest_key - 1, text[9];
    const uint64_t offset = 8 + (uint64_t)(place - w->header);
    uint32_t digest;
    const bool later = bnnep_output_can_go_back(output);
    bnnep_status status = go_through(w, later ? output : NULL, &digest);
    if (status != BNNEP_OK)
        return status;
    snprintf(text, sizeof text, "%08x", digest);
    if (later)
        return bnnep_output_write_over(output, offset, text, 8);
    memcpy(place, text, 8);
    return go_through(w, output, &digest);
}

bnnep_status bnnep_container_write(const bnnep_context *context, struct bnnep_output *output, const json_t *metadata,
                                   const struct bnnep_tensor *tensors, size_t count) {
    struct writing w = {.name = output->name, .tensors = tensors, .count = count};
    uint64_t largest = 1;
    for (size_t i = 0; i < count; i++)
        largest = bnnep_tensor_bytes(&tensors[i]) > largest ? bnnep_tensor_bytes(&tensors[i]) : largest;
    w.header = make_header(metadata, tensors, count);
    w.buffer = bnnep_take(context, largest, 1);
    bnnep_status status = w.header && w.buffer ? check_header(context, &w) : bnnep_fail_memory(w.name, largest);
    if (status == BNNEP_OK)
        status = write_all(&w, output);
    free(w.header);
    bnnep_give_back(context, w.buffer);
    return status;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* The digest in the header: eight characters. NULL if there is none. */
static const char *find_digest(const struct bnnep_container *file) {
    const size_t key = sizeof digest_key - 1;
    for (size_t i = 0; i + key + 9 <= file->header_size; i++)
        if (memcmp(file->header_text + i, digest_key, key) == 0)
            return file->header_text + i + key;
    return NULL;
}

/* Checks the digest, with its own eight characters as zeros. */
static bnnep_status check_digest(const struct bnnep_container *file, const char *at) {
    const char *header = file->header_text;
    char found[9];
    uint32_t digest = add_to_digest(0, header, (uint64_t)(at - header));
    digest = add_to_digest(digest, "00000000", 8);
    digest = add_to_digest(digest, at + 8, file->header_size - (uint64_t)(at + 8 - header));
    digest = add_to_digest(digest, file->data, file->data_size);
    snprintf(found, sizeof found, "%08x", digest);
    if (memcmp(at, found, 8) != 0)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is damaged: its digest is %s, expected %.8s", file->path, found, at);
    return BNNEP_OK;
}

/* The header's text. Its length is believed only as far as the file goes on. */
static bnnep_status read_text(struct bnnep_stream *stream, struct bnnep_container *file) {
    const uint64_t most = file->context->file_header;
    uint8_t prefix[8], *text;
    uint64_t length = 0, count;
    size_t got;
    bnnep_status status = bnnep_stream_read(stream, prefix, sizeof prefix, &got);
    if (status == BNNEP_OK && got < sizeof prefix)
        status =
            bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %zu, expected the length of a header", file->path, got);
    if (status != BNNEP_OK)
        return status;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)prefix[i] << (8 * i);
    if (length % 8 != 0 || length > bnnep_stream_size(stream) - sizeof prefix)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: a header of %llu bytes, in a file of %llu", file->path,
                          (unsigned long long)length, (unsigned long long)bnnep_stream_size(stream));
    if (length > most)
        return bnnep_fail(BNNEP_ERROR_MEMORY, "%s: a header of %llu bytes; the context's file_header allows %llu",
                          file->path, (unsigned long long)length, (unsigned long long)most);
    status = bnnep_stream_read_all(stream, length, &text, &count);
    file->header_text = (char *)text;
    file->header_size = (size_t)count;
    if (status == BNNEP_OK && count < length)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %llu, expected a header up to offset %llu",
                            file->path, (unsigned long long)(8 + count), (unsigned long long)(8 + length));
    return status;
}

static bnnep_status read_data(struct bnnep_stream *stream, struct bnnep_container *file) {
    const uint64_t most = file->most_data;
    uint64_t count;
    const bnnep_status status = bnnep_stream_read_all(stream, most < UINT64_MAX ? most + 1 : most, &file->data, &count);
    file->data_size = (size_t)count;
    if (status == BNNEP_OK && count > most)
        return bnnep_fail(BNNEP_ERROR_MEMORY, "%s: holds more than the context's file_network, %llu", file->path,
                          (unsigned long long)most);
    return status;
}

static bnnep_status read_parts(struct bnnep_stream *stream, struct bnnep_container *file) {
    bnnep_status status = read_text(stream, file);
    if (status != BNNEP_OK)
        return status;
    const char *digest = find_digest(file);
    if (!digest)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its metadata hold no digest", file->path);
    status = read_data(stream, file);
    if (status == BNNEP_OK)
        status = check_digest(file, digest);
    if (status == BNNEP_OK)
        status = bnnep_json_read(file->context, file->path, file->header_text, file->header_size, &file->header);
    if (status == BNNEP_OK && !json_is_object(file->header))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its header is no JSON object", file->path);
    return status;
}

bnnep_status bnnep_container_open(const bnnep_context *context, const bnnep_source *source, uint64_t own,
                                  struct bnnep_container *file) {
    struct bnnep_stream *stream;
    *file = (struct bnnep_container){.context = context, .path = bnnep_source_name(source)};
    file->most_data = own > context->file_network ? own : context->file_network;
    bnnep_status status = bnnep_stream_open(context, source, false, &stream);
    if (status == BNNEP_OK)
        status = read_parts(stream, file);
    bnnep_stream_close(stream);
    if (status != BNNEP_OK)
        bnnep_container_close(file);
    return status;
}

void bnnep_container_close(struct bnnep_container *file) {
    json_decref(file->header);
    bnnep_give_back(file->context, file->header_text);
    bnnep_give_back(file->context, file->data);
    *file = (struct bnnep_container){0};
}

const char *bnnep_container_text(const struct bnnep_container *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

bnnep_status bnnep_container_json(const struct bnnep_container *file, const char *key, json_t **out) {
    const char *text = bnnep_container_text(file, key);
    char what[BNNEP_PATH];
    *out = NULL;
    snprintf(what, sizeof what, "%s: its metadata's %s", file->path, key);
    if (!text)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its metadata hold no %s", file->path, key);
    const bnnep_status status = bnnep_json_read(file->context, what, text, strlen(text), out);
    if (status != BNNEP_OK || json_is_object(*out))
        return status;
    json_decref(*out);
    *out = NULL;
    return bnnep_fail(BNNEP_ERROR_FORMAT, "%s is no JSON object", what);
}

bnnep_status bnnep_container_tensor(const struct bnnep_container *file, const struct bnnep_tensor *wanted,
                                    const void **bytes) {
    const json_t *found = json_object_get(file->header, wanted->name);
    if (!found)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: has no tensor %s", file->path, wanted->name);
    const char *type = json_string_value(json_object_get(found, "dtype"));
    const json_t *shape = json_object_get(found, "shape"), *offsets = json_object_get(found, "data_offsets");
    const json_int_t rows = json_integer_value(json_array_get(shape, 0));
    const json_int_t columns = json_integer_value(json_array_get(shape, 1));
    if (!type || strcmp(type, wanted->is_float ? "F32" : "U8") != 0 ||
        json_array_size(shape) != (wanted->columns ? 2 : 1) || rows != (json_int_t)wanted->rows ||
        columns != (json_int_t)wanted->columns)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: tensor %s is %s [%lld, %lld], expected %s [%llu, %llu]", file->path,
                          wanted->name, type ? type : "of no type", (long long)rows, (long long)columns,
                          wanted->is_float ? "F32" : "U8", (unsigned long long)wanted->rows,
                          (unsigned long long)wanted->columns);
    const json_int_t from = json_integer_value(json_array_get(offsets, 0));
    const json_int_t to = json_integer_value(json_array_get(offsets, 1));
    if (from < 0 || to < from || (uint64_t)to > file->data_size ||
        (uint64_t)(to - from) != bnnep_tensor_bytes(wanted) ||
        (wanted->is_float && from % (json_int_t)sizeof(float) != 0))
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: tensor %s lies at %lld to %lld of %zu bytes, expected %llu bytes",
                          file->path, wanted->name, (long long)from, (long long)to, file->data_size,
                          (unsigned long long)bnnep_tensor_bytes(wanted));
    *bytes = file->data + from;
    return BNNEP_OK;
}
