/* SPDX-License-Identifier: MIT */
/* Training a batch is its phases, its contrast and its update, one by one, on every backend bit for bit; a contrast of
 * the caller's own is applied as the header says; what cannot be done is refused and changes nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { BATCHES = 3, SAMPLES = 19, VALUES = 42, HIDDEN = 23, CLASSES = 10 };

static struct shape shape_of(int32_t dynamics, bool convolution, bool learn_alpha) {
    struct shape shape = {
        .dynamics = dynamics,
        .connections = 3,
        .units = {VALUES, HIDDEN, 31, CLASSES},
        .free_steps = 14,
        .nudged_steps = 5,
        .max_batch = SAMPLES,
        .learn_alpha = learn_alpha,
        .beta = dynamics == BNNEP_DYNAMICS_BINARY ? 1.3 : 0.3,
        .gamma = 0.3,
        .threshold = 0.002,
        .seed = 7,
    };
    if (convolution) {
        shape.units[1] = 5;
        shape.height = 6;
        shape.width = 7;
    }
    return shape;
}

static void one_hot(const int32_t *labels, size_t count, float *targets) {
    for (size_t i = 0; i < count * CLASSES; i++)
        targets[i] = labels[i / CLASSES] == (int32_t)(i % CLASSES) ? 1.0f : 0.0f;
}

/* What bnnep_optimizer_train_batch() does, by the calls that the header says. */
static void train_by_hand(const struct net *net, const float *x, const int32_t *labels, size_t count, uint64_t *flips) {
    bnnep_workspace *ws = bnnep_network_workspace(net->network);
    bnnep_report report = BNNEP_REPORT_INIT;
    bnnep_relaxation phase = BNNEP_RELAXATION_INIT;
    bnnep_contrast_options of = BNNEP_CONTRAST_OPTIONS_INIT;
    float targets[SAMPLES * CLASSES];
    one_hot(labels, count, targets);
    assert_ok(bnnep_workspace_stage(ws, x, targets, count));
    assert_ok(bnnep_workspace_relax(ws, &phase, NULL));
    phase.to = BNNEP_PHASE_NUDGED;
    phase.steps = net->shape->nudged_steps;
    phase.beta = net->shape->beta;
    assert_ok(bnnep_workspace_relax(ws, &phase, NULL));
    if (net->shape->centred) {
        phase.to = of.first = BNNEP_PHASE_OTHER;
        of.second = BNNEP_PHASE_NUDGED;
        phase.beta = -phase.beta;
        assert_ok(bnnep_workspace_relax(ws, &phase, NULL));
    }
    assert_ok(bnnep_optimizer_contrast(net->optimizer, ws, &of));
    report.flips = flips;
    report.flips_count = net->shape->connections;
    assert_ok(bnnep_optimizer_update(net->optimizer, &report));
}

static void compare_training(const struct shape *shape, const char *backend) {
    struct net whole = net_make(shape, backend), parts = net_make(shape, backend);
    struct stream stream = {3};
    uint64_t sum = 0;
    for (int batch = 0; batch < BATCHES; batch++) {
        const size_t count = batch < BATCHES - 1 ? SAMPLES : 5;
        float *x = random_pixels(&stream, count, VALUES);
        int32_t *labels = random_labels(&stream, count, CLASSES);
        uint64_t flips[MOST_LAYERS] = {0}, flips_by_hand[MOST_LAYERS] = {0};
        bnnep_report report = BNNEP_REPORT_INIT;
        report.flips = flips;
        report.flips_count = shape->connections;
        assert_ok(bnnep_optimizer_train_batch(whole.optimizer, x, labels, count, NULL, &report));
        train_by_hand(&parts, x, labels, count, flips_by_hand);
        assert_memory_equal(flips, flips_by_hand, sizeof flips);
        assert_same_network(&whole, &parts);
        for (size_t k = 0; k < shape->connections; k++)
            sum += flips[k];
        free(x);
        free(labels);
    }
    assert_true(sum > 100); /* else nothing was learnt and nothing tested */
    net_free(&whole);
    net_free(&parts);
}

static void by_hand(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int kind = 0; kind < 8; kind++) {
            const struct shape shape = shape_of(kind % 2, kind / 2 % 2, kind / 4);
            compare_training(&shape, backends[b]);
        }
}

/* A nudge of both signs; the free outputs, by which it is judged and binary convolutions predict, outlast it. */
static void by_hand_centred(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int kind = 0; kind < 4; kind++) {
            struct shape shape = shape_of(kind % 2, kind / 2, true);
            shape.centred = true;
            compare_training(&shape, backends[b]);
        }
}

