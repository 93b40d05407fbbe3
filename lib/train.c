/* SPDX-License-Identifier: MIT */
/* Batches and epochs: the loops of training, evaluation and prediction. */
#include <stdlib.h>
#include <string.h>

#include "lib/internal.h"

/* The free states of the output layer, into ws->outputs. */
static bnnep_status read_outputs(bnnep_workspace *ws) {
    const bnnep_network *net = ws->network;
    return bnnep_workspace_get_state(ws, BNNEP_FREE, net->model.connections, ws->outputs, ws->count * net->outputs);
}

/* `steps` steps of the free phase of the staged batch. */
static bnnep_status run_free_steps(bnnep_workspace *ws, int32_t steps, struct bnnep_watch *watch,
                                   struct bnnep_sums *sums) {
    bnnep_relaxed done = BNNEP_RELAXED_INIT;
    const bnnep_status status = bnnep_relax_watched(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, steps, 0.0f, watch, &done);
    sums->steps_free += (double)done.sample_steps;
    if (done.most_steps > sums->steps_free_max)
        sums->steps_free_max = done.most_steps;
    return status;
}

/* The whole free phase; its outputs go to ws->outputs. */
static bnnep_status run_free_phase(bnnep_workspace *ws, struct bnnep_watch *watch, struct bnnep_sums *sums) {
    const bnnep_status status = run_free_steps(ws, ws->network->options.free_steps, watch, sums);
    return status == BNNEP_OK ? read_outputs(ws) : status;
}

/* beta of the next batch, with its sign. */
static float draw_beta(const bnnep_optimizer *opt) {
    uint32_t words[4];
    if (!opt->options.random_beta)
        return opt->options.beta;
    /* Substream 2 has no meaning: it was chosen among several by the results of three seeds (README). */
    bnnep_draw(opt->options.seed, BNNEP_DRAW_SIGN, 2, opt->batches, words);
    return words[0] & 1u ? opt->options.beta : -opt->options.beta;
}

/* Free phase, nudged phase, contrast. */
static bnnep_status propagate_equilibrium(bnnep_optimizer *opt, bnnep_workspace *ws, struct bnnep_watch *watch,
                                          struct bnnep_sums *sums) {
    const float beta = draw_beta(opt);
    bnnep_relaxed done = BNNEP_RELAXED_INIT;
    bnnep_status status = run_free_phase(ws, watch, sums);
    if (status == BNNEP_OK)
        status = bnnep_relax_watched(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, opt->options.nudged_steps, beta, watch,
                                     &done);
    sums->steps_nudged += (double)done.sample_steps;
    if (done.most_steps > sums->steps_nudged_max)
        sums->steps_nudged_max = done.most_steps;
    return status == BNNEP_OK ? bnnep_learn(opt, ws, beta, NULL) : status;
}

/* Free phase, recording its last steps; gradient through them. */
static bnnep_status propagate_back(bnnep_optimizer *opt, bnnep_workspace *ws, struct bnnep_watch *watch,
                                   struct bnnep_sums *sums) {
    struct bnnep_sums before = {0};
    bnnep_status status = run_free_steps(ws, ws->network->options.free_steps - opt->tape, watch, &before);
    if (status == BNNEP_OK)
        status = bnnep_backpropagate(opt, ws, opt->tape);
    if (status != BNNEP_OK)
        return status;
    sums->steps_free += before.steps_free + (double)ws->count * opt->tape;
    if (before.steps_free_max + (uint32_t)opt->tape > sums->steps_free_max)
        sums->steps_free_max = before.steps_free_max + (uint32_t)opt->tape;
    status = read_outputs(ws);
    return status == BNNEP_OK ? bnnep_learn(opt, ws, 1.0f, NULL) : status;
}

