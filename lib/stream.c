/* SPDX-License-Identifier: MIT */
/* Sources: files, memory and callbacks as one stream of bytes, compressed with gzip or not. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/stream.h"

enum { PIECE = 1 << 16 };

struct bnnep_stream {
    const bnnep_context *context;
    bnnep_source source;
    int file;      /* of a path; else -1 */
    uint64_t size; /* of the source; UINT64_MAX: not known */
    uint64_t read; /* bytes that were handed out */
    /* what was read from the source and not handed out yet */
    const uint8_t *next;
    size_t left;
    uint8_t *piece; /* [PIECE]; NULL for memory */
    bool ended;     /* the source has no more */
    bool compressed;
    bool finished; /* the compressed data have come to their end */
    z_stream inflate;
};

/* --- the source ---------------------------------------------------------------------------------------------- */

bnnep_status bnnep_take_source(bnnep_source *source, const bnnep_source *theirs) {
    if (!theirs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the source is NULL");
    const bnnep_status status = bnnep_take_options(source, sizeof *source, theirs, "bnnep_source");
    if (status != BNNEP_OK)
        return status;
    if (!source->path + !source->bytes + !source->read != 2)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_source: one of path, bytes and read must be set, and only one");
    return BNNEP_OK;
}

const char *bnnep_source_name(const bnnep_source *source) {
    return source->name ? source->name : source->path ? source->path : "source";
}

/* What is no regular file might never end, or never begin: opening a FIFO would wait for its writer. */
static bnnep_status open_file(const char *path, int *file, uint64_t *size) {
    struct stat about;
    do
        *file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (*file < 0 && errno == EINTR);
    if (*file < 0)
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(*file, &about) != 0 || !S_ISREG(about.st_mode))
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: is not a regular file", path);
    *size = (uint64_t)about.st_size;
    return BNNEP_OK;
}

/* Some bytes of the file or from the callback; 0 at the end. */
static bnnep_status read_some(struct bnnep_stream *s, uint8_t *to, size_t room, size_t *got) {
    const char *name = bnnep_source_name(&s->source);
    *got = 0;
    if (s->file < 0) {
        const int32_t failed = s->source.read(s->source.user, to, room, got);
        if (!failed && *got <= room)
            return BNNEP_OK;
        return bnnep_fail(BNNEP_ERROR_CALLBACK, "%s: its callback returned %d, and %zu bytes of %zu", name, failed,
                          *got, room);
    }
    ssize_t count;
    do
        count = read(s->file, to, room);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be read: %s", name, strerror(errno));
    *got = (size_t)count;
    return BNNEP_OK;
}

/* Reads the next piece of the source, if there is more; it may come in smaller ones. */
static bnnep_status fetch(struct bnnep_stream *s) {
    size_t got = 0;
    if (s->source.bytes || s->ended) {
        s->ended = true;
        return BNNEP_OK;
    }
    for (size_t some = 1; some > 0 && got < PIECE; got += some) {
        const bnnep_status status = read_some(s, s->piece + got, PIECE - got, &some);
        if (status != BNNEP_OK)
            return status;
    }
    s->next = s->piece;
    s->left = got;
    s->ended = got < PIECE; /* nobody is asked again who said so */
    return BNNEP_OK;
}

/* --- gzip ---------------------------------------------------------------------------------------------------- */

static voidpf take_for_zlib(voidpf context, uInt count, uInt size) {
    return bnnep_take(context, count, size);
}

static void give_back_for_zlib(voidpf context, voidpf memory) {
    bnnep_give_back(context, memory);
}

