/* SPDX-License-Identifier: MIT */
#include "lib/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define MOST_HEADER (UINT64_C(64) << 20)
static const char digest_key[] = "\"digest\":\"";

uint64_t bnnep_tensor_count(const struct bnnep_tensor *tensor) {
    return tensor->columns ? tensor->rows * tensor->columns : tensor->rows;
}

uint64_t bnnep_tensor_bytes(const struct bnnep_tensor *tensor) {
    return bnnep_tensor_count(tensor) * (tensor->is_float ? sizeof(float) : 1);
}

static uint32_t add_to_digest(uint32_t digest, const void *bytes, uint64_t count) {
    const uint8_t *from = bytes;
    while (count > 0) {
        const uInt some = count < (1u << 30) ? (uInt)count : 1u << 30;
        digest = (uint32_t)crc32(digest, from, some);
        from += some;
        count -= some;
    }
    return digest;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static json_t *describe(const struct bnnep_tensor *tensor, uint64_t offset) {
    json_t *shape = tensor->columns ? json_pack("[I,I]", (json_int_t)tensor->rows, (json_int_t)tensor->columns)
                                    : json_pack("[I]", (json_int_t)tensor->rows);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", tensor->is_float ? "F32" : "U8", "shape", shape, "data_offsets",
                     (json_int_t)offset, (json_int_t)(offset + bnnep_tensor_bytes(tensor)));
}

/* The header as text, padded with spaces to a multiple of 8 bytes; NULL if out of memory. */
static char *make_header(const json_t *metadata, const struct bnnep_tensor *tensors, size_t count) {
    json_t *header = json_object(), *meta = json_deep_copy(metadata);
    uint64_t offset = 0;
    bool complete = header && meta && json_object_set_new(meta, "digest", json_string("00000000")) == 0 &&
                    json_object_set(header, "__metadata__", meta) == 0;
    for (size_t i = 0; complete && i < count; i++) {
        complete = json_object_set_new(header, tensors[i].name, describe(&tensors[i], offset)) == 0;
        offset += bnnep_tensor_bytes(&tensors[i]);
    }
    char *text = complete ? json_dumps(header, JSON_COMPACT) : NULL, *padded = NULL;
    if (text) {
        const size_t length = strlen(text), room = (length + 7) / 8 * 8;
        padded = malloc(room + 1);
        if (padded) {
            memcpy(padded, text, length);
            memset(padded + length, ' ', room - length);
            padded[room] = '\0';
        }
    }
    free(text);
    json_decref(header);
    json_decref(meta);
    return padded;
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

static bnnep_status cannot_write(const char *path) {
    return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be written: %s", path, strerror(errno));
}

/* A tensor's bytes, into a buffer of their size. Refuses what could not be loaded again. */
static bnnep_status fill(const char *path, const struct bnnep_tensor *tensor, void *buffer) {
    const size_t count = (size_t)bnnep_tensor_count(tensor);
    char what[4096 + sizeof tensor->name];
    const bnnep_status status = tensor->fill(tensor->from, tensor->connection, buffer, count);
    if (status != BNNEP_OK || !tensor->is_float)
        return status;
    snprintf(what, sizeof what, "%s: not written: tensor %s", path, tensor->name);
    return bnnep_check_finite(what, buffer, count);
}

/* Writes header and tensors, then the digest into the header. */
static bnnep_status write_parts(int file, const char *path, char *header, const struct bnnep_tensor *tensors,
                                size_t count) {
    const uint64_t length = strlen(header);
    uint8_t prefix[8], *buffer = NULL;
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(length >> (8 * i));
    uint32_t digest = add_to_digest(0, header, length);
    bool written = write_all(file, prefix, 8) && write_all(file, header, length);
    bnnep_status status = BNNEP_OK;
    for (size_t i = 0; written && status == BNNEP_OK && i < count; i++) {
        const uint64_t bytes = bnnep_tensor_bytes(&tensors[i]);
        uint8_t *larger = realloc(buffer, (size_t)bytes);
        if (!larger) {
            status = bnnep_fail_memory(path, bytes);
            break;
        }
        buffer = larger;
        status = fill(path, &tensors[i], buffer);
        digest = add_to_digest(digest, buffer, bytes);
        written = status != BNNEP_OK || write_all(file, buffer, bytes);
    }
    free(buffer);
    if (status != BNNEP_OK)
        return status;
    char text[9];
    snprintf(text, sizeof text, "%08x", digest);
    const char *at = strstr(header, digest_key);
    const off_t place = (off_t)(8 + (at - header) + (long)sizeof digest_key - 1);
    written = written && pwrite(file, text, 8, place) == 8 && fsync(file) == 0;
    return written ? BNNEP_OK : cannot_write(path);
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

bnnep_status bnnep_container_write(const char *path, const json_t *metadata, const struct bnnep_tensor *tensors,
                                   size_t count) {
    char temporary[4096];
    int file = -1;
    const int length = snprintf(temporary, sizeof temporary, "%s.part", path);
    if (length < 0 || (size_t)length >= sizeof temporary)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the path is longer than %zu bytes", sizeof temporary - 6);
    char *header = make_header(metadata, tensors, count);
    if (!header)
        return bnnep_fail_memory("a file's header", 0);
    bnnep_status status = open_temporary(temporary, path, &file);
    if (status == BNNEP_OK) {
        status = write_parts(file, path, header, tensors, count);
        if (status == BNNEP_OK && rename(temporary, path) != 0)
            status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be renamed into place: %s", path, strerror(errno));
        if (status != BNNEP_OK)
            unlink(temporary);
        else
            sync_folder(path);
        close(file); /* also releases the lock; the data are synced */
    }
    free(header);
    return status;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static bnnep_status map_file(const char *path, struct bnnep_container *file) {
    struct stat about;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    bnnep_status status = BNNEP_OK;
    if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode))
        status = bnnep_fail(BNNEP_ERROR_FILE, "%s: is not a file", path);
    else if (about.st_size < 8)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %lld, expected the length of a header", path,
                            (long long)about.st_size);
    else {
        void *map = mmap(NULL, (size_t)about.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
        if (map == MAP_FAILED)
            status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be mapped: %s", path, strerror(errno));
        else {
            file->map = map;
            file->size = (size_t)about.st_size;
        }
    }
    close(descriptor);
    return status;
}

/* Checks the digest, with its own eight characters as zeros. */
static bnnep_status check_digest(const struct bnnep_container *file, size_t length) {
    char *header = (char *)file->map + 8, told[9] = "", *at = NULL;
    for (size_t i = 0; i + sizeof digest_key + 8 < length && !at; i++)
        if (memcmp(header + i, digest_key, sizeof digest_key - 1) == 0)
            at = header + i + sizeof digest_key - 1;
    if (!at)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its metadata hold no digest", file->path);
    memcpy(told, at, 8);
    memcpy(at, "00000000", 8); /* a private mapping: the file does not change */
    char found[9];
    snprintf(found, sizeof found, "%08x", add_to_digest(0, header, file->size - 8));
    if (strcmp(told, found) != 0)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is damaged: its digest is %s, expected %.8s", file->path, found,
                          told);
    return BNNEP_OK;
}

