/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of one neuron and one synapse, shared by all backends, so that equal sums give equal bits.
 * Compile with -ffp-contract=off.
 *
 * What is exact, and therefore the same on every backend:
 *  - sums of binary activations are integers; alpha multiplies once, after the sum. In the feedback of a convolution,
 *    where each output channel has an alpha of its own, the sum over channels is taken in double: exact in any order
 *    unless the alphas are some 2^20 apart;
 *  - in networks with binary activations, sums over the inputs are taken in double and rounded to float once:
 *    exact in any order for inputs that are multiples of 2^-31 and sum to less than 2^21, such as pixels;
 *  - sums over samples (biases, scaling factors) are taken in double, samples in order;
 *  - where states are on a grid, they, the inputs and what a convolution feeds back are multiples of its step, so that
 *    sums of them are integers, which the library has seen to fit into 32 bits.
 */
#ifndef BNNEP_RULES_H
#define BNNEP_RULES_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For a compiler that makes code for host and device: the rules are for both. */
#ifdef __CUDACC__
#define BNNEP_RULE static inline __host__ __device__
#else
#define BNNEP_RULE static inline
#endif

BNNEP_RULE float bnnep_clamp01(float v) {
    return v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
}

/* Multiples of 1/steps, for real activations; inputs and states within +-most, of which sums fit into 32 bits. */
struct bnnep_grid {
    float steps; /* a power of 2; 0: no grid */
    float most;  /* another one */
};

/* v on the grid: the nearest multiple, half to even. Scaling by a power of 2 is exact. */
BNNEP_RULE float bnnep_on_grid(const struct bnnep_grid *grid, float v) {
    if (grid->steps == 0.0f)
        return v;
    const float within = v < -grid->most ? -grid->most : v > grid->most ? grid->most : v;
    return rintf(within * grid->steps) * (1.0f / grid->steps);
}

/* In the feedback of a convolution each output channel has an alpha of its own. On a grid, what is summed is the
 * channels' shares of the largest, rounded, and that multiplies once, after the sum. */
BNNEP_RULE float bnnep_largest(const float *alpha, size_t count) {
    float largest = 0.0f;
    for (size_t i = 0; i < count; i++)
        largest = fabsf(alpha[i]) > largest ? fabsf(alpha[i]) : largest;
    return largest;
}

BNNEP_RULE float bnnep_share(float alpha, float largest) {
    return largest != 0.0f ? alpha / largest : 0.0f;
}

/* What multiplies a sum of feedback: its strength times alpha. Where each term of the sum has its alpha already, 1
 * stands in its place; on a grid, where terms have shares of the largest alpha, that one. */
BNNEP_RULE float bnnep_feedback_scale(float alpha, float feedback) {
    return feedback * alpha;
}

/* What a layer needs to know for its update. */
struct bnnep_neuron {
    bool binary;             /* leaky states and binary activations */
    bool output;             /* of the output layer: no feedback, may be nudged */
    bool clamp_nudged;       /* fully connected: the nudged output stays in [0,1] */
    bool fixed_prediction;   /* convolutional, binary: the error is that of the free output */
    float theta, keep, gain; /* leak: s <- keep*s + gain*q */
    float beta;              /* 0: not nudged */
    float stride;            /* real states: how much of the way they go to where they are pulled; 1: bnnep_stride */
    struct bnnep_grid grid;
};

/* --- the activation of a real neuron, a = rho(pre): the hard sigmoid -------------------------------------------- */

BNNEP_RULE float bnnep_rho(const struct bnnep_neuron *n, float pre) {
    (void)n; /* one activation for all */
    return bnnep_clamp01(pre);
}

/* Its derivative, as back-propagation through time takes it: 1 on the closed interval. */
BNNEP_RULE float bnnep_rho_slope(const struct bnnep_neuron *n, float pre) {
    (void)n;
    return pre >= 0.0f && pre <= 1.0f ? 1.0f : 0.0f;
}

/* --- pooling ---------------------------------------------------------------------------------------------------- */

/* Row and column in a convolution's output. */
struct bnnep_position {
    size_t y, x;
};

/* Place q, row by row, of the window of unit u of a map of `width` units a row; pool: edge and stride of the window. */
BNNEP_RULE struct bnnep_position bnnep_place_of(size_t u, size_t q, size_t width, size_t pool) {
    struct bnnep_position at;
    at.y = u / width * pool + q / pool;
    at.x = u % width * pool + q % pool;
    return at;
}

/* Does place q take the maximum from the places before it? The first maximum wins. */
BNNEP_RULE bool bnnep_is_argmax(size_t q, float here, float most_so_far) {
    return q == 0 || here > most_so_far;
}

/* --- schedules ---------------------------------------------------------------------------------------------------- */

/* Does layer index k, layer k + 1, move in step t = 1, 2, ... of a phase? */
BNNEP_RULE bool bnnep_moves(bool alternating, size_t k, int32_t t) {
    return !alternating || k % 2 != (size_t)t % 2;
}

