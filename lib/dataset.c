/* SPDX-License-Identifier: MIT */
/* Data sets: labelled inputs in memory or behind a callback, and subsets that share them. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/internal.h"

#define MOST_VALUES (INT32_MAX / 2)
#define MOST_CLASSES 65536

struct bnnep_source {
    atomic_uint references;
    bnnep_dataset_options options;
    size_t values; /* in one input */
    uint64_t count;
    int32_t classes;    /* as declared, or the largest label + 1; 0 if not known */
    const void *inputs; /* NULL: the callback delivers them */
    const int32_t *labels;
    bool owned; /* the two arrays */
    bnnep_read_fn read;
    void *user;
};

/* --- making -------------------------------------------------------------------------------------------------- */

static bnnep_status check_options(const bnnep_dataset_options *theirs, uint64_t count, bnnep_dataset_options *o) {
    *o = (bnnep_dataset_options)BNNEP_DATASET_OPTIONS_INIT;
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_dataset_options");
    if (status != BNNEP_OK)
        return status;
    if (o->type != BNNEP_FLOAT32 && o->type != BNNEP_UINT8)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "type is %d; known are 0 (float32) and 1 (uint8)", o->type);
    if (o->channels < 1 || o->height < 1 || o->width < 1 || (double)o->channels * o->height * o->width > MOST_VALUES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "inputs are %d x %d x %d; each must be at least 1, all at most %d values", o->channels,
                          o->height, o->width, MOST_VALUES);
    if (o->classes < 0 || o->classes > MOST_CLASSES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "classes is %d; it must be from 0 (any) to %d", o->classes,
                          MOST_CLASSES);
    if (count < 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a data set of 0 inputs");
    const uint64_t values = (uint64_t)o->channels * (uint64_t)o->height * (uint64_t)o->width;
    if (count > (SIZE_MAX / 8) / values)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%llu inputs of %llu values are more than memory can address",
                          (unsigned long long)count, (unsigned long long)values);
    return BNNEP_OK;
}

static void release(struct bnnep_source *source) {
    if (!source || atomic_fetch_sub(&source->references, 1) != 1)
        return;
    if (source->owned) {
        free((void *)(uintptr_t)source->inputs);
        free((void *)(uintptr_t)source->labels);
    }
    free(source);
}

/* Gives a view the transform of the data set it was made from. */
static bnnep_status inherit(const bnnep_dataset *from, bnnep_dataset **to) {
    (*to)->flip = from->flip;
    (*to)->crop = from->crop;
    if (!from->mean)
        return BNNEP_OK;
    const size_t count = 2 * (size_t)from->source->options.channels;
    (*to)->mean = bnnep_array(count, sizeof(float));
    if ((*to)->mean) {
        memcpy((*to)->mean, from->mean, count * sizeof(float));
        return BNNEP_OK;
    }
    bnnep_dataset_free(*to);
    *to = NULL;
    return bnnep_fail_memory("a data set", count * sizeof(float));
}

/* A view of `count` inputs from `first` on; takes over one reference to the source, on failure too. */
static bnnep_status view(struct bnnep_source *source, uint64_t first, uint64_t count, bnnep_dataset **out) {
    bnnep_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) {
        release(source);
        return bnnep_fail_memory("a data set", sizeof *dataset);
    }
    *dataset = (bnnep_dataset){.source = source, .first = first, .count = count};
    *out = dataset;
    return BNNEP_OK;
}

static struct bnnep_source *make_source(const bnnep_dataset_options *o, uint64_t count) {
    struct bnnep_source *source = calloc(1, sizeof *source);
    if (source) {
        atomic_init(&source->references, 1);
        source->options = *o;
        source->values = (size_t)o->channels * (size_t)o->height * (size_t)o->width;
        source->count = count;
        source->classes = o->classes;
    }
    return source;
}

static void find_classes(struct bnnep_source *source) {
    for (uint64_t n = 0; source->options.classes == 0 && n < source->count; n++)
        if (source->labels[n] >= source->classes)
            source->classes = source->labels[n] + 1;
}

static size_t size_of(int32_t type) {
    return type == BNNEP_UINT8 ? 1 : sizeof(float);
}

