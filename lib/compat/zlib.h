/* SPDX-License-Identifier: MIT */
/*
 * What the library and its programs use of zlib's interface, for builds without zlib (-DBNNEP_WITH_ZLIB=OFF): the
 * checksum, and files that are not compressed. One that is compressed is refused when it is read.
 */
#ifndef BNNEP_COMPAT_ZLIB_H
#define BNNEP_COMPAT_ZLIB_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned char Bytef;
typedef unsigned int uInt;
typedef unsigned long uLong;

enum { Z_OK = 0, Z_ERRNO = -1, Z_BUF_ERROR = -5, Z_VERSION_ERROR = -6 };

/* CRC-32 (ISO 3309, as in gzip), four bits at a time. */
static inline uLong crc32(uLong crc, const Bytef *bytes, uInt count) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t rest = ~(uint32_t)crc;
    for (uInt i = 0; i < count; i++) {
        rest = rest >> 4 ^ table[(rest ^ bytes[i]) & 15];
        rest = rest >> 4 ^ table[(rest ^ (uint32_t)bytes[i] >> 4) & 15];
    }
    return (uint32_t)~rest;
}

typedef struct gzFile_s {
    FILE *file;
    int error;
} * gzFile;

static inline gzFile gzopen(const char *path, const char *mode) {
    FILE *stream = fopen(path, *mode == 'w' ? "wb" : "rb");
    gzFile file = stream ? (gzFile)malloc(sizeof *file) : NULL;
    if (file)
        *file = (struct gzFile_s){stream, Z_OK};
    else if (stream)
        fclose(stream);
    return file;
}

static inline int gzread(gzFile file, void *to, unsigned count) {
    const int start = ftell(file->file) == 0;
    const size_t got = fread(to, 1, count, file->file);
    const Bytef *bytes = (const Bytef *)to;
    if (ferror(file->file))
        file->error = Z_ERRNO;
    else if (start && got >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        file->error = Z_VERSION_ERROR;
    return file->error == Z_OK ? (int)got : -1;
}

static inline int gzwrite(gzFile file, const void *from, unsigned count) {
    return (int)fwrite(from, 1, count, file->file);
}

static inline const char *gzerror(gzFile file, int *error) {
    *error = file->error;
    return file->error == Z_VERSION_ERROR ? "compressed with gzip, and this library was built without zlib" : "";
}

static inline int gzclose(gzFile file) {
    const int status = fclose(file->file);
    free(file);
    return status ? Z_ERRNO : Z_OK;
}

#endif
