/* SPDX-License-Identifier: MIT */
/* A handle is for one call at a time: whatever a callback, or another thread, tries with one that is at work is refused
 * by name of the call that has it, the call goes on as if nobody had tried, and when it has ended, however it did, the
 * handle is free again. Run under ThreadSanitizer too. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { COUNT = 40, VALUES = 30, HIDDEN = 24, CLASSES = 10, BATCH = 8 };

static const struct shape shape = {
    .connections = 2,
    .units = {VALUES, HIDDEN, CLASSES},
    .free_steps = 12,
    .nudged_steps = 4,
    .max_batch = BATCH,
    .shuffle = true,
    .random_beta = true,
    .learn_alpha = true,
    .gamma = 0.1,
    .threshold = 0.001,
    .seed = 7,
};
static float *x;
static int32_t *labels;
static bnnep_dataset *data;

static int draw_data(void **state) {
    struct stream stream = {4};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    (void)state;
    x = random_pixels(&stream, COUNT, VALUES);
    labels = random_labels(&stream, COUNT, CLASSES);
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, x, labels, COUNT, &data));
    return 0;
}

static int free_data(void **state) {
    (void)state;
    bnnep_dataset_free(data);
    free(x);
    free(labels);
    return 0;
}

/* --- what can be tried ------------------------------------------------------------------------------------------- */

/* Handles at work, and what came of trying to use them. */
struct scene {
    struct net net;
    bnnep_workspace *other; /* of the same network */
    void *checkpoint;
    size_t checkpoint_bytes;
    const char *at_work; /* the call */
    bool trains;
    int tries;
    char wrong[512]; /* the first try that was not refused, or not for that reason */
};

typedef bnnep_status (*try_fn)(struct scene *scene);

enum { ROOM = HIDDEN * VALUES };

static float room[ROOM];
static const float zeros[ROOM];

static bnnep_status train_batch(struct scene *s) {
    return bnnep_optimizer_train_batch(s->net.optimizer, x, labels, BATCH, NULL, NULL);
}
static bnnep_status train_elsewhere(struct scene *s) {
    return bnnep_optimizer_train_batch(s->net.optimizer, x, labels, BATCH, RUN(.workspace = s->other), NULL);
}
static bnnep_status train_epoch(struct scene *s) {
    return bnnep_optimizer_train_epoch(s->net.optimizer, data, NULL, NULL);
}
static bnnep_status evaluate(struct scene *s) {
    return bnnep_network_evaluate(s->net.network, data, NULL, NULL);
}
static bnnep_status predict(struct scene *s) {
    return bnnep_network_predict(s->net.network, x, 1, NULL, room, NULL);
}
static bnnep_status predict_elsewhere(struct scene *s) {
    return bnnep_network_predict(s->net.network, x, 1, RUN(.workspace = s->other), room, NULL);
}
static bnnep_status stage(struct scene *s) {
    return bnnep_workspace_stage(bnnep_network_workspace(s->net.network), x, NULL, 1);
}
static bnnep_status relax(struct scene *s) {
    return phase_run(bnnep_network_workspace(s->net.network), BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0, NULL);
}
static bnnep_status get_state(struct scene *s) {
    return bnnep_workspace_get_state(bnnep_network_workspace(s->net.network), 0, 1, room, BATCH * HIDDEN);
}
static bnnep_status set_state(struct scene *s) {
    return bnnep_workspace_set_state(bnnep_network_workspace(s->net.network), 0, 1, zeros, BATCH * HIDDEN);
}
static bnnep_status contrast(struct scene *s) {
    return bnnep_optimizer_contrast(s->net.optimizer, s->other, NULL);
}
static bnnep_status backpropagate(struct scene *s) {
    return bnnep_optimizer_backpropagate(s->net.optimizer, s->other, 1);
}
static bnnep_status update(struct scene *s) {
    return bnnep_optimizer_update(s->net.optimizer, NULL);
}
static bnnep_status get_contrast(struct scene *s) {
    return bnnep_optimizer_get_contrast(s->net.optimizer, 1, BNNEP_CONTRAST_BIAS, room, CLASSES);
}
static bnnep_status set_contrast(struct scene *s) {
    return bnnep_optimizer_set_contrast(s->net.optimizer, 1, BNNEP_CONTRAST_BIAS, zeros, CLASSES);
}
static bnnep_status get_bias(struct scene *s) {
    return bnnep_network_get_bias(s->net.network, 1, room, CLASSES);
}
static bnnep_status set_bias(struct scene *s) {
    return bnnep_network_set_bias(s->net.network, 1, zeros, CLASSES);
}
static bnnep_status get_signs(struct scene *s) {
    return bnnep_network_get_signs(s->net.network, 0, (int8_t *)room, HIDDEN * VALUES);
}
static bnnep_status set_alpha(struct scene *s) {
    return bnnep_network_set_alpha(s->net.network, 1, zeros, 1);
}
static bnnep_status set_relaxation(struct scene *s) {
    return bnnep_network_set_relaxation(s->net.network, 3, 0.0);
}
static bnnep_status clone_network(struct scene *s) {
    bnnep_network *clone;
    const bnnep_status status = bnnep_network_clone(s->net.network, NULL, &clone);
    bnnep_network_free(clone);
    return status;
}
static bnnep_status get_momentum(struct scene *s) {
    return bnnep_optimizer_get_momentum(s->net.optimizer, 0, room, HIDDEN * VALUES);
}
static bnnep_status set_momentum(struct scene *s) {
    return bnnep_optimizer_set_momentum(s->net.optimizer, 0, zeros, HIDDEN * VALUES);
}
static bnnep_status get_rate(struct scene *s) {
    double beta;
    return bnnep_optimizer_get_rates(s->net.optimizer, BNNEP_RATE_BETA, &beta, 1);
}
static bnnep_status set_rate(struct scene *s) {
    return bnnep_optimizer_set_rates(s->net.optimizer, BNNEP_RATE_BETA, &(const double){0.7}, 1);
}
static bnnep_status set_position(struct scene *s) {
    return bnnep_optimizer_set_position(s->net.optimizer, 9, 9);
}
static bnnep_status save(struct scene *s) {
    uint64_t bytes;
    return bnnep_checkpoint_write(s->net.optimizer, &(const bnnep_sink){.size = sizeof(bnnep_sink), .count = &bytes},
                                  NULL);
}
static bnnep_status load(struct scene *s) {
    return bnnep_checkpoint_read(
        s->net.optimizer,
        &(const bnnep_source){.size = sizeof(bnnep_source), .bytes = s->checkpoint, .count = s->checkpoint_bytes});
}
static bnnep_status clone_optimizer(struct scene *s) {
    bnnep_optimizer *clone;
    const bnnep_status status = bnnep_optimizer_clone(s->net.optimizer, s->net.network, &clone);
    bnnep_optimizer_free(clone);
    return status;
}

