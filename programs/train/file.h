/* SPDX-License-Identifier: MIT */
/* The text files of a run's folder: on the disk when a function returns, and nobody else's file through a link. */
#ifndef BNNEP_TRAIN_FILE_H
#define BNNEP_TRAIN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Opens a file as open() does, but no symbolic link and nothing but a regular file. -1, and it is said why, if that
 * fails. */
int file_open(const char *path, int flags);
/* Waits until a file or folder is on the disk; false if that failed. */
bool file_sync(int descriptor);

/* Text on its way to a file, in memory: what is written at once is not there by half if memory runs out. */
struct text {
    char *text;
    size_t length;
    FILE *stream;  /* NULL: there is no memory for it */
    bool complete; /* what should be in it is; clear it if something could not be had */
};
void text_open(struct text *text);
/* Frees the text. It becomes a file of its own, which is whole or as it was before; or it goes behind what is in the
 * file, which must be there. They return the exit status, or 0. */
int text_write(struct text *text, const char *path);
int text_append(struct text *text, const char *path);

#endif
