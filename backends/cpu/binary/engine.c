/* SPDX-License-Identifier: MIT */
/* The engine for binary activations. */
#include "backends/arena.h"
#include "backends/cpu/binary/binary.h"

/* The library asks for it with real activations alone. */
static void backpropagate(void *optimizer, void *workspace, int32_t steps) {
    (void)optimizer, (void)workspace, (void)steps;
}

const struct cpu_engine bnnep_binary_engine = {
    .workspace_bytes = bnnep_binary_workspace_bytes,
    .workspace_create = bnnep_binary_workspace_create,
    .workspace_destroy = bnnep_arena_free,
    .stage = bnnep_binary_stage,
    .relax = bnnep_binary_relax,
    .put_state = bnnep_binary_put_state,
    .get_state = bnnep_binary_get_state,
    .optimizer_bytes = bnnep_binary_optimizer_bytes,
    .optimizer_create = bnnep_binary_optimizer_create,
    .optimizer_destroy = bnnep_arena_free,
    .put_momentum = bnnep_binary_put_momentum,
    .get_momentum = bnnep_binary_get_momentum,
    .backpropagate = backpropagate,
    .learn = bnnep_binary_learn,
    .momentum = bnnep_binary_momentum,
};
