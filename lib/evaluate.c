/* SPDX-License-Identifier: MIT */
/* Evaluation and prediction: free phases alone. */
#include <math.h>
#include <string.h>

#include "lib/phases.h"

/* --- shared with training ------------------------------------------------------------------------------------ */

bnnep_status bnnep_fetch(bnnep_workspace *ws, const bnnep_dataset *dataset, size_t count, const struct bnnep_lot *lot) {
    const bnnep_network *net = ws->network;
    bnnep_status status = bnnep_dataset_gather(dataset, ws->indices, count, lot, ws->inputs, ws->labels);
    if (status == BNNEP_OK)
        status = bnnep_check_inputs(ws->inputs, count, net->inputs, net->model.grid.most, 0, ws->indices);
    if (status == BNNEP_OK && dataset->store->labelled)
        status = bnnep_check_labels(ws->labels, count, net->options.classes, 0, ws->indices);
    return status;
}

bnnep_status bnnep_read_outputs(bnnep_workspace *ws) {
    const bnnep_network *net = ws->network;
    char why[BNNEP_WHY] = "";
    const size_t last = net->model.connections;
    return bnnep_backend_failed(net, net->backend->get_state(ws->device, BNNEP_PHASE_FREE, last, ws->outputs, why),
                                why);
}

bnnep_status bnnep_free_steps(bnnep_workspace *ws, int32_t steps, struct bnnep_run *run, struct bnnep_sums *sums) {
    const bnnep_relaxation free = {.size = sizeof free, .steps = steps};
    bnnep_relaxed done = BNNEP_RELAXED_INIT;
    if (steps == 0)
        return BNNEP_OK;
    const bnnep_status status = bnnep_relax_watched(ws, &free, run, &done);
    sums->steps_free += (double)done.sample_steps;
    if (done.most_steps > sums->steps_free_max)
        sums->steps_free_max = done.most_steps;
    return status;
}

bnnep_status bnnep_free_phase(bnnep_workspace *ws, struct bnnep_run *run, struct bnnep_sums *sums) {
    const bnnep_status status = bnnep_free_steps(ws, ws->network->free_steps, run, sums);
    return status == BNNEP_OK ? bnnep_read_outputs(ws) : status;
}

/* Are the outputs of a batch that begins with sample `first` numbers? A class read from others means nothing. */
static bnnep_status check_outputs(const bnnep_workspace *ws, uint64_t first) {
    const size_t outputs = ws->network->outputs;
    for (size_t v = 0; v < ws->count * outputs; v++)
        if (!isfinite(ws->outputs[v]))
            return bnnep_fail(
                BNNEP_ERROR_DATA,
                "input %llu: output unit %zu is %g; it or the network's parameters are too large for float",
                (unsigned long long)(first + v / outputs), v % outputs, (double)ws->outputs[v]);
    return BNNEP_OK;
}

/* --- evaluation ---------------------------------------------------------------------------------------------- */

/* Has the report room for what it asks for? */
static bnnep_status check_room(const bnnep_network *net, const bnnep_dataset *dataset, const bnnep_report *report) {
    const uint64_t classes = (uint64_t)net->options.classes;
    if (report->confusion && report->confusion_count != classes * classes)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the report's confusion has %zu elements, expected %d x %d",
                          report->confusion_count, net->options.classes, net->options.classes);
    if (report->predictions && report->predictions_count < dataset->count)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "the report's predictions has room for %zu samples, the data set has %llu",
                          report->predictions_count, (unsigned long long)dataset->count);
    if (!dataset->store->labelled && !report->predictions)
        return bnnep_fail(BNNEP_ERROR_DATA, "the data set has no labels, and the report asks for no predictions");
    if (report->confusion)
        memset(report->confusion, 0, report->confusion_count * sizeof *report->confusion);
    return BNNEP_OK;
}

/* Writes predictions and confusion of the batch that begins with sample `first`. */
static void note_classes(const struct bnnep_run *run, uint64_t first, const int32_t *labels) {
    const bnnep_workspace *ws = run->ws;
    const bnnep_network *net = ws->network;
    const bnnep_report *report = &run->report;
    for (size_t n = 0; (report->predictions || report->confusion) && n < ws->count; n++) {
        const int32_t read = bnnep_read_scores(net, ws->outputs + n * net->outputs, run->options.readout, NULL);
        if (report->predictions)
            report->predictions[first + n] = read;
        if (report->confusion && labels)
            report->confusion[(size_t)labels[n] * (size_t)net->options.classes + (size_t)read]++;
    }
}