/* What any call at work keeps from happening, and what training does; what may happen while others only read, or
 * between batches. */
static const try_fn never[] = {load,  train_batch, train_elsewhere, train_epoch, evaluate, predict,       stage,
                               relax, set_state,   update,          set_alpha,   set_bias, set_relaxation},
                    learning[] = {contrast, backpropagate, set_contrast, set_momentum, set_rate, set_position},
                    reading[] = {predict_elsewhere, get_bias, get_signs, clone_network},
                    reading_learnt[] = {get_momentum, get_rate, clone_optimizer, save};

static void try(struct scene *scene, const try_fn *tries, size_t count, bool allowed) {
    for (size_t i = 0; i < count && !scene->wrong[0]; i++) {
        const bnnep_status status = tries[i](scene);
        scene->tries++;
        if (allowed ? status != BNNEP_OK
                    : status != BNNEP_ERROR_ARGUMENT || !strstr(bnnep_last_error(), "at work in ") ||
                          !strstr(bnnep_last_error(), scene->at_work))
            snprintf(scene->wrong, sizeof scene->wrong, "%s, try %zu of %zu: %s, %s", scene->at_work, i, count,
                     bnnep_status_name(status), bnnep_last_error());
    }
}

/* All of it; between: when a batch is done, and all that is at work can be read. */
static void try_all(struct scene *scene, bool between) {
    bnnep_network_info network = BNNEP_NETWORK_INFO_INIT;
    bnnep_optimizer_info optimizer = BNNEP_OPTIMIZER_INFO_INIT;
    const try_fn states[] = {get_state}, gradient[] = {get_contrast};
    try(scene, never, sizeof never / sizeof never[0], false);
    try(scene, states, 1, between);
    try(scene, reading, sizeof reading / sizeof reading[0], between || !scene->trains);
    try(scene, reading_learnt, sizeof reading_learnt / sizeof reading_learnt[0], between || !scene->trains);
    if (scene->trains)
        try(scene, learning, sizeof learning / sizeof learning[0], false);
    if (scene->trains && !between)
        try(scene, gradient, 1, false);
    if (bnnep_network_get_info(scene->net.network, &network) != BNNEP_OK ||
        bnnep_optimizer_get_info(scene->net.optimizer, &optimizer) != BNNEP_OK)
        snprintf(scene->wrong, sizeof scene->wrong, "no info: %s", bnnep_last_error());
}

