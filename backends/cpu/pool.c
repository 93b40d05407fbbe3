/* SPDX-License-Identifier: MIT */
/*
 * A small pool of POSIX threads that belongs to one context. One caller has it at a time; one that finds it taken does
 * its work alone, so that there are never more threads than callers and the pool's own together. It survives fork():
 * the child finds that it is another process, forgets the threads it does not have and starts its own at the next run.
 * (pthreadpool and OpenMP hang there.)
 */
#define _GNU_SOURCE /* MADV_WIPEONFORK */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/arena.h"
#include "backends/cpu/pool.h"

struct worker {
    struct pool *pool;
    pthread_t thread;
    unsigned index;
    uint64_t seen; /* the generation of jobs it was started after */
};

/* Numbers of processes, in a page that the kernel fills with zeros in a child of fork(): in another namespace of
 * processes a child can have its parent's number. Where a kernel does not, the numbers alone tell them apart. */
struct process {
    atomic_int preparing, owner; /* the one that makes the locks, and that has made them */
};

struct pool {
    unsigned threads; /* the caller included */
    unsigned started; /* worker threads that exist */
    struct process *process;
    struct worker *worker;
    pthread_mutex_t taken; /* by the caller that has the threads */
    pthread_mutex_t lock;  /* of all below */
    pthread_cond_t work, done;
    uint64_t generation; /* counts the jobs */
    unsigned busy;       /* workers that have not finished the current one */
    bool stop;
    pool_task task;
    void *arg;
    size_t tasks;
    unsigned most;      /* workers of the current job are below this */
    atomic_size_t next; /* the next task to take */
};

static struct pool *divide(struct bnnep_arena *arena, unsigned threads) {
    struct pool *pool = bnnep_arena_take(arena, 1, sizeof *pool);
    struct worker *worker = bnnep_arena_take(arena, threads, sizeof *worker);
    if (pool) {
        pool->threads = threads;
        pool->worker = worker;
    }
    return pool;
}

static struct process *map_process(void) {
    void *page = mmap(NULL, sizeof(struct process), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
#ifdef MADV_WIPEONFORK
    madvise(page, sizeof(struct process), MADV_WIPEONFORK);
#endif
    return page;
}

struct pool *bnnep_pool_create(const struct bnnep_host *host) {
    struct bnnep_arena arena = {0};
    struct process *process = map_process();
    divide(&arena, (unsigned)host->threads);
    struct pool *pool = process && bnnep_arena_open(&arena, host) ? divide(&arena, (unsigned)host->threads) : NULL;
    if (pool)
        pool->process = process;
    else if (process)
        munmap(process, sizeof *process);
    return pool;
}

unsigned bnnep_pool_threads(const struct pool *pool) {
    return pool->threads;
}

static void take_tasks(struct pool *pool, unsigned worker) {
    for (size_t task; (task = atomic_fetch_add(&pool->next, 1)) < pool->tasks;)
        pool->task(pool->arg, task, worker);
}

static void *work(void *arg) {
    struct worker *self = arg;
    struct pool *pool = self->pool;
    pthread_mutex_lock(&pool->lock);
    for (uint64_t seen = self->seen;;) {
        while (pool->generation == seen && !pool->stop)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->generation;
        if (self->index < pool->most) {
            pthread_mutex_unlock(&pool->lock);
            take_tasks(pool, self->index);
            pthread_mutex_lock(&pool->lock);
        }
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Makes the locks of this process. False if another of its threads is at it. */
static bool prepare(struct pool *pool) {
    const int self = (int)getpid();
    struct process *process = pool->process;
    if (atomic_load(&process->owner) == self)
        return true;
    int before = atomic_load(&process->preparing);
    if (before == self || !atomic_compare_exchange_strong(&process->preparing, &before, self))
        return false;
    pool->started = 0;
    pool->generation = 0;
    pthread_mutex_init(&pool->taken, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    atomic_store(&process->owner, self);
    return true;
}

/* Starts the threads that this process lacks. With fewer than wanted, the work is done all the same. */
static void start(struct pool *pool) {
    if (pool->started + 1 >= pool->threads)
        return;
    sigset_t all, before; /* the caller's signal handlers run in the caller's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->started + 1 < pool->threads) {
        struct worker *worker = &pool->worker[pool->started];
        *worker = (struct worker){.pool = pool, .index = pool->started + 1, .seen = pool->generation};
        if (pthread_create(&worker->thread, NULL, work, worker) != 0)
            break;
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_together(struct pool *pool, unsigned most, size_t tasks, pool_task task, void *arg) {
    start(pool);
    pthread_mutex_lock(&pool->lock);
    pool->task = task;
    pool->arg = arg;
    pool->tasks = tasks;
    pool->most = most;
    atomic_store(&pool->next, 1); /* task 0 is the caller's, so that it takes part and polls for cancelling */
    pool->busy = pool->started;
    pool->generation++;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    task(arg, 0, 0);
    take_tasks(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void bnnep_pool_run(struct pool *pool, unsigned most, size_t tasks, pool_task task, void *arg) {
    if (pool->threads > 1 && most > 1 && tasks > 1 && prepare(pool) && pthread_mutex_trylock(&pool->taken) == 0) {
        run_together(pool, most, tasks, task, arg);
        pthread_mutex_unlock(&pool->taken);
        return;
    }
    for (size_t i = 0; i < tasks; i++)
        task(arg, i, 0);
}

void bnnep_pool_destroy(struct pool *pool) {
    if (!pool)
        return;
    if (atomic_load(&pool->process->owner) == (int)getpid()) {
        pthread_mutex_lock(&pool->lock);
        pool->stop = true;
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < pool->started; i++)
            pthread_join(pool->worker[i].thread, NULL);
        pthread_mutex_destroy(&pool->taken);
        pthread_mutex_destroy(&pool->lock);
        pthread_cond_destroy(&pool->work);
        pthread_cond_destroy(&pool->done);
    }
    munmap(pool->process, sizeof *pool->process);
    bnnep_arena_free(pool);
}
