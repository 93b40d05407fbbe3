/* SPDX-License-Identifier: MIT */
/* The same for <stdio.h>, whose own calls of read() and write() do not pass through the layer. */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* both names of a function are defined here */
#include <stdio.h>
#include <string.h>

#include "layer.h"

/* Not interrupted: only programs use streams, and they let what a signal interrupts start again. */
enum { READS = 1u << FAULT_EIO, WRITES = READS | 1u << FAULT_ENOSPC };

/* As if it had happened below the stream: ferror() is true. */
static bool strike(const char *name, FILE *file, unsigned kinds) {
    if (!faults_strike(name, kinds))
        return false;
    file->_flags |= _IO_ERR_SEEN;
    return true;
}

static FILE *open_file(const char *name, const char *path, const char *mode) {
    FILE *(*real)(const char *, const char *);
    if (faults_strike(name, strchr(mode, 'w') || strchr(mode, 'a') ? WRITES : READS))
        return NULL;
    faults_find(&real, name);
    return real(path, mode);
}

FILE *fopen(const char *path, const char *mode) {
    return open_file("fopen", path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
    return open_file("fopen64", path, mode);
}

size_t fread(void *bytes, size_t size, size_t count, FILE *file) {
    size_t (*real)(void *, size_t, size_t, FILE *);
    if (strike("fread", file, READS))
        return 0;
    faults_find(&real, "fread");
    return real(bytes, size, count, file);
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file) {
    size_t (*real)(const void *, size_t, size_t, FILE *);
    if (file != stderr && strike("fwrite", file, WRITES))
        return 0;
    faults_find(&real, "fwrite");
    return real(bytes, size, count, file);
}

static int get(const char *name, FILE *file) {
    int (*real)(FILE *);
    if (strike(name, file, READS))
        return EOF;
    faults_find(&real, name);
    return real(file);
}

int fgetc(FILE *file) {
    return get("fgetc", file);
}

int getc(FILE *file) {
    return get("getc", file);
}

char *fgets(char *text, int room, FILE *file) {
    char *(*real)(char *, int, FILE *);
    if (strike("fgets", file, READS))
        return NULL;
    faults_find(&real, "fgets");
    return real(text, room, file);
}

int fflush(FILE *file) {
    int (*real)(FILE *);
    if (file && file != stderr && strike("fflush", file, WRITES))
        return EOF;
    faults_find(&real, "fflush");
    return real(file);
}

/* The stream is gone all the same. */
int fclose(FILE *file) {
    int (*real)(FILE *);
    faults_find(&real, "fclose");
    const bool struck = faults_strike("fclose", WRITES);
    const int status = real(file);
    return struck ? EOF : status;
}
