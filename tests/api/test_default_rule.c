/* SPDX-License-Identifier: MIT */
/* Nothing given is the default rule, as the header tells it; what contradicts itself is refused; where a network begins
 * that is balanced. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 24, CLASSES = 5, VALUES = 42, MOST = 4 };

struct kind {
    int32_t dynamics;
    bool convolution;
    size_t connections;
    int32_t hidden[MOST]; /* units, the first of a convolution channels */
};
static const struct kind kinds[] = {
    {BNNEP_DYNAMICS_REAL, false, 3, {70, 9}},       {BNNEP_DYNAMICS_REAL, true, 3, {6, 11}},
    {BNNEP_DYNAMICS_BINARY, false, 1, {0}},         {BNNEP_DYNAMICS_BINARY, false, 2, {31}},
    {BNNEP_DYNAMICS_BINARY, false, 4, {33, 70, 9}}, {BNNEP_DYNAMICS_BINARY, true, 3, {6, 11}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static bnnep_network *make_network(const struct kind *kind, int32_t start) {
    bnnep_connection layers[MOST];
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    for (size_t k = 0; k < kind->connections; k++)
        layers[k] = (bnnep_connection)BNNEP_FC(k + 1 < kind->connections ? kind->hidden[k] : CLASSES);
    if (kind->convolution)
        layers[0] = (bnnep_connection)BNNEP_CONV(kind->hidden[0], 3, 1, 2);
    o.input_height = 6;
    o.input_width = VALUES / 6;
    o.dynamics = kind->dynamics;
    o.connections = layers;
    o.connection_count = kind->connections;
    o.classes = CLASSES;
    o.theta = 0.4;
    o.free_steps = 12;
    o.max_batch = SAMPLES;
    o.seed = 5;
    o.start = start;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    return network;
}

static void train(bnnep_optimizer *optimizer, int batches) {
    struct stream stream = {4};
    for (int n = 0; n < batches; n++) {
        float *x = random_pixels(&stream, SAMPLES, VALUES);
        int32_t *labels = random_labels(&stream, SAMPLES, CLASSES);
        assert_ok(bnnep_optimizer_train_batch(optimizer, x, labels, SAMPLES, NULL, NULL));
        free(x);
        free(labels);
    }
}

/* --- the rule ----------------------------------------------------------------------------------------------------- */

struct rates {
    double gamma[MOST], threshold[MOST], lr_bias[MOST], lr_alpha[MOST];
};

/* What the header says. */
static bnnep_optimizer_options said(const struct kind *kind, struct rates *rates) {
    const size_t L = kind->connections;
    const bool binary = kind->dynamics == BNNEP_DYNAMICS_BINARY;
    const double h = binary && L > 2 ? (double)(L - 1) : 1.0;
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    for (size_t k = 0; k < L; k++) {
        rates->gamma[k] = 2e-3;
        rates->threshold[k] = 0.7;
        rates->lr_bias[k] = k + 1 < L ? 1e-2 / (h * h) : 1e-2;
        rates->lr_alpha[k] = 3e-3;
    }
    o.gamma = rates->gamma;
    o.threshold = rates->threshold;
    o.lr_bias = rates->lr_bias;
    o.lr_alpha = binary ? NULL : rates->lr_alpha;
    o.threshold_kind = o.rate_kind = BNNEP_UNIT_DEVIATIONS;
    o.fall = BNNEP_FALL_HARMONIC;
    o.beta = binary ? 2.0 : 0.3;
    o.nudge = BNNEP_NUDGE_CENTRED;
    o.covariance = true;
    return o;
}

static void nothing_given(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        static uint8_t bytes[2][1 << 20];
        struct rates rates;
        size_t length[2];
        for (int given = 0; given < 2; given++) {
            const bnnep_optimizer_options o = said(&kinds[i], &rates);
            struct net net = {.network = make_network(&kinds[i], BNNEP_START_BALANCED)};
            assert_ok(bnnep_optimizer_create(net.network, given ? &o : NULL, &net.optimizer));
            train(net.optimizer, 9);
            length[given] = net_checkpoint(&net, bytes[given], sizeof bytes[given]);
            net_free(&net);
        }
        assert_int_equal(length[0], length[1]);
        assert_memory_equal(bytes[0], bytes[1], length[0]);
    }
}

/* Gradients of a loss, which no phase is nudged for. */
static void back_propagation(void **state) {
    (void)state;
    static uint8_t bytes[2][1 << 20];
    size_t length[2];
    for (int given = 0; given < 2; given++) {
        struct rates rates;
        bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
        if (given)
            o = said(&kinds[0], &rates);
        o.method = BNNEP_METHOD_BPTT;
        o.lr_alpha = NULL;
        o.covariance = 0;
        o.nudge = BNNEP_NUDGE_RANDOM_SIGN;
        struct net net = {.network = make_network(&kinds[0], BNNEP_START_PAPER)};
        assert_ok(bnnep_optimizer_create(net.network, &o, &net.optimizer));
        train(net.optimizer, 9);
        length[given] = net_checkpoint(&net, bytes[given], sizeof bytes[given]);
        net_free(&net);
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(bytes[0], bytes[1], length[0]);
}

static void what_is_given_stays(void **state) {
    (void)state;
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    bnnep_optimizer *optimizer;
    bnnep_network *network = make_network(&kinds[4], BNNEP_START_BALANCED);
    double beta;
    o.beta = 1.25;
    o.nudge = BNNEP_NUDGE_FIXED;
    assert_ok(bnnep_optimizer_create(network, &o, &optimizer));
    assert_ok(bnnep_optimizer_get_rates(optimizer, BNNEP_RATE_BETA, &beta, 1));
    assert_ok(bnnep_optimizer_get_info(optimizer, &info));
    assert_true(beta == 1.25);
    assert_int_equal(info.nudge, BNNEP_NUDGE_FIXED);
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
}

static void refused(void **state) {
    (void)state;
    bnnep_network *network = make_network(&kinds[0], BNNEP_START_PAPER);
    bnnep_optimizer *optimizer;
    const struct {
        bnnep_optimizer_options options;
        const char *says;
        bnnep_status status;
    } wrong[] = {
        {{.threshold_kind = 2}, "threshold_kind is 2", BNNEP_ERROR_ARGUMENT},
        {{.rate_kind = -1}, "rate_kind is -1", BNNEP_ERROR_ARGUMENT},
        {{.fall = 4}, "fall is 4", BNNEP_ERROR_ARGUMENT},
        {{.flip_reset = 2}, "flip_reset is 2", BNNEP_ERROR_ARGUMENT},
        {{.fall = 1, .fall_to = 0.0, .fall_updates = 9}, "fall_to is 0", BNNEP_ERROR_ARGUMENT},
        {{.fall = 2, .fall_to = 1.5, .fall_updates = 9}, "fall_to is 1.5", BNNEP_ERROR_ARGUMENT},
        {{.fall = 2, .fall_to = (double)NAN, .fall_updates = 9}, "fall_to is", BNNEP_ERROR_ARGUMENT},
        {{.fall = 2, .fall_to = 0.5}, "fall_updates is 0", BNNEP_ERROR_ARGUMENT},
        {{.fall_to = 0.5}, "but fall is", BNNEP_ERROR_ARGUMENT},
        {{.fall = 3, .fall_to = 0.5}, "fall is 3", BNNEP_ERROR_ARGUMENT},
        {{.fall_updates = 5}, "but fall is", BNNEP_ERROR_ARGUMENT},
        {{.covariance = 2}, "covariance is 2", BNNEP_ERROR_ARGUMENT},
        {{.covariance = 1, .method = BNNEP_METHOD_BPTT}, "not BPTT", BNNEP_ERROR_UNSUPPORTED},
        {{.consolidation = -1.0f}, "consolidation is -1", BNNEP_ERROR_ARGUMENT},
        {{.consolidation = (float)NAN}, "consolidation is", BNNEP_ERROR_ARGUMENT},
        {{.consolidation = 2e6f}, "consolidation is 2e+06", BNNEP_ERROR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bnnep_optimizer_options o = wrong[i].options;
        o.size = sizeof o;
        assert_refused(bnnep_optimizer_create(network, &o, &optimizer), wrong[i].status, wrong[i].says);
        assert_null(optimizer);
    }
    const double gamma[3] = {0.1, 0.1, 0.1};
    bnnep_optimizer_options some = BNNEP_OPTIMIZER_OPTIONS_INIT;
    some.gamma = gamma;
    assert_refused(bnnep_optimizer_create(network, &some, &optimizer), BNNEP_ERROR_ARGUMENT, "threshold is NULL");
    bnnep_network_free(network);
}

/* --- where a balanced network begins ------------------------------------------------------------------------------ */

struct parameters {
    size_t rows, columns, scales;
    int32_t kind;
    int8_t *signs;
    float *alpha, *bias;
};

static struct parameters read(const bnnep_network *network, size_t k) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    assert_ok(bnnep_network_get_connection(network, k, &info));
    struct parameters p = {(size_t)info.rows, (size_t)info.columns, (size_t)info.scales, info.kind, NULL, NULL, NULL};
    p.signs = malloc(p.rows * p.columns);
    p.alpha = malloc(p.scales * sizeof *p.alpha);
    p.bias = malloc(p.rows * sizeof *p.bias);
    assert_ok(bnnep_network_get_signs(network, k, p.signs, p.rows * p.columns));
    assert_ok(bnnep_network_get_alpha(network, k, p.alpha, p.scales));
    assert_ok(bnnep_network_get_bias(network, k, p.bias, p.rows));
    return p;
}

static void release(const struct parameters *p) {
    free(p->signs);
    free(p->alpha);
    free(p->bias);
}

/* What unit j of the layer above connection k receives from hidden layers, and its bias, while these are half active.
 */
static double rest_of(const struct parameters *p, size_t connections, size_t k, size_t j) {
    double sum = (double)p[k].bias[j];
    for (size_t i = 0; k > 0 && i < p[k].columns; i++)
        sum += 0.5 * (double)p[k].alpha[0] * p[k].signs[j * p[k].columns + i];
    for (size_t i = 0; k + 2 < connections && i < p[k + 1].rows; i++)
        sum += 0.5 * (double)p[k + 1].alpha[0] * p[k + 1].signs[i * p[k + 1].columns + j];
    return sum;
}

static void balanced(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const size_t L = kinds[i].connections;
        const bool binary = kinds[i].dynamics == BNNEP_DYNAMICS_BINARY;
        bnnep_network *net[2] = {make_network(&kinds[i], BNNEP_START_PAPER),
                                 make_network(&kinds[i], BNNEP_START_BALANCED)};
        struct parameters paper[MOST], p[MOST];
        for (size_t k = 0; k < L; k++) {
            paper[k] = read(net[0], k);
            p[k] = read(net[1], k);
        }
        for (size_t k = 0; k < L; k++) {
            const bool wide = !binary && k > 0 && p[k].rows > p[k].columns;
            const bool plain = p[k].kind == BNNEP_CONNECTION_CONVOLUTION;
            const bool weak = binary && k > 0 && !kinds[i].convolution;
            double alpha = weak && k + 1 == L ? (double)paper[k].alpha[0] / (double)(1 << (L - 1)) : 0.0;
            if (weak && k + 1 < L) /* a fifth of the deviation, alpha sqrt(units), that comes from below */
                alpha = 0.2 * (double)p[k - 1].alpha[0] * sqrt((double)p[k - 1].columns / (double)p[k].rows);
            assert_memory_equal(p[k].signs, paper[k].signs, p[k].rows * p[k].columns);
            for (size_t s = 0; s < p[k].scales; s++)
                assert_true(fabs((double)p[k].alpha[s] - (wide   ? 0.5 / sqrt((double)p[k].rows)
                                                          : weak ? alpha
                                                                 : (double)paper[k].alpha[s])) <
                            1e-7 * (double)p[k].alpha[s]);
            for (size_t j = 0; j < p[k].rows; j++)
                if (!binary || plain)
                    assert_true(p[k].bias[j] == paper[k].bias[j]);
                else
                    assert_true(fabs(rest_of(p, L, k, j) - (k + 1 < L ? 0.4 : 0.0)) < 1e-5);
        }
        for (size_t k = 0; k < L; k++) {
            release(&paper[k]);
            release(&p[k]);
        }
        bnnep_network_free(net[0]);
        bnnep_network_free(net[1]);
    }
}

/* However many layers there are, a scaling factor is at least 2^-16 of the paper's, and the outputs' no less. */
static void balanced_depths(void **state) {
    (void)state;
    enum { DEEP = 20 };
    bnnep_connection layers[DEEP];
    bnnep_network *net[2];
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    for (size_t k = 0; k < DEEP; k++)
        layers[k] = (bnnep_connection)BNNEP_FC(k + 1 < DEEP ? 12 : CLASSES);
    o.input_width = VALUES;
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    o.connections = layers;
    o.connection_count = DEEP;
    o.classes = CLASSES;
    for (int start = 0; start < 2; start++) {
        o.start = start == 0 ? BNNEP_START_PAPER : BNNEP_START_BALANCED;
        assert_ok(bnnep_network_create(NULL, &o, &net[start]));
    }
    for (size_t k = 1; k < DEEP; k++) {
        float paper, balanced, below;
        assert_ok(bnnep_network_get_alpha(net[0], k, &paper, 1));
        assert_ok(bnnep_network_get_alpha(net[1], k, &balanced, 1));
        assert_ok(bnnep_network_get_alpha(net[1], k - 1, &below, 1));
        const double least = (double)paper / 65536.0, inputs = k == 1 ? VALUES : 12.0;
        const double wanted = k + 1 == DEEP ? least : fmax(least, 0.2 * (double)below * sqrt(inputs / 12.0));
        assert_true(fabs((double)balanced - wanted) < 1e-6 * wanted);
    }
    bnnep_network_free(net[0]);
    bnnep_network_free(net[1]);
}

static void starts_refused(void **state) {
    (void)state;
    bnnep_connection layers[] = {BNNEP_FC(2)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.connections = layers;
    o.connection_count = 1;
    o.classes = 2;
    o.start = 2;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT, "start is 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given),   cmocka_unit_test(what_is_given_stays), cmocka_unit_test(refused),
        cmocka_unit_test(balanced),        cmocka_unit_test(starts_refused),      cmocka_unit_test(back_propagation),
        cmocka_unit_test(balanced_depths),
    };
    return cmocka_run_group_tests_name("default_rule", tests, NULL, NULL);
}
