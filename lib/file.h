/* SPDX-License-Identifier: MIT */
/* Checkpoints and network files: a network, and what an optimizer must remember, in a safetensors container. */
#ifndef BNNEP_FILE_H
#define BNNEP_FILE_H

#include "lib/record.h"

/* --- tensors.c: lists of tensors are the caller's to give back, on failure too -------------------------------- */

/* What a file holds: parameters; momenta too; means of activations, too. */
enum bnnep_held { BNNEP_HELD_PARAMETERS, BNNEP_HELD_MOMENTA, BNNEP_HELD_MEANS };

/* Bytes of all tensors of a checkpoint, at most. */
uint64_t bnnep_tensors_bytes(const struct bnnep_model *model);
/* All tensors to write of a network, and of an optimizer if it is not NULL. */
bnnep_status bnnep_tensors_of(const bnnep_network *net, const bnnep_optimizer *opt, struct bnnep_tensor **tensors,
                              size_t *count);
/* All tensors that a network of these connections reads from a file, checked. */
bnnep_status bnnep_tensors_find(const struct bnnep_container *file, const struct bnnep_link *links, size_t connections,
                                enum bnnep_held held, struct bnnep_tensor **tensors, size_t *count);
/* Sets the parameters from the tensors found. */
bnnep_status bnnep_tensors_take(const struct bnnep_container *file, const struct bnnep_tensor *tensors, size_t count,
                                bnnep_network *net, bnnep_optimizer *opt);

/* --- checkpoint.c --------------------------------------------------------------------------------------------- */

/* Opens a file of ours; for `own` see bnnep_container_open(). */
bnnep_status bnnep_file_open(const bnnep_context *context, const bnnep_source *theirs, uint64_t own,
                             struct bnnep_container *file);

#endif
