/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *number_text(double value, char text[NUMBER_ROOM]) {
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, NUMBER_ROOM, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

const char *float_text(float value, char text[NUMBER_ROOM]) {
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, NUMBER_ROOM, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return text;
}

/* Levenshtein's distance; longer words than the row count as far. */
static size_t distance(const char *a, const char *b) {
    size_t row[64];
    const size_t length = strlen(b);
    if (length + 1 > sizeof row / sizeof row[0])
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < row[j] ? change : row[j];
        }
    }
    return row[length];
}

const char *nearest(const char *name, const char *const *names, size_t count) {
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const size_t far = distance(name, names[i]);
        if (!best || far < least) {
            best = names[i];
            least = far;
        }
    }
    return best;
}
