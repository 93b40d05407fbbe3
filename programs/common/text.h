/* SPDX-License-Identifier: MIT */
/* Words and numbers as people write them. */
#ifndef BNNEP_PROGRAMS_TEXT_H
#define BNNEP_PROGRAMS_TEXT_H

#include <stddef.h>
#include <stdio.h>

enum { NUMBER_ROOM = 32 };

/* The shortest text, of six digits or more where they are needed, that is read as the same number. Returns `text`. */
const char *number_text(double value, char text[NUMBER_ROOM]);
/* The same for a float, which needs fewer digits. */
const char *float_text(float value, char text[NUMBER_ROOM]);

/* Prints text that came from elsewhere, such as a file: what a terminal would obey (control characters) and what is not
 * UTF-8 as \xHH. The control characters in `kept` stay as they are, such as "\n\t". */
void print_text(FILE *to, const char *text, size_t length, const char *kept);

/* The name in names[] that is nearest to `name` by edit distance. */
const char *nearest(const char *name, const char *const *names, size_t count);

#endif
