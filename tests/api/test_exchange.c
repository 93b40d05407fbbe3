/* SPDX-License-Identifier: MIT */
/*
 * What one machine writes, another reads: checkpoints and network files of small networks of every kind, and training
 * that goes on from them as it would have where it began.
 *
 *     test_exchange write FOLDER     trains, saves, goes on, and notes in a text file what came of it
 *     test_exchange read FOLDER      loads, goes on, and compares
 *     test_exchange                  both, in a folder of its own
 *
 * Between the two must lie nothing but the machine: the version and the backend are the same. Then all is the same, bit
 * for bit. For binary activations, and for states on a grid, the library promises it (docs/abi.md). For other real
 * activations it does not, as OpenBLAS adds in an order of the processor's; but ref adds in the order that is written
 * down, in double, and so do the cpu backend's kernels (kernels.h), to which batches of fewer than 46 samples are left
 * (DENSE in learn_connected.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

/* Rows of several words of signs, the last one not full. */
enum { HEIGHT = 9, WIDTH = 11, VALUES = HEIGHT * WIDTH, CLASSES = 10 };
enum { IMAGES = 120, BATCH = 16, STOP = 3, MORE = 3, CONNECTIONS = 2 };

static char folder[3072];

/* --- networks ------------------------------------------------------------------------------------------------------
 */

struct kind {
    const char *name;
    int32_t dynamics;
    bool convolution;
    int32_t grid_bits;
    double beta, threshold;
};

static const struct kind kinds[] = {
    {"real", BNNEP_DYNAMICS_REAL, false, 0, 0.5, 0.002},
    {"real-grid", BNNEP_DYNAMICS_REAL, false, 16, 0.5, 0.002},
    {"real-convolution", BNNEP_DYNAMICS_REAL, true, 0, 0.5, 0.002},
    {"real-convolution-grid", BNNEP_DYNAMICS_REAL, true, 16, 0.5, 0.002},
    {"binary", BNNEP_DYNAMICS_BINARY, false, 0, 2.0, 0.002},
    {"binary-convolution", BNNEP_DYNAMICS_BINARY, true, 0, 2.0, 0.002},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const char *const backends[] = {"ref", "cpu"};

static struct shape shape_of(const struct kind *kind) {
    struct shape shape = {
        .dynamics = kind->dynamics,
        .connections = CONNECTIONS,
        .units = {VALUES, 75, 2 * CLASSES},
        .expand_output = 2,
        .free_steps = 15,
        .nudged_steps = 6,
        .max_batch = BATCH,
        .learn_alpha = true,
        .shuffle = true,
        .random_beta = true,
        .beta = kind->beta,
        .gamma = 0.1,
        .threshold = kind->threshold,
        .grid_bits = kind->grid_bits,
        .seed = 4,
    };
    if (kind->convolution) {
        shape.height = HEIGHT;
        shape.width = WIDTH;
        shape.units[1] = 6;
    }
    return shape;
}

/* --- training ------------------------------------------------------------------------------------------------------
 */

static bnnep_dataset *make_data(void) {
    struct stream stream = {1};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    float *x = random_pixels(&stream, IMAGES, VALUES);
    int32_t *labels = random_labels(&stream, IMAGES, CLASSES);
    bnnep_dataset *data;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, IMAGES, &data));
    free(x);
    free(labels);
    return data;
}

static int32_t stop(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH && progress->batches_done == STOP;
}

/* An epoch, then other rates and fewer steps, and STOP batches of the next epoch. */
static void train_to_the_middle(const struct net *net, const bnnep_dataset *data) {
    const double gamma[] = {0.07, 0.12}, threshold[] = {net->shape->threshold / 3.0, 0.0017}, rate[] = {0.013, 0.0};
    const double beta = -0.8 * net->shape->beta;
    assert_ok(bnnep_optimizer_train_epoch(net->optimizer, data, RUN(.batch_size = BATCH), NULL));
    assert_ok(bnnep_optimizer_set_rates(net->optimizer, BNNEP_RATE_GAMMA, gamma, CONNECTIONS));
    assert_ok(bnnep_optimizer_set_rates(net->optimizer, BNNEP_RATE_THRESHOLD, threshold, CONNECTIONS));
    assert_ok(bnnep_optimizer_set_rates(net->optimizer, BNNEP_RATE_BIAS, rate, CONNECTIONS));
    assert_ok(bnnep_optimizer_set_rates(net->optimizer, BNNEP_RATE_BETA, &beta, 1));
    assert_ok(bnnep_network_set_relaxation(net->network, 13, 1e-5));
    assert_int_equal(
        bnnep_optimizer_train_epoch(net->optimizer, data, RUN(.batch_size = BATCH, .progress = stop), NULL),
        BNNEP_CANCELLED);
}

