/* SPDX-License-Identifier: MIT */
/* results.csv: a row an epoch, under the names of its columns. The functions return the exit status, or 0; what is
 * wrong is printed. */
#ifndef BNNEP_TRAIN_RESULTS_H
#define BNNEP_TRAIN_RESULTS_H

#include "train.h"

/* A file without rows. */
int results_begin(const char *path, const struct setup *setup);
/* Keeps the first rows; with none to keep, the file is begun anew. */
int results_cut(const char *path, const struct setup *setup, uint64_t rows);
/* A row more. */
int results_add(const char *path, const struct setup *setup, const struct epoch *epoch);

#endif
