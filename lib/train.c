/* SPDX-License-Identifier: MIT */
/* Training: batches and epochs. */
#include "lib/dataset.h"
#include "lib/phases.h"

/* beta of the next batch, with its sign. */
static double draw_beta(const bnnep_optimizer *opt) {
    const double beta = *opt->rates.of[BNNEP_RATE_BETA];
    uint32_t words[4];
    if (opt->options.nudge != BNNEP_NUDGE_RANDOM_SIGN)
        return beta;
    /* Substream 2 has no meaning: it was chosen among several by the results of three seeds (README). */
    bnnep_draw(opt->options.seed, BNNEP_DRAW_SIGN, 2, opt->batches, words);
    return words[0] & 1u ? beta : -beta;
}

/* Seconds since *started, which becomes now. */
static double lap(double *started) {
    const double before = *started;
    *started = bnnep_now();
    return *started - before;
}

/* A nudged phase, from the free states. */
static bnnep_status nudge(const bnnep_optimizer *opt, int32_t to, double beta, struct bnnep_run *run,
                          struct bnnep_sums *sums) {
    const bnnep_relaxation nudged = {
        .size = sizeof nudged, .from = BNNEP_PHASE_FREE, .to = to, .steps = opt->options.nudged_steps, .beta = beta};
    bnnep_relaxed done = BNNEP_RELAXED_INIT;
    const bnnep_status status = bnnep_relax_watched(run->ws, &nudged, run, &done);
    sums->steps_nudged += (double)done.sample_steps;
    if (done.most_steps > sums->steps_nudged_max)
        sums->steps_nudged_max = done.most_steps;
    return status;
}

/* Free phase, nudged phase or both of them, contrast. */
static bnnep_status propagate_equilibrium(bnnep_optimizer *opt, struct bnnep_run *run, struct bnnep_sums *sums) {
    const double beta = draw_beta(opt);
    const bool centred = opt->options.nudge == BNNEP_NUDGE_CENTRED;
    double started = bnnep_now();
    bnnep_status status = bnnep_free_phase(run->ws, run, sums);
    sums->seconds_free += lap(&started);
    if (status == BNNEP_OK)
        status = nudge(opt, BNNEP_PHASE_NUDGED, beta, run, sums);
    if (status == BNNEP_OK && centred)
        status = nudge(opt, BNNEP_PHASE_OTHER, -beta, run, sums);
    sums->seconds_nudged += lap(&started);
    if (status == BNNEP_OK)
        status = bnnep_learn(opt, run->ws, centred ? BNNEP_PHASE_OTHER : BNNEP_PHASE_FREE);
    sums->seconds_learn += lap(&started);
    return status;
}

/* Free phase, recording its last steps; gradient through them. */
static bnnep_status propagate_back(bnnep_optimizer *opt, struct bnnep_run *run, struct bnnep_sums *sums) {
    bnnep_workspace *ws = run->ws;
    struct bnnep_sums before = {0};
    if (ws->network->free_steps < opt->tape)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "BPTT needs at least %d free_steps, the network has %d", opt->tape,
                          ws->network->free_steps);
    double started = bnnep_now();
    bnnep_status status = bnnep_free_steps(ws, ws->network->free_steps - opt->tape, run, &before);
    sums->seconds_free += lap(&started);
    if (status == BNNEP_OK && bnnep_run_stopped(run))
        status = bnnep_run_cancelled(run);
    if (status == BNNEP_OK)
        status = bnnep_walk_back(opt, ws, opt->tape);
    sums->seconds_nudged += lap(&started);
    if (status != BNNEP_OK)
        return status;
    sums->steps_free += before.steps_free + (double)ws->count * opt->tape;
    if (before.steps_free_max + opt->tape > sums->steps_free_max)
        sums->steps_free_max = before.steps_free_max + opt->tape;
    status = bnnep_read_outputs(ws);
    if (status == BNNEP_OK)
        status = bnnep_learn(opt, ws, BNNEP_PHASE_FREE);
    sums->seconds_learn += lap(&started);
    return status;
}

