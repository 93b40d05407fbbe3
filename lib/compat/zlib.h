/* SPDX-License-Identifier: MIT */
/*
 * What the library and its programs use of zlib's interface, for builds without zlib (-DBNNEP_WITH_ZLIB=OFF): the
 * checksum. What is compressed is refused.
 */
#ifndef BNNEP_COMPAT_ZLIB_H
#define BNNEP_COMPAT_ZLIB_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned char Bytef;
typedef unsigned int uInt;
typedef unsigned long uLong;

enum { Z_OK = 0, Z_STREAM_END = 1, Z_MEM_ERROR = -4, Z_BUF_ERROR = -5, Z_VERSION_ERROR = -6 };
enum { Z_NO_FLUSH = 0, MAX_WBITS = 15 };

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

typedef void *voidpf;

typedef struct z_stream_s {
    const Bytef *next_in;
    Bytef *next_out;
    uInt avail_in, avail_out;
    const char *msg;
    voidpf (*zalloc)(voidpf opaque, uInt count, uInt size);
    void (*zfree)(voidpf opaque, voidpf memory);
    voidpf opaque;
} z_stream;

static inline int inflateInit2(z_stream *stream, int bits) {
    (void)stream, (void)bits;
    return Z_VERSION_ERROR;
}

static inline int inflate(z_stream *stream, int flush) {
    (void)stream, (void)flush;
    return Z_VERSION_ERROR;
}

static inline int inflateReset(z_stream *stream) {
    (void)stream;
    return Z_VERSION_ERROR;
}

static inline int inflateEnd(z_stream *stream) {
    (void)stream;
    return Z_OK;
}

#endif
