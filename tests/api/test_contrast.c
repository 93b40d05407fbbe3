/* SPDX-License-Identifier: MIT */
/* The contrast that is read is what its definition says, computed here from the states that are read: of any two
 * phases, by any divisor, in any workspace; what cannot be contrasted is refused, and the one before stays. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 4, CLASSES = 5, SIDE = 6, LAYERS = 3 };

/* Convolutions without pooling: their activations tell where the products are taken. */
static const struct kind {
    int32_t dynamics, input[3];
    bnnep_connection connections[LAYERS];
} kinds[] = {
    {BNNEP_DYNAMICS_REAL, {17, 1, 1}, {BNNEP_FC(23), BNNEP_FC(12), BNNEP_FC(CLASSES)}},
    {BNNEP_DYNAMICS_BINARY, {17, 1, 1}, {BNNEP_FC(23), BNNEP_FC(12), BNNEP_FC(CLASSES)}},
    {BNNEP_DYNAMICS_REAL, {2, SIDE, SIDE}, {BNNEP_CONV(3, 3, 1, 1), BNNEP_CONV(4, 3, 1, 1), BNNEP_FC(CLASSES)}},
    {BNNEP_DYNAMICS_BINARY, {2, SIDE, SIDE}, {BNNEP_CONV(3, 3, 1, 1), BNNEP_CONV(4, 3, 1, 1), BNNEP_FC(CLASSES)}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct setup {
    const struct kind *kind;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    bnnep_workspace *workspace;
    bnnep_connection_info info[LAYERS];
    float *x;
    size_t inputs;
};

static struct setup make(const struct kind *kind, const char *backend, struct stream *stream) {
    static const double rates[] = {0.1, 0.1, 0.1};
    struct setup s = {.kind = kind, .inputs = (size_t)(kind->input[0] * kind->input[1] * kind->input[2])};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    o.dynamics = kind->dynamics;
    o.input_channels = kind->input[0];
    o.input_height = kind->input[1];
    o.input_width = kind->input[2];
    o.classes = CLASSES;
    o.connections = kind->connections;
    o.connection_count = LAYERS;
    o.free_steps = 12;
    o.seed = 5;
    p.gamma = p.threshold = p.lr_bias = p.lr_alpha = rates;
    assert_ok(network_on(backend, &o, &s.network));
    assert_ok(bnnep_optimizer_create(s.network, &p, &s.optimizer));
    s.workspace = bnnep_network_workspace(s.network);
    for (size_t k = 0; k < LAYERS; k++) {
        s.info[k] = (bnnep_connection_info)BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(s.network, k, &s.info[k]));
    }
    s.x = malloc(SAMPLES * s.inputs * sizeof *s.x);
    assert_non_null(s.x);
    for (size_t i = 0; i < SAMPLES * s.inputs; i++) /* multiples of 1/256: their sums are exact */
        s.x[i] = (float)(stream_next(stream) % 256) / 256.0f;
    return s;
}

static void destroy(struct setup *s) {
    bnnep_optimizer_free(s->optimizer);
    bnnep_network_free(s->network);
    free(s->x);
}

static void stage(const struct setup *s, struct stream *stream) {
    float target[SAMPLES * CLASSES];
    for (size_t i = 0; i < SAMPLES * CLASSES; i++)
        target[i] = (float)(stream_next(stream) % 2);
    assert_ok(bnnep_workspace_stage(s->workspace, s->x, target, SAMPLES));
}

/* Activations of layer `layer` after a phase, [sample][unit]; the input for layer 0. Free with free(). */
static float *activations(const struct setup *s, int32_t phase, size_t layer) {
    const size_t count = SAMPLES * (layer == 0 ? s->inputs : (size_t)s->info[layer - 1].units);
    float *a = malloc(count * sizeof *a);
    assert_non_null(a);
    if (layer == 0) {
        memcpy(a, s->x, count * sizeof *a);
        return a;
    }
    assert_ok(bnnep_workspace_get_state(s->workspace, phase, layer, a, count));
    if (s->kind->dynamics == BNNEP_DYNAMICS_BINARY)
        for (size_t i = 0; i < count; i++)
            a[i] = a[i] >= 0.5f ? 1.0f : 0.0f;
    return a;
}

/* The places of a map of SIDE x SIDE to which a kernel of 3 x 3 at (y, x) of it reaches; -1: padding. */
static int place(size_t position, size_t tap) {
    const int y = (int)(position / SIDE + tap / 3) - 1, x = (int)(position % SIDE + tap % 3) - 1;
    return y < 0 || y >= SIDE || x < 0 || x >= SIDE ? -1 : y * SIDE + x;
}

/* The product of what is below and above weight (row, column), of sample n. */
static double product(const struct setup *s, size_t k, size_t n, const float *below, const float *above, size_t row,
                      size_t column) {
    const size_t in = k == 0 ? s->inputs : (size_t)s->info[k - 1].units, out = (size_t)s->info[k].units;
    below += n * in;
    above += n * out;
    if (s->info[k].kind == BNNEP_CONNECTION_FULL)
        return (double)above[row] * (double)below[column];
    double sum = 0.0;
    const size_t map = (size_t)SIDE * SIDE;
    for (size_t at = 0; at < map; at++) {
        const int from = place(at, column % 9);
        if (from >= 0)
            sum += (double)above[row * map + at] * (double)below[column / 9 * map + (size_t)from];
    }
    return sum;
}

/* (second - first) / divisor, mean over the samples: of the weights, then of the biases. */
static void compute(const struct setup *s, size_t k, const bnnep_contrast_options *how, double *weights, double *bias) {
    const size_t rows = (size_t)s->info[k].rows, columns = (size_t)s->info[k].columns;
    const size_t units = (size_t)s->info[k].units, each = units / rows;
    const int32_t phases[2] = {how->first, how->second};
    memset(weights, 0, rows * columns * sizeof *weights);
    memset(bias, 0, rows * sizeof *bias);
    for (int i = 0; i < 2; i++) {
        float *below = activations(s, phases[i], k), *above = activations(s, phases[i], k + 1);
        const double share = (i == 0 ? -1.0 : 1.0) / (how->divisor * SAMPLES);
        for (size_t n = 0; n < SAMPLES; n++) {
            for (size_t w = 0; w < rows * columns; w++)
                weights[w] += share * product(s, k, n, below, above, w / columns, w % columns);
            for (size_t j = 0; j < units; j++)
                bias[j / each] += share * (double)above[n * units + j];
        }
        free(below);
        free(above);
    }
}

/* A sum of so many terms up to 1, in float, that cancel. Binary activations may stay as they were below the output. */
static void assert_near(const struct setup *s, const char *what, size_t k, const float *got, const double *wanted,
                        size_t count, bool exact) {
    double largest = 0.0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(wanted[i]));
    assert_true(largest > 1e-3 || (exact && k + 1 < LAYERS));
    for (size_t i = 0; i < count; i++)
        if (exact ? (double)got[i] != wanted[i] : !(fabs((double)got[i] - wanted[i]) <= 1e-6 * fmax(1.0, largest)))
            fail_msg("kind %d, connection %zu: %s %zu is %.9g, expected %.9g", (int)(s->kind - kinds), k, what, i,
                     (double)got[i], wanted[i]);
}

