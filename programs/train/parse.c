/* SPDX-License-Identifier: MIT */
/* The command line of bnnep-train, read by the table. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bnnep/bnnep.h>

#include "common/presets.h"
#include "common/program.h"
#include "common/text.h"

enum { FIRST = 256 }; /* from here on, values of getopt_long() are places in the table */

static int refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int refuse(const char *format, ...) {
    char text[1024]; /* what it quotes may come from a checkpoint's note */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(arguments);
    fprintf(stderr, "%s: ", program_name);
    print_text(stderr, text, strlen(text), "");
    fprintf(stderr, "\nTry '%s --help'.\n", program_name);
    return 2;
}

static int list_presets(void) {
    for (size_t i = 0; i < preset_count; i++)
        puts(presets[i].name);
    return 0;
}

static int unknown(const char *given) {
    const char *names[MOST_KNOWN];
    for (size_t i = 0; i < known_count; i++)
        names[i] = known[i].name;
    const char *dashes = given + strspn(given, "-");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(dashes, "="), dashes);
    return refuse("unknown option '%s'; did you mean '--%s'?", given, nearest(name, names, known_count));
}

/* A number within the option's limits. Returns 0 or complains. */
static int read_number(const struct known *option, const char *text, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (end > text && strncmp(end, "--", 2) == 0) /* as in a command that is printed in the paper's page */
        return refuse("--%s: '%s' is not a number; does it lack a space before '%s'?", option->name, text, end);
    if (end == text || *end || !isfinite(*value) || errno == ERANGE)
        return refuse("--%s: '%s' is not a number", option->name, text);
    if (*value < option->min || *value > option->max)
        return refuse("--%s is %s; it must be from %g to %g", option->name, text, option->min, option->max);
    if ((option->kind == INTEGER || option->kind == LONG || option->kind == COUNTS) && *value != floor(*value))
        return refuse("--%s: '%s' is not a whole number", option->name, text);
    return 0;
}

static int read_text(const struct known *option, const char *text, const char **value) {
    size_t count = 0;
    for (; option->choices && option->choices[count]; count++)
        if (strcmp(option->choices[count], text) == 0)
            break;
    if (option->choices && !option->choices[count])
        return refuse("--%s: unknown value '%s'; did you mean '%s'?", option->name, text,
                      nearest(text, option->choices, count));
    *value = option->choices ? option->choices[count] : text;
    return 0;
}

static int add_value(const struct known *option, struct list *list, const char *text) {
    if (list->count == MOST_VALUES)
        return refuse("--%s has more than %d values", option->name, MOST_VALUES);
    return read_number(option, text, &list->value[list->count++]);
}

/* Stores the (first) value of an option. Returns 0 or complains. */
static int store(struct options *options, const struct known *option, const char *text) {
    void *field = (char *)options + option->at;
    double number;
    int status;
    switch (option->kind) {
    case TEXT:
        return read_text(option, text, field);
    case LIST:
    case COUNTS:
        ((struct list *)field)->count = 0;
        return add_value(option, field, text);
    case FLAG:
        *(bool *)field = true;
        return 0;
    default:
        status = read_number(option, text, &number);
        if (status)
            return status; /* and no cast of what may fit nowhere */
    }
    if (option->kind == NUMBER)
        *(double *)field = number;
    else if (option->kind == LONG)
        *(int64_t *)field = (int64_t)number;
    else
        *(int *)field = (int)number;
    return 0;
}

static int parse(struct options *options, int argc, char **argv);

