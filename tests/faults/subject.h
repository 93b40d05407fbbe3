/* SPDX-License-Identifier: MIT */
/* What the driver's operations work on: a small network and its optimizer, where they have been and where they go. */
#ifndef BNNEP_TESTS_SUBJECT_H
#define BNNEP_TESTS_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bnnep/bnnep.h>

enum { IMAGES = 14, BATCH = 5, SIDE = 6, VALUES = SIDE * SIDE, CLASSES = 10, MOST_CONNECTIONS = 3 };

/* Networks of each kind. */
struct kind {
    const char *name;
    int32_t dynamics, method;
    bool convolution, learns_alpha;
    double tolerance; /* of settling */
};
enum { KINDS = 6 };
extern const struct kind kinds[KINDS];

struct bytes {
    char *at;
    size_t count;
};

/* Where the subject was, is, will be. Made once for a kind and a backend, and only read then. */
struct known {
    const char *backend; /* "cpu/2": with two threads */
    const struct kind *kind;
    uint64_t seed;
    char folder[512]; /* of the files of this process */
    float inputs[IMAGES * VALUES];
    int32_t labels[IMAGES];
    struct bytes fresh;                       /* a checkpoint of a network that was made just now */
    struct bytes a, b;                        /* checkpoints: in the midst of an epoch; an epoch later */
    struct bytes done;                        /* its state when the epoch that A stands in is over */
    struct bytes network;                     /* the network of A */
    bnnep_report epoch, test;                 /* of that epoch; of an evaluation of A */
    uint64_t flips[MOST_CONNECTIONS];         /* of that epoch */
    int32_t predictions[IMAGES];              /* of that evaluation */
    float scores[IMAGES * CLASSES];           /* of a prediction by A */
    char images[600], pictures[600], at[600]; /* an IDX file, a CIFAR-10 folder, a checkpoint of B */
};

/* At A, new each time, so that memory that is taken on first use is taken again. */
struct subject {
    const struct known *known;
    bnnep_context *context;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    bnnep_dataset *data;
    /* what an operation makes */
    bnnep_context *made_context;
    bnnep_network *made_network;
    bnnep_optimizer *made_optimizer;
    bnnep_workspace *made_workspace;
    bnnep_dataset *made_data;
    bnnep_report report;
    uint64_t flips[MOST_CONNECTIONS];
    int32_t predictions[IMAGES];
    float scores[IMAGES * CLASSES];
    char text[256];
    uint64_t bytes; /* that a network would take */
};

/* These end the process if they fail: no call fails on purpose there. */
void known_make(struct known *known);
void subject_make(struct subject *s, const struct known *known);
/* What the options say for this kind, into those of the caller; the arrays are static. */
bnnep_network_options network_options(const struct known *known);
bnnep_optimizer_options optimizer_options(const struct known *known);
bnnep_context_options context_options(const struct known *known, char name[32]);
/* Frees all, the things made too. */
void subject_free(struct subject *s);

/* A checkpoint, or a network file, in memory. free() its bytes. */
struct bytes checkpoint_of(const bnnep_optimizer *optimizer);
struct bytes network_of(const bnnep_network *network);
/* Equal but for the seconds that it took, and the digest? */
bool same_state(const struct bytes *a, const struct bytes *b);
/* The bytes of a file; none if it cannot be read. */
struct bytes file_bytes(const char *path);
void write_file(const char *path, const struct bytes *bytes);

#endif