bnnep_status bnnep_dataset_adopt(const bnnep_dataset_options *options, void *inputs, int32_t *labels, uint64_t count,
                                 bnnep_dataset **out) {
    bnnep_dataset_options o;
    const bnnep_status status = check_options(options, count, &o);
    struct bnnep_source *source = status == BNNEP_OK ? make_source(&o, count) : NULL;
    if (!source) {
        free(inputs);
        free(labels);
        return status == BNNEP_OK ? bnnep_fail_memory("a data set", sizeof *source) : status;
    }
    source->inputs = inputs;
    source->labels = labels;
    source->owned = true;
    find_classes(source);
    return view(source, 0, count, out);
}

bnnep_status bnnep_dataset_from_memory(const bnnep_dataset_options *options, const void *inputs, const int32_t *labels,
                                       uint64_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!options || !inputs || !labels || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_memory: %s is NULL",
                          !options  ? "options"
                          : !inputs ? "inputs"
                          : !labels ? "labels"
                                    : "out");
    bnnep_dataset_options o;
    bnnep_status status = check_options(options, count, &o);
    if (status != BNNEP_OK)
        return status;
    const size_t values = (size_t)o.channels * (size_t)o.height * (size_t)o.width;
    if (o.type == BNNEP_FLOAT32)
        status = bnnep_check_inputs(inputs, (size_t)count, values, FLT_MAX, 0, NULL);
    if (status == BNNEP_OK)
        status = bnnep_check_labels(labels, (size_t)count, o.classes ? o.classes : MOST_CLASSES, 0, NULL);
    if (status != BNNEP_OK)
        return status;
    if (o.copy) {
        const size_t bytes = (size_t)count * values * size_of(o.type);
        void *own_inputs = bnnep_array(bytes, 1);
        int32_t *own_labels = bnnep_array(count, sizeof *own_labels);
        if (!own_inputs || !own_labels) {
            free(own_inputs);
            free(own_labels);
            return bnnep_fail_memory("a copy of the data", bytes);
        }
        memcpy(own_inputs, inputs, bytes);
        memcpy(own_labels, labels, (size_t)count * sizeof *labels);
        return bnnep_dataset_adopt(&o, own_inputs, own_labels, count, out);
    }
    struct bnnep_source *source = make_source(&o, count);
    if (!source)
        return bnnep_fail_memory("a data set", sizeof *source);
    source->inputs = inputs;
    source->labels = labels;
    find_classes(source);
    return view(source, 0, count, out);
}

bnnep_status bnnep_dataset_from_callback(const bnnep_dataset_options *options, bnnep_read_fn read, void *user,
                                         uint64_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!options || !read || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_callback: %s is NULL",
                          !options ? "options"
                          : !read  ? "read"
                                   : "out");
    bnnep_dataset_options o;
    const bnnep_status status = check_options(options, count, &o);
    if (status != BNNEP_OK)
        return status;
    struct bnnep_source *source = make_source(&o, count);
    if (!source)
        return bnnep_fail_memory("a data set", sizeof *source);
    source->read = read;
    source->user = user;
    return view(source, 0, count, out);
}

bnnep_status bnnep_dataset_subset(const bnnep_dataset *dataset, uint64_t first, uint64_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!dataset || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_subset: %s is NULL", dataset ? "out" : "dataset");
    if (count < 1 || first > dataset->count || count > dataset->count - first)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%llu inputs from place %llu on were asked for; the data set has %llu",
                          (unsigned long long)count, (unsigned long long)first, (unsigned long long)dataset->count);
    uint64_t *order = NULL;
    if (dataset->order) {
        order = bnnep_array(count, sizeof *order);
        if (!order)
            return bnnep_fail_memory("the order of a data set", count * sizeof *order);
        memcpy(order, dataset->order + first, (size_t)count * sizeof *order);
    }
    atomic_fetch_add(&dataset->source->references, 1);
    const bnnep_status status = view(dataset->source, dataset->first + first, count, out);
    if (status != BNNEP_OK) {
        free(order);
        return status;
    }
    (*out)->order = order;
    return inherit(dataset, out);
}

static uint64_t place_of(const bnnep_dataset *dataset, uint64_t index) {
    return dataset->order ? dataset->order[index] : dataset->first + index;
}

