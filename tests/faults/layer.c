/* SPDX-License-Identifier: MIT */
/* Which call fails. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "layer.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fault_names[FAULT_KINDS] = {"memory", "eio", "enospc", "eintr", "short"};

static struct {
    atomic_bool armed;
    enum fault_kind kind;
    long n;
    bool onwards;
    atomic_long calls, live;
    _Atomic(const char *) struck;
} faults;

void faults_arm(enum fault_kind kind, long n, bool onwards) {
    faults.kind = kind;
    faults.n = n;
    faults.onwards = onwards;
    atomic_store(&faults.calls, 0);
    atomic_store(&faults.struck, NULL);
    atomic_store(&faults.armed, true);
}

long faults_disarm(void) {
    atomic_store(&faults.armed, false);
    return atomic_load(&faults.calls);
}

const char *faults_struck(void) {
    return atomic_load(&faults.struck);
}

long faults_live(void) {
    return atomic_load(&faults.live);
}

static _Thread_local int spared;

void faults_spare(int change) {
    spared += change;
}

void faults_count_live(int change) {
    if (spared == 0)
        atomic_fetch_add(&faults.live, change);
}

/* Counts a call of the kind that is armed. */
static bool is_struck(const char *name) {
    const long call = atomic_fetch_add(&faults.calls, 1);
    const bool struck = faults.n >= 0 && (faults.onwards ? call >= faults.n : call == faults.n);
    const char *none = NULL;
    if (struck)
        atomic_compare_exchange_strong(&faults.struck, &none, name);
    return struck;
}

bool faults_strike(const char *name, unsigned kinds) {
    static const int error[FAULT_KINDS] = {
        [FAULT_MEMORY] = ENOMEM, [FAULT_EIO] = EIO, [FAULT_ENOSPC] = ENOSPC, [FAULT_EINTR] = EINTR};
    if (!atomic_load(&faults.armed) || spared > 0 || !(kinds & 1u << faults.kind) || !is_struck(name))
        return false;
    errno = error[faults.kind];
    return true;
}

bool faults_shorten(const char *name) {
    return atomic_load(&faults.armed) && spared == 0 && faults.kind == FAULT_SHORT && is_struck(name);
}

void faults_find(void *where, const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        abort(); /* another C library than this layer was written for */
    memcpy(where, &function, sizeof function);
}

/* --- programs that know nothing of it ---------------------------------------------------------------------------- */

static int (*program)(int, char **, char **);

static void tell_count(void) {
    const long count = faults_disarm();
    const char *path = getenv("BNNEP_FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", count);
        fclose(file);
    }
}

/* main() of the program, from which on calls fail: what libraries do as they are loaded is not tested. */
static int armed_main(int argc, char **argv, char **environment) {
    const char *wanted = getenv("BNNEP_FAULT");
    const size_t length = wanted ? strcspn(wanted, ":") : 0;
    for (int kind = 0; wanted && kind < FAULT_KINDS; kind++)
        if (strlen(fault_names[kind]) == length && strncmp(wanted, fault_names[kind], length) == 0) {
            atexit(tell_count);
            faults_arm((enum fault_kind)kind, strtol(wanted + length + 1, NULL, 10), strchr(wanted, '+') != NULL);
        }
    return program(argc, argv, environment);
}

/* The C library's, which calls main(); NOLINTNEXTLINE(bugprone-reserved-identifier) */
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*linker_fini)(void), void *stack_end);
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*linker_fini)(void), void *stack_end) {
    int (*real)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    faults_find(&real, "__libc_start_main");
    program = main;
    return real(armed_main, argc, argv, init, fini, linker_fini, stack_end);
}
