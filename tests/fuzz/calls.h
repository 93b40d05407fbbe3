/* SPDX-License-Identifier: MIT */
/* Handles, and what must hold between calls: the model of fuzz_calls.c. */
#ifndef BNNEP_FUZZ_CALLS_H
#define BNNEP_FUZZ_CALLS_H

#include "fuzz.h"

enum {
    SLOTS = 3,
    MOST_CONNECTIONS = 3,
    MOST_WEIGHTS = 64,
    MOST_UNITS = 32,
    MOST_INPUTS = 16,
    MOST_BATCH = 4,
    SAMPLES = 7
};

/* A network, an optimizer and a workspace of it, each of which may be missing, and what the model knows of them. */
struct slot {
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    bnnep_workspace *workspace;
    size_t connections, inputs, outputs; /* of whichever is there */
    size_t weights[MOST_CONNECTIONS], rows[MOST_CONNECTIONS], scales[MOST_CONNECTIONS];
    uint64_t batches, epochs; /* that the optimizer must have done */
    uint64_t portrait;        /* before the call under way */
    bool known;               /* the portrait is still right */
};

/* What a slot's network and optimizer hold, in one number: parameters, momenta, rates, position. */
uint64_t slot_parameters(const struct slot *slot);
/* The same, the contrast, and, if `portraits_have_files`, the bytes of the checkpoint, in which the epoch under way is,
 * with its seconds: that takes longer than all calls. */
uint64_t slot_portrait(const struct slot *slot);
extern bool portraits_have_files;

/* Around a call: a call that fails changes nothing, and the position is the model's. */
void call_begin(struct slot *slot);
bnnep_status call_end(struct slot *slot, bnnep_status status);

/* A description by number, real or binary, with maps or without, and what it can be trained with. */
enum { KINDS = 7 };
void slot_create(struct slot *slot, unsigned kind, bool reference, uint64_t seed);
bnnep_status slot_teach(struct slot *slot, struct fuzz_bytes *bytes);
/* A data set for a slot: from memory with labels, with a bad one, without, or from a callback that may fail, which is
 * handed the supply. */
struct supply {
    const struct slot *slot;
    unsigned fails; /* in which call; 0: in none */
};
bnnep_dataset *slot_data(struct fuzz_bytes *bytes, struct supply *supply);

/* Frees what is there, in the order that `order` says. */
void slot_free(struct slot *slot, unsigned order);

#endif
