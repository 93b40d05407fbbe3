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
                 : (fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, bnnep_last_error()), abort()))

/* The reference backend, or the cpu's with one thread. A header may claim any size: what takes more than 256 MiB is
 * refused. */
bnnep_context *fuzz_context(bool reference);

bnnep_source fuzz_source(const uint8_t *bytes, size_t size);
/* A copy, to be freed, with the digest of a checkpoint made right, without which nothing behind it is reached. */
uint8_t *fuzz_digested(const uint8_t *bytes, size_t size);
/* The same bytes in gzip, to be freed, and how many they are; without zlib a copy. */
uint8_t *fuzz_compressed(const uint8_t *bytes, size_t size, size_t *length);

/* The network and optimizer whose checkpoints are read: small, with a scaling factor that is learnt. */
bnnep_optimizer *fuzz_optimizer(bnnep_network **network);
enum { FUZZ_INPUTS = 6, FUZZ_BATCH = 4 };

#endif
