/* SPDX-License-Identifier: MIT */
/* Data sets inside the library. */
#ifndef BNNEP_DATASET_H
#define BNNEP_DATASET_H

#include "lib/internal.h"

#define BNNEP_MOST_CLASSES 65536

/* Where the inputs of data sets lie; shared by those that were made from another. One of: memory, a callback, parts. */
struct bnnep_store {
    atomic_uint references;
    bnnep_context *context;
    bnnep_dataset_options options;
    size_t values; /* in one input */
    uint64_t count;
    int32_t classes;    /* as declared, or the largest label + 1; 0 if not known */
    bool labelled;      /* has labels */
    bool owned;         /* the two arrays */
    const void *inputs; /* NULL: not in memory */
    const int32_t *labels;
    bnnep_read_fn read; /* NULL: no callback */
    void *user;
    bnnep_dataset **part; /* [parts] */
    size_t parts;
};

/* A view of a store. */
struct bnnep_dataset {
    struct bnnep_store *store;
    uint64_t first, count;
    uint64_t *order; /* [count] places in the store, or NULL for first ... first+count-1 */
    bool flip;
    int32_t crop;
    float *mean; /* [2][channels]: mean and deviation, or NULL */
};

/* What the random part of a transform is drawn by: with a place of the data set, from `base` on. */
struct bnnep_lot {
    uint64_t seed, epoch, base;
};

/* Reads the inputs at places indices[] of the data set; lot NULL: without the random part of a transform. Labels are -1
 * where there are none. */
bnnep_status bnnep_dataset_gather(const bnnep_dataset *dataset, const uint64_t *indices, size_t count,
                                  const struct bnnep_lot *lot, float *inputs, int32_t *labels);
bnnep_status bnnep_dataset_matches(const bnnep_dataset *dataset, const bnnep_network *network);
/* A data set that takes over the two arrays, of the context (not NULL), on failure too; labels may be NULL. */
bnnep_status bnnep_dataset_adopt(bnnep_context *context, const bnnep_dataset_options *options, void *inputs,
                                 int32_t *labels, uint64_t count, bnnep_dataset **out);
void bnnep_store_release(struct bnnep_store *store);

#endif
