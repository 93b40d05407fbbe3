/* SPDX-License-Identifier: MIT */
#ifndef BNNEP_EXAMPLES_PICTURE_H
#define BNNEP_EXAMPLES_PICTURE_H

#include <stdio.h>

/* A picture in PGM (P5, one channel) or PPM (P6, three), 8 bits a value. */
struct picture {
    int channels, height, width;
    int largest; /* value, 1 to 255, that is read as 1 */
};

/* Reads a picture's header from the beginning of a file. 1: done; 0: it is something else; -1: it cannot be read. */
int picture_header(FILE *file, struct picture *picture);
/* Reads the values behind the header up to the end of the file, [channels][height][width], from 0 to 1. NULL, or what
 * is wrong with them. */
const char *picture_values(FILE *file, const struct picture *picture, float *values);

#endif