bnnep_status bnnep_dataset_shuffled(const bnnep_dataset *dataset, uint64_t seed, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!dataset || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_shuffled: %s is NULL", dataset ? "out" : "dataset");
    uint64_t *order = bnnep_array(dataset->count, sizeof *order);
    if (!order)
        return bnnep_fail_memory("the order of a data set", dataset->count * sizeof *order);
    bnnep_draw_order(seed, BNNEP_DRAW_SUBSET, 0, order, dataset->count);
    for (uint64_t i = 0; i < dataset->count; i++)
        order[i] = place_of(dataset, order[i]);
    atomic_fetch_add(&dataset->source->references, 1);
    const bnnep_status status = view(dataset->source, 0, dataset->count, out);
    if (status != BNNEP_OK) {
        free(order);
        return status;
    }
    (*out)->order = order;
    return inherit(dataset, out);
}

/* Checks a transform against the data set and takes it over. */
static bnnep_status set_transform(bnnep_dataset *dataset, const bnnep_transform *t) {
    const bnnep_dataset_options *o = &dataset->source->options;
    if (t->crop < 0 || t->crop > MOST_VALUES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "crop is %d; it must be at least 0", t->crop);
    if (!t->mean != !t->deviation)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "mean and deviation go together");
    dataset->flip = t->flip != 0;
    dataset->crop = t->crop;
    free(dataset->mean);
    dataset->mean = NULL;
    if (!t->mean)
        return BNNEP_OK;
    dataset->mean = bnnep_array(2 * (uint64_t)o->channels, sizeof(float));
    if (!dataset->mean)
        return bnnep_fail_memory("a transform", 2 * (uint64_t)o->channels * sizeof(float));
    for (int32_t c = 0; c < o->channels; c++) {
        if (!isfinite(t->mean[c]) || !isfinite(t->deviation[c]) || !(t->deviation[c] > 0.0f))
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "channel %d: mean %g and deviation %g; the latter must be above 0",
                              c, (double)t->mean[c], (double)t->deviation[c]);
        dataset->mean[c] = t->mean[c];
        dataset->mean[o->channels + c] = t->deviation[c];
    }
    return BNNEP_OK;
}

bnnep_status bnnep_dataset_transformed(const bnnep_dataset *dataset, const bnnep_transform *theirs,
                                       bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!dataset || !theirs || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_transformed: %s is NULL",
                          !dataset  ? "dataset"
                          : !theirs ? "transform"
                                    : "out");
    bnnep_transform t = BNNEP_TRANSFORM_INIT;
    bnnep_status status = bnnep_take_options(&t, sizeof t, theirs, "bnnep_transform");
    if (status != BNNEP_OK)
        return status;
    if (dataset->source->read)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "a data set with a callback cannot be transformed");
    status = bnnep_dataset_subset(dataset, 0, dataset->count, out);
    if (status != BNNEP_OK)
        return status;
    status = set_transform(*out, &t);
    if (status != BNNEP_OK) {
        bnnep_dataset_free(*out);
        *out = NULL;
    }
    return status;
}

void bnnep_dataset_free(bnnep_dataset *dataset) {
    if (!dataset)
        return;
    release(dataset->source);
    free(dataset->order);
    free(dataset->mean);
    free(dataset);
}

/* --- reading --------------------------------------------------------------------------------------------------- */

static bnnep_status call_back(const bnnep_dataset *dataset, const uint64_t *indices, size_t count, float *inputs,
                              int32_t *labels) {
    enum { AT_ONCE = 64 };
    const struct bnnep_source *source = dataset->source;
    uint64_t places[AT_ONCE];
    for (size_t first = 0; first < count; first += AT_ONCE) {
        const size_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (size_t i = 0; i < some; i++)
            places[i] = place_of(dataset, indices[first + i]);
        const int32_t failed = source->read(source->user, places, some, inputs ? inputs + first * source->values : NULL,
                                            labels ? labels + first : NULL);
        if (failed)
            return bnnep_fail(BNNEP_ERROR_CALLBACK,
                              "the data callback returned %d for %zu inputs, the first of them %llu", failed, some,
                              (unsigned long long)places[0]);
        if (labels) {
            const bnnep_status status =
                bnnep_check_labels(labels + first, some, source->options.classes, 0, indices + first);
            if (status != BNNEP_OK)
                return status;
        }
    }
    return BNNEP_OK;
}

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
    bnnep_draw(lot->seed, BNNEP_DRAW_TRANSFORM, (uint32_t)lot->epoch, place, words);
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
static float value_of(const struct bnnep_source *source, size_t at) {
    return source->options.type == BNNEP_FLOAT32 ? ((const float *)source->inputs)[at]
                                                 : (float)((const uint8_t *)source->inputs)[at] / 255.0f;
}

