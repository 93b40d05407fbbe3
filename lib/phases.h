/* SPDX-License-Identifier: MIT */
/* What training and evaluation share: fetching a batch, and its free phase. */
#ifndef BNNEP_PHASES_H
#define BNNEP_PHASES_H

#include "lib/dataset.h"

/* The inputs and labels at ws->indices, checked, into the workspace; lot as in bnnep_dataset_gather(). */
bnnep_status bnnep_fetch(bnnep_workspace *ws, const bnnep_dataset *dataset, size_t count, const struct bnnep_lot *lot);
/* The free states of the output layer, into ws->outputs. */
bnnep_status bnnep_read_outputs(bnnep_workspace *ws);
/* Some steps of the free phase of the staged batch. */
bnnep_status bnnep_free_steps(bnnep_workspace *ws, int32_t steps, struct bnnep_run *run, struct bnnep_sums *sums);
/* The whole free phase; its outputs go to ws->outputs. */
bnnep_status bnnep_free_phase(bnnep_workspace *ws, struct bnnep_run *run, struct bnnep_sums *sums);

#endif
