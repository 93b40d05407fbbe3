/* SPDX-License-Identifier: MIT */
/* Feedback weaker than the paper's: states come to rest where the equations say, on every backend; what it goes with,
 * what it is where nobody says, and files. That backends agree with ref is in test_conformance and test_convolutions.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { LAYERS = 4, SAMPLES = 5, MOST = 40, ROOM = 1 << 18 };

static const struct shape deep = {
    .dynamics = BNNEP_DYNAMICS_REAL,
    .connections = LAYERS,
    .units = {23, 37, 19, 29, 7},
    .free_steps = 400,
    .nudged_steps = 9,
    .max_batch = SAMPLES,
    .gamma = 0.2,
    .threshold = 0.01,
    .seed = 3,
    .feedback = 0.25f,
};

/* --- the rest ----------------------------------------------------------------------------------------------------- */

struct weights {
    int8_t sign[MOST * MOST];
    float alpha, bias[MOST];
};

static void get_weights(const bnnep_network *network, const struct shape *shape, size_t k, struct weights *w) {
    const size_t rows = (size_t)shape->units[k + 1], columns = (size_t)shape->units[k];
    assert_ok(bnnep_network_get_signs(network, k, w->sign, rows * columns));
    assert_ok(bnnep_network_get_alpha(network, k, &w->alpha, 1));
    assert_ok(bnnep_network_get_bias(network, k, w->bias, rows));
}

/* What the units of layers 0 (the input) to LAYERS are after a phase, [sample][unit]. */
typedef float layers[LAYERS + 1][SAMPLES * MOST];

/* What unit j of layer k + 1 is pulled to in sample n: from below, and, weakened, from above. */
static double pulled_to(const struct shape *shape, const struct weights *w, layers a, size_t k, size_t n, size_t j) {
    const size_t here = (size_t)shape->units[k + 1], below = (size_t)shape->units[k];
    double v = (double)w[k].bias[j];
    for (size_t i = 0; i < below; i++)
        v += (double)w[k].alpha * w[k].sign[j * below + i] * (double)a[k][n * below + i];
    if (k + 1 < LAYERS)
        for (size_t i = 0, above = (size_t)shape->units[k + 2]; i < above; i++)
            v += (double)shape->feedback * (double)w[k + 1].alpha * w[k + 1].sign[i * here + j] *
                 (double)a[k + 2][n * above + i];
    return fmin(fmax(v, 0.0), 1.0);
}

static void rests_on(const char *where, const struct shape *shape) {
    static struct weights w[LAYERS];
    static layers a;
    struct net net = net_make(shape, where);
    bnnep_workspace *ws = bnnep_network_workspace(net.network);
    struct stream stream = {4};
    float *x = random_pixels(&stream, SAMPLES, shape->units[0]);
    memcpy(a[0], x, SAMPLES * (size_t)shape->units[0] * sizeof *x);
    assert_ok(bnnep_workspace_stage(ws, x, NULL, SAMPLES));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape->free_steps, 0.0, NULL));
    for (size_t k = 0; k < LAYERS; k++) {
        get_weights(net.network, shape, k, &w[k]);
        assert_ok(
            bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, k + 1, a[k + 1], SAMPLES * (size_t)shape->units[k + 1]));
    }
    for (size_t k = 0; k < LAYERS; k++)
        for (size_t n = 0; n < SAMPLES; n++)
            for (size_t j = 0, units = (size_t)shape->units[k + 1]; j < units; j++)
                assert_true(fabs((double)a[k + 1][n * units + j] - pulled_to(shape, w, a, k, n, j)) < 1e-5);
    free(x);
    net_free(&net);
}

static void rest(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int32_t schedule = BNNEP_SCHEDULE_SYNCHRONOUS; schedule <= BNNEP_SCHEDULE_OVER_RELAXED; schedule++) {
            struct shape shape = deep;
            shape.schedule = schedule;
            rests_on(backends[b], &shape);
        }
}

