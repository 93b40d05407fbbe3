/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer: an allocation that is too large fails, as it does without. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

void assert_ok_at(bnnep_status status, const char *what, const char *file, int line) {
    if (status == BNNEP_OK)
        return;
    print_error("%s\n  %s: %s\n", what, bnnep_status_name(status), bnnep_last_error());
    _fail(file, line);
}

void assert_refused_at(bnnep_status got, bnnep_status wanted, const char *text, const char *what, const char *file,
                       int line) {
    if (got == wanted && strstr(bnnep_last_error(), text))
        return;
    print_error("%s\n  returned %s, '%s'\n  expected %s, '...%s...'\n", what, bnnep_status_name(got),
                got == BNNEP_OK ? "" : bnnep_last_error(), bnnep_status_name(wanted), text);
    _fail(file, line);
}

/* splitmix64 */
uint32_t stream_next(struct stream *stream) {
    uint64_t z = stream->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(z >> 32);
}

int32_t stream_between(struct stream *stream, int32_t low, int32_t high) {
    return low + (int32_t)(stream_next(stream) % (uint32_t)(high - low + 1));
}

float stream_uniform(struct stream *stream) {
    return (float)(stream_next(stream) >> 8) * 0x1p-24f;
}

static bnnep_status make_context(const char *where, bnnep_context **out) {
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    char backend[64];
    snprintf(backend, sizeof backend, "%s", where);
    char *const threads = strchr(backend, '/');
    if (threads) {
        o.threads = (int32_t)strtol(threads + 1, NULL, 10);
        *threads = '\0';
    }
    o.backend = backend;
    return bnnep_context_create(&o, out);
}

bnnep_context *context_on(const char *where) {
    bnnep_context *context;
    assert_ok(make_context(where, &context));
    return context;
}

bnnep_status network_on(const char *where, const bnnep_network_options *options, bnnep_network **out) {
    bnnep_context *context;
    bnnep_status status = make_context(where, &context);
    *out = NULL;
    if (status == BNNEP_OK)
        status = bnnep_network_create(context, options, out);
    bnnep_context_free(context); /* the network keeps it */
    return status;
}

/* Connections: MOST_LAYERS of them, which must outlast the options. */
static bnnep_network_options network_options(const struct shape *shape, bnnep_connection *connections) {
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    for (size_t k = 0; k < shape->connections; k++)
        connections[k] = (bnnep_connection)BNNEP_FC(shape->units[k + 1]);
    o.dynamics = shape->dynamics;
    o.input_channels = shape->units[0];
    if (shape->height) {
        o.input_channels = 1;
        o.input_height = shape->height;
        o.input_width = shape->width;
        connections[0] = (bnnep_connection)BNNEP_CONV(shape->units[1], 3, 1, 2);
    }
    o.expand_output = shape->expand_output;
    o.classes = shape->units[shape->connections] / (shape->expand_output ? shape->expand_output : 1);
    o.connections = connections;
    o.connection_count = shape->connections;
    o.free_steps = shape->free_steps;
    o.settle_tolerance = shape->settle_tolerance;
    o.max_batch = shape->max_batch;
    o.grid_bits = shape->grid_bits;
    o.schedule = shape->schedule;
    o.feedback = shape->feedback;
    o.seed = shape->seed;
    return o;
}

static void set_biases(const struct shape *shape, bnnep_network *network) {
    struct stream stream = {shape->seed + 77};
    for (size_t k = 0; k < shape->connections; k++) {
        const size_t rows = (size_t)shape->units[k + 1];
        float *bias = malloc(rows * sizeof *bias);
        assert_non_null(bias);
        for (size_t j = 0; j < rows; j++)
            bias[j] = stream_uniform(&stream) - 0.3f;
        assert_ok(bnnep_network_set_bias(network, k, bias, rows));
        free(bias);
    }
}

struct net net_make(const struct shape *shape, const char *where) {
    bnnep_connection connections[MOST_LAYERS];
    double gamma[MOST_LAYERS], threshold[MOST_LAYERS], rate[MOST_LAYERS], lr_alpha[MOST_LAYERS];
    struct net net = {.shape = shape};
    const bnnep_network_options o = network_options(shape, connections);
    assert_ok(network_on(where, &o, &net.network));
    set_biases(shape, net.network);
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    for (size_t k = 0; k < shape->connections; k++) {
        gamma[k] = shape->gamma;
        threshold[k] = shape->threshold;
        rate[k] = 0.01 / (double)(k + 1);
        lr_alpha[k] = shape->lr_alpha > 0.0 ? shape->lr_alpha : rate[k];
    }
    p.nudged_steps = shape->nudged_steps;
    p.beta = shape->beta != 0.0 ? shape->beta : 0.5;
    p.gamma = gamma;
    p.threshold = threshold;
    p.lr_bias = rate;
    p.lr_alpha = shape->learn_alpha ? lr_alpha : NULL;
    p.nudge = shape->centred ? BNNEP_NUDGE_CENTRED : shape->random_beta ? BNNEP_NUDGE_RANDOM_SIGN : BNNEP_NUDGE_FIXED;
    p.threshold_kind = p.rate_kind = shape->deviations ? BNNEP_UNIT_DEVIATIONS : BNNEP_UNIT_ABSOLUTE;
    p.covariance = shape->covariance;
    p.consolidation = shape->consolidation;
    p.keep_order = !shape->shuffle;
    p.seed = shape->seed;
    assert_ok(bnnep_optimizer_create(net.network, &p, &net.optimizer));
    return net;
}

