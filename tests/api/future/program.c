/* SPDX-License-Identifier: MIT */
/*
 * A program that uses every structure that will grow; test_future.sh compiles it with the headers of today, and with
 * those of a later version (later.patch), and runs either with the library of today and with the later one.
 *
 *     program run FILE         trains a little, saves a network to FILE, prints what came out
 *     program set FIELD FILE   (later headers) sets a field that today's library does not know: prints how that ends
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bnnep/bnnep.h>

static void check(bnnep_status status) {
    if (status == BNNEP_OK)
        return;
    printf("%s: %s\n", bnnep_status_name(status), bnnep_last_error());
    exit(3);
}

/* The field that is set, if any. */
static const char *field = "";

static int is(const char *name) {
    return strcmp(field, name) == 0;
}

static bnnep_network *make_network(bnnep_context *context) {
    static const bnnep_connection connections[] = {BNNEP_FC(20), BNNEP_FC(4)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.connections = connections;
    o.connection_count = 2;
    o.input_channels = 6;
    o.classes = 4;
    o.max_batch = 8;
#ifdef LATER
    o.delays = is("network");
#endif
    check(bnnep_network_create(context, &o, &network));
    return network;
}

static bnnep_optimizer *make_optimizer(bnnep_network *network) {
    static const double gamma[] = {1e-2, 1e-2}, threshold[] = {1e-3, 1e-3}, rate[] = {0.1, 0.1};
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    o.gamma = gamma;
    o.threshold = threshold;
    o.lr_bias = rate;
#ifdef LATER
    o.nudge = is("nudge") ? BNNEP_NUDGE_TURNING : o.nudge;
    o.threshold_rows = is("threshold");
    o.counter_bits = is("counter") ? 8 : 0;
#endif
    check(bnnep_optimizer_create(network, &o, &optimizer));
    return optimizer;
}

#ifdef LATER
static void reduce(void *user, void *values, size_t count) {
    (void)user, (void)values, (void)count;
}
#endif

static void train(bnnep_network *network, bnnep_optimizer *optimizer) {
    float inputs[8][6];
    int32_t labels[8];
    uint64_t flips[2];
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    bnnep_relaxation phase = BNNEP_RELAXATION_INIT;
    for (int n = 0; n < 8; n++) {
        labels[n] = n % 4;
        for (int v = 0; v < 6; v++)
            inputs[n][v] = (float)((n * 7 + v * 3) % 11) / 10.0f;
    }
    report.flips = flips;
    report.flips_count = 2;
#ifdef LATER
    run.all_reduce = is("collectives") ? reduce : NULL;
    phase.delays = is("relaxation");
#endif
    for (int batch = 0; batch < 20; batch++) {
        check(bnnep_optimizer_train_batch(optimizer, inputs[0], labels, 8, &run, &report));
        printf("%d %d %d %.9g\n", (int)flips[0], (int)flips[1], (int)report.errors, report.loss);
    }
    check(bnnep_workspace_stage(bnnep_network_workspace(network), inputs[0], NULL, 8));
    check(bnnep_workspace_relax(bnnep_network_workspace(network), &phase, NULL));
}

int main(int argc, char **argv) {
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    const char *file = argv[argc - 1];
    field = argc > 3 ? argv[2] : "";
    o.backend = "cpu";
#ifdef LATER
    o.max_file_bytes = is("limits") ? 1000 : 0;
#endif
    check(bnnep_context_create(&o, &context));
    if (is("file")) { /* one that a later library wrote */
        bnnep_network *loaded;
        check(bnnep_network_load(context, file, NULL, &loaded));
        bnnep_network_free(loaded);
        return 0;
    }
    bnnep_network *network = make_network(context);
    bnnep_optimizer *optimizer = make_optimizer(network);
    train(network, optimizer);
    check(bnnep_network_save(network, file, NULL));
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    bnnep_context_free(context);
    return 0;
}
