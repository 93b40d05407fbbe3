/* SPDX-License-Identifier: MIT */
/* A golden case: a folder with case.txt and data.bin, as tests/golden/README.md describes it. */
#ifndef BNNEP_TESTS_CASE_H
#define BNNEP_TESTS_CASE_H

#include <stdbool.h>
#include <stddef.h>

struct golden_case;

/* NULL, and why, if the folder cannot be read whole and in order. */
struct golden_case *case_open(const char *folder, char why[256]);
void case_close(struct golden_case *c);

/* The text after "key = ", or NULL. */
const char *case_text(const struct golden_case *c, const char *key);
/* A number of its own, or `missing` if there is no such key. */
double case_number(const struct golden_case *c, const char *key, double missing);
/* Up to `room` numbers of a list; returns how many there are. */
size_t case_list(const struct golden_case *c, const char *key, double *values, size_t room);
/* The values of a tensor and how many, or NULL. */
const float *case_tensor(const struct golden_case *c, const char *name, size_t *count);

#endif
