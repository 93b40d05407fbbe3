/* SPDX-License-Identifier: MIT */
/* A seed gives the same run whatever the number of threads, and networks with binary activations the same on every
 * backend; another seed gives another run. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { IMAGES = 300, VALUES = 77, BATCH = 53 };

static struct shape shape_of(int32_t dynamics, uint64_t seed) {
    return (struct shape){
        .dynamics = dynamics,
        .connections = 2,
        .units = {VALUES, 201, 30},
        .expand_output = 3,
        .free_steps = 20,
        .nudged_steps = 8,
        .max_batch = BATCH,
        .learn_alpha = true,
        .shuffle = true,
        .random_beta = true,
        .gamma = 0.05,
        .threshold = 0.002,
        .seed = seed,
    };
}

/* The same with a convolution in front. */
static struct shape convolutional(int32_t dynamics) {
    struct shape shape = shape_of(dynamics, 1);
    shape.height = 7;
    shape.width = 11;
    shape.units[1] = 9;
    return shape;
}

/* Two shuffled epochs. */
static struct net train(const struct shape *shape, const char *backend) {
    struct stream stream = {1};
    bnnep_dataset_options options = BNNEP_DATASET_OPTIONS_INIT;
    float *x = random_pixels(&stream, IMAGES, VALUES);
    int32_t *labels = random_labels(&stream, IMAGES, 10);
    bnnep_dataset *dataset;
    options.channels = VALUES;
    options.borrow = 1;
    assert_ok(bnnep_dataset_from_memory(NULL, &options, x, labels, IMAGES, &dataset));
    struct net net = net_make(shape, backend);
    for (int epoch = 0; epoch < 2; epoch++)
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, dataset, RUN(.batch_size = BATCH), NULL));
    bnnep_dataset_free(dataset);
    free(x);
    free(labels);
    return net;
}

static void threads(void **state) {
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        const int32_t dynamics = kind / 2 == 0 ? BNNEP_DYNAMICS_BINARY : BNNEP_DYNAMICS_REAL;
        struct shape shape = kind % 2 ? convolutional(dynamics) : shape_of(dynamics, 1);
        shape.grid_bits = kind / 2 == 2 ? 18 : 0;
        struct net one = train(&shape, "cpu/1"), two = train(&shape, "cpu/2");
        struct net five = train(&shape, "cpu/5");
        assert_same_network(&one, &two);
        assert_same_network(&one, &five);
        net_free(&one);
        net_free(&two);
        net_free(&five);
    }
}

/* One batch of 64 whose last inputs are black in 25 of them, on hidden units that all move: whether a contrast is dense
 * must be judged by what is there, not by what a thread worked on before. */
static struct net learn_dense(const char *backend) {
    enum { INPUTS = 137, HIDDEN = 201, SAMPLES = 64 };
    static const struct shape shape = {.connections = 2,
                                       .units = {INPUTS, HIDDEN, 10},
                                       .free_steps = 20,
                                       .nudged_steps = 5,
                                       .max_batch = SAMPLES,
                                       .gamma = 0.5,
                                       .threshold = 1.0};
    struct stream stream = {7};
    float *x = random_pixels(&stream, SAMPLES, INPUTS), bias[HIDDEN];
    int32_t *labels = random_labels(&stream, SAMPLES, 10);
    struct net net = net_make(&shape, backend);
    for (size_t n = 0; n < 25; n++)
        memset(x + (n + 1) * INPUTS - 9, 0, 9 * sizeof *x);
    for (size_t j = 0; j < HIDDEN; j++)
        bias[j] = 0.5f;
    const float alpha[] = {0.003f}, upper[] = {0.02f};
    assert_ok(bnnep_network_set_alpha(net.network, 0, alpha, 1));
    assert_ok(bnnep_network_set_alpha(net.network, 1, upper, 1));
    assert_ok(bnnep_network_set_bias(net.network, 0, bias, HIDDEN));
    assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, labels, SAMPLES, NULL, NULL));
    free(x);
    free(labels);
    return net;
}

static void dense_contrast(void **state) {
    (void)state;
    struct net one = learn_dense("cpu/1");
    for (int again = 0; again < 20; again++) {
        struct net four = learn_dense("cpu/4");
        assert_same_network(&one, &four);
        net_free(&four);
    }
    net_free(&one);
}

