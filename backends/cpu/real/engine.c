/* SPDX-License-Identifier: MIT */
/* The engine for real activations. */
#include "backends/arena.h"
#include "backends/cpu/real/learn.h"
#include "backends/cpu/real/real.h"

const struct cpu_engine bnnep_real_engine = {
    .workspace_bytes = bnnep_real_workspace_bytes,
    .workspace_create = bnnep_real_workspace_create,
    .workspace_destroy = bnnep_arena_free,
    .stage = bnnep_real_stage,
    .relax = bnnep_real_relax,
    .put_state = bnnep_real_put_state,
    .get_state = bnnep_real_get_state,
    .optimizer_bytes = bnnep_real_optimizer_bytes,
    .optimizer_create = bnnep_real_optimizer_create,
    .optimizer_destroy = bnnep_arena_free,
    .put_momentum = bnnep_real_put_momentum,
    .get_momentum = bnnep_real_get_momentum,
    .backpropagate = bnnep_real_backpropagate,
    .learn = bnnep_real_learn,
    .momentum = bnnep_real_momentum,
};
