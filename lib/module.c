/* SPDX-License-Identifier: MIT */
/* Backends in files of their own. */
#define _GNU_SOURCE /* dladdr, dl_iterate_phdr, secure_getenv */
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/module.h"

enum { MOST_NAME = 32 };

bool bnnep_module_name(const char *name, size_t length) {
    return length > 0 && length <= MOST_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= length;
}

/* Is `address` (a pointer to it) in this object of the process, the first of which is the program? */
static int is_in_program(struct dl_phdr_info *object, size_t size, void *address) {
    (void)size;
    const uintptr_t at = *(const uintptr_t *)address;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const uintptr_t start = (uintptr_t)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
        if (object->dlpi_phdr[i].p_type == PT_LOAD && at >= start && at - start < object->dlpi_phdr[i].p_memsz)
            return 1;
    }
    return -1;
}

/* The folder of this library, if it is a shared one whose whole path is known. Within a program it has none: the
 * loader calls a program by what it was started as, which may be in any folder that somebody prepared. */
static const char *own_folder(char *room, size_t size) {
    static const char here;
    uintptr_t address = (uintptr_t)&here;
    Dl_info self;
    if (dl_iterate_phdr(is_in_program, &address) != -1 || !dladdr(&here, &self) || !self.dli_fname)
        return "";
    const char *slash = strrchr(self.dli_fname, '/');
    const size_t length = slash ? (size_t)(slash - self.dli_fname) : 0;
    if (self.dli_fname[0] != '/' || length == 0 || length >= size)
        return "";
    snprintf(room, size, "%.*s", (int)length, self.dli_fname);
    return room;
}

const char *bnnep_module_folders(const bnnep_context *context, char *room, size_t size) {
    if (context->module_path)
        return context->module_path;
    const char *path = secure_getenv("BNNEP_BACKEND_PATH"); /* none for a program with more rights than its user */
    return path && path[0] ? path : own_folder(room, size);
}

/* The next of the folders that is searched, into `folder`; false after the last. */
static bool next_folder(const char **folders, char *folder, size_t size) {
    while (**folders) {
        const size_t length = strcspn(*folders, ":");
        const char *at = *folders;
        *folders += length + (at[length] == ':');
        if (at[0] == '/' && length < size) {
            snprintf(folder, size, "%.*s", (int)length, at);
            return true;
        }
    }
    return false;
}

/* The first of the folders that is not searched, or NULL. */
static const char *left_out(const char *folders) {
    while (*folders == ':' || *folders == '/') {
        folders += strcspn(folders, ":");
        folders += *folders == ':';
    }
    return *folders ? folders : NULL;
}

bnnep_status bnnep_module_check(const char *folders) {
    const char *wrong = folders ? left_out(folders) : NULL;
    if (!wrong)
        return BNNEP_OK;
    const size_t length = strcspn(wrong, ":");
    return bnnep_fail(BNNEP_ERROR_ARGUMENT, "module_path has '%.*s'; folders with modules must begin with /",
                      (int)(length < 128 ? length : 128), wrong);
}

/* Sets `file` to the first of the folders' files that exists, without symbolic links. */
static bool find(const char *folders, const char *name, char file[PATH_MAX]) {
    char folder[PATH_MAX], path[PATH_MAX];
    while (next_folder(&folders, folder, sizeof folder)) {
        const int needed = snprintf(path, sizeof path, "%s/libbnnep-%s.so", folder, name);
        if (needed > 0 && (size_t)needed < sizeof path && realpath(path, file))
            return true;
    }
    return false;
}

static void say_not_found(const char *folders, const char *name, char *why) {
    if (*folders)
        snprintf(why, BNNEP_WHY, "module libbnnep-%s.so not found in '%.128s'%s", name, folders,
                 left_out(folders) ? ", where folders must begin with /" : "");
    else
        snprintf(why, BNNEP_WHY,
                 "module libbnnep-%s.so not found, as no folder is known: neither by module_path nor by "
                 "BNNEP_BACKEND_PATH, nor that of a shared library",
                 name);
}

const struct bnnep_backend *bnnep_module_load(const char *folders, const char *name, char *why) {
    char file[PATH_MAX], symbol[32 + MOST_NAME];
    if (!find(folders, name, file)) {
        say_not_found(folders, name, why);
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
    char folder[PATH_MAX], name[MOST_NAME + 1];
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
