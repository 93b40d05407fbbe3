/* SPDX-License-Identifier: MIT */
/* The networks whose files are kept, and what is told of them. */
#ifndef BNNEP_TESTS_FILES_H
#define BNNEP_TESTS_FILES_H

#include "support.h"

/* A run that stands within its second epoch, with rates and a relaxation that it was not made with. */
struct run {
    bnnep_context *context;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    bnnep_dataset *data;
};

/* "little": fully connected, states on a grid. "big": convolutions, binary activations, scaling factors that are
 * learnt. Both are of exact sums, the same on every machine and backend. */
enum { FILE_KINDS = 2 };
extern const char *const file_kinds[FILE_KINDS];

/* What the files of a kind were made with, and must be loaded into. */
struct run run_make(int kind, const char *backend);
/* Trains to where the files were written, or on from there. */
void run_begin(struct run *run);
void run_go_on(struct run *run);
void run_free(struct run *run);

/* Adds a line of text: where the run stands, and the digests of all tensors. */
void run_tell(const struct run *run, char *text, size_t room);
/* The same of a network: its shape, digests, and that of the scores of some inputs. */
void network_tell(const bnnep_network *network, char *text, size_t room);

#endif