/* Steps in a row that leave a sample as it is, after which it rests: by then all layers have moved. */
BNNEP_RULE int32_t bnnep_calm_steps(bool alternating) {
    return alternating ? 2 : 1;
}

/* How much of the way to where they are pulled states go in step t of a sample's phase. Successive over-relaxation: an
 * error that falls by rho^2 in two alternating steps falls by omega - 1 with omega = 2 / (1 + sqrt(1 - rho^2)); the
 * energy of a network without pooling still never rises below 2. The first steps, in which units saturate, go 1:
 * networks that contract well are nearly at rest by then. So does the nudged phase, which ends before its rest. */
BNNEP_RULE float bnnep_stride(bool over_relaxed, float beta, int32_t t) {
    return over_relaxed && beta == 0.0f && t > 8 ? 1.4f : 1.0f;
}

/* A state on its way from s to where it is pulled. */
BNNEP_RULE float bnnep_go(float s, float pulled, float stride) {
    return stride == 1.0f ? pulled : bnnep_clamp01(s + stride * (pulled - s));
}

/* --- states ----------------------------------------------------------------------------------------------------- */

/* States that the free phase starts from. */
BNNEP_RULE float bnnep_start(bool binary, bool convolutional) {
    return binary ? 1.0f : convolutional ? 0.5f : 0.0f;
}

/* fwd_k of one unit, before pooling, from its sum of signs times activations. */
BNNEP_RULE float bnnep_forward(float alpha, float sum, float bias) {
    return alpha * sum + bias;
}

/* Binary activations: s(t+1) before it is clamped. prediction is s_L of the free phase; it and target count for a
 * nudged output only. */
BNNEP_RULE float bnnep_leak(const struct bnnep_neuron *n, float s, float pre, float target, float prediction) {
    float q = fabsf(s - n->theta) <= 0.5f ? pre : 0.0f;
    if (n->output && n->beta != 0.0f)
        q += n->beta * (target - (n->fixed_prediction ? prediction : s));
    return n->keep * s + n->gain * q;
}

/* s(t) -> s(t+1). */
BNNEP_RULE float bnnep_next_state(const struct bnnep_neuron *n, float s, float pre, float target, float prediction) {
    if (n->binary)
        return bnnep_clamp01(bnnep_leak(n, s, pre, target, prediction));
    float v = bnnep_rho(n, pre);
    if (n->output && n->beta != 0.0f) {
        v += n->beta * (target - s);
        if (n->clamp_nudged)
            v = bnnep_clamp01(v);
    }
    return bnnep_on_grid(&n->grid, bnnep_go(s, v, n->stride));
}

/* a = H(s - theta), H(0) = 1, of a binary network; a = s otherwise. */
BNNEP_RULE float bnnep_activation(bool binary, float theta, float s) {
    return !binary ? s : s - theta >= 0.0f ? 1.0f : 0.0f;
}

/* What is shared among the samples between products and covariances: the product of both sides' sums over the batch, in
 * the second phase less that in the first. above, below: sums of a unit, [first phase, second phase]. */
BNNEP_RULE double bnnep_product_of_sums(const double above[2], const double below[2]) {
    return 0.5 * ((above[1] - above[0]) * (below[1] + below[0]) + (above[1] + above[0]) * (below[1] - below[0]));
}

/* A contrast of covariances from that of products; share: 1 / samples. */
BNNEP_RULE float bnnep_covariance(float products, double product_of_sums, double share) {
    return products - (float)(product_of_sums * share);
}

/* m <- (1-gamma) m + gamma g, with g = c G and gain = gamma c. */
BNNEP_RULE float bnnep_momentum(float m, float decay, float gain, float contrast) {
    return decay * m + gain * contrast;
}

/* How far a consolidated momentum goes of a step that would take it away from its weight's side of 0: 1 - tanh^2 x, as
 * 1 / cosh^2 x with cosh's series to x^4, which is within 0.005 and has the same bits everywhere. */
BNNEP_RULE float bnnep_plasticity(float x) {
    const float square = x * x, cosh = 1.0f + square * (0.5f + square * (1.0f / 24.0f));
    return 1.0f / (cosh * cosh);
}

/* Metaplasticity (Laborieux et al., 2021): the more a momentum has spoken for its weight, the harder it is to talk it
 * out of it. sign is that of W; before -> after is the step of bnnep_momentum; consolidation, per |m|; 0: none. */
BNNEP_RULE float bnnep_consolidated(float sign, float before, float after, float consolidation) {
    const float step = after - before;
    if (consolidation == 0.0f || !(sign * before > 0.0f && sign * step < 0.0f))
        return after;
    const float share = bnnep_plasticity(consolidation * before);
    return share > 0.0f ? before + share * step : before; /* a step without bounds times 0 is 0 too */
}

/* Does a weight alpha*B flip? sign is that of W, 0 where alpha is 0. */
BNNEP_RULE bool bnnep_flips(float sign, float m, float threshold, bool at_threshold) {
    const float pull = -sign * m;
    return at_threshold ? pull >= threshold : pull > threshold;
}

BNNEP_RULE float bnnep_sign(float v) {
    return v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : 0.0f;
}

#endif
