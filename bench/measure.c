/* SPDX-License-Identifier: MIT */
/* Training batches, and the time of each of their phases, as the library reports it. */
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
    size_t samples;
    float *x;
    int32_t *label;
};

static bnnep_status read_next(struct source *s) {
    const uint64_t first = s->next++ % s->batches * s->samples;
    return bnnep_dataset_read(s->dataset, first, s->samples, s->x, s->label);
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
        .x = malloc(samples * (size_t)net.inputs * sizeof(float)),
        .label = malloc(samples * sizeof(int32_t)),
    };
    if (s->batches == 0)
        fprintf(stderr, "%s: a batch of %zu, but the data set has %llu images\n", program_name, samples,
                (unsigned long long)data.count);
    else if (!s->x || !s->label)
        fprintf(stderr, "%s: out of memory\n", program_name);
    else
        return 0;
    return 1;
}

static void close_source(struct source *s) {
    free(s->x);
    free(s->label);
}

/* Trains on the next batch. Where the preset draws the sign of beta, both come in turn. */
static bnnep_status train_next(struct source *s, const struct setup *setup, const struct options *options,
                               bnnep_report *report) {
    bnnep_status status = read_next(s);
    const double beta = (double)(options->random_beta && s->next % 2 == 0 ? -options->beta : options->beta);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_set_rates(setup->optimizer, BNNEP_RATE_BETA, &beta, 1);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_train_batch(setup->optimizer, s->x, s->label, s->samples, NULL, report);
    return status;
}

/* The steps that go back, which the library counts among the free ones. */
static double steps_back(const struct options *o) {
    return strcmp(o->optim, "bptt") != 0 ? 0.0 : o->Kmax + (strcmp(o->archi, "conv") == 0 ? 0.0 : 1.0);
}

static bnnep_status measure_batch(struct source *s, const struct setup *setup, const struct options *options,
                                  struct measured *out) {
    bnnep_report report = BNNEP_REPORT_INIT;
    const bnnep_status status = train_next(s, setup, options, &report);
    const double back = steps_back(options);
    *out = (struct measured){
        .phase = {[DRIVE] = report.seconds_stage,
                  [FREE] = report.seconds_free,
                  [THIRD] = report.seconds_nudged,
                  [LEARN] = report.seconds_learn},
        .steps = {[FREE] = report.steps_free - back, [THIRD] = report.steps_nudged + back},
    };
    for (int phase = 0; phase < PHASES; phase++)
        out->seconds += out->phase[phase];
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
        bnnep_status status = BNNEP_OK;
        for (int i = 0; status == BNNEP_OK && i < after; i++)
            status = train_next(&source, setup, options, NULL);
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
