/* SPDX-License-Identifier: MIT */
/* A context whose memory is counted, and where a piece can be refused. */
#ifndef BNNEP_TESTS_COUNTED_H
#define BNNEP_TESTS_COUNTED_H

#include <stdatomic.h>
#include <stdint.h>

#include <bnnep/bnnep.h>

/* Threads of the library may ask at the same time. */
extern struct counted {
    atomic_long pieces, bytes; /* that are there now */
    atomic_long calls;         /* ever made for a piece */
    atomic_long left;          /* calls until one fails; negative: none does */
    atomic_int strays;         /* pieces that came back and were never given, or with another user */
} counted;

/* A context of two threads that takes its memory from there. */
bnnep_status counted_context(const char *backend, uint64_t max_bytes, bnnep_context **out);

#endif
