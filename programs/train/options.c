/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bnnep/bnnep.h>

enum kind { TEXT, INTEGER, LONG, NUMBER, LIST, COUNTS, FLAG, PRESET, LIST_PRESETS, HELP, VERSION };

struct known {
    const char *name, *argument, *help;
    enum kind kind;
    size_t at;                  /* offset in struct options */
    double min, max;            /* of INTEGER, LONG, NUMBER and LIST */
    const char *const *choices; /* of TEXT; NULL: anything */
};

#define AT(field) offsetof(struct options, field)

static const char *const datasets[] = {"mnist", "cifar10", NULL};
static const char *const optims[] = {"ep", "bptt", NULL};
static const char *const archis[] = {"fc", "conv", NULL};
static const char *const settings[] = {"bin_W", "bin_W_N", NULL};
static const char *const activations[] = {"hardsigm", "heaviside", NULL};

static const struct known table[] = {
    {"preset", "NAME", "a command of the paper; options after it override it", PRESET, 0, 0, 0, NULL},
    {"list-presets", NULL, "print the names of the presets, one a line", LIST_PRESETS, 0, 0, 0, NULL},
    {"data", "DIR", "folder with the data set [BNNEP_DATA, else the MNIST sample]", TEXT, AT(data), 0, 0, NULL},
    {"train-limit", "N", "train on the first N images [all]", LONG, AT(train_limit), 1, 1e15, NULL},
    {"test-limit", "N", "test on the first N images [all]", LONG, AT(test_limit), 1, 1e15, NULL},
    {"seed", "N", "initial values, order and signs of beta are drawn by it [0]", LONG, AT(seed), 0, 9e15, NULL},
    {"threads", "N", "threads of the cpu backend [one a core]", INTEGER, AT(threads), 1, 64, NULL},
    {"backend", "NAME", "auto, ref, cpu, cpu:threads=N, cuda:N [auto]", TEXT, AT(backend), 0, 0, NULL},
    {"no-shuffle", NULL, "take the images in the order of the file", FLAG, AT(no_shuffle), 0, 0, NULL},
    {"out", "DIR", "folder in which runs are kept [the current folder]", TEXT, AT(out), 0, 0, NULL},
    {"no-save", NULL, "keep nothing", FLAG, AT(no_save), 0, 0, NULL},
    {"checkpoint-minutes", "X", "write a checkpoint every X minutes too [0: after each epoch]", NUMBER,
     AT(checkpoint_minutes), 0, 1e9, NULL},
    {"resume", "DIR", "go on with the run in this folder, with its options; those given here override them", TEXT,
     AT(resume), 0, 0, NULL},
    {"compare-gradients", NULL, "print how the contrast follows the gradient of BPTT on one batch, and train nothing",
     FLAG, AT(compare_gradients), 0, 0, NULL},
    {"momentum-noise", NULL, "momenta start from noise, as in the paper's program for mnist-conv-bin", FLAG,
     AT(momentum_noise), 0, 0, NULL},
    {"settle", "TOL", "end a sample's phase when a step changes no state by more; <0: never [0, exact]", NUMBER,
     AT(settle), -1e30, 1e30, NULL},
    {"grid", "BITS", "round states to multiples of 2^-BITS: the same bits on every backend, bin_W [no]", INTEGER,
     AT(grid), 8, 20, NULL},
    {"help", NULL, "print this and exit", HELP, 0, 0, 0, NULL},
    {"version", NULL, "print the version and exit", VERSION, 0, 0, 0, NULL},
    {"dataset", "NAME", "mnist or cifar10 [mnist]", TEXT, AT(dataset), 0, 0, datasets},
    {"optim", "NAME", "ep or bptt [ep]", TEXT, AT(optim), 0, 0, optims},
    {"archi", "NAME", "fc or conv [fc]", TEXT, AT(archi), 0, 0, archis},
    {"binary_settings", "NAME", "bin_W or bin_W_N [bin_W]", TEXT, AT(binary_settings), 0, 0, settings},
    {"activationFun", "NAME", "hardsigm (bin_W) or heaviside (bin_W_N)", TEXT, AT(activation), 0, 0, activations},
    {"layersList", "N...", "units of the layers, input first; conv: of the classifier", COUNTS, AT(layers), 1, 1e9,
     NULL},
    {"convList", "N...", "channels, output first", COUNTS, AT(conv), 1, 1e9, NULL},
    {"padding", "N", "zero padding of the convolutions [0]", INTEGER, AT(padding), 0, 1e6, NULL},
    {"kernelSize", "N", "edge of the kernels [5]", INTEGER, AT(kernel), 1, 1e6, NULL},
    {"Fpool", "N", "edge of the pooling windows [2]", INTEGER, AT(pool), 1, 1e6, NULL},
    {"T", "N", "time steps of the free phase [50]", INTEGER, AT(T), 1, 1e9, NULL},
    {"Kmax", "N", "time steps of the nudged phase [10]", INTEGER, AT(Kmax), 1, 1e9, NULL},
    {"beta", "X", "strength of the nudge [0.3]", NUMBER, AT(beta), -1e30, 1e30, NULL},
    {"random_beta", "0|1", "draw the sign of beta for each batch [1]", INTEGER, AT(random_beta), 0, 1, NULL},
    {"gamma_neur", "X", "leak of the states, bin_W_N [0.5]", NUMBER, AT(gamma_neur), 0, 1, NULL},
    {"rho_threshold", "X", "threshold of the activations, bin_W_N [0.5]", NUMBER, AT(rho_threshold), 0, 1, NULL},
    {"expand_output", "N", "output units a class [1]", INTEGER, AT(expand_output), 1, 1e9, NULL},
    {"gamma", "X...", "gains of the momenta, output first", LIST, AT(gamma), 0, 1, NULL},
    {"gradThreshold", "X...", "thresholds of the flips, output first", LIST, AT(threshold), 0, 1e30, NULL},
    {"lrBias", "X...", "learning rates of the biases, output first", LIST, AT(lr_bias), 0, 1e30, NULL},
    {"learnAlpha", "0|1", "learn the scaling factors [0]", INTEGER, AT(learn_alpha), 0, 1, NULL},
    {"lrAlpha", "X...", "learning rates of the scaling factors, output first", LIST, AT(lr_alpha), 0, 1e30, NULL},
    {"decayLrAlpha", "X", "what lrAlpha is divided by, once [1]", NUMBER, AT(decay_lr_alpha), 1e-30, 1e30, NULL},
    {"epochDecayLrAlpha", "N", "the epoch from which on it is [1000]", INTEGER, AT(epoch_decay_lr_alpha), 1, 1e9, NULL},
    {"classi_gamma", "X", "conv: gain of the classifier's momentum", NUMBER, AT(classi_gamma), 0, 1, NULL},
    {"conv_gamma", "X...", "conv: gains of the convolutions, output first", LIST, AT(conv_gamma), 0, 1, NULL},
    {"classi_threshold", "X", "conv: threshold of the classifier", NUMBER, AT(classi_threshold), 0, 1e30, NULL},
    {"conv_threshold", "X...", "conv: thresholds of the convolutions, output first", LIST, AT(conv_threshold), 0, 1e30,
     NULL},
    {"batchSize", "N", "images a batch [64]", INTEGER, AT(batch_size), 1, 65536, NULL},
    {"test_batchSize", "N", "images tested at once, which changes no result [512]", INTEGER, AT(test_batch_size), 1,
     65536, NULL},
    {"epochs", "N", "times through the data [50]", INTEGER, AT(epochs), 1, 1e9, NULL},
    {"device", "N", "-1: cpu; N >= 0: --backend cuda:N [-1]", INTEGER, AT(device), -1, 1024, NULL},
};
enum { KNOWN = sizeof table / sizeof table[0], FIRST = 256 };

