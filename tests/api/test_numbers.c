/* SPDX-License-Identifier: MIT */
/* Numbers at the edges of what may be: the last one that is taken, and the first one that is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { COUNT = 3, CHANNELS = 2 };
static float inputs[COUNT * CHANNELS];
static int32_t labels[COUNT]; /* all 0 */

static bnnep_dataset *make_data(const int32_t *given_labels) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    o.channels = CHANNELS;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, inputs, given_labels, COUNT, &data));
    return data;
}

/* --- data sets --------------------------------------------------------------------------------------------------- */

static int32_t deliver_nothing(void *user, const bnnep_batch *batch) {
    (void)user;
    (void)batch;
    return 0;
}

/* One field of a data set whose inputs come from a callback: nothing of them is read. */
static bnnep_status with_field(size_t at, int32_t value) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    memcpy((char *)&o + at, &value, sizeof value);
    const bnnep_status status = bnnep_dataset_from_callback(NULL, &o, deliver_nothing, NULL, 1, &data);
    bnnep_dataset_free(data);
    return status;
}

static void dataset_options(void **state) {
    static const struct {
        size_t at;
        int32_t value;
        const char *what; /* NULL: taken */
    } tries[] = {{offsetof(bnnep_dataset_options, channels), -1, "-1"},
                 {offsetof(bnnep_dataset_options, channels), INT32_MAX / 2, NULL},
                 {offsetof(bnnep_dataset_options, channels), INT32_MAX / 2 + 1, "at most"},
                 {offsetof(bnnep_dataset_options, height), -1, "-1"},
                 {offsetof(bnnep_dataset_options, height), INT32_MAX, "at most"},
                 {offsetof(bnnep_dataset_options, width), -1, "-1"},
                 {offsetof(bnnep_dataset_options, width), INT32_MAX / 2, NULL},
                 {offsetof(bnnep_dataset_options, classes), -1, "classes is -1"},
                 {offsetof(bnnep_dataset_options, classes), 65536, NULL},
                 {offsetof(bnnep_dataset_options, classes), 65537, "classes is 65537"}};
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++)
        if (tries[i].what)
            assert_refused(with_field(tries[i].at, tries[i].value), BNNEP_ERROR_ARGUMENT, tries[i].what);
        else if ((uint64_t)tries[i].value > SIZE_MAX / 2 / sizeof(float)) /* on 32 bits */
            assert_refused(with_field(tries[i].at, tries[i].value), BNNEP_ERROR_ARGUMENT, "memory can address");
        else
            assert_ok(with_field(tries[i].at, tries[i].value));
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    for (int32_t borrow = -1; borrow <= 2; borrow += 3) {
        o.borrow = borrow;
        assert_refused(bnnep_dataset_from_memory(NULL, &o, inputs, NULL, 1, &data), BNNEP_ERROR_ARGUMENT, "borrow is");
    }
}

/* Labels 0 to classes - 1, and any from 0 on where it is not said how many classes there are. */
static void label_range(void **state) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    int32_t label = 2;
    (void)state;
    o.classes = 3;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, inputs, &label, 1, &data));
    bnnep_dataset_free(data);
    label = 3;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, inputs, &label, 1, &data), BNNEP_ERROR_DATA, "label 0 is 3");
    label = -1;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, inputs, &label, 1, &data), BNNEP_ERROR_DATA, "label 0 is -1");
    o.classes = 0;
    label = 65535;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, inputs, &label, 1, &data));
    bnnep_dataset_free(data);
    label = 65536;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, inputs, &label, 1, &data), BNNEP_ERROR_DATA, "65536");
}

static bnnep_status transformed(const bnnep_transform *how) {
    bnnep_dataset *data = make_data(labels), *out;
    const bnnep_status status = bnnep_dataset_transformed(data, how, &out);
    bnnep_dataset_free(data);
    bnnep_dataset_free(out);
    return status;
}

static void transforms(void **state) {
    static const float good[CHANNELS] = {0.5f, 0.25f},
                       bad[][CHANNELS] = {{0.5f, NAN}, {INFINITY, 0.5f}, {0.5f, 0.0f}, {-0.5f, 0.5f}};
    bnnep_transform how = BNNEP_TRANSFORM_INIT;
    (void)state;
    how.crop = -1;
    assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "crop is -1");
    how.crop = INT32_MAX / 2 + 1;
    assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "crop is");
    how.crop = 0;
    how.flip = 2;
    assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "flip is 2");
    how.flip = 1;
    how.mean = good;
    assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "go together");
    how.mean = NULL;
    how.deviation = good;
    assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "go together");
    how.mean = good;
    assert_ok(transformed(&how));
    how.channel_count = CHANNELS;
    assert_ok(transformed(&how));
    how.channel_count = CHANNELS + 1;
    assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "3 channels, the data set 2");
    how.channel_count = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        how.mean = good;
        how.deviation = bad[i];
        assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "the latter must be above 0");
        how.mean = bad[i];
        how.deviation = good;
        if (i < 2)
            assert_refused(transformed(&how), BNNEP_ERROR_ARGUMENT, "mean");
        else /* a mean may be 0 or below */
            assert_ok(transformed(&how));
    }
}