/* Thresholds and rates in deviations: what is measured is the same either way. */
static void by_hand_in_deviations(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int kind = 0; kind < 4; kind++) {
            struct shape shape = shape_of(kind % 2, kind / 2, true);
            shape.deviations = true;
            shape.threshold = 0.01;
            compare_training(&shape, backends[b]);
        }
}

/* The same on a grid, and with samples that settle. */
static void by_hand_otherwise(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int convolution = 0; convolution < 2; convolution++) {
            struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, convolution, true);
            shape.settle_tolerance = 1e-3;
            compare_training(&shape, backends[b]);
            shape.settle_tolerance = 0.0;
            shape.grid_bits = 16;
            compare_training(&shape, backends[b]);
        }
}

static bnnep_optimizer *make_bptt(const struct net *net) {
    static const double gamma[] = {0.3, 0.3, 0.3}, threshold[] = {1e-6, 1e-6, 1e-6}, rate[] = {0.1, 0.1, 0.1};
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    p.method = BNNEP_METHOD_BPTT;
    p.nudged_steps = net->shape->nudged_steps;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = rate;
    assert_ok(bnnep_optimizer_create(net->network, &p, &optimizer));
    return optimizer;
}

/* States within (0, 1), where the clamp has a derivative. */
static void unsaturate(const struct net *net) {
    for (size_t k = 0; k < net->shape->connections; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        float alpha[32], bias[32];
        assert_ok(bnnep_network_get_connection(net->network, k, &info));
        assert_true(info.rows <= 32);
        for (size_t i = 0; i < 32; i++) {
            alpha[i] = 0.02f;
            bias[i] = 0.45f;
        }
        assert_ok(bnnep_network_set_alpha(net->network, k, alpha, (size_t)info.scales));
        assert_ok(bnnep_network_set_bias(net->network, k, bias, (size_t)info.rows));
    }
}

static void back_propagation_by_hand(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int convolution = 0; convolution < 2; convolution++) {
            const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, convolution, false);
            const int32_t steps = shape.nudged_steps + (convolution ? 0 : 1);
            struct net nets[2] = {net_make(&shape, backends[b]), net_make(&shape, backends[b])};
            struct stream stream = {3};
            uint64_t flips[3] = {0};
            for (int side = 0; side < 2; side++) {
                bnnep_optimizer_free(nets[side].optimizer);
                nets[side].optimizer = make_bptt(&nets[side]);
                unsaturate(&nets[side]);
            }
            for (int batch = 0; batch < BATCHES; batch++) {
                bnnep_workspace *ws = bnnep_network_workspace(nets[1].network);
                float *x = random_pixels(&stream, SAMPLES, VALUES), targets[SAMPLES * CLASSES];
                int32_t *labels = random_labels(&stream, SAMPLES, CLASSES);
                bnnep_report report = BNNEP_REPORT_INIT;
                report.flips = flips;
                report.flips_count = 3;
                one_hot(labels, SAMPLES, targets);
                assert_ok(bnnep_optimizer_train_batch(nets[0].optimizer, x, labels, SAMPLES, NULL, &report));
                assert_ok(bnnep_workspace_stage(ws, x, targets, SAMPLES));
                assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape.free_steps - steps, 0.0, NULL));
                assert_ok(bnnep_optimizer_backpropagate(nets[1].optimizer, ws, steps));
                assert_ok(bnnep_optimizer_update(nets[1].optimizer, NULL));
                assert_same_network(&nets[0], &nets[1]);
                assert_true(flips[0] + flips[1] + flips[2] > 0);
                free(x);
                free(labels);
            }
            net_free(&nets[0]);
            net_free(&nets[1]);
        }
}

/* --- a contrast of the caller's own ------------------------------------------------------------------------------- */

/* Rates that are powers of 2, so that all is exact. */
enum { MOST_WEIGHTS = 64 };
static const double half[] = {0.5, 0.5}, quarter[] = {0.25, 0.25};

