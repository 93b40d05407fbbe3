/* SPDX-License-Identifier: MIT */
/* The rules of one weight and one unit, at their edges, on every backend: which weights flip, and where the clamp has a
 * derivative. The inputs are 0, so that nothing but the values set here counts. */
#include "support.h"

/* The first connection has rows * columns weights. */
struct network {
    bnnep_connection connections[2];
    size_t count, rows, columns, scales;
};
enum { INPUTS = 9, WEIGHTS = 18, ALPHAS = 4 };
static const struct network fully_connected = {{BNNEP_FC(2)}, 1, 2, INPUTS, 1};
static const struct network convolutional = {{BNNEP_CONV(ALPHAS, 2, 0, 1), BNNEP_FC(2)}, 2, ALPHAS, 4, ALPHAS};

static bnnep_network *make_network(const struct network *n, const char *backend) {
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.input_channels = 1;
    o.input_height = 3;
    o.input_width = 3;
    o.classes = 2;
    o.connections = n->connections;
    o.connection_count = n->count;
    o.free_steps = 3;
    o.max_batch = 1;
    assert_ok(network_on(backend, &o, &network));
    return network;
}

static bnnep_optimizer *make_optimizer(bnnep_network *network, int32_t method, double gain, double rate) {
    const double gamma[] = {gain, gain}, threshold[] = {1.0, 1.0}, lr_bias[] = {rate, rate};
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    p.method = method;
    p.nudged_steps = 1;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = lr_bias;
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    return optimizer;
}

static float sign(float v) {
    return v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : 0.0f;
}

/* Momenta of +-size, a threshold of 1: a weight w = alpha b flips where -sign(w) m exceeds it, those of a convolutional
 * network where -sign(w) m reaches it. */
static void flips_of(const struct network *n, bnnep_network *network, bnnep_optimizer *optimizer, const float *alpha,
                     float size) {
    static const float x[INPUTS];
    const size_t weights = n->rows * n->columns;
    float m[WEIGHTS];
    int8_t before[WEIGHTS], after[WEIGHTS];
    for (size_t i = 0; i < weights; i++) {
        before[i] = i % 2 ? 1 : -1;
        m[i] = i / 2 % 2 ? size : -size;
    }
    assert_ok(bnnep_network_set_alpha(network, 0, alpha, n->scales));
    assert_ok(bnnep_network_set_signs(network, 0, before, weights));
    assert_ok(bnnep_optimizer_set_momentum(optimizer, 0, m, weights));
    assert_ok(bnnep_optimizer_train_batch(optimizer, x, (const int32_t[]){0}, 1, NULL, NULL));
    assert_ok(bnnep_network_get_signs(network, 0, after, weights));
    for (size_t i = 0; i < weights; i++) {
        const float pull = -sign(alpha[n->scales == 1 ? 0 : i / n->columns] * before[i]) * m[i];
        const bool flips = n == &convolutional ? pull >= 1.0f : pull > 1.0f;
        assert_int_equal(after[i], flips ? -before[i] : before[i]);
    }
}

static void flips(void **state) {
    (void)state;
    static const float alpha[ALPHAS] = {0.5f, -0.5f, 0.0f, 0.25f};
    static const struct network *const networks[] = {&fully_connected, &convolutional};
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < 2; i++) {
            bnnep_network *network = make_network(networks[i], backends[b]);
            /* too small a gain to move a momentum of 1 */
            bnnep_optimizer *optimizer = make_optimizer(network, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, 1e-30, 0.0);
            for (size_t at = 0; at + networks[i]->scales <= ALPHAS; at++) {
                flips_of(networks[i], network, optimizer, alpha + at, 1.5f);
                flips_of(networks[i], network, optimizer, alpha + at, 1.0f);
            }
            bnnep_optimizer_free(optimizer);
            bnnep_network_free(network);
        }
}

/* The derivative of the clamp is 1 from 0 to 1, both included, and 0 outside: a bias is all that its unit gets. */
static void clamp_has_derivative(void **state) {
    (void)state;
    static const float x[INPUTS];
    static const struct {
        float bias[2], target[2], learnt[2];
    } cases[] = {{{0.0f, 1.0f}, {1.0f, 0.0f}, {1.0f, 0.0f}}, {{-0.5f, 1.5f}, {1.0f, 0.0f}, {-0.5f, 1.5f}}};
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < 2; i++) {
            bnnep_network *network = make_network(&fully_connected, backends[b]);
            bnnep_optimizer *optimizer = make_optimizer(network, BNNEP_METHOD_BPTT, 1.0, 1.0);
            bnnep_workspace *ws = bnnep_network_workspace(network);
            float bias[2];
            assert_ok(bnnep_network_set_bias(network, 0, cases[i].bias, 2));
            assert_ok(bnnep_workspace_stage(ws, x, cases[i].target, 1));
            assert_ok(bnnep_optimizer_backpropagate(optimizer, ws, 1));
            assert_ok(bnnep_optimizer_update(optimizer, NULL));
            assert_ok(bnnep_network_get_bias(network, 0, bias, 2));
            assert_memory_equal(bias, cases[i].learnt, sizeof bias);
            bnnep_optimizer_free(optimizer);
            bnnep_network_free(network);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(flips), cmocka_unit_test(clamp_has_derivative)};
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
