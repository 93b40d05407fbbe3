/* SPDX-License-Identifier: MIT */
/*
 * bnnep-classify: what a trained network takes images for.
 *
 *     bnnep-classify [--single] [--exact] [--backend NAME] [--threads N] NETWORK FILE...
 *
 * NETWORK is a file of bnnep-train (network.safetensors, or a checkpoint). Each FILE holds images in IDX (plain or
 * gzip), or one image in PGM or PPM (P5 or P6, 8 bits). They are normalised as the note of NETWORK says that those it
 * was trained on were. One line an image, counted over all files: image=7 class=3 scores=0.01,0.00,...
 * With --exact, scores have nine digits, which tell a float from every other.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bnnep/bnnep.h>

#include "common/normalisation.h"
#include "common/picture.h"
#include "common/program.h"

struct classifier {
    bnnep_context *context;
    bnnep_network *network;
    bnnep_network_info info;
    bnnep_run_options run;
    bool exact; /* scores with all their digits */
    struct normalisation normalisation;
    uint64_t images;
    float *scores;
};

/* Classifies images [count][channels][height][width] and prints a line for each. */
static int classify(struct classifier *c, float *inputs, size_t count) {
    const size_t values = (size_t)c->info.inputs;
    normalisation_apply(&c->normalisation, inputs, count, values / (size_t)c->info.input_channels);
    for (size_t n = 0; n < count; n++) {
        int32_t class;
        if (bnnep_network_predict(c->network, inputs + n * values, 1, &c->run, c->scores, &class) != BNNEP_OK)
            return complain_library();
        printf("image=%llu class=%d scores=", (unsigned long long)c->images++, class);
        for (int32_t i = 0; i < c->info.classes; i++)
            printf(c->exact ? "%s%.9g" : "%s%.4f", i ? "," : "", (double)c->scores[i]);
        putchar('\n');
    }
    return 0;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

/* Does a picture of this shape fit? A network of vectors takes any with as many values. */
static bool fits(const bnnep_network_info *info, const struct picture *p) {
    if (info->input_height == 1 && info->input_width == 1)
        return (uint64_t)p->channels * (uint64_t)p->width * (uint64_t)p->height == info->inputs;
    return p->channels == info->input_channels && p->width == info->input_width && p->height == info->input_height;
}

/* An open file behind the header of a PGM or PPM. */
static int classify_picture(struct classifier *c, const char *path, FILE *file, const struct picture *picture) {
    char what[160];
    if (!fits(&c->info, picture)) {
        snprintf(what, sizeof what, "is %d x %d x %d (channels, height, width), the network takes %d x %d x %d",
                 picture->channels, picture->height, picture->width, c->info.input_channels, c->info.input_height,
                 c->info.input_width);
        return complain(path, what);
    }
    float *inputs = malloc((size_t)c->info.inputs * sizeof *inputs);
    const char *wrong = inputs ? picture_values(file, picture, inputs) : "out of memory";
    const int status = wrong ? complain(path, wrong) : classify(c, inputs, 1);
    free(inputs);
    return status;
}

static int classify_idx(struct classifier *c, const char *path) {
    bnnep_dataset *data;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    bnnep_open_options open = BNNEP_OPEN_OPTIONS_INIT;
    open.format = BNNEP_FORMAT_IDX;
    if (bnnep_dataset_open(c->context, path, &open, &data) != BNNEP_OK)
        return complain_library();
    bnnep_dataset_get_info(data, &info);
    const size_t values = (size_t)c->info.inputs;
    float *inputs = malloc(values * sizeof *inputs);
    int status = 0;
    if ((uint64_t)info.channels * (uint64_t)info.height * (uint64_t)info.width != c->info.inputs)
        status = complain(path, "its images have another number of values than the network's inputs");
    else if (!inputs)
        status = complain(path, "out of memory");
    for (uint64_t n = 0; status == 0 && n < info.count; n++)
        status = bnnep_dataset_read(data, n, 1, inputs, NULL) == BNNEP_OK ? classify(c, inputs, 1) : complain_library();
    free(inputs);
    bnnep_dataset_free(data);
    return status;
}

static int classify_file(struct classifier *c, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return complain_errno(path);
    struct picture picture;
    const int is_picture = picture_header(file, &picture);
    int status = -1;
    if (is_picture < 0)
        status = complain(path, "its PGM or PPM header cannot be read (8 bits a value are expected)");
    else if (is_picture)
        status = classify_picture(c, path, file, &picture);
    fclose(file);
    return status >= 0 ? status : classify_idx(c, path);
}

static const struct program_option options[] = {
    {"single", NULL, "read the first output unit of a class [the mean of its units]", 's'},
    {"exact", NULL, "print scores with all their digits", 'e'},
    {"backend", "NAME", "auto, ref, cpu, cuda:N [auto]", 'b'},
    {"threads", "N", "threads to compute with [one a processor]", 't'},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "bnnep-classify",
    .usage = "[OPTION...] NETWORK FILE...",
    .about = "Prints what a network takes images for, a line an image: image=7 class=3 scores=0.01,0.00,...\n"
             "NETWORK is a file of bnnep-train; each FILE holds images in IDX, or one in PGM or PPM.",
    .options = options,
    .reads_files = true,
};

static int open_network(struct classifier *c, const char *path) {
    if (bnnep_network_load(c->context, path, NULL, &c->network) != BNNEP_OK)
        return complain_library();
    bnnep_network_get_info(c->network, &c->info);
    c->scores = malloc((size_t)c->info.classes * sizeof *c->scores);
    const char *wrong =
        c->scores ? normalisation_read(path, c->info.input_channels, &c->normalisation) : "out of memory";
    return wrong ? complain(path, wrong) : 0;
}

int main(int argc, char **argv) {
    struct classifier c = {.info = BNNEP_NETWORK_INFO_INIT, .run = BNNEP_RUN_OPTIONS_INIT};
    const char *backend = NULL;
    int threads = 0;
    for (int key; (key = program_next(&program, argc, argv)) != -1;) {
        if (key == 's')
            c.run.readout = BNNEP_READOUT_SINGLE;
        else if (key == 'e')
            c.exact = true;
        else if (key == 't')
            threads = program_count("threads", optarg, MOST_THREADS);
        else
            backend = optarg;
    }
    if (argc - optind < 2)
        program_usage(&program);
    int status = program_context(backend, threads, &c.context) == BNNEP_OK ? 0 : complain_library();
    if (status == 0)
        status = open_network(&c, argv[optind]);
    for (int i = optind + 1; status == 0 && i < argc; i++)
        status = classify_file(&c, argv[i]);
    if (fflush(stdout) != 0 && status == 0)
        status = complain("standard output", "cannot be written");
    free(c.scores);
    normalisation_free(&c.normalisation);
    bnnep_network_free(c.network);
    bnnep_context_free(c.context);
    return status;
}
