/* SPDX-License-Identifier: MIT */
/* JSON texts of files, by jansson: checked before it reads them, and with no failure for want of memory lost. */
#ifndef BNNEP_JSON_H
#define BNNEP_JSON_H

#include <jansson.h>

#include "lib/internal.h"

/* Reads a text that a file holds; `what` names it in messages. *out is NULL on failure. */
bnnep_status bnnep_json_read(const bnnep_context *context, const char *what, const char *text, size_t length,
                             json_t **out);
/* A list of numbers, or NULL if out of memory; values NULL: an empty one. */
json_t *bnnep_json_list(const double *values, size_t count);

/* The text of a value, to be freed; NULL if out of memory. */
char *bnnep_json_text(const json_t *value, size_t flags);

#endif
