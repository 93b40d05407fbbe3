/* SPDX-License-Identifier: MIT */
/* Structures that begin with their size, as a careless caller might fill them in. */
#ifndef BNNEP_FUZZ_STRUCTURE_H
#define BNNEP_FUZZ_STRUCTURE_H

#include "fuzz.h"

struct structure {
    void *at;     /* to be used as the structure */
    size_t size;  /* that it says */
    size_t bytes; /* that it has: no more may be read. As many as it says, unless the library must refuse its size */
    size_t known; /* the size of the structure in this version */
};

/* A copy of `first`, of another size and with other values here and there. Its pointers must be set afterwards. */
struct structure structure_make(struct fuzz_bytes *bytes, const void *first, size_t known);
/* Sets a field, where the structure is long enough for it. A pointer must be set so, and what tells how long that is.
 */
void structure_set(struct structure *s, size_t offset, const void *value, size_t size);
#define STRUCTURE_SET(s, type, field, value)                                                                           \
    do {                                                                                                               \
        const __typeof__(((type *)0)->field) value_ = (value);                                                         \
        structure_set((s), offsetof(type, field), &value_, sizeof value_);                                             \
    } while (0)
/* Brings a field of 32 bits that is above `most`, but no more than `legal`, down to `most`: it would take too long. */
void structure_limit(struct structure *s, size_t offset, int32_t most, int32_t legal);
/* Gives it to `use`, and again as the size that is known: a size that cannot be is refused, and so is an unknown field;
 * else both come to the same. */
void structure_check(const struct structure *s, bnnep_status (*use)(const void *));
void structure_free(struct structure *s);

/* A number that callers may come up with. */
double structure_number(struct fuzz_bytes *bytes);

#endif