/* Sets of one shape and kind; and those that cannot be transformed. */
static void joined(void **state) {
    const bnnep_transform how = BNNEP_TRANSFORM_INIT;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *out, *again, *labelled = make_data(labels), *plain = make_data(NULL), *other, *callback;
    (void)state;
    assert_refused(bnnep_dataset_concat((const bnnep_dataset *const[]){labelled, plain}, 2, &out), BNNEP_ERROR_ARGUMENT,
                   "data set 1 lacks labels, the first one has some");
    assert_refused(bnnep_dataset_concat((const bnnep_dataset *const[]){plain, labelled}, 2, &out), BNNEP_ERROR_ARGUMENT,
                   "data set 1 has labels, the first one none");
    for (int dimension = 0; dimension < 3; dimension++) {
        o.channels = dimension == 0 ? 1 : CHANNELS;
        o.height = dimension == 1 ? 2 : 1;
        o.width = dimension == 2 ? 2 : 1;
        assert_ok(bnnep_dataset_from_memory(NULL, &o, inputs, labels, 1, &other));
        assert_refused(bnnep_dataset_concat((const bnnep_dataset *const[]){labelled, other}, 2, &out),
                       BNNEP_ERROR_ARGUMENT, "the inputs of data set 1");
        bnnep_dataset_free(other);
    }
    assert_ok(bnnep_dataset_concat((const bnnep_dataset *const[]){labelled, labelled}, 2, &out));
    assert_refused(bnnep_dataset_transformed(out, &how, &again), BNNEP_ERROR_UNSUPPORTED, "put together");
    assert_ok(bnnep_dataset_from_callback(NULL, &o, deliver_nothing, NULL, 1, &callback));
    assert_refused(bnnep_dataset_transformed(callback, &how, &again), BNNEP_ERROR_UNSUPPORTED, "callback");
    /* a part of it may be read, without inputs or labels */
    assert_ok(bnnep_dataset_read(callback, 0, 1, NULL, NULL));
    int32_t read[2];
    assert_ok(bnnep_dataset_read(out, 1, 2, NULL, read));
    assert_refused(bnnep_dataset_read(out, 2 * COUNT, 1, NULL, NULL), BNNEP_ERROR_ARGUMENT, "6");
    assert_ok(bnnep_dataset_read(out, 2 * COUNT, 0, NULL, NULL));
    bnnep_dataset_free(callback);
    bnnep_dataset_free(out);
    bnnep_dataset_free(plain);
    bnnep_dataset_free(labelled);
}

/* How a file of inputs is opened, and what it is taken for. */
static void opening(void **state) {
#ifndef BNNEP_WITHOUT_ZLIB
    static const uint8_t gzip[] = {0x1f, 0x8b, 0};
#endif
    static const uint8_t idx[] = {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8}, half[] = {0, 1, 8, 2},
                         record[3073] = {9, 1}, near[] = {0x1f, 0x8a, 0};
    const struct {
        const uint8_t *bytes;
        size_t count;
        const char *what;
    } tries[] = {{half, sizeof half, "3073"},
#ifndef BNNEP_WITHOUT_ZLIB
                 {gzip, sizeof gzip, "compressed data"},
#endif
                 {near, sizeof near, "3073"},
                 {idx, 1, "ends at offset 1"}};
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_dataset *data;
    (void)state;
    source.bytes = idx;
    source.count = sizeof idx;
    o.part = 2;
    assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &data), BNNEP_ERROR_ARGUMENT, "part is 2");
    o.part = BNNEP_PART_TEST;
    assert_ok(bnnep_dataset_from_source(NULL, &source, &o, &data));
    bnnep_dataset_free(data);
    for (int32_t classes = -1; classes <= 65537; classes += 65538) {
        o.classes = classes;
        assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &data), BNNEP_ERROR_ARGUMENT, "classes is");
    }
    o.classes = 10;
    for (int32_t format = -1; format <= 3; format += 4) {
        o.format = format;
        assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &data), BNNEP_ERROR_ARGUMENT, "format is");
    }
    o.format = BNNEP_FORMAT_AUTO;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        source.bytes = tries[i].bytes;
        source.count = tries[i].count;
        assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &data), BNNEP_ERROR_FORMAT, tries[i].what);
    }
    source.bytes = record;
    source.count = sizeof record;
    assert_ok(bnnep_dataset_from_source(NULL, &source, &o, &data));
    bnnep_dataset_free(data);
    o.classes = 9;
    assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &data), BNNEP_ERROR_ARGUMENT, "CIFAR-10 has 10");
    o.classes = 0;
    o.labels = &source;
    assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &data), BNNEP_ERROR_ARGUMENT, "has its own");
}

