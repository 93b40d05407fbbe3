/* SPDX-License-Identifier: MIT */
/* The options of bnnep-train as text: for people, for a run that is gone on with, and for --help. */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

/* Does an option matter to the run, the others being what they are? */
static bool applies(const struct options *o, enum matters matters) {
    const bool conv = strcmp(o->archi, "conv") == 0, binary = strcmp(o->binary_settings, "bin_W_N") == 0;
    switch (matters) {
    case CONNECTED:
        return !conv;
    case CONVOLUTIONAL:
        return conv;
    case REAL:
        return !binary;
    case BINARY:
        return binary;
    case NUDGED:
        return strcmp(o->optim, "ep") == 0;
    case LEARNT_ALPHA:
        return o->learn_alpha != 0;
    case FALLING:
        return options_fall_ends(o);
    case NO_BACKEND:
        return !o->backend;
    case NEVER:
        return false;
    default:
        return true;
    }
}

static bool is_set(const struct known *option, const void *field) {
    switch (option->kind) {
    case TEXT:
        return *(const char *const *)field != NULL;
    case INTEGER: /* 0 where it is not allowed: nobody said */
        return *(const int *)field != 0 || option->min <= 0.0;
    case LONG:
        return *(const int64_t *)field != 0 || option->min <= 0.0;
    case NUMBER:
        return *(const double *)field != 0.0 || option->min <= 0.0;
    case FLAG:
        return *(const bool *)field;
    case LIST:
    case COUNTS:
        return ((const struct list *)field)->count > 0;
    default:
        return false;
    }
}

static void print_number(FILE *file, double value) {
    char text[NUMBER_ROOM];
    fprintf(file, " %s", number_text(value, text));
}

/* A word in which white space, what is not ASCII and '%' are written %XX. */
static void print_word(FILE *file, const char *word) {
    fputc(' ', file);
    for (; *word; word++) {
        const unsigned char c = (unsigned char)*word;
        fprintf(file, c > ' ' && c < 127 && c != '%' ? "%c" : "%%%02X", c);
    }
}

/* The values of an option, each after a space. */
static void print_values(const struct known *option, const void *field, bool words, FILE *file) {
    const struct list *list = field;
    if (option->kind == TEXT && words)
        print_word(file, *(const char *const *)field);
    else if (option->kind == TEXT) {
        const char *text = *(const char *const *)field;
        fputc(' ', file);
        print_text(file, text, strlen(text), "");
    } else if (option->kind == INTEGER)
        fprintf(file, " %d", *(const int *)field);
    else if (option->kind == LONG)
        fprintf(file, " %lld", (long long)*(const int64_t *)field);
    else if (option->kind == NUMBER)
        print_number(file, *(const double *)field);
    else if (option->kind == FLAG && !words)
        fputs(" 1", file);
    for (size_t v = 0; (option->kind == LIST || option->kind == COUNTS) && v < list->count; v++)
        print_number(file, list->value[v]);
}

static void print_all(const struct options *options, bool words, FILE *file) {
    for (size_t i = 0; i < known_count; i++) {
        const struct known *option = &known[i];
        const void *field = (const char *)options + option->at;
        if (!is_set(option, field) || !applies(options, option->matters))
            continue;
        fprintf(file, words ? "--%s" : "%s =", option->name);
        print_values(option, field, words, file);
        fputc('\n', file);
    }
}

void options_print(const struct options *options, FILE *file) {
    print_all(options, false, file);
}

char *options_write(const struct options *options) {
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    if (!file)
        return NULL;
    print_all(options, true, file);
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

void options_help(FILE *file) {
    fputs(
        "usage: bnnep-train --preset NAME [OPTION...]\n"
        "       bnnep-train OPTION...\n\n"
        "Trains a binary network by equilibrium propagation: the commands of the paper as they are. Prints one line an\n"
        "epoch. Options that take several values take them in the order of the paper's program, which is output first\n"
        "for all but layersList.\n\n",
        file);
    for (size_t i = 0; i < known_count; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", known[i].name, known[i].argument ? known[i].argument : "");
        fprintf(file, "  %-26s %s", left, known[i].help);
        fprintf(file, known[i].standard ? " [%s]\n" : "\n", known[i].standard);
    }
    fputs("\nExit status: 0, also after Ctrl-C, SIGTERM, SIGHUP or SIGUSR1, which end the run before the batch under\n"
          "way, or after the test that an epoch ends with; 1 failed; 2 wrong usage.\n",
          file);
}