/* --- what is noted -------------------------------------------------------------------------------------------------
 */

/* FNV-1a over the values of floats, whatever the order of a number's bytes. */
static uint64_t digest(const float *values, size_t count) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int byte = 0; byte < 4; byte++)
            hash = (hash ^ (bits >> 8 * byte & 0xff)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Signs, scaling factors and biases, and momenta if there is an optimizer. */
static void note_parameters(FILE *notes, const char *when, const bnnep_network *network,
                            const bnnep_optimizer *optimizer) {
    for (size_t k = 0; k < CONNECTIONS; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &info));
        const size_t rows = (size_t)info.rows, weights = rows * (size_t)info.columns, scales = (size_t)info.scales;
        int8_t *signs = malloc(weights);
        float *values = malloc(weights * sizeof *values);
        assert_true(signs && values);
        assert_ok(bnnep_network_get_signs(network, k, signs, weights));
        for (size_t i = 0; i < weights; i++)
            values[i] = signs[i];
        fprintf(notes, "%s: connection %zu: signs %016" PRIx64, when, k, digest(values, weights));
        assert_ok(bnnep_network_get_alpha(network, k, values, scales));
        fprintf(notes, " alpha %016" PRIx64, digest(values, scales));
        assert_ok(bnnep_network_get_bias(network, k, values, rows));
        fprintf(notes, " bias %016" PRIx64, digest(values, rows));
        if (optimizer) {
            assert_ok(bnnep_optimizer_get_momentum(optimizer, k, values, weights));
            fprintf(notes, " momenta %016" PRIx64, digest(values, weights));
        }
        fputs("\n", notes);
        free(signs);
        free(values);
    }
}

static void note_predictions(FILE *notes, const bnnep_network *network, const bnnep_dataset *data) {
    float *x = malloc((size_t)IMAGES * VALUES * sizeof *x), *scores = malloc((size_t)IMAGES * CLASSES * sizeof *scores);
    assert_true(x && scores);
    assert_ok(bnnep_dataset_read(data, 0, IMAGES, x, NULL));
    assert_ok(bnnep_network_predict(network, x, IMAGES, NULL, scores, NULL));
    fprintf(notes, "network file: scores %016" PRIx64 "\n", digest(scores, (size_t)IMAGES * CLASSES));
    free(x);
    free(scores);
}

static void note_report(FILE *notes, const char *what, const bnnep_report *report) {
    fprintf(notes, "%s: samples %" PRIu64 " batches %" PRIu64 " errors %" PRIu64 " single %" PRIu64 " flips", what,
            report->samples, report->batches, report->errors, report->errors_single);
    for (size_t k = 0; k < CONNECTIONS; k++)
        fprintf(notes, " %" PRIu64, report->flips[k]);
    fprintf(notes, " loss %a steps %a %a most %u %u\n", report->loss, report->steps_free, report->steps_nudged,
            (unsigned)report->steps_free_max, (unsigned)report->steps_nudged_max);
}

/* The rest of the epoch, and some batches of other samples. */
static void go_on(FILE *notes, const struct net *net, const bnnep_dataset *data) {
    struct stream stream = {9};
    uint64_t flips[CONNECTIONS], flipped = 0;
    bnnep_report report = BNNEP_REPORT_INIT;
    report.flips = flips;
    report.flips_count = CONNECTIONS;
    assert_ok(bnnep_optimizer_train_epoch(net->optimizer, data, RUN(.batch_size = BATCH), &report));
    note_report(notes, "epoch", &report);
    for (size_t batch = 0; batch < MORE; batch++) {
        const size_t count = BATCH - 5 * batch;
        float *x = random_pixels(&stream, count, VALUES);
        int32_t *labels = random_labels(&stream, count, CLASSES);
        assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, labels, count, NULL, &report));
        note_report(notes, "batch", &report);
        for (size_t k = 0; k < CONNECTIONS; k++)
            flipped += flips[k];
        free(x);
        free(labels);
    }
    assert_true(flipped > 0); /* or there is little to compare */
    note_parameters(notes, "afterwards", net->network, net->optimizer);
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

struct paths {
    char checkpoint[4096], network[4096], notes[4096];
};

static struct paths paths_of(const struct kind *kind, const char *backend) {
    struct paths paths;
    snprintf(paths.checkpoint, sizeof paths.checkpoint, "%s/%s-%s.checkpoint", folder, kind->name, backend);
    snprintf(paths.network, sizeof paths.network, "%s/%s-%s.network", folder, kind->name, backend);
    snprintf(paths.notes, sizeof paths.notes, "%s/%s-%s.txt", folder, kind->name, backend);
    return paths;
}

