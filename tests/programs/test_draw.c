/* SPDX-License-Identifier: MIT */
/* The noise that --momentum-noise starts from: these numbers, which runs of earlier versions started from too. */
#include <math.h>

#include "common/draw.h"
#include "support.h"

enum { COUNT = 5 };

static void assert_drawn(uint32_t connection, double gamma, const float expected[COUNT]) {
    float momentum[COUNT];
    draw_momentum(0x123456789abcdef, connection, gamma, momentum, COUNT);
    for (int i = 0; i < COUNT; i++) /* the C library's cosine may be another */
        assert_true(fabsf(momentum[i] - expected[i]) <= 1e-6f * fabsf(expected[i]));
}

static void same_as_ever(void **state) {
    (void)state;
    static const float first[COUNT] = {-0x1.1f2d16p-3f, -0x1.532432p-3f, -0x1.823136p-1f, 0x1.27742cp+0f,
                                       -0x1.07093ap-2f};
    static const float second[COUNT] = {0x1.a76c6ep-10f, -0x1.0991f6p-9f, -0x1.fb5a48p-11f, -0x1.058228p-9f,
                                        0x1.db122p-14f};
    assert_drawn(0, 0.25, first);
    assert_drawn(1, 1e-3, second);
}

/* Mean and variance of 2 gamma N(0, 1), within four standard errors. */
static void normal(void **state) {
    (void)state;
    enum { MANY = 100000 };
    static float momentum[MANY];
    double sum = 0.0, squares = 0.0;
    draw_momentum(7, 0, 0.5, momentum, MANY);
    for (int i = 0; i < MANY; i++) {
        sum += (double)momentum[i];
        squares += (double)momentum[i] * (double)momentum[i];
    }
    assert_true(fabs(sum / MANY) < 4.0 / sqrt(MANY));
    assert_true(fabs(squares / MANY - 1.0) < 4.0 * sqrt(2.0 / MANY));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_ever), cmocka_unit_test(normal)};
    return cmocka_run_group_tests_name("draw", tests, NULL, NULL);
}
