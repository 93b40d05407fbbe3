/* SPDX-License-Identifier: MIT */
/* CIFAR-10's binary format: records of a label and 3 x 32 x 32 bytes, red, green, blue. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/internal.h"

enum { VALUES = 3 * 32 * 32, RECORD = 1 + VALUES, CLASSES = 10 };

/* Images and labels in the order of the files. */
struct pile {
    uint8_t *values;
    int32_t *labels;
    uint64_t count, room;
};

static bnnep_status add(struct pile *pile, const char *path, const uint8_t *record, uint64_t number) {
    if (record[0] >= CLASSES)
        return bnnep_fail(BNNEP_ERROR_DATA, "%s: the label at offset %llu is %u, expected 0 to %d", path,
                          (unsigned long long)(number * RECORD), record[0], CLASSES - 1);
    if (pile->count == pile->room) {
        const uint64_t room = pile->room ? 2 * pile->room : 1024;
        uint8_t *values = realloc(pile->values, (size_t)room * VALUES);
        pile->values = values ? values : pile->values;
        int32_t *labels = values ? realloc(pile->labels, (size_t)room * sizeof *labels) : NULL;
        if (!labels)
            return bnnep_fail_memory(path, room * RECORD);
        pile->labels = labels;
        pile->room = room;
    }
    memcpy(pile->values + (size_t)pile->count * VALUES, record + 1, VALUES);
    pile->labels[pile->count++] = record[0];
    return BNNEP_OK;
}

static bnnep_status read_batch(const char *folder, const char *name, struct pile *pile) {
    char path[4096];
    uint8_t record[RECORD];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the path of the data folder is longer than %zu bytes",
                          sizeof path - 64);
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file)
        return bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    bnnep_status status = BNNEP_OK;
    size_t got;
    uint64_t number = 0;
    for (; status == BNNEP_OK && (got = fread(record, 1, RECORD, file)) == RECORD; number++)
        status = add(pile, path, record, number);
    if (status == BNNEP_OK && ferror(file))
        status = bnnep_fail(BNNEP_ERROR_FILE, "%s: cannot be read: %s", path, strerror(errno));
    else if (status == BNNEP_OK && (got > 0 || number == 0))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %llu, expected whole records of %d bytes", path,
                            (unsigned long long)(number * RECORD + got), RECORD);
    fclose(file);
    return status;
}

bnnep_status bnnep_dataset_from_cifar10(const char *folder, int32_t part, bnnep_dataset **out) {
    static const float mean[] = {0.4914f, 0.4822f, 0.4465f}, deviation[] = {0.247f, 0.243f, 0.261f};
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
    if (out)
        *out = NULL;
    if (!folder || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_cifar10: %s is NULL", folder ? "out" : "folder");
    if (part != BNNEP_TRAINING_SET && part != BNNEP_TEST_SET)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "part is %d; known are 0 (training set) and 1 (test set)", part);
    const bool train = part == BNNEP_TRAINING_SET;
    struct pile pile = {.values = NULL};
    bnnep_status status = BNNEP_OK;
    for (size_t i = train ? 0 : 5; status == BNNEP_OK && i < (train ? 5 : 6); i++)
        status = read_batch(folder, names[i], &pile);
    if (status != BNNEP_OK) {
        free(pile.values);
        free(pile.labels);
        return status;
    }
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_transform transform = BNNEP_TRANSFORM_INIT;
    bnnep_dataset *plain;
    o.type = BNNEP_UINT8;
    o.channels = 3;
    o.height = o.width = 32;
    o.classes = CLASSES;
    status = bnnep_dataset_adopt(&o, pile.values, pile.labels, pile.count, &plain);
    if (status != BNNEP_OK)
        return status;
    transform.mean = mean;
    transform.deviation = deviation;
    transform.flip = train;
    transform.crop = train ? 4 : 0;
    status = bnnep_dataset_transformed(plain, &transform, out);
    bnnep_dataset_free(plain);
    return status;
}
