/* SPDX-License-Identifier: MIT */
/* The options of the paper's program as it spells them, and a few of our own: the command line of bnnep-train, and what
 * other programs make networks from. */
#ifndef BNNEP_TRAIN_OPTIONS_H
#define BNNEP_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MOST_VALUES = 64 };

/* What messages begin with: "bnnep-train", if a program does not say otherwise. */
extern const char *program_name;

/* Several numbers, in the order of the command line. */
struct list {
    double value[MOST_VALUES];
    size_t count;
};

struct options {
    /* the paper's; "output first" where it lists them so */
    const char *dataset, *optim, *archi, *binary_settings, *activation;
    struct list layers, conv;                        /* input first; output first */
    struct list gamma, threshold, lr_bias, lr_alpha; /* output first */
    struct list conv_gamma, conv_threshold;          /* output first */
    double classi_gamma, classi_threshold;
    int padding, kernel, pool;
    int T, Kmax, expand_output, batch_size, test_batch_size, epochs, device;
    int random_beta, learn_alpha;
    double beta, gamma_neur, rho_threshold;
    double decay_lr_alpha;
    int epoch_decay_lr_alpha;
    /* ours */
    const char *data, *backend, *out, *resume;
    double checkpoint_minutes;       /* 0: after each epoch only */
    int64_t train_limit, test_limit; /* 0: all */
    int64_t seed;
    int threads; /* 0: as the backend likes */
    bool no_shuffle, momentum_noise, no_save, compare_gradients;
    double settle;
    int grid; /* 0: none */
};

/* Reads the command line. Returns -1 to go on, or the exit status: 0 after --help and the like, 2 after an error,
 * which was printed. */
int options_read(struct options *options, int argc, char **argv);
/* Reads more options over those that are there; -1, or the exit status as above. */
int options_add(struct options *options, int argc, char **argv);
/* Writes the options that apply, one a line, for people. */
void options_print(const struct options *options, FILE *file);
/* The same as a command line in ASCII, whatever the words hold; free with free(). NULL if out of memory. */
char *options_write(const struct options *options);
/* The words of such a text, in one block to be freed with free(), after "bnnep-train"; their number, or -1 if out of
 * memory. */
int options_split(const char *text, char ***argv);

/* --- presets.c ------------------------------------------------------------------------------------------------ */

struct preset {
    const char *name, *base, *command; /* the command of `base`, if there is one, with `command` after it */
};

extern const struct preset presets[];
extern const size_t preset_count;
const struct preset *preset_find(const char *name);

/* The name in names[] that is nearest to `name` by edit distance. */
const char *nearest(const char *name, const char *const *names, size_t count);

#endif
