/* SPDX-License-Identifier: MIT */
/* Data sets: what is read is what was given; files that are missing, cut, too long, mislabelled or something else are
 * refused with their name, the offset and what was expected. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "support.h"

static char folder[64];

static bnnep_status open_idx(const char *images_path, const char *labels_path, int32_t classes, bnnep_dataset **out) {
    bnnep_source labels = BNNEP_SOURCE_INIT;
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    labels.path = labels_path;
    o.labels = &labels;
    o.format = BNNEP_FORMAT_IDX;
    o.classes = classes;
    return bnnep_dataset_open(NULL, images_path, &o, out);
}

static const char *path_of(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t count) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

/* Seven images of 2 x 3, values 0, 1, 2, ..., and their labels. */
static const uint8_t images[16 + 42] = {0, 0, 8, 3, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static const uint8_t labels[8 + 7] = {0, 0, 8, 1, 0, 0, 0, 7, 3, 1, 4, 1, 5, 9, 2};

static int make_files(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bnnep-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file("images", images, sizeof images);
    write_file("labels", labels, sizeof labels);
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void refuse(const uint8_t *bytes, size_t count, bnnep_status status, const char *text) {
    bnnep_dataset *dataset = (bnnep_dataset *)&folder;
    write_file("bad", bytes, count);
    assert_refused(open_idx(path_of("bad"), path_of("labels"), 10, &dataset), status, text);
    assert_null(dataset);
    assert_non_null(strstr(bnnep_last_error(), "/bad")); /* names the file */
}

/* A copy of `images` with one byte changed. */
static const uint8_t *with(size_t at, uint8_t value) {
    static uint8_t changed[sizeof images];
    memcpy(changed, images, sizeof images);
    changed[at] = value;
    return changed;
}

static void idx(void **state) {
    (void)state;
    bnnep_dataset *dataset;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    float x[2 * 6];
    int32_t y[7];
    assert_ok(open_idx(path_of("images"), path_of("labels"), 10, &dataset));
    assert_ok(bnnep_dataset_get_info(dataset, &info));
    assert_int_equal(info.count, 7);
    assert_int_equal(info.channels, 1);
    assert_int_equal(info.height, 2);
    assert_int_equal(info.width, 3);
    assert_int_equal(info.classes, 10);
    assert_ok(bnnep_dataset_read(dataset, 0, 2, x, NULL));
    for (int i = 0; i < 10; i++)
        assert_true(x[i] == (float)i / 255.0f);
    assert_ok(bnnep_dataset_read(dataset, 0, 7, NULL, y));
    for (int n = 0; n < 7; n++)
        assert_int_equal(y[n], labels[8 + n]);
    assert_refused(bnnep_dataset_read(dataset, 3, 5, NULL, y), BNNEP_ERROR_ARGUMENT, "the data set has 7");
    bnnep_dataset_free(dataset);
}

#ifdef BNNEP_WITHOUT_ZLIB
static void gzip(void **state) {
    (void)state;
    const uint8_t packed[20] = {0x1f, 0x8b, 8};
    refuse(packed, sizeof packed, BNNEP_ERROR_UNSUPPORTED, "compressed with gzip, and this library was built without");
}
#else
static void gzip(void **state) {
    (void)state;
    bnnep_dataset *dataset;
    gzFile file = gzopen(path_of("images.gz"), "wb");
    assert_int_equal(gzwrite(file, images, sizeof images), sizeof images);
    assert_int_equal(gzclose(file), Z_OK);
    assert_ok(open_idx(path_of("images.gz"), path_of("labels"), 0, &dataset));
    bnnep_dataset_free(dataset);
    /* cut short, and damaged */
    uint8_t packed[256];
    FILE *raw = fopen(path_of("images.gz"), "rb");
    const size_t size = fread(packed, 1, sizeof packed, raw);
    fclose(raw);
    refuse(packed, size - 12, BNNEP_ERROR_FORMAT, "compressed data");
    packed[size - 6] ^= 0x40; /* the checksum */
    refuse(packed, size, BNNEP_ERROR_FORMAT, "damaged");
}
#endif

static bnnep_status open_test_part(const char *where, bnnep_dataset **out) {
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    o.format = BNNEP_FORMAT_IDX;
    o.part = BNNEP_PART_TEST;
    o.classes = 10;
    return bnnep_dataset_open(NULL, where, &o, out);
}

static void bad_files(void **state) {
    (void)state;
    bnnep_dataset *dataset;
    assert_refused(open_idx(path_of("absent"), path_of("labels"), 10, &dataset), BNNEP_ERROR_FILE,
                   "absent: cannot be opened: No such file");
    assert_refused(open_idx(folder, path_of("labels"), 10, &dataset), BNNEP_ERROR_ARGUMENT, "is a folder");
    assert_refused(open_idx(path_of("images"), folder, 10, &dataset), BNNEP_ERROR_FILE, "is not a regular file");
    refuse(images, 0, BNNEP_ERROR_FORMAT, "ends at offset 0, expected an IDX magic number");
    refuse(images, 10, BNNEP_ERROR_FORMAT, "ends at offset 10, expected 3 dimensions up to offset 16");
    refuse(images, sizeof images - 5, BNNEP_ERROR_FORMAT, "ends at offset 53, expected 42 values up to offset 58");
    refuse(with(0, 1), sizeof images, BNNEP_ERROR_FORMAT,
           "the magic number at offset 0 is 0x01000803, expected 0x00000803");
    refuse(with(2, 13), sizeof images, BNNEP_ERROR_FORMAT, "0x00000d03");
    refuse(labels, sizeof labels, BNNEP_ERROR_FORMAT, "0x00000801");
    refuse(with(11, 0), sizeof images, BNNEP_ERROR_FORMAT, "dimension 1 at offset 8 is 0");
    /* length fields that lie: larger and smaller than what is there */
    refuse(with(4, 0x7f), sizeof images, BNNEP_ERROR_FORMAT, "ends at offset 58");
    refuse(with(8, 0xff), sizeof images, BNNEP_ERROR_FORMAT, "ends at offset 58");
    refuse(with(11, 1), sizeof images, BNNEP_ERROR_FORMAT, "goes on after offset 37");
    uint8_t huge[16];
    memset(huge, 0xff, sizeof huge);
    memcpy(huge, images, 4);
    refuse(huge, sizeof huge, BNNEP_ERROR_FORMAT, "more than 2^48");
    /* labels: too many, out of range, images in their place */
    refuse(with(7, 6), sizeof images - 6, BNNEP_ERROR_FORMAT, "labels: 7 labels at offset 4, expected 6");
    assert_refused(open_idx(path_of("images"), path_of("labels"), 9, &dataset), BNNEP_ERROR_DATA,
                   "labels: the label at offset 13 is 9, expected 0 to 8");
    assert_refused(open_idx(path_of("images"), path_of("images"), 10, &dataset), BNNEP_ERROR_FORMAT,
                   "expected 0x00000801");
    assert_refused(open_test_part(folder, &dataset), BNNEP_ERROR_FILE,
                   "holds neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz");
    assert_null(dataset);
}

static void memory(void **state) {
    (void)state;
    float x[3 * 4] = {0.0f, 0.5f, 1.0f};
    int32_t y[3] = {0, 2, 1};
    bnnep_dataset *dataset;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    float back[4];
    o.channels = 4;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset));
    x[1] = 9.0f; /* copied, so this does not show */
    assert_ok(bnnep_dataset_read(dataset, 0, 1, back, NULL));
    assert_true(back[1] == 0.5f);
    assert_ok(bnnep_dataset_get_info(dataset, &info));
    assert_int_equal(info.classes, 3);
    bnnep_dataset_free(dataset);
    o.borrow = 1;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset));
    x[1] = 7.0f; /* borrowed, so this does */
    assert_ok(bnnep_dataset_read(dataset, 0, 1, back, NULL));
    assert_true(back[1] == 7.0f);
    bnnep_dataset_free(dataset);
    const uint8_t bytes[2] = {255, 51};
    o.type = BNNEP_TYPE_UINT8;
    o.channels = 2;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, bytes, y, 1, &dataset));
    assert_ok(bnnep_dataset_read(dataset, 0, 1, back, NULL));
    assert_true(back[0] == 1.0f && back[1] == 0.2f);
    bnnep_dataset_free(dataset);
}

