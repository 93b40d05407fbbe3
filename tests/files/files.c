/* SPDX-License-Identifier: MIT */
#include "files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 40, BATCH = 8, LITTLE = 0, MOST_CONNECTIONS = 3 };
const char *const file_kinds[FILE_KINDS] = {"little", "big"};

/* --- runs -------------------------------------------------------------------------------------------------------- */

static bnnep_network *make_network(int kind, bnnep_context *context) {
    static const bnnep_connection connected[] = {BNNEP_FC(17), BNNEP_FC(6)},
                                  maps[] = {BNNEP_CONV(16, 5, 2, 2), BNNEP_CONV(24, 3, 1, 2), BNNEP_FC(40)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    o.connections = kind == LITTLE ? connected : maps;
    o.connection_count = kind == LITTLE ? 2 : 3;
    o.dynamics = kind == LITTLE ? BNNEP_DYNAMICS_REAL : BNNEP_DYNAMICS_BINARY;
    o.input_channels = kind == LITTLE ? 21 : 3;
    o.input_height = o.input_width = kind == LITTLE ? 1 : 12;
    o.classes = kind == LITTLE ? 3 : 10;
    o.expand_output = kind == LITTLE ? 2 : 4;
    o.theta = kind == LITTLE ? 0.0 : 0.375; /* little: the default */
    o.gamma_neur = kind == LITTLE ? 0.0 : 0.625;
    o.free_steps = 20;
    o.settle_tolerance = 1e-4;
    o.grid_bits = kind == LITTLE ? 8 : 0; /* so few that the sums of a contrast are exact too */
    o.max_batch = BATCH;
    o.seed = UINT64_C(0xfedcba9876543210);
    assert_ok(bnnep_network_create(context, &o, &network));
    return network;
}

static bnnep_optimizer *make_optimizer(int kind, bnnep_network *network) {
    static const double gamma[] = {0.01, 0.02, 0.03}, threshold[] = {1e-4, 2e-4, 3e-4}, rate[] = {0.01, 0.02, 0.03};
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_optimizer *optimizer;
    o.gamma = gamma;
    o.threshold = threshold;
    o.lr_bias = rate;
    o.lr_alpha = kind == LITTLE ? NULL : rate;
    o.beta = kind == LITTLE ? 0.5 : 1.0;
    o.nudged_steps = 7;
    o.nudge = kind == LITTLE ? BNNEP_NUDGE_FIXED : BNNEP_NUDGE_RANDOM_SIGN;
    o.keep_order = kind == LITTLE;
    o.seed = UINT64_C(0x123456789abcdef);
    assert_ok(bnnep_optimizer_create(network, &o, &optimizer));
    return optimizer;
}

static bnnep_dataset *make_data(int kind, bnnep_context *context) {
    struct stream stream = {7};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    o.channels = kind == LITTLE ? 21 : 3;
    o.height = o.width = kind == LITTLE ? 1 : 12;
    o.classes = kind == LITTLE ? 3 : 10;
    float *inputs = random_pixels(&stream, SAMPLES, o.channels * o.height * o.width);
    int32_t *labels = random_labels(&stream, SAMPLES, o.classes);
    assert_ok(bnnep_dataset_from_memory(context, &o, inputs, labels, SAMPLES, &data));
    free(inputs);
    free(labels);
    return data;
}

struct run run_make(int kind, const char *backend) {
    struct run run = {.context = context_on(backend)};
    assert_non_null(run.context);
    run.network = make_network(kind, run.context);
    run.optimizer = make_optimizer(kind, run.network);
    run.data = make_data(kind, run.context);
    return run;
}

void run_free(struct run *run) {
    bnnep_optimizer_free(run->optimizer);
    bnnep_network_free(run->network);
    bnnep_dataset_free(run->data);
    bnnep_context_free(run->context);
}

/* After three batches. */
static int32_t stop(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH && progress->batches_done == 3;
}

void run_begin(struct run *run) {
    static const double gamma[] = {0.015, 0.025, 0.035};
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    assert_ok(bnnep_optimizer_train_epoch(run->optimizer, run->data, NULL, NULL));
    assert_ok(bnnep_network_get_info(run->network, &info));
    assert_ok(bnnep_optimizer_set_rates(run->optimizer, BNNEP_RATE_GAMMA, gamma, info.connection_count));
    assert_ok(bnnep_network_set_relaxation(run->network, 15, 1e-5));
    assert_int_equal(bnnep_optimizer_train_epoch(run->optimizer, run->data, RUN(.progress = stop), NULL),
                     BNNEP_CANCELLED);
}

void run_go_on(struct run *run) {
    for (int epoch = 0; epoch < 2; epoch++)
        assert_ok(bnnep_optimizer_train_epoch(run->optimizer, run->data, NULL, NULL));
}

/* --- what is told ------------------------------------------------------------------------------------------------ */

/* CRC-32, bit by bit: it needs no zlib. */
static uint32_t add(uint32_t crc, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static size_t tell(char *text, size_t room, size_t at, const char *name, uint32_t digest) {
    return at + (size_t)snprintf(text + at, room - at, " %s=%08" PRIx32, name, digest);
}

static size_t tell_tensors(const bnnep_network *network, const bnnep_optimizer *optimizer, char *text, size_t room,
                           size_t at) {
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    uint32_t signs = 0, alpha = 0, bias = 0, momentum = 0;
    assert_ok(bnnep_network_get_info(network, &info));
    for (size_t k = 0; k < info.connection_count; k++) {
        bnnep_connection_info c = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &c));
        const size_t rows = (size_t)c.rows, weights = rows * (size_t)c.columns, scales = (size_t)c.scales;
        int8_t *bits = malloc(weights);
        float *values = malloc(weights * sizeof *values);
        assert_true(bits && values);
        assert_ok(bnnep_network_get_signs(network, k, bits, weights));
        signs = add(signs, bits, weights);
        assert_ok(bnnep_network_get_alpha(network, k, values, scales));
        alpha = add(alpha, values, scales * sizeof *values);
        assert_ok(bnnep_network_get_bias(network, k, values, rows));
        bias = add(bias, values, rows * sizeof *values);
        if (optimizer) {
            assert_ok(bnnep_optimizer_get_momentum(optimizer, k, values, weights));
            momentum = add(momentum, values, weights * sizeof *values);
        }
        free(bits);
        free(values);
    }
    at = tell(text, room, at, "signs", signs);
    at = tell(text, room, at, "alpha", alpha);
    at = tell(text, room, at, "bias", bias);
    return optimizer ? tell(text, room, at, "momentum", momentum) : at;
}

