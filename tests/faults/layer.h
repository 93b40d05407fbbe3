/* SPDX-License-Identifier: MIT */
/*
 * A layer between a program and the C library in which calls fail on purpose. A driver is linked with it, before the C
 * library; other programs get it by LD_PRELOAD and are told by the environment:
 *     BNNEP_FAULT=KIND:N     the N-th call of a kind fails, from 0 and from main() on; with a '+' behind it, all later
 *                            ones too; KIND:-1 fails none
 *     BNNEP_FAULT_COUNT=FILE how many calls of the kind there were is written there at the end
 */
#ifndef BNNEP_TESTS_LAYER_H
#define BNNEP_TESTS_LAYER_H

#include <stdbool.h>

/* Calls that can fail in this way are of the kind, and are counted. */
enum fault_kind {
    FAULT_MEMORY, /* malloc() and its like, anonymous mmap(), pthread_create() */
    FAULT_EIO,    /* whatever touches a file */
    FAULT_ENOSPC, /* whatever makes or lengthens one */
    FAULT_EINTR,  /* what a signal may interrupt */
    FAULT_SHORT,  /* read() and write() and their like: half of the bytes */
    FAULT_KINDS
};
extern const char *const fault_names[FAULT_KINDS];

/* From now on calls of this kind, by any thread, are counted from 0; that of number `n` fails, with `onwards` all later
 * ones too. A negative n fails none. */
void faults_arm(enum fault_kind kind, long n, bool onwards);
/* No more; returns how many there were. */
long faults_disarm(void);
/* Which call failed first since then, such as "fsync", or NULL. */
const char *faults_struck(void);
/* Blocks of memory that were taken and not given back. */
long faults_live(void);

/* While this has been called in a thread with 1 more often than with -1, no call of it fails, and none is counted: for
 * what stands for a device, which has memory of its own. */
void faults_spare(int change);

/* --- between the layer's files, and for what stands for a device ------------------------------------------------ */

/* Is the call `name`, which can fail in the ways of the mask `1 << kind | ...`, to fail? Then errno is set. */
bool faults_strike(const char *name, unsigned kinds);
/* Is it to do half of its work? */
bool faults_shorten(const char *name);
/* A block more, or one less. */
void faults_count_live(int change);
/* Sets the pointer to a function at `where` to the one behind this layer. */
void faults_find(void *where, const char *name);

#endif