/* --- what it goes with, and what it is --------------------------------------------------------------------------- */

static void refused(void **state) {
    (void)state;
    static const float wrong[] = {-0.5f, 1.5f, NAN};
    const double rate[] = {0.1, 0.1, 0.1};
    const bnnep_connection connections[] = {BNNEP_FC(9), BNNEP_FC(8), BNNEP_FC(10)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    o.connections = connections;
    o.connection_count = 3;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        o.feedback = wrong[i];
        assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT, "above 0 and at most 1");
    }
    o.feedback = 0.5f;
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT, "full-precision activations");
    o.dynamics = BNNEP_DYNAMICS_REAL;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    p.method = BNNEP_METHOD_BPTT;
    p.gamma = p.threshold = p.lr_bias = rate;
    assert_refused(bnnep_optimizer_create(network, &p, &optimizer), BNNEP_ERROR_UNSUPPORTED, "must be 1");
    bnnep_network_free(network);
}

static float chosen(const bnnep_network_options *o) {
    bnnep_network *network;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    assert_ok(bnnep_network_create(NULL, o, &network));
    assert_ok(bnnep_network_get_info(network, &info));
    bnnep_network_free(network);
    return info.feedback;
}

static void chosen_by_the_library(void **state) {
    (void)state;
    const bnnep_connection full[] = {BNNEP_FC(9), BNNEP_FC(8), BNNEP_FC(10)};
    const bnnep_connection maps[] = {BNNEP_CONV(4, 3, 1, 2), BNNEP_FC(8), BNNEP_FC(10)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    o.input_height = o.input_width = 6;
    o.connections = full;
    o.connection_count = 3;
    assert_true(chosen(&o) == 1.0f);
    o.start = BNNEP_START_BALANCED;
    assert_true(chosen(&o) == 0.1f);
    o.feedback = 1.0f;
    assert_true(chosen(&o) == 1.0f);
    o.feedback = 0.0f;
    o.grid_bits = 12;
    assert_true(chosen(&o) == 1.0f);
    o.grid_bits = 0;
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    assert_true(chosen(&o) == 1.0f);
    o.dynamics = BNNEP_DYNAMICS_REAL;
    o.connections = full + 1;
    o.connection_count = 2;
    assert_true(chosen(&o) == 1.0f);
    o.connections = maps;
    o.connection_count = 3;
    assert_true(chosen(&o) == 1.0f);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void files(void **state) {
    (void)state;
    static uint8_t bytes[2][ROOM];
    struct shape shapes[2] = {deep, deep};
    shapes[0].feedback = 0.0f;
    struct net net[2] = {net_make(&shapes[0], "cpu/1"), net_make(&shapes[1], "cpu/1")};
    for (int s = 0; s < 2; s++) {
        char requires[64];
        bnnep_network *read;
        bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
        bnnep_source source = BNNEP_SOURCE_INIT;
        source.bytes = bytes[s];
        source.count = net_checkpoint(&net[s], bytes[s], ROOM);
        assert_ok(bnnep_source_text(&source, "requires", requires, sizeof requires, NULL));
        assert_string_equal(requires, s ? "[\"feedback\"]" : "[]");
        assert_ok(bnnep_network_read(NULL, &source, NULL, &read));
        assert_ok(bnnep_network_get_info(read, &info));
        assert_true(info.feedback == (s ? 0.25f : 1.0f));
        bnnep_network_free(read);
        assert_ok(bnnep_checkpoint_read(net[s].optimizer, &source));
        assert_refused(bnnep_checkpoint_read(net[1 - s].optimizer, &source), BNNEP_ERROR_ARGUMENT, "feedback");
    }
    for (int s = 0; s < 2; s++)
        net_free(&net[s]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rest), cmocka_unit_test(refused),
                                       cmocka_unit_test(chosen_by_the_library), cmocka_unit_test(files)};
    return cmocka_run_group_tests_name("feedback", tests, NULL, NULL);
}
