/* SPDX-License-Identifier: MIT */
/* What a file's metadata say of a network, an optimizer and its position, as JSON (docs/format.md). */
#ifndef BNNEP_RECORD_H
#define BNNEP_RECORD_H

#include "lib/container.h"

/* As it was made, or with its relaxation as it is now. NULL if out of memory, here and below. */
json_t *bnnep_record_network(const bnnep_network *net, bool now);
json_t *bnnep_record_optimizer(const bnnep_optimizer *opt);
json_t *bnnep_record_position(const bnnep_optimizer *opt);

/* Is what the file says of `what` the same as `ours`, which is freed? What a file lacks counts as 0. */
bnnep_status bnnep_record_compare(const struct bnnep_container *file, const char *what, json_t *ours);

/* Refuses more free steps than the context allows to what a file describes. */
bnnep_status bnnep_check_file_steps(const struct bnnep_container *file, int32_t steps);
/* Options of the network in the file, its relaxation as the file's position has it; connections has room for `room`. */
bnnep_status bnnep_record_read_network(const struct bnnep_container *file, bnnep_network_options *o,
                                       bnnep_connection *connections, size_t room);

/* What a position says of the relaxation; what it lacks stays. False if it cannot be read. */
bool bnnep_record_read_relaxation(const json_t *position, int32_t *free_steps, double *settle_tolerance);

/* A position, checked, apart from the optimizer, which does not change. */
struct bnnep_run_position {
    uint64_t batches, epochs, epoch_count, epoch_batch_size;
    struct bnnep_sums epoch;
    uint64_t *flips; /* [connections] */
    double *values;  /* of the rates, like those of an optimizer */
    struct bnnep_rates rates;
    uint64_t updates, measured, fallen_at, renewed_at;
    struct bnnep_spread *spread, *renewed; /* [connections] */
    uint64_t lone_samples;                 /* that means of activations are of */
    int32_t free_steps;
    double settle_tolerance;
};

/* The caller frees it, on failure too. */
bnnep_status bnnep_record_read_position(const struct bnnep_container *file, const bnnep_optimizer *opt,
                                        struct bnnep_run_position *position);
void bnnep_position_take(const struct bnnep_run_position *position, bnnep_optimizer *opt);
void bnnep_position_free(const bnnep_context *context, struct bnnep_run_position *position);

#endif
