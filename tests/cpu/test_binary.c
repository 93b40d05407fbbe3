/* SPDX-License-Identifier: MIT */
/*
 * Networks with binary activations keep sums between steps, phases and calls. Whatever is done to their states in
 * between - set in the middle of a phase, copied to and fro, left as they are - every backend must agree with ref bit
 * for bit: on random networks, thresholds, leaks, tolerances and numbers of threads, with scaling factors of any size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { MOST = 6, BATCH = 70, CLASSES = 5 };

struct twins {
    bnnep_network *network[2]; /* ref and the other */
    bnnep_optimizer *optimizer[2];
    bnnep_workspace *workspace[2];
    bnnep_connection connections[MOST];
    size_t count, samples, inputs;
    char name[160];
};

/* A map and up to two convolutions, or none, then one to three fully connected layers. */
static void draw_shape(struct twins *t, struct stream *stream, bnnep_network_options *o) {
    const int32_t convolutions = stream_between(stream, 0, 2);
    int32_t map[2] = {stream_between(stream, 8, 12), stream_between(stream, 8, 12)};
    o->input_channels = convolutions ? stream_between(stream, 1, 3) : stream_between(stream, 1, 150);
    o->input_height = convolutions ? map[0] : 1;
    o->input_width = convolutions ? map[1] : 1;
    t->inputs = (size_t)(o->input_channels * o->input_height * o->input_width);
    for (int32_t i = 0; i < convolutions; i++) {
        const int32_t padding = stream_between(stream, 0, 2), pool = stream_between(stream, 1, 2);
        const int32_t channels = stream_between(stream, 1, i == 0 ? 12 : 40);
        t->connections[t->count++] = (bnnep_connection)BNNEP_CONV(channels, 3, padding, pool);
        for (int axis = 0; axis < 2; axis++)
            map[axis] = (map[axis] + 2 * padding - 2) / pool;
    }
    for (int32_t i = stream_between(stream, 0, 2); i > 0; i--)
        t->connections[t->count++] = (bnnep_connection)BNNEP_FC(stream_between(stream, 1, 300));
    t->connections[t->count++] = (bnnep_connection)BNNEP_FC(CLASSES);
}

static float draw_alpha(struct stream *stream) {
    const float alpha = 0.3f * stream_uniform(stream);
    return stream_between(stream, 0, 9) == 0 ? 0.0f : stream_between(stream, 0, 4) == 0 ? -alpha : alpha;
}

/* Scaling factors of any kind, few of them alike or all different; biases and momenta. */
static void draw_parameters(const struct twins *t, struct stream *stream, double threshold) {
    for (size_t k = 0; k < t->count; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(t->network[0], k, &info));
        const size_t scales = (size_t)info.scales, rows = (size_t)info.rows, weights = rows * (size_t)info.columns;
        float *values = malloc((scales + rows + weights) * sizeof *values);
        for (size_t i = 0; i < scales; i++)
            values[i] = i > 0 && stream_between(stream, 0, 2) ? values[i - 1] : draw_alpha(stream);
        for (size_t i = 0; i < rows; i++)
            values[scales + i] = 0.5f * stream_uniform(stream);
        for (size_t i = 0; i < weights; i++)
            values[scales + rows + i] = (stream_uniform(stream) - 0.5f) * 3.0f * (float)threshold;
        for (int side = 0; side < 2; side++) {
            assert_ok(bnnep_network_set_alpha(t->network[side], k, values, scales));
            assert_ok(bnnep_network_set_bias(t->network[side], k, values + scales, rows));
            assert_ok(bnnep_optimizer_set_momentum(t->optimizer[side], k, values + scales + rows, weights));
        }
        free(values);
    }
}

