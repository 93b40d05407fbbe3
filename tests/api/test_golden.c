/* SPDX-License-Identifier: MIT */
/*
 * Golden cases: what the authors' program computed, step by step, against the library, through its public interface.
 *
 *     test_golden [--backend NAME] [CASE_DIR...]
 *
 * No folder: the built-in cases. No backend: all that are available. Signs and flip counts must be equal; the
 * tolerances of the rest are those of tests/golden/README.md. Exit status 0 if no case failed and at least one passed.
 */
#include <dirent.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bnnep/bnnep.h>

#include "case.h"

enum { MOST = 16 };
enum result { PASS, FAIL, SKIP };

struct run {
    const struct golden_case *c;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    size_t connections, batch;                                  /* number of connections; the batch under way */
    double state_tolerance, momentum_tolerance, bias_tolerance; /* the last: of alpha too */
    char why[512];
};

static enum result explain(struct run *run, enum result result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum result explain(struct run *run, enum result result, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->why, sizeof run->why, format, arguments);
    va_end(arguments);
    return result;
}

/* A library call that failed: "not yet" skips the case, anything else fails it. */
static enum result refused(struct run *run, bnnep_status status) {
    return explain(run, status == BNNEP_ERROR_UNSUPPORTED ? SKIP : FAIL, "%s", bnnep_last_error());
}

/* The tensor NAME.K, or NAME.BATCH.K of the batch under way; checks its length. */
static const float *tensor(struct run *run, const char *name, size_t k, size_t wanted) {
    size_t count = 0;
    const float *values = case_tensor(run->c, name, &count);
    if (!values || (wanted && count != wanted)) {
        explain(run, FAIL, "tensor %s (connection %zu): %zu values, expected %zu", name, k, count, wanted);
        return NULL;
    }
    return values;
}

static const float *named(struct run *run, size_t wanted, size_t k, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static const float *named(struct run *run, size_t wanted, size_t k, const char *format, ...) {
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return tensor(run, name, k, wanted);
}

static enum result compare(struct run *run, const char *what, size_t k, const float *ours, const float *theirs,
                           size_t count, double tolerance) {
    if (!theirs)
        return FAIL;
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)ours[i] - (double)theirs[i]) <= tolerance))
            return explain(run, FAIL, "batch %zu: %s of connection %zu, element %zu is %.9g, expected %.9g +- %g",
                           run->batch, what, k, i, (double)ours[i], (double)theirs[i], tolerance);
    return PASS;
}

/* --- building the network ----------------------------------------------------------------------------------------- */

/* The description of the case's network; connections has room for MOST. */
static enum result describe(struct run *run, bnnep_network_options *o, bnnep_connection *connections) {
    const struct golden_case *c = run->c;
    double list[MOST], input[3] = {0, 1, 1};
    size_t made = 0, fc_from = 1;
    size_t layers = case_list(c, "layer_sizes", list, MOST);
    if (layers > 0)
        input[0] = list[0];
    else {
        double channels[MOST];
        const size_t maps = case_list(c, "channels", channels, MOST);
        if (case_list(c, "input_shape", input, 3) != 3 || maps < 2 || maps > MOST / 2)
            return explain(run, FAIL, "case.txt: neither layer_sizes nor input_shape and channels");
        for (size_t k = 1; k < maps; k++)
            connections[made++] = (bnnep_connection)BNNEP_CONV(
                (int32_t)channels[k], (int32_t)case_number(c, "kernelSize", 0), (int32_t)case_number(c, "padding", 0),
                (int32_t)case_number(c, "Fpool", 0));
        layers = case_list(c, "fc_sizes", list, MOST);
    }
    for (size_t k = fc_from; k < layers && made < MOST; k++)
        connections[made++] = (bnnep_connection)BNNEP_FC((int32_t)list[k]);
    if (made == 0 || made >= MOST)
        return explain(run, FAIL, "case.txt: %zu connections", made);
    o->dynamics = strstr(case_text(c, "class"), "bin_W_N") ? BNNEP_DYNAMICS_BINARY : BNNEP_DYNAMICS_REAL;
    o->input_channels = (int32_t)input[0];
    o->input_height = (int32_t)input[1];
    o->input_width = (int32_t)input[2];
    o->expand_output = (int32_t)case_number(c, "expand_output", 1);
    if (o->expand_output < 1)
        return explain(run, FAIL, "case.txt: expand_output is %d", o->expand_output);
    o->classes = connections[made - 1].outputs / o->expand_output;
    o->connections = connections;
    o->connection_count = made;
    o->theta = case_number(c, "rho_threshold", 0.5);
    o->gamma_neur = case_number(c, "gamma_neur", 0.5);
    o->free_steps = (int32_t)case_number(c, "T", 0);
    for (size_t b = 0; b < (size_t)case_number(c, "batches", 0); b++) {
        char key[32];
        size_t samples = 0;
        snprintf(key, sizeof key, "label.%zu", b);
        if (case_tensor(c, key, &samples) && samples > (size_t)o->max_batch)
            o->max_batch = (int32_t)samples;
    }
    run->connections = made;
    return PASS;
}

