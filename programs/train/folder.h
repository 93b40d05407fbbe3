/* SPDX-License-Identifier: MIT */
/* The folder of a run, as the paper's program lays it out:
 *     OUT/DATA-0-<archi>-<dataset>/<YYYY-MM-DD>/S-<n>/
 *         Hyperparameters.txt    the options of the run, one a line
 *         results.csv            a row an epoch
 *         checkpoint.safetensors, checkpoint-previous.safetensors, checkpoint-best.safetensors
 *             their notes: "best=<lowest error> data=...", then the options as a command line
 *         network.safetensors    the best network, for inference
 */
#ifndef BNNEP_TRAIN_FOLDER_H
#define BNNEP_TRAIN_FOLDER_H

#include "train.h"

struct folder {
    char path[3072];
    bool open;            /* false: nothing is kept */
    int lock;             /* the folder, locked while a run is at work in it; 0: not open */
    bool whole;           /* checkpoint.safetensors is in use, not the previous one, and may become that */
    char *data, *options; /* of the note */
    double best;          /* lowest error in percent, of validation if there is one, else of the test; 101 before */
    double saved_at;      /* when the last checkpoint was written */
};

/* What is wrong is printed; the functions return the exit status, or 0. */

/* Makes the folder of a new run and writes its options. */
int folder_create(struct folder *folder, const struct setup *setup, const struct options *options);
/* Opens the folder of an earlier run. `work`: the run will be gone on with, by nobody else at the same time. */
int folder_find(struct folder *folder, const char *path, bool work);
/* What the next two return if the checkpoint is missing, damaged or of another run; what is wrong is printed. */
enum { FOLDER_UNUSABLE = -1 };
/* Reads the checkpoint's note. */
int folder_read(struct folder *folder);
/* Brings the setup, which was made with these options, to where the checkpoint stands. */
int folder_load(const struct folder *folder, struct setup *setup, const struct options *options);
/* Turns to the checkpoint before; false if there is none any more. */
bool folder_step_back(struct folder *folder);
/* Goes on with the run that was loaded: cuts the results back to it and keeps the options. */
int folder_go_on(struct folder *folder, const struct setup *setup, const struct options *options);
/* Writes a checkpoint, keeping the one before. */
int folder_save(struct folder *folder, const struct setup *setup);
/* Adds a row to the results, keeps the network if it is the best so far, and saves. */
int folder_epoch(struct folder *folder, const struct setup *setup, const struct epoch *epoch);
void folder_close(struct folder *folder);

#endif