static bnnep_status evaluate_batch(struct bnnep_run *run, const bnnep_dataset *dataset, uint64_t first, size_t count) {
    bnnep_workspace *ws = run->ws;
    struct bnnep_sums gathered = run->sums;
    for (size_t n = 0; n < count; n++)
        ws->indices[n] = first + n;
    bnnep_status status = bnnep_fetch(ws, dataset, count, NULL);
    if (status == BNNEP_OK)
        status = bnnep_stage_checked(ws, ws->inputs, NULL, count);
    if (status == BNNEP_OK)
        status = bnnep_free_phase(ws, run, &gathered);
    if (status == BNNEP_OK)
        status = check_outputs(ws, first);
    if (status != BNNEP_OK)
        return status;
    const int32_t *labels = dataset->store->labelled ? ws->labels : NULL;
    bnnep_score_batch(ws->network, ws->outputs, labels, count, &gathered);
    note_classes(run, first, labels);
    run->sums = gathered;
    return bnnep_run_batch_done(run, NULL);
}

static bnnep_status evaluate_batches(struct bnnep_run *run, const bnnep_dataset *dataset) {
    const uint64_t total = dataset->count;
    bnnep_status status = BNNEP_OK;
    run->event.batches_total = (total + run->batch_size - 1) / run->batch_size;
    for (uint64_t first = 0; status == BNNEP_OK && first < total; first += run->batch_size) {
        const size_t count = total - first < run->batch_size ? (size_t)(total - first) : run->batch_size;
        status = evaluate_batch(run, dataset, first, count);
    }
    return status;
}

bnnep_status bnnep_network_evaluate(const bnnep_network *net, const bnnep_dataset *dataset,
                                    const bnnep_run_options *theirs, bnnep_report *report) {
    if (!net || !dataset)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_evaluate: %s is NULL", net ? "dataset" : "network");
    struct bnnep_run run;
    bnnep_status status = bnnep_run_open(&run, "bnnep_network_evaluate", net, NULL, theirs, report);
    if (status != BNNEP_OK)
        return status;
    status = bnnep_dataset_matches(dataset, net);
    if (status == BNNEP_OK)
        status = check_room(net, dataset, &run.report);
    if (status != BNNEP_OK)
        return bnnep_run_end(&run, status);
    status = evaluate_batches(&run, dataset);
    if (status == BNNEP_OK || status == BNNEP_CANCELLED)
        bnnep_run_report(&run, NULL, report);
    return bnnep_run_end(&run, status);
}

/* --- prediction ---------------------------------------------------------------------------------------------- */

/* The free phase of a batch that begins with sample `first`, of which the caller's arrays get their part. */
static bnnep_status predict_batch(struct bnnep_run *run, const float *inputs, uint64_t first, size_t count,
                                  float *scores, int32_t *classes) {
    bnnep_workspace *ws = run->ws;
    const bnnep_network *net = ws->network;
    bnnep_status status = bnnep_check_inputs(inputs, count, net->inputs, net->model.grid.most, first, NULL);
    if (status == BNNEP_OK)
        status = bnnep_stage_checked(ws, inputs, NULL, count);
    if (status == BNNEP_OK)
        status = bnnep_free_phase(ws, run, &run->sums);
    if (status == BNNEP_OK)
        status = check_outputs(ws, first);
    if (status != BNNEP_OK)
        return status;
    for (size_t n = 0; n < count; n++) {
        const size_t sample = (size_t)first + n;
        const int32_t best = bnnep_read_scores(net, ws->outputs + n * net->outputs, run->options.readout,
                                               scores ? scores + sample * (size_t)net->options.classes : NULL);
        if (classes)
            classes[sample] = best;
    }
    run->sums.samples += count;
    run->sums.batches++;
    return bnnep_run_batch_done(run, NULL);
}

bnnep_status bnnep_network_predict(const bnnep_network *net, const float *inputs, uint64_t count,
                                   const bnnep_run_options *theirs, float *scores, int32_t *classes) {
    if (!net || (!inputs && count))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_predict: %s is NULL", net ? "inputs" : "network");
    struct bnnep_run run;
    bnnep_status status = bnnep_run_open(&run, "bnnep_network_predict", net, NULL, theirs, NULL);
    if (status != BNNEP_OK)
        return status;
    run.event.batches_total = (count + run.batch_size - 1) / run.batch_size;
    for (uint64_t first = 0; status == BNNEP_OK && first < count; first += run.batch_size) {
        const size_t batch = count - first < run.batch_size ? (size_t)(count - first) : run.batch_size;
        status = predict_batch(&run, inputs + first * net->inputs, first, batch, scores, classes);
    }
    return bnnep_run_end(&run, status);
}
