/* SPDX-License-Identifier: MIT */
/*
 * The library in one page: trains the paper's smallest network (784-4096-10) for five epochs on the sample of MNIST,
 * tests it, and shows some digits with what the network takes them for.
 *
 *     bnnep-quickstart [FOLDER]      a folder with MNIST's four files; default: the sample
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bnnep/bnnep.h>

#ifndef DEFAULT_FOLDER /* where it is installed, it looks beside itself */
#define DEFAULT_FOLDER "examples/data/mnist-sample"
#endif

enum { EPOCHS = 5, SIDE = 28, SHOWN = 6, A_ROW = 3 };

static void check(bnnep_status status) {
    if (status == BNNEP_OK)
        return;
    fprintf(stderr, "bnnep-quickstart: %s\n", bnnep_last_error());
    exit(1);
}

/* Called after each batch. Progress is for who looks on, not for logs and pipes. */
static int32_t on_progress(void *user, const bnnep_progress *p) {
    if (p->event == BNNEP_EVENT_BATCH && isatty(STDERR_FILENO))
        fprintf(stderr, "\repoch %d: %3d of %3d batches, error %5.2f %%\r", *(const int *)user, (int)p->batches_done,
                (int)p->batches_total, 100.0 * (double)p->so_far->errors / (double)p->so_far->samples);
    return 0;
}

static void train_epochs(bnnep_optimizer *optimizer, const bnnep_dataset *train) {
    int epoch;
    const bnnep_run_options run = {.size = sizeof run, .progress = on_progress, .user = &epoch};
    for (epoch = 1; epoch <= EPOCHS; epoch++) {
        bnnep_report report = BNNEP_REPORT_INIT;
        check(bnnep_optimizer_train_epoch(optimizer, train, &run, &report));
        fprintf(stderr, "epoch %d: training error %5.2f %% in %.1f seconds\n", epoch,
                100.0 * (double)report.errors / (double)report.samples, report.seconds);
    }
}

/* Prints A_ROW digits side by side, two rows of pixels to a line. */
static void show(const float *images, const int32_t *labels, const int32_t *classes) {
    for (int row = 4; row < SIDE - 4; row += 2) {
        for (int n = 0; n < A_ROW; n++) {
            for (int column = 4; column < SIDE - 4; column++) {
                const float *pixel = images + (n * SIDE + row) * SIDE + column;
                putchar(" .:-=+*#%@"[(int)(4.99f * (pixel[0] + pixel[SIDE]))]);
            }
            printf("     ");
        }
        putchar('\n');
    }
    for (int n = 0; n < A_ROW; n++) {
        char text[32];
        snprintf(text, sizeof text, "a %d, taken for a %d%s", labels[n], classes[n],
                 labels[n] == classes[n] ? "" : " !");
        printf("%-25s", text);
    }
    printf("\n\n");
}

/* The first digits of the test set, with what the network takes them for. */
static void show_some(bnnep_network *network, const bnnep_dataset *test) {
    static float images[SHOWN * SIDE * SIDE];
    int32_t labels[SHOWN], classes[SHOWN];
    check(bnnep_dataset_read(test, 0, SHOWN, images, labels));
    check(bnnep_network_predict(network, images, SHOWN, NULL, NULL, classes));
    for (int first = 0; first < SHOWN; first += A_ROW)
        show(images + first * SIDE * SIDE, labels + first, classes + first);
}

static const char help[] = "usage: bnnep-quickstart [FOLDER]\n\n"
                           "Trains a small network on digits, tests it and shows some.\n"
                           "FOLDER holds the four files of MNIST [BNNEP_DATA, else the MNIST sample].\n\n"
                           "  --help            print this and exit\n"
                           "  --version         print the version and exit\n\n"
                           "Exit status: 0; 1 failed; 2 wrong usage.";

/* What stands on the command line but a folder; the exit status, or -1 to go on. */
static int read_options(int argc, char **argv) {
    if (argc < 2 || (argc == 2 && argv[1][0] != '-'))
        return -1;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return puts(help) < 0;
    if (strcmp(argv[1], "--version") == 0)
        return printf("bnnep-quickstart %s\n", bnnep_version_string()) < 0;
    fprintf(stderr, "bnnep-quickstart: unknown option '%s'; see bnnep-quickstart --help\n", argv[argc - 1]);
    return 2;
}

int main(int argc, char **argv) {
    const int status = read_options(argc, argv);
    if (status >= 0)
        return status;
    const char *folder = argc > 1 ? argv[1] : DEFAULT_FOLDER;
    bnnep_dataset *train, *test;
    const bnnep_open_options test_part = {.size = sizeof test_part, .part = BNNEP_PART_TEST};
    check(bnnep_dataset_open(NULL, folder, NULL, &train));
    check(bnnep_dataset_open(NULL, folder, &test_part, &test));

    /* The network: 784 inputs, 4096 hidden units, 10 classes; the initial weights are drawn by the seed. */
    const bnnep_connection connections[] = {BNNEP_FC(4096), BNNEP_FC(10)};
    const bnnep_network_options options = {
        .size = sizeof options, .input_channels = SIDE * SIDE, .connections = connections, .connection_count = 2};
    bnnep_network *network;
    check(bnnep_network_create(NULL, &options, &network));

    /* How it learns: one value a connection, input first. */
    const double gamma[] = {1e-4, 1e-5}, threshold[] = {5e-7, 5e-7}, lr_bias[] = {0.05, 0.025};
    const bnnep_optimizer_options learning = {
        .size = sizeof learning, .gamma = gamma, .threshold = threshold, .lr_bias = lr_bias};
    bnnep_optimizer *optimizer;
    check(bnnep_optimizer_create(network, &learning, &optimizer));

    train_epochs(optimizer, train);
    bnnep_report result = BNNEP_REPORT_INIT;
    check(bnnep_network_evaluate(network, test, NULL, &result));
    printf("\ntest error after %d epochs: %.2f %% of %d digits\n\n", EPOCHS,
           100.0 * (double)result.errors / (double)result.samples, (int)result.samples);

    show_some(network, test);

    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    bnnep_dataset_free(train);
    bnnep_dataset_free(test);
    return 0;
}
