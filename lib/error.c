/* SPDX-License-Identifier: MIT */
/* Status codes, the message of the last failure, and structs that cross the interface with their size. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/internal.h"

static _Thread_local char message[1024];

const char *bnnep_last_error(void) {
    return message;
}

const char *bnnep_status_name(bnnep_status status) {
    switch (status) {
    case BNNEP_OK:
        return "BNNEP_OK";
    case BNNEP_ERROR_ARGUMENT:
        return "BNNEP_ERROR_ARGUMENT";
    case BNNEP_ERROR_MEMORY:
        return "BNNEP_ERROR_MEMORY";
    case BNNEP_ERROR_FILE:
        return "BNNEP_ERROR_FILE";
    case BNNEP_ERROR_FORMAT:
        return "BNNEP_ERROR_FORMAT";
    case BNNEP_ERROR_DATA:
        return "BNNEP_ERROR_DATA";
    case BNNEP_ERROR_UNSUPPORTED:
        return "BNNEP_ERROR_UNSUPPORTED";
    case BNNEP_ERROR_BACKEND:
        return "BNNEP_ERROR_BACKEND";
    case BNNEP_ERROR_CALLBACK:
        return "BNNEP_ERROR_CALLBACK";
    case BNNEP_CANCELLED:
        return "BNNEP_CANCELLED";
    }
    return "unknown status";
}

#define TEXT(x) #x
#define DIGITS(x) TEXT(x)

uint32_t bnnep_version(void) {
    return BNNEP_VERSION;
}

const char *bnnep_version_string(void) {
    return DIGITS(BNNEP_VERSION_MAJOR) "." DIGITS(BNNEP_VERSION_MINOR) "." DIGITS(BNNEP_VERSION_PATCH);
}

bnnep_status(bnnep_fail)(bnnep_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return status;
}

bnnep_status(bnnep_fail_memory)(const char *what, uint64_t bytes) {
    return bnnep_fail(BNNEP_ERROR_MEMORY, "out of memory for %s (%.1f MiB)", what, (double)bytes / 1048576.0);
}

/* A struct that may grow must not end in padding: a new field would lie in bytes that older programs never set. */
#define ENDS_WITH(type, field)                                                                                         \
    _Static_assert(offsetof(type, field) + sizeof(((type *)0)->field) == sizeof(type), #type " ends in padding")
ENDS_WITH(bnnep_backend_info, reserved);
ENDS_WITH(bnnep_dataset_options, copy);
ENDS_WITH(bnnep_dataset_info, deviation);
ENDS_WITH(bnnep_transform, crop);
ENDS_WITH(bnnep_connection, reserved);
ENDS_WITH(bnnep_network_options, reserved);
ENDS_WITH(bnnep_network_info, gamma_neur);
ENDS_WITH(bnnep_connection_info, reserved);
ENDS_WITH(bnnep_optimizer_options, reserved);
ENDS_WITH(bnnep_report, flips_count);
ENDS_WITH(bnnep_progress, so_far); /* NOLINT(bugprone-sizeof-expression): it is a pointer */
ENDS_WITH(bnnep_workspace_options, threads);
ENDS_WITH(bnnep_relaxed, reserved);

bnnep_status bnnep_take_options(void *to, size_t known, const void *from, const char *name) {
    size_t size;
    memcpy(&size, from, sizeof size);
    if (size < sizeof size || size > 65536)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: size is %zu; initialise it with its _INIT macro", name, size);
    for (size_t i = known; i < size; i++)
        if (((const char *)from)[i])
            return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: a field at byte %zu is set that libbnnep %s does not know",
                              name, i, bnnep_version_string());
    memcpy(to, from, size < known ? size : known);
    memcpy(to, &known, sizeof known);
    return BNNEP_OK;
}

bnnep_status bnnep_give_struct(void *to, const void *from, size_t known, const char *name) {
    size_t size;
    memcpy(&size, to, sizeof size);
    if (size < sizeof size || size > 65536)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: size is %zu; initialise it with its _INIT macro", name, size);
    const size_t common = size < known ? size : known;
    memcpy((char *)to + sizeof size, (const char *)from + sizeof size, common - sizeof size);
    return BNNEP_OK;
}

void *bnnep_array(uint64_t count, size_t size) {
    if (count > SIZE_MAX / size)
        return NULL;
    return calloc(count ? (size_t)count : 1, size);
}
