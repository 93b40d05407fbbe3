/* SPDX-License-Identifier: MIT */
#ifndef BNNEP_EXAMPLES_NORMALISATION_H
#define BNNEP_EXAMPLES_NORMALISATION_H

#include <stddef.h>
#include <stdint.h>

/* How the inputs of a network have to be normalised: as bnnep-train noted in its file. */
struct normalisation {
    int32_t channels;
    float *mean, *deviation; /* [channels], or NULL: they stay as they are */
};

/* Reads it from the note of a network's file. NULL, or what is wrong. */
const char *normalisation_read(const char *path, int32_t channels, struct normalisation *normalisation);
/* Normalises inputs [count][channels][pixels]. */
void normalisation_apply(const struct normalisation *normalisation, float *inputs, size_t count, size_t pixels);
void normalisation_free(struct normalisation *normalisation);

#endif