static void bad_memory(void **state) {
    (void)state;
    float x[3 * 4] = {0.0f};
    int32_t y[3] = {0, 2, 1};
    bnnep_dataset *dataset;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    o.channels = -4;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset), BNNEP_ERROR_ARGUMENT,
                   "inputs are -4 x 1 x 1");
    o.channels = 4;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 0, &dataset), BNNEP_ERROR_ARGUMENT, "0 inputs");
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, UINT64_MAX / 2, &dataset), BNNEP_ERROR_ARGUMENT,
                   "address");
    x[6] = NAN;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset), BNNEP_ERROR_DATA, "input 1, value 2 is nan");
    x[6] = -INFINITY;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset), BNNEP_ERROR_DATA,
                   "input 1, value 2 is -inf");
    x[6] = 0.0f;
    o.classes = 2;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset), BNNEP_ERROR_DATA,
                   "label 1 is 2; expected 0 to 1");
    o.classes = 0;
    y[2] = -1;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset), BNNEP_ERROR_DATA, "label 2 is -1");
    o.type = 5;
    assert_refused(bnnep_dataset_from_memory(NULL, &o, x, y, 3, &dataset), BNNEP_ERROR_ARGUMENT, "type is 5");
    assert_null(dataset);
}

static int32_t count_up(void *user, const bnnep_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->indices[i] == *(const uint64_t *)user)
            return 42;
        if (batch->inputs)
            batch->inputs[i] = (float)batch->indices[i];
        if (batch->labels)
            batch->labels[i] = batch->indices[i] == 777 ? -1 : (int32_t)(batch->indices[i] % 7);
    }
    return 0;
}

