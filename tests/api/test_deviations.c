/* SPDX-License-Identifier: MIT */
/* Thresholds and rates in deviations of the contrast: on every backend the rule is that of absolute ones which the test
 * works out from the contrasts itself; rates fall as the header says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "deviations.h"

enum { RENEWED_EACH = 256, RENEWAL = 64, PARTS = 3 };

/* --- the rule, worked out ----------------------------------------------------------------------------------------- */

/* What rates have fallen to after some updates. */
static double fallen(const bnnep_optimizer_options *o, size_t k, uint64_t at) {
    if (o->fall == BNNEP_FALL_HARMONIC)
        return 1.0 / (1.0 + gamma_of[k] * (double)at);
    if (o->fall == BNNEP_FALL_CONSTANT)
        return 1.0;
    const double done = at < o->fall_updates ? (double)at / (double)o->fall_updates : 1.0;
    return o->fall == BNNEP_FALL_EXPONENTIAL ? pow(o->fall_to, done)
                                             : o->fall_to + (1.0 - o->fall_to) * 0.5 * (1.0 + cos(acos(-1.0) * done));
}

/* What the header says that an optimizer in deviations measures. */
struct measured {
    double mean[LAYERS][PARTS], noise[LAYERS];           /* of squares; of momenta, as a share of the contrast's */
    double used_mean[LAYERS][PARTS], used_noise[LAYERS]; /* the same, renewed */
    uint64_t updates, used_at;
    double fallen[LAYERS]; /* rates, in the next update */
};

static void renew(struct measured *m, const bnnep_optimizer_options *o) {
    if (m->updates >= RENEWED_EACH && m->updates % RENEWAL != 0)
        return;
    memcpy(m->used_mean, m->mean, sizeof m->mean);
    memcpy(m->used_noise, m->noise, sizeof m->noise);
    m->used_at = m->updates;
    for (size_t k = 0; k < LAYERS; k++)
        m->fallen[k] = fallen(o, k, m->used_at);
}

static double mean_square(const bnnep_optimizer *optimizer, size_t k, int32_t part, size_t count) {
    float *values = malloc(count * sizeof *values);
    double sum = 0.0;
    assert_non_null(values);
    assert_ok(bnnep_optimizer_get_contrast(optimizer, k, part, values, count));
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    free(values);
    return sum / (double)count;
}

/* Rounded to 12 bits; what is 0 does not count. */
static void take_mean(double *running, double mean, double share) {
    int exponent;
    const double fraction = frexp(mean, &exponent);
    const double rounded = ldexp(rint(ldexp(fraction, 12)), exponent - 12);
    if (mean > 0.0)
        *running = *running > 0.0 ? *running + share * (rounded - *running) : rounded;
}

static void measure(struct measured *m, const bnnep_network *network, const bnnep_optimizer *optimizer) {
    m->updates++;
    for (size_t k = 0; k < LAYERS; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &info));
        const size_t counts[PARTS] = {(size_t)(info.rows * info.columns), (size_t)info.rows, (size_t)info.scales};
        const double g = m->fallen[k] * gamma_of[k], keep = (1.0 - g) * (1.0 - g);
        const double first = 1.0 / (double)m->updates,
                     kept = keep * keep * m->noise[k] * m->mean[k][BNNEP_CONTRAST_WEIGHTS];
        for (int32_t part = 0; part < PARTS; part++)
            take_mean(&m->mean[k][part], mean_square(optimizer, k, part, counts[part]), g > first ? g : first);
        m->noise[k] = fmax(keep * m->noise[k] + g * g, g / (2.0 - g));
        m->noise[k] = fmax(m->noise[k], kept / m->mean[k][BNNEP_CONTRAST_WEIGHTS]);
    }
}

static void set_rates(const struct measured *m, const bnnep_network *network, bnnep_optimizer *optimizer) {
    double gamma[LAYERS], threshold[LAYERS], bias[LAYERS], alpha[LAYERS];
    for (size_t k = 0; k < LAYERS; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &info));
        const double *mean = m->used_mean[k];
        threshold[k] = deviations[k] * sqrt(m->used_noise[k]) * sqrt(mean[BNNEP_CONTRAST_WEIGHTS]);
        threshold[k] *= m->used_at > 0 ? 1.0 + 32.0 / (double)m->used_at : 1.0;
        threshold[k] = threshold[k] > 0.0 ? threshold[k] : 1e30;
        gamma[k] = m->fallen[k] * gamma_of[k];
        const bool biases = m->used_at * info.rows >= 16, scales = m->used_at * info.scales >= 16;
        bias[k] = biases && mean[BNNEP_CONTRAST_BIAS] > 0.0
                      ? m->fallen[k] * lr_bias[k] / sqrt(mean[BNNEP_CONTRAST_BIAS])
                      : 0.0;
        alpha[k] = m->fallen[k] * 0.5 / sqrt((double)info.columns) * lr_alpha[k];
        alpha[k] = scales && mean[BNNEP_CONTRAST_ALPHA] > 0.0 ? alpha[k] / sqrt(mean[BNNEP_CONTRAST_ALPHA]) : 0.0;
    }
    assert_ok(bnnep_optimizer_set_rates(optimizer, BNNEP_RATE_GAMMA, gamma, LAYERS));
    assert_ok(bnnep_optimizer_set_rates(optimizer, BNNEP_RATE_THRESHOLD, threshold, LAYERS));
    assert_ok(bnnep_optimizer_set_rates(optimizer, BNNEP_RATE_BIAS, bias, LAYERS));
    assert_ok(bnnep_optimizer_set_rates(optimizer, BNNEP_RATE_ALPHA, alpha, LAYERS));
}