/* One training batch, its arguments checked. The sums and the optimizer change only if all went well. */
static bnnep_status train_batch(bnnep_optimizer *opt, const float *inputs, const int32_t *labels, size_t count,
                                struct bnnep_run *run) {
    struct bnnep_sums gathered = run->sums;
    bnnep_one_hot(opt->network, labels, count, run->ws->targets);
    double started = bnnep_now();
    bnnep_status status = bnnep_stage_checked(run->ws, inputs, run->ws->targets, count);
    gathered.seconds_stage += lap(&started);
    if (status == BNNEP_OK)
        status = opt->tape > 0 ? propagate_back(opt, run, &gathered) : propagate_equilibrium(opt, run, &gathered);
    if (status != BNNEP_OK)
        return status;
    bnnep_score_batch(opt->network, run->ws->outputs, labels, count, &gathered);
    run->sums = gathered;
    opt->batches++;
    return BNNEP_OK;
}

/* A run of an optimizer; its report must have room for all flips. */
static bnnep_status open_run(const char *call, bnnep_optimizer *opt, const bnnep_run_options *theirs,
                             const bnnep_report *report, struct bnnep_run *run) {
    bnnep_status status = bnnep_run_open(run, call, opt->network, opt, theirs, report);
    if (status != BNNEP_OK)
        return status;
    status = bnnep_diagnosis_open(opt, &run->report, &run->diagnosis);
    return status == BNNEP_OK ? BNNEP_OK : bnnep_run_end(run, status);
}

/* One batch of the caller's, of a run that is open. */
static bnnep_status train_given(bnnep_optimizer *opt, const float *inputs, const int32_t *labels, size_t count,
                                struct bnnep_run *run) {
    const bnnep_network *net = opt->network;
    if (count < 1 || count > run->ws->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a batch of %zu samples; this network takes 1 to %zu (max_batch)",
                          count, run->ws->max_batch);
    bnnep_status status = bnnep_check_trainable(opt, count);
    if (status == BNNEP_OK)
        status = bnnep_check_labels(labels, count, net->options.classes, 0, NULL);
    if (status == BNNEP_OK)
        status = bnnep_check_inputs(inputs, count, net->inputs, net->model.grid.most, 0, NULL);
    run->event.batches_total = 1;
    opt->asks = run->report.contrasts != NULL;
    return status == BNNEP_OK ? train_batch(opt, inputs, labels, count, run) : status;
}

bnnep_status bnnep_optimizer_train_batch(bnnep_optimizer *opt, const float *inputs, const int32_t *labels, size_t count,
                                         const bnnep_run_options *theirs, bnnep_report *report) {
    if (!opt || !inputs || !labels)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_train_batch: %s is NULL",
                          !opt      ? "optimizer"
                          : !inputs ? "inputs"
                                    : "labels");
    struct bnnep_run run;
    bnnep_status status = open_run("bnnep_optimizer_train_batch", opt, theirs, report, &run);
    if (status != BNNEP_OK)
        return status;
    status = train_given(opt, inputs, labels, count, &run);
    if (status == BNNEP_OK)
        status = bnnep_diagnose(opt, &run.diagnosis);
    if (status == BNNEP_OK)
        bnnep_run_report(&run, opt->flips, report);
    return bnnep_run_end(&run, status);
}

/* --- epochs ------------------------------------------------------------------------------------------------------- */

void bnnep_forget_epoch(bnnep_optimizer *opt) {
    opt->epoch = (struct bnnep_sums){0};
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->epoch_flips[k] = 0;
}

/* The epoch under way, in the optimizer, from where it can be resumed; it goes into a checkpoint. */
static void remember(bnnep_optimizer *opt, const struct bnnep_run *run, uint64_t count) {
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->epoch_flips[k] += opt->flips[k];
    opt->epoch = run->sums;
    opt->epoch.seconds = bnnep_now() - run->started;
    opt->epoch_count = count;
    opt->epoch_batch_size = run->batch_size;
}

/* Starts the sums of an epoch where the optimizer stands. */
static bnnep_status resume(bnnep_optimizer *opt, struct bnnep_run *run, uint64_t count) {
    if (opt->epoch.batches == 0)
        return BNNEP_OK;
    if (opt->epoch_count != count || opt->epoch_batch_size != run->batch_size)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "an epoch of %llu samples in batches of %zu is under way, not one of %llu in batches of %zu",
                          (unsigned long long)opt->epoch_count, opt->epoch_batch_size, (unsigned long long)count,
                          run->batch_size);
    run->sums = opt->epoch;
    run->started -= opt->epoch.seconds;
    return BNNEP_OK;
}

