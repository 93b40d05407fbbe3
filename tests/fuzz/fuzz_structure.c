/* SPDX-License-Identifier: MIT */
#include "fuzz_structure.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST_SIZE = 65536, MOST_CHANGES = 6 };

double structure_number(struct fuzz_bytes *bytes) {
    static const double numbers[] = {0.1,     1e-3,     0.0,   1.0,     2.0,      -0.0,   -1.0,   0.5,
                                     FLT_MAX, -FLT_MAX, 1e300, -1e300,  FLT_MIN,  1e-320, 1e-45,  (double)NAN,
                                     1e-7,    1e10,     1e38,  DBL_MAX, INFINITY, 1e-200, 1.0001, 0.9999};
    const unsigned which = fuzz_byte(bytes);
    double raw;
    if (which < sizeof numbers / sizeof numbers[0])
        return numbers[which];
    fuzz_fill(bytes, &raw, sizeof raw);
    return raw;
}

/* Puts another value to a field of 32 or 64 bits. */
static void change(struct structure *s, struct fuzz_bytes *bytes) {
    const size_t words = s->bytes / 4, word = words ? fuzz_byte(bytes) % words : 0;
    char *at = (char *)s->at + 4 * word;
    int32_t value;
    double number;
    if (words == 0)
        return;
    switch (fuzz_choice(bytes, 4)) {
    case 0:
        value = (int8_t)fuzz_byte(bytes);
        memcpy(at, &value, sizeof value);
        break;
    case 1:
        fuzz_fill(bytes, at, sizeof value);
        break;
    case 2:
        value = fuzz_choice(bytes, 2) ? INT32_MAX : INT32_MIN;
        memcpy(at, &value, sizeof value);
        break;
    default:
        number = structure_number(bytes);
        if (word + 2 <= words)
            memcpy(at, &number, sizeof number);
    }
}

struct structure structure_make(struct fuzz_bytes *bytes, const void *first, size_t known) {
    struct structure s = {.size = known, .bytes = known, .known = known};
    const unsigned how = fuzz_byte(bytes);
    const size_t word = sizeof s.size; /* no structure with one has another alignment */
    if (how % 4 == 1)                  /* of an older version, or nonsense */
        s.size = s.bytes = fuzz_byte(bytes) % (known / word) * word;
    else if (how % 4 == 2) /* of a later one */
        s.size = s.bytes = known + fuzz_byte(bytes) % 16 * word;
    else if (how == 3)
        s.size = MOST_SIZE + 1 + fuzz_byte(bytes);
    else if (how == 7)
        s.size = SIZE_MAX - fuzz_byte(bytes);
    s.bytes = s.bytes < sizeof s.size ? sizeof s.size : s.bytes;
    s.at = calloc(1, s.bytes);
    PROMISE(s.at);
    memcpy(s.at, first, s.bytes < known ? s.bytes : known);
    for (unsigned changes = fuzz_choice(bytes, MOST_CHANGES); changes > 0; changes--)
        change(&s, bytes);
    memcpy(s.at, &s.size, sizeof s.size);
    return s;
}

void structure_set(struct structure *s, size_t offset, const void *value, size_t size) {
    if (offset + size <= s->bytes)
        memcpy((char *)s->at + offset, value, size);
    else if (offset < s->bytes) /* no version ends in the midst of one */
        memset((char *)s->at + offset, 0, s->bytes - offset);
}

void structure_limit(struct structure *s, size_t offset, int32_t most, int32_t legal) {
    int32_t value;
    if (offset + sizeof value > s->bytes)
        return;
    memcpy(&value, (char *)s->at + offset, sizeof value);
    if (value > most && value <= legal)
        memcpy((char *)s->at + offset, &most, sizeof most);
}

void structure_check(const struct structure *s, bnnep_status (*use)(const void *)) {
    const bnnep_status status = use(s->at);
    if (s->size < sizeof s->size || s->size > MOST_SIZE) {
        PROMISE(status == BNNEP_ERROR_ARGUMENT);
        return;
    }
    for (size_t i = s->known; i < s->bytes; i++)
        if (((const char *)s->at)[i]) {
            PROMISE(status == BNNEP_ERROR_UNSUPPORTED);
            return;
        }
    void *same = calloc(1, s->known);
    PROMISE(same);
    memcpy(same, s->at, s->bytes < s->known ? s->bytes : s->known);
    memcpy(same, &s->known, sizeof s->known);
    PROMISE(use(same) == status);
    free(same);
}

void structure_free(struct structure *s) {
    free(s->at);
    s->at = NULL;
}
