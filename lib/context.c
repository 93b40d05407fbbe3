/* SPDX-License-Identifier: MIT */
/* Contexts: what handles share. */
#include <stdlib.h>
#include <string.h>

#include "lib/internal.h"
#include "lib/processors.h"

/* Each thread takes one of OpenBLAS's buffers, of which a process has a fixed number (128 in Debian's build). */
#define MOST_THREADS 64

/* --- memory ------------------------------------------------------------------------------------------------------- */

static void *default_allocate(void *user, size_t bytes) {
    (void)user;
    return malloc(bytes ? bytes : 1);
}

static void default_release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static size_t most_threads(void) {
    const size_t processors = bnnep_processors();
    return processors < MOST_THREADS ? processors : MOST_THREADS;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static void no_log(void *user, int32_t level, const char *message) {
    (void)user, (void)level, (void)message;
}

static bnnep_status check_options(const bnnep_context_options *o) {
    if (!o->allocate != !o->release)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "allocate and release go together");
    if (o->threads < 0 || o->threads > MOST_THREADS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "threads is %d; it must be from 1 to %d, or 0 for all processors",
                          o->threads, MOST_THREADS);
    if (o->file_steps < 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "file_steps is %d; it must be at least 1, or 0 for the default",
                          o->file_steps);
    return BNNEP_OK;
}

static struct bnnep_host host_of(const bnnep_context_options *o) {
    return (struct bnnep_host){
        .size = sizeof(struct bnnep_host),
        .allocate = o->allocate ? o->allocate : default_allocate,
        .release = o->release ? o->release : default_release,
        .memory_user = o->memory_user,
        .log = o->log ? o->log : no_log,
        .log_user = o->log_user,
        .threads = o->threads ? (size_t)o->threads : most_threads(),
    };
}

/* Module path and backends of a new context. */
static bnnep_status furnish(bnnep_context *context, const bnnep_context_options *o) {
    if (o->module_path) {
        const size_t length = strlen(o->module_path);
        context->module_path = bnnep_take(context, length + 1, 1);
        if (!context->module_path)
            return bnnep_fail_memory("a context", length + 1);
        memcpy(context->module_path, o->module_path, length);
    }
    return bnnep_registry_create(context, o->backend);
}

bnnep_status bnnep_context_create(const bnnep_context_options *theirs, bnnep_context **out) {
    if (!out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_context_create: out is NULL");
    *out = NULL;
    bnnep_context_options o;
    bnnep_status status = bnnep_take_context_options(&o, theirs);
    if (status == BNNEP_OK)
        status = check_options(&o);
    if (status != BNNEP_OK)
        return status;
    const struct bnnep_host host = host_of(&o);
    bnnep_context *context = host.allocate(host.memory_user, sizeof *context);
    if (!context)
        return bnnep_fail_memory("a context", sizeof *context);
    *context = (bnnep_context){.host = host,
                               .max_bytes = o.max_bytes ? o.max_bytes : UINT64_MAX,
                               .file_network = o.file_network,
                               .file_unpacked = o.file_unpacked,
                               .file_header = o.file_header,
                               .file_steps = o.file_steps};
    atomic_init(&context->references, 1);
    status = furnish(context, &o);
    if (status != BNNEP_OK) {
        bnnep_context_free(context);
        return status;
    }
    *out = context;
    return BNNEP_OK;
}

bnnep_status bnnep_context_use(bnnep_context *given, bnnep_context **used) {
    *used = given;
    if (!given)
        return bnnep_context_create(NULL, used);
    atomic_fetch_add(&given->references, 1);
    return BNNEP_OK;
}

void bnnep_context_free(bnnep_context *context) {
    if (!context || atomic_fetch_sub(&context->references, 1) != 1)
        return;
    bnnep_registry_destroy(context);
    bnnep_give_back(context, context->module_path);
    const struct bnnep_host host = context->host;
    host.release(host.memory_user, context);
}
