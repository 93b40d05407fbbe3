/* SPDX-License-Identifier: MIT */
/* Files that cannot be opened, read, written, kept. Names with 64 are those that programs with large files call. */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* both names of a function are defined here */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"

/* How a call can fail. */
enum {
    READS = 1u << FAULT_EIO | 1u << FAULT_EINTR,
    WRITES = READS | 1u << FAULT_ENOSPC,
    NAMES = 1u << FAULT_EIO | 1u << FAULT_ENOSPC, /* the kernel's changes of folders are not interrupted */
    LOOKS = 1u << FAULT_EIO
};

/* --- descriptors ------------------------------------------------------------------------------------------------- */

static int open_at(const char *name, int folder, const char *path, int flags, mode_t mode) {
    int (*real)(int, const char *, int, ...);
    if (faults_strike("open", flags & O_CREAT ? WRITES : READS))
        return -1;
    faults_find(&real, name);
    return real(folder, path, flags, mode);
}

/* The mode, which only a call that makes a file has. */
static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at("openat", AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at("openat64", AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at("openat", folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at("openat64", folder, path, flags, mode);
}

/* Half of the bytes, if that is to be: at least one, as none would be the end. */
static size_t some_of(const char *name, size_t count) {
    return count > 1 && faults_shorten(name) ? count / 2 : count;
}

ssize_t read(int file, void *bytes, size_t count) {
    ssize_t (*real)(int, void *, size_t);
    if (faults_strike("read", READS))
        return -1;
    faults_find(&real, "read");
    return real(file, bytes, some_of("read", count));
}

static ssize_t read_at(const char *name, int file, void *bytes, size_t count, off_t offset) {
    ssize_t (*real)(int, void *, size_t, off_t);
    if (faults_strike(name, READS))
        return -1;
    faults_find(&real, name);
    return real(file, bytes, some_of(name, count), offset);
}

ssize_t pread(int file, void *bytes, size_t count, off_t offset) {
    return read_at("pread", file, bytes, count, offset);
}

ssize_t pread64(int file, void *bytes, size_t count, off_t offset) {
    return read_at("pread64", file, bytes, count, offset);
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t);
    if (faults_strike("write", WRITES))
        return -1;
    faults_find(&real, "write");
    return real(file, bytes, some_of("write", count));
}

static ssize_t write_at(const char *name, int file, const void *bytes, size_t count, off_t offset) {
    ssize_t (*real)(int, const void *, size_t, off_t);
    if (faults_strike(name, WRITES))
        return -1;
    faults_find(&real, name);
    return real(file, bytes, some_of(name, count), offset);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    return write_at("pwrite", file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset) {
    return write_at("pwrite64", file, bytes, count, offset);
}

static bool is_folder(int file) {
    int (*real)(int, struct stat *);
    struct stat about;
    faults_find(&real, "fstat");
    return real(file, &about) == 0 && S_ISDIR(about.st_mode);
}

static int sync_file(const char *name, int file) {
    int (*real)(int);
    if (faults_strike(is_folder(file) ? "fsync of a folder" : "fsync", WRITES))
        return -1;
    faults_find(&real, name);
    return real(file);
}

int fsync(int file) {
    return sync_file("fsync", file);
}

int fdatasync(int file) {
    return sync_file("fdatasync", file);
}

/* The descriptor is gone all the same. */
int close(int file) {
    int (*real)(int);
    faults_find(&real, "close");
    const bool struck = faults_strike("close", WRITES);
    const int status = real(file);
    return struck ? -1 : status;
}

int flock(int file, int operation) {
    int (*real)(int, int);
    if (faults_strike("flock", READS))
        return -1;
    faults_find(&real, "flock");
    return real(file, operation);
}

static int set_length(const char *name, int file, off_t length) {
    int (*real)(int, off_t);
    if (faults_strike(name, WRITES))
        return -1;
    faults_find(&real, name);
    return real(file, length);
}

int ftruncate(int file, off_t length) {
    return set_length("ftruncate", file, length);
}

int ftruncate64(int file, off_t length) {
    return set_length("ftruncate64", file, length);
}

static int look_at(const char *name, int file, struct stat *about) {
    int (*real)(int, struct stat *);
    if (faults_strike(name, LOOKS))
        return -1;
    faults_find(&real, name);
    return real(file, about);
}

int fstat(int file, struct stat *about) {
    return look_at("fstat", file, about);
}

int fstat64(int file, struct stat64 *about) {
    return look_at("fstat64", file, (struct stat *)about);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *);
    if (faults_strike("rename", NAMES))
        return -1;
    faults_find(&real, "rename");
    return real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    int (*real)(const char *, mode_t);
    if (faults_strike("mkdir", NAMES))
        return -1;
    faults_find(&real, "mkdir");
    return real(path, mode);
}

static int cut(const char *name, const char *path, off_t length) {
    int (*real)(const char *, off_t);
    if (faults_strike(name, WRITES))
        return -1;
    faults_find(&real, name);
    return real(path, length);
}

int truncate(const char *path, off_t length) {
    return cut("truncate", path, length);
}

int truncate64(const char *path, off_t length) {
    return cut("truncate64", path, length);
}

static int look(const char *name, const char *path, struct stat *about) {
    int (*real)(const char *, struct stat *);
    if (faults_strike(name, LOOKS))
        return -1;
    faults_find(&real, name);
    return real(path, about);
}

int stat(const char *path, struct stat *about) {
    return look("stat", path, about);
}

int stat64(const char *path, struct stat64 *about) {
    return look("stat64", path, (struct stat *)about);
}

int lstat(const char *path, struct stat *about) {
    return look("lstat", path, about);
}

int lstat64(const char *path, struct stat64 *about) {
    return look("lstat64", path, (struct stat *)about);
}