const char *program_name = "bnnep-train";

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nTry '%s --help'.\n", program_name);
    va_end(arguments);
    return 2;
}

static int help(void) {
    puts(
        "usage: bnnep-train --preset NAME [OPTION...]\n"
        "       bnnep-train OPTION...\n\n"
        "Trains a binary network by equilibrium propagation: the commands of the paper as they are. Prints one line an\n"
        "epoch. Options that take several values take them in the order of the paper's program, which is output first\n"
        "for all but layersList.\n");
    for (size_t i = 0; i < KNOWN; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", table[i].name, table[i].argument ? table[i].argument : "");
        printf("  %-26s %s\n", left, table[i].help);
    }
    puts(
        "\nExit status: 0, also after Ctrl-C, which ends the run after the batch, or after the test that\nan epoch ends with; 1 failed; 2 wrong usage.");
    return 0;
}

static int list_presets(void) {
    for (size_t i = 0; i < preset_count; i++)
        puts(presets[i].name);
    return 0;
}

static int unknown(const char *given) {
    const char *names[KNOWN];
    for (size_t i = 0; i < KNOWN; i++)
        names[i] = table[i].name;
    const char *dashes = given + strspn(given, "-");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(dashes, "="), dashes);
    return complain("unknown option '%s'; did you mean '--%s'?", given, nearest(name, names, KNOWN));
}

