/* SPDX-License-Identifier: MIT */
/*
 * The IDX format of MNIST: two zero bytes, a type (0x08: unsigned bytes), the number of dimensions, then each
 * dimension as a big-endian 32-bit number, then the values. Plain or gzip; zlib reads both, and lib/compat/zlib.h, in
 * its place, the former. No length field is believed: memory grows with what the file really holds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/internal.h"

#define MOST_DIMENSIONS 4

struct idx {
    const char *path;
    uint32_t dimensions;
    uint64_t size[MOST_DIMENSIONS];
    uint64_t header; /* bytes */
    uint8_t *values;
};

/* Reads up to `wanted` bytes at `offset`; *got tells how many there were. */
static bnnep_status read_bytes(gzFile file, const char *path, uint64_t offset, uint8_t *to, size_t wanted,
                               size_t *got) {
    for (*got = 0; *got < wanted;) {
        const size_t left = wanted - *got;
        errno = 0;
        const int bytes = gzread(file, to + *got, left < (1u << 20) ? (unsigned)left : 1u << 20);
        int error = Z_OK;
        const char *text = gzerror(file, &error);
        if (bytes < 0 || (bytes == 0 && error == Z_BUF_ERROR)) {
            if (error == Z_ERRNO)
                return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be read: %s", path, strerror(errno));
            if (error == Z_VERSION_ERROR)
                return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: %s; gunzip it first", path, text);
            if (error == Z_BUF_ERROR)
                return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: the compressed data ends in the midst, after offset %llu",
                                  path, (unsigned long long)(offset + *got));
            return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: the compressed data is damaged after offset %llu: %s", path,
                              (unsigned long long)(offset + *got), text);
        }
        if (bytes == 0)
            break;
        *got += (size_t)bytes;
    }
    return BNNEP_OK;
}

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bnnep_status read_header(gzFile file, struct idx *idx, uint32_t least, uint32_t most) {
    uint8_t bytes[4 + 4 * MOST_DIMENSIONS];
    size_t got;
    bnnep_status status = read_bytes(file, idx->path, 0, bytes, 4, &got);
    if (status != BNNEP_OK)
        return status;
    if (got < 4)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %zu, expected an IDX magic number of 4 bytes",
                          idx->path, got);
    idx->dimensions = bytes[3];
    if (bytes[0] || bytes[1] || bytes[2] != 0x08 || idx->dimensions < least || idx->dimensions > most)
        return bnnep_fail(BNNEP_ERROR_FORMAT,
                          "%s: the magic number at offset 0 is 0x%08x, expected 0x%08x (IDX, unsigned "
                          "bytes, %u%s dimension%s)",
                          idx->path, big_endian(bytes), 0x800u + (least == 1 ? 1u : 3u), least,
                          most > least ? " to 4" : "", most > 1 ? "s" : "");
    const size_t wanted = (size_t)4 * idx->dimensions;
    status = read_bytes(file, idx->path, 4, bytes, wanted, &got);
    if (status != BNNEP_OK)
        return status;
    if (got < wanted)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %zu, expected %u dimensions up to offset %zu",
                          idx->path, 4 + got, idx->dimensions, 4 + wanted);
    idx->header = 4 + wanted;
    for (uint32_t d = 0; d < idx->dimensions; d++) {
        idx->size[d] = big_endian(bytes + (size_t)4 * d);
        if (idx->size[d] == 0)
            return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: dimension %u at offset %u is 0, expected at least 1", idx->path,
                              d, 4 + 4 * d);
    }
    return BNNEP_OK;
}

static bnnep_status read_values(gzFile file, struct idx *idx) {
    uint64_t total = 1;
    for (uint32_t d = 0; d < idx->dimensions; d++) {
        if (total > (UINT64_C(1) << 48) / idx->size[d])
            return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its dimensions at offset 4 multiply to more than 2^48 values",
                              idx->path);
        total *= idx->size[d];
    }
    uint64_t room = 0, have = 0;
    while (have < total) {
        if (have == room) {
            room = room == 0 ? 1u << 20 : 2 * room;
            room = room < total ? room : total;
            uint8_t *larger = realloc(idx->values, (size_t)room);
            if (!larger)
                return bnnep_fail_memory(idx->path, room);
            idx->values = larger;
        }
        size_t got;
        const bnnep_status status =
            read_bytes(file, idx->path, idx->header + have, idx->values + have, (size_t)(room - have), &got);
        if (status != BNNEP_OK)
            return status;
        if (got < room - have)
            return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %llu, expected %llu values up to offset %llu",
                              idx->path, (unsigned long long)(idx->header + have + got), (unsigned long long)total,
                              (unsigned long long)(idx->header + total));
        have += got;
    }
    uint8_t beyond;
    size_t got;
    const bnnep_status status = read_bytes(file, idx->path, idx->header + total, &beyond, 1, &got);
    if (status == BNNEP_OK && got)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: goes on after offset %llu, expected to end there after %llu values",
                          idx->path, (unsigned long long)(idx->header + total), (unsigned long long)total);
    return status;
}