static int32_t on_progress(void *user, const bnnep_progress *progress) {
    struct scene *scene = user;
    if (progress->batches_done < 2)
        try_all(scene, progress->event == BNNEP_EVENT_BATCH);
    return 0;
}

/* --- from callbacks ----------------------------------------------------------------------------------------------- */

static struct scene scene_make(const char *where) {
    struct scene scene = {.net = net_make(&shape, where)};
    const bnnep_workspace_options o = {.size = sizeof o, .max_batch = BATCH};
    uint64_t bytes = 0;
    bnnep_sink sink = {.size = sizeof sink, .count = &bytes};
    assert_ok(bnnep_workspace_create(scene.net.network, &o, &scene.other));
    assert_ok(bnnep_checkpoint_write(scene.net.optimizer, &sink, NULL));
    sink.room = scene.checkpoint_bytes = (size_t)bytes;
    sink.bytes = scene.checkpoint = malloc(sink.room);
    assert_non_null(sink.bytes);
    assert_ok(bnnep_checkpoint_write(scene.net.optimizer, &sink, NULL));
    return scene;
}

static void scene_free(struct scene *scene) {
    free(scene->checkpoint);
    bnnep_workspace_free(scene->other);
    net_free(&scene->net);
}

static void assert_refused_all(const struct scene *scene) {
    if (scene->wrong[0])
        fail_msg("%s", scene->wrong);
    assert_true(scene->tries > 0);
}

static void in_progress(void **state) {
    (void)state;
    const char *backends[MOST_BACKENDS];
    const size_t count = available_backends(backends);
    for (size_t b = 0; b < count; b++) {
        static float scores[2][COUNT * CLASSES];
        struct scene scene = scene_make(backends[b]);
        struct net alone = net_make(&shape, backends[b]);
        const bnnep_run_options run = {.size = sizeof run, .progress = on_progress, .user = &scene};
        scene.at_work = "bnnep_optimizer_train_epoch";
        scene.trains = true;
        assert_ok(bnnep_optimizer_train_epoch(scene.net.optimizer, data, &run, NULL));
        scene.at_work = "bnnep_optimizer_train_batch";
        assert_ok(bnnep_optimizer_train_batch(scene.net.optimizer, x, labels, BATCH, &run, NULL));
        assert_refused_all(&scene);
        assert_ok(bnnep_optimizer_train_epoch(alone.optimizer, data, NULL, NULL));
        assert_ok(bnnep_optimizer_train_batch(alone.optimizer, x, labels, BATCH, NULL, NULL));
        assert_same_network(&scene.net, &alone);
        scene.trains = false;
        scene.at_work = "bnnep_network_"; /* the readers that it allows give their own names too */
        assert_ok(bnnep_network_evaluate(scene.net.network, data, &run, NULL));
        assert_ok(bnnep_network_predict(scene.net.network, x, COUNT, &run, scores[0], NULL));
        assert_refused_all(&scene);
        assert_ok(bnnep_network_predict(alone.network, x, COUNT, NULL, scores[1], NULL));
        assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
        assert_same_network(&scene.net, &alone);
        net_free(&alone);
        scene_free(&scene);
    }
}

static int32_t deliver(void *user, const bnnep_batch *batch) {
    struct scene *scene = user;
    for (size_t n = 0; n < batch->count; n++) {
        memcpy(batch->inputs + n * VALUES, x + batch->indices[n] * VALUES, VALUES * sizeof *x);
        batch->labels[n] = labels[batch->indices[n]];
    }
    try_all(scene, false);
    return 0;
}

static void in_data(void **state) {
    (void)state;
    struct scene scene = scene_make("cpu/2");
    struct net alone = net_make(&shape, "cpu/2");
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *asking;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_callback(NULL, &o, deliver, &scene, COUNT, &asking));
    scene.at_work = "bnnep_optimizer_train_epoch";
    scene.trains = true;
    assert_ok(bnnep_optimizer_train_epoch(scene.net.optimizer, asking, NULL, NULL));
    assert_refused_all(&scene);
    assert_ok(bnnep_optimizer_train_epoch(alone.optimizer, data, NULL, NULL));
    assert_same_network(&scene.net, &alone);
    bnnep_dataset_free(asking);
    net_free(&alone);
    scene_free(&scene);
}

/* --- after all kinds of ends ------------------------------------------------------------------------------------- */

static int32_t refuse(void *user, const bnnep_batch *batch) {
    (void)user, (void)batch;
    return 1;
}

