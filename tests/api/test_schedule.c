/* SPDX-License-Identifier: MIT */
/* Alternating steps, on every backend: what moves is where it is in synchronous steps; a rest is one of synchronous
 * steps too; the energy never rises; what does not go together is refused, and files know it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 19, STEPS = 24, ROOM = 1 << 16 };

static struct shape shape_of(size_t connections, int32_t dynamics, int32_t grid_bits) {
    struct shape shape = {
        .dynamics = dynamics,
        .connections = connections,
        .units = {21, 35, 18, 27, 14, 10},
        .free_steps = 400,
        .nudged_steps = 6,
        .max_batch = SAMPLES,
        .gamma = 0.3,
        .threshold = 0.002,
        .grid_bits = grid_bits,
        .schedule = BNNEP_SCHEDULE_ALTERNATING,
        .seed = connections,
    };
    shape.units[connections] = 10;
    return shape;
}

/* Two networks that differ in nothing but the schedule, with the same batch: one synchronous, one as the shape says. */
struct both {
    struct shape shape[2];
    struct net net[2];
    bnnep_workspace *workspace[2];
};

static void make(struct both *b, struct shape shape, const char *where) {
    for (int s = 0; s < 2; s++) {
        struct stream stream = {shape.seed};
        float *x = random_pixels(&stream, SAMPLES, shape.units[0]);
        float target[SAMPLES * 10] = {0.0f};
        for (size_t n = 0; n < SAMPLES; n++)
            target[10 * n + n % 10] = 1.0f;
        b->shape[s] = shape;
        b->shape[s].schedule = s ? shape.schedule : BNNEP_SCHEDULE_SYNCHRONOUS;
        b->net[s] = net_make(&b->shape[s], where);
        b->workspace[s] = bnnep_network_workspace(b->net[s].network);
        assert_ok(bnnep_workspace_stage(b->workspace[s], x, target, SAMPLES));
        free(x);
    }
}

static void destroy(struct both *b) {
    for (int s = 0; s < 2; s++)
        net_free(&b->net[s]);
}

static size_t values_of(const struct both *b, size_t layer) {
    return SAMPLES * (size_t)b->shape[0].units[layer];
}

static void get(const struct both *b, int s, int32_t phase, size_t layer, float *state) {
    assert_ok(bnnep_workspace_get_state(b->workspace[s], phase, layer, state, values_of(b, layer)));
}

/* --- the same trajectory ------------------------------------------------------------------------------------------ */

/* After step t, the layers that moved in it are where the synchronous step t left them, and the others where the one
 * before did; bit for bit, as sums on a grid are exact. */
static void compare_steps(const char *where, size_t connections) {
    struct both b;
    float synchronous[2][6][SAMPLES * 35], state[SAMPLES * 35];
    make(&b, shape_of(connections, BNNEP_DYNAMICS_REAL, 16), where);
    for (int32_t t = 1; t <= STEPS; t++) {
        for (size_t layer = 1; layer <= connections; layer++)
            get(&b, 0, BNNEP_PHASE_FREE, layer, synchronous[(t - 1) % 2][layer]);
        assert_ok(phase_run(b.workspace[0], BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0, NULL));
        /* a phase begins with layer 1: from the start, again */
        struct both again;
        make(&again, b.shape[1], where);
        assert_ok(phase_run(again.workspace[1], BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, t, 0.0, NULL));
        for (size_t layer = 1; layer <= connections; layer++) {
            const bool moved = layer % 2 == (size_t)t % 2;
            get(&b, 0, BNNEP_PHASE_FREE, layer, synchronous[t % 2][layer]);
            get(&again, 1, BNNEP_PHASE_FREE, layer, state);
            assert_memory_equal(state, synchronous[(moved ? t : t - 1) % 2][layer],
                                values_of(&b, layer) * sizeof *state);
        }
        destroy(&again);
    }
    destroy(&b);
}

static void same_trajectory(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t i = 0; i < count; i++)
        for (size_t connections = 1; connections <= 5; connections++)
            compare_steps(backends[i], connections);
}

/* --- rest --------------------------------------------------------------------------------------------------------- */

static void put_states(const struct both *b, int32_t phase) {
    float state[SAMPLES * 250];
    for (size_t layer = 1; layer <= b->shape[0].connections; layer++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(b->net[1].network, layer - 1, &info));
        assert_true(info.units <= 250);
        const size_t count = SAMPLES * (size_t)info.units;
        assert_ok(bnnep_workspace_get_state(b->workspace[1], phase, layer, state, count));
        assert_ok(bnnep_workspace_set_state(b->workspace[0], phase, layer, state, count));
    }
}

/* Where all samples come to rest before the last step, a synchronous step moves none of them any more; by hardly more
 * than a tolerance, where there is one. */
