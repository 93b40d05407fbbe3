/* SPDX-License-Identifier: MIT */
/*
 * Convolutional networks on every backend against ref, on random shapes: 1 to 3 convolutions, maps that are not square,
 * odd sizes, kernels 1 to 5, padding 0 to 3, pooling 1 to 3, then 1 or 2 fully connected layers, batches of 1 to 9
 * and 20.
 *
 * Two float summations can resolve a near-tie of a pooling window differently, and then everything differs. Networks
 * with binary activations have no such ties: their sums are exact, and all is compared bit for bit, over whole batches.
 * So have real activations on a grid; only their momenta are sums of floats. For other real activations each step
 * starts from states that are multiples of 1/64, whose sums are exact in float: one step, its argmax included, must be
 * equal bit for bit; and gradients are compared on the states after such steps.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { MOST = 6 };

struct description {
    int32_t dynamics, input[3], grid_bits, schedule;
    float feedback; /* 0: 1 */
    bnnep_connection connections[MOST];
    size_t count;
    int32_t method;
    bool learn_alpha, covariance;
    uint64_t seed;
    double threshold;
    float tolerance;
    bool itself; /* compared with the same backend without a tolerance, not with ref */
};

struct twins {
    bnnep_network *network[2]; /* ref and the other */
    bnnep_optimizer *optimizer[2];
    bnnep_workspace *workspace[2];
    const struct description *d;
    const char *name;
    size_t samples;
};

static struct description describe(struct stream *stream, int32_t dynamics, unsigned i) {
    struct description d = {.dynamics = dynamics, .seed = i, .learn_alpha = i % 2 == 0, .threshold = 0.02};
    int32_t map[2];
    d.input[0] = stream_between(stream, 1, 3);
    map[0] = d.input[1] = stream_between(stream, 7, 17);
    map[1] = d.input[2] = stream_between(stream, 7, 17);
    for (unsigned conv = 0; conv < 1 + i % 3; conv++) {
        const int32_t padding = stream_between(stream, 0, 3), least = map[0] < map[1] ? map[0] : map[1];
        int32_t kernel = stream_between(stream, 1, 5), pool = stream_between(stream, 1, 3);
        kernel = kernel > least + 2 * padding ? least + 2 * padding : kernel;
        pool = pool > least + 2 * padding - kernel + 1 ? 1 : pool;
        d.connections[d.count++] = (bnnep_connection)BNNEP_CONV(stream_between(stream, 1, 19), kernel, padding, pool);
        for (int axis = 0; axis < 2; axis++)
            map[axis] = (map[axis] + 2 * padding - kernel + 1) / pool;
    }
    if (i % 2)
        d.connections[d.count++] = (bnnep_connection)BNNEP_FC(stream_between(stream, 3, 40));
    d.connections[d.count++] = (bnnep_connection)BNNEP_FC(10);
    return d;
}

/* Two convolutions, the second with so many channels that the cpu backend's units tell changes. */
static struct description describe_wide(struct stream *stream, unsigned i, bool unpooled) {
    struct description d = {.dynamics = BNNEP_DYNAMICS_REAL, .seed = i, .learn_alpha = i % 2 == 0, .threshold = 0.02};
    d.input[0] = stream_between(stream, 1, 3);
    d.input[1] = stream_between(stream, 6, 8);
    d.input[2] = stream_between(stream, 6, 8);
    const int32_t channels = unpooled ? 170 : 90, more = unpooled ? channels : 160;
    const int32_t pool = unpooled ? 1 : stream_between(stream, 2, 3);
    d.connections[d.count++] = (bnnep_connection)BNNEP_CONV(stream_between(stream, channels, channels + 15), 3, 1, 1);
    d.connections[d.count++] = (bnnep_connection)BNNEP_CONV(stream_between(stream, more, more + 20), 5, 2, pool);
    if (i % 2)
        d.connections[d.count++] = (bnnep_connection)BNNEP_FC(stream_between(stream, 3, 40));
    d.connections[d.count++] = (bnnep_connection)BNNEP_FC(10);
    return d;
}

