/* SPDX-License-Identifier: MIT */
/*
 * The safetensors container: the length of a JSON header (8 bytes, little-endian), the header, the tensors' bytes. The
 * header's "__metadata__" holds texts; one of them, "digest", is the CRC-32 of the whole file behind the length, with
 * itself as eight zeros.
 */
#ifndef BNNEP_CONTAINER_H
#define BNNEP_CONTAINER_H

#include <jansson.h>

#include "lib/internal.h"

/* A tensor to write: `fill` puts its bytes into a buffer. */
struct bnnep_tensor {
    char name[64];
    bool is_float;          /* F32, else U8 */
    uint64_t rows, columns; /* columns 0: a vector of `rows` */
    size_t connection;
    bnnep_status (*fill)(const void *from, size_t connection, void *bytes, size_t count);
    const void *from;
};

uint64_t bnnep_tensor_count(const struct bnnep_tensor *tensor);
uint64_t bnnep_tensor_bytes(const struct bnnep_tensor *tensor);

struct bnnep_output;
/* Writes a file. Refuses values that are not finite. Metadata: a JSON object of strings, without "digest". */
bnnep_status bnnep_container_write(const bnnep_context *context, struct bnnep_output *output, const json_t *metadata,
                                   const struct bnnep_tensor *tensors, size_t count);

/* A file open for reading, its digest checked. */
struct bnnep_container {
    const bnnep_context *context;
    const char *path; /* what messages call it */
    char *header_text;
    size_t header_size;
    json_t *header;
    uint8_t *data;
    size_t data_size;
    uint64_t most_data;
};

/* `own`: bytes of tensors that it may have beyond what the context allows, as handles have as many. */
bnnep_status bnnep_container_open(const bnnep_context *context, const bnnep_source *source, uint64_t own,
                                  struct bnnep_container *file);
void bnnep_container_close(struct bnnep_container *file);
/* A text of the metadata, or NULL. */
const char *bnnep_container_text(const struct bnnep_container *file, const char *key);
/* The same read as a JSON object, which is new; NULL on failure. */
bnnep_status bnnep_container_json(const struct bnnep_container *file, const char *key, json_t **out);
/* The bytes of a tensor, whose name, type and shape must be those of `wanted`; in place, aligned for its type. */
bnnep_status bnnep_container_tensor(const struct bnnep_container *file, const struct bnnep_tensor *wanted,
                                    const void **bytes);

#endif
