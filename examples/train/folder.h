/* SPDX-License-Identifier: MIT */
/* The folder of a run, as the paper's program lays it out:
 *     OUT/DATA-0-<archi>-<dataset>/<YYYY-MM-DD>/S-<n>/
 *         Hyperparameters.txt    the options of the run, one a line
 *         results.csv            a row an epoch
 *         checkpoint.safetensors, checkpoint-previous.safetensors, checkpoint-best.safetensors
 *         network.safetensors    the best network, for inference
 */
#ifndef BNNEP_TRAIN_FOLDER_H
#define BNNEP_TRAIN_FOLDER_H

#include "train.h"

struct folder {
    char path[3072];
    bool open;       /* false: --no-save */
    double best;     /* lowest test error in percent, 101 before there is one */
    double saved_at; /* when the last checkpoint was written */
    char *note;      /* the options, which go into the checkpoint */
};

/* Makes the folder of a new run and writes its options. Prints what is wrong; returns the exit status, or 0. */
int folder_create(struct folder *folder, const struct setup *setup, const struct options *options, int argc,
                  char **argv);
/* Opens that of an earlier run: loads its checkpoint, or the one before if that is damaged, and cuts the results back
 * to it. */
int folder_resume(struct folder *folder, struct setup *setup, const char *path);
/* Reads the options of an earlier run from its checkpoint: argument words in a new array, freed with free(). */
int folder_arguments(const char *path, int *argc, char ***argv);
/* Writes a checkpoint, keeping the one before. */
int folder_save(struct folder *folder, const struct setup *setup);
/* Adds a row to the results, keeps the network if it is the best so far, and saves. */
int folder_epoch(struct folder *folder, const struct setup *setup, const bnnep_report *train, const bnnep_report *test);
void folder_close(struct folder *folder);

#endif
