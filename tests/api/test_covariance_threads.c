/* SPDX-License-Identifier: MIT */
/* Threads change no bit of contrasts of covariances. */
#include "covariance.h"

/* Full-precision activations, some hundred units: what is added up is divided among threads. */
static void batches(void **state) {
    (void)state;
    struct shape shape = {
        .connections = 3,
        .units = {300, 290, 30, 6},
        .free_steps = 12,
        .nudged_steps = 6,
        .max_batch = MOST_SAMPLES,
        .learn_alpha = true,
        .covariance = true,
        .deviations = true,
        .gamma = 0.02,
        .threshold = 0.5,
        .seed = 2,
    };
    for (int convolution = 0; convolution < 2; convolution++) {
        if (convolution) {
            shape.height = 5;
            shape.width = 60;
            shape.units[1] = 18;
        }
        struct net one = net_make(&shape, "cpu/1");
        train(&one, 33, 4);
        static const char *const where[] = {"cpu/2", "cpu/3"};
        for (size_t i = 0; i < sizeof where / sizeof where[0]; i++) {
            struct net some = net_make(&shape, where[i]);
            train(&some, 33, 4);
            assert_same_network(&one, &some);
            net_free(&some);
        }
        shape.covariance = false;
        struct net other = net_make(&shape, "cpu/1");
        train(&other, 33, 4);
        assert_false(are_same(&one, &other));
        shape.covariance = true;
        net_free(&other);
        net_free(&one);
    }
}

/* Of single samples. */
static void lone_samples(void **state) {
    (void)state;
    struct stream stream = {7};
    for (int32_t dynamics = BNNEP_DYNAMICS_REAL; dynamics <= BNNEP_DYNAMICS_BINARY; dynamics++) {
        const struct shape shape = covariance_shape(&stream, dynamics, 3);
        struct net one = net_make(&shape, "cpu/1"), three = net_make(&shape, "cpu/3");
        train(&one, 1, 5);
        train(&three, 1, 5);
        assert_same_network(&one, &three);
        net_free(&one);
        net_free(&three);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(batches), cmocka_unit_test(lone_samples)};
    return cmocka_run_group_tests_name("threads of covariances", tests, NULL, NULL);
}
