/* SPDX-License-Identifier: MIT */
/* Checkpoints: going on from one gives the run that was not interrupted, bit for bit, in the midst of an epoch too and
 * on another number of threads. What damaged ones do is in test_damage.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { IMAGES = 120, VALUES = 35, BATCH = 16, BATCHES = 8 };

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bnnep-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run.safetensors", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static struct shape shape_of(int32_t dynamics) {
    return (struct shape){
        .dynamics = dynamics,
        .connections = 2,
        .units = {VALUES, 29, 20},
        .expand_output = 2,
        .free_steps = 15,
        .nudged_steps = 6,
        .max_batch = BATCH,
        .learn_alpha = true,
        .shuffle = true,
        .random_beta = true,
        .gamma = 0.1,
        .threshold = 0.002,
        .seed = 4,
    };
}

/* The same with a convolution in front. */
static struct shape convolutional(int32_t dynamics) {
    struct shape shape = shape_of(dynamics);
    shape.height = 5;
    shape.width = 7;
    shape.units[1] = 6;
    return shape;
}

static bnnep_dataset *data(void) {
    struct stream stream = {1};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    float *x = random_pixels(&stream, IMAGES, VALUES);
    int32_t *labels = random_labels(&stream, IMAGES, 10);
    bnnep_dataset *dataset;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, IMAGES, &dataset));
    free(x);
    free(labels);
    return dataset;
}

static int32_t stop_after(void *user, const bnnep_progress *progress) {
    return progress->event == BNNEP_EVENT_BATCH && progress->batches_done == *(const uint64_t *)user;
}

static void same_report(const bnnep_report *a, const bnnep_report *b, const uint64_t *flips_a,
                        const uint64_t *flips_b) {
    assert_true(a->samples == b->samples && a->batches == b->batches && a->errors == b->errors);
    assert_true(a->errors_single == b->errors_single && a->loss == b->loss);
    assert_true(a->steps_free == b->steps_free && a->steps_nudged == b->steps_nudged);
    assert_memory_equal(flips_a, flips_b, 2 * sizeof *flips_a);
}

/* Two epochs, once in one go, once stopped in each place, saved, and gone on with by other handles. */
static void resumes(void **state) {
    (void)state;
    bnnep_dataset *dataset = data();
    for (int32_t kind = 0; kind < 4; kind++) {
        const struct shape shape = kind < 2 ? shape_of(kind) : convolutional(kind - 2);
        struct net whole = net_make(&shape, "cpu/2");
        uint64_t flips[2], flips_resumed[2];
        bnnep_report report = BNNEP_REPORT_INIT, resumed = BNNEP_REPORT_INIT;
        report.flips = flips;
        resumed.flips = flips_resumed;
        report.flips_count = resumed.flips_count = 2;
        assert_ok(bnnep_optimizer_train_epoch(whole.optimizer, dataset, RUN(.batch_size = BATCH), NULL));
        assert_ok(bnnep_optimizer_train_epoch(whole.optimizer, dataset, RUN(.batch_size = BATCH), &report));
        for (uint64_t stop = 1; stop < BATCHES; stop += 3) {
            struct shape other = shape; /* other initial values, all replaced by the checkpoint's */
            struct net first = net_make(&shape, "cpu/1"), second = net_make(&other, "cpu/3");
            assert_ok(bnnep_optimizer_train_batch(second.optimizer, (const float[VALUES]){1.0f}, (const int32_t[]){3},
                                                  1, NULL, NULL));
            assert_ok(bnnep_optimizer_train_epoch(first.optimizer, dataset, RUN(.batch_size = BATCH), NULL));
            assert_int_equal(
                bnnep_optimizer_train_epoch(first.optimizer, dataset,
                                            RUN(.batch_size = BATCH, .progress = stop_after, .user = &stop), NULL),
                BNNEP_CANCELLED);
            assert_ok(bnnep_checkpoint_save(first.optimizer, path, "a note"));
            assert_ok(bnnep_checkpoint_load(second.optimizer, path));
            assert_same_network(&first, &second);
            assert_refused(bnnep_optimizer_train_epoch(second.optimizer, dataset, RUN(.batch_size = BATCH - 1), NULL),
                           BNNEP_ERROR_ARGUMENT, "an epoch of 120 samples in batches of 16 is under way");
            assert_ok(bnnep_optimizer_train_epoch(second.optimizer, dataset, RUN(.batch_size = BATCH), &resumed));
            assert_same_network(&whole, &second);
            same_report(&report, &resumed, flips, flips_resumed);
            net_free(&first);
            net_free(&second);
        }
        net_free(&whole);
    }
    bnnep_dataset_free(dataset);
}

/* One batch, of some milliseconds. */
static int32_t one_slow_batch(void *user, const bnnep_progress *progress) {
    (void)user;
    if (progress->event == BNNEP_EVENT_BATCH)
        return 1;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return 0;
}

static int32_t stop_at_once(void *user, const bnnep_progress *progress) {
    (void)user;
    (void)progress;
    return 1;
}

