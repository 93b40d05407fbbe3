/* SPDX-License-Identifier: MIT */
#include "lib/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/mapping.h"
#include "lib/sink.h"
#include "lib/stream.h"

#define MOST_HEADER (UINT64_C(64) << 20)
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
    char *text = complete ? json_dumps(header, JSON_COMPACT) : NULL, *padded = NULL;
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

/* The digest of all that will be written, into the header. */
static bnnep_status add_digest(const struct writing *w) {
    uint32_t digest = add_to_digest(0, w->header, strlen(w->header));
    char text[9];
    for (size_t i = 0; i < w->count; i++) {
        const bnnep_status status = fill(w->name, &w->tensors[i], w->buffer);
        if (status != BNNEP_OK)
            return status;
        digest = add_to_digest(digest, w->buffer, bnnep_tensor_bytes(&w->tensors[i]));
    }
    snprintf(text, sizeof text, "%08x", digest);
    memcpy(strstr(w->header, digest_key) + sizeof digest_key - 1, text, 8);
    return BNNEP_OK;
}

static bnnep_status write_parts(const struct writing *w, struct bnnep_output *output) {
    const uint64_t length = strlen(w->header);
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(length >> (8 * i));
    bnnep_status status = bnnep_output_write(output, prefix, 8);
    if (status == BNNEP_OK)
        status = bnnep_output_write(output, w->header, length);
    for (size_t i = 0; status == BNNEP_OK && i < w->count; i++) {
        status = fill(w->name, &w->tensors[i], w->buffer);
        if (status == BNNEP_OK)
            status = bnnep_output_write(output, w->buffer, bnnep_tensor_bytes(&w->tensors[i]));
    }
    return status;
}

bnnep_status bnnep_container_write(const bnnep_context *context, const bnnep_sink *sink, const json_t *metadata,
                                   const struct bnnep_tensor *tensors, size_t count) {
    struct writing w = {.name = bnnep_sink_name(sink), .tensors = tensors, .count = count};
    struct bnnep_output output;
    uint64_t largest = 1;
    for (size_t i = 0; i < count; i++)
        largest = bnnep_tensor_bytes(&tensors[i]) > largest ? bnnep_tensor_bytes(&tensors[i]) : largest;
    w.header = make_header(metadata, tensors, count);
    w.buffer = bnnep_take(context, largest, 1);
    bnnep_status status = w.header && w.buffer ? add_digest(&w) : bnnep_fail_memory(w.name, largest);
    if (status == BNNEP_OK) {
        status = bnnep_output_open(&output, sink);
        if (status == BNNEP_OK)
            status = bnnep_output_close(&output, write_parts(&w, &output));
    }
    free(w.header);
    bnnep_give_back(context, w.buffer);
    return status;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* Checks the digest, with its own eight characters as zeros. */
static bnnep_status check_digest(const struct bnnep_container *file, size_t length) {
    const char *header = (const char *)file->bytes + 8, *at = NULL;
    char found[9];
    for (size_t i = 0; i + sizeof digest_key + 8 < length && !at; i++)
        if (memcmp(header + i, digest_key, sizeof digest_key - 1) == 0)
            at = header + i + sizeof digest_key - 1;
    if (!at)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its metadata hold no digest", file->path);
    uint32_t digest = add_to_digest(0, header, (uint64_t)(at - header));
    digest = add_to_digest(digest, "00000000", 8);
    digest = add_to_digest(digest, at + 8, file->size - 8 - (uint64_t)(at + 8 - header));
    snprintf(found, sizeof found, "%08x", digest);
    if (memcmp(at, found, 8) != 0)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is damaged: its digest is %s, expected %.8s", file->path, found, at);
    return BNNEP_OK;
}

static bnnep_status read_header(struct bnnep_container *file) {
    uint64_t length = 0;
    json_error_t error;
    if (file->size < 8)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %zu, expected the length of a header", file->path,
                          file->size);
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)file->bytes[i] << (8 * i);
    if (length > MOST_HEADER || length > file->size - 8 || length % 8 != 0)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: a header of %llu bytes, in a file of %zu", file->path,
                          (unsigned long long)length, file->size);
    const bnnep_status status = check_digest(file, (size_t)length);
    if (status != BNNEP_OK)
        return status;
    file->header = json_loadb((const char *)file->bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(file->header))
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its header is no JSON object: %s", file->path, error.text);
    file->data = file->bytes + 8 + length;
    file->data_size = file->size - 8 - (size_t)length;
    return BNNEP_OK;
}

bnnep_status bnnep_container_open(const bnnep_context *context, const bnnep_source *source,
                                  struct bnnep_container *file) {
    *file = (struct bnnep_container){.context = context, .path = bnnep_source_name(source)};
    bnnep_status status = bnnep_container_map(source, file);
    if (status == BNNEP_OK)
        status = read_header(file);
    if (status != BNNEP_OK)
        bnnep_container_close(file);
    return status;
}

void bnnep_container_close(struct bnnep_container *file) {
    json_decref(file->header);
    file->header = NULL;
    bnnep_container_unmap(file);
}

const char *bnnep_container_text(const struct bnnep_container *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

json_t *bnnep_container_json(const struct bnnep_container *file, const char *key) {
    const char *text = bnnep_container_text(file, key);
    json_t *value = text ? json_loads(text, 0, NULL) : NULL;
    if (json_is_object(value))
        return value;
    bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its metadata hold no %s", file->path, key);
    json_decref(value);
    return NULL;
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
