/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. Each is a file with LLVMFuzzerTestOneInput: libFuzzer calls it, or replay.c. */
#ifndef BNNEP_FUZZ_H
#define BNNEP_FUZZ_H

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

/* The path of a file in a folder that is removed at the end. It is good until the 8th call from now. */
const char *fuzz_path(const char *name);
/* Writes such a file. */
const char *fuzz_write(const char *name, const uint8_t *data, size_t size);
/* The same with the digest of a checkpoint made right, without which nothing behind it is reached. */
const char *fuzz_write_container(const char *name, const uint8_t *data, size_t size);

/* The network and optimizer whose checkpoints are read: small, with a scaling factor that is learnt. */
bnnep_optimizer *fuzz_optimizer(bnnep_network **network);
enum { FUZZ_INPUTS = 6, FUZZ_BATCH = 4 };

#endif
