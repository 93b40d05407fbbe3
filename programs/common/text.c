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

/* Bytes of the UTF-8 character that begins here; 0 if none does, or a control character. */
static size_t printable(const unsigned char *text, size_t length) {
    const unsigned char c = text[0];
    const size_t bytes = c < 0x80                ? 1
                         : c >= 0xc2 && c < 0xe0 ? 2
                         : c >= 0xe0 && c < 0xf0 ? 3
                         : c >= 0xf0 && c < 0xf5 ? 4
                                                 : 0;
    if (c < ' ' || c == 0x7f || bytes == 0 || bytes > length || (c == 0xc2 && text[1] < 0xa0))
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return bytes;
}

void print_text(FILE *to, const char *text, size_t length, const char *kept) {
    for (size_t i = 0, bytes; i < length; i += bytes) {
        bytes = text[i] && strchr(kept, text[i]) ? 1 : printable((const unsigned char *)text + i, length - i);
        if (bytes > 0)
            fwrite(text + i, 1, bytes, to);
        else {
            fprintf(to, "\\x%02x", (unsigned char)text[i]);
            bytes = 1;
        }
    }
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
