/* SPDX-License-Identifier: MIT */
/* What the tests share: cmocka, small random networks and data, comparison of states. */
#ifndef BNNEP_TESTS_SUPPORT_H
#define BNNEP_TESTS_SUPPORT_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include <bnnep/bnnep.h>

/* Succeeds, or fails the test with the library's message. */
#define assert_ok(call) assert_ok_at(call, #call, __FILE__, __LINE__)
void assert_ok_at(bnnep_status status, const char *what, const char *file, int line);

/* Fails with `status` and a message that holds `text`. */
#define assert_refused(call, status, text) assert_refused_at(call, status, text, #call, __FILE__, __LINE__)
void assert_refused_at(bnnep_status got, bnnep_status wanted, const char *text, const char *what, const char *file,
                       int line);

/* A repeatable stream of numbers, the tests' own. */
struct stream {
    uint64_t state;
};
uint32_t stream_next(struct stream *stream);
int32_t stream_between(struct stream *stream, int32_t low, int32_t high); /* both included */
float stream_uniform(struct stream *stream);                              /* [0, 1) */

/* Options, without the defaults: RUN(.batch_size = 3). */
#define RUN(...)                                                                                                       \
    &(const bnnep_run_options) {                                                                                       \
        .size = sizeof(bnnep_run_options), __VA_ARGS__                                                                 \
    }

/* A context by a name of the tests' own: a backend, "cuda:1", or a backend and its threads, "cpu/2". */
bnnep_context *context_on(const char *where);
/* bnnep_network_create() in such a context. It may fail, as making the context may. */
bnnep_status network_on(const char *where, const bnnep_network_options *options, bnnep_network **out);

/* A network for tests, with an optimizer. */
enum { MOST_LAYERS = 8 };
struct shape {
    int32_t dynamics;
    size_t connections;
    int32_t units[MOST_LAYERS]; /* units[0]: inputs */
    int32_t height, width;      /* not 0: an input is one such map, and the first connection a convolution to units[1]
                                   channels, kernel 3, padding 1, pooling 2 */
    int32_t expand_output;      /* 0 means 1 */
    int32_t free_steps, nudged_steps, max_batch;
    double settle_tolerance;
    bool learn_alpha, shuffle, random_beta, centred, deviations, covariance;
    double beta; /* 0 means 0.5 */
    double gamma, threshold;
    double lr_alpha; /* 0 means as the biases */
    int32_t grid_bits, schedule;
    float feedback; /* 0 means 1 */
    float consolidation;
    uint64_t seed;
};

struct net {
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    const struct shape *shape;
};

/* Biases are drawn by the seed too, larger than the initial ones, so that states differ. */
struct net net_make(const struct shape *shape, const char *where);
void net_free(struct net *net);
/* A checkpoint, in memory; its size. */
size_t net_checkpoint(const struct net *net, uint8_t *bytes, size_t room);

/* The network's whole memory: signs, alpha, biases, momenta; compare with memcmp or free with free(). */
float *net_memory(const struct net *net, size_t *count);
/* Fails unless two networks are equal bit for bit. */
#define assert_same_network(a, b) assert_same_network_at(a, b, __FILE__, __LINE__)
void assert_same_network_at(const struct net *a, const struct net *b, const char *file, int line);

/* The names of the backends that can be used here, or only the one that BNNEP_TEST_BACKEND says; returns how many. */
enum { MOST_BACKENDS = 8 };
size_t available_backends(const char *names[MOST_BACKENDS]);

/* One phase of so many steps, not 0. */
bnnep_status phase_run(bnnep_workspace *workspace, int32_t from, int32_t to, int32_t steps, double beta,
                       bnnep_relaxed *done);
/* Contrast of free and nudged phase, and update. The divisor may be 0 (see bnnep_contrast_options); flips has room for
 * MOST_LAYERS, or is NULL. */
bnnep_status phase_learn(bnnep_optimizer *optimizer, bnnep_workspace *workspace, double divisor, uint64_t *flips);

/* Random inputs that are multiples of 1/255, as pixels are, and labels. Free with free(). */
float *random_pixels(struct stream *stream, size_t samples, int32_t values);
int32_t *random_labels(struct stream *stream, size_t samples, int32_t classes);

/* Index of the first element whose difference is above the tolerance; count if none. NaN differs. */
size_t first_difference(const float *a, const float *b, size_t count, double tolerance);

#endif
