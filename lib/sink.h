/* SPDX-License-Identifier: MIT */
/* Writing to a sink. */
#ifndef BNNEP_SINK_H
#define BNNEP_SINK_H

#include "lib/internal.h"

enum { BNNEP_PATH = 4096 };

struct bnnep_output {
    bnnep_sink sink;
    const char *name;
    char temporary[BNNEP_PATH];
    int file;         /* of a path; else -1 */
    uint64_t written; /* bytes */
};

bnnep_status bnnep_take_sink(bnnep_sink *sink, const bnnep_sink *theirs);
const char *bnnep_sink_name(const bnnep_sink *sink);

bnnep_status bnnep_output_open(struct bnnep_output *output, const bnnep_sink *sink);
bnnep_status bnnep_output_write(struct bnnep_output *output, const void *bytes, uint64_t count);
/* Can what was written be written over? Not what a callback has. */
bool bnnep_output_can_go_back(const struct bnnep_output *output);
bnnep_status bnnep_output_write_over(struct bnnep_output *output, uint64_t offset, const void *bytes, size_t count);
/* What was written so far, to be read back; false if that cannot be. */
bool bnnep_output_source(const struct bnnep_output *output, bnnep_source *source);
/* Ends the output: what was written takes its place, or, after a failure `status`, is discarded. */
bnnep_status bnnep_output_close(struct bnnep_output *output, bnnep_status status);

#endif
