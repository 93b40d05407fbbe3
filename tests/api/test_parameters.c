/* SPDX-License-Identifier: MIT */
/* Parameters go out and in: those of one network, put into another, make it the same; what cannot be is refused. */
#include <math.h>
#include <stdlib.h>

#include "support.h"

enum { VALUES = 120, HIDDEN = 64, BATCH = 48, WEIGHTS = HIDDEN * VALUES };

static const struct shape shape = {
    .connections = 2,
    .units = {VALUES, HIDDEN, 20},
    .expand_output = 2,
    .free_steps = 20,
    .nudged_steps = 5,
    .max_batch = BATCH,
    .beta = 0.3,
    .gamma = 0.001,
    .threshold = 2e-5,
    .seed = 1,
};

/* One batch. */
static void train(const struct net *net, struct stream *stream) {
    float *x = random_pixels(stream, BATCH, VALUES);
    int32_t *labels = random_labels(stream, BATCH, 10);
    assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, labels, BATCH, NULL, NULL));
    free(x);
    free(labels);
}

/* All parameters of one network, put into another, make it the same; wrong lengths and values change nothing. */
static void parameters(void **state) {
    (void)state;
    struct shape other_seed = shape;
    other_seed.seed = 99;
    struct net a = net_make(&shape, "ref"), b = net_make(&other_seed, "cpu");
    static float values[WEIGHTS];
    static uint8_t bits[WEIGHTS / 8];
    static int8_t signs[WEIGHTS];
    struct stream stream = {3};
    train(&a, &stream);
    for (size_t k = 0; k < 2; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(a.network, k, &info));
        const size_t rows = (size_t)info.rows, weights = rows * (size_t)info.columns,
                     bytes = rows * ((size_t)info.columns / 8);
        assert_ok(bnnep_network_get_sign_bits(a.network, k, bits, bytes));
        assert_ok(bnnep_network_set_sign_bits(b.network, k, bits, bytes));
        assert_ok(bnnep_network_get_signs(b.network, k, signs, weights));
        for (size_t i = 0; i < weights; i++)
            assert_int_equal(signs[i], bits[i / 8] >> (i % 8) & 1 ? 1 : -1);
        assert_ok(bnnep_network_get_bias(a.network, k, values, rows));
        assert_ok(bnnep_network_set_bias(b.network, k, values, rows));
        assert_ok(bnnep_network_get_alpha(a.network, k, values, 1));
        assert_ok(bnnep_network_set_alpha(b.network, k, values, 1));
        assert_ok(bnnep_optimizer_get_momentum(a.optimizer, k, values, weights));
        assert_ok(bnnep_optimizer_set_momentum(b.optimizer, k, values, weights));
    }
    assert_same_network(&a, &b);
    assert_refused(bnnep_network_set_signs(b.network, 0, signs, 3), BNNEP_ERROR_ARGUMENT,
                   "has 3 elements, expected 7680");
    assert_refused(bnnep_network_set_signs(b.network, 2, signs, 3), BNNEP_ERROR_ARGUMENT,
                   "connection 2 does not exist");
    signs[5] = 0;
    assert_refused(bnnep_network_set_signs(b.network, 1, signs, 1280), BNNEP_ERROR_DATA, "element 5 is 0");
    values[0] = NAN;
    assert_refused(bnnep_network_set_alpha(b.network, 1, values, 1), BNNEP_ERROR_DATA, "alpha: element 0 is nan");
    assert_refused(bnnep_optimizer_set_momentum(b.optimizer, 1, values, 1280), BNNEP_ERROR_DATA, "momentum: element 0");
    assert_same_network(&a, &b);
    net_free(&a);
    net_free(&b);
}

/* Momenta that were set (such as the noise that the paper's program starts from) are forgotten at the rate of gamma:
 * nothing flips here, so that two networks see the same gradients. */
static void momenta_decay(void **state) {
    (void)state;
    static float noise[WEIGHTS], with[WEIGHTS], without[WEIGHTS];
    struct shape plain = shape;
    plain.gamma = 0.125;
    plain.threshold = 1e30;
    struct net a = net_make(&plain, "cpu"), b = net_make(&plain, "cpu");
    struct stream stream = {4}, same[2] = {{5}, {5}};
    assert_ok(bnnep_optimizer_get_momentum(a.optimizer, 0, without, WEIGHTS));
    for (size_t i = 0; i < WEIGHTS; i++) {
        assert_true(without[i] == 0.0f);
        noise[i] = stream_uniform(&stream) - 0.5f;
    }
    assert_ok(bnnep_optimizer_set_momentum(b.optimizer, 0, noise, WEIGHTS));
    for (int batch = 0; batch < 3; batch++) {
        train(&a, &same[0]);
        train(&b, &same[1]);
    }
    assert_ok(bnnep_optimizer_get_momentum(a.optimizer, 0, without, WEIGHTS));
    assert_ok(bnnep_optimizer_get_momentum(b.optimizer, 0, with, WEIGHTS));
    for (size_t i = 0; i < WEIGHTS; i++) /* (1 - 1/8)^3 of the noise */
        assert_true(fabs((double)with[i] - (double)without[i] - 0.669921875 * (double)noise[i]) < 1e-6);
    net_free(&a);
    net_free(&b);
}

/* Bits beyond the last column must be 0. */
static void tail_bits(void **state) {
    (void)state;
    const struct shape odd = {
        .connections = 1, .units = {11, 2}, .free_steps = 1, .nudged_steps = 1, .max_batch = 1, .gamma = 0.5};
    struct net net = net_make(&odd, "cpu");
    uint8_t bits[4] = {1, 2, 3, 4}, back[4];
    assert_ok(bnnep_network_set_sign_bits(net.network, 0, bits, 4));
    assert_ok(bnnep_network_get_sign_bits(net.network, 0, back, 4));
    assert_memory_equal(bits, back, 4);
    bits[3] = 8; /* column 11 of row 1 */
    assert_refused(bnnep_network_set_sign_bits(net.network, 0, bits, 4), BNNEP_ERROR_DATA, "row 1 has bits set beyond");
    net_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(parameters), cmocka_unit_test(momenta_decay),
                                       cmocka_unit_test(tail_bits)};
    return cmocka_run_group_tests_name("parameters", tests, NULL, NULL);
}
