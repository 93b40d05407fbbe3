/* SPDX-License-Identifier: MIT */
/* Status codes, the message of the last failure, the version. */
#include <stdarg.h>
#include <stdio.h>

#include "lib/internal.h"

static _Thread_local char message[1024];

const char *bnnep_last_error(void) {
    return message;
}

const char *bnnep_status_name(bnnep_status status) {
    static const char *const names[] = {"BNNEP_OK",
                                        "BNNEP_ERROR_ARGUMENT",
                                        "BNNEP_ERROR_MEMORY",
                                        "BNNEP_ERROR_FILE",
                                        "BNNEP_ERROR_FORMAT",
                                        "BNNEP_ERROR_DATA",
                                        "BNNEP_ERROR_UNSUPPORTED",
                                        "BNNEP_ERROR_BACKEND",
                                        "BNNEP_ERROR_CALLBACK",
                                        "BNNEP_CANCELLED"};
    return status <= BNNEP_OK && status >= BNNEP_CANCELLED ? names[-status] : "unknown status";
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
