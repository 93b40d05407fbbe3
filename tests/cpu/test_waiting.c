/* SPDX-License-Identifier: MIT */
/*
 * Momenta without contrast may have decays pending (backends/cpu/binary/momenta.c). Whoever looks must not see it: over
 * many updates of which each has a contrast in a few rows, with momenta, signs and scaling factors set in between and
 * another optimizer at work, the cpu backend's networks are those of ref bit for bit.
 */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { INPUTS = 7, BELOW = 530, ABOVE = 70, BATCH = 3, PANEL = 256 };

static const struct shape shape = {
    .dynamics = BNNEP_DYNAMICS_BINARY,
    .connections = 3,
    .units = {INPUTS, BELOW, ABOVE, 10},
    .free_steps = 1,
    .nudged_steps = 1,
    .max_batch = BATCH,
    .learn_alpha = true,
    .lr_alpha = 0.1,
    .gamma = 0.01,
    .threshold = 0.003,
    .seed = 5,
};

struct pair {
    struct net net[2];             /* ref, cpu */
    bnnep_optimizer *optimizer[2]; /* those that learn */
    struct stream stream;
};

static bnnep_workspace *workspace_of(struct pair *p, int side) {
    return bnnep_network_workspace(p->net[side].network);
}

static void set_states(struct pair *p, int32_t phase, size_t layer, const float *state, size_t count) {
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_workspace_set_state(workspace_of(p, side), phase, layer, state, count));
}

/* Any free states; after the nudged phase, one unit of each hidden layer is another, and the outputs are the same. */
static void draw_states(struct pair *p) {
    const size_t units[] = {BELOW, ABOVE, 10};
    for (size_t layer = 1; layer <= 3; layer++) {
        const size_t count = BATCH * units[layer - 1], other = stream_next(&p->stream) % count;
        float *state = malloc(count * sizeof *state);
        for (size_t i = 0; i < count; i++)
            state[i] = stream_uniform(&p->stream);
        set_states(p, BNNEP_PHASE_FREE, layer, state, count);
        if (layer < 3)
            state[other] = state[other] < 0.5f ? 1.0f : 0.0f;
        set_states(p, BNNEP_PHASE_NUDGED, layer, state, count);
        free(state);
    }
}

static void update(struct pair *p) {
    float *x = random_pixels(&p->stream, BATCH, INPUTS), target[BATCH * 10] = {0};
    for (int side = 0; side < 2; side++) {
        bnnep_workspace *ws = workspace_of(p, side);
        assert_ok(bnnep_workspace_stage(ws, x, target, BATCH));
        assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, NULL));
        assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 1.0, NULL));
    }
    draw_states(p);
    for (int side = 0; side < 2; side++)
        assert_ok(phase_learn(p->optimizer[side], workspace_of(p, side), 1.0, NULL));
    free(x);
}

static float *momentum_of(const struct pair *p, int side) {
    float *momentum = malloc(BELOW * ABOVE * sizeof *momentum);
    assert_ok(bnnep_optimizer_get_momentum(p->optimizer[side], 1, momentum, BELOW * ABOVE));
    return momentum;
}

/* This test is about panels of which all weights only decay: most of them do. */
static void check_that_most_wait(struct pair *p) {
    const float decay = (float)(1.0 - shape.gamma);
    float *before = momentum_of(p, 0);
    update(p);
    float *after = momentum_of(p, 0);
    size_t panels = 0, waiting = 0;
    for (size_t row = 0; row < ABOVE; row++)
        for (size_t first = 0; first < BELOW; first += PANEL, panels++) {
            size_t i = first;
            while (i < BELOW && i < first + PANEL && after[row * BELOW + i] == decay * before[row * BELOW + i])
                i++;
            waiting += i == BELOW || i == first + PANEL;
        }
    assert_true(waiting * 4 > panels * 3 && waiting < panels);
    free(before);
    free(after);
}

