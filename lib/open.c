/* SPDX-License-Identifier: MIT */
/* Opening data files and folders: which format they have, and where their parts are. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/formats.h"
#include "lib/stream.h"

enum { ROOM = 4096 };

static bnnep_source source_of(const char *path) {
    return (bnnep_source){.size = sizeof(bnnep_source), .path = path};
}

/* FOLDER/NAME in `path`. */
static bnnep_status join(const char *folder, const char *name, char path[ROOM]) {
    const int length = snprintf(path, ROOM, "%s/%s", folder, name);
    return length > 0 && length < ROOM
               ? BNNEP_OK
               : bnnep_fail(BNNEP_ERROR_ARGUMENT, "the path of the data folder is longer than %d bytes", ROOM - 64);
}

/* Finds folder/name or folder/name.gz. */
static bnnep_status find(const char *folder, const char *name, char path[ROOM]) {
    char packed[64];
    snprintf(packed, sizeof packed, "%s.gz", name);
    for (int compressed = 0; compressed < 2; compressed++) {
        struct stat about;
        const bnnep_status status = join(folder, compressed ? packed : name, path);
        if (status != BNNEP_OK)
            return status;
        if (stat(path, &about) == 0)
            return BNNEP_OK;
        if (errno != ENOENT && errno != ENOTDIR)
            return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    }
    return bnnep_fail(BNNEP_ERROR_FILE, "%s: holds neither %s nor %s.gz", folder, name, name);
}

static bnnep_status open_mnist(bnnep_context *context, const char *folder, const bnnep_open_options *o,
                               bnnep_dataset **out) {
    char images[ROOM], labels[ROOM];
    const bool train = o->part == BNNEP_PART_TRAINING;
    if (o->labels)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "labels are for one file of inputs, and %s is a folder", folder);
    bnnep_status status = find(folder, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", images);
    if (status == BNNEP_OK)
        status = find(folder, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte", labels);
    if (status != BNNEP_OK)
        return status;
    const bnnep_source images_file = source_of(images), labels_file = source_of(labels);
    return bnnep_idx_read(context, &images_file, &labels_file, o->classes, out);
}

/* CIFAR-10 has as many classes as its name says. */
static bnnep_status read_cifar10(bnnep_context *context, const bnnep_source *sources, size_t count,
                                 const bnnep_open_options *o, bnnep_dataset **out) {
    if (o->classes != 0 && o->classes != 10)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "classes is %d; CIFAR-10 has 10", o->classes);
    if (o->labels)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "labels are for IDX files; %s has its own",
                          bnnep_source_name(&sources[0]));
    return bnnep_cifar10_read(context, sources, count, out);
}

static bnnep_status open_cifar10(bnnep_context *context, const char *folder, const bnnep_open_options *o,
                                 bnnep_dataset **out) {
    enum { FILES = 5 };
    char path[FILES][ROOM], name[32];
    bnnep_source source[FILES];
    const bool train = o->part == BNNEP_PART_TRAINING;
    const size_t count = train ? FILES : 1;
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "data_batch_%zu.bin", i + 1);
        const bnnep_status status = join(folder, train ? name : "test_batch.bin", path[i]);
        if (status != BNNEP_OK)
            return status;
        source[i] = source_of(path[i]);
    }
    return read_cifar10(context, source, count, o, out);
}

/* --- formats ------------------------------------------------------------------------------------------------- */

static bool is_there(const char *folder, const char *name) {
    char path[ROOM];
    struct stat about;
    return join(folder, name, path) == BNNEP_OK && stat(path, &about) == 0;
}

static int32_t format_of_folder(const char *folder) {
    return is_there(folder, "data_batch_1.bin") || is_there(folder, "test_batch.bin") ? BNNEP_FORMAT_CIFAR10
                                                                                      : BNNEP_FORMAT_IDX;
}

