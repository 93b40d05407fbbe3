/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. Each is a file with LLVMFuzzerTestOneInput: libFuzzer calls it, or replay.c. */
#ifndef BNNEP_FUZZ_H
#define BNNEP_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <bnnep/bnnep.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the program: what was promised does not hold. */
#define PROMISE(condition)                                                                                             \
    ((condition) ? (void)0                                                                                             \
                 : (fprintf(fuzz_errors ? fuzz_errors : stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,    \
                            bnnep_last_error()),                                                                       \
                    abort()))

/* The reference backend, or the cpu's with one thread, and what else is the default: a file may claim any size, and
 * must be refused where it asks for more than a user can be expected to have. */
bnnep_context *fuzz_context(bool reference);
/* The same, where no handle may take more than 4 MiB: for sizes that do not come from files. */
bnnep_context *fuzz_small_context(bool reference);

/* Bytes that are read one after the other, as choices; zeros after their end. */
struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};
unsigned fuzz_byte(struct fuzz_bytes *bytes);
/* A choice of `count` things. */
unsigned fuzz_choice(struct fuzz_bytes *bytes, unsigned count);
void fuzz_fill(struct fuzz_bytes *bytes, void *to, size_t size);
/* What is left up to a byte 0, or to the end, as a text to be freed. */
char *fuzz_text(struct fuzz_bytes *bytes);

/* What programs print from here on goes nowhere, or to `file`; a target that prints in vain is slow. PROMISE() is heard
 * all the same. */
void fuzz_hush(FILE *file);
extern FILE *fuzz_errors;

bnnep_source fuzz_source(const uint8_t *bytes, size_t size);
/* A copy, to be freed, with the digest of a checkpoint made right, without which nothing behind it is reached. */
uint8_t *fuzz_digested(const uint8_t *bytes, size_t size);
/* The same bytes in gzip, to be freed, and how many they are; without zlib a copy. */
uint8_t *fuzz_compressed(const uint8_t *bytes, size_t size, size_t *length);

/* The checkpoint of an optimizer with a note, or NULL, to be freed; NULL if it cannot be written, as when a value is
 * not finite. */
uint8_t *fuzz_checkpoint(const bnnep_optimizer *optimizer, const char *note, size_t *size);

/* The network and optimizer whose checkpoints are read: small, with a scaling factor that is learnt. */
bnnep_optimizer *fuzz_optimizer(bnnep_network **network);
enum { FUZZ_INPUTS = 6, FUZZ_BATCH = 4 };

#endif