/* Binary activations, and a divisor that is a power of 2: exact. */
static void check(const struct setup *s, const bnnep_contrast_options *how) {
    const bool exact = s->kind->dynamics == BNNEP_DYNAMICS_BINARY && frexp(fabs(how->divisor), &(int){0}) == 0.5;
    for (size_t k = 0; k < LAYERS; k++) {
        const size_t rows = (size_t)s->info[k].rows, weights = rows * (size_t)s->info[k].columns;
        double *wanted = malloc((weights + rows) * sizeof *wanted);
        float *got = malloc((weights + rows) * sizeof *got);
        assert_true(wanted && got);
        compute(s, k, how, wanted, wanted + weights);
        assert_ok(bnnep_optimizer_get_contrast(s->optimizer, k, BNNEP_CONTRAST_WEIGHTS, got, weights));
        assert_ok(bnnep_optimizer_get_contrast(s->optimizer, k, BNNEP_CONTRAST_BIAS, got + weights, rows));
        assert_near(s, "weight", k, got, wanted, weights, exact);
        assert_near(s, "bias", k, got + weights, wanted + weights, rows, exact);
        free(wanted);
        free(got);
    }
}

/* Scaling factors: the products that B's contrast is made of, with their weights, and in a convolution with the bias;
 * half of them where a layer has one factor. Read from what was checked before. */
