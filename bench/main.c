/* SPDX-License-Identifier: MIT */
/* bnnep-bench: seconds a batch of a preset, phase by phase, and what the machine could do. */
#define _GNU_SOURCE /* sched_getaffinity() */
#include "bench/bench.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/program.h"

struct bench {
    const char *preset, *data, *backend, *settle;
    int threads, batches, batch_size, after; /* threads 0: one a processor; after 0: as it was made, alone */
    bool limits, json;
    char **more; /* options of bnnep-train */
    int more_count;
};

enum { MOST_WORDS = 256 };

static const struct program_option options_of_bench[] = {
    {"preset", "NAME", "a command of the paper, see bnnep-train --list-presets", 'p'},
    {"data", "DIR", "folder with the data set [BNNEP_DATA, else the MNIST sample]", 'd'},
    {"threads", "N", "threads to compute with [one a processor]", 't'},
    {"backend", "NAME", "auto, ref, cpu, cuda:N [auto]", 'k'},
    {"settle", "TOL", "end a sample's phase when a step changes no state by more; <0: never [0, exact]", 's'},
    {"batches", "N", "batches that are measured, after one to warm up [5]", 'b'},
    {"batch-size", "N", "images a batch [64]", 'z'},
    {"after", "N", "measure a second network, trained on N batches before; prints a second line", 'a'},
    {"limits", NULL, "what the machine can do, a second; with --preset, each phase's share of its limit", 'l'},
    {"json", NULL, "a JSON object a line", 'j'},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "bnnep-bench",
    .usage = "--preset NAME [OPTION...] [-- OPTION OF bnnep-train...]\n"
             "       bnnep-bench --limits [--threads N]",
    .about =
        "Trains some batches of a network of the paper and prints the median time of one, phase by phase, on one line:\n"
        "drive (the input's constant pull), free, nudged, learn (contrast and update), in seconds; time steps done, mean\n"
        "of the samples. Samples are taken in the order of the data set.",
    .end =
        "Limits are bytes copied, float multiply-adds, bits ANDed and counted, bits through logic: docs/performance.md\n"
        "tells how they are counted. What stands after -- overrides the preset:\n"
        "bnnep-bench --preset mnist-fc1 -- --layersList 784 512 10",
    .options = options_of_bench,
};

/* One option that was found. */
static void take(struct bench *b, int key) {
    switch (key) {
    case 'p':
        b->preset = optarg;
        break;
    case 'd':
        b->data = optarg;
        break;
    case 'k':
        b->backend = optarg;
        break;
    case 's':
        b->settle = optarg;
        break;
    case 't':
        b->threads = program_count("threads", optarg, MOST_THREADS);
        break;
    case 'b':
        b->batches = program_count("batches", optarg, 1000000);
        break;
    case 'z':
        b->batch_size = program_count("batch-size", optarg, 65536);
        break;
    case 'a':
        b->after = program_count("after", optarg, 1000000000);
        break;
    case 'l':
        b->limits = true;
        break;
    default:
        b->json = true;
    }
}

/* -1, or the exit status. */
static int read_command_line(struct bench *b, int argc, char **argv) {
    *b = (struct bench){.settle = "0", .batches = 5, .batch_size = 64};
    for (int key; (key = program_next(&program, argc, argv)) != -1;)
        take(b, key);
    b->more = argv + optind;
    b->more_count = argc - optind;
    if (b->more_count > 0 && strcmp(argv[optind - 1], "--") != 0)
        return fprintf(stderr, "%s: '%s' does not belong to any option\n", program_name, argv[optind]), 2;
    if (!b->preset && (!b->limits || b->more_count > 0))
        return fprintf(stderr, "%s: say which network: --preset NAME; or --limits\n", program_name), 2;
    return -1;
}

/* How many threads the backend is told to use: as many as there are processors that it may run on, if nobody says. */
static int count_threads(const struct bench *b) {
    if (b->backend && strcmp(b->backend, "ref") == 0)
        return 1;
    if (b->threads)
        return b->threads;
    cpu_set_t here;
    const int allowed = sched_getaffinity(0, sizeof here, &here) == 0 ? CPU_COUNT(&here) : 1;
    return allowed > MOST_THREADS ? MOST_THREADS : allowed;
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
    struct options fixed = *options; /* the sign of beta is set here, not drawn */
    fixed.random_beta = 0;
    int status = setup_open(&setup, &fixed);
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
