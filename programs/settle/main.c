/* SPDX-License-Identifier: MIT */
/*
 * bnnep-settle: how a network comes to rest.
 *
 *     bnnep-settle [--count N] [--steps T] [--backend NAME] [--threads N] NETWORK IMAGES
 *
 * Relaxes the first N images (default 256) of an IDX file freely, step by step, and prints after each the share of a
 * layer's neurons whose state changed in it, a layer each, the first hidden one first:
 *
 *     step=1 changed=0.983,0.412
 *
 * T is the network's number of free steps unless it is given. The images are normalised as bnnep-classify does it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bnnep/bnnep.h>

#include "common/normalisation.h"
#include "common/program.h"

enum { MOST_LAYERS = 64 };

struct settling {
    bnnep_context *context;
    bnnep_network *network;
    bnnep_network_info info;
    bnnep_workspace *workspace;
    size_t units[MOST_LAYERS];
    float *before[MOST_LAYERS], *state; /* [batch][units] */
    uint64_t *changed;                  /* [steps][layers] */
    int32_t steps;
    size_t batch;
};

static int open_settling(struct settling *s) {
    size_t most = 0;
    bnnep_network_get_info(s->network, &s->info);
    s->workspace = bnnep_network_workspace(s->network);
    s->batch = (size_t)s->info.max_batch;
    s->steps = s->steps ? s->steps : s->info.free_steps;
    if (s->info.connection_count > MOST_LAYERS)
        return complain("the network", "has more than 64 layers");
    bool complete = (s->changed = calloc((size_t)s->steps * s->info.connection_count, sizeof *s->changed)) != NULL;
    /* NOLINTBEGIN(clang-analyzer-optin.portability.UnixAPI): no layer and no batch is empty */
    for (size_t k = 0; k < s->info.connection_count; k++) {
        bnnep_connection_info c = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(s->network, k, &c);
        s->units[k] = (size_t)c.units;
        most = s->units[k] > most ? s->units[k] : most;
        complete = complete && (s->before[k] = calloc(s->batch, s->units[k] * sizeof(float)));
    }
    s->state = calloc(s->batch, most * sizeof *s->state);
    /* NOLINTEND(clang-analyzer-optin.portability.UnixAPI) */
    return complete && s->state ? 0 : complain("the network's states", "out of memory");
}

static void close_settling(struct settling *s) {
    for (size_t k = 0; k < MOST_LAYERS; k++)
        free(s->before[k]);
    free(s->state);
    free(s->changed);
    bnnep_network_free(s->network);
    bnnep_context_free(s->context);
}

/* Counts the neurons of layer k+1 that changed since the last call. */
static bool count_changes(struct settling *s, size_t k, size_t images, uint64_t *changed) {
    const size_t values = images * s->units[k];
    if (bnnep_workspace_get_state(s->workspace, BNNEP_PHASE_FREE, k + 1, s->state, values) != BNNEP_OK)
        return false;
    for (size_t v = 0; v < values; v++)
        *changed += s->state[v] != s->before[k][v];
    memcpy(s->before[k], s->state, values * sizeof(float));
    return true;
}

static int settle(struct settling *s, const float *inputs, size_t images) {
    const size_t L = s->info.connection_count;
    bnnep_relaxation step = BNNEP_RELAXATION_INIT;
    uint64_t start = 0;
    step.steps = 1;
    bool fine = bnnep_workspace_stage(s->workspace, inputs, NULL, images) == BNNEP_OK;
    for (size_t k = 0; fine && k < L; k++)
        fine = count_changes(s, k, images, &start);
    for (size_t t = 0; fine && t < (size_t)s->steps; t++) {
        fine = bnnep_workspace_relax(s->workspace, &step, NULL) == BNNEP_OK;
        for (size_t k = 0; fine && k < L; k++)
            fine = count_changes(s, k, images, &s->changed[t * L + k]);
    }
    return fine ? 0 : complain_library();
}

