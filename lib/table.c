/* SPDX-License-Identifier: MIT */
/* Does a backend's table fit this library? */
#include <stdio.h>
#include <string.h>

#include "lib/registry.h"

/* The functions of a table, which are one behind the other. */
enum {
    FIRST_FUNCTION = offsetof(struct bnnep_backend, device_count),
    OPTIONAL = offsetof(struct bnnep_backend, learn)
};

/* The first function that a table must have and has not, by its place in bnnep/backend.h; -1 if all are there. */
static int missing(const struct bnnep_backend *table) {
    void (*function)(void);
    for (size_t at = FIRST_FUNCTION; at < OPTIONAL; at += sizeof function) {
        memcpy(&function, (const char *)table + at, sizeof function);
        if (!function)
            return (int)((at - FIRST_FUNCTION) / sizeof function);
    }
    return -1;
}

bool bnnep_table_take(const struct bnnep_backend *given, struct bnnep_backend *table, struct bnnep_capabilities *can,
                      char *why) {
    if (given->abi != BNNEP_BACKEND_ABI) {
        snprintf(why, BNNEP_WHY, "built for backend interface %u, this library has %u", given->abi, BNNEP_BACKEND_ABI);
        return false;
    }
    if (given->size < OPTIONAL || !given->name || !given->summary || !given->can || given->can->size < sizeof(size_t)) {
        snprintf(why, BNNEP_WHY, "its table of %zu bytes lacks what every backend has", given->size);
        return false;
    }
    memset(table, 0, sizeof *table);
    memcpy(table, given, given->size < sizeof *table ? given->size : sizeof *table);
    memset(can, 0, sizeof *can);
    memcpy(can, given->can, given->can->size < sizeof *can ? given->can->size : sizeof *can);
    table->can = can;
    const int function = missing(table);
    if (function >= 0)
        snprintf(why, BNNEP_WHY, "function %d of its table, counted from 0, is NULL", function);
    else if (can->tape && !table->backpropagate)
        snprintf(why, BNNEP_WHY, "it says that it can keep a tape, but has no backpropagate");
    else
        return true;
    return false;
}
