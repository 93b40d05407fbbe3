/* SPDX-License-Identifier: MIT */
/* The kernels of the emulated cuda backend must not depend on the order in which threads and blocks run: the same
 * training in three orders gives the same bits. One that differs lacks a barrier, or reads what another block writes.
 */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 21, BATCHES = 2 };
static const bnnep_connection dense[] = {BNNEP_FC(43), BNNEP_FC(21), BNNEP_FC(10)};
static const bnnep_connection maps[] = {BNNEP_CONV(5, 3, 1, 2), BNNEP_CONV(7, 3, 2, 3), BNNEP_FC(10)};

struct net_of {
    int32_t dynamics, method, input[3];
    const bnnep_connection *connections;
    int32_t grid_bits;
};

static const struct net_of nets[] = {
    {BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, {37, 1, 1}, dense, 0},
    {BNNEP_DYNAMICS_REAL, BNNEP_METHOD_BPTT, {37, 1, 1}, dense, 0},
    {BNNEP_DYNAMICS_BINARY, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, {37, 1, 1}, dense, 0},
    {BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, {2, 9, 11}, maps, 0},
    {BNNEP_DYNAMICS_REAL, BNNEP_METHOD_BPTT, {2, 9, 11}, maps, 0},
    {BNNEP_DYNAMICS_BINARY, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, {2, 9, 11}, maps, 0},
    {BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, {37, 1, 1}, dense, 16},
    {BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, {2, 9, 11}, maps, 16},
};

/* Momenta, signs, biases and scaling factors of connection k, one after another; returns how many. */
static size_t read_memory(bnnep_network *network, bnnep_optimizer *optimizer, size_t k, float *to) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    assert_ok(bnnep_network_get_connection(network, k, &info));
    const size_t rows = (size_t)info.rows, weights = rows * (size_t)info.columns, scales = (size_t)info.scales;
    int8_t *signs = malloc(weights);
    assert_ok(bnnep_optimizer_get_momentum(optimizer, k, to, weights));
    assert_ok(bnnep_network_get_signs(network, k, signs, weights));
    for (size_t i = 0; i < weights; i++)
        to[weights + i] = signs[i];
    free(signs);
    assert_ok(bnnep_network_get_bias(network, k, to + 2 * weights, rows));
    assert_ok(bnnep_network_get_alpha(network, k, to + 2 * weights + rows, scales));
    return 2 * weights + rows + scales;
}

enum { MEMORY = 1 << 15 };

/* Everything that two batches leave behind. */
static size_t train(const struct net_of *d, const char *order, float memory[MEMORY]) {
    static const double gamma[] = {0.3, 0.3, 0.3}, threshold[] = {0.002, 0.002, 0.002}, rate[] = {0.01, 0.01, 0.01};
    const bool bptt = d->method == BNNEP_METHOD_BPTT;
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    struct stream stream = {7};
    size_t count = 0;
    setenv("BNNEP_EMULATION_ORDER", order, 1);
    o.dynamics = d->dynamics;
    o.input_channels = d->input[0];
    o.input_height = d->input[1];
    o.input_width = d->input[2];
    o.connections = d->connections;
    o.connection_count = 3;
    o.free_steps = 20;
    o.settle_tolerance = 1e-4f; /* samples come to rest one by one */
    o.max_batch = SAMPLES;
    o.grid_bits = d->grid_bits;
    assert_ok(network_on("cuda", &o, &network));
    p.method = d->method;
    p.nudged_steps = 4;
    p.beta = 0.5f;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = rate;
    p.lr_alpha = bptt ? NULL : rate;
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    for (int batch = 0; batch < BATCHES; batch++) {
        float *x = random_pixels(&stream, SAMPLES, d->input[0] * d->input[1] * d->input[2]);
        int32_t *labels = random_labels(&stream, SAMPLES, 10);
        assert_ok(bnnep_optimizer_train_batch(optimizer, x, labels, SAMPLES, NULL, NULL));
        free(x);
        free(labels);
    }
    for (size_t k = 0; k < 3; k++)
        count += read_memory(network, optimizer, k, memory + count);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return count;
}

static void orders(void **state) {
    (void)state;
    static float forward[MEMORY], other[MEMORY];
    static const char *const names[] = {"backward", "shuffled"};
    for (size_t n = 0; n < sizeof nets / sizeof nets[0]; n++) {
        const size_t count = train(&nets[n], "forward", forward);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(train(&nets[n], names[i], other), count);
            if (memcmp(forward, other, count * sizeof *other) != 0)
                fail_msg("network %zu: %s differs from forward from element %zu of %zu on", n, names[i],
                         first_difference(forward, other, count, 0.0), count);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(orders)};
    return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
