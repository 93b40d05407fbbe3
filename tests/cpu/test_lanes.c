/* SPDX-License-Identifier: MIT */
/*
 * In networks of long steps samples take the lanes of others that are done, and threads share steps. A sample's states
 * and steps must be those that it has alone, bit for bit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 40, CLASSES = 10, LAYERS = 3, STEPS = 40 };

struct example {
    const char *name;
    bnnep_connection connections[LAYERS];
    int32_t channels, side;
    float tolerance; /* at which samples settle at different times */
    int32_t schedule;
};

/* Enough multiply-adds a unit that samples change places; and so many that threads share a step. */
static const struct example examples[] = {
    {"fully connected", {BNNEP_FC(1040), BNNEP_FC(1040), BNNEP_FC(CLASSES)}, 37, 1, 2e-3f, 0},
    {"convolutions", {BNNEP_CONV(72, 3, 1, 2), BNNEP_CONV(72, 3, 1, 2), BNNEP_FC(CLASSES)}, 3, 8, 2e-3f, 0},
    {"alternating", {BNNEP_FC(1040), BNNEP_FC(1040), BNNEP_FC(CLASSES)}, 37, 1, 2e-3f, BNNEP_SCHEDULE_ALTERNATING},
    {"over-relaxed", {BNNEP_FC(1040), BNNEP_FC(1040), BNNEP_FC(CLASSES)}, 37, 1, 1e-4f, BNNEP_SCHEDULE_OVER_RELAXED},
    {"alternating convolutions",
     {BNNEP_CONV(72, 3, 1, 2), BNNEP_CONV(72, 3, 1, 2), BNNEP_FC(CLASSES)},
     3,
     8,
     2e-3f,
     BNNEP_SCHEDULE_ALTERNATING},
};
/* Many channels. */
static const struct example wide_example = {
    "wide convolutions", {BNNEP_CONV(100, 5, 2, 2), BNNEP_CONV(160, 5, 2, 2), BNNEP_FC(CLASSES)}, 3, 8, 2e-2f, 0};
static const struct example long_steps[] = {
    {"large, fully connected", {BNNEP_FC(3500), BNNEP_FC(3501), BNNEP_FC(CLASSES)}, 37, 1, 2e-3f, 0},
    {"large convolutions", {BNNEP_CONV(64, 5, 2, 2), BNNEP_CONV(128, 5, 2, 2), BNNEP_FC(CLASSES)}, 3, 16, 2e-3f, 0},
    {"large alternating convolutions",
     {BNNEP_CONV(64, 5, 2, 2), BNNEP_CONV(128, 5, 2, 2), BNNEP_FC(CLASSES)},
     3,
     16,
     2e-3f,
     BNNEP_SCHEDULE_ALTERNATING},
};

static bnnep_network *make(const struct example *e, const char *backend) {
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.input_channels = e->channels;
    o.input_height = o.input_width = e->side;
    o.connections = e->connections;
    o.connection_count = LAYERS;
    o.max_batch = SAMPLES;
    o.free_steps = STEPS;
    o.settle_tolerance = e->tolerance;
    o.schedule = e->schedule;
    o.seed = 3;
    assert_ok(network_on(backend, &o, &network));
    return network;
}

static bnnep_workspace *workspace(const bnnep_network *network, int32_t batch, int32_t threads) {
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *ws;
    o.max_batch = batch;
    o.threads = threads;
    assert_ok(bnnep_workspace_create(network, &o, &ws));
    return ws;
}

static size_t units_of(const bnnep_network *network, size_t layer) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    assert_ok(bnnep_network_get_connection(network, layer - 1, &info));
    return (size_t)info.units;
}

