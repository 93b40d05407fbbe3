/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* FIRST: from here on, values of getopt_long() are places in the table. */
enum { MOST_OPTIONS = 16, FIRST = 256 };

const char *program_name = "bnnep";

int complain(const char *path, const char *what) {
    fprintf(stderr, "%s: ", program_name);
    print_text(stderr, path, strlen(path), "");
    fputs(": ", stderr);
    print_text(stderr, what, strlen(what), "");
    fputc('\n', stderr);
    return 1;
}

int complain_errno(const char *path) {
    return complain(path, strerror(errno));
}

int complain_library(void) {
    fprintf(stderr, "%s: %s\n", program_name, bnnep_last_error());
    return 1;
}

_Noreturn void program_usage(const struct program *program) {
    fprintf(stderr, "usage: %s %s\n", program->name, program->usage);
    exit(2);
}

int program_count(const char *name, const char *text, int most) {
    char *end;
    errno = 0;
    const long number = strtol(text, &end, 10);
    if (end != text && !*end && !errno && number >= 1 && number <= most)
        return (int)number;
    fprintf(stderr, "%s: --%s: '%s' is not a whole number from 1 to %d\n", program_name, name, text, most);
    exit(2);
}

/* --- options ------------------------------------------------------------------------------------------------- */

static uint64_t max_memory; /* 0: no limit */

int program_limit_memory(const char *text) {
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    const int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (*text < '0' || *text > '9' || errno || number == 0 || number > UINT64_MAX >> shift || end[unit != NULL]) {
        fprintf(stderr, "%s: --max-memory: '%s' is not a number of bytes, such as 512M\n", program_name, text);
        return 2;
    }
    max_memory = (uint64_t)number << shift;
    return 0;
}

static void print_option(const struct program_option *option) {
    char left[64];
    snprintf(left, sizeof left, "--%s %s", option->name, option->argument ? option->argument : "");
    printf("  %-17s %s\n", left, option->help);
}

static const struct program_option limit = {
    "max-memory", "SIZE", "most that a file or what is made of it may take: 512M, 4G [1G of what files ask for]", 0};

static _Noreturn void help(const struct program *program) {
    printf("usage: %s %s\n\n%s\n\n", program->name, program->usage, program->about);
    for (const struct program_option *option = program->options; option->name; option++)
        print_option(option);
    if (program->reads_files)
        print_option(&limit);
    puts("  --help            print this and exit\n"
         "  --version         print the version and exit\n");
    if (program->end)
        printf("%s\n\n", program->end);
    puts("Exit status: 0; 1 failed; 2 wrong usage.");
    exit(fflush(stdout) == 0 ? 0 : complain("standard output", "cannot be written"));
}

static _Noreturn void version(const struct program *program) {
    printf("%s %s\n", program->name, bnnep_version_string());
    exit(fflush(stdout) == 0 ? 0 : complain("standard output", "cannot be written"));
}

/* What getopt_long() does not take: `found` is '?' or ':'. */
static _Noreturn void refuse(int found, const char *given) {
    const char letter[] = {'-', (char)optopt, '\0'};
    const char *said = found == ':' || optopt == 0 || optopt >= FIRST ? given : letter;
    fprintf(stderr, "%s: %s '%s'; see %s --help\n", program_name,
            found == ':'      ? "a value is missing after"
            : optopt >= FIRST ? "no value goes with"
                              : "unknown option",
            said, program_name);
    exit(2);
}

/* The place in the program's table, or behind it: 0 --help, 1 --version, 2 --max-memory. */
static int next_place(const struct program *program, int argc, char **argv, int *behind) {
    struct option longs[MOST_OPTIONS + 4] = {{NULL, 0, NULL, 0}};
    int count = 0;
    char letters[16];
    program_name = program->name;
    for (const struct program_option *o = program->options; o->name && count < MOST_OPTIONS; o++, count++)
        longs[count] = (struct option){o->name, o->argument ? required_argument : no_argument, NULL, FIRST + count};
    longs[count] = (struct option){"help", no_argument, NULL, FIRST + count};
    longs[count + 1] = (struct option){"version", no_argument, NULL, FIRST + count + 1};
    if (program->reads_files)
        longs[count + 2] = (struct option){limit.name, required_argument, NULL, FIRST + count + 2};
    snprintf(letters, sizeof letters, ":h%s", program->letters ? program->letters : "");
    opterr = 0;
    const int found = getopt_long(argc, argv, letters, longs, NULL);
    if (found == '?' || found == ':')
        refuse(found, argv[optind - 1]);
    *behind = found == 'h' ? 0 : found - FIRST - count;
    return found;
}

int program_next(const struct program *program, int argc, char **argv) {
    for (;;) {
        int behind;
        const int found = next_place(program, argc, argv, &behind);
        if (behind == 0)
            help(program);
        if (behind == 1)
            version(program);
        if (behind < 2)
            return found >= FIRST ? program->options[found - FIRST].key : found;
        if (program_limit_memory(optarg) != 0)
            exit(2);
    }
}

/* --- what is asked of the library ---------------------------------------------------------------------------- */

static void log_line(void *user, int32_t level, const char *message) {
    (void)user;
    if (level <= BNNEP_LOG_WARNING)
        fprintf(stderr, "%s: %s\n", program_name, message);
}

bnnep_status program_context(const char *backend, int threads, bnnep_context **out) {
    bnnep_context_options options = BNNEP_CONTEXT_OPTIONS_INIT;
    options.backend = backend;
    options.threads = threads;
    options.log = log_line;
    options.max_bytes = options.file_network = options.file_unpacked = max_memory;
    return bnnep_context_create(&options, out);
}

bnnep_status program_file_text(const char *path, const char *key, char **text) {
    size_t length;
    *text = NULL;
    bnnep_status status = bnnep_file_text(path, key, NULL, 0, &length);
    if (status != BNNEP_OK)
        return status;
    char *found = malloc(length + 1);
    status = found ? bnnep_file_text(path, key, found, length + 1, NULL) : BNNEP_ERROR_MEMORY;
    if (status == BNNEP_OK)
        *text = found;
    else
        free(found);
    return status;
}
