/* SPDX-License-Identifier: MIT */
/* Relaxation by changes of states: delta.c. */
#ifndef BNNEP_REAL_DELTA_H
#define BNNEP_REAL_DELTA_H

#include "backends/cpu/real/connection.h"

/* The finest step, which what states of up to 2 send is a multiple of. */
#define FINEST 0x1p-23f

/* Which samples send their changes, and which of them down to the finest step. */
struct real_precision {
    const float *moving; /* [LANES]: 0 or 1 */
    bool fine[LANES];
};

/* Does a network relax by changes? Then its scratches have a struct real_delta. */
bool bnnep_real_is_delta_coded(const struct bnnep_model *model);
/* Nothing has been sent yet, by any sample or by that of a lane. */
void bnnep_real_delta_reset(const struct real_workspace *ws, struct real_delta *delta);
void bnnep_real_delta_reset_lane(const struct real_workspace *ws, struct real_delta *delta, size_t lane);
/* Digits of what changed in layer k+1 of a tile; left[LANES] is raised to what they leave. */
void bnnep_real_encode(const struct real_workspace *ws, const float *state, size_t k,
                       const struct real_precision *precision, struct real_delta *delta, float *left);
/* A part of fwd_k into `forward`, all layers', and of the sums that are fed back into delta->feedback, from what was
 * sent. Tables are those of the thread's scratch. */
void bnnep_real_delta_forward(const struct real_workspace *ws, size_t k, struct real_part part,
                              struct real_delta *delta, float *forward, struct real_scratch *scratch);
void bnnep_real_delta_feedback(const struct real_workspace *ws, size_t k, struct real_part part,
                               struct real_delta *delta, struct real_scratch *scratch);

#endif
