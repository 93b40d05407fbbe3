/* SPDX-License-Identifier: MIT */
/* CIFAR-10's binary format: records of a label and 3 x 32 x 32 bytes, red, green, blue. Its normalisation. */
#include <string.h>

#include "lib/formats.h"
#include "lib/stream.h"

enum { VALUES = 3 * 32 * 32, RECORD = 1 + VALUES, CLASSES = 10 };

/* Images and labels in the order of the files. */
struct pile {
    const bnnep_context *context;
    uint8_t *values;
    int32_t *labels;
    uint64_t count, room;
};

/* Room for one more record. */
static bnnep_status grow(struct pile *pile, const char *path) {
    const uint64_t most = pile->context->max_bytes / (VALUES + sizeof *pile->labels);
    const uint64_t wanted = pile->room ? 2 * pile->room : 1024, room = wanted < most ? wanted : most;
    if (pile->count < pile->room)
        return BNNEP_OK;
    if (pile->count >= room)
        return bnnep_fail(BNNEP_ERROR_MEMORY, "%s: more bytes than the context's max_bytes, %llu", path,
                          (unsigned long long)pile->context->max_bytes);
    uint8_t *values = bnnep_take_more(pile->context, pile->values, pile->room * VALUES, room * VALUES);
    pile->values = values ? values : pile->values;
    int32_t *labels =
        values ? bnnep_take_more(pile->context, pile->labels, pile->room * sizeof *labels, room * sizeof *labels)
               : NULL;
    if (!labels)
        return bnnep_fail_memory(path, room * RECORD);
    pile->labels = labels;
    pile->room = room;
    return BNNEP_OK;
}

static bnnep_status add(struct pile *pile, const char *path, const uint8_t *record, uint64_t number) {
    if (record[0] >= CLASSES)
        return bnnep_fail(BNNEP_ERROR_DATA, "%s: the label at offset %llu is %u, expected 0 to %d", path,
                          (unsigned long long)(number * RECORD), record[0], CLASSES - 1);
    const bnnep_status status = grow(pile, path);
    if (status != BNNEP_OK)
        return status;
    memcpy(pile->values + (size_t)pile->count * VALUES, record + 1, VALUES);
    pile->labels[pile->count++] = record[0];
    return BNNEP_OK;
}

static bnnep_status read_records(const bnnep_source *source, struct pile *pile) {
    struct bnnep_stream *file;
    uint8_t record[RECORD];
    size_t got = 0;
    uint64_t number = 0;
    bnnep_status status = bnnep_stream_open(pile->context, source, true, &file);
    if (status != BNNEP_OK)
        return status;
    const char *name = bnnep_stream_name(file);
    while (status == BNNEP_OK && (status = bnnep_stream_read(file, record, RECORD, &got)) == BNNEP_OK && got == RECORD)
        status = add(pile, name, record, number++);
    if (status == BNNEP_OK && (got > 0 || number == 0))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: ends at offset %llu, expected whole records of %d bytes", name,
                            (unsigned long long)(number * RECORD + got), RECORD);
    bnnep_stream_close(file);
    return status;
}

bnnep_status bnnep_cifar10_read(bnnep_context *context, const bnnep_source *sources, size_t count,
                                bnnep_dataset **out) {
    struct pile pile = {.context = context};
    bnnep_status status = BNNEP_OK;
    for (size_t i = 0; status == BNNEP_OK && i < count; i++)
        status = read_records(&sources[i], &pile);
    if (status != BNNEP_OK) {
        bnnep_give_back(context, pile.values);
        bnnep_give_back(context, pile.labels);
        return status;
    }
    const bnnep_dataset_options o = {
        .size = sizeof o, .type = BNNEP_TYPE_UINT8, .channels = 3, .height = 32, .width = 32, .classes = CLASSES};
    return bnnep_dataset_adopt(context, &o, pile.values, pile.labels, pile.count, out);
}

bnnep_status bnnep_transform_init_cifar10(bnnep_transform *transform, size_t size, int32_t part) {
    static const float mean[] = {0.4914f, 0.4822f, 0.4465f}, deviation[] = {0.247f, 0.243f, 0.261f};
    if (!transform)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_transform_init_cifar10: transform is NULL");
    if (part != BNNEP_PART_TRAINING && part != BNNEP_PART_TEST)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "part is %d; known are 0 (training) and 1 (test)", part);
    const bool train = part == BNNEP_PART_TRAINING;
    const bnnep_transform values = {
        .mean = mean, .deviation = deviation, .channel_count = 3, .flip = train, .crop = train ? 4 : 0};
    return bnnep_write_options(transform, size, &values, sizeof values, "bnnep_transform");
}
