/* SPDX-License-Identifier: MIT */
/* make_corpus FOLDER: writes files to begin with to FOLDER/idx and so on, a folder for each target. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static char root[1024];

static const char *place(const char *name) {
    static char path[1200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(place(name), "wb");
    PROMISE(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void make_data(void) {
    static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3,  0, 0,
                                     0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 255};
    static const uint8_t vectors[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    static const uint8_t coloured[] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 3, 9};
    static uint8_t records[2 * 3073];
    put("idx/images", images, sizeof images);
    put("idx/vectors", vectors, sizeof vectors);
    put("idx/coloured", coloured, sizeof coloured);
    put("idx/labels", labels, sizeof labels);
    size_t length;
    uint8_t *compressed = fuzz_compressed(images, sizeof images, &length);
    put("idx/compressed", compressed, length);
    free(compressed);
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = (uint8_t)(i % 3073 ? i % 251 : 7);
    put("cifar10/one", records, sizeof records / 2);
    put("cifar10/two", records, sizeof records);
}

static void make_pictures(void) {
    static const char grey[] = "P5\n# a comment\n3 2\n255\n\1\2\3\4\5\6", colour[] = "P6 2 1 255\nabcdef";
    put("picture/grey", grey, sizeof grey - 1);
    put("picture/colour", colour, sizeof colour - 1);
}

/* Programs of calls, and structures: each kind, and bytes of all values. */
static void make_choices(void) {
    char name[32];
    uint8_t bytes[256];
    for (unsigned first = 0; first < 17; first++) {
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(i * (2 * first + 1) >> (first % 5));
        snprintf(name, sizeof name, "calls/%u", first);
        put(name, bytes, sizeof bytes);
        bytes[0] = (uint8_t)first;
        snprintf(name, sizeof name, "options/%u", first);
        put(name, bytes, 64);
    }
}

static void make_commands(void) {
    static const char line[] = "--dataset mnist --archi fc --layersList 784 100 10 --lrBias 0.1 0.2 --gamma 1e-4 1e-4 "
                               "--gradThreshold 1e-7 1e-7 --data a%20folder --settle 1e-5 --grid 12 --threads 2",
                      maps[] = "--dataset cifar10 --archi conv --layersList 10 --convList 8 3 --classi_gamma 5e-8 "
                               "--conv_gamma 5e-8 --classi_threshold 1e-8 --conv_threshold 1e-8 --lrBias 0.1 0.2 "
                               "--learnAlpha 1 --lrAlpha 1e-3 1e-3 --decayLrAlpha 2 --binary_settings bin_W_N --seed 3",
                      preset[] = "--preset mnist-conv-alpha --epochs 3 --no-shuffle --checkpoint-minutes 0.5";
    /* two epochs; two notes with their data made right; two whole checkpoints; results of three epochs */
    static const char run[] = "\2"
                              "\1--preset mnist-fc1\0"
                              "\1--preset mnist-fc2\0"
                              "\2\2\1Ave_Train_Error\n1,2\n3,4\n5,6\n";
    put("command/line", line, sizeof line - 1);
    put("command/maps", maps, sizeof maps - 1);
    put("command/preset", preset, sizeof preset - 1);
    put("folder/run", run, sizeof run - 1);
}

static void make_networks(void) {
    static const bnnep_connection convolutional[] = {BNNEP_CONV(2, 3, 1, 2), BNNEP_CONV(3, 2, 0, 1), BNNEP_FC(6)};
    static const bnnep_connection connected[] = {BNNEP_FC(5), BNNEP_FC(2)};
    static const char normalised[] = "best=1.5 data=0 mean=0.5 deviation=0.25\n--preset mnist-fc1";
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.input_channels = 1;
    o.input_height = o.input_width = 4;
    o.classes = 3;
    o.expand_output = 2;
    o.connections = convolutional;
    o.connection_count = 3;
    PROMISE(bnnep_network_create(NULL, &o, &network) == BNNEP_OK);
    PROMISE(bnnep_network_save(network, place("network/convolutional"), "a note") == BNNEP_OK);
    PROMISE(bnnep_network_save(network, place("info/convolutional"), normalised) == BNNEP_OK);
    bnnep_network_free(network);
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    o.classes = 2;
    o.expand_output = 1;
    o.connections = connected;
    o.connection_count = 2;
    PROMISE(bnnep_network_create(NULL, &o, &network) == BNNEP_OK);
    PROMISE(bnnep_network_save(network, place("network/connected"), NULL) == BNNEP_OK);
    PROMISE(bnnep_network_save(network, place("info/connected"), "best=1.5 data=0\n--out a%20folder") == BNNEP_OK);
    bnnep_network_free(network);
}

static int32_t stop(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH;
}

/* In the midst of an epoch, and before any. */
static void make_checkpoints(void) {
    static const float inputs[10 * FUZZ_INPUTS] = {1.0f, 0.5f};
    static const int32_t labels[10] = {1};
    bnnep_network *network;
    bnnep_optimizer *optimizer = fuzz_optimizer(&network);
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    bnnep_dataset *data;
    run.progress = stop;
    o.channels = FUZZ_INPUTS;
    PROMISE(bnnep_checkpoint_save(optimizer, place("checkpoint/first"), "a note") == BNNEP_OK);
    PROMISE(bnnep_dataset_from_memory(NULL, &o, inputs, labels, 10, &data) == BNNEP_OK);
    PROMISE(bnnep_optimizer_train_epoch(optimizer, data, &run, NULL) == BNNEP_CANCELLED);
    PROMISE(bnnep_checkpoint_save(optimizer, place("checkpoint/amid"), NULL) == BNNEP_OK);
    PROMISE(bnnep_checkpoint_save(optimizer, place("info/amid"), NULL) == BNNEP_OK);
    bnnep_dataset_free(data);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
}

int main(int argc, char **argv) {
    static const char *const folders[] = {"",      "idx",     "cifar10", "network", "checkpoint", "picture",
                                          "calls", "options", "command", "folder",  "info"};
    PROMISE(argc == 2);
    snprintf(root, sizeof root, "%s", argv[1]);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        PROMISE(mkdir(place(folders[i]), 0777) == 0 || errno == EEXIST);
    make_data();
    make_pictures();
    make_choices();
    make_commands();
    make_networks();
    make_checkpoints();
    return 0;
}
