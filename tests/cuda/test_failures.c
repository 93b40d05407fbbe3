/* SPDX-License-Identifier: MIT */
/* Every call of CUDA that can fail does so once, on the emulated device: the library says what, in CUDA's words, and
 * leaks nothing (LeakSanitizer sees it); a batch that could not be relaxed can be staged and relaxed again, and learns
 * what it would have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 5, VALUES = 36, OUTPUTS = 4, MOST_CALLS = 2000 };

static const struct shape shapes[] = {
    {.dynamics = BNNEP_DYNAMICS_REAL, .connections = 2, .units = {VALUES, 9, OUTPUTS}, .settle_tolerance = 1e-6f},
    {.dynamics = BNNEP_DYNAMICS_BINARY, .connections = 2, .units = {VALUES, 3, OUTPUTS}, .height = 6},
};

static void let_fail(int call) {
    char text[16];
    snprintf(text, sizeof text, "%d", call);
    if (call > 0)
        setenv("BNNEP_EMULATION_FAIL", text, 1);
    else
        unsetenv("BNNEP_EMULATION_FAIL");
}

static bnnep_status make(struct net *net) {
    static const double gamma[] = {0.5, 0.5}, threshold[] = {0.001, 0.001}, rate[] = {0.01, 0.01};
    const bnnep_connection connections[] = {net->shape->height ? (bnnep_connection)BNNEP_CONV(3, 3, 1, 2)
                                                               : (bnnep_connection)BNNEP_FC(9),
                                            BNNEP_FC(OUTPUTS)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    o.dynamics = net->shape->dynamics;
    o.input_channels = net->shape->height ? 1 : VALUES;
    o.input_height = o.input_width = net->shape->height ? net->shape->height : 1;
    o.classes = OUTPUTS;
    o.connections = connections;
    o.connection_count = 2;
    o.free_steps = 6;
    o.settle_tolerance = net->shape->settle_tolerance;
    o.max_batch = SAMPLES;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = p.lr_alpha = rate;
    const bnnep_status status = network_on("cuda", &o, &net->network);
    return status == BNNEP_OK ? bnnep_optimizer_create(net->network, &p, &net->optimizer) : status;
}

/* The phases of a batch, whose input is gone when they end. */
static bnnep_status relax(const struct net *net) {
    bnnep_workspace *ws = bnnep_network_workspace(net->network);
    struct stream stream = {3};
    float *x = random_pixels(&stream, SAMPLES, VALUES), *target = random_pixels(&stream, SAMPLES, OUTPUTS);
    bnnep_status status = bnnep_workspace_stage(ws, x, target, SAMPLES);
    free(x);
    free(target);
    if (status == BNNEP_OK)
        status = phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 6, 0.0f, NULL);
    if (status == BNNEP_OK)
        status = phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, 0.5f, NULL);
    return status;
}

static bool says_what(void) {
    static const char *const words[] = {"out of memory", "unspecified launch failure", "the resource allocation failed",
                                        "the GPU program failed to execute"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(bnnep_last_error(), words[i]))
            return true;
    return false;
}

static void learn(const struct net *net) {
    assert_ok(phase_learn(net->optimizer, bnnep_network_workspace(net->network), 0.0, NULL));
}

/* One life of a network in which a call fails; false if there were not so many. */
static bool survive(const struct net *wanted, int call) {
    struct net net = {.shape = wanted->shape};
    bnnep_status status;
    let_fail(call);
    status = make(&net);
    const bool made = status == BNNEP_OK;
    if (made)
        status = relax(&net);
    const bool relaxed = status == BNNEP_OK;
    if (relaxed)
        status = phase_learn(net.optimizer, bnnep_network_workspace(net.network), 0.0, NULL);
    let_fail(0);
    if (status != BNNEP_OK && !says_what())
        fail_msg("call %d: '%s'", call, bnnep_last_error());
    if (made && !relaxed) {
        assert_ok(relax(&net));
        learn(&net);
    }
    if (made && !(relaxed && status != BNNEP_OK))
        assert_same_network(&net, wanted);
    net_free(&net);
    return status != BNNEP_OK;
}

static void failures(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct net wanted = {.shape = &shapes[i]};
        int call = 1;
        assert_ok(make(&wanted));
        assert_ok(relax(&wanted));
        learn(&wanted);
        while (call < MOST_CALLS && survive(&wanted, call))
            call++;
        assert_true(call > 100 && call < MOST_CALLS);
        net_free(&wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(failures)};
    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