void run_tell(const struct run *run, char *text, size_t room) {
    bnnep_network_info network = BNNEP_NETWORK_INFO_INIT;
    bnnep_optimizer_info optimizer = BNNEP_OPTIMIZER_INFO_INIT;
    double rates[BNNEP_RATE_BETA + 1][MOST_CONNECTIONS] = {{0.0}};
    assert_ok(bnnep_network_get_info(run->network, &network));
    assert_ok(bnnep_optimizer_get_info(run->optimizer, &optimizer));
    for (int32_t which = 0; which <= BNNEP_RATE_BETA; which++)
        if (which != BNNEP_RATE_ALPHA || optimizer.learns_alpha)
            assert_ok(bnnep_optimizer_get_rates(run->optimizer, which, rates[which],
                                                which == BNNEP_RATE_BETA ? 1 : network.connection_count));
    size_t at = (size_t)snprintf(text, room, "batches=%" PRIu64 " epochs=%" PRIu64 " free_steps=%d tolerance=%g",
                                 optimizer.batches, optimizer.epochs, network.free_steps, network.settle_tolerance);
    at = tell(text, room, at, "rates", add(0, rates, sizeof rates));
    tell_tensors(run->network, run->optimizer, text, room, at);
}

void network_tell(const bnnep_network *network, char *text, size_t room) {
    enum { INPUTS = 5 };
    struct stream stream = {9};
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    assert_ok(bnnep_network_get_info(network, &info));
    float *inputs = random_pixels(&stream, INPUTS, (int32_t)info.inputs);
    float *scores = calloc(INPUTS * (size_t)info.classes, sizeof *scores);
    assert_non_null(scores);
    assert_ok(bnnep_network_predict(network, inputs, INPUTS, NULL, scores, NULL));
    size_t at = (size_t)snprintf(
        text, room, "dynamics=%d input=%dx%dx%d classes=%dx%d weights=%" PRIu64 " grid=%d theta=%g leak=%g steps=%d",
        info.dynamics, info.input_channels, info.input_height, info.input_width, info.classes, info.expand_output,
        info.weights, info.grid_bits, info.theta, info.gamma_neur, info.free_steps);
    at = tell_tensors(network, NULL, text, room, at);
    tell(text, room, at, "scores", add(0, scores, INPUTS * (size_t)info.classes * sizeof *scores));
    free(inputs);
    free(scores);
}