static bool compare_rest(const char *where, struct shape shape, double tolerance) {
    struct both b;
    bnnep_relaxed there = BNNEP_RELAXED_INIT, here = BNNEP_RELAXED_INIT;
    make(&b, shape, where);
    for (int s = 0; s < 2; s++)
        assert_ok(bnnep_network_set_relaxation(b.net[s].network, shape.free_steps, s ? tolerance : 3.0 * tolerance));
    assert_ok(phase_run(b.workspace[1], BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape.free_steps, 0.0, &there));
    const bool rests = there.most_steps < shape.free_steps;
    assert_true(shape.schedule != BNNEP_SCHEDULE_OVER_RELAXED || there.most_steps > 9);
    if (rests) {
        put_states(&b, BNNEP_PHASE_FREE);
        assert_ok(phase_run(b.workspace[0], BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape.free_steps, 0.0, &here));
        assert_int_equal(here.most_steps, 1);
        assert_true(there.most_steps >= 2);
    }
    destroy(&b);
    return rests;
}

static void same_rest(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t i = 0; i < count; i++) {
        size_t rested[4] = {0};
        for (int kind = 0; kind < 4; kind++) /* real on a grid, binary, a convolution on a grid, over-relaxed floats */
            for (size_t connections = 2; connections <= 4; connections++)
                for (uint64_t seed = 0; seed < 3; seed++) {
                    struct shape shape = shape_of(connections, kind == 1, kind % 2 ? 0 : 12);
                    shape.seed = seed;
                    shape.schedule = kind == 3 ? BNNEP_SCHEDULE_OVER_RELAXED : BNNEP_SCHEDULE_ALTERNATING;
                    if (kind == 2) {
                        shape.units[1] = 3;
                        shape.height = 5;
                        shape.width = 8;
                        shape.units[0] = 40;
                    }
                    rested[kind] += compare_rest(backends[i], shape, kind == 3 ? 1e-5 : 0.0);
                }
        assert_true(rested[0] > 5 && rested[1] > 5 && rested[2] > 0 && rested[3] > 5);
    }
}

/* --- energy ------------------------------------------------------------------------------------------------------- */

/* E = sum of s^2 / 2 - s_(k+1) (W_k s_k + b_k) over all layers, of one sample; its minimum over a layer, the others
 * staying, is where a step takes that layer. */
static double energy(const struct both *b, const float *x, size_t n) {
    float below[SAMPLES * 35], above[SAMPLES * 35], bias[35], alpha;
    int8_t signs[35 * 35];
    double sum = 0.0;
    for (size_t k = 0; k < b->shape[1].connections; k++) {
        const size_t columns = (size_t)b->shape[1].units[k], rows = (size_t)b->shape[1].units[k + 1];
        if (k == 0)
            memcpy(below, x, SAMPLES * columns * sizeof *below);
        get(b, 1, BNNEP_PHASE_FREE, k + 1, above);
        assert_ok(bnnep_network_get_signs(b->net[1].network, k, signs, rows * columns));
        assert_ok(bnnep_network_get_bias(b->net[1].network, k, bias, rows));
        assert_ok(bnnep_network_get_alpha(b->net[1].network, k, &alpha, 1));
        for (size_t j = 0; j < rows; j++) {
            const double s = (double)above[n * rows + j];
            double pull = (double)bias[j];
            for (size_t i = 0; i < columns; i++)
                pull += (double)alpha * signs[j * columns + i] * (double)below[n * columns + i];
            sum += s * s / 2.0 - s * pull;
        }
        memcpy(below, above, sizeof below);
    }
    return sum;
}

/* After 2, 4, ... steps from the start. */
static void follow_energy(const char *where, struct shape shape) {
    double before[SAMPLES], fell = 0.0;
    struct stream stream = {shape.seed};
    float *x = random_pixels(&stream, SAMPLES, shape.units[0]);
    for (int32_t t = 2; t < STEPS; t += 2) {
        struct both b;
        make(&b, shape, where);
        assert_ok(phase_run(b.workspace[1], BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, t, 0.0, NULL));
        for (size_t n = 0; n < SAMPLES; n++) {
            const double now = energy(&b, x, n);
            if (t > 2) { /* but for the rounding of states */
                assert_true(now <= before[n] + 1e-4);
                fell += before[n] - now;
            }
            before[n] = now;
        }
        destroy(&b);
    }
    assert_true(fell > 0.1);
    free(x);
}

static void falling_energy(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t i = 0; i < count; i++)
        for (size_t connections = 2; connections <= 4; connections++)
            for (int32_t schedule = BNNEP_SCHEDULE_ALTERNATING; schedule <= BNNEP_SCHEDULE_OVER_RELAXED; schedule++) {
                struct shape shape = shape_of(connections, BNNEP_DYNAMICS_REAL, 0);
                shape.schedule = schedule;
                follow_energy(backends[i], shape);
            }
}

/* --- over-relaxation ---------------------------------------------------------------------------------------------- */

