/* SPDX-License-Identifier: MIT */
/* Threads that all workspaces of a context share. */
#ifndef BNNEP_CPU_POOL_H
#define BNNEP_CPU_POOL_H

#include <stdatomic.h>
#include <stddef.h>

#include <bnnep/backend.h>

struct pool;
typedef void (*pool_task)(void *arg, size_t task, unsigned worker);

/* Threads start with the first run that needs them; NULL if out of memory. */
struct pool *bnnep_pool_create(const struct bnnep_host *host);
void bnnep_pool_destroy(struct pool *pool);
/* How many there are, the caller's included. */
unsigned bnnep_pool_threads(const struct pool *pool);
/* Does tasks 0 ... tasks-1, by `most` threads at most, and returns when all are done. The caller is worker 0, the
 * others are below `most`. While another caller has the threads, this one does all tasks by itself. Works in a forked
 * child. */
void bnnep_pool_run(struct pool *pool, unsigned most, size_t tasks, pool_task task, void *arg);

/* *most <- the larger of it and a number, whichever threads do so at once. */
static inline void bnnep_raise_to(atomic_uint *most, unsigned number) {
    for (unsigned before = atomic_load(most); before < number && !atomic_compare_exchange_weak(most, &before, number);)
        continue;
}

#endif
