/* SPDX-License-Identifier: MIT */
/* Backends in modules, loaded when first asked for. */
#ifndef BNNEP_MODULE_H
#define BNNEP_MODULE_H

#include "backends/backend.h"

/* Loads libbnnep-NAME.so from the folders of BNNEP_BACKEND_PATH (separated by colons) or, if that is not set, from this
 * library's folder, and finds its table bnnep_backend_NAME. NULL, and why, if none fits. The module stays loaded:
 * threads and contexts of a driver outlive its users. */
const struct bnnep_backend *bnnep_module_load(const char *name, char *why);

/* Does the table's interface fit this library? If not, says why. */
bool bnnep_backend_fits(const struct bnnep_backend *backend, char *why);

#endif
