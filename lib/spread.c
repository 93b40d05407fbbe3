/* SPDX-License-Identifier: MIT */
/*
 * Rates whose unit is a deviation of the contrast, and rates that fall as training goes on.
 *
 * A momentum that noise of deviation sigma drives for long has a deviation of sqrt(gamma / (2 - gamma)) sigma, and
 * where gamma falls, one that lags behind: that is one deviation of a threshold. sigma is that of a connection's
 * contrasts, the root of a running mean of their squares, over as many updates as the momentum looks back on.
 *
 * A new network's contrasts agree from batch to batch, and would flip many weights at once, so that the next contrasts
 * are much larger: thresholds begin higher, by 1 + WARM_UP / updates.
 *
 * What follows from it, and from how far rates have fallen, is renewed after each of the first updates, in which
 * contrasts change fast, and then after every 64th: between that rules stay, so that a backend may let momenta without
 * contrast wait for their decay.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/internal.h"

/* The default rule (docs/learning-rule.md). */
#define GAMMA 2e-3
#define THRESHOLD 0.7
#define LR_BIAS 1e-2 /* fast, or all weights would be flipped towards the mean output first */
#define LR_ALPHA 3e-3
#define BETA_BINARY 2.0 /* that an output of 0 may become active */

#define EACH_UNTIL 256 /* rules are renewed after every update until then */
#define RENEWAL 64     /* and from then on after so many */
#define ENOUGH 16      /* numbers to tell a deviation by */
#define LEAST 1e-4     /* the outputs' contrast without which measuring does not begin */
#define WARM_UP 32     /* updates after which thresholds have fallen to twice what they will be */

bool bnnep_measures(const bnnep_optimizer_options *o) {
    return o->threshold_kind == BNNEP_UNIT_DEVIATIONS || o->rate_kind == BNNEP_UNIT_DEVIATIONS;
}

bool bnnep_leaves_rule(const bnnep_optimizer_options *o) {
    return !o->gamma && !o->threshold && !o->lr_bias && !o->lr_alpha;
}

void bnnep_default_rule(const bnnep_network *net, bnnep_optimizer_options *o, double *values) {
    const size_t connections = net->model.connections;
    const bool binary = net->model.dynamics == BNNEP_DYNAMICS_BINARY, nudged = o->method != BNNEP_METHOD_BPTT;
    double *const gamma = values, *const threshold = gamma + connections;
    double *const lr_bias = threshold + connections, *const lr_alpha = lr_bias + connections;
    /* A bias that moves changes all layers of binary activations: the more there are, the slower. */
    const double layers = binary && connections > 2 ? (double)(connections - 1) : 1.0;
    for (size_t k = 0; k < connections; k++) {
        gamma[k] = GAMMA;
        threshold[k] = THRESHOLD;
        lr_bias[k] = LR_BIAS / (k + 1 < connections ? layers * layers : 1.0);
        lr_alpha[k] = LR_ALPHA;
    }
    o->gamma = gamma;
    o->threshold = threshold;
    o->lr_bias = lr_bias;
    o->lr_alpha = !binary && net->backend->can->scale && nudged ? lr_alpha : NULL;
    o->threshold_kind = o->threshold_kind ? o->threshold_kind : BNNEP_UNIT_DEVIATIONS;
    o->rate_kind = o->rate_kind ? o->rate_kind : BNNEP_UNIT_DEVIATIONS;
    o->fall = o->fall ? o->fall : BNNEP_FALL_HARMONIC;
    if (nudged && !o->nudge && net->backend->can->phases >= BNNEP_PHASES)
        o->nudge = BNNEP_NUDGE_CENTRED;
    o->covariance = o->covariance || !nudged ? o->covariance : net->backend->can->covariance != 0;
    o->beta = o->beta != 0.0 ? o->beta : binary ? BETA_BINARY : BNNEP_BETA;
}

