/* SPDX-License-Identifier: MIT */
/* What an optimizer in deviations keeps: momenta of weights that flip, the same bits for any number of threads, and
 * what was measured, in checkpoints, clones and after failures. */
#include <stdlib.h>
#include <string.h>

#include "deviations.h"

/* --- flips -------------------------------------------------------------------------------------------------------- */

/* The momenta of weights that flip are 0 with flip_reset, and those of all others stay what they would have been. */
static void resets(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < KINDS; i++) {
            size_t flipped = 0;
            bnnep_network *net[2] = {make_network(&kinds[i], backends[b], 8), make_network(&kinds[i], backends[b], 8)};
            const double thresholds[LAYERS] = {1e-9, 1e-9, 1e-9};
            bnnep_optimizer_options o = rule(&kinds[i]);
            o.threshold = thresholds;
            bnnep_optimizer *keeps = make_optimizer(net[0], &o);
            o.flip_reset = 1;
            bnnep_optimizer *resets = make_optimizer(net[1], &o);
            struct stream stream = {2};
            struct batch batch = draw_batch(&stream);
            int8_t before[64 * 64], after[64 * 64];
            float momentum[2][64 * 64];
            for (size_t k = 0; k < LAYERS; k++) {
                bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
                assert_ok(bnnep_network_get_connection(net[0], k, &info));
                const size_t weights = (size_t)(info.rows * info.columns);
                bnnep_network *fresh = make_network(&kinds[i], backends[b], 8);
                assert_ok(bnnep_network_get_signs(fresh, k, before, weights));
                bnnep_network_free(fresh);
                if (k == 0) {
                    assert_ok(bnnep_optimizer_train_batch(keeps, batch.x, batch.labels, SAMPLES, NULL, NULL));
                    assert_ok(bnnep_optimizer_train_batch(resets, batch.x, batch.labels, SAMPLES, NULL, NULL));
                }
                assert_ok(bnnep_network_get_signs(net[1], k, after, weights));
                assert_ok(bnnep_optimizer_get_momentum(keeps, k, momentum[0], weights));
                assert_ok(bnnep_optimizer_get_momentum(resets, k, momentum[1], weights));
                for (size_t w = 0; w < weights; w++) {
                    flipped += before[w] != after[w];
                    assert_true(momentum[1][w] == (before[w] != after[w] ? 0.0f : momentum[0][w]));
                }
            }
            compare_networks(net[0], net[1]);
            assert_true(flipped > 10);
            free_batch(&batch);
            bnnep_optimizer_free(keeps);
            bnnep_optimizer_free(resets);
            for (int n = 0; n < 2; n++)
                bnnep_network_free(net[n]);
        }
}

/* --- threads, files, clones --------------------------------------------------------------------------------------- */

static void train_some(bnnep_optimizer *optimizer, uint64_t seed, int batches) {
    struct stream stream = {seed};
    for (int n = 0; n < batches; n++) {
        struct batch b = draw_batch(&stream);
        assert_ok(bnnep_optimizer_train_batch(optimizer, b.x, b.labels, SAMPLES, NULL, NULL));
        free_batch(&b);
    }
}

static bnnep_optimizer_options in_deviations(const struct kind *kind) {
    bnnep_optimizer_options o = rule(kind);
    o.threshold_kind = o.rate_kind = BNNEP_UNIT_DEVIATIONS;
    o.fall = BNNEP_FALL_COSINE;
    o.fall_to = 0.1;
    o.fall_updates = 400;
    o.flip_reset = 1;
    return o;
}

static size_t trained_on(const struct kind *kind, const char *where, uint8_t *bytes, size_t room) {
    const bnnep_optimizer_options o = in_deviations(kind);
    bnnep_network *network = make_network(kind, where, kind->convolution ? 100 : 600);
    const struct net net = {.network = network, .optimizer = make_optimizer(network, &o)};
    train_some(net.optimizer, 8, 12);
    const size_t length = net_checkpoint(&net, bytes, room);
    bnnep_optimizer_free(net.optimizer);
    bnnep_network_free(network);
    return length;
}

/* More rows and columns than a task takes, so that threads share sums of squares; and binary activations come to the
 * same bits on ref. */
