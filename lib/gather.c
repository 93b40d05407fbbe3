/* SPDX-License-Identifier: MIT */
/* Reading the inputs of data sets: from memory, transformed, from a callback, from the parts of several sets. */
#include <string.h>

#include "lib/dataset.h"

enum { AT_ONCE = 64 }; /* inputs */

/* Where input `index` of the data set is in its store. */
static uint64_t place_of(const bnnep_dataset *dataset, uint64_t index) {
    return dataset->order ? dataset->order[index] : dataset->first + index;
}

/* --- a callback ---------------------------------------------------------------------------------------------- */

static bnnep_status call_back(const bnnep_dataset *dataset, const uint64_t *indices, size_t count, float *inputs,
                              int32_t *labels) {
    const struct bnnep_store *store = dataset->store;
    uint64_t places[AT_ONCE];
    for (size_t first = 0; first < count; first += AT_ONCE) {
        const size_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (size_t i = 0; i < some; i++)
            places[i] = place_of(dataset, indices[first + i]);
        const bnnep_batch batch = {.size = sizeof batch,
                                   .count = some,
                                   .indices = places,
                                   .inputs = inputs ? inputs + first * store->values : NULL,
                                   .labels = labels ? labels + first : NULL};
        const int32_t failed = store->read(store->user, &batch);
        if (failed)
            return bnnep_fail(BNNEP_ERROR_CALLBACK,
                              "the data callback returned %d for %zu inputs, the first of them %llu", failed, some,
                              (unsigned long long)places[0]);
        if (labels) {
            const bnnep_status status =
                bnnep_check_labels(labels + first, some, store->options.classes, 0, indices + first);
            if (status != BNNEP_OK)
                return status;
        }
    }
    return BNNEP_OK;
}

/* --- memory -------------------------------------------------------------------------------------------------- */

/* Where a random flip and crop take row y and column x of the output from. */
struct view_of_map {
    bool flip;
    int32_t dy, dx;
};

static struct view_of_map draw_view(const bnnep_dataset *dataset, const struct bnnep_lot *lot, uint64_t place) {
    struct view_of_map view = {false, 0, 0};
    uint32_t words[4];
    if (!lot || (!dataset->flip && dataset->crop == 0))
        return view;
    bnnep_draw(lot->seed, BNNEP_DRAW_TRANSFORM, (uint32_t)lot->epoch, lot->base + place, words);
    const uint32_t offsets = 2 * (uint32_t)dataset->crop + 1;
    view.flip = dataset->flip && words[0] >> 31;
    view.dy = (int32_t)(words[1] % offsets) - dataset->crop;
    view.dx = (int32_t)(words[2] % offsets) - dataset->crop;
    return view;
}

static int32_t clamp_to(int32_t value, int32_t size) {
    return value < 0 ? 0 : value >= size ? size - 1 : value;
}

/* One stored value as float. */
static float value_of(const struct bnnep_store *store, size_t at) {
    return store->options.type == BNNEP_TYPE_FLOAT32 ? ((const float *)store->inputs)[at]
                                                     : (float)((const uint8_t *)store->inputs)[at] / 255.0f;
}

/* A transformed input: first flipped, then cropped after edge padding, then normalised. */
static void transform(const bnnep_dataset *dataset, size_t place, const struct bnnep_lot *lot, float *to) {
    const struct bnnep_store *store = dataset->store;
    const bnnep_dataset_options *o = &store->options;
    const struct view_of_map view = draw_view(dataset, lot, place);
    for (int32_t c = 0; c < o->channels; c++)
        for (int32_t y = 0; y < o->height; y++)
            for (int32_t x = 0; x < o->width; x++) {
                const int32_t row = clamp_to(y + view.dy, o->height), seen = clamp_to(x + view.dx, o->width);
                const int32_t column = view.flip ? o->width - 1 - seen : seen;
                const size_t at = ((size_t)c * (size_t)o->height + (size_t)row) * (size_t)o->width + (size_t)column;
                const float value = value_of(store, place * store->values + at);
                *to++ = dataset->mean ? (value - dataset->mean[c]) / dataset->mean[o->channels + c] : value;
            }
}

static void read_memory(const bnnep_dataset *dataset, size_t place, const struct bnnep_lot *lot, float *to) {
    const struct bnnep_store *store = dataset->store;
    if (dataset->mean || dataset->flip || dataset->crop > 0)
        transform(dataset, place, lot, to);
    else
        for (size_t v = 0; v < store->values; v++)
            to[v] = value_of(store, place * store->values + v);
}

