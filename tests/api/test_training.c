/* SPDX-License-Identifier: MIT */
/* Training as a whole, on the sample of MNIST: an epoch is its batches, reports add up, progress can cancel between
 * batches and inside a phase, readouts agree, the data come in the right order, and the
 * network learns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { COUNT = 200, VALUES = 784, BATCH = 48, BATCHES = 5 };

static const struct shape shape = {
    .connections = 2,
    .units = {VALUES, 64, 20},
    .expand_output = 2,
    .free_steps = 20,
    .nudged_steps = 5,
    .max_batch = BATCH,
    .beta = 0.3f,
    .gamma = 0.001,
    .threshold = 2e-5,
    .seed = 1,
};

static bnnep_dataset *sample(int32_t part, uint64_t count) {
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_dataset *whole, *some;
    o.part = part;
    o.classes = 10;
    assert_ok(bnnep_dataset_open(NULL, BNNEP_SAMPLE, &o, &whole));
    assert_ok(bnnep_dataset_subset(whole, 0, count, &some));
    bnnep_dataset_free(whole);
    return some;
}

static void assert_position(const bnnep_optimizer *optimizer, uint64_t batches, uint64_t epochs) {
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    assert_ok(bnnep_optimizer_get_info(optimizer, &info));
    assert_int_equal(info.batches, batches);
    assert_int_equal(info.epochs, epochs);
}

/* An epoch equals its batches, done one by one in the same order, and so do the reports. */
static void epoch_is_batches(void **state) {
    (void)state;
    static float x[BATCH * VALUES];
    int32_t y[BATCH];
    bnnep_dataset *data = sample(BNNEP_PART_TRAINING, COUNT);
    struct net a = net_make(&shape, "cpu"), b = net_make(&shape, "cpu");
    uint64_t flips[2], sum_of_flips[2] = {0, 0}, part_flips[2], errors = 0, single = 0;
    double loss = 0.0, steps = 0.0;
    bnnep_report whole = BNNEP_REPORT_INIT, part = BNNEP_REPORT_INIT;
    whole.flips = flips;
    part.flips = part_flips;
    whole.flips_count = part.flips_count = 2;
    assert_ok(bnnep_optimizer_train_epoch(a.optimizer, data, RUN(.batch_size = BATCH), &whole));
    for (uint64_t first = 0; first < COUNT; first += BATCH) {
        const size_t count = COUNT - first < BATCH ? (size_t)(COUNT - first) : BATCH;
        assert_ok(bnnep_dataset_read(data, first, count, x, y));
        assert_ok(bnnep_optimizer_train_batch(b.optimizer, x, y, count, NULL, &part));
        assert_int_equal(part.samples, count);
        loss += part.loss * (double)count;
        steps += part.steps_free * (double)count;
        errors += part.errors;
        single += part.errors_single;
        for (int k = 0; k < 2; k++)
            sum_of_flips[k] += part_flips[k];
    }
    assert_same_network(&a, &b);
    assert_int_equal(whole.samples, COUNT);
    assert_int_equal(whole.batches, BATCHES);
    assert_int_equal(whole.errors, errors);
    assert_int_equal(whole.errors_single, single);
    assert_true(fabs(whole.loss - loss / COUNT) < 1e-9 && whole.loss > 0.0);
    assert_true(fabs(whole.steps_free - steps / COUNT) < 1e-9);
    assert_memory_equal(flips, sum_of_flips, sizeof flips);
    assert_true(flips[0] > 0 && flips[1] > 0);
    assert_position(a.optimizer, BATCHES, 1);
    bnnep_dataset_free(data);
    net_free(&a);
    net_free(&b);
}

struct stop {
    int32_t event;
    uint64_t after; /* batches */
    uint64_t steps; /* steps seen since */
};

static int32_t stop(void *user, const bnnep_progress *progress) {
    struct stop *when = user;
    assert_int_equal(progress->batches_total, BATCHES);
    assert_int_equal(progress->so_far->samples, progress->samples_done);
    if (progress->batches_done < when->after)
        return 0;
    if (progress->event == BNNEP_EVENT_STEP && when->event == BNNEP_EVENT_STEP)
        return ++when->steps > 9;
    return progress->event == when->event;
}

static int32_t count_batches(void *user, const bnnep_progress *progress) {
    uint64_t *seen = user;
    if (progress->event != BNNEP_EVENT_BATCH)
        return 0;
    assert_int_equal(progress->batches_done, ++seen[0]);
    seen[1] = progress->batches_total;
    return 0;
}