bnnep_status bnnep_check_units(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (o->threshold_kind != BNNEP_UNIT_ABSOLUTE && o->threshold_kind != BNNEP_UNIT_DEVIATIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "threshold_kind is %d; known are 0 (absolute) and 1 (deviations)",
                          o->threshold_kind);
    if (o->rate_kind != BNNEP_UNIT_ABSOLUTE && o->rate_kind != BNNEP_UNIT_DEVIATIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "rate_kind is %d; known are 0 (absolute) and 1 (deviations)",
                          o->rate_kind);
    if (o->fall < BNNEP_FALL_CONSTANT || o->fall > BNNEP_FALL_HARMONIC)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "fall is %d; known are 0 (constant), 1 (exponential), 2 (cosine) and 3 (harmonic)", o->fall);
    const bool ends = o->fall == BNNEP_FALL_EXPONENTIAL || o->fall == BNNEP_FALL_COSINE;
    if (!ends && (o->fall_to != 0.0 || o->fall_updates != 0))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "fall_to is %g and fall_updates %llu, but fall is %d (%s)", o->fall_to,
                          (unsigned long long)o->fall_updates, o->fall,
                          o->fall == BNNEP_FALL_CONSTANT ? "constant" : "harmonic");
    if (ends && !(o->fall_to > 0.0 && o->fall_to <= 1.0))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "fall_to is %g; it must be above 0 and at most 1", o->fall_to);
    if (ends && o->fall_updates == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "fall_updates is 0; a fall takes at least 1");
    if (o->flip_reset != 0 && o->flip_reset != 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "flip_reset is %d; it must be 0 or 1", o->flip_reset);
    if (bnnep_measures(o) && !net->backend->can->squares)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not do thresholds and rates in deviations",
                          net->backend->name);
    if (o->flip_reset && !net->backend->can->reset)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not do flip_reset", net->backend->name);
    return BNNEP_OK;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

void bnnep_renew(bnnep_optimizer *opt) {
    memcpy(opt->renewed, opt->spread, opt->network->model.connections * sizeof *opt->renewed);
    opt->renewed_at = opt->measured;
    opt->fallen_at = opt->updates;
}

void bnnep_measure_anew(bnnep_optimizer *opt) {
    memset(opt->spread, 0, opt->network->model.connections * sizeof *opt->spread);
    opt->measured = opt->means.samples = 0;
    bnnep_renew(opt);
}

double bnnep_fallen(const bnnep_optimizer *opt, size_t k) {
    const bnnep_optimizer_options *o = &opt->options;
    if (o->fall == BNNEP_FALL_CONSTANT)
        return 1.0;
    if (o->fall == BNNEP_FALL_HARMONIC)
        return 1.0 / (1.0 + opt->rates.of[BNNEP_RATE_GAMMA][k] * (double)opt->fallen_at);
    const double done = fmin((double)opt->fallen_at / (double)o->fall_updates, 1.0);
    if (o->fall == BNNEP_FALL_EXPONENTIAL)
        return pow(o->fall_to, done);
    return o->fall_to + (1.0 - o->fall_to) * 0.5 * (1.0 + cos(acos(-1.0) * done));
}

/* One deviation, of what a rate of `part` is to be divided by. */
static double deviation(const bnnep_optimizer *opt, size_t k, int32_t part) {
    return sqrt(opt->renewed[k].of[part]);
}

/* What a rate in deviations comes to. The contrast of a scaling factor is one number, which by chance may be next to
 * nothing in the first update and a thousand times as large in the next: until enough were measured, nothing moves. */
static double in_deviations(const bnnep_optimizer *opt, size_t k, int32_t part, double rate, size_t numbers) {
    const double one = deviation(opt, k, part);
    return one > 0.0 && opt->renewed_at * (uint64_t)numbers >= ENOUGH ? rate / one : 0.0;
}

double bnnep_threshold_of(const bnnep_optimizer *opt, size_t k) {
    const double given = opt->rates.of[BNNEP_RATE_THRESHOLD][k];
    if (opt->options.threshold_kind == BNNEP_UNIT_ABSOLUTE)
        return given;
    const double one = deviation(opt, k, BNNEP_MOMENTUM_NOISE) * deviation(opt, k, BNNEP_CONTRAST_WEIGHTS);
    if (!(one > 0.0) || opt->renewed_at == 0)
        return (double)INFINITY; /* nothing is known yet, and nothing flips */
    const double threshold = given * one * (1.0 + WARM_UP / (double)opt->renewed_at);
    return given > 0.0 ? fmax(threshold, (double)FLT_MIN) : threshold; /* 0 would flip what has no momentum */
}

double bnnep_bias_rate_of(const bnnep_optimizer *opt, size_t k) {
    const double given = opt->rates.of[BNNEP_RATE_BIAS][k];
    if (opt->options.rate_kind == BNNEP_UNIT_ABSOLUTE)
        return given;
    return in_deviations(opt, k, BNNEP_CONTRAST_BIAS, given, opt->network->model.links[k]->rows);
}