static void backends(void **state) {
    (void)state;
    const struct shape shapes[] = {shape_of(BNNEP_DYNAMICS_BINARY, 1), convolutional(BNNEP_DYNAMICS_BINARY)};
    for (int i = 0; i < 2; i++) {
        struct net ref = train(&shapes[i], "ref"), cpu = train(&shapes[i], "cpu");
        assert_same_network(&ref, &cpu);
        net_free(&ref);
        net_free(&cpu);
    }
}

static void seeds(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL, 1), other = shape_of(BNNEP_DYNAMICS_REAL, 2);
    struct net a = train(&shape, "cpu"), b = train(&shape, "cpu"), c = train(&other, "cpu");
    size_t count_a, count_c;
    assert_same_network(&a, &b);
    float *memory_a = net_memory(&a, &count_a), *memory_c = net_memory(&c, &count_c);
    assert_int_not_equal(first_difference(memory_a, memory_c, count_a, 0.0), count_a);
    free(memory_a);
    free(memory_c);
    net_free(&a);
    net_free(&b);
    net_free(&c);
}

/* The sign of beta is drawn anew for each batch, fairly, by the seed: of `count` batches, + where the output was drawn
 * to its target. */
static void draw_signs(char *signs, size_t count) {
    const struct shape shape = {.connections = 1,
                                .units = {3, 2},
                                .free_steps = 2,
                                .nudged_steps = 1,
                                .max_batch = 1,
                                .random_beta = true,
                                .gamma = 1e-30,
                                .threshold = 1.0};
    struct net net = net_make(&shape, "cpu");
    const float x[3] = {0.0f}, half[2] = {0.5f, 0.5f};
    for (size_t i = 0; i < count; i++) {
        float output[2];
        assert_ok(bnnep_network_set_bias(net.network, 0, half, 2));
        assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, (const int32_t[]){1}, 1, NULL, NULL));
        assert_ok(bnnep_workspace_get_state(bnnep_network_workspace(net.network), BNNEP_PHASE_NUDGED, 1, output, 2));
        signs[i] = output[1] > 0.5f ? '+' : '-';
    }
    net_free(&net);
}

static void signs_of_beta(void **state) {
    (void)state;
    char signs[100], again[100];
    int plus = 0, same = 0;
    draw_signs(signs, sizeof signs);
    draw_signs(again, sizeof again);
    assert_memory_equal(signs, again, sizeof signs);
    for (size_t i = 0; i < sizeof signs; i++) {
        plus += signs[i] == '+';
        same += i > 0 && signs[i] == signs[i - 1];
    }
    assert_true(plus > 30 && plus < 70 && same > 30 && same < 70); /* 4 sigma */
    assert_memory_equal(signs, "--++--+-", 8);                     /* a run of seed 0 is that of the last release */
}

/* Initial values follow the law of the paper's program. */
static void initial_values(void **state) {
    (void)state;
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    const bnnep_connection connections[] = {BNNEP_FC(400), BNNEP_FC(10)};
    bnnep_network *network;
    float bias[400], alpha;
    static int8_t signs[400 * 625];
    o.input_channels = 625;
    o.connections = connections;
    o.connection_count = 2;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    assert_ok(bnnep_network_get_alpha(network, 0, &alpha, 1));
    assert_true(alpha == 0.0200f || alpha == 0.0199f || alpha == 0.0201f); /* mean of U(0, 1/25), to 4 decimals */
    assert_ok(bnnep_network_get_bias(network, 0, bias, 400));
    double mean = 0.0, square = 0.0;
    for (int j = 0; j < 400; j++) {
        assert_true(bias[j] > -0.04f && bias[j] < 0.04f);
        mean += (double)bias[j] / 400;
        square += (double)(bias[j] * bias[j]) / 400;
    }
    assert_true(mean > -0.005 && mean < 0.005);
    assert_true(square > 0.0016 / 3 * 0.85 && square < 0.0016 / 3 * 1.15);
    assert_ok(bnnep_network_get_signs(network, 0, signs, sizeof signs));
    long sum = 0, neighbours = 0;
    for (size_t i = 0; i < sizeof signs; i++) {
        sum += signs[i];
        neighbours += i ? signs[i] * signs[i - 1] : 0;
    }
    assert_true(labs(sum) < 2000 && labs(neighbours) < 2000); /* 4 sigma of 250000 fair and independent signs */
    bnnep_network_free(network);
}

