/* SPDX-License-Identifier: MIT */
/* Threads that belong to one workspace. */
#ifndef BNNEP_CPU_POOL_H
#define BNNEP_CPU_POOL_H

#include <stdatomic.h>
#include <stddef.h>

struct pool;
typedef void (*pool_task)(void *arg, size_t task, unsigned worker);

/* Threads start with the first run that needs them; NULL if out of memory. */
struct pool *bnnep_pool_create(unsigned threads);
void bnnep_pool_destroy(struct pool *pool);
/* Does tasks 0 ... tasks-1 and returns when all are done. The caller is worker 0. Works in a forked child. */
void bnnep_pool_run(struct pool *pool, size_t tasks, pool_task task, void *arg);

/* *most <- the larger of it and a number, whichever threads do so at once. */
static inline void bnnep_raise_to(atomic_uint *most, unsigned number) {
    for (unsigned before = atomic_load(most); before < number && !atomic_compare_exchange_weak(most, &before, number);)
        continue;
}

#endif
