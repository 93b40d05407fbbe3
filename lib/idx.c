/* SPDX-License-Identifier: MIT */
/*
 * The IDX format of MNIST: two zero bytes, a type (0x08: unsigned bytes), the number of dimensions, then each
 * dimension as a big-endian 32-bit number, then the values. Plain or gzip. No length field is trusted: memory grows
 * with what the file really holds.
 */
#include "lib/formats.h"
#include "lib/stream.h"

#define MOST_DIMENSIONS 4

struct idx {
    const char *path;
    uint32_t dimensions;
    uint64_t size[MOST_DIMENSIONS];
    uint64_t header; /* bytes */
    uint8_t *values;
};

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bnnep_status read_header(struct bnnep_stream *file, struct idx *idx, uint32_t least, uint32_t most) {
    uint8_t bytes[4 + 4 * MOST_DIMENSIONS];
    size_t got;
    bnnep_status status = bnnep_stream_read(file, bytes, 4, &got);
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
    status = bnnep_stream_read(file, bytes, wanted, &got);
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

static bnnep_status read_values(struct bnnep_stream *file, struct idx *idx) {
    uint64_t total = 1, have;
    for (uint32_t d = 0; d < idx->dimensions; d++) {
        if (total > (UINT64_C(1) << 48) / idx->size[d])
            return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its dimensions at offset 4 multiply to more than 2^48 values",
                              idx->path);
        total *= idx->size[d];
    }
    bnnep_status status = bnnep_stream_check(file, total);
    if (status == BNNEP_OK)
        status = bnnep_stream_read_all(file, total, &idx->values, &have);
    if (status == BNNEP_OK && have < total)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %llu, expected %llu values up to offset %llu",
                          idx->path, (unsigned long long)(idx->header + have), (unsigned long long)total,
                          (unsigned long long)(idx->header + total));
    uint8_t beyond;
    size_t got = 0;
    if (status == BNNEP_OK)
        status = bnnep_stream_read(file, &beyond, 1, &got);
    if (status == BNNEP_OK && got)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: goes on after offset %llu, expected to end there after %llu values",
                          idx->path, (unsigned long long)(idx->header + total), (unsigned long long)total);
    return status;
}

/* Reads a whole file. The caller gives idx->values back, on failure too. */
static bnnep_status read_idx(const bnnep_context *context, const bnnep_source *source, uint32_t least, uint32_t most,
                             struct idx *idx) {
    struct bnnep_stream *file;
    bnnep_status status = bnnep_stream_open(context, source, true, &file);
    if (status != BNNEP_OK)
        return status;
    *idx = (struct idx){.path = bnnep_stream_name(file)};
    status = read_header(file, idx, least, most);
    if (status == BNNEP_OK)
        status = read_values(file, idx);
    bnnep_stream_close(file);
    return status;
}

static bnnep_status take_labels(const bnnep_context *context, const struct idx *idx, int32_t classes, int32_t **out) {
    int32_t *labels = bnnep_take(context, idx->size[0], sizeof *labels);
    if (!labels)
        return bnnep_fail_memory("labels", idx->size[0] * sizeof *labels);
    for (uint64_t n = 0; n < idx->size[0]; n++) {
        labels[n] = idx->values[n];
        if (classes > 0 && labels[n] >= classes) {
            const bnnep_status status =
                bnnep_fail(BNNEP_ERROR_DATA, "%s: the label at offset %llu is %d, expected 0 to %d", idx->path,
                           (unsigned long long)(idx->header + n), labels[n], classes - 1);
            bnnep_give_back(context, labels);
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
    o->type = BNNEP_TYPE_UINT8;
    o->channels = (int32_t)shape[0];
    o->height = (int32_t)shape[1];
    o->width = (int32_t)shape[2];
    o->classes = classes;
    return BNNEP_OK;
}

bnnep_status bnnep_idx_read(bnnep_context *context, const bnnep_source *source, const bnnep_source *labels_source,
                            int32_t classes, bnnep_dataset **out) {
    struct idx images = {0}, labels = {0};
    int32_t *own_labels = NULL;
    bnnep_dataset_options options;
    bnnep_status status = read_idx(context, source, 2, 4, &images);
    if (status == BNNEP_OK && labels_source)
        status = read_idx(context, labels_source, 1, 1, &labels);
    if (status == BNNEP_OK && labels_source && images.size[0] != labels.size[0])
        status = bnnep_fail(BNNEP_ERROR_FORMAT,
                            "%s: %llu labels at offset 4, expected %llu, the number of images in %s", labels.path,
                            (unsigned long long)labels.size[0], (unsigned long long)images.size[0], images.path);
    if (status == BNNEP_OK)
        status = take_shape(&images, classes, &options);
    if (status == BNNEP_OK && labels_source)
        status = take_labels(context, &labels, classes, &own_labels);
    bnnep_give_back(context, labels.values);
    if (status != BNNEP_OK) {
        bnnep_give_back(context, images.values);
        return status;
    }
    return bnnep_dataset_adopt(context, &options, images.values, own_labels, images.size[0], out);
}