/* Scaling factors begin as the mean |w| of U(-1/sqrt(columns), 1/sqrt(columns)): of that, rates are shares. */
double bnnep_scale_rate_of(const bnnep_optimizer *opt, size_t k) {
    if (!opt->rates.of[BNNEP_RATE_ALPHA])
        return 0.0;
    const double given = opt->rates.of[BNNEP_RATE_ALPHA][k];
    if (opt->options.rate_kind == BNNEP_UNIT_ABSOLUTE)
        return given;
    const struct bnnep_link *link = opt->network->model.links[k];
    const double first = 0.5 / sqrt((double)link->columns);
    return in_deviations(opt, k, BNNEP_CONTRAST_ALPHA, given * first, link->scales);
}

/* The variance of m <- (1 - gamma) m + gamma g, of that of g, after one more update: at least that of a momentum that
 * has run long, so that the first contrasts do not flip what they alone would. */
static double noise_after(double noise, double gamma) {
    return fmax(gamma / (2.0 - gamma), (1.0 - gamma) * (1.0 - gamma) * noise + gamma * gamma);
}

/* --- running means ------------------------------------------------------------------------------------------------ */

/* To 12 bits: backends add squares in orders of their own, whose sums differ in their last bits. */
static double rounded(double value) {
    int exponent;
    const double fraction = frexp(value, &exponent);
    return ldexp(rint(ldexp(fraction, 12)), exponent - 12);
}

/* The same again, where the variance of g was `before` and is now `after`. A threshold falls at most twice as fast as
 * momenta without contrast: or, as soon as a network errs no more, it would fall below momenta that are as they were,
 * and what was learnt would be lost. Of the first 1 / gamma updates; after them variances fall as slowly by themselves.
 */
static double noise_kept(double noise, double gamma, double before, double after) {
    const double decay = (1.0 - gamma) * (1.0 - gamma), kept = decay * decay * noise * (before / after);
    return isfinite(kept) ? fmax(noise_after(noise, gamma), kept) : noise_after(noise, gamma);
}

/* Contrasts that are all 0, or beyond the range of numbers, tell nothing of how large others will be. */
static void take_mean(double *running, double mean, double share) {
    if (mean > 0.0 && isfinite(mean))
        *running += (*running > 0.0 ? share : 1.0) * (rounded(mean) - *running);
}

/* Did the nudge move the outputs? Those that are off and nudged down stay, but for rounding, and what hidden layers did
 * meanwhile would be the deviation that the next contrast, a thousand times as large, is told by. */
static bool moved_outputs(const bnnep_optimizer *opt, const struct bnnep_gain *gains, bool one) {
    const size_t last = opt->network->model.connections - 1;
    const double gain = gains[one ? 0 : last].of[BNNEP_CONTRAST_BIAS];
    const double mean = opt->squares[last].bias / (double)opt->network->model.links[last]->rows;
    return gain * gain * mean > LEAST * LEAST;
}

/* A deviation of what rounding leaves of 0 would be no threshold. */
static bool says_nothing(const bnnep_optimizer *opt, const struct bnnep_link *link) {
    return opt->means.first && !bnnep_is_convolution(link);
}

void bnnep_measure(bnnep_optimizer *opt, const struct bnnep_gain *gains, bool one) {
    const bool measures = bnnep_measures(&opt->options);
    opt->updates++;
    if (!measures || opt->measured > 0 || moved_outputs(opt, gains, one))
        opt->measured++;
    for (size_t k = 0; measures && opt->measured > 0 && k < opt->network->model.connections; k++) {
        const struct bnnep_link *link = opt->network->model.links[k];
        const struct bnnep_squares *squares = &opt->squares[k];
        const double *gain = gains[one ? 0 : k].of;
        const double means[BNNEP_CONTRAST_PARTS] = {
            [BNNEP_CONTRAST_WEIGHTS] =
                says_nothing(opt, link) ? 0.0 : squares->weights / (double)(link->rows * link->columns),
            [BNNEP_CONTRAST_BIAS] = squares->bias / (double)link->rows,
            [BNNEP_CONTRAST_ALPHA] = squares->scale / (double)link->scales,
        };
        double *running = opt->spread[k].of;
        const double gamma = bnnep_fallen(opt, k) * opt->rates.of[BNNEP_RATE_GAMMA][k];
        const double before = running[BNNEP_CONTRAST_WEIGHTS];
        for (int part = 0; part < BNNEP_CONTRAST_PARTS; part++)
            take_mean(&running[part], gain[part] * gain[part] * means[part], fmax(gamma, 1.0 / (double)opt->measured));
        running[BNNEP_MOMENTUM_NOISE] =
            noise_kept(running[BNNEP_MOMENTUM_NOISE], gamma, before, running[BNNEP_CONTRAST_WEIGHTS]);
    }
    if (opt->measured < EACH_UNTIL || opt->measured % RENEWAL == 0)
        bnnep_renew(opt);
}
