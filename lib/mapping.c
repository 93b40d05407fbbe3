/* SPDX-License-Identifier: MIT */
/* The bytes of a container's source, at one place. */
#include "lib/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/stream.h"

static bnnep_status map_file(const char *path, struct bnnep_container *file) {
    struct stat about;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    bnnep_status status = BNNEP_OK;
    if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode))
        status = bnnep_fail(BNNEP_ERROR_FILE, "%s: is not a file", path);
    else
        status = bnnep_check_bytes(file->context, path, (uint64_t)about.st_size);
    if (status == BNNEP_OK && about.st_size > 0) {
        void *map = MAP_FAILED;
        if ((uint64_t)about.st_size > SIZE_MAX)
            errno = EFBIG;
        else
            map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (map == MAP_FAILED)
            status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be mapped: %s", path, strerror(errno));
        else {
            file->bytes = map;
            file->size = (size_t)about.st_size;
            file->mapped = true;
        }
    }
    close(descriptor);
    return status;
}

static bnnep_status read_callback(const bnnep_source *source, struct bnnep_container *file) {
    struct bnnep_stream *stream;
    uint8_t *bytes;
    uint64_t count;
    bnnep_status status = bnnep_stream_open(file->context, source, false, &stream);
    if (status != BNNEP_OK)
        return status;
    status = bnnep_stream_read_all(stream, UINT64_MAX, &bytes, &count);
    file->owned = bytes;
    file->bytes = bytes;
    file->size = (size_t)count;
    bnnep_stream_close(stream);
    return status;
}

/* The caller's bytes, or a copy if tensors of floats would not be aligned. */
static bnnep_status take_memory(const bnnep_source *source, struct bnnep_container *file) {
    const bnnep_status status = bnnep_check_bytes(file->context, file->path, source->count);
    if (status != BNNEP_OK)
        return status;
    file->bytes = source->bytes;
    file->size = source->count;
    if ((uintptr_t)source->bytes % sizeof(float) == 0)
        return BNNEP_OK;
    file->owned = bnnep_take(file->context, source->count, 1);
    if (!file->owned)
        return bnnep_fail_memory(file->path, source->count);
    file->bytes = memcpy(file->owned, source->bytes, source->count);
    return BNNEP_OK;
}

bnnep_status bnnep_container_map(const bnnep_source *source, struct bnnep_container *file) {
    return source->path    ? map_file(source->path, file)
           : source->bytes ? take_memory(source, file)
                           : read_callback(source, file);
}

void bnnep_container_unmap(struct bnnep_container *file) {
    if (file->mapped)
        munmap((void *)(uintptr_t)file->bytes, file->size);
    bnnep_give_back(file->context, file->owned);
    file->mapped = false;
    file->owned = NULL;
    file->bytes = NULL;
}