/* Some momenta are beyond the threshold, which only the next update may find out. */
static void set_momenta(struct pair *p) {
    float *momentum = momentum_of(p, 0);
    for (size_t i = 0; i < 200; i++)
        momentum[stream_next(&p->stream) % (BELOW * ABOVE)] = (stream_uniform(&p->stream) - 0.5f) * 0.02f;
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_optimizer_set_momentum(p->optimizer[side], 1, momentum, BELOW * ABOVE));
    free(momentum);
}

static void turn_signs(struct pair *p) {
    int8_t *signs = malloc(BELOW * ABOVE);
    assert_ok(bnnep_network_get_signs(p->net[0].network, 1, signs, BELOW * ABOVE));
    for (size_t i = 0; i < BELOW * ABOVE; i++)
        signs[i] = (int8_t)-signs[i];
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_network_set_signs(p->net[side].network, 1, signs, BELOW * ABOVE));
    free(signs);
}

/* With such a learning rate it often goes to the other side by itself. */
static void turn_scale(struct pair *p) {
    float alpha;
    assert_ok(bnnep_network_get_alpha(p->net[0].network, 1, &alpha, 1));
    alpha = alpha > 0.0f ? -0.01f : 0.01f;
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_network_set_alpha(p->net[side].network, 1, &alpha, 1));
}

static uint64_t beyond_threshold(const struct pair *p) {
    float *momentum = momentum_of(p, 0), alpha;
    int8_t *signs = malloc(BELOW * ABOVE);
    uint64_t count = 0;
    assert_ok(bnnep_network_get_signs(p->net[0].network, 1, signs, BELOW * ABOVE));
    assert_ok(bnnep_network_get_alpha(p->net[0].network, 1, &alpha, 1));
    for (size_t i = 0; i < BELOW * ABOVE; i++)
        count += (alpha > 0.0f ? -momentum[i] : momentum[i]) * (float)signs[i] > (float)shape.threshold;
    free(momentum);
    free(signs);
    return count;
}

static void against_ref(void **state) {
    static const char *const backends[] = {"ref", "cpu/2"};
    struct pair p = {.stream = {3}};
    bnnep_optimizer *second[2];
    (void)state;
    for (int side = 0; side < 2; side++) {
        p.net[side] = net_make(&shape, backends[side]);
        p.optimizer[side] = p.net[side].optimizer;
    }
    double gamma[] = {0.05, 0.05, 0.05}, threshold[] = {0.001, 0.001, 0.001}, rate[] = {0.0, 0.0, 0.0};
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    o.gamma = gamma;
    o.threshold = threshold;
    o.lr_bias = rate;
    for (int side = 0; side < 2; side++)
        assert_ok(bnnep_optimizer_create(p.net[side].network, &o, &second[side]));
    void (*const between[])(struct pair *) = {set_momenta, turn_signs, turn_scale};
    uint64_t beyond[3] = {0};
    for (size_t i = 0; i < 1200; i++) {
        update(&p);
        if (i % 100 == 50) {
            between[i / 100 % 3](&p);
            beyond[i / 100 % 3] += beyond_threshold(&p); /* what must not be missed */
        }
        if (i % 100 == 90) /* another optimizer turns weights */
            for (size_t n = 0; n < 5; n++) {
                memcpy(p.optimizer, second, sizeof second);
                update(&p);
                for (int side = 0; side < 2; side++)
                    p.optimizer[side] = p.net[side].optimizer;
            }
        if (i % 100 == 52 || i % 100 == 99)
            assert_same_network(&p.net[0], &p.net[1]);
    }
    for (size_t n = 0; n < 3; n++)
        assert_true(beyond[n] > 0);
    check_that_most_wait(&p);
    assert_same_network(&p.net[0], &p.net[1]);
    for (int side = 0; side < 2; side++) {
        bnnep_optimizer_free(second[side]);
        net_free(&p.net[side]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_ref)};
    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