static struct twins make(struct stream *stream, unsigned seed, const char *backend) {
    struct twins t = {.samples = seed % 3 ? (size_t)stream_between(stream, 1, BATCH) : seed % 2 ? BATCH : 1};
    static const float thetas[] = {0.5f, 1e-30f, 1.0f, 0.3f}, leaks[] = {0.5f, 1.0f, 0.37f};
    static const float tolerances[] = {0.0f, -1.0f, 0.02f};
    static const double thresholds[] = {0.02, 0.0, 0.3};
    const double threshold = thresholds[seed % 3];
    double gamma[MOST], limit[MOST], rate[MOST];
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    for (size_t k = 0; k < MOST; k++) {
        gamma[k] = 0.4;
        limit[k] = threshold;
        rate[k] = 0.003;
    }
    draw_shape(&t, stream, &o);
    if (t.connections[0].kind == BNNEP_CONNECTION_CONVOLUTION && t.samples > 9) /* ref takes its time */
        t.samples = 9;
    o.dynamics = BNNEP_DYNAMICS_BINARY;
    o.connections = t.connections;
    o.connection_count = t.count;
    o.classes = CLASSES;
    o.theta = thetas[seed % 4];
    o.gamma_neur = leaks[seed / 2 % 3];
    o.settle_tolerance = tolerances[seed / 3 % 3];
    o.max_batch = BATCH;
    o.seed = seed;
    p.gamma = gamma;
    p.threshold = limit;
    p.lr_bias = rate;
    p.lr_alpha = seed % 2 ? rate : NULL;
    snprintf(t.name, sizeof t.name, "%s, seed %u, %zu connections, batch %zu", backend, seed, t.count, t.samples);
    for (int side = 0; side < 2; side++) {
        assert_ok(network_on(side ? backend : "ref", &o, &t.network[side]));
        assert_ok(bnnep_optimizer_create(t.network[side], &p, &t.optimizer[side]));
        t.workspace[side] = bnnep_network_workspace(t.network[side]);
    }
    draw_parameters(&t, stream, threshold);
    return t;
}

static size_t units_of(const struct twins *t, size_t layer) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    assert_ok(bnnep_network_get_connection(t->network[0], layer - 1, &info));
    return (size_t)info.units;
}

static void same(const struct twins *t, const char *what, size_t which, const float *ref, const float *other,
                 size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&ref[i], &other[i], sizeof *ref) != 0)
            fail_msg("%s: %s %zu, element %zu of %zu is %.9g, ref %.9g", t->name, what, which, i, count,
                     (double)other[i], (double)ref[i]);
}

static void same_states(const struct twins *t, int32_t phase) {
    for (size_t layer = 1; layer <= t->count; layer++) {
        const size_t count = t->samples * units_of(t, layer);
        float *a = malloc(count * sizeof *a), *b = malloc(count * sizeof *b);
        assert_ok(bnnep_workspace_get_state(t->workspace[0], phase, layer, a, count));
        assert_ok(bnnep_workspace_get_state(t->workspace[1], phase, layer, b, count));
        same(t, "state of layer", layer, a, b, count);
        free(a);
        free(b);
    }
}

/* States of some units of a layer, half of them on one side of the threshold. */
static void disturb(const struct twins *t, struct stream *stream, int32_t phase) {
    const size_t layer = (size_t)stream_between(stream, 1, (int32_t)t->count), count = t->samples * units_of(t, layer);
    float *state = malloc(count * sizeof *state);
    assert_ok(bnnep_workspace_get_state(t->workspace[0], phase, layer, state, count));
    for (size_t i = 0; i < count; i++)
        if (stream_between(stream, 0, 3) == 0)
            state[i] = stream_uniform(stream);
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_workspace_set_state(t->workspace[side], phase, layer, state, count));
    free(state);
}