/* Reads the command of a preset as if it stood in the command line. */
static int use_preset(struct options *options, const char *name) {
    const struct preset *preset = preset_find(name);
    if (!preset) {
        const char *names[64];
        for (size_t i = 0; i < preset_count; i++)
            names[i] = presets[i].name;
        return refuse("unknown preset '%s'; did you mean '%s'?", name, nearest(name, names, preset_count));
    }
    if (preset->base) {
        const int status = use_preset(options, preset->base);
        if (status >= 0)
            return status;
    }
    char copy[1024], *words[128], *rest = NULL;
    int count = 1;
    words[0] = copy;
    snprintf(copy, sizeof copy, "%s", preset->command);
    for (char *word = strtok_r(copy, " ", &rest); word && count < 127; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    words[count] = NULL;
    const int at = optind;
    optind = 0;
    const int status = parse(options, count, words);
    optind = at;
    return status;
}

/* Two options in one word; which they are is known when all are read. */
static int be_fast(struct options *options) {
    options->fast = true;
    options->schedule = NULL;
    options->settle = NAN;
    return -1;
}

/* Is feedback less than the paper's, so that a nudge moves the first layers by less than --fast tolerates else? */
static bool feeds_back_weakly(const struct options *o) {
    const bool deep = strcmp(o->archi, "fc") == 0 && o->layers.count > 3, nudged = strcmp(o->optim, "ep") == 0;
    const bool balanced = o->start && strcmp(o->start, "balanced") == 0;
    return o->feedback > 0.0 ? o->feedback < 1.0 : balanced && deep && nudged && o->grid == 0;
}

/* Over-relaxed steps lead elsewhere with pooling. Binary activations learnt worse with alternating steps at 1e-3, for
 * which of the two reasons is not known (docs/results.md). */
static void choose_fast(struct options *options) {
    const bool binary = strcmp(options->binary_settings, "bin_W_N") == 0, conv = strcmp(options->archi, "conv") == 0;
    if (!options->fast)
        return;
    if (!options->schedule)
        options->schedule = binary ? "synchronous" : conv ? "alternating" : "over-relaxed";
    if (isnan(options->settle))
        options->settle = binary ? 0.0 : feeds_back_weakly(options) ? 1e-6 : 1e-3;
    options->fast = false;
    fprintf(stderr, "bnnep-train: --fast: --schedule %s --settle %g\n", options->schedule, options->settle);
}

bool options_fall_ends(const struct options *o) {
    return o->fall && (strcmp(o->fall, "exponential") == 0 || strcmp(o->fall, "cosine") == 0);
}

/* Rates of convolutional networks, or of fully connected ones. */
static bool gives_rates_of(const struct options *o, bool conv) {
    if (!conv)
        return o->gamma.count > 0 || o->threshold.count > 0;
    return o->conv_gamma.count > 0 || o->conv_threshold.count > 0 || o->classi_gamma > 0.0 || o->classi_threshold > 0.0;
}

/* Rates that the run does not use do not count: a checkpoint's note leaves them out, and must be read as the same rule.
 */
static bool gives_rates(const struct options *o) {
    return o->lr_bias.count > 0 || (o->learn_alpha && o->lr_alpha.count > 0) ||
           gives_rates_of(o, strcmp(o->archi, "conv") == 0);
}

/* What else the default rule is, of two phases (bnnep_optimizer_options). */
static void choose_contrast(struct options *options, bool binary) {
    options->covariance = true;
    options->learn_alpha = !binary;
    if (binary && !options->beta_said)
        options->beta = 2.0;
    if (!options->nudge && options->random_beta)
        options->nudge = "centred";
}

/* If nobody said how to learn: the library's default rule. Returns -1 or an exit status. */
static int choose_rule(struct options *options) {
    const bool nudged = strcmp(options->optim, "ep") == 0;
    const bool binary = strcmp(options->binary_settings, "bin_W_N") == 0;
    options->default_rule = !gives_rates(options);
    if (options->default_rule && options->units && strcmp(options->units, "absolute") == 0)
        return refuse("--units absolute needs rates: --gamma and those that go with it");
    if (options->default_rule && options->lr_alpha.count > 0)
        return refuse("--lrAlpha needs --learnAlpha 1 and the other rates");
    if (options->default_rule && gives_rates_of(options, strcmp(options->archi, "conv") != 0))
        return refuse("--archi is %s, and the rates are for the other one", options->archi);
    if (options->default_rule && nudged && options->alpha_said && options->learn_alpha == binary)
        return refuse("--learnAlpha %d needs rates: without any, scaling factors are %slearnt with %s", binary,
                      binary ? "not " : "", options->binary_settings);
    if (options->default_rule && nudged && options->nudge && strcmp(options->nudge, "random") == 0)
        return refuse("--nudge random needs rates: without any, each batch is nudged by both signs");
    if (options->default_rule) {
        options->units = "deviations";
        options->fall = options->fall ? options->fall : "harmonic";
        options->start = options->start ? options->start : "balanced";
        if (nudged)
            choose_contrast(options, binary);
    }
    if (options_fall_ends(options)) {
        options->fall_to = options->fall_to > 0.0 ? options->fall_to : 0.01;
        options->fall_epochs = options->fall_epochs > 0 ? options->fall_epochs : options->epochs;
    } else if (options->fall_to > 0.0 || options->fall_epochs > 0)
        return refuse("--fall-to and --fall-epochs need --fall exponential or --fall cosine");
    return -1;
}

static int help(void) {
    options_help(stdout);
    return 0;
}

static int act(struct options *options, const struct known *option, const char *text) {
    switch (option->kind) {
    case HELP:
        return help();
    case VERSION:
        printf("bnnep-train %s\n", bnnep_version_string());
        return 0;
    case LIST_PRESETS:
        return list_presets();
    case PRESET:
        return use_preset(options, text);
    case FAST:
        return be_fast(options);
    default: {
        const int status = store(options, option, text);
        options->alpha_said |= option->at == offsetof(struct options, learn_alpha);
        options->beta_said |= option->at == offsetof(struct options, beta);
        return status ? status : -1;
    }
    }
}

/* Returns -1 to go on, or the exit status. */
static int parse(struct options *options, int argc, char **argv) {
    struct option longs[MOST_KNOWN + 1] = {{NULL, 0, NULL, 0}};
    for (int i = 0; i < (int)known_count; i++)
        longs[i] = (struct option){known[i].name, known[i].argument ? required_argument : no_argument, NULL, FIRST + i};
    const struct known *several = NULL; /* takes further values */
    opterr = 0;
    /* "-": words that are no option come in their place, as option 1; ":" tells a missing argument apart. */
    for (int c; (c = getopt_long(argc, argv, "-:h", longs, NULL)) != -1;) {
        if (c == ':')
            return refuse("%s needs a value", argv[optind - 1]);
        if (c == '?' && optopt >= FIRST)
            return refuse("--%s takes no value", known[optopt - FIRST].name);
        if (c == 'h')
            return help();
        if (c == '?')
            return unknown(optopt ? (const char[]){'-', (char)optopt, '\0'} : argv[optind - 1]);
        if (c == 1) {
            if (!several)
                return refuse("'%s' does not belong to any option", optarg);
            const int status = add_value(several, (struct list *)(void *)((char *)options + several->at), optarg);
            if (status)
                return status;
            continue;
        }
        const struct known *option = &known[c - FIRST];
        several = option->kind == LIST || option->kind == COUNTS ? option : NULL;
        const int status = act(options, option, optarg);
        if (status >= 0)
            return status;
    }
    if (optind < argc)
        return refuse("'%s' does not belong to any option", argv[optind]);
    return -1;
}

/* What options are if nobody says. */
static void set_standards(struct options *options) {
    *options = (struct options){.dataset = NULL};
    for (size_t i = 0; i < known_count; i++) {
        const struct known *option = &known[i];
        char *end = NULL;
        if (option->standard && option->kind != TEXT)
            strtod(option->standard, &end);
        if (option->standard && (option->choices || (end && *end == '\0')))
            store(options, option, option->standard);
    }
}

int options_add(struct options *options, int argc, char **argv) {
    optind = 0; /* glibc: start anew, also when called again */
    int status = parse(options, argc, argv);
    if (status < 0)
        status = choose_rule(options);
    if (status < 0)
        choose_fast(options);
    return status;
}

int options_read(struct options *options, int argc, char **argv) {
    set_standards(options);
    const int status = options_add(options, argc, argv);
    if (status >= 0)
        return status;
    if (options->layers.count == 0 && !options->resume)
        return refuse("say which network: --preset NAME, or --layersList and the options that go with it");
    return -1;
}

int options_split(const char *text, char ***argv) {
    /* one block: the words' addresses, then the words */
    static const char program[] = "bnnep-train";
    const size_t length = strlen(text) + 1, most = length + 2;
    char **words = malloc(most * sizeof *words + sizeof program + length);
    if (!words)
        return -1;
    char *copy = (char *)(words + most);
    int count = 0;
    words[count++] = memcpy(copy, program, sizeof program);
    copy = memcpy(copy + sizeof program, text, length);
    for (size_t at = 0, end; at + 1 < length; at = end + 1) {
        char *word = copy + at, *to = word;
        end = at + strcspn(word, " \n");
        copy[end] = '\0';
        if (end == at && (at == 0 || strncmp(text + at - 1, " \n", 2) != 0)) /* no word, nor an empty value */
            continue;
        words[count++] = word;
        for (const char *from = word; *from; from++) {
            const char code[] = {from[0] == '%' ? from[1] : '\0', from[0] == '%' && from[1] ? from[2] : '\0', '\0'};
            *to++ = code[1] ? (char)strtol(code, NULL, 16) : *from;
            from += code[1] ? 2 : 0;
        }
        *to = '\0';
    }
    words[count] = NULL;
    *argv = words;
    return count;
}