/* Looks at the first bytes of the source. */
static bnnep_status detect(struct bnnep_stream *s) {
    enum { GZIP = 16 };
    bnnep_status status = s->left == 0 ? fetch(s) : BNNEP_OK;
    if (status != BNNEP_OK || s->left < 2 || s->next[0] != 0x1f || s->next[1] != 0x8b)
        return status;
    s->inflate.zalloc = take_for_zlib;
    s->inflate.zfree = give_back_for_zlib;
    s->inflate.opaque = (voidpf)(uintptr_t)s->context;
    const int error = inflateInit2(&s->inflate, GZIP + MAX_WBITS);
    if (error == Z_VERSION_ERROR)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED,
                          "%s: compressed with gzip, and this library was built without zlib; gunzip it first",
                          bnnep_source_name(&s->source));
    if (error != Z_OK)
        return bnnep_fail_memory(bnnep_source_name(&s->source), PIECE);
    s->compressed = true;
    return BNNEP_OK;
}

/* A file may hold several compressed parts, one behind the other; what follows them is ignored, as gzip does. */
static bnnep_status next_part(struct bnnep_stream *s) {
    const bnnep_status status = s->left == 0 ? fetch(s) : BNNEP_OK;
    s->finished = s->left == 0 || s->next[0] != 0x1f || inflateReset(&s->inflate) != Z_OK;
    return status;
}

/* Inflates some bytes; *got is 0 at the end only. */
static bnnep_status inflate_some(struct bnnep_stream *s, uint8_t *to, size_t wanted, size_t *got) {
    const char *name = bnnep_source_name(&s->source);
    *got = 0;
    while (*got == 0 && !s->finished) {
        bnnep_status status = s->left == 0 ? fetch(s) : BNNEP_OK;
        if (status != BNNEP_OK)
            return status;
        const uInt room = wanted < PIECE ? (uInt)wanted : PIECE;
        s->inflate.next_in = (Bytef *)(uintptr_t)s->next;
        s->inflate.avail_in = s->left < PIECE ? (uInt)s->left : PIECE;
        s->inflate.next_out = to;
        s->inflate.avail_out = room;
        const uInt given = s->inflate.avail_in;
        const int error = inflate(&s->inflate, Z_NO_FLUSH);
        s->next += given - s->inflate.avail_in;
        s->left -= given - s->inflate.avail_in;
        *got = room - s->inflate.avail_out;
        if (error == Z_STREAM_END)
            status = next_part(s);
        else if (error == Z_MEM_ERROR)
            status = bnnep_fail_memory(name, PIECE);
        else if (*got == 0 && s->ended)
            status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: the compressed data ends in the midst, after offset %llu",
                                name, (unsigned long long)s->read);
        else if (error != Z_OK && error != Z_BUF_ERROR)
            status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: the compressed data is damaged after offset %llu: %s", name,
                                (unsigned long long)(s->read + *got), s->inflate.msg ? s->inflate.msg : "");
        if (status != BNNEP_OK)
            return status;
    }
    return BNNEP_OK;
}

/* --- streams ------------------------------------------------------------------------------------------------- */

bnnep_status bnnep_stream_open(const bnnep_context *context, const bnnep_source *theirs, bool inflated,
                               struct bnnep_stream **out) {
    bnnep_source source;
    *out = NULL;
    bnnep_status status = bnnep_take_source(&source, theirs);
    if (status != BNNEP_OK)
        return status;
    struct bnnep_stream *s = bnnep_take(context, 1, sizeof *s);
    if (!s)
        return bnnep_fail_memory(bnnep_source_name(&source), sizeof *s);
    s->context = context;
    s->source = source;
    s->file = -1;
    s->size = source.bytes ? source.count : UINT64_MAX;
    if (source.bytes) {
        s->next = source.bytes;
        s->left = source.count;
    } else if (!(s->piece = bnnep_take(context, PIECE, 1)))
        status = bnnep_fail_memory(bnnep_source_name(&source), PIECE);
    if (status == BNNEP_OK && source.path)
        status = open_file(source.path, &s->file, &s->size);
    if (status == BNNEP_OK && inflated)
        status = detect(s);
    if (status != BNNEP_OK) {
        bnnep_stream_close(s);
        return status;
    }
    *out = s;
    return BNNEP_OK;
}

uint64_t bnnep_stream_size(const struct bnnep_stream *s) {
    return s->size;
}