/* Two units that pull each other up with alpha: an error falls by alpha^2 in two steps, or by 0.4. */
static void fewer_steps(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    const float alpha = 0.9f;
    for (size_t i = 0; i < count; i++) {
        int32_t steps[3];
        float reached[3];
        for (int32_t schedule = BNNEP_SCHEDULE_ALTERNATING; schedule <= BNNEP_SCHEDULE_OVER_RELAXED; schedule++) {
            const bnnep_connection layers[] = {BNNEP_FC(1), BNNEP_FC(2)};
            bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
            bnnep_relaxed done = BNNEP_RELAXED_INIT;
            bnnep_network *network;
            o.connections = layers;
            o.connection_count = 2;
            o.classes = 2;
            o.free_steps = 1000;
            o.settle_tolerance = 1e-6;
            o.schedule = schedule;
            assert_ok(network_on(backends[i], &o, &network));
            bnnep_workspace *workspace = bnnep_network_workspace(network);
            const float x = 0.0f, bias[] = {0.05f}, none[] = {0.0f, -1.0f};
            const int8_t plus[] = {1, 1};
            assert_ok(bnnep_network_set_signs(network, 1, plus, 2));
            assert_ok(bnnep_network_set_alpha(network, 1, &alpha, 1));
            assert_ok(bnnep_network_set_bias(network, 0, bias, 1));
            assert_ok(bnnep_network_set_bias(network, 1, none, 2)); /* the second output stays at 0 */
            assert_ok(bnnep_workspace_stage(workspace, &x, NULL, 1));
            assert_ok(phase_run(workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1000, 0.0, &done));
            assert_ok(bnnep_workspace_get_state(workspace, BNNEP_PHASE_FREE, 1, &reached[schedule], 1));
            steps[schedule] = done.most_steps;
            bnnep_network_free(network);
        }
        const float rest = 0.05f / (1.0f - alpha * alpha);
        assert_true(fabsf(reached[1] - rest) < 1e-5f && fabsf(reached[2] - rest) < 1e-5f);
        assert_true(steps[1] > 90 && 2 * steps[2] < steps[1]);
    }
}

/* --- what it goes with -------------------------------------------------------------------------------------------- */

static void refused(void **state) {
    (void)state;
    const double rate[] = {0.1};
    const bnnep_connection connection = BNNEP_FC(10);
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    o.connections = &connection;
    o.connection_count = 1;
    for (int32_t schedule = -1; schedule <= 3; schedule += 4) {
        o.schedule = schedule;
        assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT, "schedule is");
    }
    o.schedule = BNNEP_SCHEDULE_OVER_RELAXED;
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    assert_refused(bnnep_network_create(NULL, &o, &network), BNNEP_ERROR_ARGUMENT, "full-precision activations");
    o.dynamics = BNNEP_DYNAMICS_REAL;
    o.schedule = BNNEP_SCHEDULE_ALTERNATING;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    assert_ok(bnnep_network_get_info(network, &info));
    assert_int_equal(info.schedule, BNNEP_SCHEDULE_ALTERNATING);
    p.method = BNNEP_METHOD_BPTT;
    p.gamma = p.threshold = p.lr_bias = rate;
    assert_refused(bnnep_optimizer_create(network, &p, &optimizer), BNNEP_ERROR_UNSUPPORTED, "schedule must be 0");
    bnnep_network_free(network);
}

/* A file says that it is needed, so that a library that does not know it refuses the file. */
static void keep(int32_t schedule) {
    static uint8_t bytes[2][ROOM];
    struct both b;
    struct shape shape = shape_of(2, BNNEP_DYNAMICS_REAL, 0);
    shape.schedule = schedule;
    make(&b, shape, "cpu/1");
    for (int s = 0; s < 2; s++) {
        char requires[64];
        bnnep_network *read;
        bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
        bnnep_source source = BNNEP_SOURCE_INIT;
        source.bytes = bytes[s];
        source.count = net_checkpoint(&b.net[s], bytes[s], ROOM);
        assert_ok(bnnep_source_text(&source, "requires", requires, sizeof requires, NULL));
        assert_string_equal(requires, s ? "[\"schedule\"]" : "[]");
        assert_ok(bnnep_network_read(NULL, &source, NULL, &read));
        assert_ok(bnnep_network_get_info(read, &info));
        assert_int_equal(info.schedule, s ? schedule : BNNEP_SCHEDULE_SYNCHRONOUS);
        bnnep_network_free(read);
        assert_ok(bnnep_checkpoint_read(b.net[s].optimizer, &source));
        assert_refused(bnnep_checkpoint_read(b.net[1 - s].optimizer, &source), BNNEP_ERROR_ARGUMENT, "schedule");
    }
    destroy(&b);
}

static void files(void **state) {
    (void)state;
    keep(BNNEP_SCHEDULE_ALTERNATING);
    keep(BNNEP_SCHEDULE_OVER_RELAXED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_trajectory), cmocka_unit_test(same_rest),
                                       cmocka_unit_test(falling_energy),  cmocka_unit_test(fewer_steps),
                                       cmocka_unit_test(refused),         cmocka_unit_test(files)};
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