/* By its first bytes, where they can be seen, else by its name. IDX begins with two zeros, or as gzip does. */
static int32_t format_of_file(const bnnep_source *source) {
    const uint8_t *bytes = source->bytes;
    const char *ending = strrchr(bnnep_source_name(source), '.');
    if (bytes && source->count >= 2)
        return (bytes[0] == 0 && bytes[1] == 0) || (bytes[0] == 0x1f && bytes[1] == 0x8b) ? BNNEP_FORMAT_IDX
                                                                                          : BNNEP_FORMAT_CIFAR10;
    return ending && strcmp(ending, ".bin") == 0 ? BNNEP_FORMAT_CIFAR10 : BNNEP_FORMAT_IDX;
}

static bnnep_status take_options(const bnnep_open_options *theirs, bnnep_open_options *o) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_open_options");
    if (status != BNNEP_OK)
        return status;
    if (o->reserved != 0)
        return bnnep_check_reserved(o->reserved, "bnnep_open_options");
    if (o->format < BNNEP_FORMAT_AUTO || o->format > BNNEP_FORMAT_CIFAR10)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "format is %d; known are 0 (auto), 1 (IDX) and 2 (CIFAR-10)",
                          o->format);
    if (o->part != BNNEP_PART_TRAINING && o->part != BNNEP_PART_TEST)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "part is %d; known are 0 (training) and 1 (test)", o->part);
    if (o->classes < 0 || o->classes > BNNEP_MOST_CLASSES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "classes is %d; it must be from 0 (any) to %d", o->classes,
                          BNNEP_MOST_CLASSES);
    return BNNEP_OK;
}

/* --- opening ------------------------------------------------------------------------------------------------- */

static bnnep_status open_folder(bnnep_context *context, const char *folder, const bnnep_open_options *o,
                                bnnep_dataset **out) {
    const int32_t format = o->format ? o->format : format_of_folder(folder);
    return format == BNNEP_FORMAT_CIFAR10 ? open_cifar10(context, folder, o, out) : open_mnist(context, folder, o, out);
}

static bnnep_status open_file(bnnep_context *context, const bnnep_source *source, const bnnep_open_options *o,
                              bnnep_dataset **out) {
    const int32_t format = o->format ? o->format : format_of_file(source);
    return format == BNNEP_FORMAT_IDX ? bnnep_idx_read(context, source, o->labels, o->classes, out)
                                      : read_cifar10(context, source, 1, o, out);
}

/* A folder or a file, in the caller's context or one of its own. */
static bnnep_status open_source(bnnep_context *given, const bnnep_source *source, const bnnep_open_options *theirs,
                                bnnep_dataset **out) {
    bnnep_open_options o;
    bnnep_context *context;
    struct stat about;
    bnnep_status status = take_options(theirs, &o);
    if (status == BNNEP_OK && source->path && stat(source->path, &about) != 0)
        status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", source->path, strerror(errno));
    if (status == BNNEP_OK)
        status = bnnep_context_use(given, &context);
    if (status != BNNEP_OK)
        return status;
    const bool folder = source->path && S_ISDIR(about.st_mode);
    status = folder ? open_folder(context, source->path, &o, out) : open_file(context, source, &o, out);
    bnnep_context_free(context);
    return status;
}

bnnep_status bnnep_dataset_from_source(bnnep_context *context, const bnnep_source *theirs,
                                       const bnnep_open_options *options, bnnep_dataset **out) {
    bnnep_source source;
    if (!out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_source: out is NULL");
    *out = NULL;
    const bnnep_status status = bnnep_take_source(&source, theirs);
    return status == BNNEP_OK ? open_source(context, &source, options, out) : status;
}

bnnep_status bnnep_dataset_open(bnnep_context *context, const char *path, const bnnep_open_options *options,
                                bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!path || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_open: %s is NULL", path ? "out" : "path");
    const bnnep_source source = source_of(path);
    return open_source(context, &source, options, out);
}