static bnnep_dataset *counting(uint64_t *bad, uint64_t count) {
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *dataset;
    assert_ok(bnnep_dataset_from_callback(NULL, &o, count_up, bad, count, &dataset));
    return dataset;
}

/* The data set's inputs, which tell their index in the one it was made from, are these. */
static void assert_inputs(const bnnep_dataset *dataset, const uint64_t *wanted, size_t count) {
    float x[64];
    int32_t y[64];
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    assert_ok(bnnep_dataset_get_info(dataset, &info));
    assert_int_equal(info.count, count);
    assert_ok(bnnep_dataset_read(dataset, 0, count, x, y));
    for (size_t n = 0; n < count; n++)
        assert_true(x[n] == (float)wanted[n] && y[n] == (int32_t)(wanted[n] % 7));
}

static void callback_and_subsets(void **state) {
    (void)state;
    static const uint64_t first[] = {100, 101, 102}, order[] = {49, 3, 3, 0, 17}, chosen[] = {149, 103, 103, 100, 117};
    uint64_t bad = UINT64_MAX;
    bnnep_dataset *whole = counting(&bad, 1000), *some, *mixed, *again;
    float x[1000];
    int32_t y[1000];
    assert_ok(bnnep_dataset_read(whole, 0, 777, x, y));
    for (int n = 0; n < 777; n++)
        assert_true(x[n] == (float)n && y[n] == n % 7);
    assert_refused(bnnep_dataset_read(whole, 700, 100, x, y), BNNEP_ERROR_DATA,
                   "label 777 is -1; labels are at least 0");
    assert_ok(bnnep_dataset_subset(whole, 100, 3, &some));
    assert_inputs(some, first, 3);
    bnnep_dataset_free(some);
    assert_ok(bnnep_dataset_subset(whole, 100, 50, &some));
    assert_ok(bnnep_dataset_select(some, order, 5, &mixed));
    bnnep_dataset_free(whole); /* its source stays */
    assert_inputs(mixed, chosen, 5);
    assert_ok(bnnep_dataset_subset(mixed, 1, 3, &again));
    assert_inputs(again, chosen + 1, 3);
    bnnep_dataset_free(again);
    assert_ok(bnnep_dataset_select(mixed, (const uint64_t[]){4, 0, 2}, 3, &again));
    assert_inputs(again, (const uint64_t[]){117, 149, 103}, 3);
    assert_refused(bnnep_dataset_subset(some, 0, 51, &whole), BNNEP_ERROR_ARGUMENT, "51 inputs from place 0");
    assert_refused(bnnep_dataset_subset(some, 51, 1, &whole), BNNEP_ERROR_ARGUMENT, "the data set has 50");
    assert_refused(bnnep_dataset_subset(some, 0, 0, &whole), BNNEP_ERROR_ARGUMENT, "0 inputs");
    assert_refused(bnnep_dataset_read(some, 51, 0, x, y), BNNEP_ERROR_ARGUMENT, "the data set has 50");
    assert_refused(bnnep_dataset_read(some, UINT64_MAX, 2, x, y), BNNEP_ERROR_ARGUMENT, "the data set has 50");
    assert_refused(bnnep_dataset_read(some, 20, 31, x, y), BNNEP_ERROR_ARGUMENT, "31 inputs from place 20");
    assert_refused(bnnep_dataset_select(some, (const uint64_t[]){3, 50}, 2, &whole), BNNEP_ERROR_ARGUMENT, "50");
    assert_refused(bnnep_dataset_select(some, order, 0, &whole), BNNEP_ERROR_ARGUMENT, "0 inputs");
    assert_refused(bnnep_dataset_select(some, NULL, 1, &whole), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_null(whole);
    bad = 120;
    assert_refused(bnnep_dataset_read(some, 0, 50, x, y), BNNEP_ERROR_CALLBACK, "returned 42");
    bnnep_dataset_free(some);
    bnnep_dataset_free(mixed);
    bnnep_dataset_free(again);
}

/* Data sets one after the other, of callbacks and of memory, views of views among them. */
static void concatenated(void **state) {
    (void)state;
    static const float x[] = {7.0f, 14.0f};
    static const uint64_t wanted[] = {0, 1, 2, 7, 14, 2, 0}, turned[] = {0, 14, 7, 2, 0};
    uint64_t bad = UINT64_MAX;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *counted = counting(&bad, 3), *stored, *picked, *all, *view, *wide;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, (const int32_t[]){0, 0}, 2, &stored));
    assert_ok(bnnep_dataset_select(counted, (const uint64_t[]){2, 0}, 2, &picked));
    const bnnep_dataset *const parts[] = {counted, stored, picked};
    assert_ok(bnnep_dataset_concat(parts, 3, &all));
    bnnep_dataset_free(counted); /* what they hold stays */
    bnnep_dataset_free(stored);
    bnnep_dataset_free(picked);
    assert_inputs(all, wanted, 7);
    assert_ok(bnnep_dataset_select(all, (const uint64_t[]){6, 4, 3, 2, 0}, 5, &view));
    assert_inputs(view, turned, 5);
    for (int n = 0; n < 2; n++) { /* a part that fails, by the second of its inputs here, and one that does not */
        float seen[7];
        bad = n ? UINT64_MAX : 1;
        assert_int_equal(bnnep_dataset_read(all, 0, 7, seen, NULL), n ? BNNEP_OK : BNNEP_ERROR_CALLBACK);
    }
    o.channels = 2;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, NULL, 1, &wide));
    const bnnep_dataset *const unlike[] = {all, wide}, *const missing[] = {all, NULL};
    bnnep_dataset *made = wide;
    assert_refused(bnnep_dataset_concat(unlike, 2, &made), BNNEP_ERROR_ARGUMENT, "2 x 1 x 1");
    assert_null(made);
    assert_refused(bnnep_dataset_concat(missing, 2, &made), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_refused(bnnep_dataset_concat(unlike, 0, &made), BNNEP_ERROR_ARGUMENT, "there are no data sets");
    bnnep_dataset_free(all);
    bnnep_dataset_free(view);
    bnnep_dataset_free(wide);
}