/* A transformed input: first flipped, then cropped after edge padding, then normalised. */
static void transform(const bnnep_dataset *dataset, size_t place, const struct bnnep_lot *lot, float *to) {
    const struct bnnep_source *source = dataset->source;
    const bnnep_dataset_options *o = &source->options;
    const struct view_of_map view = draw_view(dataset, lot, place);
    for (int32_t c = 0; c < o->channels; c++)
        for (int32_t y = 0; y < o->height; y++)
            for (int32_t x = 0; x < o->width; x++) {
                const int32_t row = clamp_to(y + view.dy, o->height), seen = clamp_to(x + view.dx, o->width);
                const int32_t column = view.flip ? o->width - 1 - seen : seen;
                const size_t at = ((size_t)c * (size_t)o->height + (size_t)row) * (size_t)o->width + (size_t)column;
                const float value = value_of(source, place * source->values + at);
                *to++ = dataset->mean ? (value - dataset->mean[c]) / dataset->mean[o->channels + c] : value;
            }
}

bnnep_status bnnep_dataset_gather(const bnnep_dataset *dataset, const uint64_t *indices, size_t count,
                                  const struct bnnep_lot *lot, float *inputs, int32_t *labels) {
    const struct bnnep_source *source = dataset->source;
    if (source->read)
        return call_back(dataset, indices, count, inputs, labels);
    const bool plain = !dataset->mean && !dataset->flip && dataset->crop == 0;
    for (size_t i = 0; i < count; i++) {
        const size_t place = (size_t)place_of(dataset, indices[i]);
        if (labels)
            labels[i] = source->labels[place];
        if (!inputs)
            continue;
        float *to = inputs + i * source->values;
        if (!plain)
            transform(dataset, place, lot, to);
        else
            for (size_t v = 0; v < source->values; v++)
                to[v] = value_of(source, place * source->values + v);
    }
    return BNNEP_OK;
}

bnnep_status bnnep_dataset_read(const bnnep_dataset *dataset, uint64_t first, size_t count, float *inputs,
                                int32_t *labels) {
    if (!dataset)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_read: dataset is NULL");
    if (first > dataset->count || count > dataset->count - first)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%zu inputs from place %llu on were asked for; the data set has %llu",
                          count, (unsigned long long)first, (unsigned long long)dataset->count);
    bnnep_status status = BNNEP_OK;
    for (size_t i = 0; status == BNNEP_OK && i < count; i++) {
        const uint64_t index = first + i;
        status = bnnep_dataset_gather(dataset, &index, 1, NULL, inputs ? inputs + i * dataset->source->values : NULL,
                                      labels ? labels + i : NULL);
    }
    return status;
}

bnnep_status bnnep_dataset_get_info(const bnnep_dataset *dataset, bnnep_dataset_info *info) {
    if (!dataset || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_get_info: %s is NULL", dataset ? "info" : "dataset");
    const bnnep_dataset_options *o = &dataset->source->options;
    const bnnep_dataset_info found = {
        .count = dataset->count,
        .channels = o->channels,
        .height = o->height,
        .width = o->width,
        .classes = dataset->source->classes,
        .mean = dataset->mean,
        .deviation = dataset->mean ? dataset->mean + o->channels : NULL,
    };
    return bnnep_give_struct(info, &found, sizeof found, "bnnep_dataset_info");
}

bnnep_status bnnep_dataset_matches(const bnnep_dataset *dataset, const bnnep_network *net) {
    const struct bnnep_source *source = dataset->source;
    if (source->values != net->inputs)
        return bnnep_fail(
            BNNEP_ERROR_ARGUMENT, "the data set's inputs are %d x %d x %d = %zu values, the network takes %zu",
            source->options.channels, source->options.height, source->options.width, source->values, net->inputs);
    if (source->classes > net->options.classes)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the data set has %d classes, the network %d", source->classes,
                          net->options.classes);
    return BNNEP_OK;
}