static int32_t stop(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH;
}

/* Whatever a call ended with, the next one finds the handles free. */
static void after_failures(void **state) {
    (void)state;
    struct scene s = scene_make("cpu/2");
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *failing;
    uint64_t flips[1];
    bnnep_report small = {.size = sizeof small, .flips = flips, .flips_count = 1, .confusion = flips};
    const float bad[VALUES] = {1e30f / 1e-30f};
    const bnnep_run_options cancel = {.size = sizeof cancel, .progress = stop};
    bnnep_optimizer *opt = s.net.optimizer;
    o.channels = VALUES;
    assert_ok(bnnep_dataset_from_callback(NULL, &o, refuse, NULL, COUNT, &failing));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(bnnep_optimizer_train_epoch(opt, failing, NULL, NULL), BNNEP_ERROR_CALLBACK);
        assert_int_equal(bnnep_network_evaluate(s.net.network, failing, NULL, NULL), BNNEP_ERROR_CALLBACK);
        assert_int_equal(bnnep_optimizer_train_epoch(opt, data, &cancel, NULL), BNNEP_CANCELLED);
        assert_int_equal(bnnep_network_predict(s.net.network, x, COUNT, &cancel, NULL, NULL), BNNEP_CANCELLED);
        assert_refused(bnnep_optimizer_train_batch(opt, x, labels, BATCH, NULL, &small), BNNEP_ERROR_ARGUMENT, "room");
        assert_refused(bnnep_optimizer_train_batch(opt, x, labels, 99, NULL, NULL), BNNEP_ERROR_ARGUMENT, "99");
        assert_refused(bnnep_network_evaluate(s.net.network, data, NULL, &small), BNNEP_ERROR_ARGUMENT, "confusion");
        assert_refused(bnnep_network_predict(s.net.network, bad, 1, NULL, NULL, NULL), BNNEP_ERROR_DATA, "input 0");
        assert_refused(bnnep_workspace_stage(s.other, bad, NULL, 1), BNNEP_ERROR_DATA, "input 0");
        assert_refused(phase_run(s.other, 0, 0, 1, 0.0, NULL), BNNEP_ERROR_ARGUMENT, "staged");
        assert_refused(contrast(&s), BNNEP_ERROR_ARGUMENT, "staged");
        assert_refused(backpropagate(&s), BNNEP_ERROR_ARGUMENT, "BPTT");
        assert_refused(update(&s), BNNEP_ERROR_ARGUMENT, "no contrast");
        assert_refused(get_contrast(&s), BNNEP_ERROR_ARGUMENT, "no contrast");
        assert_ok(bnnep_optimizer_set_position(opt, 0, 0));
        assert_ok(set_bias(&s));
    }
    assert_ok(train_epoch(&s));
    bnnep_dataset_free(failing);
    scene_free(&s);
}

/* --- from other threads ------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 60 };

struct job {
    pthread_t thread;
    struct scene *scene;
    int done;
    bnnep_status wrong;
};

static void *train_often(void *arg) {
    struct job *job = arg;
    for (int i = 0; i < ROUNDS; i++) {
        const bnnep_status status = i % 2 ? train_batch(job->scene) : train_elsewhere(job->scene);
        job->done += status == BNNEP_OK;
        if (status != BNNEP_OK && !(status == BNNEP_ERROR_ARGUMENT && strstr(bnnep_last_error(), "at work in ")))
            job->wrong = status;
    }
    return NULL;
}

/* Several threads train one network, which is an error of the program: each batch is done as a whole, or not at all. */
static void at_once(void **state) {
    (void)state;
    struct scene scene = scene_make("cpu/2");
    struct net alone = net_make(&shape, "cpu/1");
    struct job jobs[THREADS];
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    int done = 0;
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.scene = &scene, .wrong = BNNEP_OK};
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, train_often, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
        assert_int_equal(jobs[i].wrong, BNNEP_OK);
        done += jobs[i].done;
    }
    assert_true(done > 0);
    assert_ok(bnnep_optimizer_get_info(scene.net.optimizer, &info));
    assert_int_equal(info.batches, done);
    for (int i = 0; i < done; i++)
        assert_ok(bnnep_optimizer_train_batch(alone.optimizer, x, labels, BATCH, NULL, NULL));
    assert_same_network(&scene.net, &alone);
    net_free(&alone);
    scene_free(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_progress),
        cmocka_unit_test(in_data),
        cmocka_unit_test(after_failures),
        cmocka_unit_test(at_once),
    };
    return cmocka_run_group_tests_name("callbacks", tests, draw_data, free_data);
}