/* An epoch that is gone on with, and cancelled at once, reports what had been done: its largest numbers and its time
 * too. */
static void whole_report(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL);
    bnnep_dataset *dataset = data();
    struct net first = net_make(&shape, "cpu"), second = net_make(&shape, "cpu");
    uint64_t flips[2], flips_resumed[2];
    bnnep_report report = BNNEP_REPORT_INIT, resumed = BNNEP_REPORT_INIT;
    report.flips = flips;
    resumed.flips = flips_resumed;
    report.flips_count = resumed.flips_count = 2;
    assert_int_equal(bnnep_optimizer_train_epoch(first.optimizer, dataset,
                                                 RUN(.batch_size = BATCH, .progress = one_slow_batch), &report),
                     BNNEP_CANCELLED);
    assert_ok(bnnep_checkpoint_save(first.optimizer, path, NULL));
    assert_ok(bnnep_checkpoint_load(second.optimizer, path));
    assert_int_equal(bnnep_optimizer_train_epoch(second.optimizer, dataset,
                                                 RUN(.batch_size = BATCH, .progress = stop_at_once), &resumed),
                     BNNEP_CANCELLED);
    same_report(&report, &resumed, flips, flips_resumed);
    assert_true(report.batches == 1 && report.steps_free_max > 0 && report.steps_nudged_max > 0);
    assert_int_equal(resumed.steps_free_max, report.steps_free_max);
    assert_int_equal(resumed.steps_nudged_max, report.steps_nudged_max);
    assert_true(resumed.seconds > 0.001);
    bnnep_dataset_free(dataset);
    net_free(&first);
    net_free(&second);
}

/* Trains a batch of its own on one network and hands it on to the next by a checkpoint. */
static void hand_on(struct net *from, struct net *to, struct stream *stream) {
    float *x = random_pixels(stream, BATCH, VALUES);
    int32_t *labels = random_labels(stream, BATCH, 10);
    assert_ok(bnnep_optimizer_train_batch(from->optimizer, x, labels, BATCH, NULL, NULL));
    free(x);
    free(labels);
    assert_ok(bnnep_checkpoint_save(from->optimizer, path, NULL));
    assert_ok(bnnep_checkpoint_load(to->optimizer, path));
    assert_same_network(from, to);
}

/* A run goes from the cpu to another backend and back. Binary activations: as if it had stayed. */
static void moves(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int32_t dynamics = 0; dynamics < 2; dynamics++) {
            const struct shape shape = shape_of(dynamics);
            struct net here = net_make(&shape, "cpu"), there = net_make(&shape, backends[b]);
            struct net stays = net_make(&shape, "cpu"), too = net_make(&shape, "cpu");
            struct stream stream = {6}, same = {6};
            hand_on(&here, &there, &stream);
            hand_on(&there, &here, &stream);
            hand_on(&here, &there, &stream);
            for (int batch = 0; batch < 3; batch++)
                hand_on(&stays, &too, &same);
            if (dynamics == BNNEP_DYNAMICS_BINARY)
                assert_same_network(&stays, &there);
            net_free(&here);
            net_free(&there);
            net_free(&stays);
            net_free(&too);
        }
}

static void other_runs(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL);
    struct net saved = net_make(&shape, "cpu");
    assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
    struct {
        struct shape shape;
        const char *says;
    } others[] = {{shape, "network's connections is"},
                  {shape, "network's dynamics is 0, here it is 1"},
                  {shape, "network's free_steps is 15, here it is 16"},
                  {shape, "optimizer's gamma is"},
                  {shape, "optimizer's seed is 4, here it is 5"},
                  {shape, "here it is []"},
                  {shape, "optimizer's lr_alpha is"},
                  {shape, "optimizer's nudge is 0, here it is 1"},
                  {shape, "network's grid_bits is 0, here it is 16"}};
    others[0].shape.units[1] = 30;
    others[1].shape.dynamics = 1;
    others[2].shape.free_steps = 16;
    others[3].shape.gamma = 0.11;
    others[4].shape.seed = 5;
    others[5].shape.learn_alpha = false;
    others[6].shape.lr_alpha = 0.02;
    others[7].shape.random_beta = false;
    others[8].shape.grid_bits = 16;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct net net = net_make(&others[i].shape, "cpu"), untouched = net_make(&others[i].shape, "cpu");
        assert_refused(bnnep_checkpoint_load(net.optimizer, path), BNNEP_ERROR_ARGUMENT, others[i].says);
        assert_same_network(&net, &untouched);
        net_free(&net);
        net_free(&untouched);
    }
    assert_ok(bnnep_network_save(saved.network, path, NULL));
    assert_refused(bnnep_checkpoint_load(saved.optimizer, path), BNNEP_ERROR_FORMAT, "without an optimizer");
    assert_refused(bnnep_checkpoint_load(saved.optimizer, "/nowhere/x"), BNNEP_ERROR_FILE,
                   "/nowhere/x: cannot be opened");
    assert_refused(bnnep_checkpoint_save(saved.optimizer, "/nowhere/x", NULL), BNNEP_ERROR_FILE,
                   "/nowhere/x: cannot be written");
    net_free(&saved);
}