static enum result build_network(struct run *run, const char *backend) {
    bnnep_context_options where = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_connection connections[MOST];
    bnnep_context *context;
    const enum result described = describe(run, &o, connections);
    if (described != PASS)
        return described;
    where.backend = backend;
    bnnep_status status = bnnep_context_create(&where, &context);
    if (status == BNNEP_OK)
        status = bnnep_network_create(context, &o, &run->network);
    bnnep_context_free(context); /* the network keeps it */
    return status == BNNEP_OK ? PASS : refused(run, status);
}

static enum result build_optimizer(struct run *run) {
    const struct golden_case *c = run->c;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    double gamma[MOST], threshold[MOST], lr_bias[MOST], lr_alpha[MOST];
    const bool learn_alpha = case_number(c, "learnAlpha", 0) != 0;
    if (case_list(c, "gamma", gamma, MOST) != run->connections ||
        case_list(c, "threshold", threshold, MOST) != run->connections ||
        case_list(c, "lr_bias", lr_bias, MOST) != run->connections ||
        (learn_alpha && case_list(c, "lr_alpha", lr_alpha, MOST) != run->connections))
        return explain(run, FAIL, "case.txt: gamma, threshold, lr_bias, lr_alpha: not one value a connection");
    p.method = strcmp(case_text(c, "optim") ? case_text(c, "optim") : "ep", "bptt") == 0
                   ? BNNEP_METHOD_BPTT
                   : BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
    p.nudged_steps = (int32_t)case_number(c, "Kmax", 0);
    p.nudge = BNNEP_NUDGE_FIXED;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = lr_bias;
    p.lr_alpha = learn_alpha ? lr_alpha : NULL;
    const bnnep_status status = bnnep_optimizer_create(run->network, &p, &run->optimizer);
    return status == BNNEP_OK ? PASS : refused(run, status);
}

/* Puts the initial values of connection k. */
static enum result initialise(struct run *run, size_t k) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    bnnep_status status = bnnep_network_get_connection(run->network, k, &info);
    if (status != BNNEP_OK)
        return refused(run, status);
    const size_t weights = (size_t)(info.rows * info.columns);
    const float *sign = named(run, weights, k, "init.sign.%zu", k);
    const float *alpha = named(run, (size_t)info.scales, k, "init.alpha.%zu", k);
    const float *bias = named(run, (size_t)info.rows, k, "init.bias.%zu", k);
    int8_t *signs = malloc(weights);
    if (!sign || !alpha || !bias || !signs) {
        free(signs);
        return FAIL;
    }
    for (size_t i = 0; i < weights; i++)
        signs[i] = sign[i] > 0 ? 1 : -1;
    status = bnnep_network_set_signs(run->network, k, signs, weights);
    free(signs);
    if (status == BNNEP_OK)
        status = bnnep_network_set_alpha(run->network, k, alpha, (size_t)info.scales);
    if (status == BNNEP_OK)
        status = bnnep_network_set_bias(run->network, k, bias, (size_t)info.rows);
    return status == BNNEP_OK ? PASS : refused(run, status);
}

/* --- checking a batch --------------------------------------------------------------------------------------------- */

static enum result check_states(struct run *run, size_t k, size_t count, bool bptt) {
    float *ours = malloc(count * sizeof *ours);
    enum result result = ours ? PASS : FAIL;
    for (int phase = BNNEP_PHASE_FREE; result == PASS && phase <= (bptt ? BNNEP_PHASE_FREE : BNNEP_PHASE_NUDGED);
         phase++) {
        const char *name = phase == BNNEP_PHASE_FREE ? "free" : "nudged";
        const bnnep_status status =
            bnnep_workspace_get_state(bnnep_network_workspace(run->network), phase, k + 1, ours, count);
        if (status != BNNEP_OK)
            result = refused(run, status);
        else
            result = compare(run, phase == BNNEP_PHASE_FREE ? "free state" : "nudged state", k, ours,
                             named(run, count, k, "%s.%zu.%zu", name, run->batch, k), count, run->state_tolerance);
    }
    free(ours);
    return result;
}

