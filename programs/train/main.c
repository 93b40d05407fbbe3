/* SPDX-License-Identifier: MIT */
/* bnnep-train: the paper's program. One line an epoch on standard output. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/program.h"
#include "common/sample.h"
#include "folder.h"
#include "train.h"

static int32_t interrupted;

static void interrupt(int signal_number) {
    (void)signal_number;
    bnnep_interrupt(&interrupted);
}

/* The first Ctrl-C ends the run before the batch under way, or after the test that an epoch ends with; the second one
 * kills, as ever. What it interrupts starts again: an epoch that is done is printed and kept. So do the signals by
 * which systems and batch queues end a job; one of a terminal that closes is passed over where nohup said so. */
static void catch_signals(void) {
    static const int caught[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        if (caught[i] != SIGHUP || (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN))
            sigaction(caught[i], &action, NULL);
}

/* What the callback draws and watches. */
struct watch {
    struct progress bar;
    double save_after; /* seconds since the last checkpoint; 0: never */
    const struct folder *folder;
};

static bool is_due(const struct watch *watch) {
    return watch->save_after > 0.0 && progress_now() - watch->folder->saved_at >= watch->save_after;
}

/* Stops for a checkpoint: the epoch is then gone on with. */
static int32_t on_progress(void *user, const bnnep_progress *event) {
    struct watch *watch = user;
    if (event->event != BNNEP_EVENT_BATCH)
        return 0;
    progress_draw(&watch->bar, event);
    return is_due(watch);
}

static double percent(uint64_t part, uint64_t whole) {
    return 100.0 * (double)part / (double)whole;
}

static int print_epoch(int number, const struct epoch *epoch, size_t connections) {
    const bnnep_report *train = &epoch->train, *test = &epoch->test, *held = &epoch->validation;
    printf("epoch=%d train_error=%.2f test_error=%.2f train_error_single=%.2f test_error_single=%.2f "
           "train_loss=%.4f test_loss=%.4f ",
           number, percent(train->errors, train->samples), percent(test->errors, test->samples),
           percent(train->errors_single, train->samples), percent(test->errors_single, test->samples), train->loss,
           test->loss);
    if (held->samples > 0)
        printf("validation_error=%.2f ", percent(held->errors, held->samples));
    fputs("flips=", stdout);
    for (size_t k = 0; k < connections; k++)
        printf("%s%llu", k ? "," : "", (unsigned long long)train->flips[k]);
    printf(" seconds=%.1f\n", train->seconds);
    if (fflush(stdout) == 0)
        return 0;
    perror("bnnep-train: standard output");
    return 1;
}

/* Connections that do not learn, or in which too much flips, as at first it may; of each it is said once. */
static void warn_of_flips(const struct setup *setup, int epoch, const uint64_t *flips, bool warned[][2]) {
    for (size_t k = 0; k < setup->connections; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(setup->network, k, &info);
        const double share = (double)flips[k] / ((double)info.rows * (double)info.columns);
        const bool many = epoch > 1 && share > 0.1;
        if (flips[k] == 0 && !warned[k][0])
            fprintf(stderr, "bnnep-train: epoch %d: connection %zu flipped no weight\n", epoch, k);
        if (many && !warned[k][1])
            fprintf(stderr, "bnnep-train: epoch %d: connection %zu flipped %.0f %% of its weights\n", epoch, k,
                    100.0 * share);
        warned[k][0] = warned[k][0] || flips[k] == 0;
        warned[k][1] = warned[k][1] || many;
    }
}

/* From epoch `epochDecayLrAlpha` on, the learning rates of the scaling factors are divided by `decayLrAlpha`. */
static bnnep_status decay_lr_alpha(struct setup *setup, const struct options *options, int epoch) {
    double rates[MOST_VALUES];
    if (!options->learn_alpha)
        return BNNEP_OK;
    for (size_t k = 0; k < setup->connections; k++)
        rates[k] = setup->lr_alpha[k] / (epoch >= options->epoch_decay_lr_alpha ? options->decay_lr_alpha : 1.0);
    return bnnep_optimizer_set_rates(setup->optimizer, BNNEP_RATE_ALPHA, rates, setup->connections);
}

/* Trains one epoch, or what is left of it, with checkpoints on the way. Returns the exit status, or 0; *done is false
 * after Ctrl-C. */
static int train_epoch(struct setup *setup, const struct options *options, struct folder *folder, int epoch,
                       bnnep_report *report, bool *done) {
    char what[64];
    struct watch watch = {.save_after = folder->open ? 60.0 * options->checkpoint_minutes : 0.0, .folder = folder};
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    run.progress = on_progress;
    run.user = &watch;
    run.interrupt = &interrupted;
    bnnep_status status = decay_lr_alpha(setup, options, epoch);
    snprintf(what, sizeof what, "epoch %d/%d", epoch, options->epochs);
    progress_open(&watch.bar, what);
    *done = false;
    while (status == BNNEP_OK && !*done) {
        status = bnnep_optimizer_train_epoch(setup->optimizer, setup->train, &run, report);
        *done = status == BNNEP_OK;
        if (status != BNNEP_CANCELLED)
            break;
        const int saved = folder_save(folder, setup);
        if (saved || interrupted) {
            progress_clear(&watch.bar);
            return saved;
        }
        status = BNNEP_OK;
    }
    progress_clear(&watch.bar);
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

/* Ctrl-C does not stop the test: the epoch that was trained would be lost. */
static int32_t on_test(void *user, const bnnep_progress *event) {
    if (event->event == BNNEP_EVENT_BATCH)
        progress_draw(user, event);
    return 0;
}

/* Tests are made in batches of their own size. */
static bnnep_status open_tester(const struct setup *setup, const struct options *options, bnnep_workspace **tester) {
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_dataset_info data = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset_get_info(setup->test, &data);
    uint64_t most = data.count;
    if (setup->validation)
        bnnep_dataset_get_info(setup->validation, &data);
    most = data.count > most ? data.count : most;
    o.max_batch = options->test_batch_size;
    if (most < (uint64_t)o.max_batch)
        o.max_batch = (int32_t)most;
    return bnnep_workspace_create(setup->network, &o, tester);
}

static int test_epoch(const struct setup *setup, bnnep_workspace *tester, const bnnep_dataset *data,
                      bnnep_report *report) {
    struct progress bar;
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    run.workspace = tester;
    run.progress = on_test;
    run.user = &bar;
    progress_open(&bar, data == setup->test ? "test" : "validation");
    const bnnep_status status = bnnep_network_evaluate(setup->network, data, &run, report);
    progress_clear(&bar);
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

static int run(struct setup *setup, const struct options *options, struct folder *folder) {
    uint64_t flips[MOST_VALUES];
    double edges[MOST_VALUES], contrasts[MOST_VALUES];
    bool warned[MOST_VALUES][2] = {{false}};
    bnnep_workspace *tester;
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    const bnnep_status opened = open_tester(setup, options, &tester);
    int status = opened == BNNEP_OK ? 0 : setup_failed(opened);
    bnnep_optimizer_get_info(setup->optimizer, &info);
    for (int number = (int)info.epochs + 1; status == 0 && number <= options->epochs && !interrupted; number++) {
        struct epoch epoch = {BNNEP_REPORT_INIT, BNNEP_REPORT_INIT, BNNEP_REPORT_INIT};
        bool done;
        epoch.train.flips = flips;
        epoch.train.edges = edges;
        epoch.train.contrasts = contrasts;
        epoch.train.flips_count = MOST_VALUES;
        status = train_epoch(setup, options, folder, number, &epoch.train, &done);
        if (status || !done)
            break;
        if (setup->validation)
            status = test_epoch(setup, tester, setup->validation, &epoch.validation);
        if (status == 0)
            status = test_epoch(setup, tester, setup->test, &epoch.test);
        if (status == 0) /* first: who reads the lines may be gone */
            status = folder_epoch(folder, setup, &epoch);
        if (status == 0)
            status = print_epoch(number, &epoch, setup->connections);
        if (status == 0)
            warn_of_flips(setup, number, flips, warned);
    }
    bnnep_workspace_free(tester);
    if (interrupted)
        fputs("bnnep-train: interrupted\n", stderr);
    return status;
}

/* Trains, or compares gradients, as the options say. */
static int work(struct options *options, struct folder *folder) {
    struct setup setup;
    options->data = options->data ? options->data : data_folder(options->dataset);
    char *data = realpath(options->data, NULL); /* a run may be gone on with from elsewhere */
    options->data = data ? data : options->data;
    int status = setup_open(&setup, options);
    if (status == 0 && options->resume)
        status = folder_load(folder, &setup, options);
    if (status == 0 && options->compare_gradients)
        status = compare_gradients(&setup, options);
    else if (status == 0) {
        status = options->resume ? folder_go_on(folder, &setup, options) : folder_create(folder, &setup, options);
        if (status == 0) {
            catch_signals();
            status = run(&setup, options, folder);
        }
    }
    setup_close(&setup);
    free(data);
    return status;
}

/* Goes on with the run of a checkpoint, by the options in its note, and over them those of this command line. */
static int resume_from(struct folder *folder, int argc, char **argv) {
    struct options options;
    char **words = NULL;
    int status = folder_read(folder);
    if (status)
        return status;
    const int count = options_split(folder->options, &words);
    if (count < 0)
        return complain_errno(folder->path);
    status = options_read(&options, count, words);
    const bool foreign = status < 0 && options.resume; /* no note says so */
    if (status < 0 && !foreign)
        status = options_add(&options, argc, argv);
    if (foreign)
        complain(folder->path, "its checkpoint's note was not written by this program");
    else if (status < 0)
        status = work(&options, folder);
    free(words);
    return foreign ? FOLDER_UNUSABLE : status;
}

/* From the last checkpoint, or from the one before if that cannot be used. */
static int resume(const struct options *options, struct folder *folder, int argc, char **argv) {
    if (options->no_save || options->out) {
        fprintf(stderr, "bnnep-train: --resume goes on in its own folder, not with --%s\n",
                options->no_save ? "no-save" : "out");
        return 2;
    }
    int status = folder_find(folder, options->resume, !options->compare_gradients);
    if (status)
        return status;
    do
        status = resume_from(folder, argc, argv);
    while (status == FOLDER_UNUSABLE && folder_step_back(folder));
    return status == FOLDER_UNUSABLE ? 1 : status;
}

int main(int argc, char **argv) {
    struct options options;
    struct folder folder = {.open = false};
    program_name = "bnnep-train";
    int status = options_read(&options, argc, argv);
    if (status < 0)
        status = options.resume ? resume(&options, &folder, argc, argv) : work(&options, &folder);
    folder_close(&folder);
    return status;
}
