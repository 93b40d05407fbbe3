/* SPDX-License-Identifier: MIT */
/* CIFAR-10's binary format, and what is done to images as they are read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { VALUES = 3072, RECORD = 3073, EACH = 4 };

static char folder[64];

static uint8_t pixel(size_t image, size_t value) {
    return (uint8_t)((image * 37 + value * 11 + value / 32) % 256);
}

/* One file of `bytes` bytes, its images numbered from `first` on. */
static void write_batch(const char *name, size_t first, size_t bytes, int label) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < bytes; i++) {
        const size_t image = first + i / RECORD;
        fputc(i % RECORD == 0 ? (label >= 0 ? label : (int)(image % 10)) : pixel(image, i % RECORD - 1), file);
    }
    fclose(file);
}

static int make_files(void **state) {
    (void)state;
    char name[32];
    strcpy(folder, "/tmp/bnnep-cifar-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t b = 0; b < 5; b++) {
        snprintf(name, sizeof name, "data_batch_%zu.bin", b + 1);
        write_batch(name, b * EACH, (size_t)EACH * RECORD, -1);
    }
    write_batch("test_batch.bin", 100, (size_t)EACH * RECORD, -1);
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static float normal(size_t image, size_t value) {
    static const float mean[] = {0.4914f, 0.4822f, 0.4465f}, deviation[] = {0.247f, 0.243f, 0.261f};
    return ((float)pixel(image, value) / 255.0f - mean[value / 1024]) / deviation[value / 1024];
}

static bnnep_status open_part(const char *where, int32_t part, bnnep_dataset **out) {
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    o.format = BNNEP_FORMAT_CIFAR10;
    o.part = part;
    return bnnep_dataset_open(NULL, where, &o, out);
}

/* With the paper's transform. */
static bnnep_dataset *open_transformed(int32_t part) {
    bnnep_transform t;
    bnnep_dataset *plain, *out;
    assert_ok(bnnep_transform_init_cifar10(&t, sizeof t, part));
    assert_ok(open_part(folder, part, &plain));
    assert_ok(bnnep_dataset_transformed(plain, &t, &out));
    bnnep_dataset_free(plain);
    return out;
}

static void reads(void **state) {
    (void)state;
    bnnep_dataset *data;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    static float x[VALUES];
    int32_t label;
    assert_ok(open_part(folder, BNNEP_PART_TRAINING, &data));
    assert_ok(bnnep_dataset_get_info(data, &info));
    assert_true(info.count == 5 * EACH && info.channels == 3 && info.height == 32 && info.width == 32);
    assert_true(info.classes == 10 && info.labelled == 1 && !info.mean && !info.deviation);
    assert_ok(bnnep_dataset_read(data, 3, 1, x, &label));
    assert_int_equal(label, 3);
    for (size_t v = 0; v < VALUES; v++) /* plain */
        assert_true(x[v] == (float)pixel(3, v) / 255.0f);
    bnnep_dataset_free(data);
    data = open_transformed(BNNEP_PART_TRAINING);
    for (size_t image = 0; image < 5 * EACH; image++) { /* not in training: as stored */
        assert_ok(bnnep_dataset_read(data, image, 1, x, &label));
        assert_int_equal(label, image % 10);
        for (size_t v = 0; v < VALUES; v++)
            assert_true(x[v] == normal(image, v));
    }
    bnnep_dataset_free(data);
    data = open_transformed(BNNEP_PART_TEST);
    assert_ok(bnnep_dataset_read(data, 1, 1, x, &label));
    assert_true(label == 1 && x[7] == normal(101, 7));
    bnnep_dataset_free(data);
}

static void bad_files(void **state) {
    (void)state;
    bnnep_transform t = BNNEP_TRANSFORM_INIT;
    assert_refused(bnnep_transform_init_cifar10(&t, sizeof t, 2), BNNEP_ERROR_ARGUMENT, "part is 2");
    bnnep_dataset *data;
    write_batch("data_batch_3.bin", 8, (size_t)2 * RECORD + 5, -1);
    assert_refused(open_part(folder, BNNEP_PART_TRAINING, &data), BNNEP_ERROR_FORMAT,
                   "data_batch_3.bin: ends at offset 6151, expected whole records of 3073 bytes");
    write_batch("data_batch_3.bin", 8, 0, -1);
    assert_refused(open_part(folder, BNNEP_PART_TRAINING, &data), BNNEP_ERROR_FORMAT, "ends at offset 0");
    write_batch("data_batch_3.bin", 8, (size_t)2 * RECORD, 10);
    assert_refused(open_part(folder, BNNEP_PART_TRAINING, &data), BNNEP_ERROR_DATA,
                   "data_batch_3.bin: the label at offset 0 is 10, expected 0 to 9");
    write_batch("data_batch_3.bin", 8, (size_t)EACH * RECORD, -1);
    assert_refused(open_part("/nowhere", BNNEP_PART_TEST, &data), BNNEP_ERROR_FILE, "/nowhere: cannot be opened");
    assert_refused(open_part("/tmp", BNNEP_PART_TEST, &data), BNNEP_ERROR_FILE,
                   "/tmp/test_batch.bin: cannot be opened");
    assert_null(data);
}

/* A map of 1 x 3 x 4 whose value tells its place, put through flips and crops in training, and seen through a network
 * that is never updated. */
enum { H = 3, W = 4, COUNT = 64 };

struct seen {
    bnnep_workspace *workspace;
    bnnep_dataset *data;
    float images[COUNT * H * W];
    size_t count;
};

static int32_t look(void *user, const bnnep_progress *progress) {
    struct seen *seen = user;
    float states[COUNT];
    if (progress->event != BNNEP_EVENT_BATCH)
        return 0;
    assert_ok(bnnep_workspace_get_state(seen->workspace, BNNEP_PHASE_FREE, 1, states, H * W));
    memcpy(seen->images + seen->count++ * H * W, states, H * W * sizeof *states);
    return 0;
}

/* The first and the last inputs of a data set, each part transformed on its own, and joined again. */
static bnnep_dataset *joined(const bnnep_dataset *plain, const bnnep_transform *t, uint64_t first) {
    bnnep_dataset *part[2], *seen[2], *both;
    for (int i = 0; i < 2; i++) {
        float values[COUNT * H * W];
        int32_t labels[COUNT];
        const size_t count = (size_t)(i ? COUNT - first : first);
        bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
        o.height = H;
        o.width = W;
        assert_ok(bnnep_dataset_read(plain, i ? first : 0, count, values, labels));
        assert_ok(bnnep_dataset_from_memory(NULL, &o, values, labels, count, &part[i]));
        assert_ok(bnnep_dataset_transformed(part[i], t, &seen[i]));
    }
    assert_ok(bnnep_dataset_concat((const bnnep_dataset *const[]){seen[0], seen[1]}, 2, &both));
    for (int i = 0; i < 2; i++) {
        bnnep_dataset_free(part[i]);
        bnnep_dataset_free(seen[i]);
    }
    return both;
}

/* COUNT copies of the map; of two parts, the second of which begins at `second`, unless it is 0. */
static bnnep_dataset *maps(int32_t flip, int32_t crop, uint64_t second) {
    static float values[COUNT * H * W];
    static int32_t labels[COUNT];
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_transform t = BNNEP_TRANSFORM_INIT;
    bnnep_dataset *plain, *seen;
    for (int i = 0; i < COUNT * H * W; i++)
        values[i] = (float)(i % (H * W)) / 16.0f;
    o.height = H;
    o.width = W;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, values, labels, COUNT, &plain));
    t.flip = flip;
    t.crop = crop;
    if (second)
        seen = joined(plain, &t, second);
    else
        assert_ok(bnnep_dataset_transformed(plain, &t, &seen));
    bnnep_dataset_free(plain);
    return seen;
}