/* All notes of a network that stands where its files were written. */
static void note_all(FILE *notes, const struct net *net, const bnnep_network *file, const bnnep_dataset *data) {
    note_parameters(notes, "checkpoint", net->network, net->optimizer);
    note_parameters(notes, "network file", file, NULL);
    note_predictions(notes, file, data);
    go_on(notes, net, data);
}

static void write_one(const struct kind *kind, const char *backend, const bnnep_dataset *data) {
    const struct shape shape = shape_of(kind);
    const struct paths paths = paths_of(kind, backend);
    struct net net = net_make(&shape, backend);
    FILE *notes = fopen(paths.notes, "w");
    assert_non_null(notes);
    train_to_the_middle(&net, data);
    assert_ok(bnnep_checkpoint_save(net.optimizer, paths.checkpoint, "from afar"));
    assert_ok(bnnep_network_save(net.network, paths.network, NULL));
    note_all(notes, &net, net.network, data);
    assert_int_equal(fclose(notes), 0);
    net_free(&net);
}

/* Line by line, so that what differs first is seen. */
static bool same_notes(const char *path, char *notes) {
    char line[1024];
    size_t number = 0;
    bool same = true;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (char *here = notes, *end; (end = strchr(here, '\n')); here = end + 1) {
        *end = '\0';
        number++;
        line[0] = '\0';
        const bool there = fgets(line, sizeof line, file) != NULL;
        line[strcspn(line, "\n")] = '\0';
        if (there && strcmp(line, here) == 0)
            continue;
        print_error("%s, line %zu:\n  written  %s\n  here     %s\n", path, number, line, here);
        same = false;
    }
    same = same && number > 0 && !fgets(line, sizeof line, file);
    fclose(file);
    return same;
}

static bool read_one(const struct kind *kind, const char *backend, const bnnep_dataset *data) {
    const struct shape shape = shape_of(kind);
    const struct paths paths = paths_of(kind, backend);
    struct net net = net_make(&shape, backend);
    bnnep_context *context = context_on(backend);
    bnnep_network *network;
    char *text = NULL;
    size_t length;
    FILE *notes = open_memstream(&text, &length);
    assert_non_null(notes);
    /* other values, that the checkpoint replaces */
    assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.batch_size = BATCH - 1), NULL));
    assert_ok(bnnep_checkpoint_load(net.optimizer, paths.checkpoint));
    assert_ok(bnnep_network_load(context, paths.network, NULL, &network));
    note_all(notes, &net, network, data);
    assert_int_equal(fclose(notes), 0);
    const bool same = same_notes(paths.notes, text);
    free(text);
    bnnep_network_free(network);
    bnnep_context_free(context);
    net_free(&net);
    return same;
}

/* --- tests ---------------------------------------------------------------------------------------------------------
 */

static void write_all(void **state) {
    (void)state;
    bnnep_dataset *data = make_data();
    for (size_t i = 0; i < KINDS; i++)
        for (size_t b = 0; b < sizeof backends / sizeof backends[0]; b++)
            write_one(&kinds[i], backends[b], data);
    bnnep_dataset_free(data);
}

static void read_all(void **state) {
    (void)state;
    bool same = true;
    bnnep_dataset *data = make_data();
    for (size_t i = 0; i < KINDS; i++)
        for (size_t b = 0; b < sizeof backends / sizeof backends[0]; b++)
            same = read_one(&kinds[i], backends[b], data) && same;
    bnnep_dataset_free(data);
    assert_true(same);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bnnep-exchange-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++)
        for (size_t b = 0; b < sizeof backends / sizeof backends[0]; b++) {
            const struct paths paths = paths_of(&kinds[i], backends[b]);
            unlink(paths.checkpoint);
            unlink(paths.network);
            unlink(paths.notes);
        }
    return rmdir(folder);
}

int main(int argc, char **argv) {
    const struct CMUnitTest both[] = {cmocka_unit_test(write_all), cmocka_unit_test(read_all)};
    const struct CMUnitTest writing[] = {cmocka_unit_test(write_all)}, reading[] = {cmocka_unit_test(read_all)};
    if (argc == 1)
        return cmocka_run_group_tests_name("exchange", both, make_folder, remove_folder);
    if (argc == 3 && strlen(argv[2]) < sizeof folder) {
        strcpy(folder, argv[2]);
        if (strcmp(argv[1], "write") == 0)
            return cmocka_run_group_tests_name("exchange: write", writing, NULL, NULL);
        if (strcmp(argv[1], "read") == 0)
            return cmocka_run_group_tests_name("exchange: read", reading, NULL, NULL);
    }
    fputs("test_exchange [write|read FOLDER]\n", stderr);
    return 2;
}