static void relax(const struct twins *t, int32_t from, int32_t to, int32_t steps, float beta) {
    bnnep_relaxed done[2] = {BNNEP_RELAXED_INIT, BNNEP_RELAXED_INIT};
    for (int side = 0; side < 2; side++)
        assert_ok(phase_run(t->workspace[side], from, to, steps, beta, &done[side]));
    same_states(t, to);
    if (done[0].sample_steps != done[1].sample_steps || done[0].most_steps != done[1].most_steps)
        fail_msg("%s: %llu steps, at most %u, ref %llu and %u", t->name, (unsigned long long)done[1].sample_steps,
                 done[1].most_steps, (unsigned long long)done[0].sample_steps, done[0].most_steps);
}

static void learn(const struct twins *t, float beta) {
    uint64_t flips[2][MOST_LAYERS];
    for (int side = 0; side < 2; side++)
        assert_ok(phase_learn(t->optimizer[side], t->workspace[side], beta, flips[side]));
    assert_memory_equal(flips[0], flips[1], t->count * sizeof flips[0][0]);
    for (size_t k = 0; k < t->count; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(t->network[0], k, &info));
        const size_t scales = (size_t)info.scales, rows = (size_t)info.rows, weights = rows * (size_t)info.columns;
        float *values[2];
        int8_t *signs[2];
        for (int side = 0; side < 2; side++) {
            values[side] = malloc((scales + rows + weights) * sizeof(float));
            signs[side] = malloc(weights);
            assert_ok(bnnep_network_get_alpha(t->network[side], k, values[side], scales));
            assert_ok(bnnep_network_get_bias(t->network[side], k, values[side] + scales, rows));
            assert_ok(bnnep_optimizer_get_momentum(t->optimizer[side], k, values[side] + scales + rows, weights));
            assert_ok(bnnep_network_get_signs(t->network[side], k, signs[side], weights));
        }
        same(t, "alpha of connection", k, values[0], values[1], scales);
        same(t, "bias of connection", k, values[0] + scales, values[1] + scales, rows);
        same(t, "momentum of connection", k, values[0] + scales + rows, values[1] + scales + rows, weights);
        assert_memory_equal(signs[0], signs[1], weights);
        for (int side = 0; side < 2; side++) {
            free(values[side]);
            free(signs[side]);
        }
    }
}

static void one_batch(const struct twins *t, struct stream *stream, float beta) {
    const size_t outputs = t->samples * CLASSES;
    float *x = random_pixels(stream, t->samples, (int32_t)t->inputs), *target = malloc(outputs * sizeof *target);
    for (size_t i = 0; i < outputs; i++)
        target[i] = stream_uniform(stream);
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_workspace_stage(t->workspace[side], x, target, t->samples));
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, stream_between(stream, 1, 5), 0.0f);
    disturb(t, stream, BNNEP_PHASE_FREE);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, stream_between(stream, 1, 12), 0.0f);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, stream_between(stream, 1, 4), beta);
    disturb(t, stream, BNNEP_PHASE_NUDGED);
    relax(t, BNNEP_PHASE_NUDGED, BNNEP_PHASE_FREE, stream_between(stream, 1, 2), beta);
    disturb(t, stream, BNNEP_PHASE_NUDGED);
    relax(t, BNNEP_PHASE_NUDGED, BNNEP_PHASE_NUDGED, stream_between(stream, 1, 6), beta);
    if (stream_between(stream, 0, 1))
        disturb(t, stream, BNNEP_PHASE_FREE);
    learn(t, beta);
    free(x);
    free(target);
}

static void against_ref(void **state) {
    (void)state;
    static const char *const backends[] = {"cpu/1", "cpu/2", "cpu/3"};
    struct stream stream = {11};
    for (unsigned seed = 0; seed < 60; seed++) {
        struct twins t = make(&stream, seed, backends[seed % 3]);
        one_batch(&t, &stream, 1.0f);
        one_batch(&t, &stream, -0.7f);
        for (int side = 0; side < 2; side++) {
            bnnep_optimizer_free(t.optimizer[side]);
            bnnep_network_free(t.network[side]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_ref)};
    return cmocka_run_group_tests_name("binary", tests, NULL, NULL);
}
