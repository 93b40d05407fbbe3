/* SPDX-License-Identifier: MIT */
/* The bytes of a source, one after the other. */
#ifndef BNNEP_STREAM_H
#define BNNEP_STREAM_H

#include "lib/internal.h"

struct bnnep_stream;

/* Opens a source of the caller's; with `inflated`, bytes that are compressed with gzip come out as they were before. */
bnnep_status bnnep_stream_open(const bnnep_context *context, const bnnep_source *theirs, bool inflated,
                               struct bnnep_stream **out);
/* Bytes that the source has, as they are; UINT64_MAX if that cannot be known. */
uint64_t bnnep_stream_size(const struct bnnep_stream *stream);
/* Refuses more bytes out of the stream than the context allows. */
bnnep_status bnnep_stream_check(const struct bnnep_stream *stream, uint64_t bytes);
/* Reads up to `wanted` bytes; sets *got to how many there were. */
bnnep_status bnnep_stream_read(struct bnnep_stream *stream, void *to, size_t wanted, size_t *got);
/* What messages call it. */
const char *bnnep_stream_name(const struct bnnep_stream *stream);
void bnnep_stream_close(struct bnnep_stream *stream);

/* Reads up to `most` bytes, or to the end, into a block of bnnep_take() that grows with what there is. The caller gives
 * it back, on failure too. */
bnnep_status bnnep_stream_read_all(struct bnnep_stream *stream, uint64_t most, uint8_t **bytes, uint64_t *count);

/* Checks a source: one of path, bytes and read. */
bnnep_status bnnep_take_source(bnnep_source *source, const bnnep_source *theirs);
const char *bnnep_source_name(const bnnep_source *source);

#endif