/* Both phases; the states of all layers after them, [phase][sample][unit of all layers], and the steps. */
static float *relax(bnnep_workspace *ws, const bnnep_network *network, const float *x, const float *target,
                    size_t count, int32_t steps, bnnep_relaxed done[2]) {
    size_t units = 0, first = 0;
    for (size_t layer = 1; layer <= LAYERS; layer++)
        units += units_of(network, layer);
    float *states = malloc(2 * count * units * sizeof *states);
    assert_ok(bnnep_workspace_stage(ws, x, target, count));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, steps, 0.0f, &done[0]));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, steps, 0.5f, &done[1]));
    for (size_t layer = 1; layer <= LAYERS; first += units_of(network, layer++))
        for (int32_t phase = 0; phase < 2; phase++) {
            const size_t wide = units_of(network, layer);
            float *state = malloc(count * wide * sizeof *state);
            assert_ok(bnnep_workspace_get_state(ws, phase ? BNNEP_PHASE_NUDGED : BNNEP_PHASE_FREE, layer, state,
                                                count * wide));
            for (size_t n = 0; n < count; n++)
                memcpy(states + ((size_t)phase * count + n) * units + first, state + n * wide, wide * sizeof *state);
            free(state);
        }
    return states;
}

static void as_alone(const struct example *e, const float *x, const float *target, int32_t steps) {
    static const struct {
        size_t batch;
        int32_t threads;
    } ways[] = {{SAMPLES, 1}, {SAMPLES, 3}, {33, 2}};
    const size_t inputs = (size_t)(e->channels * e->side * e->side);
    bnnep_network *network = make(e, "cpu/5");
    bnnep_workspace *one = workspace(network, 1, 1);
    float *alone[SAMPLES];
    bnnep_relaxed steps_alone[SAMPLES][2];
    size_t units = 0, different = 0;
    for (size_t layer = 1; layer <= LAYERS; layer++)
        units += units_of(network, layer);
    for (size_t n = 0; n < SAMPLES; n++) {
        for (int phase = 0; phase < 2; phase++)
            steps_alone[n][phase] = (bnnep_relaxed)BNNEP_RELAXED_INIT;
        alone[n] = relax(one, network, x + n * inputs, target + n * CLASSES, 1, steps, steps_alone[n]);
        different += steps_alone[n][0].most_steps != steps_alone[0][0].most_steps;
    }
    if (steps == STEPS && different < SAMPLES / 4)
        fail_msg("%s: only %zu samples settle at another time than the first", e->name, different);
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        const size_t count = ways[way].batch;
        bnnep_workspace *ws = workspace(network, (int32_t)count, ways[way].threads);
        bnnep_relaxed done[2] = {BNNEP_RELAXED_INIT, BNNEP_RELAXED_INIT};
        float *states = relax(ws, network, x, target, count, steps, done);
        uint64_t sum[2] = {0, 0};
        for (size_t n = 0; n < count; n++)
            for (size_t phase = 0; phase < 2; phase++) {
                sum[phase] += steps_alone[n][phase].sample_steps;
                if (memcmp(states + (phase * count + n) * units, alone[n] + phase * units, units * sizeof *states))
                    fail_msg("%s, batch %zu, %d threads, at most %d steps: sample %zu is another in phase %zu", e->name,
                             count, ways[way].threads, steps, n, phase);
            }
        assert_true(done[0].sample_steps == sum[0] && done[1].sample_steps == sum[1]);
        free(states);
        bnnep_workspace_free(ws);
    }
    for (size_t n = 0; n < SAMPLES; n++)
        free(alone[n]);
    bnnep_workspace_free(one);
    bnnep_network_free(network);
}

/* What is learnt from the phases: it looks at where the pooling was, too. */
static float *learnt(const struct example *e, const float *x, const float *target, int32_t steps, const char *backend,
                     size_t *count) {
    bnnep_network *network = make(e, backend);
    bnnep_workspace *ws = bnnep_network_workspace(network);
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    double gamma[] = {0.1, 0.1, 0.1}, threshold[] = {1.0, 1.0, 1.0}, rate[] = {0.0, 0.0, 0.0};
    o.gamma = gamma;
    o.threshold = threshold;
    o.lr_bias = rate;
    assert_ok(bnnep_optimizer_create(network, &o, &optimizer));
    assert_ok(bnnep_workspace_stage(ws, x, target, SAMPLES));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, steps, 0.0f, NULL));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 4, 0.5f, NULL));
    assert_ok(phase_learn(optimizer, ws, 0.0, NULL));
    assert_ok(bnnep_network_get_connection(network, 1, &info));
    *count = (size_t)info.rows * (size_t)info.columns;
    float *momentum = malloc(*count * sizeof *momentum);
    assert_ok(bnnep_optimizer_get_momentum(optimizer, 1, momentum, *count));
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return momentum;
}

