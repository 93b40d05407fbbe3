/* SPDX-License-Identifier: MIT */
/* bnnep-bench: seconds a batch of a preset, phase by phase, and what the machine could do. */
#include "bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
    const char *preset, *data, *backend, *settle;
    int threads, batches, batch_size, after; /* threads 0: one a core; after 0: as it was made, alone */
    bool limits, json;
    char **more; /* options of bnnep-train */
    int more_count;
};

enum { MOST_WORDS = 256 };

static int help(void) {
    puts(
        "usage: bnnep-bench --preset NAME [OPTION...] [-- OPTION OF bnnep-train...]\n"
        "       bnnep-bench --limits [--threads N]\n\n"
        "Trains some batches of a network of the paper and prints the median time of one, phase by phase, on one line:\n"
        "drive (the input's constant pull), free, nudged, learn (contrast and update), in seconds; time steps done, mean\n"
        "of the samples. Samples are taken in the order of the data set.\n\n"
        "  --preset NAME     a command of the paper, see bnnep-train --list-presets\n"
        "  --data DIR        folder with the data set [BNNEP_DATA, else the MNIST sample]\n"
        "  --threads N       threads of the cpu backend [one a core]\n"
        "  --backend NAME    auto, ref, cpu, cpu:threads=N, cuda:N [auto]\n"
        "  --settle TOL      end a sample's phase when a step changes no state by more; <0: never [0, exact]\n"
        "  --batches N       batches that are measured, after one to warm up [5]\n"
        "  --batch-size N    images a batch [64]\n"
        "  --after N         measure a second network, trained on N batches before; prints a second line\n"
        "  --limits          what the machine can do, a second: bytes copied, float multiply-adds, bits ANDed and\n"
        "                    counted, bits through logic; with --preset, each phase's share of its limit\n"
        "  --json            a JSON object a line\n"
        "  --help            print this and exit\n\n"
        "What stands after -- overrides the preset: bnnep-bench --preset mnist-fc1 -- --layersList 784 512 10\n"
        "docs/performance.md tells how limits are counted.");
    return 0;
}

static int wrong(const char *option, const char *text) {
    fprintf(stderr, "%s: --%s: '%s' is not a whole number in its range\nTry '%s --help'.\n", program_name, option, text,
            program_name);
    return 2;
}

/* A whole number from `least` to `most`; -1, or the exit status. */
static int read_count(const char *option, const char *text, int least, int most, int *value) {
    char *end;
    errno = 0;
    const long number = strtol(text, &end, 10);
    if (end == text || *end || errno || number < least || number > most)
        return wrong(option, text);
    *value = (int)number;
    return -1;
}

/* One option; -1 to go on, or the exit status. */
static int take(struct bench *b, int c, const char *text) {
    switch (c) {
    case 'p':
        b->preset = text;
        return -1;
    case 'd':
        b->data = text;
        return -1;
    case 'k':
        b->backend = text;
        return -1;
    case 's':
        b->settle = text;
        return -1;
    case 't':
        return read_count("threads", text, 1, 64, &b->threads);
    case 'b':
        return read_count("batches", text, 1, 1000000, &b->batches);
    case 'z':
        return read_count("batch-size", text, 1, 65536, &b->batch_size);
    case 'a':
        return read_count("after", text, 1, 1000000000, &b->after);
    case 'l':
        b->limits = true;
        return -1;
    case 'j':
        b->json = true;
        return -1;
    case 'h':
        return help();
    default:
        fprintf(stderr, "Try '%s --help'.\n", program_name);
        return 2;
    }
}