/* One training batch, its arguments checked. The sums and the optimizer change only if all went well. */
static bnnep_status train_batch(bnnep_optimizer *opt, const float *inputs, const int32_t *labels, size_t count,
                                struct bnnep_watch *watch, struct bnnep_sums *sums) {
    bnnep_workspace *ws = opt->network->workspace;
    struct bnnep_sums gathered = *sums;
    bnnep_one_hot(opt->network, labels, count, ws->targets);
    bnnep_status status = bnnep_stage_checked(ws, inputs, ws->targets, count);
    if (status == BNNEP_OK)
        status = opt->tape > 0 ? propagate_back(opt, ws, watch, &gathered)
                               : propagate_equilibrium(opt, ws, watch, &gathered);
    if (status != BNNEP_OK)
        return status;
    bnnep_score_batch(opt->network, ws->outputs, labels, count, &gathered);
    *sums = gathered;
    opt->batches++;
    return BNNEP_OK;
}

/* Copies the flips to the caller's array, if there is one. */
static void give_flips(bnnep_report *report, const uint64_t *flips, size_t connections) {
    for (size_t k = 0; report->flips && k < connections; k++)
        report->flips[k] = flips[k];
}

static void give_report(bnnep_report *theirs, bnnep_report *report, const struct bnnep_sums *sums, double started) {
    bnnep_fill_report(report, sums, started);
    if (theirs)
        bnnep_give_struct(theirs, report, sizeof *report, "bnnep_report");
}

bnnep_status bnnep_train_batch(bnnep_optimizer *opt, const float *inputs, const int32_t *labels, size_t count,
                               bnnep_report *theirs) {
    const double started = bnnep_now();
    if (!opt || !inputs || !labels)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_train_batch: %s is NULL",
                          !opt      ? "optimizer"
                          : !inputs ? "inputs"
                                    : "labels");
    const bnnep_network *net = opt->network;
    if (count < 1 || count > net->workspace->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "a batch of %zu samples; this network takes 1 to %zu (max_batch)",
                          count, net->workspace->max_batch);
    bnnep_report report;
    struct bnnep_sums sums = {0};
    bnnep_status status = bnnep_check_labels(labels, count, net->options.classes, 0, NULL);
    if (status == BNNEP_OK)
        status = bnnep_check_inputs(inputs, count, net->inputs, net->model.grid.most, 0, NULL);
    if (status == BNNEP_OK)
        status = bnnep_open_report(net, theirs, true, &report);
    if (status == BNNEP_OK)
        status = train_batch(opt, inputs, labels, count, NULL, &sums);
    if (status == BNNEP_OK) {
        give_flips(&report, opt->flips, net->model.connections);
        give_report(theirs, &report, &sums, started);
    }
    return status;
}

/* --- epochs ------------------------------------------------------------------------------------------------------- */

/* A walk over a data set in batches. */
struct walk {
    const bnnep_dataset *dataset;
    const uint64_t *order; /* places in the data set, or NULL for its own order */
    size_t batch_size;
    bnnep_workspace *ws;
    bnnep_optimizer *optimizer; /* NULL: evaluate */
    struct bnnep_sums sums;
    bnnep_report report; /* of them, for the callback and at the end */
    struct bnnep_watch watch;
    double started;
};

/* The epoch under way, in the optimizer, from where it can be resumed; it goes into a checkpoint. */
static void remember(struct walk *walk) {
    bnnep_optimizer *opt = walk->optimizer;
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->epoch_flips[k] += opt->flips[k];
    opt->epoch = walk->sums;
    opt->epoch.seconds = bnnep_now() - walk->started;
    opt->epoch_count = walk->dataset->count;
    opt->epoch_batch_size = walk->batch_size;
}

/* Starts the sums of an epoch where the optimizer stands. */
static bnnep_status resume(struct walk *walk) {
    bnnep_optimizer *opt = walk->optimizer;
    const size_t connections = opt->network->model.connections;
    if (opt->epoch.batches == 0) {
        for (size_t k = 0; k < connections; k++)
            opt->epoch_flips[k] = 0;
        return BNNEP_OK;
    }
    if (opt->epoch_count != walk->dataset->count || opt->epoch_batch_size != walk->batch_size)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "an epoch of %llu samples in batches of %zu is under way, not one of %llu in batches of %zu",
                          (unsigned long long)opt->epoch_count, opt->epoch_batch_size,
                          (unsigned long long)walk->dataset->count, walk->batch_size);
    walk->sums = opt->epoch;
    walk->started -= opt->epoch.seconds;
    return BNNEP_OK;
}