bnnep_status bnnep_container_open(const char *path, struct bnnep_container *file) {
    *file = (struct bnnep_container){.path = path};
    bnnep_status status = map_file(path, file);
    if (status != BNNEP_OK)
        return status;
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)file->map[i] << (8 * i);
    json_error_t error;
    if (length > MOST_HEADER || length > file->size - 8 || length % 8 != 0)
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: a header of %llu bytes, in a file of %zu", path,
                            (unsigned long long)length, file->size);
    else
        status = check_digest(file, (size_t)length);
    if (status == BNNEP_OK) {
        file->header = json_loadb((const char *)file->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(file->header))
            status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its header is no JSON object: %s", path, error.text);
    }
    if (status != BNNEP_OK) {
        bnnep_container_close(file);
        return status;
    }
    file->data = file->map + 8 + length;
    file->data_size = file->size - 8 - (size_t)length;
    return BNNEP_OK;
}

void bnnep_container_close(struct bnnep_container *file) {
    json_decref(file->header);
    if (file->map)
        munmap(file->map, file->size);
    file->header = NULL;
    file->map = NULL;
}

const char *bnnep_container_text(const struct bnnep_container *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

bnnep_status bnnep_container_tensor(const struct bnnep_container *file, const struct bnnep_tensor *wanted,
                                    const void **bytes) {
    const json_t *found = json_object_get(file->header, wanted->name);
    if (!found)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: has no tensor %s", file->path, wanted->name);
    const char *type = json_string_value(json_object_get(found, "dtype"));
    const json_t *shape = json_object_get(found, "shape"), *offsets = json_object_get(found, "data_offsets");
    const json_int_t rows = json_integer_value(json_array_get(shape, 0));
    const json_int_t columns = json_integer_value(json_array_get(shape, 1));
    if (!type || strcmp(type, wanted->is_float ? "F32" : "U8") != 0 ||
        json_array_size(shape) != (wanted->columns ? 2 : 1) || rows != (json_int_t)wanted->rows ||
        columns != (json_int_t)wanted->columns)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: tensor %s is %s [%lld, %lld], expected %s [%llu, %llu]", file->path,
                          wanted->name, type ? type : "of no type", (long long)rows, (long long)columns,
                          wanted->is_float ? "F32" : "U8", (unsigned long long)wanted->rows,
                          (unsigned long long)wanted->columns);
    const json_int_t from = json_integer_value(json_array_get(offsets, 0));
    const json_int_t to = json_integer_value(json_array_get(offsets, 1));
    if (from < 0 || to < from || (uint64_t)to > file->data_size ||
        (uint64_t)(to - from) != bnnep_tensor_bytes(wanted) ||
        (wanted->is_float && from % (json_int_t)sizeof(float) != 0))
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: tensor %s lies at %lld to %lld of %zu bytes, expected %llu bytes",
                          file->path, wanted->name, (long long)from, (long long)to, file->data_size,
                          (unsigned long long)bnnep_tensor_bytes(wanted));
    *bytes = file->data + from;
    return BNNEP_OK;
}
