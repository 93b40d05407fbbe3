/* SPDX-License-Identifier: MIT */
/* The bytes of a container's source, at one place. */
#ifndef BNNEP_MAPPING_H
#define BNNEP_MAPPING_H

#include "lib/container.h"

/* Sets file->bytes and size: a mapping of a file, the caller's memory, or a copy of what a callback delivers. */
bnnep_status bnnep_container_map(const bnnep_source *source, struct bnnep_container *file);
void bnnep_container_unmap(struct bnnep_container *file);

#endif
