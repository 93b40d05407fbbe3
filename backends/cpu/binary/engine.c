/* SPDX-License-Identifier: MIT */
/* The engine for binary activations. */
#include <stdlib.h>

#include "backends/cpu/binary/binary.h"

/* The library asks for it with real activations alone. */
static void backpropagate(void *learner, void *workspace, int32_t steps) {
    (void)learner, (void)workspace, (void)steps;
}

const struct cpu_engine bnnep_binary_engine = {
    .workspace_bytes = bnnep_binary_workspace_bytes,
    .workspace_create = bnnep_binary_workspace_create,
    .workspace_destroy = bnnep_binary_workspace_destroy,
    .stage = bnnep_binary_stage,
    .relax = bnnep_binary_relax,
    .put_state = bnnep_binary_put_state,
    .get_state = bnnep_binary_get_state,
    .learner_bytes = bnnep_binary_learner_bytes,
    .learner_create = bnnep_binary_learner_create,
    .learner_destroy = free,
    .put_momentum = bnnep_binary_put_momentum,
    .get_momentum = bnnep_binary_get_momentum,
    .backpropagate = backpropagate,
    .learn = bnnep_binary_learn,
};