static bnnep_status do_batch(struct walk *walk, size_t count) {
    bnnep_workspace *ws = walk->ws;
    const bnnep_network *net = ws->network;
    const bnnep_optimizer *opt = walk->optimizer;
    const struct bnnep_lot lot = opt ? (struct bnnep_lot){opt->options.seed, opt->epochs} : (struct bnnep_lot){0, 0};
    bnnep_status status =
        bnnep_dataset_gather(walk->dataset, ws->indices, count, opt ? &lot : NULL, ws->inputs, ws->labels);
    if (status == BNNEP_OK)
        status = bnnep_check_inputs(ws->inputs, count, net->inputs, net->model.grid.most, 0, ws->indices);
    if (status == BNNEP_OK)
        status = bnnep_check_labels(ws->labels, count, net->options.classes, 0, ws->indices);
    if (status != BNNEP_OK)
        return status;
    if (walk->optimizer) {
        status = train_batch(walk->optimizer, ws->inputs, ws->labels, count, &walk->watch, &walk->sums);
        if (status == BNNEP_OK)
            remember(walk);
        return status;
    }
    status = bnnep_stage_checked(ws, ws->inputs, NULL, count);
    if (status == BNNEP_OK)
        status = run_free_phase(ws, &walk->watch, &walk->sums);
    if (status == BNNEP_OK)
        bnnep_score_batch(net, ws->outputs, ws->labels, count, &walk->sums);
    return status;
}

/* Tells the callback that a batch is done. */
static bnnep_status announce(struct walk *walk) {
    if (!walk->watch.progress)
        return BNNEP_OK;
    if (walk->optimizer)
        give_flips(&walk->report, walk->optimizer->epoch_flips, walk->optimizer->network->model.connections);
    bnnep_fill_report(&walk->report, &walk->sums, walk->started);
    bnnep_progress *event = &walk->watch.event;
    event->event = BNNEP_EVENT_BATCH;
    event->batch = walk->sums.batches;
    event->samples = walk->sums.samples;
    if (walk->watch.progress(walk->watch.user, event) && event->batch < event->batches)
        return bnnep_fail(BNNEP_CANCELLED, "cancelled by the progress callback after %llu of %llu batches",
                          (unsigned long long)event->batch, (unsigned long long)event->batches);
    return BNNEP_OK;
}

static bnnep_status do_walk(struct walk *walk) {
    const uint64_t total = walk->dataset->count;
    walk->watch.event = (bnnep_progress){
        .size = sizeof(bnnep_progress),
        .batches = (total + walk->batch_size - 1) / walk->batch_size,
        .so_far = &walk->report,
    };
    walk->watch.event.batch = walk->sums.batches;
    walk->watch.event.samples = walk->sums.samples;
    bnnep_fill_report(&walk->report, &walk->sums, walk->started);
    bnnep_status status = BNNEP_OK;
    for (uint64_t first = walk->sums.batches * walk->batch_size; status == BNNEP_OK && first < total;
         first += walk->batch_size) {
        const size_t count = total - first < walk->batch_size ? (size_t)(total - first) : walk->batch_size;
        for (size_t n = 0; n < count; n++)
            walk->ws->indices[n] = walk->order ? walk->order[first + n] : first + n;
        status = do_batch(walk, count);
        if (status == BNNEP_OK)
            status = announce(walk);
    }
    return status;
}