/* A file keeps the grid; what is predicted on it is the same on every backend. */
static void on_a_grid(void **state) {
    (void)state;
    struct stream stream = {3};
    struct shape shapes[] = {shape_of(BNNEP_DYNAMICS_REAL), convolutional(BNNEP_DYNAMICS_REAL)};
    for (size_t i = 0; i < 2; i++) {
        float *x = random_pixels(&stream, BATCH, VALUES), scores[BATCH * 10], again[BATCH * 10];
        shapes[i].grid_bits = 16;
        struct net net = net_make(&shapes[i], "cpu");
        bnnep_context *context = context_on("ref");
        bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
        bnnep_network *read;
        assert_ok(bnnep_network_predict(net.network, x, BATCH, NULL, scores, NULL));
        assert_ok(bnnep_network_save(net.network, path, NULL));
        assert_ok(bnnep_network_load(context, path, NULL, &read));
        assert_ok(bnnep_network_get_info(read, &info));
        assert_int_equal(info.grid_bits, 16);
        assert_ok(bnnep_network_predict(read, x, BATCH, NULL, again, NULL));
        assert_memory_equal(scores, again, sizeof scores);
        bnnep_network_free(read);
        bnnep_context_free(context);
        net_free(&net);
        free(x);
    }
}

static mode_t mode_under(mode_t mask, const struct net *net) {
    struct stat about;
    unlink(path);
    const mode_t before = umask(mask);
    assert_ok(bnnep_checkpoint_save(net->optimizer, path, NULL));
    umask(before);
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 0777;
}

/* Files are made as others are, by the umask. */
static void writing(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL);
    struct net net = net_make(&shape, "cpu");
    assert_int_equal(mode_under(077, &net), 0600);
    assert_int_equal(mode_under(022, &net), 0644);
    assert_ok(bnnep_checkpoint_load(net.optimizer, path));
    assert_refused(bnnep_checkpoint_save(net.optimizer, path, "\xff"), BNNEP_ERROR_ARGUMENT, "the note is not UTF-8");
    net_free(&net);
}

/* Of a network's file with the note "nine chars". */
static void texts_of_file(void) {
    char note[8], text[32];
    size_t length;
    assert_ok(bnnep_file_text(path, "note", note, sizeof note, &length));
    assert_string_equal(note, "nine ch");
    assert_int_equal(length, 10);
    assert_ok(bnnep_file_text(path, "format", text, sizeof text, &length));
    assert_string_equal(text, "bnnep-network");
    assert_int_equal(length, 13);
    assert_ok(bnnep_file_text(path, "optimizer", text, sizeof text, &length)); /* only checkpoints have one */
    assert_string_equal(text, "");
    assert_int_equal(length, 0);
    assert_refused(bnnep_file_text(path, NULL, text, sizeof text, NULL), BNNEP_ERROR_ARGUMENT, "text: key is NULL");
    assert_refused(bnnep_file_text(path, "note", NULL, 1, NULL), BNNEP_ERROR_ARGUMENT, "text: text is NULL");
}

/* An inference file makes the same network, convolutions included, on any backend. */
static void inference(void **state) {
    (void)state;
    const bnnep_connection connections[] = {BNNEP_CONV(5, 3, 1, 2), BNNEP_FC(10)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_context *context = context_on("ref");
    bnnep_network *network, *read;
    struct stream stream = {2};
    float *x = random_pixels(&stream, 5, 2 * 7 * 9), scores[50], again[50];
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    o.input_channels = 2;
    o.input_height = 7;
    o.input_width = 9;
    o.connections = connections;
    o.connection_count = 2;
    o.free_steps = 11;
    o.theta = 0.4f;
    o.seed = 6;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    assert_ok(bnnep_network_predict(network, x, 5, NULL, scores, NULL));
    assert_ok(bnnep_network_save(network, path, "nine chars"));
    assert_ok(bnnep_network_load(context, path, NULL, &read));
    assert_ok(bnnep_network_predict(read, x, 5, NULL, again, NULL));
    assert_memory_equal(scores, again, sizeof scores);
    texts_of_file();
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_connection_info first = BNNEP_CONNECTION_INFO_INIT;
    assert_ok(bnnep_network_get_info(read, &info));
    assert_true(info.theta == (double)0.4f && info.gamma_neur == 0.5);
    assert_ok(bnnep_network_get_connection(read, 0, &first));
    assert_int_equal(first.kernel, connections[0].kernel);
    assert_int_equal(first.padding, connections[0].padding);
    assert_int_equal(first.pool, connections[0].pool);
    bnnep_network_free(network);
    bnnep_network_free(read);
    bnnep_context_free(context);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumes),    cmocka_unit_test(moves),     cmocka_unit_test(whole_report),
        cmocka_unit_test(other_runs), cmocka_unit_test(on_a_grid), cmocka_unit_test(inference),
        cmocka_unit_test(writing),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, make_folder, remove_folder);
}