/* A number within the option's limits. Returns 0 or complains. */
static int read_number(const struct known *option, const char *text, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (end == text || *end || !isfinite(*value) || errno == ERANGE)
        return complain("--%s: '%s' is not a number", option->name, text);
    if (*value < option->min || *value > option->max)
        return complain("--%s is %s; it must be from %g to %g", option->name, text, option->min, option->max);
    if ((option->kind == INTEGER || option->kind == LONG || option->kind == COUNTS) && *value != floor(*value))
        return complain("--%s: '%s' is not a whole number", option->name, text);
    return 0;
}

static int read_text(const struct known *option, const char *text, const char **value) {
    size_t count = 0;
    for (; option->choices && option->choices[count]; count++)
        if (strcmp(option->choices[count], text) == 0)
            break;
    if (option->choices && !option->choices[count])
        return complain("--%s: unknown value '%s'; did you mean '%s'?", option->name, text,
                        nearest(text, option->choices, count));
    *value = option->choices ? option->choices[count] : text;
    return 0;
}

static int add_value(const struct known *option, struct list *list, const char *text) {
    if (list->count == MOST_VALUES)
        return complain("--%s has more than %d values", option->name, MOST_VALUES);
    return read_number(option, text, &list->value[list->count++]);
}

/* Stores the (first) value of an option. Returns 0 or complains. */
static int store(struct options *options, const struct known *option, const char *text) {
    void *field = (char *)options + option->at;
    double number = 0.0;
    int status = 0;
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
    case NUMBER:
        status = read_number(option, text, &number);
        *(double *)field = number;
        break;
    case LONG:
        status = read_number(option, text, &number);
        *(int64_t *)field = (int64_t)number;
        break;
    default:
        status = read_number(option, text, &number);
        *(int *)field = (int)number;
        break;
    }
    return status;
}

static int parse(struct options *options, int argc, char **argv);

/* Reads the command of a preset as if it stood in the command line. */
static int use_preset(struct options *options, const char *name) {
    const struct preset *preset = preset_find(name);
    if (!preset) {
        const char *names[64];
        for (size_t i = 0; i < preset_count; i++)
            names[i] = presets[i].name;
        return complain("unknown preset '%s'; did you mean '%s'?", name, nearest(name, names, preset_count));
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
    default: {
        const int status = store(options, option, text);
        return status ? status : -1;
    }
    }
}

/* Returns -1 to go on, or the exit status. */
static int parse(struct options *options, int argc, char **argv) {
    struct option longs[KNOWN + 1] = {{NULL, 0, NULL, 0}};
    for (int i = 0; i < KNOWN; i++)
        longs[i] = (struct option){table[i].name, table[i].argument ? required_argument : no_argument, NULL, FIRST + i};
    const struct known *several = NULL; /* takes further values */
    opterr = 0;
    /* "-": words that are no option come in their place, as option 1; ":" tells a missing argument apart. */
    for (int c; (c = getopt_long(argc, argv, "-:", longs, NULL)) != -1;) {
        if (c == ':')
            return complain("%s needs a value", argv[optind - 1]);
        if (c == '?' && optopt >= FIRST)
            return complain("--%s takes no value", table[optopt - FIRST].name);
        if (c == '?')
            return unknown(optopt ? (const char[]){'-', (char)optopt, '\0'} : argv[optind - 1]);
        if (c == 1) {
            if (!several)
                return complain("'%s' does not belong to any option", optarg);
            const int status = add_value(several, (struct list *)(void *)((char *)options + several->at), optarg);
            if (status)
                return status;
            continue;
        }
        const struct known *option = &table[c - FIRST];
        several = option->kind == LIST || option->kind == COUNTS ? option : NULL;
        const int status = act(options, option, optarg);
        if (status >= 0)
            return status;
    }
    if (optind < argc)
        return complain("'%s' does not belong to any option", argv[optind]);
    return -1;
}