/* Inputs without labels: -1 is read, in views of them too; they do not go together with some that have labels. */
static void unlabelled(void **state) {
    (void)state;
    static const float x[] = {1.0f, 2.0f, 3.0f};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset *without, *with, *view, *both;
    int32_t y[6] = {0};
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, NULL, 3, &without));
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, (const int32_t[]){4, 5, 6}, 3, &with));
    assert_ok(bnnep_dataset_get_info(without, &info));
    assert_true(info.labelled == 0 && info.classes == 0 && info.count == 3);
    assert_ok(bnnep_dataset_get_info(with, &info));
    assert_true(info.labelled == 1 && info.classes == 7);
    bnnep_dataset_free(with);
    assert_ok(
        bnnep_dataset_from_memory(NULL, &o, x, (const int32_t[]){8, 0, 5}, 3, &with)); /* the first is the largest */
    assert_ok(bnnep_dataset_get_info(with, &info));
    assert_true(info.labelled == 1 && info.classes == 9);
    assert_ok(bnnep_dataset_select(without, (const uint64_t[]){2, 1}, 2, &view));
    assert_ok(bnnep_dataset_read(view, 0, 2, NULL, y));
    assert_true(y[0] == -1 && y[1] == -1);
    const bnnep_dataset *const parts[] = {with, without}, *const alike[] = {view, without};
    assert_refused(bnnep_dataset_concat(parts, 2, &both), BNNEP_ERROR_ARGUMENT, "data set 1 lacks labels");
    assert_ok(bnnep_dataset_concat(alike, 2, &both));
    assert_ok(bnnep_dataset_read(both, 0, 5, NULL, y));
    for (int n = 0; n < 5; n++)
        assert_int_equal(y[n], -1);
    assert_ok(bnnep_dataset_get_info(both, &info));
    assert_true(info.labelled == 0 && info.classes == 0 && info.count == 5);
    bnnep_dataset_free(without);
    bnnep_dataset_free(with);
    bnnep_dataset_free(view);
    bnnep_dataset_free(both);
}

