/* SPDX-License-Identifier: MIT */
/* Small networks of the kinds that the paper has, and a few that are large in one respect. */
#ifndef BNNEP_FINGERPRINT_NETWORKS_H
#define BNNEP_FINGERPRINT_NETWORKS_H

#include "support.h"

enum { MOST_CONNECTIONS = 6 };

struct kind {
    const char *name;
    int32_t dynamics, method;
    bool learn_alpha;
    bool large; /* too much for the reference backend */
    bool dense; /* so much of its contrast is not 0 that OpenBLAS multiplies: bits are those of its kernels */
    int32_t channels, height, width;
    bnnep_connection connection[MOST_CONNECTIONS];
    size_t connections;
    int32_t classes, expand_output, free_steps, nudged_steps, samples;
    float beta;
    bool random_beta;
    double gamma, threshold;
};

extern const struct kind kinds[];
extern const size_t kind_count;

/* The kind whose name is `name`, of some length; NULL if there is none. */
const struct kind *kind_find(const char *name, size_t length);
void kind_make(const struct kind *kind, const char *backend, float tolerance, int32_t grid_bits,
               bnnep_network **network, bnnep_optimizer **optimizer);
/* [samples][inputs]: pixels, or of a picture of several channels values of either sign. Free with free(). */
float *kind_inputs(const struct kind *kind, struct stream *stream, size_t samples);

#endif
