/* SPDX-License-Identifier: MIT */
/* Data sets: inputs in memory, behind a callback or of several sets, and views that share them. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/dataset.h"

#define MOST_VALUES (INT32_MAX / 2)

/* --- stores -------------------------------------------------------------------------------------------------- */

static bnnep_status take_options(const bnnep_dataset_options *theirs, uint64_t count, bnnep_dataset_options *o) {
    const bnnep_status status = bnnep_take_dataset_options(o, theirs);
    if (status != BNNEP_OK)
        return status;
    if (o->type != BNNEP_TYPE_FLOAT32 && o->type != BNNEP_TYPE_UINT8)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "type is %d; known are 0 (float32) and 1 (uint8)", o->type);
    if (o->channels < 1 || o->height < 1 || o->width < 1 || (double)o->channels * o->height * o->width > MOST_VALUES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "inputs are %d x %d x %d; each must be at least 1, all at most %d values", o->channels,
                          o->height, o->width, MOST_VALUES);
    if (o->borrow != 0 && o->borrow != 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "borrow is %d; it must be 0 or 1", o->borrow);
    if (o->classes < 0 || o->classes > BNNEP_MOST_CLASSES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "classes is %d; it must be from 0 (any) to %d", o->classes,
                          BNNEP_MOST_CLASSES);
    if (count < 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a data set of 0 inputs");
    const uint64_t values = (uint64_t)o->channels * (uint64_t)o->height * (uint64_t)o->width;
    if (count > (SIZE_MAX / 8) / values)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%llu inputs of %llu values are more than memory can address",
                          (unsigned long long)count, (unsigned long long)values);
    return BNNEP_OK;
}

void bnnep_store_release(struct bnnep_store *store) {
    if (!store || atomic_fetch_sub(&store->references, 1) != 1)
        return;
    bnnep_context *context = store->context;
    if (store->owned) {
        bnnep_give_back(context, store->inputs);
        bnnep_give_back(context, store->labels);
    }
    for (size_t i = 0; i < store->parts; i++)
        bnnep_dataset_free(store->part[i]);
    bnnep_give_back(context, store->part);
    bnnep_give_back(context, store);
    bnnep_context_free(context);
}

/* A store without inputs, in the caller's context or one of its own. */
static bnnep_status make_store(bnnep_context *given, const bnnep_dataset_options *o, uint64_t count,
                               struct bnnep_store **out) {
    bnnep_context *context;
    const bnnep_status status = bnnep_context_use(given, &context);
    if (status != BNNEP_OK)
        return status;
    struct bnnep_store *store = bnnep_take(context, 1, sizeof *store);
    if (!store) {
        bnnep_context_free(context);
        return bnnep_fail_memory("a data set", sizeof *store);
    }
    atomic_init(&store->references, 1);
    store->context = context;
    store->options = *o;
    store->values = (size_t)o->channels * (size_t)o->height * (size_t)o->width;
    store->count = count;
    store->classes = o->classes;
    *out = store;
    return BNNEP_OK;
}

static void take_labels(struct bnnep_store *store, const int32_t *labels) {
    store->labels = labels;
    store->labelled = labels != NULL;
    for (uint64_t n = 0; labels && store->options.classes == 0 && n < store->count; n++)
        if (labels[n] >= store->classes)
            store->classes = labels[n] + 1;
}

/* --- views --------------------------------------------------------------------------------------------------- */

/* A view of `count` inputs from `first` on; takes over one reference to the store, on failure too. */
static bnnep_status view(struct bnnep_store *store, uint64_t first, uint64_t count, bnnep_dataset **out) {
    bnnep_dataset *dataset = bnnep_take(store->context, 1, sizeof *dataset);
    if (!dataset) {
        bnnep_store_release(store);
        return bnnep_fail_memory("a data set", sizeof *dataset);
    }
    *dataset = (bnnep_dataset){.store = store, .first = first, .count = count};
    *out = dataset;
    return BNNEP_OK;
}

