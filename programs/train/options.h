/* SPDX-License-Identifier: MIT */
/* The command line of bnnep-train: the options of the paper's program as it spells them, and a few of our own. */
#ifndef BNNEP_TRAIN_OPTIONS_H
#define BNNEP_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/options.h"

/* --- options.c: the table ------------------------------------------------------------------------------------- */

/* What an option's value is, and PRESET to VERSION: what it does. */
enum kind { TEXT, INTEGER, LONG, NUMBER, LIST, COUNTS, FLAG, PRESET, FAST, LIST_PRESETS, HELP, VERSION };

/* When an option matters to a run, and is written down with it. */
enum matters { ALWAYS, CONNECTED, CONVOLUTIONAL, REAL, BINARY, NUDGED, LEARNT_ALPHA, FALLING, NO_BACKEND, NEVER };

/* All that there is to say about an option. --help, docs/options.md and the manual page are made of it. */
struct known {
    const char *name;            /* without its dashes */
    const char *argument, *unit; /* NULL: none */
    size_t at;                   /* offset in struct options */
    double min, max;             /* of INTEGER, LONG, NUMBER, LIST and COUNTS */
    const char *const *choices;  /* of TEXT, up to NULL; NULL: anything */
    enum kind kind;
    enum matters matters;
    const char *standard; /* what it is if nobody says: a number or a choice; else words for what nothing, or 0,
                           * comes to; NULL: no words */
    const char *help;     /* its line of --help */
    const char *text; /* what the pages say, in Markdown with `code` and [links](page.md); NULL: `help` as a sentence */
};

enum { MOST_KNOWN = 80 };
extern const struct known known[];
extern const size_t known_count;

/* Do rates fall to an end? */
bool options_fall_ends(const struct options *options);

/* --- parse.c: from the command line --------------------------------------------------------------------------- */

/* Reads more options over those that are there; -1, or the exit status as options_read() does. */
int options_add(struct options *options, int argc, char **argv);
/* The words that options_write() wrote, in one block to be freed with free(), after "bnnep-train"; their number, or -1
 * if out of memory. */
int options_split(const char *text, char ***argv);

/* --- print.c: as text ----------------------------------------------------------------------------------------- */

/* Writes the options that apply, one a line, for people. */
void options_print(const struct options *options, FILE *file);
/* The same as a command line in ASCII, whatever the words hold; free with free(). NULL if out of memory. */
char *options_write(const struct options *options);
/* What --help prints. */
void options_help(FILE *file);

#endif
