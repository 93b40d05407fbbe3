/* SPDX-License-Identifier: MIT */
/* The table of backends: the only place in lib/ that names one. */
#include <stdio.h>
#include <string.h>

#include "lib/internal.h"

extern const struct bnnep_backend bnnep_backend_ref;
#ifdef BNNEP_WITH_CPU
extern const struct bnnep_backend bnnep_backend_cpu;
#endif

struct entry {
    const char *name, *summary;
    const struct bnnep_backend *backend; /* NULL: not compiled in */
    const char *absent;                  /* why not */
};

/* In the order in which "auto" tries them; "ref" is only used when asked for by name. */
static const struct entry table[] = {
    {"cuda", "NVIDIA GPUs", NULL, "not compiled into this build of libbnnep"},
#ifdef BNNEP_WITH_CPU
    {"cpu", NULL, &bnnep_backend_cpu, NULL},
#else
    {"cpu", "OpenBLAS", NULL, "not compiled into this build of libbnnep"},
#endif
    {"ref", NULL, &bnnep_backend_ref, NULL},
};
enum { BACKENDS = sizeof table / sizeof table[0] };

/* Can this entry be used with this device? Writes why not. */
static bnnep_status probe(const struct entry *entry, const char *device, char *why) {
    if (!entry->backend) {
        snprintf(why, BNNEP_WHY, "%s", entry->absent);
        return BNNEP_ERROR_BACKEND;
    }
    if (entry->backend->abi != BNNEP_BACKEND_ABI) {
        snprintf(why, BNNEP_WHY, "built for backend interface %u, this library has %u", entry->backend->abi,
                 BNNEP_BACKEND_ABI);
        return BNNEP_ERROR_BACKEND;
    }
    return entry->backend->probe(device, why);
}

size_t bnnep_backend_count(void) {
    return BACKENDS;
}

bnnep_status bnnep_backend_get(size_t index, bnnep_backend_info *info) {
    static _Thread_local char why[BNNEP_WHY];
    if (!info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_backend_get: info is NULL");
    if (index >= BACKENDS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "there are %d backends; number %zu does not exist", (int)BACKENDS,
                          index);
    const struct entry *entry = &table[index];
    why[0] = '\0';
    const bool available = probe(entry, "", why) == BNNEP_OK;
    const bnnep_backend_info told = {
        .name = entry->name,
        .summary = entry->backend ? entry->backend->summary : entry->summary,
        .reason = available ? "" : why,
        .available = available,
    };
    return bnnep_give_struct(info, &told, sizeof told, "bnnep_backend_info");
}

static bnnep_status no_such_backend(const char *resource) {
    char names[128] = "";
    for (size_t i = 0; i < BACKENDS; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s%s", i ? ", " : "", table[i].name,
                 table[i].backend ? "" : " (not compiled in)");
    return bnnep_fail(BNNEP_ERROR_BACKEND, "there is no backend '%.64s'; this library knows auto, %s", resource, names);
}

static bnnep_status choose_auto(bnnep_log_fn log, void *log_user, struct bnnep_choice *choice) {
    char why[BNNEP_WHY], line[BNNEP_WHY + 64];
    for (size_t i = 0; i < BACKENDS; i++) {
        why[0] = '\0';
        if (probe(&table[i], "", why) == BNNEP_OK) {
            choice->backend = table[i].backend;
            choice->device[0] = '\0';
            return BNNEP_OK;
        }
        if (log) {
            snprintf(line, sizeof line, "backend %s is not available: %s", table[i].name, why);
            log(log_user, BNNEP_LOG_NOTICE, line);
        }
    }
    return bnnep_fail(BNNEP_ERROR_BACKEND, "no backend is available");
}

bnnep_status bnnep_choose_backend(const char *resource, bnnep_log_fn log, void *log_user, struct bnnep_choice *choice) {
    if (!resource || strcmp(resource, "auto") == 0)
        return choose_auto(log, log_user, choice);
    const char *colon = strchr(resource, ':');
    const size_t length = colon ? (size_t)(colon - resource) : strlen(resource);
    const char *device = colon ? colon + 1 : "";
    if (strlen(device) >= sizeof choice->device)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the backend string '%.64s...' is too long", resource);
    for (size_t i = 0; i < BACKENDS; i++)
        if (strlen(table[i].name) == length && strncmp(table[i].name, resource, length) == 0) {
            char why[BNNEP_WHY] = "";
            const bnnep_status status = probe(&table[i], device, why);
            if (status != BNNEP_OK)
                return bnnep_fail(status, "backend '%s' is not available: %s", resource, why);
            choice->backend = table[i].backend;
            snprintf(choice->device, sizeof choice->device, "%s", device);
            return BNNEP_OK;
        }
    return no_such_backend(resource);
}