/* A view of inputs of another one, transformed as it is; takes over the order, on failure too. */
static bnnep_status view_of(const bnnep_dataset *from, uint64_t first, uint64_t count, uint64_t *order,
                            bnnep_dataset **out) {
    const bnnep_context *context = from->store->context;
    bnnep_dataset *made = NULL;
    atomic_fetch_add(&from->store->references, 1);
    bnnep_status status = view(from->store, first, count, &made);
    if (status != BNNEP_OK) {
        bnnep_give_back(context, order);
        return status;
    }
    made->order = order;
    made->flip = from->flip;
    made->crop = from->crop;
    const size_t values = 2 * (size_t)from->store->options.channels;
    if (from->mean && !(made->mean = bnnep_take(context, values, sizeof(float)))) {
        bnnep_dataset_free(made);
        return bnnep_fail_memory("a data set", values * sizeof(float));
    }
    if (from->mean)
        memcpy(made->mean, from->mean, values * sizeof(float));
    *out = made;
    return BNNEP_OK;
}

void bnnep_dataset_free(bnnep_dataset *dataset) {
    if (!dataset)
        return;
    struct bnnep_store *store = dataset->store;
    bnnep_give_back(store->context, dataset->order);
    bnnep_give_back(store->context, dataset->mean);
    bnnep_give_back(store->context, dataset);
    bnnep_store_release(store);
}

/* --- from memory, and behind a callback ---------------------------------------------------------------------- */

bnnep_status bnnep_dataset_adopt(bnnep_context *context, const bnnep_dataset_options *options, void *inputs,
                                 int32_t *labels, uint64_t count, bnnep_dataset **out) {
    bnnep_dataset_options o;
    struct bnnep_store *store = NULL;
    bnnep_status status = take_options(options, count, &o);
    if (status == BNNEP_OK)
        status = make_store(context, &o, count, &store);
    if (status != BNNEP_OK) {
        bnnep_give_back(context, inputs);
        bnnep_give_back(context, labels);
        return status;
    }
    store->inputs = inputs;
    store->owned = true;
    take_labels(store, labels);
    return view(store, 0, count, out);
}

static bnnep_status copy_inputs(struct bnnep_store *store, const void *inputs, const int32_t *labels) {
    const uint64_t label_bytes = labels ? store->count * sizeof *labels : 0;
    const size_t bytes =
        (size_t)store->count * store->values * (store->options.type == BNNEP_TYPE_UINT8 ? 1 : sizeof(float));
    const bnnep_status status = bnnep_check_bytes(store->context, "a data set", bytes + label_bytes);
    if (status != BNNEP_OK)
        return status;
    void *own_inputs = bnnep_take(store->context, bytes, 1);
    int32_t *own_labels = labels ? bnnep_take(store->context, store->count, sizeof *own_labels) : NULL;
    store->owned = true;
    store->inputs = own_inputs;
    store->labels = own_labels;
    if (!own_inputs || (labels && !own_labels))
        return bnnep_fail_memory("a copy of the data", bytes);
    memcpy(own_inputs, inputs, bytes);
    if (labels)
        memcpy(own_labels, labels, (size_t)store->count * sizeof *labels);
    take_labels(store, own_labels);
    return BNNEP_OK;
}

bnnep_status bnnep_dataset_from_memory(bnnep_context *context, const bnnep_dataset_options *options, const void *inputs,
                                       const int32_t *labels, uint64_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!options || !inputs || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_memory: %s is NULL",
                          !options  ? "options"
                          : !inputs ? "inputs"
                                    : "out");
    bnnep_dataset_options o;
    struct bnnep_store *store;
    bnnep_status status = take_options(options, count, &o);
    if (status != BNNEP_OK)
        return status;
    const size_t values = (size_t)o.channels * (size_t)o.height * (size_t)o.width;
    if (o.type == BNNEP_TYPE_FLOAT32)
        status = bnnep_check_inputs(inputs, (size_t)count, values, FLT_MAX, 0, NULL);
    if (status == BNNEP_OK && labels)
        status = bnnep_check_labels(labels, (size_t)count, o.classes ? o.classes : BNNEP_MOST_CLASSES, 0, NULL);
    if (status == BNNEP_OK)
        status = make_store(context, &o, count, &store);
    if (status != BNNEP_OK)
        return status;
    if (o.borrow) {
        store->inputs = inputs;
        take_labels(store, labels);
    } else
        status = copy_inputs(store, inputs, labels);
    if (status != BNNEP_OK) {
        bnnep_store_release(store);
        return status;
    }
    return view(store, 0, count, out);
}