/* Threads go together through networks with binary activations whose weights no cache holds. */
static void together(void **state) {
    (void)state;
    enum { MOST_SAMPLES = 70 };
    static const char *const others[] = {"cpu/2", "cpu/3"};
    static const size_t batches[] = {1, 5, MOST_SAMPLES}; /* the last is more than two threads take at a time */
    const struct shape shape = {.dynamics = BNNEP_DYNAMICS_BINARY,
                                .connections = 3,
                                .units = {9, 1400, 1700, 10},
                                .free_steps = 7,
                                .nudged_steps = 3,
                                .max_batch = MOST_SAMPLES,
                                .gamma = 0.25,
                                .threshold = 0.01,
                                .seed = 4};
    struct net one = net_make(&shape, "cpu/1");
    for (size_t b = 0; b < sizeof others / sizeof others[0]; b++) {
        struct net other = net_make(&shape, others[b]);
        struct net *const nets[] = {&one, &other};
        bnnep_workspace *ws[2];
        struct stream stream = {5};
        for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
            const size_t count = batches[i], units = count * 1700;
            float *x = random_pixels(&stream, count, 9), target[MOST_SAMPLES * 10] = {0.0f};
            float *states = malloc(2 * units * sizeof *states);
            bnnep_relaxed done[2][2] = {{BNNEP_RELAXED_INIT, BNNEP_RELAXED_INIT},
                                        {BNNEP_RELAXED_INIT, BNNEP_RELAXED_INIT}};
            for (int side = 0; side < 2; side++) {
                ws[side] = bnnep_network_workspace(nets[side]->network);
                assert_ok(bnnep_workspace_stage(ws[side], x, target, count));
                assert_ok(phase_run(ws[side], BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 7, 0.0f, &done[side][0]));
                assert_ok(phase_run(ws[side], BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 3, 0.5f, &done[side][1]));
                assert_ok(
                    bnnep_workspace_get_state(ws[side], BNNEP_PHASE_NUDGED, 2, states + (size_t)side * units, units));
            }
            assert_memory_equal(states, states + units, units * sizeof *states);
            assert_memory_equal(done[0], done[1], sizeof done[0]);
            free(x);
            free(states);
        }
        net_free(&other);
    }
    net_free(&one);
}

/* Inputs of very different sizes, whose sums depend on the order even in double: a sample is the same whatever inputs
 * its neighbours have, and whichever are 0 in all of them. */
static void input_order(void **state) {
    (void)state;
    enum { INPUTS = 90, UNITS = 70, COUNT = 5 };
    const struct shape shape = {.dynamics = BNNEP_DYNAMICS_BINARY,
                                .connections = 2,
                                .units = {INPUTS, UNITS, 10},
                                .free_steps = 1,
                                .nudged_steps = 1,
                                .max_batch = COUNT,
                                .gamma = 0.25,
                                .threshold = 1.0,
                                .seed = 6};
    struct net net = net_make(&shape, "cpu");
    bnnep_workspace *ws = bnnep_network_workspace(net.network);
    struct stream stream = {7};
    float x[COUNT * INPUTS], together[COUNT * UNITS], alone[UNITS];
    for (size_t v = 0; v < COUNT * INPUTS; v++) {
        const bool dense = v >= INPUTS; /* the first sample has inputs that are 0, the others fill them */
        x[v] = dense || stream_next(&stream) % 2 ? stream_uniform(&stream) : 0.0f;
    }
    x[3] = x[70] = 1e16f;
    assert_ok(bnnep_workspace_stage(ws, x, NULL, COUNT));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, NULL));
    assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 1, together, COUNT * UNITS));
    assert_ok(bnnep_workspace_stage(ws, x, NULL, 1));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, NULL));
    assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 1, alone, UNITS));
    assert_memory_equal(together, alone, sizeof alone);
    net_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads),       cmocka_unit_test(together),
                                       cmocka_unit_test(input_order),   cmocka_unit_test(dense_contrast),
                                       cmocka_unit_test(backends),      cmocka_unit_test(seeds),
                                       cmocka_unit_test(signs_of_beta), cmocka_unit_test(initial_values)};
    return cmocka_run_group_tests_name("determinism", tests, NULL, NULL);
}
