/* SPDX-License-Identifier: MIT */
/*
 * A data format outside the library: CIFAR-100's binary files, records of a coarse label, a fine label and 3 x 32 x 32
 * bytes. They stay on the disk; each batch is read from there as it is asked for.
 *     records FILE        trains a small network on a file and prints how it does
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bnnep/bnnep.h>

enum { LABELS = 2, VALUES = 3 * 32 * 32, RECORD = LABELS + VALUES, CLASSES = 100, FINE = 1 };

/* bnnep_read_fn: the inputs, or labels, of the records that a batch asks for. pread() keeps no position, so that
 * several threads may read at once. */
static int32_t read_records(void *user, const bnnep_batch *batch) {
    const int *file = user;
    unsigned char record[RECORD];
    for (size_t n = 0; n < batch->count; n++) {
        const off_t place = (off_t)(batch->indices[n] * RECORD);
        if (pread(*file, record, RECORD, place) != RECORD || record[FINE] >= CLASSES)
            return -1;
        if (batch->labels)
            batch->labels[n] = record[FINE];
        for (size_t v = 0; batch->inputs && v < VALUES; v++)
            batch->inputs[n * VALUES + v] = (float)record[LABELS + v] / 255.0f;
    }
    return 0;
}

/* *file stays open, and where it is, as long as the data set is in use. */
static bnnep_status open_records(const char *path, int *file, bnnep_dataset **out) {
    struct stat about;
    *file = open(path, O_RDONLY);
    if (*file < 0 || fstat(*file, &about) != 0 || about.st_size % RECORD != 0)
        return BNNEP_ERROR_FILE;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    o.channels = 3;
    o.height = o.width = 32;
    o.classes = CLASSES;
    return bnnep_dataset_from_callback(NULL, &o, read_records, file, (uint64_t)about.st_size / RECORD, out);
}

static bnnep_status train(const bnnep_dataset *data, bnnep_report *report) {
    const bnnep_connection connections[] = {BNNEP_FC(64), BNNEP_FC(CLASSES)};
    const double gamma[] = {1e-2, 1e-2}, threshold[] = {1e-5, 1e-5}, lr_bias[] = {0.025, 0.05};
    bnnep_network_options n = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_network *network;
    bnnep_optimizer *optimizer = NULL;
    n.input_channels = 3;
    n.input_height = n.input_width = 32;
    n.classes = CLASSES;
    n.connections = connections;
    n.connection_count = 2;
    n.max_batch = 16;
    o.gamma = gamma;
    o.threshold = threshold;
    o.lr_bias = lr_bias;
    bnnep_status status = bnnep_network_create(NULL, &n, &network);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_create(network, &o, &optimizer);
    for (int epoch = 0; status == BNNEP_OK && epoch < 10; epoch++)
        status = bnnep_optimizer_train_epoch(optimizer, data, NULL, NULL);
    if (status == BNNEP_OK)
        status = bnnep_network_evaluate(network, data, NULL, report);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return status;
}

int main(int argc, char **argv) {
    int file;
    bnnep_dataset *data = NULL;
    bnnep_report report = BNNEP_REPORT_INIT;
    if (argc != 2 || open_records(argv[1], &file, &data) != BNNEP_OK) {
        fprintf(stderr, "records FILE: whole records of %d bytes\n", RECORD);
        return 2;
    }
    const bnnep_status status = train(data, &report);
    if (status != BNNEP_OK)
        fprintf(stderr, "%s\n", bnnep_last_error());
    else
        printf("errors=%llu of %llu\n", (unsigned long long)report.errors, (unsigned long long)report.samples);
    bnnep_dataset_free(data);
    close(file);
    return status == BNNEP_OK ? 0 : 1;
}