/* Reads a whole file. idx->values is the caller's to free, on failure too. */
static bnnep_status read_idx(const char *path, uint32_t least, uint32_t most, struct idx *idx) {
    *idx = (struct idx){.path = path};
    errno = 0;
    gzFile file = gzopen(path, "rb");
    if (!file)
        return errno ? bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno))
                     : bnnep_fail_memory(path, 0);
    bnnep_status status = read_header(file, idx, least, most);
    if (status == BNNEP_OK)
        status = read_values(file, idx);
    gzclose(file);
    return status;
}

static bnnep_status take_labels(const struct idx *idx, int32_t classes, int32_t **out) {
    int32_t *labels = bnnep_array(idx->size[0], sizeof *labels);
    if (!labels)
        return bnnep_fail_memory("labels", idx->size[0] * sizeof *labels);
    for (uint64_t n = 0; n < idx->size[0]; n++) {
        labels[n] = idx->values[n];
        if (classes > 0 && labels[n] >= classes) {
            const bnnep_status status =
                bnnep_fail(BNNEP_ERROR_DATA, "%s: the label at offset %llu is %d, expected 0 to %d", idx->path,
                           (unsigned long long)(idx->header + n), labels[n], classes - 1);
            free(labels);
            return status;
        }
    }
    *out = labels;
    return BNNEP_OK;
}

/* Shape of one image of a file with `dimensions` from 2 to 4. */
static bnnep_status take_shape(const struct idx *images, int32_t classes, bnnep_dataset_options *o) {
    uint64_t shape[3] = {1, 1, 1}; /* channels, height, width */
    if (images->dimensions == 2)
        shape[0] = images->size[1];
    else
        for (uint32_t d = 1; d < images->dimensions; d++)
            shape[3 - images->dimensions + d] = images->size[d];
    for (int d = 0; d < 3; d++)
        if (shape[d] > INT32_MAX)
            return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: a dimension is %llu, expected at most %d", images->path,
                              (unsigned long long)shape[d], INT32_MAX);
    *o = (bnnep_dataset_options)BNNEP_DATASET_OPTIONS_INIT;
    o->type = BNNEP_UINT8;
    o->channels = (int32_t)shape[0];
    o->height = (int32_t)shape[1];
    o->width = (int32_t)shape[2];
    o->classes = classes;
    return BNNEP_OK;
}

bnnep_status bnnep_dataset_from_idx(const char *images_path, const char *labels_path, int32_t classes,
                                    bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!images_path || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_idx: %s is NULL",
                          !images_path ? "images_path" : "out");
    struct idx images, labels = {0};
    int32_t *own_labels = NULL;
    bnnep_dataset_options options;
    bnnep_status status = read_idx(images_path, 2, 4, &images);
    if (status == BNNEP_OK && labels_path)
        status = read_idx(labels_path, 1, 1, &labels);
    if (status == BNNEP_OK && labels_path && images.size[0] != labels.size[0])
        status = bnnep_fail(BNNEP_ERROR_FORMAT,
                            "%s: %llu labels at offset 4, expected %llu, the number of images in %s", labels_path,
                            (unsigned long long)labels.size[0], (unsigned long long)images.size[0], images_path);
    if (status == BNNEP_OK)
        status = take_shape(&images, classes, &options);
    if (status == BNNEP_OK && labels_path)
        status = take_labels(&labels, classes, &own_labels);
    else if (status == BNNEP_OK && !(own_labels = bnnep_array(images.size[0], sizeof *own_labels)))
        status = bnnep_fail_memory("labels", images.size[0] * sizeof *own_labels);
    free(labels.values);
    if (status != BNNEP_OK) {
        free(images.values);
        return status;
    }
    return bnnep_dataset_adopt(&options, images.values, own_labels, images.size[0], out);
}

/* Finds folder/name or folder/name.gz. */
static bnnep_status find(const char *folder, const char *name, char *path, size_t room) {
    for (int compressed = 0; compressed < 2; compressed++) {
        const int length = snprintf(path, room, "%s/%s%s", folder, name, compressed ? ".gz" : "");
        if (length < 0 || (size_t)length >= room)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the path of the data folder is longer than %zu bytes", room - 64);
        errno = 0;
        FILE *file = fopen(path, "rb");
        if (file) {
            fclose(file);
            return BNNEP_OK;
        }
        if (errno != ENOENT && errno != ENOTDIR)
            return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    }
    return bnnep_fail(BNNEP_ERROR_FILE, "%s: holds neither %s nor %s.gz", folder, name, name);
}

bnnep_status bnnep_dataset_from_folder(const char *folder, int32_t part, int32_t classes, bnnep_dataset **out) {
    char images[4096], labels[4096];
    if (out)
        *out = NULL;
    if (!folder || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_folder: %s is NULL", folder ? "out" : "folder");
    if (part != BNNEP_TRAINING_SET && part != BNNEP_TEST_SET)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "part is %d; known are 0 (training set) and 1 (test set)", part);
    const bool train = part == BNNEP_TRAINING_SET;
    bnnep_status status =
        find(folder, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", images, sizeof images);
    if (status == BNNEP_OK)
        status = find(folder, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte", labels, sizeof labels);
    return status == BNNEP_OK ? bnnep_dataset_from_idx(images, labels, classes, out) : status;
}
