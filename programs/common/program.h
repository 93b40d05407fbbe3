/* SPDX-License-Identifier: MIT */
/* What programs do alike: --help, --version, words about wrong usage, what they ask of the library. */
#ifndef BNNEP_PROGRAMS_PROGRAM_H
#define BNNEP_PROGRAMS_PROGRAM_H

#include <stdbool.h>

#include <bnnep/bnnep.h>

/* What messages begin with; set by program_next(), or by main(). */
extern const char *program_name;

struct program_option {
    const char *name, *argument, *help; /* without its dashes; NULL: it takes no value */
    int key;                            /* what program_next() returns for it */
};

struct program {
    const char *name;
    const char *usage;                    /* what stands behind the name */
    const char *about, *end;              /* of --help, above and below the options; the latter may be NULL */
    const struct program_option *options; /* up to one without a name; --help and --version come by themselves */
    const char *letters; /* of keys that are options of a letter too, as getopt() takes them, or NULL */
    bool reads_files;    /* of others: then it has --max-memory too, which comes by itself as well */
};

/* As getopt_long(): the next option's key, its value in optarg; -1 when there are no more. --help and --version print
 * and exit with 0; what is no option exits with 2, after a line that says so. */
int program_next(const struct program *program, int argc, char **argv);
/* Prints how the program is called, to standard error, and exits with 2. */
_Noreturn void program_usage(const struct program *program);
/* The value of option `name`, a whole number from 1 to `most`; else says so and exits with 2. */
int program_count(const char *name, const char *text, int most);
enum { MOST_THREADS = 64 };

/* "program: path: what" on standard error; returns 1, the exit status. */
int complain(const char *path, const char *what);
/* The same with what errno says. */
int complain_errno(const char *path);
/* The same with the library's last error. */
int complain_library(void);

/* What --max-memory says, "512M" or another whole number of bytes with K, M, G or none: the contexts below keep to it.
 * Returns 0, or says what is wrong and returns 2. */
int program_limit_memory(const char *text);
/* A context with this backend, NULL: "auto", and so many threads, 0: one a processor. Its warnings are printed. */
bnnep_status program_context(const char *backend, int threads, bnnep_context **out);
/* A text of a file's metadata, see bnnep_file_text(): free() it. NULL if it cannot be read. */
bnnep_status program_file_text(const char *path, const char *key, char **text);

#endif
