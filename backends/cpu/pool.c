/* SPDX-License-Identifier: MIT */
/*
 * A small pool of POSIX threads that belongs to one workspace. It survives fork(): the child finds that it is
 * another process, forgets the threads it does not have and starts its own at the next run. (pthreadpool and
 * OpenMP hang there.)
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/cpu/pool.h"

struct worker {
    struct pool *pool;
    pthread_t thread;
    unsigned index;
    uint64_t seen; /* the generation of jobs it was started after */
};

struct pool {
    unsigned threads; /* the caller included */
    unsigned started; /* worker threads that exist */
    pid_t owner;      /* the process they exist in */
    struct worker *worker;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    uint64_t generation; /* counts the jobs */
    unsigned busy;       /* workers that have not finished the current one */
    bool stop;
    pool_task task;
    void *arg;
    size_t tasks;
    atomic_size_t next; /* the next task to take */
};

struct pool *bnnep_pool_create(unsigned threads) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->threads = threads;
    pool->worker = calloc(threads, sizeof *pool->worker);
    if (!pool->worker) {
        free(pool);
        return NULL;
    }
    return pool;
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
        pthread_mutex_unlock(&pool->lock);
        take_tasks(pool, self->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Starts the threads that this process lacks. With fewer than wanted, the work is done all the same. */
static void start(struct pool *pool) {
    if (pool->owner != getpid()) {
        pool->owner = getpid();
        pool->started = 0;
        pool->generation = 0;
        pthread_mutex_init(&pool->lock, NULL);
        pthread_cond_init(&pool->work, NULL);
        pthread_cond_init(&pool->done, NULL);
    }
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

void bnnep_pool_run(struct pool *pool, size_t tasks, pool_task task, void *arg) {
    if (pool->threads == 1 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++)
            task(arg, i, 0);
        return;
    }
    start(pool);
    pthread_mutex_lock(&pool->lock);
    pool->task = task;
    pool->arg = arg;
    pool->tasks = tasks;
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

void bnnep_pool_destroy(struct pool *pool) {
    if (!pool)
        return;
    if (pool->owner == getpid()) {
        pthread_mutex_lock(&pool->lock);
        pool->stop = true;
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < pool->started; i++)
            pthread_join(pool->worker[i].thread, NULL);
        pthread_mutex_destroy(&pool->lock);
        pthread_cond_destroy(&pool->work);
        pthread_cond_destroy(&pool->done);
    }
    free(pool->worker);
    free(pool);
}