/* The last batch of an evaluation, or of an epoch, may be a smaller one, and counts. */
static void counted_batches(void **state) {
    (void)state;
    for (uint64_t count = 1; count < 9; count++) {
        struct net net = net_make(&shape, "ref");
        bnnep_dataset *data = sample(BNNEP_PART_TRAINING, count);
        uint64_t seen[2] = {0};
        assert_ok(bnnep_network_evaluate(net.network, data,
                                         RUN(.batch_size = 3, .progress = count_batches, .user = seen), NULL));
        assert_int_equal(seen[0], (count + 2) / 3);
        assert_int_equal(seen[1], (count + 2) / 3);
        seen[0] = 0;
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data,
                                              RUN(.batch_size = 3, .progress = count_batches, .user = seen), NULL));
        assert_int_equal(seen[0], (count + 2) / 3);
        assert_int_equal(seen[1], (count + 2) / 3);
        bnnep_dataset_free(data);
        net_free(&net);
    }
}

/* Cancelled runs have done whole batches and nothing else, wherever they were stopped. */
static void cancel(void **state) {
    (void)state;
    bnnep_dataset *data = sample(BNNEP_PART_TRAINING, COUNT);
    static float x[2 * BATCH * VALUES];
    int32_t y[2 * BATCH];
    assert_ok(bnnep_dataset_read(data, 0, (size_t)2 * BATCH, x, y));
    const char *const backends[] = {"ref", "cpu/1", "cpu/3"};
    for (size_t b = 0; b < 3; b++)
        for (int32_t event = BNNEP_EVENT_STEP; event <= BNNEP_EVENT_BATCH; event++) {
            struct net a = net_make(&shape, backends[b]), c = net_make(&shape, backends[b]);
            struct stop when = {event, 2, 0};
            bnnep_report report = BNNEP_REPORT_INIT;
            assert_refused(bnnep_optimizer_train_epoch(
                               a.optimizer, data, RUN(.batch_size = BATCH, .progress = stop, .user = &when), &report),
                           BNNEP_CANCELLED, "cancelled");
            assert_int_equal(report.batches, 2);
            assert_position(a.optimizer, 2, 0);
            assert_ok(bnnep_optimizer_train_batch(c.optimizer, x, y, BATCH, NULL, NULL));
            assert_ok(bnnep_optimizer_train_batch(c.optimizer, x + BATCH * VALUES, y + BATCH, BATCH, NULL, NULL));
            assert_same_network(&a, &c);
            net_free(&a);
            net_free(&c);
        }
    bnnep_dataset_free(data);
}

/* The scores of the first batch, read from its free states: class-major, units 2c and 2c + 1 of class c. */
static void check_scores(bnnep_network *network, const float *x, const float *average, const float *single) {
    static float states[BATCH * 20];
    bnnep_workspace *ws = bnnep_network_workspace(network);
    assert_ok(bnnep_workspace_stage(ws, x, NULL, BATCH));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, shape.free_steps, 0.0, NULL));
    assert_ok(bnnep_workspace_get_state(ws, BNNEP_PHASE_FREE, 2, states, BATCH * 20));
    for (size_t i = 0; i < BATCH * 10; i++) {
        assert_true(single[i] == states[2 * i]);
        assert_true(fabsf(average[i] - 0.5f * (states[2 * i] + states[2 * i + 1])) < 1e-6f);
    }
}

/* Prediction, evaluation and states agree; a workspace of another size changes nothing. */
static void readouts(void **state) {
    (void)state;
    static float x[COUNT * VALUES], average[COUNT * 10], single[COUNT * 10], again[COUNT * 10];
    int32_t y[COUNT], by_average[COUNT], by_single[COUNT];
    bnnep_dataset *data = sample(BNNEP_PART_TEST, COUNT);
    struct net net = net_make(&shape, "cpu/2");
    bnnep_report report = BNNEP_REPORT_INIT;
    uint64_t wrong = 0, wrong_single = 0, differ = 0;
    bnnep_workspace_options options = {.size = sizeof options, .max_batch = 7, .threads = 2};
    bnnep_workspace *workspace;
    assert_ok(bnnep_dataset_read(data, 0, COUNT, x, y));
    assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, y, BATCH, NULL, NULL));
    assert_ok(bnnep_network_predict(net.network, x, COUNT, NULL, average, by_average));
    assert_ok(bnnep_network_predict(net.network, x, COUNT, RUN(.readout = BNNEP_READOUT_SINGLE), single, by_single));
    assert_ok(bnnep_network_evaluate(net.network, data, NULL, &report));
    assert_ok(bnnep_workspace_create(net.network, &options, &workspace));
    assert_ok(bnnep_network_predict(net.network, x, COUNT, RUN(.workspace = workspace), again, NULL));
    assert_memory_equal(average, again, sizeof average);
    check_scores(net.network, x, average, single);
    for (size_t n = 0; n < COUNT; n++) {
        for (size_t c = 0; c < 10; c++) {
            assert_true(average[n * 10 + c] <= average[n * 10 + (size_t)by_average[n]]);
            assert_true(single[n * 10 + c] <= single[n * 10 + (size_t)by_single[n]]);
        }
        wrong += by_average[n] != y[n];
        wrong_single += by_single[n] != y[n];
        differ += by_single[n] != by_average[n];
    }
    assert_int_equal(report.errors, wrong);
    assert_int_equal(report.errors_single, wrong_single);
    assert_true(differ > 0);         /* else the two readouts were not told apart */
    bnnep_network_free(net.network); /* the workspace and the optimizer keep it */
    assert_ok(bnnep_network_predict(net.network, x, 1, RUN(.workspace = workspace), again, NULL));
    bnnep_workspace_free(workspace);
    bnnep_optimizer_free(net.optimizer);
    bnnep_dataset_free(data);
}

