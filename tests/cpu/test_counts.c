/* SPDX-License-Identifier: MIT */
/* The kernels of networks with binary activations, of every instruction set that runs here, against plain loops. */
#include <stdlib.h>
#include <string.h>

#include "kernel_list.h"
#include "support.h"

enum { WORDS = 4, OUTPUTS = 256, NEURONS = 1100 };

static uint64_t random_word(struct stream *stream) {
    return (uint64_t)stream_next(stream) << 32 | stream_next(stream);
}

/* All signs alike make the counters as full as they get. */
static void fill(struct stream *stream, int which, uint64_t *panel) {
    for (size_t i = 0; i < NEURONS * WORDS; i++)
        panel[i] = which == 0 ? random_word(stream) : which == 1 ? ~UINT64_C(0) : 0;
}

static void compare(const struct cpu_kernels *kernels, struct stream *stream, const uint64_t *panel, size_t ups,
                    size_t downs, size_t outputs) {
    uint32_t up[NEURONS], down[NEURONS];
    int32_t wanted[OUTPUTS], got[OUTPUTS];
    for (size_t i = 0; i < OUTPUTS; i++)
        wanted[i] = got[i] = stream_between(stream, -1000000, 1000000);
    for (size_t e = 0; e < ups; e++)
        up[e] = (uint32_t)stream_between(stream, 0, NEURONS - 1);
    for (size_t e = 0; e < downs; e++)
        down[e] = (uint32_t)stream_between(stream, 0, NEURONS - 1);
    for (size_t i = 0; i < outputs; i++) {
        for (size_t e = 0; e < ups; e++)
            wanted[i] += panel[up[e] * WORDS + i / 64] >> i % 64 & 1 ? 1 : -1;
        for (size_t e = 0; e < downs; e++)
            wanted[i] -= panel[down[e] * WORDS + i / 64] >> i % 64 & 1 ? 1 : -1;
    }
    kernels->counts->counts(panel, up, ups, down, downs, outputs, got);
    for (size_t i = 0; i < OUTPUTS; i++)
        if ((i < outputs || i >= (outputs + 31) / 32 * 32) && got[i] != wanted[i])
            fail_msg("%s: %zu ups, %zu downs, %zu outputs: output %zu is %d, not %d", kernels->name, ups, downs,
                     outputs, i, got[i], wanted[i]);
}

static void counts(void **state) {
    (void)state;
    static const size_t numbers[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 239, 240, 241, 255, 256, 257, 1000};
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    uint64_t *panel = aligned_alloc(64, NEURONS * WORDS * sizeof *panel);
    const struct cpu_kernels *kernels;
    for (size_t k = 0; (kernels = tested_kernels(k)); k++)
        for (int which = 0; which < 3; which++) {
            struct stream stream = {(uint64_t)which};
            fill(&stream, which, panel);
            for (size_t i = 0; i < COUNT; i++)
                for (size_t j = 0; j < COUNT; j++)
                    compare(kernels, &stream, panel, numbers[i], numbers[j], (size_t)stream_between(&stream, 1, 256));
            compare(kernels, &stream, panel, 1000, 1000, 256);
        }
    free(panel);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts)};
    return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