static void check_scales(const struct setup *s, size_t k) {
    const size_t rows = (size_t)s->info[k].rows, columns = (size_t)s->info[k].columns;
    const size_t scales = (size_t)s->info[k].scales, weights = rows * columns;
    float *g = malloc((weights + 2 * rows + 2 * scales) * sizeof *g);
    int8_t *signs = malloc(weights);
    assert_true(g && signs);
    float *g_bias = g + weights, *bias = g_bias + rows, *alpha = bias + rows, *got = alpha + scales;
    assert_ok(bnnep_optimizer_get_contrast(s->optimizer, k, BNNEP_CONTRAST_WEIGHTS, g, weights));
    assert_ok(bnnep_optimizer_get_contrast(s->optimizer, k, BNNEP_CONTRAST_BIAS, g_bias, rows));
    assert_ok(bnnep_optimizer_get_contrast(s->optimizer, k, BNNEP_CONTRAST_ALPHA, got, scales));
    assert_ok(bnnep_network_get_signs(s->network, k, signs, weights));
    assert_ok(bnnep_network_get_bias(s->network, k, bias, rows));
    assert_ok(bnnep_network_get_alpha(s->network, k, alpha, scales));
    const bool convolutional = s->kind->connections[0].kind == BNNEP_CONNECTION_CONVOLUTION;
    for (size_t i = 0; i < scales; i++) {
        double wanted = 0.0, size = 1.0;
        for (size_t j = i * (rows / scales); j < (i + 1) * (rows / scales); j++) {
            for (size_t c = 0; c < columns; c++)
                wanted += (double)alpha[i] * signs[j * columns + c] * (double)g[j * columns + c];
            if (s->info[k].kind == BNNEP_CONNECTION_CONVOLUTION)
                wanted += (double)bias[j] * (double)g_bias[j];
            size += fabs((double)g_bias[j]);
        }
        wanted *= convolutional ? 1.0 : 0.5;
        if (!(fabs((double)got[i] - wanted) <= 1e-5 * size))
            fail_msg("kind %d, connection %zu: scale %zu is %.9g, expected %.9g", (int)(s->kind - kinds), k, i,
                     (double)got[i], wanted);
    }
    free(g);
    free(signs);
}

static void take_and_check(const struct setup *s, int32_t first, int32_t second, double divisor, double stands_for) {
    bnnep_contrast_options how = BNNEP_CONTRAST_OPTIONS_INIT;
    how.first = first;
    how.second = second;
    how.divisor = divisor;
    assert_ok(bnnep_optimizer_contrast(s->optimizer, s->workspace, &how));
    how.divisor = stands_for;
    how.second = second == BNNEP_PHASE_FREE ? BNNEP_PHASE_NUDGED : second; /* 0 is the default */
    check(s, &how);
    for (size_t k = 0; k < LAYERS; k++)
        check_scales(s, k);
}

/* Free against nudged, and, centred, one nudged either way: its divisor is 2 beta. */
static void of_two_phases(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < KINDS; i++) {
            struct stream stream = {i + 1};
            struct setup s = make(&kinds[i], backends[b], &stream);
            stage(&s, &stream);
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0, NULL));
            const double beta = kinds[i].dynamics == BNNEP_DYNAMICS_BINARY ? 4.0 : 0.5; /* activations must move */
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, beta, NULL));
            take_and_check(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 0.0, beta);
            take_and_check(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, -0.125, -0.125);
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 6, -beta, NULL));
            take_and_check(&s, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 0.0, 2.0 * beta);
            take_and_check(&s, BNNEP_PHASE_NUDGED, BNNEP_PHASE_OTHER, 0.0, -2.0 * beta);
            take_and_check(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 0.0, -beta);
            take_and_check(&s, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 0.3, 0.3);
            destroy(&s);
        }
}

/* What is in the phases counts, however it came there: run on, nudged by another beta, or set. */
static void of_other_states(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < KINDS; i++) {
            struct stream stream = {i + 9};
            struct setup s = make(&kinds[i], backends[b], &stream);
            stage(&s, &stream);
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 5, -0.25, NULL));
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 4, 0.25, NULL));
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_NUDGED, BNNEP_PHASE_NUDGED, 4, 0.75, NULL));
            take_and_check(&s, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 0.0, 1.0); /* the last beta counts */
            for (size_t layer = 1; layer <= LAYERS; layer++) {
                const size_t units = SAMPLES * (size_t)s.info[layer - 1].units;
                float *states = malloc(units * sizeof *states);
                assert_non_null(states);
                for (size_t u = 0; u < units; u++)
                    states[u] = (float)(stream_next(&stream) % 65) / 64.0f;
                assert_ok(bnnep_workspace_set_state(s.workspace, BNNEP_PHASE_OTHER, layer, states, units));
                free(states);
            }
            take_and_check(&s, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 0.5, 0.5);
            destroy(&s);
        }
}

/* A workspace of the caller's own, with one sample more than the network's. */
static void in_another_workspace(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    o.max_batch = 65;
    for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < KINDS; i++) {
            struct stream stream = {i + 1};
            struct setup s = make(&kinds[i], backends[b], &stream);
            assert_ok(bnnep_workspace_create(s.network, &o, &s.workspace));
            stage(&s, &stream);
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 6, -0.5, NULL));
            assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, 0.5, NULL));
            take_and_check(&s, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 0.0, 1.0);
            bnnep_workspace_free(s.workspace);
            destroy(&s);
        }
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static bnnep_status take(const struct setup *s, int32_t first, int32_t second, double divisor) {
    bnnep_contrast_options how = BNNEP_CONTRAST_OPTIONS_INIT;
    how.first = first;
    how.second = second;
    how.divisor = divisor;
    return bnnep_optimizer_contrast(s->optimizer, s->workspace, &how);
}