static const float small_alpha = 1.0f / 32.0f;

/* Row j is +1 but for column j, so that the input can be told from the states: s_j = alpha (S - 2 x_j). */
static bnnep_network *make_eye(void) {
    static const float bias[H * W];
    const bnnep_connection connections[] = {BNNEP_FC(H * W)};
    bnnep_network_options n = BNNEP_NETWORK_OPTIONS_INIT;
    int8_t signs[H * W * H * W];
    bnnep_network *network;
    for (int j = 0; j < H * W; j++)
        for (int i = 0; i < H * W; i++)
            signs[j * H * W + i] = i == j ? -1 : 1;
    n.input_height = H;
    n.input_width = W;
    n.classes = H * W;
    n.connections = connections;
    n.connection_count = 1;
    n.max_batch = 1;
    assert_ok(bnnep_network_create(NULL, &n, &network));
    assert_ok(bnnep_network_set_signs(network, 0, signs, sizeof signs));
    assert_ok(bnnep_network_set_bias(network, 0, bias, H * W));
    assert_ok(bnnep_network_set_alpha(network, 0, &small_alpha, 1));
    return network;
}

/* From states to what was seen: S, the sum of x, is that of s / (10 alpha). */
static void decode(float *s) {
    float sum = 0.0f;
    for (int j = 0; j < H * W; j++)
        sum += s[j] / (small_alpha * (H * W - 2));
    for (int j = 0; j < H * W; j++)
        s[j] = roundf((sum - s[j] / small_alpha) / 2.0f * 16.0f);
}