/* Views of a transformed data set are transformed as it is. */
static void views_of_transformed(void **state) {
    (void)state;
    enum { IMAGES = 3, CHANNELS = 2, PIXELS = 4, IMAGE = CHANNELS * PIXELS };
    const float mean[CHANNELS] = {0.25f, 0.5f}, deviation[CHANNELS] = {0.5f, 0.125f};
    const int32_t y[IMAGES] = {0, 1, 2};
    float x[IMAGES * IMAGE], seen[IMAGE];
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_transform t = BNNEP_TRANSFORM_INIT;
    bnnep_dataset *plain, *whole, *some, *mixed;
    for (int i = 0; i < IMAGES * IMAGE; i++)
        x[i] = (float)i;
    o.channels = CHANNELS;
    o.height = o.width = 2;
    t.mean = mean;
    t.deviation = deviation;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, y, IMAGES, &plain));
    for (int32_t crop = INT32_MAX / 2; crop < INT32_MAX / 2 + 2; crop++) { /* the most there can be, and one more */
        t.crop = crop;
        assert_int_equal(bnnep_dataset_transformed(plain, &t, &whole),
                         crop == INT32_MAX / 2 ? 0 : BNNEP_ERROR_ARGUMENT);
        bnnep_dataset_free(whole);
    }
    t.crop = 0;
    assert_ok(bnnep_dataset_transformed(plain, &t, &whole));
    assert_ok(bnnep_dataset_subset(whole, 1, 2, &some));
    assert_ok(bnnep_dataset_select(some, (const uint64_t[]){1, 0}, 2, &mixed));
    const bnnep_dataset *const views[] = {some, mixed};
    for (int v = 0; v < 2; v++)
        for (uint64_t n = 0; n < 2; n++) {
            int32_t image;
            assert_ok(bnnep_dataset_read(views[v], n, 1, seen, &image));
            for (int i = 0; i < IMAGE; i++)
                assert_true(seen[i] == (x[IMAGE * image + i] - mean[i / PIXELS]) / deviation[i / PIXELS]);
        }
    bnnep_dataset_free(plain);
    bnnep_dataset_free(whole);
    bnnep_dataset_free(some);
    bnnep_dataset_free(mixed);
}

int main(void) {
    const struct CMUnitTest tests[] = {

        cmocka_unit_test(idx),          cmocka_unit_test(gzip),       cmocka_unit_test(bad_files),
        cmocka_unit_test(memory),       cmocka_unit_test(bad_memory), cmocka_unit_test(callback_and_subsets),
        cmocka_unit_test(concatenated), cmocka_unit_test(unlabelled), cmocka_unit_test(views_of_transformed),
    };
    return cmocka_run_group_tests_name("dataset", tests, make_files, remove_files);
}
