/* SPDX-License-Identifier: MIT */
/* What is done with a subject while calls fail. */
#ifndef BNNEP_TESTS_OPERATIONS_H
#define BNNEP_TESTS_OPERATIONS_H

#include "subject.h"

struct operation {
    const char *name;
    bool alone;                         /* it has nothing to do with a network: one kind of subject is enough */
    enum { STAYS, MOVES, LOADS } goes;  /* the subject stays at A, goes on with its training, is brought to B */
    void (*prepare)(struct subject *s); /* NULL: nothing to prepare */
    bnnep_status (*call)(struct subject *s);
    /* After the call, when nothing fails any more: NULL if all is as the manual promises, else what is not. The
     * subject's own state is looked at elsewhere. NULL: nothing more to see. */
    const char *(*wrong)(struct subject *s, bnnep_status status);
};
enum { OPERATIONS = 16 };
extern const struct operation operations[OPERATIONS];

/* A path in the folder of the process's files, valid until the next call. */
const char *place(const struct subject *s, const char *name);

#endif