/* Data that turn out to be bad on the way leave the batches before as done and the rest undone. */
static int32_t break_at(void *user, const bnnep_batch *batch) {
    const uint64_t bad = *(const uint64_t *)user;
    for (size_t i = 0; i < batch->count; i++) {
        const uint64_t index = batch->indices[i];
        for (size_t v = 0; v < VALUES; v++)
            batch->inputs[i * VALUES + v] = index == bad ? NAN : (float)((index + v) % 9) / 9.0f;
        batch->labels[i] = (int32_t)(index % 10);
    }
    return 0;
}

static bnnep_dataset *broken_after(uint64_t *place) {
    bnnep_dataset *data;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_callback(NULL, &o, break_at, place, COUNT, &data));
    return data;
}

static void bad_data_on_the_way(void **state) {
    (void)state;
    uint64_t place = 100;
    bnnep_dataset *data = broken_after(&place);
    struct net net = net_make(&shape, "cpu");
    assert_refused(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.batch_size = BATCH), NULL), BNNEP_ERROR_DATA,
                   "is nan");
    assert_position(net.optimizer, 2, 0);
    place = COUNT;
    assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.batch_size = BATCH), NULL));
    bnnep_dataset_free(data);
    net_free(&net);
}

/* A data set that notes the order in which it is asked. */
struct asked {
    uint64_t places[2 * COUNT];
    size_t count;
};

static int32_t note(void *user, const bnnep_batch *batch) {
    struct asked *asked = user;
    for (size_t i = 0; i < batch->count; i++) {
        const uint64_t index = batch->indices[i];
        asked->places[asked->count++] = index;
        for (size_t v = 0; v < VALUES; v++)
            batch->inputs[i * VALUES + v] = (float)(index * (v + 1) % 251) / 251.0f;
        batch->labels[i] = (int32_t)(index % 10);
    }
    return 0;
}

/* A shuffled epoch goes through all of the data, the next one in another order. */
static void shuffled_epochs(void **state) {
    (void)state;
    static struct asked asked;
    struct shape shuffled = shape;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    shuffled.shuffle = true;
    struct net net = net_make(&shuffled, "cpu");
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_callback(NULL, &o, note, &asked, COUNT, &data));
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[COUNT] = {false};
        size_t moved = 0;
        assert_ok(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.batch_size = BATCH), NULL));
        for (size_t i = 0; i < COUNT; i++) {
            const uint64_t place = asked.places[(size_t)epoch * COUNT + i];
            assert_true(place < COUNT && !seen[place]);
            seen[place] = true;
            moved += place != (epoch ? asked.places[i] : i);
        }
        assert_true(moved > COUNT / 2);
    }
    assert_int_equal(asked.count, 2 * COUNT);
    bnnep_dataset_free(data);
    net_free(&net);
}

/* A batch that takes several calls of the callback is that from memory. */
static void large_callback_batch(void **state) {
    (void)state;
    static struct asked asked;
    static float x[COUNT * VALUES];
    int32_t y[COUNT];
    struct shape large = shape;
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    large.max_batch = COUNT;
    struct net a = net_make(&large, "cpu"), b = net_make(&large, "cpu");
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_callback(NULL, &o, note, &asked, COUNT, &data));
    assert_ok(bnnep_optimizer_train_epoch(a.optimizer, data, RUN(.batch_size = COUNT), NULL));
    assert_ok(bnnep_dataset_read(data, 0, COUNT, x, y));
    assert_ok(bnnep_optimizer_train_batch(b.optimizer, x, y, COUNT, NULL, NULL));
    assert_same_network(&a, &b);
    bnnep_dataset_free(data);
    net_free(&a);
    net_free(&b);
}

