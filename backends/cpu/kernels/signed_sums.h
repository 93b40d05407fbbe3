/* SPDX-License-Identifier: MIT */
/*
 * Included by signed_sums.c with ELEMENT, the type that sums are taken in. A table entry is 64 bytes of lanes.
 *
 * A sum of +-1 times x over 4 inputs takes one of 16 values. They are worked out once and then serve every row of the
 * weights: one addition does the work of 4 multiply-adds.
 */
typedef ELEMENT VECTOR __attribute__((vector_size(VECTOR_BYTES)));

size_t TABLES(const ELEMENT *x, size_t inputs, void *tables) {
    enum { PARTS = 64 / VECTOR_BYTES };
    const size_t groups = (inputs + GROUP - 1) / GROUP;
    VECTOR *table = tables;
    for (size_t g = 0; g < groups; g++, table += 16 * PARTS)
        for (size_t p = 0; p < PARTS; p++) {
            VECTOR in[GROUP] = {{0}};
            for (size_t i = 0; i < GROUP && g * GROUP + i < inputs; i++)
                in[i] = ((const VECTOR *)(x))[(g * GROUP + i) * PARTS + p];
            const VECTOR same = in[0] + in[1], differ = in[0] - in[1];
            const VECTOR same2 = in[2] + in[3], differ2 = in[2] - in[3];
            const VECTOR low[4] = {-same, differ, -differ, same}, high[4] = {-same2, differ2, -differ2, same2};
            for (size_t bits = 0; bits < 16; bits++)
                table[bits * PARTS + p] = low[bits & 3] + high[bits >> 2];
        }
    return groups;
}

/* Groups 0-7 and 8-15 are added up apart, so that two additions are under way at a time. */
static inline __attribute__((always_inline)) void ADD_GROUPS(const uint64_t *words, size_t stride, size_t rows,
                                                             size_t groups, const char *tables, VECTOR *out) {
    enum { PARTS = 64 / VECTOR_BYTES };
    for (size_t j = 0; j < rows; j++, words += stride, out += PARTS) {
        const uint64_t word = *words;
        VECTOR sum[PARTS], late[PARTS] = {{0}};
        for (size_t p = 0; p < PARTS; p++)
            sum[p] = out[p];
#pragma GCC unroll 16
        for (size_t g = 0; g < groups; g++) {
            const VECTOR *entry = (const VECTOR *)(const void *)(tables + g * 1024 + ((word >> (4 * g) & 15) << 6));
            for (size_t p = 0; p < PARTS; p++)
                if (g < GROUPS / 2)
                    sum[p] += entry[p];
                else
                    late[p] += entry[p];
        }
        for (size_t p = 0; p < PARTS; p++)
            out[p] = groups > GROUPS / 2 ? sum[p] + late[p] : sum[p];
    }
}

void ADD_SIGNED(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables, ELEMENT *out) {
    VECTOR *to = (VECTOR *)out;
    switch (groups) { /* the usual ones with their loop unrolled */
    case GROUPS:
        ADD_GROUPS(words, stride, rows, GROUPS, tables, to);
        break;
    case GROUPS / 2:
        ADD_GROUPS(words, stride, rows, GROUPS / 2, tables, to);
        break;
    default:
        ADD_GROUPS(words, stride, rows, groups, tables, to);
    }
}

#undef ELEMENT
#undef VECTOR
#undef TABLES
#undef ADD_GROUPS
#undef ADD_SIGNED
