/* SPDX-License-Identifier: MIT */
/* Backends in modules, loaded when first asked for. */
#ifndef BNNEP_MODULE_H
#define BNNEP_MODULE_H

#include "lib/internal.h"

/* The folders to search for modules, separated by colons: the context's, those of BNNEP_BACKEND_PATH or, if that is not
 * set, this library's own, which is written to `room`. Only those that begin with / are searched. */
const char *bnnep_module_folders(const bnnep_context *context, char *room, size_t size);

/* Refuses folders, if there are any (or NULL), that would not be searched. */
bnnep_status bnnep_module_check(const char *folders);

/* Loads libbnnep-NAME.so from the folders, and finds its table bnnep_backend_NAME. NULL, and why, if there is none. The
 * module stays loaded: threads and contexts of a driver outlive its users. */
const struct bnnep_backend *bnnep_module_load(const char *folders, const char *name, char *why);

/* Calls `found` with the name of each module in the folders, until it returns something else than BNNEP_OK. */
bnnep_status bnnep_module_list(const char *folders, bnnep_status (*found)(void *user, const char *name), void *user);

/* Can NAME be that of a backend? Small letters, digits, _ and -. */
bool bnnep_module_name(const char *name, size_t length);

#endif
