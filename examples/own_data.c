/* SPDX-License-Identifier: MIT */
/*
 * Data of one's own, in memory: scaled, a part held back to choose the best network by, which two threads then predict
 * with. What is learnt here are three kinds of irises that nobody measured: points about three centres, in units that
 * have nothing in common.
 *
 *     cc own_data.c $(pkg-config --cflags --libs bnnep) -lm -pthread -o own_data
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <bnnep/bnnep.h>

enum {
    FEATURES = 4,
    CLASSES = 3,
    TRAIN = 300,
    HELD_BACK = 60,
    TEST = 120,
    ALL = TRAIN + HELD_BACK + TEST,
    EPOCHS = 60
};

static void check(bnnep_status status) {
    if (status == BNNEP_OK)
        return;
    fprintf(stderr, "own_data: %s\n", bnnep_last_error());
    exit(1);
}

/* --- the data ----------------------------------------------------------------------------------------------------- */

static float inputs[ALL][FEATURES];
static int32_t labels[ALL];

/* Numbers from -1 to 1 whose mean is 0, more of them in the middle. */
static float noise(uint32_t *seed) {
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        sum += (float)(*seed >> 8) / (float)(1 << 24) - 0.5f;
    }
    return 0.5f * sum;
}

static void measure(void) {
    static const float centre[CLASSES][FEATURES] = {
        {5.0f, 34.0f, 0.0015f, 900.0f}, {5.9f, 28.0f, 0.0043f, 1000.0f}, {6.6f, 30.0f, 0.0056f, 1100.0f}};
    static const float spread[FEATURES] = {1.5f, 9.0f, 0.0012f, 200.0f};
    uint32_t seed = 1;
    for (int n = 0; n < ALL; n++) {
        labels[n] = n % CLASSES;
        for (int f = 0; f < FEATURES; f++)
            inputs[n][f] = centre[labels[n]][f] + spread[f] * noise(&seed);
    }
}

/* Networks learn from inputs of about 0 with a deviation of 1, or from 0 to 1. The scale is that of the training set: a
 * program that predicts later has to keep it beside the network. */
static void scale(void) {
    for (int f = 0; f < FEATURES; f++) {
        double mean = 0.0, square = 0.0;
        for (int n = 0; n < TRAIN; n++)
            mean += (double)inputs[n][f] / TRAIN;
        for (int n = 0; n < TRAIN; n++)
            square += ((double)inputs[n][f] - mean) * ((double)inputs[n][f] - mean) / TRAIN;
        for (int n = 0; n < ALL; n++)
            inputs[n][f] = (float)(((double)inputs[n][f] - mean) / sqrt(square));
    }
}

/* Some of the samples, where they lie: the arrays must outlive the data set. */
static bnnep_dataset *part(int first, int count) {
    const bnnep_dataset_options options = {
        .size = sizeof options, .channels = FEATURES, .classes = CLASSES, .borrow = 1};
    bnnep_dataset *data;
    check(bnnep_dataset_from_memory(NULL, &options, inputs[first], labels + first, (uint64_t)count, &data));
    return data;
}

/* --- training ----------------------------------------------------------------------------------------------------- */

/* The network that erred least on what was held back. */
static bnnep_network *train(const bnnep_dataset *data, const bnnep_dataset *held_back) {
    const bnnep_connection connections[] = {BNNEP_FC(64), BNNEP_FC(CLASSES)};
    const bnnep_network_options options = {.size = sizeof options,
                                           .input_channels = FEATURES,
                                           .classes = CLASSES,
                                           .connections = connections,
                                           .connection_count = 2,
                                           .start = BNNEP_START_BALANCED,
                                           .max_batch = 16};
    bnnep_network *network, *best = NULL;
    bnnep_optimizer *optimizer;
    uint64_t fewest = UINT64_MAX;
    check(bnnep_network_create(NULL, &options, &network));
    check(bnnep_optimizer_create(network, NULL, &optimizer)); /* the default rule */
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        bnnep_report learnt = BNNEP_REPORT_INIT, judged = BNNEP_REPORT_INIT;
        check(bnnep_optimizer_train_epoch(optimizer, data, NULL, &learnt));
        check(bnnep_network_evaluate(network, held_back, NULL, &judged));
        if (judged.errors >= fewest)
            continue;
        fewest = judged.errors;
        bnnep_network_free(best);
        check(bnnep_network_clone(network, NULL, &best));
        printf("epoch %d: %d of %d wrong in training, %d of %d of what was held back\n", epoch, (int)learnt.errors,
               (int)learnt.samples, (int)judged.errors, (int)judged.samples);
    }
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return best;
}

/* --- prediction --------------------------------------------------------------------------------------------------- */

/* A thread's share of the test set. */
struct job {
    const bnnep_network *network;
    int first, count, wrong;
};

/* Threads share a network that nobody trains; each has a workspace of its own. */
static void *predict(void *argument) {
    struct job *job = argument;
    const bnnep_workspace_options options = {.size = sizeof options, .threads = 1};
    bnnep_workspace *workspace;
    int32_t classes[TEST];
    check(bnnep_workspace_create(job->network, &options, &workspace));
    const bnnep_run_options run = {.size = sizeof run, .workspace = workspace};
    check(bnnep_network_predict(job->network, inputs[job->first], (uint64_t)job->count, &run, NULL, classes));
    for (int n = 0; n < job->count; n++)
        job->wrong += classes[n] != labels[job->first + n];
    bnnep_workspace_free(workspace);
    return NULL;
}

int main(void) {
    measure();
    scale();
    bnnep_dataset *data = part(0, TRAIN), *held_back = part(TRAIN, HELD_BACK);
    bnnep_network *network = train(data, held_back);
    struct job jobs[2] = {{network, TRAIN + HELD_BACK, TEST / 2, 0}, {network, ALL - TEST / 2, TEST / 2, 0}};
    pthread_t thread;
    if (pthread_create(&thread, NULL, predict, &jobs[1]) != 0)
        return 1;
    predict(&jobs[0]);
    pthread_join(thread, NULL);
    printf("test error: %.1f %%\n", 100.0 * (jobs[0].wrong + jobs[1].wrong) / TEST);
    bnnep_network_free(network);
    bnnep_dataset_free(held_back);
    bnnep_dataset_free(data);
    return 0;
}