bnnep_status bnnep_train_epoch(bnnep_optimizer *opt, const bnnep_dataset *dataset, size_t batch_size,
                               bnnep_progress_fn progress, void *user, bnnep_report *theirs) {
    if (!opt || !dataset)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_train_epoch: %s is NULL", opt ? "dataset" : "optimizer");
    bnnep_workspace *ws = opt->network->workspace;
    if (batch_size < 1 || batch_size > ws->max_batch)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "batch_size is %zu; this network takes 1 to %zu (max_batch)",
                          batch_size, ws->max_batch);
    struct walk walk = {.dataset = dataset,
                        .batch_size = batch_size,
                        .ws = ws,
                        .optimizer = opt,
                        .watch = {.progress = progress, .user = user},
                        .started = bnnep_now()};
    bnnep_status status = bnnep_dataset_matches(dataset, opt->network);
    if (status == BNNEP_OK)
        status = bnnep_open_report(opt->network, theirs, true, &walk.report);
    if (status == BNNEP_OK)
        status = resume(&walk);
    if (status != BNNEP_OK)
        return status;
    uint64_t *order = NULL;
    if (opt->options.shuffle) {
        order = bnnep_array(dataset->count, sizeof *order);
        if (!order)
            return bnnep_fail_memory("the order of an epoch", dataset->count * sizeof *order);
        bnnep_draw_order(opt->options.seed, BNNEP_DRAW_ORDER, opt->epochs, order, dataset->count);
        walk.order = order;
    }
    status = do_walk(&walk);
    free(order);
    if (status == BNNEP_OK || status == BNNEP_CANCELLED) {
        give_flips(&walk.report, opt->epoch_flips, opt->network->model.connections);
        give_report(theirs, &walk.report, &walk.sums, walk.started);
    }
    if (status == BNNEP_OK) {
        opt->epochs++;
        opt->epoch = (struct bnnep_sums){0};
    }
    return status;
}

bnnep_status bnnep_evaluate(const bnnep_network *net, bnnep_workspace *workspace, const bnnep_dataset *dataset,
                            bnnep_progress_fn progress, void *user, bnnep_report *theirs) {
    if (!net || !dataset)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_evaluate: %s is NULL", net ? "dataset" : "network");
    struct walk walk = {.dataset = dataset, .watch = {.progress = progress, .user = user}, .started = bnnep_now()};
    bnnep_status status = bnnep_pick_workspace(net, workspace, &walk.ws);
    if (status == BNNEP_OK)
        status = bnnep_dataset_matches(dataset, net);
    if (status == BNNEP_OK)
        status = bnnep_open_report(net, theirs, false, &walk.report);
    if (status != BNNEP_OK)
        return status;
    walk.batch_size = walk.ws->max_batch;
    status = do_walk(&walk);
    if (status == BNNEP_OK || status == BNNEP_CANCELLED)
        give_report(theirs, &walk.report, &walk.sums, walk.started);
    return status;
}

bnnep_status bnnep_predict(const bnnep_network *net, bnnep_workspace *workspace, const float *inputs, uint64_t count,
                           int32_t readout, float *scores, int32_t *classes) {
    if (!net || (!inputs && count))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_predict: %s is NULL", net ? "inputs" : "network");
    if (readout != BNNEP_READ_AVERAGE && readout != BNNEP_READ_SINGLE)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "readout is %d; known are 0 (average) and 1 (single)", readout);
    bnnep_workspace *ws;
    bnnep_status status = bnnep_pick_workspace(net, workspace, &ws);
    for (uint64_t first = 0; status == BNNEP_OK && first < count; first += ws->max_batch) {
        const size_t batch = count - first < ws->max_batch ? (size_t)(count - first) : ws->max_batch;
        struct bnnep_sums unused = {0};
        status =
            bnnep_check_inputs(inputs + first * net->inputs, batch, net->inputs, net->model.grid.most, first, NULL);
        if (status == BNNEP_OK)
            status = bnnep_stage_checked(ws, inputs + first * net->inputs, NULL, batch);
        if (status == BNNEP_OK)
            status = run_free_phase(ws, NULL, &unused);
        for (size_t n = 0; status == BNNEP_OK && n < batch; n++) {
            const size_t sample = (size_t)first + n;
            const int32_t best = bnnep_read_scores(net, ws->outputs + n * net->outputs, readout,
                                                   scores ? scores + sample * (size_t)net->options.classes : NULL);
            if (classes)
                classes[sample] = best;
        }
    }
    return status;
}
