/* SPDX-License-Identifier: MIT */
/* Thresholds and rates in deviations of the contrast: on every backend the rule is that of absolute ones which the test
 * works out from the contrasts itself; rates fall as the header says; threads change no bit; checkpoints and clones go
 * on with what was measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum {
    SAMPLES = 24,
    VALUES = 42,
    CLASSES = 5,
    LAYERS = 3,
    RENEWED_EACH = 256,
    RENEWAL = 64,
    PARTS = 3,
    MOST_ROWS = 600
};

static const double gamma_of[LAYERS] = {0.02, 0.05, 0.1}, deviations[LAYERS] = {0.3, 0.2, 0.25},
                    lr_bias[LAYERS] = {1e-3, 2e-3, 3e-3}, lr_alpha[LAYERS] = {2e-3, 1e-3, 3e-3};

struct kind {
    int32_t dynamics;
    bool convolution;
};
static const struct kind kinds[] = {{BNNEP_DYNAMICS_REAL, false},
                                    {BNNEP_DYNAMICS_REAL, true},
                                    {BNNEP_DYNAMICS_BINARY, false},
                                    {BNNEP_DYNAMICS_BINARY, true}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* A network of some kind; hidden: units of its layers, or channels of its convolution. */
static bnnep_network *make_network(const struct kind *kind, const char *where, int32_t hidden) {
    bnnep_connection layers[LAYERS] = {BNNEP_FC(hidden), BNNEP_FC(31), BNNEP_FC(CLASSES)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.dynamics = kind->dynamics;
    o.input_channels = VALUES;
    if (kind->convolution) {
        o.input_channels = 1;
        o.input_height = 6;
        o.input_width = 7;
        layers[0] = (bnnep_connection)BNNEP_CONV(hidden, 3, 1, 2);
    }
    o.connections = layers;
    o.connection_count = LAYERS;
    o.classes = CLASSES;
    o.free_steps = 12;
    o.max_batch = SAMPLES;
    o.seed = 5;
    assert_ok(network_on(where, &o, &network));
    struct stream stream = {17};
    for (size_t k = 0; k < LAYERS; k++) { /* larger biases, so that states differ */
        const size_t rows = k == 0 ? (size_t)hidden : k == 1 ? 31 : CLASSES;
        float bias[MOST_ROWS];
        for (size_t j = 0; j < rows; j++)
            bias[j] = stream_uniform(&stream) - 0.3f;
        assert_ok(bnnep_network_set_bias(network, k, bias, rows));
    }
    return network;
}

static double beta_of(const struct kind *kind) {
    return kind->dynamics == BNNEP_DYNAMICS_BINARY ? 4.0 : 0.7; /* activations must move */
}

static bnnep_optimizer_options rule(const struct kind *kind) {
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    o.gamma = gamma_of;
    o.threshold = deviations;
    o.lr_bias = lr_bias;
    o.lr_alpha = lr_alpha;
    o.nudged_steps = 5;
    o.beta = beta_of(kind);
    o.nudge = BNNEP_NUDGE_FIXED;
    o.seed = 3;
    return o;
}

static bnnep_optimizer *make_optimizer(bnnep_network *network, const bnnep_optimizer_options *o) {
    bnnep_optimizer *optimizer;
    assert_ok(bnnep_optimizer_create(network, o, &optimizer));
    return optimizer;
}

struct batch {
    float *x, targets[SAMPLES * CLASSES];
    int32_t *labels;
};

static struct batch draw_batch(struct stream *stream) {
    struct batch b = {.x = random_pixels(stream, SAMPLES, VALUES), .labels = random_labels(stream, SAMPLES, CLASSES)};
    for (size_t i = 0; i < SAMPLES * CLASSES; i++)
        b.targets[i] = b.labels[i / CLASSES] == (int32_t)(i % CLASSES) ? 1.0f : 0.0f;
    return b;
}

static void free_batch(struct batch *b) {
    free(b->x);
    free(b->labels);
}

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
    const double share = 1.0 / (double)(m->updates < 256 ? m->updates : 256);
    for (size_t k = 0; k < LAYERS; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &info));
        const size_t counts[PARTS] = {(size_t)(info.rows * info.columns), (size_t)info.rows, (size_t)info.scales};
        for (int32_t part = 0; part < PARTS; part++)
            take_mean(&m->mean[k][part], mean_square(optimizer, k, part, counts[part]), share);
        const double g = m->fallen[k] * gamma_of[k], after = (1.0 - g) * (1.0 - g) * m->noise[k] + g * g;
        m->noise[k] = after > g / (2.0 - g) ? after : g / (2.0 - g);
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
        bias[k] = mean[BNNEP_CONTRAST_BIAS] > 0.0 ? m->fallen[k] * lr_bias[k] / sqrt(mean[BNNEP_CONTRAST_BIAS]) : 0.0;
        alpha[k] = m->fallen[k] * 0.5 / sqrt((double)info.columns) * lr_alpha[k];
        alpha[k] = mean[BNNEP_CONTRAST_ALPHA] > 0.0 ? alpha[k] / sqrt(mean[BNNEP_CONTRAST_ALPHA]) : 0.0;
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

/* Returns how many signs are -1. */
static size_t compare_networks(const bnnep_network *a, const bnnep_network *b) {
    size_t negative = 0;
    for (size_t k = 0; k < LAYERS; k++) {
        int8_t signs[2][64 * 64 * 3];
        float values[2][64];
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(a, k, &info));
        const size_t weights = (size_t)(info.rows * info.columns);
        assert_ok(bnnep_network_get_signs(a, k, signs[0], weights));
        assert_ok(bnnep_network_get_signs(b, k, signs[1], weights));
        assert_memory_equal(signs[0], signs[1], weights);
        for (size_t i = 0; i < weights; i++)
            negative += signs[0][i] < 0;
        assert_ok(bnnep_network_get_bias(a, k, values[0], (size_t)info.rows));
        assert_ok(bnnep_network_get_bias(b, k, values[1], (size_t)info.rows));
        assert_int_equal(first_difference(values[0], values[1], (size_t)info.rows, 1e-5), info.rows);
        assert_ok(bnnep_network_get_alpha(a, k, values[0], (size_t)info.scales));
        assert_ok(bnnep_network_get_alpha(b, k, values[1], (size_t)info.scales));
        assert_int_equal(first_difference(values[0], values[1], (size_t)info.scales, 1e-5), info.scales);
    }
    return negative;
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
        cmocka_unit_test(by_their_equations),
        cmocka_unit_test(renewals),
        cmocka_unit_test(schedules),
        cmocka_unit_test(resets),
        cmocka_unit_test(threads),
        cmocka_unit_test(files_and_clones),
        cmocka_unit_test(positions_and_failures),
    };
    return cmocka_run_group_tests_name("deviations", tests, NULL, NULL);
}