bnnep_status bnnep_dataset_from_callback(bnnep_context *context, const bnnep_dataset_options *options,
                                         bnnep_read_fn read, void *user, uint64_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!options || !read || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_from_callback: %s is NULL",
                          !options ? "options"
                          : !read  ? "read"
                                   : "out");
    bnnep_dataset_options o;
    struct bnnep_store *store;
    bnnep_status status = take_options(options, count, &o);
    if (status == BNNEP_OK)
        status = make_store(context, &o, count, &store);
    if (status != BNNEP_OK)
        return status;
    store->read = read;
    store->user = user;
    store->labelled = true;
    return view(store, 0, count, out);
}

/* --- from other data sets ------------------------------------------------------------------------------------ */

bnnep_status bnnep_dataset_subset(const bnnep_dataset *dataset, uint64_t first, uint64_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!dataset || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_subset: %s is NULL", dataset ? "out" : "dataset");
    if (count < 1 || first > dataset->count || count > dataset->count - first)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%llu inputs from place %llu on were asked for; the data set has %llu",
                          (unsigned long long)count, (unsigned long long)first, (unsigned long long)dataset->count);
    if (!dataset->order)
        return view_of(dataset, dataset->first + first, count, NULL, out);
    uint64_t *order = bnnep_take(dataset->store->context, count, sizeof *order);
    if (!order)
        return bnnep_fail_memory("the order of a data set", count * sizeof *order);
    memcpy(order, dataset->order + first, (size_t)count * sizeof *order);
    return view_of(dataset, 0, count, order, out);
}

bnnep_status bnnep_dataset_select(const bnnep_dataset *dataset, const uint64_t *indices, uint64_t count,
                                  bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!dataset || !indices || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_select: %s is NULL",
                          !dataset   ? "dataset"
                          : !indices ? "indices"
                                     : "out");
    if (count < 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a data set of 0 inputs");
    for (uint64_t i = 0; i < count; i++)
        if (indices[i] >= dataset->count)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "index %llu of the selection is %llu; the data set has %llu inputs",
                              (unsigned long long)i, (unsigned long long)indices[i],
                              (unsigned long long)dataset->count);
    const bnnep_context *context = dataset->store->context;
    const bnnep_status status = bnnep_check_bytes(context, "the order of a data set", count * sizeof(uint64_t));
    if (status != BNNEP_OK)
        return status;
    uint64_t *order = bnnep_take(context, count, sizeof *order);
    if (!order)
        return bnnep_fail_memory("the order of a data set", count * sizeof *order);
    for (uint64_t i = 0; i < count; i++)
        order[i] = dataset->order ? dataset->order[indices[i]] : dataset->first + indices[i];
    return view_of(dataset, 0, count, order, out);
}

/* Can the sets be one? Counts their inputs. */
static bnnep_status check_parts(const bnnep_dataset *const *datasets, size_t count, uint64_t *total) {
    *total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!datasets[i])
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_concat: data set %zu is NULL", i);
        const bnnep_dataset_options *o = &datasets[i]->store->options, *first = &datasets[0]->store->options;
        if (o->channels != first->channels || o->height != first->height || o->width != first->width)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                              "the inputs of data set %zu are %d x %d x %d, those of the first "
                              "%d x %d x %d",
                              i, o->channels, o->height, o->width, first->channels, first->height, first->width);
        if (datasets[i]->store->labelled != datasets[0]->store->labelled)
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "data set %zu %s labels, the first one %s", i,
                              datasets[i]->store->labelled ? "has" : "lacks",
                              datasets[0]->store->labelled ? "has some" : "none");
        *total += datasets[i]->count;
    }
    return BNNEP_OK;
}

