/* SPDX-License-Identifier: MIT */
/* What the parts of bnnep-train tell each other. */
#ifndef BNNEP_TRAIN_TRAIN_H
#define BNNEP_TRAIN_TRAIN_H

#include <bnnep/bnnep.h>

#include "common/setup.h"
#include "options.h"

/* What an epoch came to. */
struct epoch {
    bnnep_report train, test;
    bnnep_report validation; /* without samples if nothing is held back */
};

/* --- compare.c: --compare-gradients ------------------------------------------------------------------------------ */

int compare_gradients(struct setup *setup, const struct options *options);

/* --- progress.c: the bar on standard error --------------------------------------------------------------------- */

struct progress {
    const char *what; /* "epoch 2/50", "test" */
    bool visible;     /* standard error is a terminal */
    double started, drawn;
    int length; /* of the line that was drawn last */
};

double progress_now(void);
void progress_open(struct progress *progress, const char *what);
void progress_draw(struct progress *progress, const bnnep_progress *event);
void progress_clear(struct progress *progress);

#endif