/* Labels of a callback are checked when they come, whether or not it is known how many classes there are. */
static int32_t deliver_label(void *user, const bnnep_batch *batch) {
    for (size_t n = 0; n < batch->count; n++)
        if (batch->labels)
            batch->labels[n] = *(const int32_t *)user;
    return 0;
}

static void delivered_labels(void **state) {
    static const struct {
        int32_t classes, label;
        const char *what;
    } tries[] = {{0, -1, "labels are at least 0"}, {0, 0, NULL}, {0, 70000, NULL},
                 {3, 3, "expected 0 to 2"},        {3, 2, NULL}, {3, -1, "expected 0 to 2"}};
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
        bnnep_dataset *data;
        int32_t label = tries[i].label, read = 0;
        o.classes = tries[i].classes;
        assert_ok(bnnep_dataset_from_callback(NULL, &o, deliver_label, &label, 1, &data));
        if (tries[i].what)
            assert_refused(bnnep_dataset_read(data, 0, 1, NULL, &read), BNNEP_ERROR_DATA, tries[i].what);
        else
            assert_ok(bnnep_dataset_read(data, 0, 1, NULL, &read));
        bnnep_dataset_free(data);
    }
}

/* The mean of sets that are put together is theirs, if it is the same. */
static void joined_means(void **state) {
    static const float one[CHANNELS] = {0.5f, 0.25f}, other[CHANNELS] = {0.5f, 0.125f};
    bnnep_transform how = BNNEP_TRANSFORM_INIT, unlike = BNNEP_TRANSFORM_INIT;
    bnnep_dataset *plain = make_data(labels), *first, *second, *third, *all;
    (void)state;
    how.mean = how.deviation = unlike.deviation = one;
    unlike.mean = other;
    assert_ok(bnnep_dataset_transformed(plain, &how, &first));
    assert_ok(bnnep_dataset_transformed(plain, &how, &second));
    assert_ok(bnnep_dataset_transformed(plain, &unlike, &third));
    bnnep_dataset *const pairs[][2] = {{first, second}, {first, third}, {first, plain}, {plain, first}, {plain, plain}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
        assert_ok(bnnep_dataset_concat((const bnnep_dataset *const *)pairs[i], 2, &all));
        assert_ok(bnnep_dataset_get_info(all, &info));
        assert_int_equal(info.mean != NULL, i == 0);
        if (info.mean)
            assert_memory_equal(info.mean, one, sizeof one);
        bnnep_dataset_free(all);
    }
    bnnep_dataset_free(first);
    bnnep_dataset_free(second);
    bnnep_dataset_free(third);
    bnnep_dataset_free(plain);
}

/* An epoch under way goes on with the same samples and batches. */
static int32_t stop(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH;
}

static void epochs(void **state) {
    static const struct shape shape = {
        .connections = 1, .units = {CHANNELS, 2}, .free_steps = 2, .nudged_steps = 1, .max_batch = 2, .gamma = 0.1};
    struct net net = net_make(&shape, "cpu");
    bnnep_dataset *data = make_data(labels), *fewer;
    uint64_t confusion[4] = {0};
    int32_t predictions[COUNT] = {-1, -1, -1};
    bnnep_report report = BNNEP_REPORT_INIT;
    (void)state;
    assert_ok(bnnep_dataset_subset(data, 0, 2, &fewer));
    assert_int_equal(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.progress = stop), NULL), BNNEP_CANCELLED);
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, fewer, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "an epoch of 3 samples in batches of 2 is under way, not one of 2 in batches of 2");
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.batch_size = 1), NULL), BNNEP_ERROR_ARGUMENT,
                   "not one of 3 in batches of 1");
    assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, NULL, NULL));
    /* what is asked for, and no more */
    report.confusion = confusion;
    report.confusion_count = 4;
    assert_ok(bnnep_network_evaluate(net.network, data, NULL, &report));
    assert_int_equal(confusion[0] + confusion[1], COUNT); /* labels are all 0 */
    report.confusion = NULL;
    report.predictions = predictions;
    report.predictions_count = COUNT;
    assert_ok(bnnep_network_evaluate(net.network, data, NULL, &report));
    for (int n = 0; n < COUNT; n++)
        assert_in_range(predictions[n], 0, 1);
    assert_refused(bnnep_workspace_stage(bnnep_network_workspace(net.network), inputs, (const float[]){0.0f, NAN}, 1),
                   BNNEP_ERROR_DATA, "target of sample 0, unit 1");
    bnnep_dataset_free(fewer);
    bnnep_dataset_free(data);
    net_free(&net);
}

