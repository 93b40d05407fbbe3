/* SPDX-License-Identifier: MIT */
/* What a report tells of each connection: on every backend the share of momenta near their threshold and the size of
 * the contrast, worked out from what the optimizer shows; asking changes no bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SAMPLES = 20, BATCHES = 3, LAYERS = 2 };

static struct shape shape_of(int32_t dynamics) {
    return (struct shape){
        .dynamics = dynamics,
        .connections = LAYERS,
        .units = {37, 29, 5},
        .free_steps = 12,
        .nudged_steps = 6,
        .max_batch = SAMPLES,
        .beta = dynamics == BNNEP_DYNAMICS_BINARY ? 4.0 : 0.7,
        .gamma = 0.25,
        .threshold = 0.01,
        .seed = 4,
    };
}

static size_t weights_of(const struct net *net, size_t k) {
    return (size_t)net->shape->units[k] * (size_t)net->shape->units[k + 1];
}

static double edge_of(const struct net *net, size_t k) {
    const size_t weights = weights_of(net, k);
    float *m = malloc(weights * sizeof *m);
    size_t beyond = 0;
    assert_ok(bnnep_optimizer_get_momentum(net->optimizer, k, m, weights));
    for (size_t i = 0; i < weights; i++)
        beyond += fabsf(m[i]) > 0.5f * (float)net->shape->threshold;
    free(m);
    return (double)beyond / (double)weights;
}

static double contrast_of(const struct net *net, size_t k) {
    const size_t weights = weights_of(net, k);
    float *g = malloc(weights * sizeof *g);
    double sum = 0.0;
    assert_ok(bnnep_optimizer_get_contrast(net->optimizer, k, BNNEP_CONTRAST_WEIGHTS, g, weights));
    for (size_t i = 0; i < weights; i++)
        sum += (double)g[i] * (double)g[i];
    free(g);
    return sqrt(sum / (double)weights);
}

static void of_an_update(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++)
        for (int32_t dynamics = BNNEP_DYNAMICS_REAL; dynamics <= BNNEP_DYNAMICS_BINARY; dynamics++) {
            const struct shape shape = shape_of(dynamics);
            struct net net = net_make(&shape, backends[b]);
            struct stream stream = {7};
            bnnep_workspace *ws = bnnep_network_workspace(net.network);
            float *x = random_pixels(&stream, SAMPLES, 37), *targets = random_pixels(&stream, SAMPLES, 5);
            double edges[LAYERS], contrasts[LAYERS], wanted[LAYERS], seen = 0.0;
            assert_ok(bnnep_workspace_stage(ws, x, targets, SAMPLES));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 12, 0.0, NULL));
            assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 6, shape.beta, NULL));
            assert_ok(bnnep_optimizer_contrast(net.optimizer, ws, NULL));
            for (size_t k = 0; k < LAYERS; k++)
                wanted[k] = contrast_of(&net, k);
            bnnep_report report = BNNEP_REPORT_INIT;
            report.edges = edges;
            report.contrasts = contrasts;
            report.flips_count = LAYERS;
            assert_ok(bnnep_optimizer_update(net.optimizer, &report));
            for (size_t k = 0; k < LAYERS; k++) {
                assert_true(wanted[k] > 0.0 && fabs(contrasts[k] / wanted[k] - 1.0) < 1e-5);
                assert_true(edges[k] == edge_of(&net, k));
                seen += edges[k];
            }
            assert_true(seen > 0.0 && seen < LAYERS);
            free(x);
            free(targets);
            net_free(&net);
        }
}

/* Of an epoch the last batch's contrast: that of the same batch alone, after the same ones before. */
static void of_an_epoch(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL);
    struct net nets[3];
    struct stream stream = {9};
    float *x = random_pixels(&stream, SAMPLES * BATCHES, 37);
    int32_t *labels = random_labels(&stream, SAMPLES * BATCHES, 5);
    double edges[2][LAYERS], contrasts[2][LAYERS];
    bnnep_report report = BNNEP_REPORT_INIT;
    for (int i = 0; i < 3; i++)
        nets[i] = net_make(&shape, "cpu");
    report.flips_count = LAYERS;
    for (int n = 0; n < BATCHES; n++) {
        report.edges = edges[0];
        report.contrasts = contrasts[0];
        assert_ok(bnnep_optimizer_train_batch(nets[0].optimizer, x + n * SAMPLES * 37, labels + n * SAMPLES, SAMPLES,
                                              NULL, &report));
    }
    bnnep_dataset_options d = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    d.channels = 37;
    d.classes = 5;
    assert_ok(bnnep_dataset_from_memory(NULL, &d, x, labels, SAMPLES * BATCHES, &data));
    report.edges = edges[1];
    report.contrasts = contrasts[1];
    assert_ok(bnnep_optimizer_train_epoch(nets[1].optimizer, data, NULL, &report));
    assert_ok(bnnep_optimizer_train_epoch(nets[2].optimizer, data, NULL, NULL));
    assert_memory_equal(edges[0], edges[1], sizeof edges[0]);
    assert_memory_equal(contrasts[0], contrasts[1], sizeof contrasts[0]);
    assert_same_network(&nets[1], &nets[2]);
    bnnep_dataset_free(data);
    for (int i = 0; i < 3; i++)
        net_free(&nets[i]);
    free(x);
    free(labels);
}

static void room(void **state) {
    (void)state;
    const struct shape shape = shape_of(BNNEP_DYNAMICS_REAL);
    struct net net = net_make(&shape, "cpu");
    const float x[37] = {0.5f};
    const int32_t label = 1;
    double one[1];
    bnnep_report report = BNNEP_REPORT_INIT;
    report.edges = one;
    report.flips_count = 1;
    assert_refused(bnnep_optimizer_train_batch(net.optimizer, x, &label, 1, NULL, &report), BNNEP_ERROR_ARGUMENT,
                   "room for 1 connections");
    assert_refused(bnnep_optimizer_update(net.optimizer, &report), BNNEP_ERROR_ARGUMENT, "room for 1 connections");
    net_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_update),
        cmocka_unit_test(of_an_epoch),
        cmocka_unit_test(room),
    };
    return cmocka_run_group_tests_name("diagnosis", tests, NULL, NULL);
}
