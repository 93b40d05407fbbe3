/* SPDX-License-Identifier: MIT */
#include "picture.h"

#include <ctype.h>

/* The next number of the header, after white space and comments; -1 if there is none. */
static int header_number(FILE *file) {
    int c = fgetc(file), number = -1;
    while (isspace(c) || c == '#') {
        while (c == '#' && (c = fgetc(file)) != EOF && c != '\n')
            c = '#';
        c = fgetc(file);
    }
    for (; isdigit(c) && number < 100000; c = fgetc(file))
        number = 10 * (number < 0 ? 0 : number) + (c - '0');
    return isspace(c) ? number : -1; /* one white space closes it */
}

int picture_header(FILE *file, struct picture *picture) {
    const int first = fgetc(file), second = fgetc(file);
    if (first != 'P' || (second != '5' && second != '6'))
        return 0;
    picture->channels = second == '5' ? 1 : 3;
    picture->width = header_number(file);
    picture->height = header_number(file);
    picture->largest = header_number(file);
    return picture->width > 0 && picture->height > 0 && picture->largest > 0 && picture->largest < 256 ? 1 : -1;
}

const char *picture_values(FILE *file, const struct picture *picture, float *values) {
    const size_t channels = (size_t)picture->channels;
    const size_t pixels = (size_t)picture->height * (size_t)picture->width;
    for (size_t v = 0; v < channels * pixels; v++) { /* from interleaved to planar */
        const int byte = fgetc(file);
        if (byte == EOF)
            return "ends before its last pixel";
        if (byte > picture->largest)
            return "has a pixel above the largest value that its header tells";
        values[v % channels * pixels + v / channels] = (float)byte / (float)picture->largest;
    }
    return fgetc(file) == EOF ? NULL : "goes on after its last pixel";
}
