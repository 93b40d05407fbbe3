/* SPDX-License-Identifier: MIT */
/* What the paper's program can be told, and a few things of our own, as a plain record. */
#ifndef BNNEP_PROGRAMS_OPTIONS_H
#define BNNEP_PROGRAMS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_VALUES = 64 };

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
    int T, Kmax, classes, expand_output, batch_size, test_batch_size, epochs, device;
    int random_beta, learn_alpha;
    double beta, gamma_neur, rho_threshold;
    double decay_lr_alpha;
    int epoch_decay_lr_alpha;
    /* ours */
    const char *data, *backend, *out, *resume, *max_memory, *schedule, *nudge, *units, *fall, *start;
    double fall_to; /* 0 without --fall, here and below */
    int fall_epochs;
    double validation;               /* images, or below 1 a share of them; 0: none */
    double checkpoint_minutes;       /* 0: after each epoch only */
    int64_t train_limit, test_limit; /* 0: all */
    int64_t seed;
    int threads;                /* 0: one a processor */
    bool fast;                  /* while the options are read: --fast was among them */
    bool alpha_said, beta_said; /* the same: --learnAlpha, --beta were */
    bool default_rule;          /* no rate is given */
    bool covariance, flip_reset, no_shuffle, momentum_noise, no_save, compare_gradients;
    double settle;
    double feedback;      /* 0: the library's choice */
    double consolidation; /* 0: none */
    int grid;             /* 0: none */
};

/* Fills the record from a command line of bnnep-train, whose table of options stands behind it (programs/train; target
 * train_options). Returns -1 to go on, or the exit status: 0 after --help and the like, 2 after an error, which was
 * printed. Texts point into the command line. */
int options_read(struct options *options, int argc, char **argv);

#endif
