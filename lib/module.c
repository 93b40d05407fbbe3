/* SPDX-License-Identifier: MIT */
/* Backends in files of their own. */
#define _GNU_SOURCE /* dladdr, secure_getenv */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/module.h"

/* The folders to search: the user's, or the one this code was loaded from, which is written to `room`. */
static const char *search_path(char *room, size_t size) {
    const char *path = secure_getenv("BNNEP_BACKEND_PATH");
    if (path && path[0])
        return path;
    static const char here;
    Dl_info self;
    if (!dladdr(&here, &self) || !self.dli_fname)
        return "";
    const char *slash = strrchr(self.dli_fname, '/');
    snprintf(room, size, "%.*s", slash ? (int)(slash - self.dli_fname) : 1, slash ? self.dli_fname : ".");
    return room;
}

/* Sets `file` to the first of the folders' files that exists. */
static bool find(const char *path, const char *name, char *file, size_t size) {
    for (const char *at = path;; at++) {
        const size_t length = strcspn(at, ":");
        if (length > 0) {
            const int needed = snprintf(file, size, "%.*s/libbnnep-%s.so", (int)length, at, name);
            if (needed > 0 && (size_t)needed < size && access(file, F_OK) == 0)
                return true;
        }
        at += length;
        if (!*at)
            return false;
    }
}

bool bnnep_backend_fits(const struct bnnep_backend *backend, char *why) {
    if (backend->abi == BNNEP_BACKEND_ABI)
        return true;
    snprintf(why, BNNEP_WHY, "built for backend interface %u, this library has %u", backend->abi, BNNEP_BACKEND_ABI);
    return false;
}

const struct bnnep_backend *bnnep_module_load(const char *name, char *why) {
    char room[4096], file[4096], symbol[64];
    const char *path = search_path(room, sizeof room);
    if (!find(path, name, file, sizeof file)) {
        snprintf(why, BNNEP_WHY, "module libbnnep-%s.so not found in '%.128s'", name, path);
        return NULL;
    }
    void *module = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        snprintf(why, BNNEP_WHY, "%s", dlerror());
        return NULL;
    }
    snprintf(symbol, sizeof symbol, "bnnep_backend_%s", name);
    const struct bnnep_backend *backend = dlsym(module, symbol);
    if (!backend)
        snprintf(why, BNNEP_WHY, "%s", dlerror());
    if (backend && bnnep_backend_fits(backend, why))
        return backend;
    dlclose(module);
    return NULL;
}