int options_add(struct options *options, int argc, char **argv) {
    optind = 0; /* glibc: start anew, also when called again */
    return parse(options, argc, argv);
}

int options_read(struct options *options, int argc, char **argv) {
    *options = (struct options){
        .dataset = "mnist",
        .optim = "ep",
        .archi = "fc",
        .binary_settings = "bin_W",
        .kernel = 5,
        .pool = 2,
        .T = 50,
        .Kmax = 10,
        .expand_output = 1,
        .batch_size = 64,
        .test_batch_size = 512,
        .epochs = 50,
        .device = -1,
        .random_beta = 1,
        .beta = 0.3,
        .gamma_neur = 0.5,
        .rho_threshold = 0.5,
        .decay_lr_alpha = 1.0,
        .epoch_decay_lr_alpha = 1000,
    };
    const int status = options_add(options, argc, argv);
    if (status >= 0)
        return status;
    if (options->layers.count == 0 && !options->resume)
        return complain("say which network: --preset NAME, or --layersList and the options that go with it");
    return -1;
}

/* --- options as text --------------------------------------------------------------------------------------------- */

/* Does an option matter to the run, the others being what they are? */
static bool applies(const struct options *o, const char *name) {
    const bool conv = strcmp(o->archi, "conv") == 0, binary = strcmp(o->binary_settings, "bin_W_N") == 0;
    const bool nudged = strcmp(o->optim, "ep") == 0, learnt = o->learn_alpha != 0;
    const struct {
        const char *name;
        bool applies;
    } some[] = {
        {"gamma", !conv},
        {"gradThreshold", !conv},
        {"convList", conv},
        {"padding", conv},
        {"kernelSize", conv},
        {"Fpool", conv},
        {"classi_gamma", conv},
        {"conv_gamma", conv},
        {"classi_threshold", conv},
        {"conv_threshold", conv},
        {"grid", !binary},
        {"gamma_neur", binary},
        {"rho_threshold", binary},
        {"beta", nudged},
        {"random_beta", nudged},
        {"lrAlpha", learnt},
        {"decayLrAlpha", learnt},
        {"epochDecayLrAlpha", learnt},
        {"device", !o->backend},
        /* where a run is kept, and what is done with it once */
        {"out", false},
        {"no-save", false},
        {"resume", false},
        {"compare-gradients", false},
    };
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        if (strcmp(some[i].name, name) == 0)
            return some[i].applies;
    return true;
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
        return true;
    case FLAG:
        return *(const bool *)field;
    case LIST:
    case COUNTS:
        return ((const struct list *)field)->count > 0;
    default:
        return false;
    }
}

/* The shortest text that is read as the same number. */
static void print_number(FILE *file, double value) {
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fprintf(file, " %s", text);
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
    else if (option->kind == TEXT)
        fprintf(file, " %s", *(const char *const *)field);
    else if (option->kind == INTEGER)
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
    for (size_t i = 0; i < KNOWN; i++) {
        const struct known *option = &table[i];
        const void *field = (const char *)options + option->at;
        if (!is_set(option, field) || !applies(options, option->name))
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

int options_split(const char *text, char ***argv) {
    /* one block: the words' addresses, then the words */
    const size_t most = strlen(text) / 2 + 3;
    char **words = malloc(most * sizeof *words + strlen(text) + sizeof "bnnep-train" + 1);
    if (!words)
        return -1;
    char *copy = strcpy((char *)(words + most), "bnnep-train"), *rest = NULL;
    int count = 0;
    words[count++] = copy;
    copy = strcpy(copy + sizeof "bnnep-train", text);
    for (char *word = strtok_r(copy, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        words[count++] = word;
        char *to = word;
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