static struct net make_exact(bool convolution, const char *backend, const struct shape *shape) {
    const bnnep_connection connected[] = {BNNEP_FC(3), BNNEP_FC(2)},
                           convolved[] = {BNNEP_CONV(3, 2, 0, 2), BNNEP_FC(2)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    struct net net = {.shape = shape};
    o.input_height = o.input_width = 3;
    o.classes = 2;
    o.connections = convolution ? convolved : connected;
    o.connection_count = 2;
    p.gamma = quarter;
    p.threshold = quarter;
    p.lr_bias = half;
    p.lr_alpha = half;
    assert_ok(network_on(backend, &o, &net.network));
    assert_ok(bnnep_optimizer_create(net.network, &p, &net.optimizer));
    return net;
}

struct parameters {
    bnnep_connection_info info;
    size_t rows, weights, scales;
    int8_t signs[MOST_WEIGHTS];
    float momentum[MOST_WEIGHTS], bias[8], alpha[8];
};

static struct parameters read_parameters(const struct net *net, size_t k) {
    struct parameters p = {.info = BNNEP_CONNECTION_INFO_INIT};
    assert_ok(bnnep_network_get_connection(net->network, k, &p.info));
    p.rows = (size_t)p.info.rows;
    p.weights = p.rows * (size_t)p.info.columns;
    p.scales = (size_t)p.info.scales;
    assert_true(p.weights <= MOST_WEIGHTS && p.rows <= 8);
    assert_ok(bnnep_network_get_signs(net->network, k, p.signs, p.weights));
    assert_ok(bnnep_optimizer_get_momentum(net->optimizer, k, p.momentum, p.weights));
    assert_ok(bnnep_network_get_bias(net->network, k, p.bias, p.rows));
    assert_ok(bnnep_network_get_alpha(net->network, k, p.alpha, p.scales));
    return p;
}

/* Multiples of 1/64, some of them 0, times `times`. */
static void draw(struct stream *stream, float times, float *to, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] = times * (float)stream_between(stream, -64, 64) / 64.0f;
}

static void set_contrast(const struct net *net, size_t k, const struct parameters *g) {
    static const int32_t parts[] = {BNNEP_CONTRAST_WEIGHTS, BNNEP_CONTRAST_BIAS, BNNEP_CONTRAST_ALPHA};
    const float *const values[] = {g->momentum, g->bias, g->alpha};
    const size_t counts[] = {g->weights, g->rows, g->scales};
    for (int i = 0; i < 3; i++) {
        float back[MOST_WEIGHTS];
        assert_ok(bnnep_optimizer_set_contrast(net->optimizer, k, parts[i], values[i], counts[i]));
        assert_ok(bnnep_optimizer_get_contrast(net->optimizer, k, parts[i], back, counts[i]));
        assert_memory_equal(back, values[i], counts[i] * sizeof *back);
    }
}

/* m <- 3/4 m + 1/4 g; a weight flips where -sign(W) m exceeds 1/4, in a convolutional network where it reaches it;
 * b <- b + 1/2 g_b; alpha <- alpha + 1/2 g_alpha. */
static void check_rule(const struct parameters *before, const struct parameters *g, const struct parameters *after,
                       bool convolutional, uint64_t flips) {
    uint64_t turned = 0;
    for (size_t i = 0; i < before->weights; i++) {
        const float alpha = before->alpha[before->scales == 1 ? 0 : i / (before->weights / before->rows)];
        const float m = 0.75f * before->momentum[i] + 0.25f * g->momentum[i];
        const float sign = alpha > 0.0f ? before->signs[i] : alpha < 0.0f ? -before->signs[i] : 0.0f;
        const bool flip = convolutional ? -sign * m >= 0.25f : -sign * m > 0.25f;
        assert_true(after->momentum[i] == m);
        assert_int_equal(after->signs[i], flip ? -before->signs[i] : before->signs[i]);
        turned += flip;
    }
    assert_int_equal(turned, flips);
    for (size_t j = 0; j < before->rows; j++)
        assert_true(after->bias[j] == before->bias[j] + 0.5f * g->bias[j]);
    for (size_t i = 0; i < before->scales; i++)
        assert_true(after->alpha[i] == before->alpha[i] + 0.5f * g->alpha[i]);
}