/* --- parts --------------------------------------------------------------------------------------------------- */

static bnnep_status read_part(const struct bnnep_store *store, uint64_t place, const struct bnnep_lot *lot,
                              float *input, int32_t *label) {
    struct bnnep_lot own = lot ? *lot : (struct bnnep_lot){0};
    size_t part = 0;
    for (; place >= store->part[part]->count; part++) {
        place -= store->part[part]->count;
        own.base += store->part[part]->store->count;
    }
    return bnnep_dataset_gather(store->part[part], &place, 1, lot ? &own : NULL, input, label);
}

/* --- any ----------------------------------------------------------------------------------------------------- */

bnnep_status bnnep_dataset_gather(const bnnep_dataset *dataset, const uint64_t *indices, size_t count,
                                  const struct bnnep_lot *lot, float *inputs, int32_t *labels) {
    const struct bnnep_store *store = dataset->store;
    bnnep_status status = BNNEP_OK;
    if (store->read)
        return call_back(dataset, indices, count, inputs, labels);
    for (size_t i = 0; status == BNNEP_OK && i < count; i++) {
        const uint64_t place = place_of(dataset, indices[i]);
        float *input = inputs ? inputs + i * store->values : NULL;
        if (store->parts > 0) {
            status = read_part(store, place, lot, input, labels ? labels + i : NULL);
            continue;
        }
        if (labels)
            labels[i] = store->labels ? store->labels[place] : -1;
        if (input)
            read_memory(dataset, (size_t)place, lot, input);
    }
    return status;
}

bnnep_status bnnep_dataset_read(const bnnep_dataset *dataset, uint64_t first, size_t count, float *inputs,
                                int32_t *labels) {
    if (!dataset)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_read: dataset is NULL");
    if (first > dataset->count || count > dataset->count - first)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%zu inputs from place %llu on were asked for; the data set has %llu",
                          count, (unsigned long long)first, (unsigned long long)dataset->count);
    bnnep_status status = BNNEP_OK;
    for (size_t done = 0, some; status == BNNEP_OK && done < count; done += some) {
        uint64_t indices[AT_ONCE];
        some = count - done < AT_ONCE ? count - done : AT_ONCE;
        for (size_t i = 0; i < some; i++)
            indices[i] = first + done + i;
        status =
            bnnep_dataset_gather(dataset, indices, some, NULL, inputs ? inputs + done * dataset->store->values : NULL,
                                 labels ? labels + done : NULL);
    }
    return status;
}

/* --- what a data set holds ----------------------------------------------------------------------------------- */

/* Mean and deviation of all inputs, or NULL. */
static const float *mean_of(const bnnep_dataset *dataset) {
    const struct bnnep_store *store = dataset->store;
    if (store->parts == 0)
        return dataset->mean;
    const float *first = mean_of(store->part[0]);
    const size_t bytes = 2 * (size_t)store->options.channels * sizeof *first;
    for (size_t i = 1; i < store->parts; i++) {
        const float *other = mean_of(store->part[i]);
        if (!first || !other || memcmp(first, other, bytes) != 0)
            return NULL;
    }
    return first;
}

bnnep_status bnnep_dataset_get_info(const bnnep_dataset *dataset, bnnep_dataset_info *info) {
    if (!dataset || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_get_info: %s is NULL", dataset ? "info" : "dataset");
    const bnnep_dataset_options *o = &dataset->store->options;
    const float *mean = mean_of(dataset);
    const bnnep_dataset_info found = {
        .count = dataset->count,
        .channels = o->channels,
        .height = o->height,
        .width = o->width,
        .classes = dataset->store->classes,
        .mean = mean,
        .deviation = mean ? mean + o->channels : NULL,
        .labelled = dataset->store->labelled,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_dataset_info");
}

bnnep_status bnnep_dataset_matches(const bnnep_dataset *dataset, const bnnep_network *net) {
    const struct bnnep_store *store = dataset->store;
    const bnnep_dataset_options *o = &store->options;
    if (store->values != net->inputs)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the data set's inputs are %d x %d x %d = %zu values, the network takes %zu", o->channels,
                          o->height, o->width, store->values, net->inputs);
    if (store->classes > net->options.classes)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the data set has %d classes, the network %d", store->classes,
                          net->options.classes);
    return BNNEP_OK;
}