size_t net_checkpoint(const struct net *net, uint8_t *bytes, size_t room) {
    uint64_t count;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.bytes = bytes;
    sink.room = room;
    sink.count = &count;
    assert_ok(bnnep_checkpoint_write(net->optimizer, &sink, NULL));
    return (size_t)count;
}

void net_free(struct net *net) {
    bnnep_optimizer_free(net->optimizer);
    bnnep_network_free(net->network);
}

float *net_memory(const struct net *net, size_t *count) {
    bnnep_connection_info info[MOST_LAYERS];
    *count = 0;
    for (size_t k = 0; k < net->shape->connections; k++) {
        info[k] = (bnnep_connection_info)BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(net->network, k, &info[k]));
        *count += (size_t)(info[k].rows * (2 * info[k].columns + 1) + info[k].scales);
    }
    float *memory = malloc((*count + 1) * sizeof *memory), *to = memory;
    assert_non_null(memory);
    for (size_t k = 0; k < net->shape->connections; k++) {
        const size_t rows = (size_t)info[k].rows, weights = rows * (size_t)info[k].columns;
        const size_t scales = (size_t)info[k].scales;
        int8_t *signs = malloc(weights);
        assert_non_null(signs);
        assert_ok(bnnep_network_get_signs(net->network, k, signs, weights));
        for (size_t i = 0; i < weights; i++)
            *to++ = signs[i];
        free(signs);
        assert_ok(bnnep_optimizer_get_momentum(net->optimizer, k, to, weights));
        to += weights;
        assert_ok(bnnep_network_get_bias(net->network, k, to, rows));
        to += rows;
        assert_ok(bnnep_network_get_alpha(net->network, k, to, scales));
        to += scales;
    }
    return memory;
}

void assert_same_network_at(const struct net *a, const struct net *b, const char *file, int line) {
    size_t count_a, count_b;
    float *memory_a = net_memory(a, &count_a), *memory_b = net_memory(b, &count_b);
    const size_t at = count_a == count_b ? first_difference(memory_a, memory_b, count_a, 0.0) : 0;
    const bool same = count_a == count_b && memcmp(memory_a, memory_b, count_a * sizeof *memory_a) == 0;
    if (!same)
        print_error("networks differ from element %zu of %zu on\n", at, count_a);
    free(memory_a);
    free(memory_b);
    if (!same)
        _fail(file, line);
}

size_t available_backends(const char *names[MOST_BACKENDS]) {
    static char kept[MOST_BACKENDS][32]; /* the context's names go with it */
    const char *only = getenv("BNNEP_TEST_BACKEND");
    bnnep_context *context;
    size_t count = 0;
    assert_ok(bnnep_context_create(NULL, &context));
    for (size_t b = 0; b < bnnep_backend_count(context); b++) {
        bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
        assert_ok(bnnep_backend_get(context, b, &info));
        if (!info.available || (only && strcmp(info.name, only) != 0))
            continue;
        assert_true(count < MOST_BACKENDS);
        snprintf(kept[count], sizeof kept[0], "%s", info.name);
        names[count] = kept[count];
        count++;
    }
    bnnep_context_free(context);
    assert_true(count > 0);
    return count;
}

bnnep_status phase_run(bnnep_workspace *workspace, int32_t from, int32_t to, int32_t steps, double beta,
                       bnnep_relaxed *done) {
    bnnep_relaxation relaxation = BNNEP_RELAXATION_INIT;
    relaxation.from = from;
    relaxation.to = to;
    relaxation.steps = steps;
    relaxation.beta = beta;
    return bnnep_workspace_relax(workspace, &relaxation, done);
}

bnnep_status phase_learn(bnnep_optimizer *optimizer, bnnep_workspace *workspace, double divisor, uint64_t *flips) {
    bnnep_contrast_options how = BNNEP_CONTRAST_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    how.divisor = divisor;
    report.flips = flips;
    report.flips_count = flips ? MOST_LAYERS : 0;
    const bnnep_status status = bnnep_optimizer_contrast(optimizer, workspace, &how);
    return status == BNNEP_OK ? bnnep_optimizer_update(optimizer, &report) : status;
}

float *random_pixels(struct stream *stream, size_t samples, int32_t values) {
    float *pixels = malloc(samples * (size_t)values * sizeof *pixels);
    assert_non_null(pixels);
    for (size_t i = 0; i < samples * (size_t)values; i++)
        pixels[i] = stream_next(stream) % 4 ? 0.0f : (float)(stream_next(stream) % 256) / 255.0f;
    return pixels;
}

int32_t *random_labels(struct stream *stream, size_t samples, int32_t classes) {
    int32_t *labels = malloc(samples * sizeof *labels);
    assert_non_null(labels);
    for (size_t n = 0; n < samples; n++)
        labels[n] = stream_between(stream, 0, classes - 1);
    return labels;
}

size_t first_difference(const float *a, const float *b, size_t count, double tolerance) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
            return i;
    return count;
}
