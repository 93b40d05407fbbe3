/* SPDX-License-Identifier: MIT */
/* The memory that handles live in, from the functions of their context. */
#include <string.h>

#include "lib/internal.h"

void *bnnep_take(const bnnep_context *context, uint64_t count, size_t size) {
    if (count > SIZE_MAX / 2 / size)
        return NULL;
    const size_t bytes = count ? (size_t)count * size : size;
    void *memory = context->host.allocate(context->host.memory_user, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *bnnep_take_more(const bnnep_context *context, void *block, uint64_t old, uint64_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return NULL;
    void *larger = context->host.allocate(context->host.memory_user, (size_t)bytes);
    if (larger && block)
        memcpy(larger, block, (size_t)old);
    if (larger)
        bnnep_give_back(context, block);
    return larger;
}

void bnnep_give_back(const bnnep_context *context, const void *memory) {
    if (memory)
        context->host.release(context->host.memory_user, (void *)(uintptr_t)memory);
}

bnnep_status bnnep_check_bytes(const bnnep_context *context, const char *what, uint64_t bytes) {
    if (bytes <= context->max_bytes)
        return BNNEP_OK;
    return bnnep_fail(BNNEP_ERROR_MEMORY, "%s: %llu bytes are more than the context's max_bytes, %llu", what,
                      (unsigned long long)bytes, (unsigned long long)context->max_bytes);
}
