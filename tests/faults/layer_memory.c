/* SPDX-License-Identifier: MIT */
/* Memory and threads that cannot be had. */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* both names of a function are defined here */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "layer.h"

/* What lies behind: the sanitizer's functions where there is one, else those of the C library, which has these names
 * for them. Looking them up by dlsym() would take memory. */
#ifdef __SANITIZE_ADDRESS__
#define BEHIND(name) __interceptor_##name
#else
#define BEHIND(name) __libc_##name
#endif
void *BEHIND(malloc)(size_t bytes);
void *BEHIND(calloc)(size_t count, size_t size);
void *BEHIND(realloc)(void *block, size_t bytes);
void *BEHIND(memalign)(size_t alignment, size_t bytes);
void BEHIND(free)(void *block);

enum { MEMORY = 1u << FAULT_MEMORY };

static void *counted(void *block) {
    if (block)
        faults_count_live(1);
    return block;
}

void *malloc(size_t bytes) {
    return faults_strike("malloc", MEMORY) ? NULL : counted(BEHIND(malloc)(bytes));
}

void *calloc(size_t count, size_t size) {
    return faults_strike("calloc", MEMORY) ? NULL : counted(BEHIND(calloc)(count, size));
}

void *realloc(void *block, size_t bytes) {
    if (!block)
        return malloc(bytes);
    if (bytes == 0) {
        free(block);
        return NULL;
    }
    return faults_strike("realloc", MEMORY) ? NULL : BEHIND(realloc)(block, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    return faults_strike("memalign", MEMORY) ? NULL : counted(BEHIND(memalign)(alignment, bytes));
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return memalign(alignment, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
    const int before = errno;
    void *found = memalign(alignment, bytes);
    errno = before;
    if (!found)
        return ENOMEM;
    *block = found;
    return 0;
}

void free(void *block) {
    if (block)
        faults_count_live(-1);
    BEHIND(free)(block);
}

static void *map(const char *name, void *address, size_t length, const int how[3], off_t offset) {
    void *(*real)(void *, size_t, int, int, int, off_t);
    const int file = how[2];
    if (faults_strike(name, file < 0 ? MEMORY : 1u << FAULT_EIO))
        return MAP_FAILED;
    faults_find(&real, name);
    return real(address, length, how[0], how[1], file, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return map("mmap", address, length, (const int[]){protection, flags, file}, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return map("mmap64", address, length, (const int[]){protection, flags, file}, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (faults_strike("pthread_create", MEMORY))
        return EAGAIN;
    faults_find(&real, "pthread_create");
    return real(thread, attributes, start, argument);
}