/* The batches of an epoch; order: places in the data set, or NULL for its own order. */
static bnnep_status train_batches(bnnep_optimizer *opt, const bnnep_dataset *dataset, const uint64_t *order,
                                  struct bnnep_run *run) {
    bnnep_workspace *ws = run->ws;
    const struct bnnep_lot lot = {.seed = opt->options.seed, .epoch = opt->epochs};
    const uint64_t total = dataset->count;
    run->event.batches_total = (total + run->batch_size - 1) / run->batch_size;
    bnnep_status status = BNNEP_OK;
    for (uint64_t first = run->sums.batches * run->batch_size; status == BNNEP_OK && first < total;
         first += run->batch_size) {
        const size_t count = total - first < run->batch_size ? (size_t)(total - first) : run->batch_size;
        for (size_t n = 0; n < count; n++)
            ws->indices[n] = order ? order[first + n] : first + n;
        opt->asks = run->report.contrasts != NULL && first + count == total;
        status = bnnep_fetch(ws, dataset, count, &lot);
        if (status == BNNEP_OK)
            status = train_batch(opt, ws->inputs, ws->labels, count, run);
        if (status == BNNEP_OK) {
            remember(opt, run, total);
            status = bnnep_run_batch_done(run, opt->epoch_flips);
        }
    }
    return status;
}

/* Can the optimizer train on all of the data set, from where it stands? */
static bnnep_status check_epoch(bnnep_optimizer *opt, const bnnep_dataset *dataset, struct bnnep_run *run) {
    bnnep_status status = bnnep_check_trainable(opt, run->batch_size);
    if (status == BNNEP_OK)
        status = bnnep_dataset_matches(dataset, opt->network);
    if (status == BNNEP_OK && !dataset->store->labelled)
        status = bnnep_fail(BNNEP_ERROR_DATA, "the data set has no labels to train with");
    return status == BNNEP_OK ? resume(opt, run, dataset->count) : status;
}

/* All batches, in the order that is drawn for the epoch, or their own. */
static bnnep_status train_in_order(bnnep_optimizer *opt, const bnnep_dataset *dataset, struct bnnep_run *run) {
    const bnnep_context *context = opt->network->context;
    if (opt->options.keep_order)
        return train_batches(opt, dataset, NULL, run);
    uint64_t *order = bnnep_take(context, dataset->count, sizeof *order);
    if (!order)
        return bnnep_fail_memory("the order of an epoch", dataset->count * sizeof *order);
    bnnep_draw_order(opt->options.seed, BNNEP_DRAW_ORDER, opt->epochs, order, dataset->count);
    const bnnep_status status = train_batches(opt, dataset, order, run);
    bnnep_give_back(context, order);
    return status;
}

bnnep_status bnnep_optimizer_train_epoch(bnnep_optimizer *opt, const bnnep_dataset *dataset,
                                         const bnnep_run_options *theirs, bnnep_report *report) {
    if (!opt || !dataset)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_optimizer_train_epoch: %s is NULL",
                          opt ? "dataset" : "optimizer");
    struct bnnep_run run;
    bnnep_status status = open_run("bnnep_optimizer_train_epoch", opt, theirs, report, &run);
    if (status != BNNEP_OK)
        return status;
    status = check_epoch(opt, dataset, &run);
    if (status != BNNEP_OK)
        return bnnep_run_end(&run, status);
    status = train_in_order(opt, dataset, &run);
    if (status == BNNEP_OK || status == BNNEP_CANCELLED) {
        const bnnep_status told = bnnep_diagnose(opt, &run.diagnosis);
        status = told == BNNEP_OK ? status : told;
    }
    if (status == BNNEP_OK || status == BNNEP_CANCELLED)
        bnnep_run_report(&run, opt->epoch_flips, report);
    if (status == BNNEP_OK) {
        opt->epochs++;
        bnnep_forget_epoch(opt);
    }
    return bnnep_run_end(&run, status);
}
