/* SPDX-License-Identifier: MIT */
/*
 * Included by lut.c with ELEMENT, the type that sums are taken in, and NAME(x), what that makes of names.
 *
 * A sum of +-1 times x over 5 inputs takes one of 32 values. They are worked out once and then serve every row of the
 * weights: one addition does the work of 5 multiply-adds.
 */
typedef ELEMENT NAME(vector) OF_BYTES(VECTOR_BYTES);

static size_t NAME(tables)(const void *x, size_t inputs, size_t bytes, float steps, void *tables) {
    enum { PARTS = ENTRY_BYTES / VECTOR_BYTES };
    const size_t parts = (bytes + VECTOR_BYTES - 1) / VECTOR_BYTES;
    const size_t groups = (inputs + GROUP - 1) / GROUP;
    const NAME(vector) *from = x;
    (void)steps;
    NAME(vector) *table = tables;
    for (size_t g = 0; g < groups; g++, table += ENTRIES * PARTS)
        for (size_t p = 0; p < parts; p++) {
            NAME(vector) in[GROUP] = {{0}};
#pragma GCC unroll 5
            for (size_t i = 0; i < GROUP; i++)
                if (g * GROUP + i < inputs)
                    in[i] = from[(g * GROUP + i) * PARTS + p];
            const NAME(vector) same = in[0] + in[1], differ = in[0] - in[1];
            const NAME(vector) low[4] = {-same, differ, -differ, same};
            const NAME(vector) same2 = in[2] + in[3], differ2 = in[2] - in[3], last = in[4];
            const NAME(vector) high[8] = {-same2 - last, differ2 - last, -differ2 - last, same2 - last,
                                          -same2 + last, differ2 + last, -differ2 + last, same2 + last};
#pragma GCC unroll 32
            for (size_t bits = 0; bits < ENTRIES; bits++)
                table[bits * PARTS + p] = low[bits & 3] + high[bits >> 2];
        }
    return groups;
}

/* The signed sum of group g that a word of weights asks for. */
INLINE const NAME(vector) * NAME(entry)(const char *tables, size_t g, uint64_t word) {
    /* the group's bits, moved to where they count entries: rotated, which copies the word in the same instruction */
    const size_t by = (GROUP * g + 58) % 64,
                 entry_bits = (word >> by | word << (64 - by) % 64) & (ENTRIES - 1) * ENTRY_BYTES;
    return (const NAME(vector) *)(const void *)(tables + g * ENTRIES * ENTRY_BYTES + entry_bits);
}

/* `some` rows side by side, so that as many additions are under way. The parts of an entry are read one after the
 * other: two entries' equal parts would lie in the same bank of the cache. */
INLINE void NAME(add_rows)(const uint64_t *words, size_t some, size_t groups, size_t parts, const char *tables,
                           NAME(vector) * out) {
    enum { PARTS = ENTRY_BYTES / VECTOR_BYTES };
    uint64_t word[SUMS];
    NAME(vector) sum[SUMS][PARTS];
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++) {
        word[j] = words[j];
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
                sum[j][p] += NAME(entry)(tables, g, word[j])[p];
                IN_ORDER(sum[j][p]);
            }
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++)
#pragma GCC unroll 8
        for (size_t p = 0; p < parts; p++)
            out[j * PARTS + p] = sum[j][p];
}

INLINE void NAME(add_groups)(const uint64_t *words, size_t rows, size_t groups, size_t parts, const char *tables,
                             NAME(vector) * out) {
    enum { PARTS = ENTRY_BYTES / VECTOR_BYTES };
    const size_t some = SUMS / parts;
    for (; rows >= some; rows -= some, words += some, out += some * PARTS)
        NAME(add_rows)(words, some, groups, parts, tables, out);
    for (; rows > 0; rows--, words++, out += PARTS)
        NAME(add_rows)(words, 1, groups, parts, tables, out);
}

/* For 64, 32, 10, up to 5 and any number of inputs: where it is known, the loop over the groups is unrolled. */
INLINE void NAME(add_parts)(const uint64_t *words, size_t rows, size_t groups, size_t parts, const char *tables,
                            NAME(vector) * out) {
    switch (groups) {
    case GROUPS:
        NAME(add_groups)(words, rows, GROUPS, parts, tables, out);
        break;
    case (32 + GROUP - 1) / GROUP:
        NAME(add_groups)(words, rows, (32 + GROUP - 1) / GROUP, parts, tables, out);
        break;
    case 2:
        NAME(add_groups)(words, rows, 2, parts, tables, out);
        break;
    case 1:
        NAME(add_groups)(words, rows, 1, parts, tables, out);
        break;
    default:
        NAME(add_groups)(words, rows, groups, parts, tables, out);
    }
}

static void NAME(add)(const uint64_t *words, size_t rows, size_t groups, size_t bytes, const void *tables, void *sums) {
    enum { ALL = ENTRY_BYTES / VECTOR_BYTES, HALF = ALL > 1 ? ALL / 2 : 1 };
    if (bytes > ENTRY_BYTES / 2)
        NAME(add_parts)(words, rows, groups, ALL, tables, sums);
    else
        NAME(add_parts)(words, rows, groups, HALF, tables, sums);
}

#undef ELEMENT
#undef NAME