static struct twins make(const struct description *d, const char *backend, size_t samples) {
    struct twins t = {.d = d, .name = backend, .samples = samples};
    double gamma[MOST], threshold[MOST], rate[MOST];
    for (size_t k = 0; k < MOST; k++) {
        gamma[k] = 0.5;
        threshold[k] = d->threshold;
        rate[k] = 0.003;
    }
    for (int side = 0; side < 2; side++) {
        bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
        bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
        o.dynamics = d->dynamics;
        o.input_channels = d->input[0];
        o.input_height = d->input[1];
        o.input_width = d->input[2];
        o.connections = d->connections;
        o.connection_count = d->count;
        o.free_steps = MOST + 3;
        o.grid_bits = d->grid_bits;
        o.schedule = d->schedule;
        o.feedback = d->feedback;
        o.settle_tolerance = side == 0 && d->itself ? 0.0f : d->tolerance;
        o.max_batch = 20;
        o.seed = d->seed;
        assert_ok(network_on(side || d->itself ? backend : "ref", &o, &t.network[side]));
        t.workspace[side] = bnnep_network_workspace(t.network[side]);
        p.method = d->method;
        p.nudged_steps = MOST + 1; /* what back-propagation remembers */
        p.beta = 0.5f;
        p.gamma = gamma;
        p.threshold = threshold;
        p.lr_bias = rate;
        p.lr_alpha = d->learn_alpha ? rate : NULL;
        p.covariance = d->covariance;
        assert_ok(bnnep_optimizer_create(t.network[side], &p, &t.optimizer[side]));
    }
    return t;
}

static void destroy(struct twins *t) {
    for (int side = 0; side < 2; side++) {
        bnnep_optimizer_free(t->optimizer[side]);
        bnnep_network_free(t->network[side]);
    }
}

static bnnep_connection_info info_of(const struct twins *t, size_t k) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    assert_ok(bnnep_network_get_connection(t->network[0], k, &info));
    return info;
}

static void same(const struct twins *t, const char *what, size_t k, const float *ref, const float *other, size_t count,
                 double tolerance) {
    for (size_t i = 0; i < count; i++) {
        const double scale = fmax(1.0, fabs((double)ref[i]));
        if (tolerance == 0.0 ? memcmp(&ref[i], &other[i], sizeof *ref) != 0
                             : !(fabs((double)ref[i] - (double)other[i]) <= tolerance * scale)) {
            print_error("%s, seed %d, %zu connections, batch %zu: %s %zu, element %zu of %zu is %.9g, ref %.9g\n",
                        t->name, (int)t->d->seed, t->d->count, t->samples, what, k, i, count, (double)other[i],
                        (double)ref[i]);
            fail();
        }
    }
}

static void near_states(const struct twins *t, int32_t phase, const char *what, double tolerance) {
    for (size_t k = 0; k < t->d->count; k++) {
        const size_t count = t->samples * (size_t)info_of(t, k).units;
        float *a = malloc(count * sizeof *a), *b = malloc(count * sizeof *b);
        assert_ok(bnnep_workspace_get_state(t->workspace[0], phase, k + 1, a, count));
        assert_ok(bnnep_workspace_get_state(t->workspace[1], phase, k + 1, b, count));
        same(t, what, k, a, b, count, tolerance);
        free(a);
        free(b);
    }
}

static void same_states(const struct twins *t, int32_t phase, const char *what) {
    near_states(t, phase, what, 0.0);
}

/* Momenta, biases, alpha and signs; returns how many connections of ref have a momentum that is not 0. Signs may differ
 * only where a momentum stands at its threshold to within the tolerance. */
static size_t same_parameters(const struct twins *t, double tolerance) {
    size_t moved = 0;
    for (size_t k = 0; k < t->d->count; k++) {
        const bnnep_connection_info info = info_of(t, k);
        const size_t rows = (size_t)info.rows, weights = rows * (size_t)info.columns, scales = (size_t)info.scales;
        float *a = malloc((weights + rows + scales) * sizeof *a), *b = malloc((weights + rows + scales) * sizeof *b);
        int8_t *sign_a = malloc(weights), *sign_b = malloc(weights);
        float *const sides[] = {a, b};
        int8_t *const signs[] = {sign_a, sign_b};
        for (int side = 0; side < 2; side++) {
            assert_ok(bnnep_optimizer_get_momentum(t->optimizer[side], k, sides[side], weights));
            assert_ok(bnnep_network_get_bias(t->network[side], k, sides[side] + weights, rows));
            assert_ok(bnnep_network_get_alpha(t->network[side], k, sides[side] + weights + rows, scales));
            assert_ok(bnnep_network_get_signs(t->network[side], k, signs[side], weights));
        }
        same(t, "momentum of connection", k, a, b, weights, tolerance);
        same(t, "bias of connection", k, a + weights, b + weights, rows, tolerance);
        same(t, "alpha of connection", k, a + weights + rows, b + weights + rows, scales, tolerance);
        bool moves = false;
        for (size_t i = 0; i < weights; i++) {
            const double distance = fabs(fabs((double)a[i]) - t->d->threshold);
            if (sign_a[i] != sign_b[i] && (tolerance == 0.0 || distance > tolerance * fmax(1.0, fabs((double)a[i]))))
                fail_msg("sign %zu of connection %zu differs", i, k);
            moves |= a[i] != 0.0f;
        }
        moved += moves;
        free(a);
        free(b);
        free(sign_a);
        free(sign_b);
    }
    return moved;
}

