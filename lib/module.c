/* SPDX-License-Identifier: MIT */
/* Backends in files of their own. */
#define _GNU_SOURCE /* dladdr, secure_getenv */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/module.h"

enum { MOST_NAME = 32 };

bool bnnep_module_name(const char *name, size_t length) {
    return length > 0 && length <= MOST_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= length;
}

const char *bnnep_module_folders(const bnnep_context *context, char *room, size_t size) {
    if (context->module_path)
        return context->module_path;
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

/* The next of the folders, into `folder`; false after the last. */
static bool next_folder(const char **folders, char *folder, size_t size) {
    while (**folders) {
        const size_t length = strcspn(*folders, ":");
        const char *at = *folders;
        *folders += length + (at[length] == ':');
        if (length > 0 && length < size) {
            snprintf(folder, size, "%.*s", (int)length, at);
            return true;
        }
    }
    return false;
}

/* Sets `file` to the first of the folders' files that exists. */
static bool find(const char *folders, const char *name, char *file, size_t size) {
    char folder[4096];
    while (next_folder(&folders, folder, sizeof folder)) {
        const int needed = snprintf(file, size, "%s/libbnnep-%s.so", folder, name);
        if (needed > 0 && (size_t)needed < size && access(file, F_OK) == 0)
            return true;
    }
    return false;
}

const struct bnnep_backend *bnnep_module_load(const char *folders, const char *name, char *why) {
    char file[4096], symbol[32 + MOST_NAME];
    if (!find(folders, name, file, sizeof file)) {
        snprintf(why, BNNEP_WHY, "module libbnnep-%s.so not found in '%.128s'", name, folders);
        return NULL;
    }
    void *module = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        snprintf(why, BNNEP_WHY, "%s", dlerror());
        return NULL;
    }
    snprintf(symbol, sizeof symbol, "bnnep_backend_%s", name);
    for (char *at = symbol; *at; at++)
        *at = *at == '-' ? '_' : *at;
    const struct bnnep_backend *backend = dlsym(module, symbol);
    if (!backend) {
        snprintf(why, BNNEP_WHY, "%s", dlerror());
        dlclose(module);
    }
    return backend;
}

bnnep_status bnnep_module_list(const char *folders, bnnep_status (*found)(void *user, const char *name), void *user) {
    static const char before[] = "libbnnep-", after[] = ".so";
    char folder[4096], name[MOST_NAME + 1];
    bnnep_status status = BNNEP_OK;
    while (status == BNNEP_OK && next_folder(&folders, folder, sizeof folder)) {
        DIR *open = opendir(folder);
        const struct dirent *entry;
        while (open && status == BNNEP_OK && (entry = readdir(open))) { /* NOLINT(concurrency-mt-unsafe) */
            const size_t length = strlen(entry->d_name), less = sizeof before + sizeof after - 2;
            if (length <= less || length - less > MOST_NAME || strncmp(entry->d_name, before, sizeof before - 1) != 0 ||
                strcmp(entry->d_name + length - (sizeof after - 1), after) != 0)
                continue;
            snprintf(name, sizeof name, "%.*s", (int)(length - less), entry->d_name + sizeof before - 1);
            if (bnnep_module_name(name, length - less))
                status = found(user, name);
        }
        if (open)
            closedir(open);
    }
    return status;
}