/* Of classes that score alike, the lowest is predicted. */
static void ties(void **state) {
    (void)state;
    static const float x[VALUES], zero[20];
    struct net net = net_make(&shape, "cpu");
    assert_ok(bnnep_network_set_alpha(net.network, 1, zero, 1));
    assert_ok(bnnep_network_set_bias(net.network, 1, zero, 20));
    for (int32_t readout = BNNEP_READOUT_AVERAGE; readout <= BNNEP_READOUT_SINGLE; readout++) {
        int32_t predicted = -1;
        assert_ok(bnnep_network_predict(net.network, x, 1, RUN(.readout = readout), NULL, &predicted));
        assert_int_equal(predicted, 0);
    }
    net_free(&net);
}

/* BPTT does the same number of free steps, the last of them remembered. */
static void steps_of_bptt(void **state) {
    (void)state;
    static const float x[VALUES];
    const double gain[] = {0.001, 0.001};
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    bnnep_optimizer *optimizer;
    struct net net = net_make(&shape, "cpu");
    assert_ok(bnnep_network_set_relaxation(net.network, shape.free_steps, -1.0f)); /* no sample stops early */
    p.method = BNNEP_METHOD_BPTT;
    p.nudged_steps = shape.nudged_steps;
    p.gamma = p.threshold = p.lr_bias = gain;
    assert_ok(bnnep_optimizer_create(net.network, &p, &optimizer));
    assert_ok(bnnep_optimizer_train_batch(optimizer, x, (const int32_t[]){3}, 1, NULL, &report));
    assert_true(report.steps_free == shape.free_steps && report.steps_nudged == 0.0);
    assert_int_equal(report.steps_free_max, shape.free_steps);
    assert_int_equal(report.steps_nudged_max, 0);
    bnnep_optimizer_free(optimizer);
    net_free(&net);
}

/* Both dynamics halve the error of chance on digits that were not trained on. */
static void learns(void **state) {
    (void)state;
    bnnep_dataset *train = sample(BNNEP_PART_TRAINING, 1500), *test = sample(BNNEP_PART_TEST, 500);
    const struct shape real = {
        .connections = 2,
        .units = {VALUES, 256, 10},
        .free_steps = 30,
        .nudged_steps = 8,
        .max_batch = 64,
        .beta = 0.3f,
        .gamma = 1e-3,
        .threshold = 5e-6,
        .seed = 2,
        .shuffle = true,
    };
    struct shape binary = real;
    binary.dynamics = BNNEP_DYNAMICS_BINARY;
    binary.units[2] = 100;
    binary.expand_output = 10;
    binary.beta = 2.0f;
    binary.gamma = 1e-3;
    binary.threshold = 1e-4;
    const struct shape *shapes[] = {&real, &binary};
    for (int i = 0; i < 2; i++) {
        struct net net = net_make(shapes[i], "cpu");
        bnnep_report before = BNNEP_REPORT_INIT, after = BNNEP_REPORT_INIT;
        for (size_t k = 0; k < 2; k++) { /* the biases of the paper's networks start near 0 */
            static const float zero[256];
            assert_ok(bnnep_network_set_bias(net.network, k, zero, (size_t)shapes[i]->units[k + 1]));
        }
        assert_ok(bnnep_network_evaluate(net.network, test, NULL, &before));
        for (int epoch = 0; epoch < 3; epoch++)
            assert_ok(bnnep_optimizer_train_epoch(net.optimizer, train, RUN(.batch_size = 64), NULL));
        assert_ok(bnnep_network_evaluate(net.network, test, NULL, &after));
        print_message("errors of 500: %d before, %d after\n", (int)before.errors, (int)after.errors);
        assert_true(after.errors < 225 && before.errors > 300);
        net_free(&net);
    }
    bnnep_dataset_free(train);
    bnnep_dataset_free(test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoch_is_batches),     cmocka_unit_test(cancel),
        cmocka_unit_test(counted_batches),      cmocka_unit_test(readouts),
        cmocka_unit_test(bad_data_on_the_way),  cmocka_unit_test(shuffled_epochs),
        cmocka_unit_test(large_callback_batch), cmocka_unit_test(ties),
        cmocka_unit_test(steps_of_bptt),        cmocka_unit_test(learns),
    };
    return cmocka_run_group_tests_name("training", tests, NULL, NULL);
}
