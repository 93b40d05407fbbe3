/* SPDX-License-Identifier: MIT */
/* Concurrent use: several threads predict with one network, each with a workspace of its own, while others train
 * networks of theirs; and a forked child goes on with handles made before the fork. Run under ThreadSanitizer too. */
#define _GNU_SOURCE /* unshare() */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

enum { SAMPLES = 90, VALUES = 64, THREADS = 4 };

static const struct shape shapes[] = {{
                                          .connections = 2,
                                          .units = {VALUES, 130, 10},
                                          .free_steps = 15,
                                          .nudged_steps = 5,
                                          .max_batch = 40,
                                          .gamma = 0.1,
                                          .threshold = 0.001,
                                          .seed = 3,
                                      },
                                      {
                                          .connections = 2,
                                          .units = {VALUES, 12, 10},
                                          .height = 8,
                                          .width = 8,
                                          .free_steps = 15,
                                          .nudged_steps = 5,
                                          .max_batch = 40,
                                          .gamma = 0.1,
                                          .threshold = 0.001,
                                          .seed = 3,
                                      }};

struct job {
    pthread_t thread;
    const struct shape *shape;
    const bnnep_network *network; /* shared */
    const float *x;
    const int32_t *labels;
    float scores[SAMPLES * 10];
    bnnep_status status;
    int32_t threads;
};

static void *predict(void *arg) {
    struct job *job = arg;
    bnnep_workspace_options options = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *workspace;
    options.threads = job->threads;
    options.max_batch = 17;
    job->status = bnnep_workspace_create(job->network, &options, &workspace);
    for (int i = 0; i < 3 && job->status == BNNEP_OK; i++)
        job->status =
            bnnep_network_predict(job->network, job->x, SAMPLES, RUN(.workspace = workspace), job->scores, NULL);
    bnnep_workspace_free(workspace);
    return NULL;
}

static void *train(void *arg) {
    struct job *job = arg;
    struct net net = net_make(job->shape, "cpu/2");
    for (int i = 0; i < 3; i++)
        job->status = bnnep_optimizer_train_batch(net.optimizer, job->x, job->labels, 40, NULL, NULL);
    net_free(&net);
    return NULL;
}

static void work_together(const struct shape *shape) {
    static struct job jobs[2 * THREADS];
    static float wanted[SAMPLES * 10];
    struct stream stream = {1};
    float *x = random_pixels(&stream, SAMPLES, VALUES);
    int32_t *labels = random_labels(&stream, SAMPLES, 10);
    struct net net = net_make(shape, "cpu/3");
    assert_ok(bnnep_network_predict(net.network, x, SAMPLES, NULL, wanted, NULL));
    for (int i = 0; i < 2 * THREADS; i++) {
        jobs[i] = (struct job){.shape = shape, .network = net.network, .x = x, .labels = labels, .threads = 1 + i % 3};
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, i < THREADS ? predict : train, &jobs[i]), 0);
    }
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(jobs[i].thread, NULL);
    for (int i = 0; i < 2 * THREADS; i++) {
        assert_int_equal(jobs[i].status, BNNEP_OK);
        if (i < THREADS)
            assert_memory_equal(jobs[i].scores, wanted, sizeof wanted);
    }
    free(x);
    free(labels);
    net_free(&net);
}

static void together(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++)
        work_together(&shapes[i]);
}

/* Errors are the thread's own. */
static void *fail_here(void *arg) {
    bnnep_status *status = arg;
    *status = bnnep_network_predict(NULL, NULL, 1, NULL, NULL, NULL);
    return NULL;
}

static void messages(void **state) {
    (void)state;
    pthread_t thread;
    bnnep_status status = BNNEP_OK;
    assert_refused(bnnep_optimizer_train_batch(NULL, NULL, NULL, 0, NULL, NULL), BNNEP_ERROR_ARGUMENT,
                   "optimizer is NULL");
    assert_int_equal(pthread_create(&thread, NULL, fail_here, &status), 0);
    pthread_join(thread, NULL);
    assert_int_equal(status, BNNEP_ERROR_ARGUMENT);
    assert_non_null(strstr(bnnep_last_error(), "bnnep_optimizer_train_batch"));
}

