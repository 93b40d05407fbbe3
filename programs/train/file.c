/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/program.h"

bool file_sync(int descriptor) {
    int status;
    do
        status = fsync(descriptor);
    while (status != 0 && errno == EINTR);
    return status == 0;
}

int file_open(const char *path, int flags) {
    struct stat about;
    int file;
    do
        file = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    while (file < 0 && errno == EINTR);
    if (file < 0) {
        if (errno == ELOOP)
            complain(path, "is a symbolic link, which is not followed");
        else
            complain_errno(path);
        return -1;
    }
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode))
        return file;
    complain(path, "is not a file");
    close(file);
    return -1;
}

static bool write_all(int file, const char *text, size_t length) {
    while (length > 0) {
        const ssize_t written = write(file, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        length -= (size_t)written;
    }
    return true;
}

/* Writes to an open file, syncs and closes it. */
static int finish(int file, const char *path, const char *text, size_t length) {
    const bool written = write_all(file, text, length) && file_sync(file);
    const int status = written ? 0 : complain_errno(path);
    close(file); /* what it could fail with is known from the sync */
    return status;
}

/* Behind what is there. */
static int append(const char *path, const char *text, size_t length) {
    const int file = file_open(path, O_WRONLY | O_APPEND);
    return file < 0 ? 1 : finish(file, path, text, length);
}

/* Under another name first, which remains if the process is killed: the next that goes on with the run removes it. */
static int replace(const char *path, const char *text, size_t length) {
    char part[4096 + 8];
    struct stat about;
    if (lstat(path, &about) == 0 && !S_ISREG(about.st_mode))
        return complain(path, "is not a file");
    snprintf(part, sizeof part, "%s.part", path);
    unlink(part);
    const int file = file_open(part, O_WRONLY | O_CREAT | O_EXCL);
    int status = file < 0 ? 1 : finish(file, part, text, length);
    if (status == 0 && rename(part, path) != 0)
        status = complain_errno(path);
    if (status != 0)
        unlink(part);
    return status;
}

void text_open(struct text *text) {
    *text = (struct text){.text = NULL};
    text->stream = open_memstream(&text->text, &text->length);
    text->complete = text->stream != NULL;
}

static int end(struct text *text, const char *path, int (*use)(const char *path, const char *text, size_t length)) {
    bool complete = text->complete && !ferror(text->stream);
    if (text->stream)
        complete = fclose(text->stream) == 0 && complete;
    const int status = complete ? use(path, text->text, text->length) : complain(path, "out of memory");
    free(text->text);
    return status;
}

int text_write(struct text *text, const char *path) {
    return end(text, path, replace);
}

int text_append(struct text *text, const char *path) {
    return end(text, path, append);
}
