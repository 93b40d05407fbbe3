/* SPDX-License-Identifier: MIT */
/* What the parts of bnnep-bench tell each other. */
#ifndef BNNEP_BENCH_BENCH_H
#define BNNEP_BENCH_BENCH_H

#include <jansson.h>

#include "common/setup.h"

/* --- measure.c: a batch, phase by phase ------------------------------------------------------------------------ */

/* The third phase is the nudged one, or that of back-propagation through time. */
enum { DRIVE, FREE, THIRD, LEARN, PHASES };

/* What a batch took: of several, the medians. */
struct measured {
    double seconds;       /* all phases */
    double phase[PHASES]; /* seconds */
    double steps[PHASES]; /* time steps, mean of the samples; 0 for drive and learn */
};

/* Trains `after` batches, one more to warm up, then measures `batches`. Prints what is wrong; returns the exit status,
 * or 0. */
int measure(struct setup *setup, const struct options *options, int after, int batches, struct measured *out);
/* Seconds on a clock that only goes forward. */
double now(void);

/* --- limits.c: what the machine can do -------------------------------------------------------------------------- */

struct limits {
    double copy;          /* bytes a second, read and written together */
    double multiply_adds; /* float multiply-adds a second */
    double bit_products;  /* bits a second that are ANDed and counted */
    double bit_logic;     /* bits a second through AND, OR, XOR */
};

/* Best of several tries, each with so many threads at once. */
struct limits measure_limits(int threads);

/* The peaks of one instruction set: each does its operation many times, with operands in registers or in the first
 * cache, and returns how often. */
struct limit_kernels {
    const char *name;
    double (*multiply_adds)(void), (*bit_products)(void), (*bit_logic)(void);
};

/* --- count.c: what a batch needs ---------------------------------------------------------------------------------- */

struct work {
    double multiply_adds, bit_products, bytes;
};

/* What each phase of a batch of `samples` needs, with the steps that were done. */
void count_work(const struct setup *setup, const struct options *options, const struct measured *done, size_t samples,
                struct work work[PHASES]);
/* The least time for it: that of the scarcest resource. */
double least_seconds(const struct work *work, const struct limits *limits);

/* --- report.c: lines of key=value, or JSON ------------------------------------------------------------------------ */

void report_limits(json_t *line, const struct limits *limits);
void report_measured(json_t *line, const struct options *options, const struct measured *measured);
/* Each phase's share of its limit: 1 is as fast as the machine can. */
void report_shares(json_t *line, const struct options *options, const struct measured *measured,
                   const struct work work[PHASES], const struct limits *limits);
/* Writes the line and frees it; returns the exit status. */
int report_print(json_t *line, bool as_json);

#endif