bnnep_status bnnep_dataset_concat(const bnnep_dataset *const *datasets, size_t count, bnnep_dataset **out) {
    if (out)
        *out = NULL;
    if (!datasets || count < 1 || !out)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_dataset_concat: %s",
                          !datasets   ? "datasets is NULL"
                          : count < 1 ? "there are no data sets"
                                      : "out is NULL");
    uint64_t total;
    struct bnnep_store *store;
    bnnep_status status = check_parts(datasets, count, &total);
    if (status == BNNEP_OK)
        status = make_store(datasets[0]->store->context, &datasets[0]->store->options, total, &store);
    if (status != BNNEP_OK)
        return status;
    store->labelled = datasets[0]->store->labelled;
    store->part = bnnep_take(store->context, count, sizeof(bnnep_dataset *));
    if (!store->part)
        status = bnnep_fail_memory("a data set", count * sizeof(bnnep_dataset *));
    for (size_t i = 0; status == BNNEP_OK && i < count; i++) {
        status = bnnep_dataset_subset(datasets[i], 0, datasets[i]->count, &store->part[i]);
        store->parts += status == BNNEP_OK;
        if (datasets[i]->store->classes > store->classes)
            store->classes = datasets[i]->store->classes;
    }
    if (status != BNNEP_OK) {
        bnnep_store_release(store);
        return status;
    }
    return view(store, 0, total, out);
}

/* --- transforms ---------------------------------------------------------------------------------------------- */

/* Checks a transform against the data set and takes it over. */
static bnnep_status set_transform(bnnep_dataset *dataset, const bnnep_transform *t) {
    const size_t channels = (size_t)dataset->store->options.channels;
    if (t->crop < 0 || t->crop > MOST_VALUES)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "crop is %d; it must be at least 0", t->crop);
    if (t->flip != 0 && t->flip != 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "flip is %d; it must be 0 or 1", t->flip);
    if (!t->mean != !t->deviation)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "mean and deviation go together");
    if (t->channel_count != 0 && t->channel_count != channels)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the transform has %zu channels, the data set %zu", t->channel_count,
                          channels);
    dataset->flip = t->flip != 0;
    dataset->crop = t->crop;
    bnnep_give_back(dataset->store->context, dataset->mean);
    dataset->mean = NULL;
    if (!t->mean)
        return BNNEP_OK;
    dataset->mean = bnnep_take(dataset->store->context, 2 * channels, sizeof(float));
    if (!dataset->mean)
        return bnnep_fail_memory("a transform", 2 * channels * sizeof(float));
    for (size_t c = 0; c < channels; c++) {
        if (!isfinite(t->mean[c]) || !isfinite(t->deviation[c]) || !(t->deviation[c] > 0.0f))
            return bnnep_fail(BNNEP_ERROR_ARGUMENT, "channel %zu: mean %g and deviation %g; the latter must be above 0",
                              c, (double)t->mean[c], (double)t->deviation[c]);
        dataset->mean[c] = t->mean[c];
        dataset->mean[channels + c] = t->deviation[c];
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
    bnnep_transform t;
    bnnep_dataset *made;
    bnnep_status status = bnnep_take_options(&t, sizeof t, theirs, "bnnep_transform");
    if (status != BNNEP_OK)
        return status;
    if (!dataset->store->inputs)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, dataset->store->read
                                                       ? "a data set with a callback cannot be transformed"
                                                       : "data sets are transformed before they are put together");
    status = bnnep_dataset_subset(dataset, 0, dataset->count, &made);
    if (status != BNNEP_OK)
        return status;
    status = set_transform(made, &t);
    if (status != BNNEP_OK) {
        bnnep_dataset_free(made);
        return status;
    }
    *out = made;
    return BNNEP_OK;
}