static void apply_own(const struct net *net, bool convolutional, struct stream *stream, float times,
                      uint64_t *flipped) {
    struct parameters before[2], g[2];
    uint64_t flips[2];
    bnnep_report report = BNNEP_REPORT_INIT;
    for (size_t k = 0; k < 2; k++) {
        struct parameters drawn = read_parameters(net, k);
        draw(stream, 1.0f, drawn.momentum, drawn.weights);
        draw(stream, 1.0f, drawn.bias, drawn.rows);
        draw(stream, 1.0f, drawn.alpha, drawn.scales);
        assert_ok(bnnep_optimizer_set_momentum(net->optimizer, k, drawn.momentum, drawn.weights));
        assert_ok(bnnep_network_set_bias(net->network, k, drawn.bias, drawn.rows));
        assert_ok(bnnep_network_set_alpha(net->network, k, drawn.alpha, drawn.scales));
        before[k] = g[k] = drawn;
        draw(stream, times, g[k].momentum, drawn.weights);
        draw(stream, times, g[k].bias, drawn.rows);
        draw(stream, times, g[k].alpha, drawn.scales);
        for (size_t i = 0; i < drawn.weights; i += 3) /* where m reaches 1/4 and goes no further */
            g[k].momentum[i] = times == 0.0f ? 0.0f : 1.0f - 3.0f * drawn.momentum[i];
        set_contrast(net, k, &g[k]);
    }
    report.flips = flips;
    report.flips_count = 2;
    assert_ok(bnnep_optimizer_update(net->optimizer, &report));
    for (size_t k = 0; k < 2; k++) {
        const struct parameters after = read_parameters(net, k);
        check_rule(&before[k], &g[k], &after, convolutional, flips[k]);
        flipped[k] += flips[k];
    }
}

static void own_contrast(void **state) {
    (void)state;
    static const struct shape shape = {.connections = 2};
    static const float x[9] = {1.0f}, target[2] = {1.0f};
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int convolution = 0; convolution < 2; convolution++) {
            struct net net = make_exact(convolution, backends[b], &shape);
            bnnep_workspace *ws = bnnep_network_workspace(net.network);
            struct stream stream = {5};
            uint64_t flipped[2] = {0, 0};
            for (int round = 0; round < 12; round++) { /* something was taken before, in place of which own values go */
                assert_ok(bnnep_workspace_stage(ws, x, target, 1));
                assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 2, 0.7, NULL));
                assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, NULL));
                apply_own(&net, convolution, &stream, round % 3 == 0 ? 0.0f : round % 3 == 1 ? 1.0f : -4.0f, flipped);
            }
            assert_true(flipped[0] > 0 && flipped[1] > 0);
            net_free(&net);
        }
}

/* Values put in place of a part of the contrast leave the others as they were taken; the negative learns backwards. */
static void own_part(void **state) {
    (void)state;
    static const struct shape shape = {.connections = 2};
    static const float x[9] = {1.0f, 0.5f, 0.25f}, target[2] = {1.0f, 0.0f}, zero[MOST_WEIGHTS];
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t own = 0; own < 2; own++) {
            struct net net = make_exact(false, backends[b], &shape);
            bnnep_workspace *ws = bnnep_network_workspace(net.network);
            float g[2][27];
            const struct parameters first[2] = {read_parameters(&net, 0), read_parameters(&net, 1)};
            assert_ok(bnnep_workspace_stage(ws, x, target, 1));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 20, 0.0, NULL));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 9, 0.5, NULL));
            assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, NULL));
            for (size_t k = 0; k < 2; k++) {
                float largest = 0.0f;
                assert_ok(
                    bnnep_optimizer_get_contrast(net.optimizer, k, BNNEP_CONTRAST_WEIGHTS, g[k], first[k].weights));
                for (size_t i = 0; i < first[k].weights; i++) {
                    largest = fmaxf(largest, fabsf(g[k][i]));
                    g[k][i] = k == own ? -g[k][i] : g[k][i];
                }
                assert_true(largest > 1e-3f);
            }
            assert_ok(
                bnnep_optimizer_set_contrast(net.optimizer, own, BNNEP_CONTRAST_WEIGHTS, g[own], first[own].weights));
            assert_ok(bnnep_optimizer_set_contrast(net.optimizer, own, BNNEP_CONTRAST_BIAS, zero, first[own].rows));
            assert_ok(bnnep_optimizer_update(net.optimizer, NULL));
            for (size_t k = 0; k < 2; k++) {
                const struct parameters after = read_parameters(&net, k);
                for (size_t i = 0; i < after.weights; i++)
                    assert_true(fabsf(after.momentum[i] - 0.25f * g[k][i]) <= 1e-6f * fabsf(g[k][i]));
                assert_true((memcmp(after.bias, first[k].bias, sizeof after.bias) == 0) == (k == own));
            }
            net_free(&net);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand),
                                       cmocka_unit_test(by_hand_centred),
                                       cmocka_unit_test(by_hand_in_deviations),
                                       cmocka_unit_test(by_hand_otherwise),
                                       cmocka_unit_test(back_propagation_by_hand),
                                       cmocka_unit_test(own_contrast),
                                       cmocka_unit_test(own_part)};
    return cmocka_run_group_tests_name("phases", tests, NULL, NULL);
}
