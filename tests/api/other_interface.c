/* SPDX-License-Identifier: MIT */
/* A backend's module with an interface that this library does not have. */
#include <bnnep/backend.h>

extern const struct bnnep_backend bnnep_backend_cuda;
const struct bnnep_backend bnnep_backend_cuda = {.abi = BNNEP_BACKEND_ABI + 1, .name = "cuda"};