/* The most bytes that may come out. */
static uint64_t limit_of(const struct bnnep_stream *s) {
    const bnnep_context *context = s->context;
    return s->compressed && context->file_unpacked < context->max_bytes ? context->file_unpacked : context->max_bytes;
}

bnnep_status bnnep_stream_check(const struct bnnep_stream *s, uint64_t bytes) {
    const char *name = bnnep_source_name(&s->source);
    if (s->compressed && bytes > s->context->file_unpacked)
        return bnnep_fail(BNNEP_ERROR_MEMORY,
                          "%s: unpacks to %llu bytes or more; the context's file_unpacked allows %llu", name,
                          (unsigned long long)bytes, (unsigned long long)s->context->file_unpacked);
    return bnnep_check_bytes(s->context, name, bytes);
}

/* Hands out bytes as they are; large pieces go where they are wanted at once. */
static bnnep_status copy_some(struct bnnep_stream *s, uint8_t *to, size_t wanted, size_t *got) {
    bnnep_status status = BNNEP_OK;
    if (s->left == 0 && wanted >= PIECE && !s->source.bytes && !s->ended) {
        status = read_some(s, to, wanted, got);
        s->ended = *got == 0;
        return status;
    }
    if (s->left == 0)
        status = fetch(s);
    if (status != BNNEP_OK)
        return status;
    *got = s->left < wanted ? s->left : wanted;
    if (*got > 0)
        memcpy(to, s->next, *got);
    s->next += *got;
    s->left -= *got;
    return BNNEP_OK;
}

bnnep_status bnnep_stream_read(struct bnnep_stream *s, void *to, size_t wanted, size_t *got) {
    uint8_t *bytes = to;
    for (*got = 0; *got < wanted;) {
        size_t some = 0;
        bnnep_status status;
        if (s->compressed)
            status = inflate_some(s, bytes + *got, wanted - *got, &some);
        else
            status = copy_some(s, bytes + *got, wanted - *got, &some);
        if (status != BNNEP_OK)
            return status;
        if (some == 0)
            break;
        *got += some;
        s->read += some;
        if (s->read > limit_of(s))
            return bnnep_stream_check(s, s->read);
    }
    return BNNEP_OK;
}

/* Room to begin with: what the source can have left and one more, so that its end shows; if that is not known, some. */
static uint64_t first_room(const struct bnnep_stream *s) {
    return s->compressed || s->size == UINT64_MAX ? UINT64_C(1) << 20 : s->size - s->read + 1;
}

bnnep_status bnnep_stream_read_all(struct bnnep_stream *s, uint64_t most, uint8_t **bytes, uint64_t *count) {
    const uint64_t allowed = limit_of(s) - s->read; /* one more tells that there are too many */
    const uint64_t limit = allowed < most ? allowed + 1 : most;
    uint64_t room = 0;
    *bytes = NULL;
    *count = 0;
    for (bool ended = false; !ended && *count < limit;) {
        if (*count == room) {
            const uint64_t larger = room == 0 ? first_room(s) : 2 * room, wanted = larger < limit ? larger : limit;
            uint8_t *more = bnnep_take_more(s->context, *bytes, room, wanted);
            if (!more)
                return bnnep_fail_memory(bnnep_source_name(&s->source), wanted);
            *bytes = more;
            room = wanted;
        }
        size_t got;
        const bnnep_status status = bnnep_stream_read(s, *bytes + *count, (size_t)(room - *count), &got);
        if (status != BNNEP_OK)
            return status;
        ended = got < room - *count;
        *count += got;
    }
    return BNNEP_OK;
}

const char *bnnep_stream_name(const struct bnnep_stream *s) {
    return bnnep_source_name(&s->source);
}

void bnnep_stream_close(struct bnnep_stream *s) {
    if (!s)
        return;
    if (s->compressed)
        inflateEnd(&s->inflate);
    if (s->file >= 0)
        close(s->file);
    bnnep_give_back(s->context, s->piece);
    bnnep_give_back(s->context, s);
}