/* A batch on an optimizer with absolute rates, which learns by what was measured before. */
static void train_by_hand(struct measured *m, bnnep_network *network, bnnep_optimizer *optimizer,
                          const bnnep_optimizer_options *o, const struct batch *b) {
    bnnep_workspace *ws = bnnep_network_workspace(network);
    renew(m, o);
    set_rates(m, network, optimizer);
    assert_ok(bnnep_workspace_stage(ws, b->x, b->targets, SAMPLES));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0, NULL));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 5, o->beta, NULL));
    assert_ok(phase_learn(optimizer, ws, 0.0, NULL));
    measure(m, network, optimizer);
}

static void compare_rules(const struct kind *kind, const char *where, int32_t schedule, int batches) {
    bnnep_network *net[2] = {make_network(kind, where, 8), make_network(kind, where, 8)};
    bnnep_optimizer_options o = rule(kind);
    bnnep_optimizer *by_hand = make_optimizer(net[1], &o);
    o.threshold_kind = o.rate_kind = BNNEP_UNIT_DEVIATIONS;
    o.fall = schedule;
    const bool ends = schedule == BNNEP_FALL_EXPONENTIAL || schedule == BNNEP_FALL_COSINE;
    o.fall_to = ends ? 0.02 : 0.0;
    o.fall_updates = ends ? 30 : 0;
    bnnep_optimizer *optimizer = make_optimizer(net[0], &o);
    struct measured m = {.updates = 0};
    struct stream stream = {9};
    uint64_t flips[LAYERS], sum = 0;
    bnnep_report report = BNNEP_REPORT_INIT;
    report.flips = flips;
    report.flips_count = LAYERS;
    for (int n = 0; n < batches; n++) {
        struct batch b = draw_batch(&stream);
        assert_ok(bnnep_optimizer_train_batch(optimizer, b.x, b.labels, SAMPLES, NULL, &report));
        train_by_hand(&m, net[1], by_hand, &o, &b);
        for (size_t k = 0; k < LAYERS; k++)
            sum += flips[k];
        assert_true(n > 0 || sum == 0);
        compare_networks(net[0], net[1]);
        free_batch(&b);
    }
    assert_true(sum > (schedule ? 20 : 100)); /* else nothing was tested */
    for (int i = 0; i < 2; i++) {
        bnnep_optimizer_free(i ? by_hand : optimizer);
        bnnep_network_free(net[i]);
    }
}

static void by_their_equations(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < KINDS; i++)
            for (int32_t schedule = BNNEP_FALL_CONSTANT; schedule <= BNNEP_FALL_HARMONIC; schedule++)
                compare_rules(&kinds[i], backends[b], schedule, 40);
}

/* Long enough for rules to stay for 64 updates. */
static void renewals(void **state) {
    (void)state;
    compare_rules(&kinds[0], "cpu", BNNEP_FALL_CONSTANT, 400);
    compare_rules(&kinds[2], "cpu", BNNEP_FALL_EXPONENTIAL, 400);
}

/* --- rates that fall ---------------------------------------------------------------------------------------------- */

