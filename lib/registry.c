/* SPDX-License-Identifier: MIT */
/* The table of backends: the only place in lib/ that names one. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/internal.h"
#include "lib/module.h"

extern const struct bnnep_backend bnnep_backend_cpu, bnnep_backend_ref;

struct entry {
    const char *name;
    const struct bnnep_backend *backend; /* NULL: in a module of its own */
    const char *summary;                 /* of a module that is not there */
};

/* In the order in which "auto" tries them; "ref" is only used when asked for by name. */
static const struct entry table[] = {
    {"cuda", NULL, "NVIDIA GPUs"},
    {"cpu", &bnnep_backend_cpu, NULL},
    {"ref", &bnnep_backend_ref, NULL},
};
enum { BACKENDS = sizeof table / sizeof table[0] };

/* What became of the modules, once for the whole process. */
static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static struct {
    const struct bnnep_backend *backend;
    char why[BNNEP_WHY];
} module[BACKENDS];

static void load_modules(void) {
    for (size_t i = 0; i < BACKENDS; i++)
        if (!table[i].backend)
            module[i].backend = bnnep_module_load(table[i].name, module[i].why);
}

/* The backend of entry i, or NULL, and why it is not there. */
static const struct bnnep_backend *find(size_t i, char *why) {
    if (table[i].backend)
        return bnnep_backend_fits(table[i].backend, why) ? table[i].backend : NULL;
    pthread_once(&loaded, load_modules);
    if (!module[i].backend)
        snprintf(why, BNNEP_WHY, "%s", module[i].why);
    return module[i].backend;
}

/* Can entry i be used with this device? Writes why not. */
static bnnep_status probe(size_t i, const char *device, const struct bnnep_backend **backend, char *why) {
    *backend = find(i, why);
    return *backend ? (*backend)->probe(device, why) : BNNEP_ERROR_BACKEND;
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
    const struct bnnep_backend *backend;
    why[0] = '\0';
    const bool available = probe(index, "", &backend, why) == BNNEP_OK;
    const bnnep_backend_info found = {
        .name = table[index].name,
        .summary = backend ? backend->summary : table[index].summary,
        .reason = available ? "" : why,
        .available = available,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_backend_info");
}

static bnnep_status no_such_backend(const char *resource) {
    char names[128] = "", why[BNNEP_WHY];
    for (size_t i = 0; i < BACKENDS; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s%s", i ? ", " : "", table[i].name,
                 find(i, why) ? "" : " (not here)");
    return bnnep_fail(BNNEP_ERROR_BACKEND, "there is no backend '%.64s'; this library knows auto, %s", resource, names);
}

static bnnep_status choose_auto(bnnep_log_fn log, void *log_user, struct bnnep_choice *choice) {
    char why[BNNEP_WHY], line[BNNEP_WHY + 64];
    for (size_t i = 0; i < BACKENDS; i++) {
        why[0] = '\0';
        if (probe(i, "", &choice->backend, why) == BNNEP_OK) {
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
            const bnnep_status status = probe(i, device, &choice->backend, why);
            if (status != BNNEP_OK)
                return bnnep_fail(status, "backend '%s' is not available: %s", resource, why);
            snprintf(choice->device, sizeof choice->device, "%s", device);
            return BNNEP_OK;
        }
    return no_such_backend(resource);
}