static enum result check_signs(struct run *run, size_t k, size_t weights) {
    const float *theirs = named(run, weights, k, "after.%zu.sign.%zu", run->batch, k);
    int8_t *signs = malloc(weights);
    size_t wrong = 0;
    if (!theirs || !signs || bnnep_network_get_signs(run->network, k, signs, weights) != BNNEP_OK) {
        free(signs);
        return FAIL;
    }
    for (size_t i = 0; i < weights; i++)
        wrong += (signs[i] > 0) != (theirs[i] > 0);
    free(signs);
    return wrong ? explain(run, FAIL, "batch %zu: %zu signs of connection %zu differ", run->batch, wrong, k) : PASS;
}

static enum result check_floats(struct run *run, size_t k, const bnnep_connection_info *info) {
    const size_t weights = (size_t)(info->rows * info->columns), rows = (size_t)info->rows;
    const size_t scales = (size_t)info->scales;
    float *ours = malloc((weights + rows + scales) * sizeof *ours);
    if (!ours)
        return FAIL;
    float *bias = ours + weights, *alpha = bias + rows;
    bnnep_status status = bnnep_optimizer_get_momentum(run->optimizer, k, ours, weights);
    if (status == BNNEP_OK)
        status = bnnep_network_get_bias(run->network, k, bias, rows);
    if (status == BNNEP_OK)
        status = bnnep_network_get_alpha(run->network, k, alpha, scales);
    enum result result = status == BNNEP_OK ? PASS : refused(run, status);
    const size_t b = run->batch;
    if (result == PASS)
        result = compare(run, "momentum", k, ours, named(run, weights, k, "momentum.%zu.%zu", b, k), weights,
                         run->momentum_tolerance);
    if (result == PASS)
        result =
            compare(run, "bias", k, bias, named(run, rows, k, "after.%zu.bias.%zu", b, k), rows, run->bias_tolerance);
    if (result == PASS)
        result = compare(run, "alpha", k, alpha, named(run, scales, k, "after.%zu.alpha.%zu", b, k), scales,
                         run->bias_tolerance);
    free(ours);
    return result;
}

static enum result check_batch(struct run *run, const bnnep_report *report, size_t samples, bool bptt) {
    char key[32];
    double flips[MOST];
    snprintf(key, sizeof key, "flips.%zu", run->batch);
    if (case_list(run->c, key, flips, MOST) != run->connections)
        return explain(run, FAIL, "case.txt: %s: not one value a connection", key);
    for (size_t k = 0; k < run->connections; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(run->network, k, &info);
        if ((double)report->flips[k] != flips[k])
            return explain(run, FAIL, "batch %zu: %llu flips of connection %zu, expected %.0f", run->batch,
                           (unsigned long long)report->flips[k], k, flips[k]);
        enum result result = check_states(run, k, samples * (size_t)info.units, bptt);
        if (result == PASS)
            result = check_signs(run, k, (size_t)(info.rows * info.columns));
        if (result == PASS)
            result = check_floats(run, k, &info);
        if (result != PASS)
            return result;
    }
    const float *loss = named(run, 1, 0, "loss.%zu", run->batch);
    if (!loss)
        return FAIL;
    const float ours = (float)report->loss;
    return compare(run, "loss", 0, &ours, loss, 1, 1e-5 * fmax(1.0, (double)loss[0]));
}

