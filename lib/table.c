/* SPDX-License-Identifier: MIT */
/* Does a backend's table fit this library? */
#include <stdio.h>
#include <string.h>

#include "lib/registry.h"

/* What a table lacks whose objects of a kind are its own: ref's functions could not take them. NULL: nothing. */
static const char *mixed_up(const struct bnnep_backend *t, bool tape) {
    if (t->open && !(t->close && t->network_bytes && t->workspace_bytes && t->optimizer_bytes && t->network_create &&
                     t->workspace_create))
        return "devices";
    if (t->network_create && !(t->network_destroy && t->put && t->get && t->workspace_create && t->optimizer_create))
        return "networks";
    if (t->workspace_create && !(t->workspace_destroy && t->stage && t->relax && t->put_state && t->get_state &&
                                 t->contrast && (t->backpropagate || !tape)))
        return "workspaces";
    if (t->optimizer_create && !(t->optimizer_destroy && t->put_momentum && t->get_momentum && t->contrast &&
                                 t->put_contrast && t->get_contrast && t->update && (t->backpropagate || !tape)))
        return "optimizers";
    return NULL;
}

/* Functions are one behind the other, to the end of the table. */
_Static_assert(offsetof(struct bnnep_backend, backpropagate) + sizeof(void (*)(void)) == sizeof(struct bnnep_backend),
               "functions are the last members of a table");

/* Fills in ref's functions for those that a table leaves out. */
static void fill(struct bnnep_backend *table, const struct bnnep_backend *ref) {
    void (*function)(void);
    for (size_t at = offsetof(struct bnnep_backend, device_count); at < sizeof *table; at += sizeof function) {
        memcpy(&function, (const char *)table + at, sizeof function);
        if (!function)
            memcpy((char *)table + at, (const char *)ref + at, sizeof function);
    }
}

bool bnnep_table_take(const struct bnnep_backend *given, const struct bnnep_backend *ref, struct bnnep_backend *table,
                      struct bnnep_capabilities *can, char *why) {
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
    const char *lacks = mixed_up(table, can->tape != 0);
    if (lacks)
        snprintf(why, BNNEP_WHY, "it has %s of its own, but not all functions that take them", lacks);
    else
        fill(table, ref);
    return !lacks;
}