static void stage(const struct twins *t, struct stream *stream, bool dyadic) {
    const size_t values = t->samples * (size_t)(t->d->input[0] * t->d->input[1] * t->d->input[2]);
    float *x = malloc(values * sizeof *x), *target = malloc(t->samples * 10 * sizeof *target);
    for (size_t i = 0; i < values; i++)
        x[i] = (float)(stream_next(stream) % 256) / (dyadic ? 256.0f : 255.0f);
    for (size_t i = 0; i < t->samples * 10; i++)
        target[i] = (float)(stream_next(stream) % 2);
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_workspace_stage(t->workspace[side], x, target, t->samples));
    free(x);
    free(target);
}

/* States that are multiples of 1/64, some of them 0 and 1, the same on both sides. */
static void put_dyadic(const struct twins *t, struct stream *stream, int32_t phase) {
    for (size_t k = 0; k < t->d->count; k++) {
        const size_t count = t->samples * (size_t)info_of(t, k).units;
        float *state = malloc(count * sizeof *state);
        for (size_t i = 0; i < count; i++)
            state[i] = fminf(1.0f, fmaxf(0.0f, (float)stream_between(stream, -20, 80) / 64.0f));
        for (int side = 0; side < 2; side++)
            assert_ok(bnnep_workspace_set_state(t->workspace[side], phase, k + 1, state, count));
        free(state);
    }
}

/* Scaling factors that are multiples of 2^-10: with such states all sums are exact in float, in any order, the feedback
 * of convolutions included. */
static void put_dyadic_alpha(const struct twins *t, struct stream *stream) {
    for (size_t k = 0; k < t->d->count; k++) {
        const size_t count = (size_t)info_of(t, k).scales;
        float *alpha = malloc(count * sizeof *alpha);
        for (size_t i = 0; i < count; i++)
            alpha[i] = (float)stream_between(stream, 40, 400) / 1024.0f;
        for (int side = 0; side < 2; side++)
            assert_ok(bnnep_network_set_alpha(t->network[side], k, alpha, count));
        free(alpha);
    }
}

static void relax(const struct twins *t, int32_t from, int32_t to, int32_t steps, float beta) {
    for (int side = 0; side < 2; side++)
        assert_ok(phase_run(t->workspace[side], from, to, steps, beta, NULL));
}

typedef void (*comparison)(struct twins *t, struct stream *stream);

/* What the networks have in common; two options that change the numbers, or 0. */
struct family {
    int32_t dynamics, method, schedule;
    bool grid, unpooled, wide;
    float tolerance;
};

static void for_all(struct family family, unsigned cases, comparison compare) {
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        if (strcmp(backends[b], "ref") == 0 || (family.wide && strcmp(backends[b], "cpu") != 0))
            continue; /* an emulated device takes too long for wide ones */
        const bool real_ep =
            family.dynamics == BNNEP_DYNAMICS_REAL && family.method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
        struct stream stream = {(uint64_t)(3 * family.dynamics + family.method)};
        for (unsigned i = 0; i < cases; i++) {
            struct description d =
                family.wide ? describe_wide(&stream, i, family.unpooled) : describe(&stream, family.dynamics, i);
            d.method = family.method;
            d.schedule = family.schedule;
            d.feedback = i % 3 == 2 && real_ep ? 0.3f : 0.0f;
            d.tolerance = family.tolerance;
            d.itself = family.unpooled;
            d.grid_bits = family.grid ? (i % 5 ? 18 - (int32_t)i % 5 : 9 - (int32_t)i % 2) : 0;
            d.learn_alpha = d.learn_alpha && family.method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
            d.covariance = i % 3 < 2 && family.method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
            struct twins t = make(&d, backends[b], i == 4 ? 20 : (size_t)stream_between(&stream, 1, 9));
            compare(&t, &stream);
            destroy(&t);
        }
    }
}