static void threads(void **state) {
    (void)state;
    static uint8_t bytes[2][1 << 20];
    for (size_t i = 0; i < KINDS; i++) {
        const size_t length = trained_on(&kinds[i], "cpu/1", bytes[0], sizeof bytes[0]);
        assert_int_equal(trained_on(&kinds[i], "cpu/3", bytes[1], sizeof bytes[1]), length);
        assert_memory_equal(bytes[0], bytes[1], length);
        if (kinds[i].dynamics != BNNEP_DYNAMICS_BINARY)
            continue;
        assert_int_equal(trained_on(&kinds[i], "ref", bytes[1], sizeof bytes[1]), length);
        assert_memory_equal(bytes[0], bytes[1], length);
    }
}

static void files_and_clones(void **state) {
    (void)state;
    static uint8_t bytes[3][1 << 20];
    size_t length[3];
    const bnnep_optimizer_options o = in_deviations(&kinds[0]);
    bnnep_network *network[3] = {make_network(&kinds[0], "cpu", 8), make_network(&kinds[0], "cpu", 8)};
    struct net net[3] = {{.network = network[0], .optimizer = make_optimizer(network[0], &o)},
                         {.network = network[1], .optimizer = make_optimizer(network[1], &o)}};
    train_some(net[0].optimizer, 1, 291); /* rules are renewed every 64 updates by then */
    const size_t saved = net_checkpoint(&net[0], bytes[0], sizeof bytes[0]);
    bnnep_source source = {.size = sizeof source, .bytes = bytes[0], .count = saved};
    assert_ok(bnnep_checkpoint_read(net[1].optimizer, &source));
    assert_ok(bnnep_network_clone(network[0], NULL, &net[2].network));
    assert_ok(bnnep_optimizer_clone(net[0].optimizer, net[2].network, &net[2].optimizer));
    for (int i = 0; i < 3; i++) {
        train_some(net[i].optimizer, 2, 37);
        length[i] = net_checkpoint(&net[i], bytes[i], sizeof bytes[i]);
        assert_int_equal(length[i], length[0]);
        assert_memory_equal(bytes[i], bytes[0], length[0]);
    }
    for (int i = 0; i < 3; i++) {
        bnnep_optimizer_free(net[i].optimizer);
        bnnep_network_free(net[i].network);
    }
}

/* A position that is set begins to measure anew, with the rates of that place; an update that fails changes nothing. */
static void positions_and_failures(void **state) {
    (void)state;
    static uint8_t bytes[2][1 << 20];
    bnnep_optimizer_options o = in_deviations(&kinds[0]);
    o.fall_updates = 50;
    bnnep_network *network = make_network(&kinds[0], "cpu", 8);
    const struct net net = {.network = network, .optimizer = make_optimizer(network, &o)};
    train_some(net.optimizer, 1, 9);
    assert_ok(bnnep_optimizer_set_position(net.optimizer, 5001, 0));
    int8_t before[31 * 8], after[31 * 8];
    assert_ok(bnnep_network_get_signs(network, 1, before, sizeof before));
    train_some(net.optimizer, 3, 1); /* nothing flips before something was measured */
    assert_ok(bnnep_network_get_signs(network, 1, after, sizeof after));
    assert_memory_equal(before, after, sizeof before);
    train_some(net.optimizer, 3, 5);

    const double large[LAYERS] = {1e38, 1e38, 1e38}, beta = 1e-6;
    struct stream stream = {6};
    struct batch b = draw_batch(&stream);
    assert_ok(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_BIAS, large, LAYERS));
    assert_ok(bnnep_optimizer_set_rates(net.optimizer, BNNEP_RATE_BETA, &beta, 1));
    const size_t length = net_checkpoint(&net, bytes[0], sizeof bytes[0]);
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, b.x, b.labels, SAMPLES, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "beyond the range of float");
    assert_int_equal(net_checkpoint(&net, bytes[1], sizeof bytes[1]), length);
    assert_memory_equal(bytes[0], bytes[1], length);
    free_batch(&b);
    bnnep_optimizer_free(net.optimizer);
    bnnep_network_free(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resets),
        cmocka_unit_test(threads),
        cmocka_unit_test(files_and_clones),
        cmocka_unit_test(positions_and_failures),
    };
    return cmocka_run_group_tests_name("deviations_kept", tests, NULL, NULL);
}