static void before_there_is_one(void **state) {
    (void)state;
    struct stream stream = {1};
    struct setup s = make(&kinds[0], "cpu", &stream);
    float values[23 * 17];
    assert_refused(bnnep_optimizer_contrast(s.optimizer, s.workspace, NULL), BNNEP_ERROR_ARGUMENT, "no batch");
    assert_refused(bnnep_optimizer_update(s.optimizer, NULL), BNNEP_ERROR_ARGUMENT, "no contrast");
    assert_refused(bnnep_optimizer_get_contrast(s.optimizer, 0, BNNEP_CONTRAST_WEIGHTS, values, 23 * 17),
                   BNNEP_ERROR_ARGUMENT, "no contrast");
    stage(&s, &stream);
    assert_refused(bnnep_workspace_get_state(s.workspace, BNNEP_PHASE_OTHER, 1, values, SAMPLES * 23),
                   BNNEP_ERROR_ARGUMENT, "not run");
    assert_refused(take(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 0.0), BNNEP_ERROR_ARGUMENT, "nudged");
    assert_refused(take(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 1.0), BNNEP_ERROR_ARGUMENT, "other");
    assert_refused(bnnep_optimizer_backpropagate(s.optimizer, s.workspace, 2), BNNEP_ERROR_ARGUMENT, "BPTT");
    assert_refused(bnnep_optimizer_update(s.optimizer, NULL), BNNEP_ERROR_ARGUMENT, "no contrast");
    destroy(&s);
}

/* After each refusal the contrast is the one that was taken before. */
static void refused(void **state) {
    (void)state;
    struct stream stream = {1};
    struct setup s = make(&kinds[0], "cpu", &stream), other = make(&kinds[0], "cpu", &stream);
    const bnnep_contrast_options taken = {sizeof taken, 0.5, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED};
    float values[23 * 17 + 1] = {0.0f};
    stage(&s, &stream);
    assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, 0.5, NULL));
    assert_ok(phase_run(s.workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_OTHER, 6, 0.5, NULL));
    assert_ok(take(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 0.0));
    assert_refused(take(&s, BNNEP_PHASE_NUDGED, BNNEP_PHASE_NUDGED, 1.0), BNNEP_ERROR_ARGUMENT, "1");
    assert_refused(take(&s, BNNEP_PHASE_OTHER, BNNEP_PHASE_NUDGED, 0.0), BNNEP_ERROR_ARGUMENT, "divisor");
    assert_refused(take(&s, BNNEP_PHASE_FREE, 3, 1.0), BNNEP_ERROR_ARGUMENT, "phase is 3");
    assert_refused(take(&s, -1, BNNEP_PHASE_NUDGED, 1.0), BNNEP_ERROR_ARGUMENT, "phase is -1");
    assert_refused(take(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, NAN), BNNEP_ERROR_ARGUMENT, "divisor is nan");
    assert_refused(take(&s, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, INFINITY), BNNEP_ERROR_ARGUMENT, "divisor is inf");
    assert_refused(bnnep_optimizer_contrast(s.optimizer, other.workspace, NULL), BNNEP_ERROR_ARGUMENT,
                   "another network");
    assert_refused(bnnep_optimizer_contrast(s.optimizer, NULL, NULL), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_refused(bnnep_optimizer_get_contrast(s.optimizer, 0, 3, values, 23), BNNEP_ERROR_ARGUMENT,
                   "part 3 does not exist; known are 0 to 2");
    assert_refused(bnnep_optimizer_get_contrast(s.optimizer, 0, BNNEP_CONTRAST_BIAS, values, 22), BNNEP_ERROR_ARGUMENT,
                   "22");
    assert_refused(bnnep_optimizer_set_contrast(s.optimizer, 0, BNNEP_CONTRAST_WEIGHTS, values, 23 * 17 + 1),
                   BNNEP_ERROR_ARGUMENT, "expected 391");
    assert_refused(bnnep_optimizer_set_contrast(s.optimizer, LAYERS, BNNEP_CONTRAST_BIAS, values, 1),
                   BNNEP_ERROR_ARGUMENT, "connection 3 does not exist");
    assert_refused(bnnep_optimizer_set_contrast(s.optimizer, 0, -1, values, 23), BNNEP_ERROR_ARGUMENT,
                   "part -1 does not exist");
    values[22] = NAN;
    assert_refused(bnnep_optimizer_set_contrast(s.optimizer, 0, BNNEP_CONTRAST_BIAS, values, 23), BNNEP_ERROR_DATA,
                   "element 22 is nan");
    check(&s, &taken);
    destroy(&s);
    destroy(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_two_phases), cmocka_unit_test(of_other_states),
                                       cmocka_unit_test(in_another_workspace), cmocka_unit_test(before_there_is_one),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests_name("contrast", tests, NULL, NULL);
}
