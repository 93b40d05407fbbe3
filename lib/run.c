/* SPDX-License-Identifier: MIT */
/* How training, evaluation and prediction run: where, in what batches, who watches and may stop them, their report. */
#include <time.h>

#include "lib/internal.h"

double bnnep_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void bnnep_interrupt(int32_t *flag) {
    if (flag)
        __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}

static bool is_interrupted(const struct bnnep_run *run) {
    return run->options.interrupt && __atomic_load_n(run->options.interrupt, __ATOMIC_RELAXED) != 0;
}

/* --- opening and ending --------------------------------------------------------------------------------------- */

static bnnep_status check_options(struct bnnep_run *run, const bnnep_network *net) {
    const bnnep_run_options *o = &run->options;
    run->ws = o->workspace ? o->workspace : net->workspace;
    if (run->ws->network != net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the workspace was made for another network");
    if (o->batch_size > run->ws->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "batch_size is %zu; the workspace takes 1 to %zu (max_batch)",
                          o->batch_size, run->ws->max_batch);
    run->batch_size = o->batch_size ? o->batch_size : run->ws->max_batch;
    if (o->readout != BNNEP_READOUT_AVERAGE && o->readout != BNNEP_READOUT_SINGLE)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "readout is %d; known are 0 (average) and 1 (single)", o->readout);
    return BNNEP_OK;
}

static bnnep_status claim(struct bnnep_run *run, const bnnep_network *net, bnnep_optimizer *opt) {
    bnnep_status status = bnnep_call_changes(&run->call, &run->ws->claim, "workspace");
    if (status == BNNEP_OK)
        status = opt ? bnnep_call_changes(&run->call, &opt->network->claim, "network")
                     : bnnep_call_reads(&run->call, &net->claim, "network");
    if (status == BNNEP_OK && opt)
        status = bnnep_call_changes(&run->call, &opt->claim, "optimizer");
    return status;
}

bnnep_status bnnep_run_open(struct bnnep_run *run, const char *call, const bnnep_network *net, bnnep_optimizer *opt,
                            const bnnep_run_options *theirs, const bnnep_report *report) {
    *run = (struct bnnep_run){.started = bnnep_now(), .call.name = call};
    run->event.size = sizeof run->event;
    bnnep_report given;
    bnnep_status status = bnnep_take_options(&run->options, sizeof run->options, theirs, "bnnep_run_options");
    if (status == BNNEP_OK)
        status = bnnep_check_reserved(run->options.reserved, "bnnep_run_options");
    if (status == BNNEP_OK)
        status = check_options(run, net);
    if (status == BNNEP_OK)
        status = bnnep_take_options(&given, sizeof given, report, "bnnep_report");
    if (status == BNNEP_OK)
        status = claim(run, net, opt);
    if (status != BNNEP_OK)
        return bnnep_run_end(run, status);
    run->report = (bnnep_report){
        .size = sizeof given,
        .flips = given.flips,
        .flips_count = given.flips_count,
        .edges = given.edges,
        .contrasts = given.contrasts,
        .confusion = given.confusion,
        .confusion_count = given.confusion_count,
        .predictions = given.predictions,
        .predictions_count = given.predictions_count,
    };
    return BNNEP_OK;
}

bnnep_status bnnep_run_end(struct bnnep_run *run, bnnep_status status) {
    if (run->ws)
        bnnep_diagnosis_close(run->ws->network, &run->diagnosis);
    return bnnep_call_end(&run->call, status);
}

/* --- on the way ---------------------------------------------------------------------------------------------- */

static void fill_report(struct bnnep_run *run, const uint64_t *flips) {
    const struct bnnep_sums *sums = &run->sums;
    const double samples = sums->samples ? (double)sums->samples : 1.0;
    bnnep_report *report = &run->report;
    report->samples = sums->samples;
    report->batches = sums->batches;
    report->loss = sums->loss / samples;
    report->errors = sums->errors;
    report->errors_single = sums->errors_single;
    report->steps_free = sums->steps_free / samples;
    report->steps_nudged = sums->steps_nudged / samples;
    report->steps_free_max = sums->steps_free_max;
    report->steps_nudged_max = sums->steps_nudged_max;
    report->seconds = bnnep_now() - run->started;
    report->seconds_stage = sums->seconds_stage;
    report->seconds_free = sums->seconds_free;
    report->seconds_nudged = sums->seconds_nudged;
    report->seconds_learn = sums->seconds_learn;
    const size_t connections = run->ws->network->model.connections;
    for (size_t k = 0; flips && report->flips && k < connections; k++)
        report->flips[k] = flips[k];
}

/* Calls the progress callback, if there is one. Does it want to stop? */
static bool tell(struct bnnep_run *run, int32_t what) {
    bnnep_progress *event = &run->event;
    event->event = what;
    event->so_far = &run->report;
    event->batches_done = run->sums.batches;
    event->samples_done = run->sums.samples;
    return run->options.progress && run->options.progress(run->options.user, event) != 0;
}

int32_t bnnep_run_stopped(void *handle) {
    struct bnnep_run *run = handle;
    return is_interrupted(run) || tell(run, BNNEP_EVENT_STEP);
}

bnnep_status bnnep_run_cancelled(const struct bnnep_run *run) {
    return bnnep_fail(BNNEP_CANCELLED, "cancelled by the %s after %llu of %llu batches",
                      is_interrupted(run) ? "interrupt" : "progress callback", (unsigned long long)run->sums.batches,
                      (unsigned long long)run->event.batches_total);
}

bnnep_status bnnep_run_batch_done(struct bnnep_run *run, const uint64_t *flips) {
    fill_report(run, flips);
    bnnep_call_show(&run->call, true);
    const bool stop = tell(run, BNNEP_EVENT_BATCH) || is_interrupted(run);
    bnnep_call_show(&run->call, false);
    return stop && run->sums.batches < run->event.batches_total ? bnnep_run_cancelled(run) : BNNEP_OK;
}

void bnnep_run_report(struct bnnep_run *run, const uint64_t *flips, bnnep_report *theirs) {
    fill_report(run, flips);
    if (theirs)
        bnnep_give_struct(theirs, &run->report, sizeof run->report, "bnnep_report");
}