static void print(const struct settling *s, uint64_t images) {
    const size_t L = s->info.connection_count;
    for (size_t t = 0; t < (size_t)s->steps; t++) {
        printf("step=%zu changed=", t + 1);
        for (size_t k = 0; k < L; k++)
            printf("%s%.6g", k ? "," : "", (double)s->changed[t * L + k] / ((double)images * (double)s->units[k]));
        putchar('\n');
    }
}

/* All images, or the first `count`, in batches. */
static int settle_file(struct settling *s, const char *path, const struct normalisation *n, uint64_t count) {
    bnnep_dataset *data;
    bnnep_dataset_info about = BNNEP_DATASET_INFO_INIT;
    bnnep_open_options open = BNNEP_OPEN_OPTIONS_INIT;
    open.format = BNNEP_FORMAT_IDX;
    if (bnnep_dataset_open(s->context, path, &open, &data) != BNNEP_OK)
        return complain_library();
    bnnep_dataset_get_info(data, &about);
    const size_t values = (size_t)s->info.inputs;
    const uint64_t images = about.count < count ? about.count : count;
    float *inputs = malloc(s->batch * values * sizeof *inputs);
    int status = inputs ? 0 : complain(path, "out of memory");
    if ((uint64_t)about.channels * (uint64_t)about.height * (uint64_t)about.width != values)
        status = complain(path, "its images have another number of values than the network's inputs");
    for (uint64_t first = 0; status == 0 && first < images; first += s->batch) {
        const size_t now = images - first < s->batch ? (size_t)(images - first) : s->batch;
        if (bnnep_dataset_read(data, first, now, inputs, NULL) != BNNEP_OK)
            status = complain_library();
        else {
            normalisation_apply(n, inputs, now, values / (size_t)s->info.input_channels);
            status = settle(s, inputs, now);
        }
    }
    if (status == 0)
        print(s, images);
    if (fflush(stdout) != 0 && status == 0)
        status = complain("standard output", "cannot be written");
    free(inputs);
    bnnep_dataset_free(data);
    return status;
}

static const struct program_option options[] = {
    {"count", "N", "the first N images [256]", 'n'},
    {"steps", "T", "time steps [those of the network's free phase]", 't'},
    {"backend", "NAME", "auto, ref, cpu, cuda:N [auto]", 'b'},
    {"threads", "N", "threads to compute with [one a processor]", 'p'},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "bnnep-settle",
    .usage = "[OPTION...] NETWORK IMAGES",
    .about = "Relaxes images of an IDX file freely and prints after each step the share of each layer's neurons whose\n"
             "state changed in it, the first hidden layer first: step=1 changed=0.983,0.412",
    .options = options,
    .reads_files = true,
};

enum { MOST_COUNT = 1000000 };

int main(int argc, char **argv) {
    struct settling s = {.info = BNNEP_NETWORK_INFO_INIT};
    struct normalisation normalisation = {.mean = NULL};
    const char *backend = NULL;
    int count = 256, threads = 0;
    for (int key; (key = program_next(&program, argc, argv)) != -1;) {
        if (key == 'n')
            count = program_count("count", optarg, MOST_COUNT);
        else if (key == 't')
            s.steps = program_count("steps", optarg, MOST_COUNT);
        else if (key == 'p')
            threads = program_count("threads", optarg, MOST_THREADS);
        else
            backend = optarg;
    }
    if (argc - optind != 2)
        program_usage(&program);
    const char *path = argv[optind];
    int status = program_context(backend, threads, &s.context) == BNNEP_OK &&
                         bnnep_network_load(s.context, path, NULL, &s.network) == BNNEP_OK
                     ? open_settling(&s)
                     : complain_library();
    const char *wrong = status ? NULL : normalisation_read(path, s.info.input_channels, &normalisation);
    if (wrong)
        status = complain(path, wrong);
    if (status == 0)
        status = settle_file(&s, argv[optind + 1], &normalisation, (uint64_t)count);
    normalisation_free(&normalisation);
    close_settling(&s);
    return status;
}
