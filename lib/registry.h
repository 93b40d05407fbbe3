/* SPDX-License-Identifier: MIT */
/* The backends of a context. */
#ifndef BNNEP_REGISTRY_H
#define BNNEP_REGISTRY_H

#include <pthread.h>

#include "lib/internal.h"

extern const struct bnnep_backend bnnep_backend_cpu, bnnep_backend_ref;

/* A device that is open until the context ends. */
struct bnnep_opened {
    struct bnnep_opened *next;
    void *device;
    char name[64];
};

/* Texts about a device. */
struct bnnep_device {
    char name[BNNEP_WHY + 66], summary[BNNEP_WHY];
    uint64_t memory_bytes;
};

struct bnnep_entry {
    struct bnnep_entry *next;
    char name[64];
    bool automatic; /* "auto" tries it */
    bool looked;    /* for its table, which is then here as far as this library knows it: */
    bool fits;
    const struct bnnep_backend *given; /* NULL: to be looked for in a module */
    struct bnnep_backend table;
    struct bnnep_capabilities can;
    const char *summary;
    char why[BNNEP_WHY]; /* it cannot be used */
    size_t devices;
    struct bnnep_device *about; /* [devices], or NULL before anybody asks */
    struct bnnep_opened *opened;
};

struct bnnep_registry {
    pthread_mutex_t lock; /* of all below */
    struct bnnep_entry *first;
    bool listed;                /* all modules are among the entries */
    struct bnnep_choice chosen; /* asked for by name, or registered; backend NULL: auto */
};

/* table.c: copies what this library knows of a table and its capabilities. False, and why, if it does not fit. */
bool bnnep_table_take(const struct bnnep_backend *given, struct bnnep_backend *table, struct bnnep_capabilities *can,
                      char *why);

#endif
