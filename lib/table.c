/* SPDX-License-Identifier: MIT */
/* Does a backend's table fit this library? */
#include <stdio.h>
#include <string.h>

#include "lib/registry.h"

/* Fills in ref's functions for those that a table leaves out; they are one behind the other. */
static void fill(struct bnnep_backend *table) {
    void (*function)(void);
    for (size_t at = offsetof(struct bnnep_backend, device_count); at < sizeof *table; at += sizeof function) {
        memcpy(&function, (const char *)table + at, sizeof function);
        if (!function)
            memcpy((char *)table + at, (const char *)&bnnep_backend_ref + at, sizeof function);
    }
}

bool bnnep_table_take(const struct bnnep_backend *given, struct bnnep_backend *table, struct bnnep_capabilities *can,
                      char *why) {
    if (given->abi != BNNEP_BACKEND_ABI) {
        snprintf(why, BNNEP_WHY, "built for backend interface %u, this library has %u", given->abi, BNNEP_BACKEND_ABI);
        return false;
    }
    if (given->size < offsetof(struct bnnep_backend, device_count) || !given->name || !given->summary || !given->can ||
        given->can->size < sizeof(size_t)) {
        snprintf(why, BNNEP_WHY, "its table of %zu bytes lacks what every backend has", given->size);
        return false;
    }
    memset(table, 0, sizeof *table);
    memcpy(table, given, given->size < sizeof *table ? given->size : sizeof *table);
    memset(can, 0, sizeof *can);
    memcpy(can, given->can, given->can->size < sizeof *can ? given->can->size : sizeof *can);
    table->can = can;
    fill(table);
    return true;
}