static void compare_binary(struct twins *t, struct stream *stream) {
    for (int batch = 0; batch < 2; batch++) {
        const float beta = batch ? -1.0f : 1.0f;
        stage(t, stream, false);
        relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 9, 0.0f);
        same_states(t, BNNEP_PHASE_FREE, "free state of layer index");
        relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 4, beta);
        same_states(t, BNNEP_PHASE_NUDGED, "nudged state of layer index");
        for (int side = 0; side < 2; side++)
            assert_ok(phase_learn(t->optimizer[side], t->workspace[side], 0.0, NULL));
        same_parameters(t, 0.0);
    }
}

static void binary_activations(void **state) {
    (void)state;
    for_all((struct family){.dynamics = BNNEP_DYNAMICS_BINARY}, 18, compare_binary);
    for_all((struct family){.dynamics = BNNEP_DYNAMICS_BINARY, .schedule = BNNEP_SCHEDULE_ALTERNATING}, 9,
            compare_binary);
}

static void compare_real(struct twins *t, struct stream *stream) {
    put_dyadic_alpha(t, stream);
    stage(t, stream, true);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f);
    same_states(t, BNNEP_PHASE_FREE, "first state of layer index");
    put_dyadic(t, stream, BNNEP_PHASE_FREE);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f);
    same_states(t, BNNEP_PHASE_FREE, "free state of layer index");
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5f);
    put_dyadic(t, stream, BNNEP_PHASE_NUDGED);
    relax(t, BNNEP_PHASE_NUDGED, BNNEP_PHASE_NUDGED, 1, 0.5f);
    same_states(t, BNNEP_PHASE_NUDGED, "nudged state of layer index");
    for (int side = 0; side < 2; side++)
        assert_ok(phase_learn(t->optimizer[side], t->workspace[side], 0.0, NULL));
    assert_true(same_parameters(t, 4e-6) > 0);
}

/* First steps with a tolerance. ref is slow on so many channels: one sample. */
static void compare_wide(struct twins *t, struct stream *stream) {
    t->samples = 1;
    put_dyadic_alpha(t, stream);
    stage(t, stream, true);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f);
    same_states(t, BNNEP_PHASE_FREE, "first state of layer index");
    put_dyadic(t, stream, BNNEP_PHASE_FREE);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5f);
    same_states(t, BNNEP_PHASE_NUDGED, "nudged state of layer index");
}

/* Wide convolutions add floats with a tolerance as without: as long as no sample settles, the bits are the same. */
static void tolerance_rounds_nothing(void **state) {
    enum { SIDE = 6, CHANNELS = 3, SAMPLES = 5, OUTPUTS = 10 };
    const bnnep_connection connections[] = {BNNEP_CONV(64, 3, 1, 1), BNNEP_CONV(160, 5, 2, 2), BNNEP_CONV(130, 5, 2, 1),
                                            BNNEP_FC(OUTPUTS)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    struct stream stream = {9};
    float outputs[2][SAMPLES * OUTPUTS], *x = random_pixels(&stream, SAMPLES, SIDE * SIDE * CHANNELS);
    bnnep_network *network;
    (void)state;
    o.input_channels = CHANNELS;
    o.input_height = o.input_width = SIDE;
    o.connections = connections;
    o.connection_count = 4;
    o.max_batch = SAMPLES;
    assert_ok(network_on("cpu", &o, &network));
    bnnep_workspace *workspace = bnnep_network_workspace(network);
    for (int i = 0; i < 2; i++) {
        bnnep_relaxed done = BNNEP_RELAXED_INIT;
        assert_ok(bnnep_network_set_relaxation(network, 12, i == 0 ? 0.0f : 1e-9f));
        assert_ok(bnnep_workspace_stage(workspace, x, NULL, SAMPLES));
        assert_ok(phase_run(workspace, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0f, &done));
        assert_int_equal(done.sample_steps, 12 * SAMPLES);
        assert_ok(bnnep_workspace_get_state(workspace, BNNEP_PHASE_FREE, 4, outputs[i], SAMPLES * OUTPUTS));
    }
    assert_memory_equal(outputs[0], outputs[1], sizeof outputs[0]);
    bnnep_network_free(network);
    free(x);
}

static void real_activations(void **state) {
    (void)state;
    for_all((struct family){.tolerance = 0.0f}, 18, compare_real);
    for_all((struct family){.tolerance = 1e-9f, .wide = true}, 3, compare_wide);
}

/* Scaling factors of any size and sign, each channel its own; now and then all of them 0. */
static void put_alpha(const struct twins *t, struct stream *stream, float strength) {
    for (size_t k = 0; k < t->d->count; k++) {
        const size_t count = (size_t)info_of(t, k).scales;
        const float scale = t->d->seed % 7 == 3 && k == 1 ? 0.0f : strength / sqrtf((float)info_of(t, k).columns);
        float *alpha = malloc(count * sizeof *alpha);
        for (size_t i = 0; i < count; i++)
            alpha[i] = scale * (stream_uniform(stream) * 1.1f - 0.1f);
        for (int side = 0; side < 2; side++)
            assert_ok(bnnep_network_set_alpha(t->network[side], k, alpha, count));
        free(alpha);
    }
}

/* Without pooling nothing jumps, and weak connections make the dynamics contract: whatever is rounded on the way, with
 * a tolerance the samples come to rest where they do without. */
static void compare_rest(struct twins *t, struct stream *stream) {
    put_alpha(t, stream, 0.6f);
    stage(t, stream, false);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 100, 0.0f);
    relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 100, 0.2f);
    for (int32_t phase = BNNEP_PHASE_FREE; phase <= BNNEP_PHASE_NUDGED; phase++)
        near_states(t, phase, "rest of layer index", 2e-5);
}

