/* SPDX-License-Identifier: MIT */
/* Sinks: files that are whole or as they were before, memory, callbacks. */
#include "lib/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

bnnep_status bnnep_take_sink(bnnep_sink *sink, const bnnep_sink *theirs) {
    if (!theirs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the sink is NULL");
    const bnnep_status status = bnnep_take_options(sink, sizeof *sink, theirs, "bnnep_sink");
    if (status == BNNEP_OK && !sink->path + !sink->bytes + !sink->write < 2)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_sink: only one of path, bytes and write may be set");
    return status;
}

const char *bnnep_sink_name(const bnnep_sink *sink) {
    return sink->name ? sink->name : sink->path ? sink->path : "sink";
}

/* --- files --------------------------------------------------------------------------------------------------- */

static bnnep_status cannot_write(const char *path) {
    return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be written: %s", path, strerror(errno));
}

static bool write_all(int file, const void *bytes, uint64_t count) {
    const uint8_t *from = bytes;
    while (count > 0) {
        const ssize_t written = write(file, from, count < (1u << 30) ? (size_t)count : 1u << 30);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        from += written;
        count -= (uint64_t)written;
    }
    return true;
}

/* Opens a new file beside the path, under a name that nobody can foresee: nobody else writes it, and it is no link. */
static bnnep_status open_temporary(char *temporary, size_t room, const char *path, int *out) {
    enum { TRIES = 100 };
    *out = -1;
    for (int tries = 0; tries < TRIES && *out < 0; tries++) {
        uint32_t word;
        if (getrandom(&word, sizeof word, GRND_NONBLOCK) != (ssize_t)sizeof word)
            word = (uint32_t)(bnnep_now() * 1e6) ^ (uint32_t)getpid() << 16;
        const int length = snprintf(temporary, room, "%s.%08x.part", path, word);
        if (length < 0 || (size_t)length >= room)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the path is longer than %zu bytes",
                              room - sizeof ".12345678.part");
        *out = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (*out < 0 && errno != EEXIST && errno != EINTR)
            break;
    }
    return *out < 0 ? cannot_write(path) : BNNEP_OK;
}

/* A file, a link to one or nothing may be replaced; a device or a FIFO was not meant. */
static bnnep_status check_place(const char *path) {
    struct stat about;
    if (lstat(path, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISLNK(about.st_mode))
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be written: is not a regular file", path);
    return BNNEP_OK;
}

static int sync_file(int file) {
    int failed;
    do
        failed = fsync(file);
    while (failed && errno == EINTR);
    return failed;
}

/* The folder of a path, open, so that it can be synced; -1 if it cannot be. */
static int open_folder(const char *path) {
    char folder[BNNEP_PATH];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    int file;
    do
        file = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (file < 0 && errno == EINTR);
    return file;
}

/* The file takes its place, for good: the name is on the disk too once its folder is synced. Some file systems cannot
 * do that, and say EINVAL. */
static bnnep_status rename_synced(const char *temporary, const char *path) {
    const int folder = open_folder(path);
    bnnep_status status = BNNEP_OK;
    if (folder < 0 && errno != EACCES) /* who may not list a folder may still write there */
        return cannot_write(path);
    if (rename(temporary, path) != 0)
        status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be renamed into place: %s", path, strerror(errno));
    else if (folder >= 0 && sync_file(folder) != 0 && errno != EINVAL)
        status =
            bnnep_fail(BNNEP_ERROR_FILE, "%s: is in place, but its folder cannot be synced: %s", path, strerror(errno));
    if (folder >= 0)
        close(folder);
    return status;
}

static bnnep_status commit(struct bnnep_output *output) {
    const char *path = output->sink.path;
    const int file = output->file;
    output->file = -1;
    const bool synced = sync_file(file) == 0;
    const int error = errno;
    if (close(file) != 0 && errno != EINTR && synced) /* Linux has closed it then */
        return cannot_write(path);
    errno = error;
    return synced ? rename_synced(output->temporary, path) : cannot_write(path);
}

/* --- any ----------------------------------------------------------------------------------------------------- */

bnnep_status bnnep_output_open(struct bnnep_output *output, const bnnep_sink *sink) {
    output->sink = *sink;
    output->name = bnnep_sink_name(sink);
    output->file = -1;
    output->written = 0;
    if (!sink->path)
        return BNNEP_OK;
    const bnnep_status status = check_place(sink->path);
    return status == BNNEP_OK ? open_temporary(output->temporary, sizeof output->temporary, sink->path, &output->file)
                              : status;
}

bool bnnep_output_source(const struct bnnep_output *output, bnnep_source *source) {
    const bnnep_sink *sink = &output->sink;
    *source = (bnnep_source){.size = sizeof *source, .name = output->name};
    if (sink->path)
        source->path = output->temporary;
    else if (sink->bytes && output->written <= sink->room) {
        source->bytes = sink->bytes;
        source->count = (size_t)output->written;
    }
    return source->path || source->bytes;
}

bnnep_status bnnep_output_write(struct bnnep_output *output, const void *bytes, uint64_t count) {
    const bnnep_sink *sink = &output->sink;
    if (sink->path && !write_all(output->file, bytes, count))
        return cannot_write(sink->path);
    if (sink->bytes && output->written + count <= sink->room)
        memcpy((char *)sink->bytes + output->written, bytes, (size_t)count);
    if (sink->write) {
        const int32_t failed = sink->write(sink->user, bytes, (size_t)count);
        if (failed)
            return bnnep_fail(BNNEP_ERROR_CALLBACK, "%s: its callback returned %d", output->name, failed);
    }
    output->written += count;
    return BNNEP_OK;
}

bool bnnep_output_can_go_back(const struct bnnep_output *output) {
    return !output->sink.write;
}

bnnep_status bnnep_output_write_over(struct bnnep_output *output, uint64_t offset, const void *bytes, size_t count) {
    const bnnep_sink *sink = &output->sink;
    if (sink->path && (lseek(output->file, (off_t)offset, SEEK_SET) < 0 || !write_all(output->file, bytes, count)))
        return cannot_write(sink->path);
    if (sink->bytes && offset + count <= sink->room)
        memcpy((char *)sink->bytes + offset, bytes, count);
    return BNNEP_OK;
}

bnnep_status bnnep_output_close(struct bnnep_output *output, bnnep_status status) {
    if (status == BNNEP_OK && output->sink.count)
        *output->sink.count = output->written;
    if (status == BNNEP_OK && output->sink.bytes && output->written > output->sink.room)
        status = bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: has room for %zu bytes, needs %llu", output->name,
                            output->sink.room, (unsigned long long)output->written);
    if (!output->sink.path || output->file < 0)
        return status;
    if (status == BNNEP_OK)
        status = commit(output);
    else
        close(output->file);
    output->file = -1;
    if (status != BNNEP_OK)
        unlink(output->temporary); /* or it has its place already */
    return status;
}
