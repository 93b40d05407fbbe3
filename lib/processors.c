/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getaffinity() */
#include "lib/processors.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_TEXT = 4096 };

/* --- control groups ----------------------------------------------------------------------------------------------- */

/* The beginning of a file of /proc or /sys, which are read at once. */
static bool read_text(const char *path, char *text, size_t room) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    const ssize_t count = read(file, text, room - 1);
    close(file);
    text[count > 0 ? count : 0] = '\0';
    return count > 0;
}

/* cpu.max is "QUOTA PERIOD", in microseconds, or "max PERIOD". */
static size_t limit_of(const char *root, const char *group) {
    char path[PATH_MAX], text[MOST_TEXT], *end;
    const int length = snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
    if (length < 0 || (size_t)length >= sizeof path || !read_text(path, text, sizeof text))
        return 0;
    const unsigned long long quota = strtoull(text, &end, 10);
    const unsigned long long period = end > text ? strtoull(end, NULL, 10) : 0;
    if (quota == 0 || period == 0)
        return 0;
    const unsigned long long whole = quota / period + (quota % period != 0);
    return whole < INT_MAX ? (size_t)whole : 0;
}

size_t bnnep_cgroup_processors(const char *list, const char *root) {
    char text[MOST_TEXT];
    if (!read_text(list, text, sizeof text))
        return 0;
    /* the line of version 2 is "0::/PATH" */
    char *group = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!group)
        return 0;
    group = strchr(group, '/');
    if (!group)
        return 0;
    group[strcspn(group, "\n")] = '\0';
    size_t least = 0;
    while (true) {
        const size_t limit = limit_of(root, group);
        least = limit > 0 && (least == 0 || limit < least) ? limit : least;
        char *last = strrchr(group, '/');
        if (!last)
            return least;
        *last = '\0'; /* the group that this one is in */
    }
}

/* --- affinity ----------------------------------------------------------------------------------------------------- */

static size_t allowed(void) {
#ifdef __linux__
    cpu_set_t sets[16]; /* of 1024 processors each; a kernel that has more refuses */
    if (sched_getaffinity(0, sizeof sets, sets) == 0)
        return (size_t)CPU_COUNT_S(sizeof sets, sets);
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

size_t bnnep_processors(void) {
    const size_t here = allowed(), limit = bnnep_cgroup_processors("/proc/self/cgroup", "/sys/fs/cgroup");
    const size_t most = limit > 0 && limit < here ? limit : here;
    return most > 0 ? most : 1;
}