/* With absolute units nothing else changes: bit for bit as if the rates were set before each update. */
static void schedules(void **state) {
    (void)state;
    for (int32_t schedule = BNNEP_FALL_EXPONENTIAL; schedule <= BNNEP_FALL_HARMONIC; schedule++) {
        const double thresholds[LAYERS] = {1e-4, 2e-4, 5e-4};
        bnnep_network *net[2] = {make_network(&kinds[0], "cpu", 8), make_network(&kinds[0], "cpu", 8)};
        bnnep_optimizer_options o = rule(&kinds[0]);
        o.threshold = thresholds;
        bnnep_optimizer *by_hand = make_optimizer(net[1], &o);
        o.fall = schedule;
        o.fall_to = schedule < BNNEP_FALL_HARMONIC ? 0.03 : 0.0;
        o.fall_updates = schedule < BNNEP_FALL_HARMONIC ? 30 : 0;
        bnnep_optimizer *optimizer = make_optimizer(net[0], &o);
        const struct net a = {.network = net[0], .optimizer = optimizer}, b = {.network = net[1], .optimizer = by_hand};
        struct stream stream = {11};
        for (uint64_t n = 0; n < 36; n++) {
            double rates[3][LAYERS];
            for (size_t k = 0; k < LAYERS; k++) {
                rates[0][k] = fallen(&o, k, n) * gamma_of[k];
                rates[1][k] = fallen(&o, k, n) * lr_bias[k];
                rates[2][k] = fallen(&o, k, n) * lr_alpha[k];
            }
            assert_ok(bnnep_optimizer_set_rates(by_hand, BNNEP_RATE_GAMMA, rates[0], LAYERS));
            assert_ok(bnnep_optimizer_set_rates(by_hand, BNNEP_RATE_BIAS, rates[1], LAYERS));
            assert_ok(bnnep_optimizer_set_rates(by_hand, BNNEP_RATE_ALPHA, rates[2], LAYERS));
            struct batch batch = draw_batch(&stream);
            assert_ok(bnnep_optimizer_train_batch(optimizer, batch.x, batch.labels, SAMPLES, NULL, NULL));
            assert_ok(bnnep_optimizer_train_batch(by_hand, batch.x, batch.labels, SAMPLES, NULL, NULL));
            for (size_t k = 0; k < LAYERS; k++) {
                float bias[2][64];
                const size_t rows = k == 0 ? 8 : k == 1 ? 31 : CLASSES;
                assert_ok(bnnep_network_get_bias(a.network, k, bias[0], rows));
                assert_ok(bnnep_network_get_bias(b.network, k, bias[1], rows));
                assert_memory_equal(bias[0], bias[1], rows * sizeof(float));
            }
            compare_networks(net[0], net[1]);
            free_batch(&batch);
        }
        for (int i = 0; i < 2; i++) {
            bnnep_optimizer_free(i ? by_hand : optimizer);
            bnnep_network_free(net[i]);
        }
    }
}

/* --- outputs that stay -------------------------------------------------------------------------------------------- */

/* Updates by one contrast: of 1 or -1 of weights, and so much of the outputs' biases. Returns the flips. */
static uint64_t update_often(bnnep_network *network, bnnep_optimizer *optimizer, float outputs, int times) {
    uint64_t flips[LAYERS], sum = 0;
    bnnep_report report = BNNEP_REPORT_INIT;
    report.flips = flips;
    report.flips_count = LAYERS;
    for (size_t k = 0; k < LAYERS; k++) {
        float weights[64 * 64], bias[64];
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &info));
        for (size_t i = 0; i < info.rows * info.columns; i++)
            weights[i] = i % 2 == 0 ? 1.0f : -1.0f;
        for (size_t j = 0; j < info.rows; j++)
            bias[j] = k + 1 == LAYERS ? outputs : 1.0f;
        assert_ok(bnnep_optimizer_set_contrast(optimizer, k, BNNEP_CONTRAST_WEIGHTS, weights,
                                               (size_t)(info.rows * info.columns)));
        assert_ok(bnnep_optimizer_set_contrast(optimizer, k, BNNEP_CONTRAST_BIAS, bias, (size_t)info.rows));
    }
    while (times-- > 0) {
        assert_ok(bnnep_optimizer_update(optimizer, &report));
        for (size_t k = 0; k < LAYERS; k++)
            sum += flips[k];
    }
    return sum;
}

/* Nothing is measured, flips or moves, before the outputs' contrast is more than rounding. */
static void before_outputs_move(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < KINDS; i++) {
            bnnep_network *network = make_network(&kinds[i], backends[b], 8);
            bnnep_network *fresh = make_network(&kinds[i], backends[b], 8);
            bnnep_optimizer_options o = rule(&kinds[i]);
            o.threshold_kind = o.rate_kind = BNNEP_UNIT_DEVIATIONS;
            bnnep_optimizer *optimizer = make_optimizer(network, &o);
            assert_int_equal(update_often(network, optimizer, 0.9e-4f, 200), 0);
            compare_networks(network, fresh);
            assert_true(update_often(network, optimizer, 1.1e-4f, 200) > 100);
            bnnep_optimizer_free(optimizer);
            bnnep_network_free(fresh);
            bnnep_network_free(network);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_their_equations),
        cmocka_unit_test(renewals),
        cmocka_unit_test(schedules),
        cmocka_unit_test(before_outputs_move),
    };
    return cmocka_run_group_tests_name("deviations", tests, NULL, NULL);
}
