/* SPDX-License-Identifier: MIT */
/* From the paper's options to the library's handles. */
#ifndef BNNEP_PROGRAMS_SETUP_H
#define BNNEP_PROGRAMS_SETUP_H

#include <bnnep/bnnep.h>

#include "options.h"

struct setup {
    bnnep_context *context;
    bnnep_dataset *train, *test, *validation; /* NULL: nothing is held back of the training set */
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    double lr_alpha[MOST_VALUES], gamma[MOST_VALUES], threshold[MOST_VALUES]; /* input first */
    size_t connections;
};

/* Prints what is wrong and returns the exit status, or 0. The setup is to be closed in either case. */
int setup_open(struct setup *setup, const struct options *options);
void setup_close(struct setup *setup);
/* The data in a line of text, the same if they are: "data=<CRC-32 of the training set>,<of the test set>", then ",<of
 * what is held back>" if anything is, and if they are normalised, " mean=<a number a channel,...> deviation=<...>".
 * free() it; NULL if out of memory. */
char *setup_describe_data(const struct setup *setup);
/* Prints the library's last error; returns the exit status for it. */
int setup_failed(bnnep_status status);

#endif