static enum result train_batch(struct run *run, bool bptt) {
    char key[32];
    size_t samples = 0;
    snprintf(key, sizeof key, "label.%zu", run->batch);
    const float *label = case_tensor(run->c, key, &samples);
    int32_t labels[4096];
    uint64_t flips[MOST];
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_network_get_info(run->network, &info);
    if (!label || samples > 4096)
        return explain(run, FAIL, "tensor %s: %zu samples", key, samples);
    for (size_t n = 0; n < samples; n++)
        labels[n] = (int32_t)label[n];
    const float *x = named(run, samples * (size_t)info.inputs, 0, "x.%zu", run->batch);
    if (!x)
        return FAIL;
    snprintf(key, sizeof key, "beta.%zu", run->batch);
    const double beta = case_number(run->c, key, 0);
    if (!bptt && bnnep_optimizer_set_rates(run->optimizer, BNNEP_RATE_BETA, &beta, 1) != BNNEP_OK)
        return refused(run, BNNEP_ERROR_ARGUMENT);
    bnnep_report report = BNNEP_REPORT_INIT;
    report.flips = flips;
    report.flips_count = MOST;
    const bnnep_status status = bnnep_optimizer_train_batch(run->optimizer, x, labels, samples, NULL, &report);
    return status == BNNEP_OK ? check_batch(run, &report, samples, bptt) : refused(run, status);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static enum result run_case(struct run *run, const char *backend) {
    const char *class = case_text(run->c, "class");
    const char *optim = case_text(run->c, "optim");
    const bool bptt = optim && strcmp(optim, "bptt") == 0, binary = strstr(class, "bin_W_N") != NULL;
    const bool conv = strncmp(class, "conv", 4) == 0;
    /* tests/golden/README.md */
    run->state_tolerance = bptt || (!conv && !binary) ? 2e-6 : 3e-4;
    run->momentum_tolerance = conv && !binary && !bptt ? 3e-4 : 1e-6;
    run->bias_tolerance = conv && !binary && !bptt ? 3e-4 : 2e-6;
    enum result result = build_network(run, backend);
    if (result == PASS)
        result = build_optimizer(run);
    for (size_t k = 0; result == PASS && k < run->connections; k++)
        result = initialise(run, k);
    const size_t batches = (size_t)case_number(run->c, "batches", 0);
    if (result == PASS && batches == 0)
        result = explain(run, FAIL, "case.txt: no batches");
    for (run->batch = 0; result == PASS && run->batch < batches; run->batch++)
        result = train_batch(run, bptt);
    return result;
}

static enum result try_case(const char *folder, const char *backend) {
    static const char *const names[] = {"pass", "fail", "skip"};
    struct run run = {0};
    struct golden_case *c = case_open(folder, run.why);
    run.c = c;
    const enum result result = c ? run_case(&run, backend) : FAIL;
    bnnep_optimizer_free(run.optimizer);
    bnnep_network_free(run.network);
    case_close(c);
    size_t end = strlen(folder), start;
    while (end > 1 && folder[end - 1] == '/')
        end--;
    for (start = end; start > 0 && folder[start - 1] != '/';)
        start--;
    printf("case=%.*s backend=%s result=%s%s%s\n", (int)(end - start), folder + start, backend, names[result],
           result == PASS ? "" : " ", result == PASS ? "" : run.why);
    fflush(stdout);
    return result;
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.' && !strchr(entry->d_name, '.');
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"backend", required_argument, NULL, 'b'}, {NULL, 0, NULL, 0}};
    const char *backend = NULL;
    size_t counts[3] = {0, 0, 0};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c != 'b') {
            fprintf(stderr, "usage: test_golden [--backend NAME] [CASE_DIR...]\n");
            return 2;
        }
        backend = optarg;
    }
    struct dirent **built_in = NULL;
    const int built_ins = optind == argc ? scandir(BNNEP_GOLDEN_DIR, &built_in, is_visible, alphasort) : 0;
    const int cases = optind == argc ? built_ins : argc - optind;
    bnnep_context *context;
    if (bnnep_context_create(NULL, &context) != BNNEP_OK)
        return 1;
    for (size_t b = 0; b < (backend ? 1 : bnnep_backend_count(context)); b++) {
        bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
        if (!backend)
            bnnep_backend_get(context, b, &info);
        if (!backend && !info.available)
            continue;
        for (int i = 0; i < cases; i++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", BNNEP_GOLDEN_DIR, built_in ? built_in[i]->d_name : "");
            counts[try_case(built_in ? path : argv[optind + i], backend ? backend : info.name)]++;
        }
    }
    for (int i = 0; i < built_ins; i++)
        free(built_in[i]);
    free(built_in);
    bnnep_context_free(context);
    printf("%zu passed, %zu failed, %zu skipped\n", counts[PASS], counts[FAIL], counts[SKIP]);
    return counts[FAIL] == 0 && counts[PASS] > 0 ? 0 : 1;
}
