/* SPDX-License-Identifier: MIT */
/* Formats of data files; open.c finds out which one a file has. */
#ifndef BNNEP_FORMATS_H
#define BNNEP_FORMATS_H

#include "lib/dataset.h"

/* idx.c: images, and labels or NULL. */
bnnep_status bnnep_idx_read(bnnep_context *context, const bnnep_source *source, const bnnep_source *labels,
                            int32_t classes, bnnep_dataset **out);

/* cifar10.c: the records of some files, one after the other. */
bnnep_status bnnep_cifar10_read(bnnep_context *context, const bnnep_source *sources, size_t count, bnnep_dataset **out);

#endif
