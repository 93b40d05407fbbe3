/* SPDX-License-Identifier: MIT */
/*
 * Writes down what a program does to the files below a folder, for replay.py. By LD_PRELOAD, with
 *     BNNEP_RECORD=FILE        where it is written, a line a call
 *     BNNEP_RECORD_ROOT=FOLDER only what lies below this
 *
 *     open FD FLAGS PATH    flags: c created, t cut to nothing, - neither
 *     write FD OFFSET BYTES in hexadecimal
 *     cut FD LENGTH
 *     sync FD, close FD
 *     rename FROM TO, unlink PATH, mkdir PATH
 * Only calls that succeed are written down. Streams of <stdio.h> are not seen: bnnep-train writes no file with them.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* both names of a function are defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_FILES = 1024 };
static bool known[MOST_FILES]; /* descriptors of files below the folder */

static void find(void *where, const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        abort();
    memcpy(where, &function, sizeof function);
}

/* Is a path below the folder, or the folder? Relative ones are not. */
static bool is_below(const char *path) {
    const char *root = getenv("BNNEP_RECORD_ROOT");
    const size_t length = root ? strlen(root) : 0;
    return length > 0 && strncmp(path, root, length) == 0 && (path[length] == '/' || !path[length]);
}

static FILE *record(void) {
    static FILE *file;
    const char *path = getenv("BNNEP_RECORD");
    if (!file && path)
        file = fopen(path, "a");
    if (!file)
        abort();
    return file;
}

/* A line, which is in the record even if the program is killed next. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(record(), format, arguments);
    va_end(arguments);
    fflush(record());
}

static bool is_known(int file) {
    return file >= 0 && file < MOST_FILES && known[file];
}

static int open_at(const char *name, const char *path, int flags, mode_t mode) {
    int (*real)(int, const char *, int, ...);
    const bool was_there = access(path, F_OK) == 0;
    find(&real, name);
    const int file = real(AT_FDCWD, path, flags, mode);
    if (file >= 0 && file < MOST_FILES && is_below(path)) {
        known[file] = true;
        say("open %d %s %s\n", file, !was_there ? "c" : flags & O_TRUNC ? "t" : "-", path);
    }
    return file;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_at("openat", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_at("openat64", path, flags, mode);
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t);
    find(&real, "write");
    const ssize_t written = real(file, bytes, count);
    if (!is_known(file) || written <= 0)
        return written;
    say("write %d %lld ", file, (long long)(lseek(file, 0, SEEK_CUR) - written));
    for (ssize_t i = 0; i < written; i++)
        fprintf(record(), "%02x", ((const unsigned char *)bytes)[i]);
    say("\n");
    return written;
}

static int cut(const char *name, int file, off_t length) {
    int (*real)(int, off_t);
    find(&real, name);
    const int status = real(file, length);
    if (status == 0 && is_known(file))
        say("cut %d %lld\n", file, (long long)length);
    return status;
}

int ftruncate(int file, off_t length) {
    return cut("ftruncate", file, length);
}

int ftruncate64(int file, off_t length) {
    return cut("ftruncate64", file, length);
}

static int on_file(const char *name, const char *word, int file) {
    int (*real)(int);
    find(&real, name);
    const int status = real(file);
    if (status == 0 && is_known(file))
        say("%s %d\n", word, file);
    return status;
}

int fsync(int file) {
    return on_file("fsync", "sync", file);
}

int close(int file) {
    const int status = on_file("close", "close", file);
    if (is_known(file))
        known[file] = false;
    return status;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *);
    find(&real, "rename");
    const int status = real(from, to);
    if (status == 0 && is_below(to))
        say("rename %s %s\n", from, to);
    return status;
}

int unlink(const char *path) {
    int (*real)(const char *);
    find(&real, "unlink");
    const int status = real(path);
    if (status == 0 && is_below(path))
        say("unlink %s\n", path);
    return status;
}

int mkdir(const char *path, mode_t mode) {
    int (*real)(const char *, mode_t);
    find(&real, "mkdir");
    const int status = real(path, mode);
    if (status == 0 && is_below(path))
        say("mkdir %s\n", path);
    return status;
}
