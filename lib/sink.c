/* SPDX-License-Identifier: MIT */
/* Sinks: files that are whole or as they were before, memory, callbacks. */
#include "lib/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
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

/* So that the rename survives a crash of the machine. */
static void sync_folder(const char *path) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    const int file = open(slash ? folder : ".", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)fsync(file);
        close(file);
    }
}

/* Opens the temporary file. Its name is fixed, so that the next write reuses what a killed one left behind; a lock
 * keeps two writers apart. */
static bnnep_status open_temporary(const char *temporary, const char *path, int *out) {
    struct stat opened, named;
    const int file = open(temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (file < 0)
        return cannot_write(path);
    bnnep_status status = BNNEP_OK;
    /* whoever held the lock may have renamed the file since it was opened here */
    if (flock(file, LOCK_EX | LOCK_NB) != 0 || fstat(file, &opened) != 0 || stat(temporary, &named) != 0 ||
        opened.st_ino != named.st_ino)
        status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be written: somebody else is writing it", path);
    else if (ftruncate(file, 0) != 0)
        status = cannot_write(path);
    if (status != BNNEP_OK)
        close(file);
    *out = file;
    return status;
}

/* The file takes its place. */
static bnnep_status commit(struct bnnep_output *output) {
    if (fsync(output->file) != 0)
        return cannot_write(output->sink.path);
    if (rename(output->temporary, output->sink.path) != 0)
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be renamed into place: %s", output->sink.path, strerror(errno));
    sync_folder(output->sink.path);
    return BNNEP_OK;
}

/* --- any ----------------------------------------------------------------------------------------------------- */

bnnep_status bnnep_output_open(struct bnnep_output *output, const bnnep_sink *sink) {
    output->sink = *sink;
    output->name = bnnep_sink_name(sink);
    output->file = -1;
    output->written = 0;
    if (!sink->path)
        return BNNEP_OK;
    const int length = snprintf(output->temporary, sizeof output->temporary, "%s.part", sink->path);
    if (length < 0 || (size_t)length >= sizeof output->temporary)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the path is longer than %zu bytes", sizeof output->temporary - 6);
    return open_temporary(output->temporary, sink->path, &output->file);
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

bnnep_status bnnep_output_close(struct bnnep_output *output, bnnep_status status) {
    if (status == BNNEP_OK && output->sink.count)
        *output->sink.count = output->written;
    if (status == BNNEP_OK && output->sink.bytes && output->written > output->sink.room)
        status = bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: has room for %zu bytes, needs %llu", output->name,
                            output->sink.room, (unsigned long long)output->written);
    if (output->file < 0)
        return status;
    if (status == BNNEP_OK)
        status = commit(output);
    if (status != BNNEP_OK)
        unlink(output->temporary);
    close(output->file); /* also releases the lock; the data are synced */
    output->file = -1;
    return status;
}
