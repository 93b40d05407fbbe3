/* SPDX-License-Identifier: MIT */
/* A training batch through the public functions, phase by phase, each with its time. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/program.h"

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Batches in the order of the data set, over and over. */
struct source {
    const bnnep_dataset *dataset;
    uint64_t batches, next; /* whole batches in the data set; which comes next */
    size_t samples, inputs, outputs, expand;
    float *x, *target;
    int32_t *label;
};

static bnnep_status read_next(struct source *s) {
    const uint64_t first = s->next++ % s->batches * s->samples;
    const bnnep_status status = bnnep_dataset_read(s->dataset, first, s->samples, s->x, s->label);
    memset(s->target, 0, s->samples * s->outputs * sizeof *s->target);
    for (size_t n = 0; status == BNNEP_OK && n < s->samples; n++)
        for (size_t e = 0; e < s->expand; e++)
            s->target[n * s->outputs + (size_t)s->label[n] * s->expand + e] = 1.0f;
    return status;
}

static int open_source(struct source *s, const struct setup *setup, const struct options *options) {
    bnnep_dataset_info data = BNNEP_DATASET_INFO_INIT;
    bnnep_network_info net = BNNEP_NETWORK_INFO_INIT;
    bnnep_dataset_get_info(setup->train, &data);
    bnnep_network_get_info(setup->network, &net);
    const size_t samples = (size_t)options->batch_size;
    *s = (struct source){
        .dataset = setup->train,
        .batches = data.count / samples,
        .samples = samples,
        .outputs = (size_t)net.outputs,
        .expand = (size_t)net.expand_output,
        .x = malloc(samples * (size_t)net.inputs * sizeof(float)),
        .target = malloc(samples * (size_t)net.outputs * sizeof(float)),
        .label = malloc(samples * sizeof(int32_t)),
    };
    if (s->batches == 0)
        fprintf(stderr, "%s: a batch of %zu, but the data set has %llu images\n", program_name, samples,
                (unsigned long long)data.count);
    else if (!s->x || !s->target || !s->label)
        fprintf(stderr, "%s: out of memory\n", program_name);
    else
        return 0;
    return 1;
}

static void close_source(struct source *s) {
    free(s->x);
    free(s->target);
    free(s->label);
}

/* Trains as bnnep_optimizer_train_epoch() would, which needs no times. */
static bnnep_status train(struct source *s, const struct setup *setup, int batches) {
    bnnep_status status = BNNEP_OK;
    for (int i = 0; status == BNNEP_OK && i < batches; i++) {
        status = read_next(s);
        if (status == BNNEP_OK)
            status = bnnep_optimizer_train_batch(setup->optimizer, s->x, s->label, s->samples, NULL, NULL);
    }
    return status;
}

/* Relaxes, and tells the mean number of steps; none if `how` says so, though the library takes 0 for all of T. */
static bnnep_status relax(bnnep_workspace *ws, const bnnep_relaxation *how, size_t samples, double *steps) {
    bnnep_relaxed done = BNNEP_RELAXED_INIT;
    const bnnep_status status = how->steps > 0 ? bnnep_workspace_relax(ws, how, &done) : BNNEP_OK;
    *steps = (double)done.sample_steps / (double)samples;
    return status;
}

static bnnep_status learn(bnnep_optimizer *optimizer, bnnep_workspace *ws, bool back) {
    const bnnep_status status = back ? BNNEP_OK : bnnep_optimizer_contrast(optimizer, ws, NULL);
    return status == BNNEP_OK ? bnnep_optimizer_update(optimizer, NULL) : status;
}

/* Goes on through one phase. `even` gives beta its sign where the preset draws it, so that both come in turn. */
static bnnep_status run_phase(int phase, const struct source *s, const struct setup *setup, const struct options *o,
                              bool even, double *steps) {
    bnnep_workspace *ws = bnnep_network_workspace(setup->network);
    const bool back = strcmp(o->optim, "bptt") == 0;
    const int tape = back ? o->Kmax + (strcmp(o->archi, "conv") == 0 ? 0 : 1) : 0;
    bnnep_relaxation how = BNNEP_RELAXATION_INIT;
    switch (phase) {
    case DRIVE:
        return bnnep_workspace_stage(ws, s->x, s->target, s->samples);
    case FREE:
        how.steps = o->T - tape;
        return relax(ws, &how, s->samples, steps);
    case THIRD:
        if (back) {
            *steps = tape;
            return bnnep_optimizer_backpropagate(setup->optimizer, ws, tape);
        }
        how.beta = o->random_beta && even ? -o->beta : o->beta;
        how.to = BNNEP_PHASE_NUDGED;
        how.steps = o->Kmax;
        return relax(ws, &how, s->samples, steps);
    default:
        return learn(setup->optimizer, ws, back);
    }
}

static bnnep_status measure_batch(struct source *s, const struct setup *setup, const struct options *options,
                                  struct measured *out) {
    *out = (struct measured){.seconds = 0.0};
    bnnep_status status = read_next(s);
    for (int phase = 0; status == BNNEP_OK && phase < PHASES; phase++) {
        const double started = now();
        status = run_phase(phase, s, setup, options, s->next % 2 == 0, &out->steps[phase]);
        out->phase[phase] = now() - started;
        out->seconds += out->phase[phase];
    }
    return status;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of one field, `at` bytes into each. */
static double median(const struct measured *all, int count, size_t at, double *sorted) {
    for (int i = 0; i < count; i++)
        memcpy(&sorted[i], (const char *)&all[i] + at, sizeof(double));
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return (sorted[count / 2] + sorted[(count - 1) / 2]) / 2.0;
}

static void take_medians(const struct measured *all, int count, double *sorted, struct measured *out) {
    out->seconds = median(all, count, offsetof(struct measured, seconds), sorted);
    for (size_t p = 0; p < PHASES; p++) {
        out->phase[p] = median(all, count, offsetof(struct measured, phase) + p * sizeof(double), sorted);
        out->steps[p] = median(all, count, offsetof(struct measured, steps) + p * sizeof(double), sorted);
    }
}

int measure(struct setup *setup, const struct options *options, int after, int batches, struct measured *out) {
    struct source source;
    struct measured *all = malloc((size_t)batches * sizeof *all), warm;
    double *sorted = malloc((size_t)batches * sizeof *sorted);
    int failed = open_source(&source, setup, options);
    if (!failed && all && sorted) {
        bnnep_status status = train(&source, setup, after);
        if (status == BNNEP_OK)
            status = measure_batch(&source, setup, options, &warm);
        for (int i = 0; status == BNNEP_OK && i < batches; i++)
            status = measure_batch(&source, setup, options, &all[i]);
        if (status == BNNEP_OK)
            take_medians(all, batches, sorted, out);
        else
            failed = setup_failed(status);
    } else
        failed = 1;
    close_source(&source);
    free(all);
    free(sorted);
    return failed;
}