static void unpooled_rest(void **state) {
    (void)state;
    for_all((struct family){.tolerance = 1e-6f, .unpooled = true, .wide = true}, 3, compare_rest);
}

static void compare_grid(struct twins *t, struct stream *stream) {
    put_alpha(t, stream, 1.0f);
    for (int batch = 0; batch < 2; batch++) {
        const float beta = batch ? 0.5f : -1.5f; /* that one drives the outputs out of all bounds but the grid's */
        stage(t, stream, false);
        relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 20, 0.0f);
        same_states(t, BNNEP_PHASE_FREE, "free state of layer index");
        relax(t, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, batch ? 9 : 40, beta);
        same_states(t, BNNEP_PHASE_NUDGED, "nudged state of layer index");
    }
    for (int side = 0; side < 2; side++)
        assert_ok(phase_learn(t->optimizer[side], t->workspace[side], 0.0, NULL));
    assert_true(same_parameters(t, 4e-6) > 0);
}

static void real_activations_on_a_grid(void **state) {
    (void)state;
    for_all((struct family){.grid = true}, 18, compare_grid);
    for_all((struct family){.grid = true, .schedule = BNNEP_SCHEDULE_ALTERNATING}, 9, compare_grid);
}

static size_t back_propagate(struct twins *t, struct stream *stream, int32_t steps) {
    stage(t, stream, true);
    put_dyadic(t, stream, BNNEP_PHASE_FREE);
    for (int side = 0; side < 2; side++) {
        assert_ok(bnnep_optimizer_backpropagate(t->optimizer[side], t->workspace[side], steps));
        assert_ok(bnnep_optimizer_update(t->optimizer[side], NULL));
    }
    return same_parameters(t, 4e-6);
}

static void compare_two_steps(struct twins *t, struct stream *stream) {
    assert_true(back_propagate(t, stream, 2) > 0);
}

/* As many steps as the error needs to reach the first connection, and one more. Their sums are not exact: the fewer
 * samples, the fewer near-ties. Now and then a layer is saturated all over, and the error ends there. */
static unsigned reached_all;

static void compare_all_steps(struct twins *t, struct stream *stream) {
    t->samples = 3;
    reached_all += back_propagate(t, stream, (int32_t)t->d->count + 1) == t->d->count;
}

static void back_propagation(void **state) {
    (void)state;
    for_all((struct family){.method = BNNEP_METHOD_BPTT}, 18, compare_two_steps);
    for_all((struct family){.method = BNNEP_METHOD_BPTT}, 18, compare_all_steps);
    assert_true(reached_all >= 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary_activations),         cmocka_unit_test(real_activations),
        cmocka_unit_test(tolerance_rounds_nothing),   cmocka_unit_test(unpooled_rest),
        cmocka_unit_test(real_activations_on_a_grid), cmocka_unit_test(back_propagation)};
    return cmocka_run_group_tests_name("convolutions", tests, NULL, NULL);
}
