/* SPDX-License-Identifier: MIT */
/*
 * Included by signed_sums.c with ELEMENT, the type that sums are taken in.
 *
 * A sum of +-1 times x over 5 inputs takes one of 32 values. They are worked out once and then serve every row of the
 * weights: one addition does the work of 5 multiply-adds.
 */
typedef ELEMENT VECTOR __attribute__((vector_size(VECTOR_BYTES)));

size_t TABLES(const ELEMENT *x, size_t inputs, size_t bytes, void *tables) {
    enum { PARTS = ENTRY_BYTES / VECTOR_BYTES };
    const size_t parts = (bytes + VECTOR_BYTES - 1) / VECTOR_BYTES;
    const size_t groups = (inputs + GROUP - 1) / GROUP;
    const VECTOR *from = (const VECTOR *)x;
    VECTOR *table = tables;
    for (size_t g = 0; g < groups; g++, table += ENTRIES * PARTS)
        for (size_t p = 0; p < parts; p++) {
            VECTOR in[GROUP] = {{0}};
#pragma GCC unroll 5
            for (size_t i = 0; i < GROUP; i++)
                if (g * GROUP + i < inputs)
                    in[i] = from[(g * GROUP + i) * PARTS + p];
            const VECTOR same = in[0] + in[1], differ = in[0] - in[1];
            const VECTOR low[4] = {-same, differ, -differ, same};
            const VECTOR same2 = in[2] + in[3], differ2 = in[2] - in[3], last = in[4];
            const VECTOR high[8] = {-same2 - last, differ2 - last, -differ2 - last, same2 - last,
                                    -same2 + last, differ2 + last, -differ2 + last, same2 + last};
#pragma GCC unroll 32
            for (size_t bits = 0; bits < ENTRIES; bits++)
                table[bits * PARTS + p] = low[bits & 3] + high[bits >> 2];
        }
    return groups;
}

/* The signed sum of group g that a word of weights asks for. */
static inline const VECTOR *ENTRY(const char *tables, size_t g, uint64_t word) {
    /* the group's bits, moved to where they count entries: rotated, which copies the word in the same instruction */
    const size_t by = (GROUP * g + 58) % 64,
                 entry_bits = (word >> by | word << (64 - by) % 64) & (ENTRIES - 1) * ENTRY_BYTES;
    return (const VECTOR *)(const void *)(tables + g * ENTRIES * ENTRY_BYTES + entry_bits);
}

/* `some` rows side by side, so that as many additions are under way. The parts of an entry are read one after the
 * other: two entries' equal parts would lie in the same bank of the cache. */
static inline __attribute__((always_inline)) void ADD_ROWS(const uint64_t *words, size_t stride, size_t some,
                                                           size_t groups, size_t parts, const char *tables,
                                                           VECTOR *out) {
    enum { PARTS = ENTRY_BYTES / VECTOR_BYTES };
    uint64_t word[SUMS];
    VECTOR sum[SUMS][PARTS];
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++) {
        word[j] = words[j * stride];
#pragma GCC unroll 8
        for (size_t p = 0; p < parts; p++)
            sum[j][p] = out[j * PARTS + p];
    }
#pragma GCC unroll 13
    for (size_t g = 0; g < groups; g++)
#pragma GCC unroll 8
        for (size_t j = 0; j < some; j++)
#pragma GCC unroll 8
            for (size_t p = 0; p < parts; p++) {
                sum[j][p] += ENTRY(tables, g, word[j])[p];
                IN_ORDER(sum[j][p]);
            }
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++)
#pragma GCC unroll 8
        for (size_t p = 0; p < parts; p++)
            out[j * PARTS + p] = sum[j][p];
}

static inline __attribute__((always_inline)) void ADD_GROUPS(const uint64_t *words, size_t stride, size_t rows,
                                                             size_t groups, size_t parts, const char *tables,
                                                             VECTOR *out) {
    enum { PARTS = ENTRY_BYTES / VECTOR_BYTES };
    const size_t some = SUMS / parts;
    for (; rows >= some; rows -= some, words += some * stride, out += some * PARTS)
        ADD_ROWS(words, stride, some, groups, parts, tables, out);
    for (; rows > 0; rows--, words += stride, out += PARTS)
        ADD_ROWS(words, stride, 1, groups, parts, tables, out);
}

/* For 64, 32, 10, up to 5 and any number of inputs: where it is known, the loop over the groups is unrolled. */
static inline __attribute__((always_inline)) void ADD_PARTS(const uint64_t *words, size_t stride, size_t rows,
                                                            size_t groups, size_t parts, const char *tables,
                                                            VECTOR *out) {
    switch (groups) {
    case GROUPS:
        ADD_GROUPS(words, stride, rows, GROUPS, parts, tables, out);
        break;
    case (32 + GROUP - 1) / GROUP:
        ADD_GROUPS(words, stride, rows, (32 + GROUP - 1) / GROUP, parts, tables, out);
        break;
    case 2:
        ADD_GROUPS(words, stride, rows, 2, parts, tables, out);
        break;
    case 1:
        ADD_GROUPS(words, stride, rows, 1, parts, tables, out);
        break;
    default:
        ADD_GROUPS(words, stride, rows, groups, parts, tables, out);
    }
}

void ADD_SIGNED(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes, const void *tables,
                ELEMENT *out) {
    enum { ALL = ENTRY_BYTES / VECTOR_BYTES, HALF = ALL > 1 ? ALL / 2 : 1 };
    if (bytes > ENTRY_BYTES / 2)
        ADD_PARTS(words, stride, rows, groups, ALL, tables, (VECTOR *)out);
    else
        ADD_PARTS(words, stride, rows, groups, HALF, tables, (VECTOR *)out);
}

#undef ELEMENT
#undef VECTOR
#undef TABLES
#undef ENTRY
#undef ADD_ROWS
#undef ADD_GROUPS
#undef ADD_PARTS
#undef ADD_SIGNED
