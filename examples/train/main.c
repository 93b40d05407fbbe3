/* SPDX-License-Identifier: MIT */
/* bnnep-train: the paper's program. One line an epoch on standard output. */
#include <signal.h>
#include <stdio.h>

#include "train.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

/* The first Ctrl-C ends the run after the batch; the second one kills, as ever. */
static void catch_interrupt(void) {
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

static int32_t on_progress(void *user, const bnnep_progress *event) {
    if (event->event != BNNEP_EVENT_BATCH)
        return 0;
    progress_draw(user, event);
    return interrupted;
}

static double percent(uint64_t part, uint64_t whole) {
    return 100.0 * (double)part / (double)whole;
}

static int print_epoch(int epoch, const bnnep_report *train, const bnnep_report *test, size_t connections) {
    printf("epoch=%d train_error=%.2f test_error=%.2f train_error_single=%.2f test_error_single=%.2f "
           "train_loss=%.4f test_loss=%.4f flips=",
           epoch, percent(train->errors, train->samples), percent(test->errors, test->samples),
           percent(train->errors_single, train->samples), percent(test->errors_single, test->samples), train->loss,
           test->loss);
    for (size_t k = 0; k < connections; k++)
        printf("%s%llu", k ? "," : "", (unsigned long long)train->flips[k]);
    printf(" seconds=%.1f\n", train->seconds);
    if (fflush(stdout) == 0)
        return 0;
    perror("bnnep-train: standard output");
    return 1;
}

/* From epoch `epochDecayLrAlpha` on, the learning rates of the scaling factors are divided by `decayLrAlpha`. */
static bnnep_status decay_lr_alpha(struct setup *setup, const struct options *options, int epoch) {
    if (!options->learn_alpha || epoch != options->epoch_decay_lr_alpha)
        return BNNEP_OK;
    for (size_t k = 0; k < setup->connections; k++)
        setup->lr_alpha[k] /= options->decay_lr_alpha;
    return bnnep_optimizer_set_lr_alpha(setup->optimizer, setup->lr_alpha);
}

/* One epoch of training and its test. */
static bnnep_status run_epoch(struct setup *setup, const struct options *options, int epoch, bnnep_report *train,
                              bnnep_report *test) {
    char what[64];
    struct progress progress;
    bnnep_status status = decay_lr_alpha(setup, options, epoch);
    if (status != BNNEP_OK)
        return status;
    snprintf(what, sizeof what, "epoch %d/%d", epoch, options->epochs);
    progress_open(&progress, what);
    status =
        bnnep_train_epoch(setup->optimizer, setup->train, (size_t)options->batch_size, on_progress, &progress, train);
    progress_clear(&progress);
    if (status != BNNEP_OK)
        return status;
    progress_open(&progress, "test");
    status = bnnep_evaluate(setup->network, NULL, setup->test, on_progress, &progress, test);
    progress_clear(&progress);
    return status;
}

static int run(struct setup *setup, const struct options *options) {
    uint64_t flips[MOST_VALUES];
    for (int epoch = 1; epoch <= options->epochs && !interrupted; epoch++) {
        bnnep_report train = BNNEP_REPORT_INIT, test = BNNEP_REPORT_INIT;
        train.flips = flips;
        train.flips_count = MOST_VALUES;
        const bnnep_status status = run_epoch(setup, options, epoch, &train, &test);
        if (status == BNNEP_CANCELLED)
            break;
        if (status != BNNEP_OK)
            return setup_failed(status);
        const int printed = print_epoch(epoch, &train, &test, setup->connections);
        if (printed)
            return printed;
    }
    if (interrupted)
        fputs("bnnep-train: interrupted, ended after the batch\n", stderr);
    return 0;
}

int main(int argc, char **argv) {
    struct options options;
    struct setup setup;
    int status = options_read(&options, argc, argv);
    if (status >= 0)
        return status;
    status = setup_open(&setup, &options);
    if (status == 0) {
        catch_interrupt();
        status = run(&setup, &options);
    }
    setup_close(&setup);
    return status;
}
