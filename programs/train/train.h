/* SPDX-License-Identifier: MIT */
/* What the parts of bnnep-train tell each other. */
#ifndef BNNEP_TRAIN_TRAIN_H
#define BNNEP_TRAIN_TRAIN_H

#include <bnnep/bnnep.h>

#include "options.h"

/* --- setup.c: from options to handles ------------------------------------------------------------------------- */

struct setup {
    bnnep_dataset *train, *test;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    double lr_alpha[MOST_VALUES], gamma[MOST_VALUES], threshold[MOST_VALUES]; /* input first */
    size_t connections;
};

/* Prints what is wrong and returns the exit status, or 0. The setup is to be closed in either case. */
int setup_open(struct setup *setup, const struct options *options);
void setup_close(struct setup *setup);
/* The data in a line of text, the same if they are: "data=<CRC-32 of the training set>,<of the test set>", and if they
 * are normalised, " mean=<a number a channel,...> deviation=<...>". free() it; NULL if out of memory. */
char *setup_describe_data(const struct setup *setup);
/* Prints the library's last error; returns the exit status for it. */
int setup_failed(bnnep_status status);

/* --- compare.c: --compare-gradients ------------------------------------------------------------------------------ */

int compare_gradients(struct setup *setup, const struct options *options);

/* --- progress.c: the bar on standard error --------------------------------------------------------------------- */

struct progress {
    const char *what; /* "epoch 2/50", "test" */
    bool visible;     /* standard error is a terminal */
    double started, drawn;
};

double progress_now(void);
void progress_open(struct progress *progress, const char *what);
void progress_draw(struct progress *progress, const bnnep_progress *event);
void progress_clear(struct progress *progress);

#endif
