/* SPDX-License-Identifier: MIT */
/* Status codes, the message of the last failure, the version. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/internal.h"

enum { ROOM = 1024 };
static _Thread_local char message[ROOM];

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

/* Bytes of the UTF-8 character that begins here; 0 if none does, or a control character, which a terminal would obey.
 */
static size_t printable(const unsigned char *text) {
    const unsigned char c = text[0];
    const size_t more = c < 0x80                ? 0
                        : c >= 0xc2 && c < 0xe0 ? 1
                        : c >= 0xe0 && c < 0xf0 ? 2
                        : c >= 0xf0 && c < 0xf5 ? 3
                                                : 4;
    if (c < 0x20 || c == 0x7f || more == 4 || (c == 0xc2 && text[1] < 0xa0))
        return 0;
    for (size_t i = 1; i <= more; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

/* Messages quote paths and files, whose bytes may be anything: what is not printable is written as \x1b is. */
static void escape(const char *text) {
    size_t used = 0, width;
    for (const unsigned char *from = (const unsigned char *)text; *from; from += width ? width : 1) {
        width = printable(from);
        if (used + (width ? width : 4) >= ROOM)
            break;
        if (width)
            memcpy(message + used, from, width);
        else
            snprintf(message + used, 5, "\\x%02x", *from);
        used += width ? width : 4;
    }
    message[used] = '\0';
}

bnnep_status(bnnep_fail)(bnnep_status status, const char *format, ...) {
    char text[ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    escape(text);
    return status;
}

bnnep_status(bnnep_fail_memory)(const char *what, uint64_t bytes) {
    return bnnep_fail(BNNEP_ERROR_MEMORY, "out of memory for %s (%.1f MiB)", what, (double)bytes / 1048576.0);
}

bnnep_status bnnep_backend_failed(const bnnep_network *net, bnnep_status status, const char *why) {
    return status == BNNEP_OK ? BNNEP_OK : bnnep_fail(status, "backend %s: %s", net->backend->name, why);
}