/* One epoch, the last of some, over the maps; what the network saw. */
static void see(struct seen *seen, int32_t flip, int32_t crop, uint64_t seed, int epochs, uint64_t second) {
    const double gamma[] = {1e-9}, threshold[] = {1e30}, rate[] = {0.0};
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_network *network = make_eye();
    bnnep_optimizer *optimizer;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = rate;
    p.keep_order = 1;
    p.seed = seed;
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    seen->data = maps(flip, crop, second);
    seen->workspace = bnnep_network_workspace(network);
    for (int epoch = 0; epoch < epochs; epoch++) {
        seen->count = 0;
        assert_ok(bnnep_optimizer_train_epoch(optimizer, seen->data, RUN(.progress = look, .user = seen), NULL));
    }
    for (size_t image = 0; image < COUNT; image++)
        decode(seen->images + image * H * W);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    bnnep_dataset_free(seen->data);
}

static int clamp(int value, int size) {
    return value < 0 ? 0 : value >= size ? size - 1 : value;
}

/* How often each view of the map was seen: mirrored or not, and how far it was moved; each image is one of them. */
static void count_views(const struct seen *seen, int views[2][3][3]) {
    memset(views, 0, 18 * sizeof views[0][0][0]);
    for (size_t image = 0; image < COUNT; image++) {
        int matches = 0;
        for (int flip = 0; flip < 2; flip++)
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++) {
                    bool match = true;
                    for (int y = 0; y < H && match; y++)
                        for (int x = 0; x < W && match; x++) {
                            const int column = clamp(x + dx, W), row = clamp(y + dy, H);
                            const int from = row * W + (flip ? W - 1 - column : column);
                            match = seen->images[image * H * W + (size_t)(y * W + x)] == (float)from;
                        }
                    matches += match;
                    views[flip][dy + 1][dx + 1] += match;
                }
        assert_int_equal(matches, 1);
    }
}

static void transforms(void **state) {
    (void)state;
    static struct seen seen, again, other, later;
    see(&seen, 1, 1, 5, 1, 0);
    see(&again, 1, 1, 5, 1, 0);
    see(&other, 1, 1, 6, 1, 0);
    see(&later, 1, 1, 5, 2, 0);
    assert_memory_equal(seen.images, again.images, sizeof seen.images);
    assert_memory_not_equal(seen.images, other.images, sizeof seen.images);
    assert_memory_not_equal(seen.images, later.images, sizeof seen.images);
    int views[2][3][3], kinds = 0, flips = 0;
    count_views(&seen, views);
    for (int i = 0; i < 18; i++) {
        kinds += (&views[0][0][0])[i] > 0;
        flips += i >= 9 ? (&views[0][0][0])[i] : 0;
    }
    assert_true(kinds >= 14 && flips > 18 && flips < 46); /* 64 draws of 18 views */
    see(&seen, 0, 0, 5, 1, 0);
    for (int i = 0; i < COUNT * H * W; i++)
        assert_true(seen.images[i] == (float)(i % (H * W)));
}

/* Each of them alone, and sets that are joined, whose inputs are drawn for as in the whole. */
static void one_by_one(void **state) {
    (void)state;
    static struct seen both, seen, parts;
    int views[2][3][3], all[2][3][3], moved = 0;
    see(&both, 1, 1, 5, 1, 0);
    count_views(&both, all);
    see(&seen, 1, 0, 5, 1, 0);
    count_views(&seen, views);
    for (int flip = 0, flips = 0; flip < 2; flip++, flips = 0) {
        for (int i = 0; i < 9; i++)
            flips += (&all[flip][0][0])[i];
        assert_int_equal(views[flip][1][1], flips);
    }
    see(&seen, 0, 1, 5, 1, 0);
    count_views(&seen, views);
    for (int i = 0; i < 9; i++) {
        assert_int_equal((&views[1][0][0])[i], 0);
        assert_int_equal((&views[0][0][0])[i], (&all[0][0][0])[i] + (&all[1][0][0])[i]);
        moved += i != 4 ? (&views[0][0][0])[i] : 0;
    }
    assert_true(moved > 0);
    see(&parts, 1, 1, 5, 1, 23);
    assert_memory_equal(parts.images, both.images, sizeof both.images);
    see(&parts, 0, 1, 5, 1, 1);
    assert_memory_equal(parts.images, seen.images, sizeof seen.images);
}