/* --- networks ---------------------------------------------------------------------------------------------------- */

static bnnep_status with_connection(const bnnep_connection *first) {
    const bnnep_connection connections[] = {*first, BNNEP_FC(2)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    uint64_t bytes;
    o.input_height = o.input_width = 6;
    o.classes = 2;
    o.connections = connections;
    o.connection_count = 2;
    o.max_batch = 1;
    const bnnep_status status = bnnep_network_create(NULL, &o, &network);
    assert_int_equal(bnnep_network_memory(NULL, &o, 0, &bytes), status);
    bnnep_network_free(network);
    return status;
}

static void connections(void **state) {
    bnnep_connection other;
    static const struct {
        bnnep_connection connection;
        const char *what; /* NULL: taken */
    } tries[] = {{BNNEP_CONV(1, 6, 0, 1), NULL},         {BNNEP_CONV(1, 7, 0, 1), "larger than the map"},
                 {BNNEP_CONV(1, 0, 0, 1), "kernel is"},  {BNNEP_CONV(1, 255, 125, 1), NULL},
                 {BNNEP_CONV(1, 256, 255, 1), "kernel"}, {BNNEP_CONV(1, 3, -1, 1), "padding is -1"},
                 {BNNEP_CONV(1, 3, 255, 255), NULL},     {BNNEP_CONV(1, 3, 256, 1), "padding is 256"},
                 {BNNEP_CONV(1, 3, 0, 4), NULL},         {BNNEP_CONV(1, 3, 0, 5), "pooling window"},
                 {BNNEP_CONV(1, 3, 0, -1), "pool is"},   {BNNEP_CONV(1, 3, 255, 256), "pool is 256"},
                 {BNNEP_FC(0), "outputs is 0"},          {BNNEP_FC(1), NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++)
        if (tries[i].what)
            assert_refused(with_connection(&tries[i].connection), BNNEP_ERROR_ARGUMENT, tries[i].what);
        else
            assert_ok(with_connection(&tries[i].connection));
    for (size_t at = offsetof(bnnep_connection, kernel); at <= offsetof(bnnep_connection, pool); at += 4) {
        other = (bnnep_connection)BNNEP_FC(3);
        memset((char *)&other + at, 1, 1);
        assert_refused(with_connection(&other), BNNEP_ERROR_ARGUMENT, "belong to convolutions");
    }
    for (size_t at = offsetof(bnnep_connection, from); at <= offsetof(bnnep_connection, to); at += 4) {
        other = (bnnep_connection)BNNEP_FC(3);
        memset((char *)&other + at, 1, 1);
        assert_refused(with_connection(&other), BNNEP_ERROR_UNSUPPORTED, "chains alone");
    }
}

static const struct shape
    real = {.connections = 2, .units = {4, 3, 2}, .free_steps = 4, .nudged_steps = 2, .max_batch = 2, .gamma = 0.1},
    wider = {.connections = 2, .units = {4, 4, 2}, .free_steps = 4, .nudged_steps = 2, .max_batch = 2, .gamma = 0.1},
    deeper =
        {.connections = 3, .units = {4, 3, 2, 2}, .free_steps = 4, .nudged_steps = 2, .max_batch = 2, .gamma = 0.1},
    binary = {.connections = 2,
              .units = {4, 3, 2},
              .free_steps = 4,
              .nudged_steps = 2,
              .max_batch = 2,
              .gamma = 0.1,
              .dynamics = BNNEP_DYNAMICS_BINARY};

/* What an optimizer may be made with, and cloned for. */
static void optimizers(void **state) {
    static const double rates[] = {0.5, 0.5};
    const struct shape *const others[] = {&wider, &deeper, &binary};
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *out;
    float values[2];
    struct net net = net_make(&real, "cpu");
    (void)state;
    o.gamma = o.threshold = o.lr_bias = rates;
    for (int32_t keep = -1; keep <= 2; keep += 3) {
        o.keep_order = keep;
        assert_refused(bnnep_optimizer_create(net.network, &o, &out), BNNEP_ERROR_ARGUMENT, "keep_order is");
    }
    o.keep_order = 0;
    o.nudged_steps = 1000001;
    assert_refused(bnnep_optimizer_create(net.network, &o, &out), BNNEP_ERROR_ARGUMENT, "nudged_steps is 1000001");
    o.nudged_steps = -1;
    assert_refused(bnnep_optimizer_create(net.network, &o, &out), BNNEP_ERROR_ARGUMENT, "nudged_steps is -1");
    o.nudged_steps = 1000000;
    assert_ok(bnnep_optimizer_create(net.network, &o, &out));
    bnnep_optimizer_free(out);
    o.nudged_steps = 2;
    for (size_t i = 0; i < 3; i++) {
        struct net other = net_make(others[i], "cpu");
        assert_refused(bnnep_optimizer_clone(net.optimizer, other.network, &out), BNNEP_ERROR_ARGUMENT,
                       "another shape");
        if (others[i] == &binary) {
            o.method = BNNEP_METHOD_BPTT;
            assert_refused(bnnep_optimizer_create(other.network, &o, &out), BNNEP_ERROR_UNSUPPORTED, "no derivative");
        }
        net_free(&other);
    }
    assert_refused(bnnep_optimizer_get_contrast(net.optimizer, 0, BNNEP_CONTRAST_ALPHA, values, 1),
                   BNNEP_ERROR_ARGUMENT, "without learning rates");
    assert_refused(bnnep_optimizer_set_contrast(net.optimizer, 0, BNNEP_CONTRAST_ALPHA, values, 1),
                   BNNEP_ERROR_ARGUMENT, "without learning rates");
    net_free(&net);
}

/* Rates by which an update would go beyond float: of weights, biases, scaling factors. */
static void updates(void **state) {
    static const struct shape shape = {.connections = 1,
                                       .units = {CHANNELS, 2},
                                       .free_steps = 2,
                                       .nudged_steps = 1,
                                       .max_batch = 1,
                                       .gamma = 0.1,
                                       .learn_alpha = true};
    static const float targets[2] = {1.0f};
    static const double rates[3][3] = {{1.0, 0.0, 0.0}, {1e-290, 1.0, 0.0}, {1e-290, 0.0, 1.0}}, none[3] = {1e-290};
    struct net net = net_make(&shape, "ref");
    bnnep_workspace *ws = bnnep_network_workspace(net.network);
    bnnep_contrast_options o = BNNEP_CONTRAST_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    uint64_t flips;
    (void)state;
    assert_ok(bnnep_workspace_stage(ws, inputs, targets, 1));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5, NULL));
    o.divisor = 1e-300;
    assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, &o));
    report.flips = &flips;
    report.flips_count = 0;
    assert_refused(bnnep_optimizer_update(net.optimizer, &report), BNNEP_ERROR_ARGUMENT, "room for 0 connections");
    for (int i = 0; i <= 3; i++) {
        const double *of = i < 3 ? rates[i] : none;
        assert_ok(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_GAMMA, &of[0], 1));
        assert_ok(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_BIAS, &of[1], 1));
        assert_ok(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_ALPHA, &of[2], 1));
        if (i < 3)
            assert_refused(bnnep_optimizer_update(net.optimizer, NULL), BNNEP_ERROR_ARGUMENT,
                           "beyond the range of float");
        else
            assert_ok(bnnep_optimizer_update(net.optimizer, NULL));
    }
    net_free(&net);
}

/* All connections are as long as the first says. */
static void sizes(void **state) {
    bnnep_connection connections[] = {BNNEP_FC(3), BNNEP_FC(2)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    (void)state;
    o.classes = 2;
    o.connections = connections;
    o.connection_count = 2;
    connections[1].size -= sizeof(size_t);
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT,
                   "connection 1: its size is not that of connection 0");
    connections[1].size = 60000; /* more than there is to read */
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT,
                   "connection 1: its size is not that of connection 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dataset_options), cmocka_unit_test(label_range), cmocka_unit_test(transforms),
        cmocka_unit_test(joined),          cmocka_unit_test(opening),     cmocka_unit_test(delivered_labels),
        cmocka_unit_test(joined_means),    cmocka_unit_test(epochs),      cmocka_unit_test(connections),
        cmocka_unit_test(optimizers),      cmocka_unit_test(updates),     cmocka_unit_test(sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