static void same_lesson(const struct example *e, const float *x, const float *target, int32_t steps) {
    static const char *const others[] = {"cpu/2", "cpu/7"};
    size_t count;
    float *one = learnt(e, x, target, steps, "cpu/1", &count);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        float *other = learnt(e, x, target, steps, others[i], &count);
        if (memcmp(one, other, count * sizeof *one))
            fail_msg("%s: %s learns something else", e->name, others[i]);
        free(other);
    }
    free(one);
}

static void samples_do_not_mix(void **state) {
    struct stream stream = {8};
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        const struct example *e = &examples[i];
        float *x = random_pixels(&stream, SAMPLES, e->channels * e->side * e->side), target[SAMPLES * CLASSES];
        for (size_t v = 0; v < SAMPLES * CLASSES; v++)
            target[v] = stream_uniform(&stream);
        as_alone(e, x, target, STEPS);
        as_alone(e, x, target, 13); /* some settle, the others end by their number */
        as_alone(e, x, target, 3);  /* all end at once, by their number */
        same_lesson(e, x, target, 13);
        free(x);
    }
}

static void telling_samples_do_not_mix(void **state) {
    struct stream stream = {10};
    float *x = random_pixels(&stream, SAMPLES, wide_example.channels * wide_example.side * wide_example.side),
          target[SAMPLES * CLASSES] = {0};
    (void)state;
    as_alone(&wide_example, x, target, 9); /* some settle before */
    free(x);
}

static void threads_share_steps(void **state) {
    static const struct {
        size_t batch;
        int32_t threads;
    } ways[] = {{7, 3}, {17, 5}};
    struct stream stream = {9};
    (void)state;
    for (size_t i = 0; i < sizeof long_steps / sizeof long_steps[0]; i++) {
        const struct example *e = &long_steps[i];
        float *x = random_pixels(&stream, SAMPLES, e->channels * e->side * e->side), target[SAMPLES * CLASSES] = {0};
        bnnep_network *network = make(e, "cpu/5");
        for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            const size_t count = ways[way].batch;
            bnnep_relaxed done[2][2] = {{BNNEP_RELAXED_INIT, BNNEP_RELAXED_INIT},
                                        {BNNEP_RELAXED_INIT, BNNEP_RELAXED_INIT}};
            float *states[2];
            size_t units = 0;
            for (size_t layer = 1; layer <= LAYERS; layer++)
                units += units_of(network, layer);
            for (int shared = 0; shared < 2; shared++) {
                bnnep_workspace *ws = workspace(network, (int32_t)count, shared ? ways[way].threads : 1);
                states[shared] = relax(ws, network, x, target, count, 3, done[shared]);
                bnnep_workspace_free(ws);
            }
            if (memcmp(states[0], states[1], 2 * count * units * sizeof *states[0]))
                fail_msg("%s, batch %zu: %d threads give other states than 1", e->name, count, ways[way].threads);
            assert_memory_equal(done[0], done[1], sizeof done[0]);
            free(states[0]);
            free(states[1]);
        }
        bnnep_network_free(network);
        if (e->connections[0].kind == BNNEP_CONNECTION_CONVOLUTION) /* the others have no places */
            same_lesson(e, x, target, 2);
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(samples_do_not_mix),
                                       cmocka_unit_test(telling_samples_do_not_mix),
                                       cmocka_unit_test(threads_share_steps)};
    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