static int read_command_line(struct bench *b, int argc, char **argv) {
    static const struct option longs[] = {
        {"preset", required_argument, NULL, 'p'},
        {"data", required_argument, NULL, 'd'},
        {"threads", required_argument, NULL, 't'},
        {"backend", required_argument, NULL, 'k'},
        {"settle", required_argument, NULL, 's'},
        {"batches", required_argument, NULL, 'b'},
        {"batch-size", required_argument, NULL, 'z'},
        {"after", required_argument, NULL, 'a'},
        {"limits", no_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *b = (struct bench){.settle = "0", .batches = 5, .batch_size = 64};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        const int status = take(b, c, optarg);
        if (status >= 0)
            return status;
    }
    b->more = argv + optind;
    b->more_count = argc - optind;
    if (b->more_count > 0 && strcmp(argv[optind - 1], "--") != 0)
        return fprintf(stderr, "%s: '%s' does not belong to any option\n", program_name, argv[optind]), 2;
    if (!b->preset && (!b->limits || b->more_count > 0))
        return fprintf(stderr, "%s: say which network: --preset NAME; or --limits\n", program_name), 2;
    return -1;
}

/* How many threads the backend will use: as told, or found as the cpu backend does. */
static int count_threads(const struct bench *b) {
    static const char key[] = "cpu:threads=";
    if (b->threads)
        return b->threads;
    if (b->backend && strncmp(b->backend, key, sizeof key - 1) == 0)
        return atoi(b->backend + sizeof key - 1) > 0 ? atoi(b->backend + sizeof key - 1) : 1;
    if (b->backend && strcmp(b->backend, "ref") == 0)
        return 1;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > 64 ? 64 : (int)online;
}

/* The options of bnnep-train that make the network. -1, or the exit status. */
static int read_options(struct options *options, const struct bench *b) {
    static char text[6][4200];                                  /* the options point into it */
    char size[16], threads[16], *words[MOST_WORDS] = {text[0]}; /* in the place of the program's name */
    int count = 1;
    snprintf(size, sizeof size, "%d", b->batch_size);
    snprintf(threads, sizeof threads, "%d", b->threads);
    const char *const pairs[][2] = {
        {"preset", b->preset}, {"data", b->data},   {"backend", b->backend},
        {"settle", b->settle}, {"batchSize", size}, {"threads", b->threads ? threads : NULL},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i][1]) {
            snprintf(text[i], sizeof text[i], "--%s=%s", pairs[i][0], pairs[i][1]);
            words[count++] = text[i];
        }
    for (int i = 0; i < b->more_count && count < MOST_WORDS - 1; i++)
        words[count++] = b->more[i];
    words[count] = NULL;
    return options_read(options, count, words);
}

/* Measures a new network that has trained on `after` batches, and prints its line. */
static int bench_network(const struct bench *b, const struct options *options, int after, const struct limits *limits) {
    struct setup setup;
    struct measured measured;
    int status = setup_open(&setup, options);
    if (status == 0)
        status = measure(&setup, options, after, b->batches, &measured);
    if (status == 0) {
        bnnep_network_info net = BNNEP_NETWORK_INFO_INIT;
        bnnep_network_get_info(setup.network, &net);
        json_t *line =
            json_pack("{s:s, s:s, s:i, s:f, s:i, s:i}", "preset", b->preset, "backend", net.backend, "threads",
                      count_threads(b), "settle", options->settle, "batch", options->batch_size, "after", after);
        report_measured(line, options, &measured);
        if (limits) {
            struct work work[PHASES];
            count_work(&setup, options, &measured, (size_t)options->batch_size, work);
            report_shares(line, options, &measured, work, limits);
            report_limits(line, limits);
        }
        status = report_print(line, b->json);
    }
    setup_close(&setup);
    return status;
}

static int bench_preset(const struct bench *b, const struct limits *limits) {
    struct options options;
    int status = read_options(&options, b);
    if (status >= 0)
        return status;
    status = bench_network(b, &options, 0, limits);
    if (status == 0 && b->after)
        status = bench_network(b, &options, b->after, limits);
    return status;
}

int main(int argc, char **argv) {
    struct bench bench;
    struct limits limits;
    program_name = "bnnep-bench";
    const int status = read_command_line(&bench, argc, argv);
    if (status >= 0)
        return status;
    if (bench.limits)
        limits = measure_limits(count_threads(&bench));
    if (bench.preset)
        return bench_preset(&bench, bench.limits ? &limits : NULL);
    json_t *line = json_pack("{s:i}", "threads", count_threads(&bench));
    report_limits(line, &limits);
    return report_print(line, bench.json);
}