/* In a child: trains a batch and sends the network's memory. */
static void train_and_send(struct net *net, const float *x, const int32_t *labels, int to) {
    size_t count;
    alarm(60);
    const bnnep_status status = bnnep_optimizer_train_batch(net->optimizer, x, labels, 40, NULL, NULL);
    float *memory = net_memory(net, &count);
    const char *bytes = (const char *)memory;
    for (size_t left = count * sizeof *memory; status == BNNEP_OK && left > 0;) {
        const ssize_t written = write(to, bytes, left);
        if (written <= 0)
            _exit(2);
        bytes += written;
        left -= (size_t)written;
    }
    free(memory);
    net_free(net);
    _exit(status == BNNEP_OK ? 0 : 1);
}

/* The network's memory must be what the child sends. */
static void receive_and_compare(const struct net *net, int from) {
    size_t count, have = 0;
    float *memory = net_memory(net, &count);
    char *theirs = malloc(count * sizeof *memory);
    assert_non_null(theirs);
    for (ssize_t got; have < count * sizeof *memory; have += (size_t)got)
        if ((got = read(from, theirs + have, count * sizeof *memory - have)) <= 0)
            break;
    assert_int_equal(have, count * sizeof *memory);
    assert_memory_equal(theirs, memory, have);
    free(theirs);
    free(memory);
}

/* A child process trains on with the parent's handle, then the parent does the same: same result. */
static void forked(void **state) {
    (void)state;
#ifdef WITH_TSAN
    skip(); /* ThreadSanitizer allows no new threads after a fork */
#endif
    struct stream stream = {1};
    float *x = random_pixels(&stream, 40, VALUES);
    int32_t *labels = random_labels(&stream, 40, 10);
    struct net net = net_make(&shapes[0], "cpu/3");
    assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, labels, 40, NULL, NULL)); /* the pool's threads exist now */
    int channel[2], status = 0;
    assert_int_equal(pipe(channel), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        train_and_send(&net, x, labels, channel[1]);
    close(channel[1]);
    assert_ok(bnnep_optimizer_train_batch(net.optimizer, x, labels, 40, NULL, NULL));
    receive_and_compare(&net, channel[0]);
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(channel[0]);
    free(x);
    free(labels);
    net_free(&net);
}

/* The first process of a namespace ignores signals without a handler. */
static void give_up(int signal) {
    (void)signal;
    _exit(3);
}

/* The first process of a namespace: trains, and again in a child that is the first process of another namespace, and
 * so has the same number. Both must come to the same. Returns an exit status. */
static int train_as_first(struct net *net, const float *x, const int32_t *labels) {
    int channel[2], status = 0;
    signal(SIGALRM, give_up);
    alarm(60);
    assert_int_equal(getpid(), 1);
    assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, labels, 40, NULL, NULL)); /* the threads exist now */
    assert_int_equal(pipe(channel), 0);
    assert_int_equal(unshare(CLONE_NEWPID), 0);
    const pid_t child = fork();
    if (child == 0) {
        assert_int_equal(getpid(), 1);
        train_and_send(net, x, labels, channel[1]);
    }
    close(channel[1]);
    assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, labels, 40, NULL, NULL));
    receive_and_compare(net, channel[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

/* Does a page that is to be wiped on fork() come to a child as zeros? Not under qemu-user. */
static bool pages_are_wiped(void) {
    bool wiped = false;
#ifdef MADV_WIPEONFORK
    char *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status = 1;
    assert_true(page != MAP_FAILED);
    madvise(page, 1, MADV_WIPEONFORK);
    *page = 1;
    const pid_t child = fork();
    if (child == 0)
        _exit(*page);
    waitpid(child, &status, 0);
    wiped = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    munmap(page, 1);
#endif
    return wiped;
}

/* Where a child has its parent's number, as in containers. */
static void forked_with_the_same_number(void **state) {
    (void)state;
    if (!pages_are_wiped())
        skip(); /* the numbers are all that the library has then */
#ifdef WITH_TSAN
    skip(); /* as above */
#endif
    enum { NO_NAMESPACES = 77 };
    struct stream stream = {1};
    float *x = random_pixels(&stream, 40, VALUES);
    int32_t *labels = random_labels(&stream, 40, 10);
    struct net net = net_make(&shapes[0], "cpu/3");
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (unshare(CLONE_NEWPID) != 0)
            _exit(errno == EPERM || errno == EINVAL || errno == ENOSYS ? NO_NAMESPACES : 2);
        const pid_t first = fork();
        if (first == 0)
            _exit(train_as_first(&net, x, labels));
        waitpid(first, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 5);
    }
    waitpid(child, &status, 0);
    free(x);
    free(labels);
    net_free(&net);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_NAMESPACES)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(together), cmocka_unit_test(messages), cmocka_unit_test(forked),
                                       cmocka_unit_test(forked_with_the_same_number)};
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