/* Images from memory, with what is done to them spelt out. */
static bnnep_dataset *spell_out(size_t first, size_t count, bool augmented) {
    static const float mean[] = {0.4914f, 0.4822f, 0.4465f}, deviation[] = {0.247f, 0.243f, 0.261f};
    static uint8_t pixels[5 * EACH * VALUES];
    int32_t labels[5 * EACH];
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_transform t = BNNEP_TRANSFORM_INIT;
    bnnep_dataset *stored, *dataset;
    for (size_t n = 0; n < count; n++) {
        labels[n] = (int32_t)((first + n) % 10);
        for (size_t v = 0; v < VALUES; v++)
            pixels[n * VALUES + v] = pixel(first + n, v);
    }
    o.type = BNNEP_TYPE_UINT8;
    o.channels = 3;
    o.height = o.width = 32;
    t.mean = mean;
    t.deviation = deviation;
    t.flip = augmented;
    t.crop = augmented ? 4 : 0;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, pixels, labels, count, &stored));
    assert_ok(bnnep_dataset_transformed(stored, &t, &dataset));
    bnnep_dataset_free(stored);
    return dataset;
}

static const struct shape small = {
    .connections = 1,
    .units = {VALUES, 10},
    .free_steps = 2,
    .nudged_steps = 1,
    .max_batch = 4,
    .shuffle = true,
    .gamma = 0.5,
    .threshold = 1e30,
    .seed = 3,
};

static struct net train(const bnnep_dataset *data) {
    struct net net = net_make(&small, "cpu");
    for (int epoch = 0; epoch < 3; epoch++)
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.batch_size = 4), NULL));
    return net;
}

/* Training sees the training set, and a subset of it, flipped and cropped by 4, and the test set as it is. */
static void augments(void **state) {
    (void)state;
    static const struct {
        int32_t part;
        size_t first, count;
    } parts[] = {{BNNEP_PART_TRAINING, 0, 5 * EACH}, {BNNEP_PART_TEST, 100, EACH}};
    for (size_t i = 0; i < 2; i++) {
        bnnep_dataset *spelt = spell_out(parts[i].first, parts[i].count, parts[i].part == BNNEP_PART_TRAINING);
        bnnep_dataset *whole = open_transformed(parts[i].part), *some;
        assert_ok(bnnep_dataset_subset(whole, 0, parts[i].count, &some));
        struct net a = train(spelt), b = train(whole), c = train(some);
        assert_same_network(&a, &b);
        assert_same_network(&a, &c);
        net_free(&a);
        net_free(&b);
        net_free(&c);
        bnnep_dataset_free(spelt);
        bnnep_dataset_free(whole);
        bnnep_dataset_free(some);
    }
}

/* Evaluation sees the training set as it is. */
static void evaluates_as_stored(void **state) {
    (void)state;
    bnnep_dataset *stored = spell_out(0, 5 * EACH, false), *file = open_transformed(BNNEP_PART_TRAINING);
    bnnep_report a = BNNEP_REPORT_INIT, b = BNNEP_REPORT_INIT;
    struct net net = net_make(&small, "cpu");
    assert_ok(bnnep_network_evaluate(net.network, stored, NULL, &a));
    assert_ok(bnnep_network_evaluate(net.network, file, NULL, &b));
    assert_true(a.errors == b.errors && a.loss == b.loss && a.loss > 0.0);
    net_free(&net);
    bnnep_dataset_free(stored);
    bnnep_dataset_free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads),      cmocka_unit_test(bad_files),
                                       cmocka_unit_test(transforms), cmocka_unit_test(one_by_one),
                                       cmocka_unit_test(augments),   cmocka_unit_test(evaluates_as_stored)};
    return cmocka_run_group_tests_name("cifar10", tests, make_files, remove_files);
}
