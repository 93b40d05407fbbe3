/* SPDX-License-Identifier: MIT */
/* What tests of covariances share. */
#ifndef BNNEP_TEST_COVARIANCE_H
#define BNNEP_TEST_COVARIANCE_H

#include "support.h"

enum { MOST_SAMPLES = 70 };

/* Fully connected, small, whose nudge changes activations. */
struct shape covariance_shape(struct stream *stream, int32_t dynamics, unsigned number);
/* Activations of a layer, 0 the input, [samples][units], to be freed. */
double *activations(const struct net *net, int32_t phase, size_t layer, const float *x, size_t samples);
/* Both phases, and their contrast. */
void take_contrast(const struct net *net, const float *x, const float *target, size_t samples);
/* Batches of random samples, the same each time. */
void train(const struct net *net, size_t samples, size_t batches);
bool are_same(const struct net *a, const struct net *b);

#endif
