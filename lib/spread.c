/* SPDX-License-Identifier: MIT */
/*
 * Rates whose unit is a deviation of the contrast, and rates that fall as training goes on.
 *
 * A momentum that noise of deviation sigma drives has a deviation of sqrt(gamma / (2 - gamma)) sigma: so much of it is
 * one deviation of a threshold. sigma is that of a connection's contrasts, the root of a running mean of their squares.
 * What follows from it, and from how far rates have fallen, is renewed after 1, 2, 4 ... 64 updates and then every 64:
 * between that rules stay, so that a backend may let momenta without contrast wait for their decay.
 */
#include <math.h>

#include "lib/internal.h"

#define RENEWAL 64 /* updates */
#define MEMORY 256 /* updates that the running means look back on */

bool bnnep_measures(const bnnep_optimizer_options *o) {
    return o->threshold_kind == BNNEP_DEVIATIONS || o->rate_kind == BNNEP_DEVIATIONS;
}

bnnep_status bnnep_check_units(const bnnep_network *net, const bnnep_optimizer_options *o) {
    if (o->threshold_kind != BNNEP_ABSOLUTE && o->threshold_kind != BNNEP_DEVIATIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "threshold_kind is %d; known are 0 (absolute) and 1 (deviations)",
                          o->threshold_kind);
    if (o->rate_kind != BNNEP_ABSOLUTE && o->rate_kind != BNNEP_DEVIATIONS)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "rate_kind is %d; known are 0 (absolute) and 1 (deviations)",
                          o->rate_kind);
    if (o->rate_schedule < BNNEP_RATES_CONSTANT || o->rate_schedule > BNNEP_RATES_COSINE)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "rate_schedule is %d; known are 0 (constant), 1 (exponential) and 2 (cosine)",
                          o->rate_schedule);
    if (o->flip_reset != 0 && o->flip_reset != 1)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "flip_reset is %d; it must be 0 or 1", o->flip_reset);
    if (o->rate_schedule == BNNEP_RATES_CONSTANT && (o->rate_last != 0.0 || o->rate_updates != 0))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT,
                          "rate_last is %g and rate_updates %llu, but rate_schedule is 0 (constant)", o->rate_last,
                          (unsigned long long)o->rate_updates);
    if (o->rate_schedule != BNNEP_RATES_CONSTANT && !(o->rate_last > 0.0 && o->rate_last <= 1.0))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "rate_last is %g; it must be above 0 and at most 1", o->rate_last);
    if (o->rate_schedule != BNNEP_RATES_CONSTANT && o->rate_updates == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "rate_updates is 0; a schedule takes at least 1");
    if (bnnep_measures(o) && !net->backend->can->squares)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not do thresholds and rates in deviations",
                          net->backend->name);
    if (o->flip_reset && !net->backend->can->reset)
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s does not do flip_reset", net->backend->name);
    return BNNEP_OK;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

void bnnep_renew(bnnep_optimizer *opt) {
    const uint64_t n = opt->updates;
    if (n % RENEWAL != 0 && !(n < RENEWAL && (n & (n - 1)) == 0))
        return;
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->renewed[k] = opt->spread[k];
    opt->renewed_at = n;
}

double bnnep_fallen(const bnnep_optimizer *opt) {
    const bnnep_optimizer_options *o = &opt->options;
    if (o->rate_schedule == BNNEP_RATES_CONSTANT)
        return 1.0;
    const double done = fmin((double)opt->renewed_at / (double)o->rate_updates, 1.0);
    if (o->rate_schedule == BNNEP_RATES_EXPONENTIAL)
        return pow(o->rate_last, done);
    return o->rate_last + (1.0 - o->rate_last) * 0.5 * (1.0 + cos(acos(-1.0) * done));
}

/* One deviation, of what a rate of `part` is to be divided by. */
static double deviation(const bnnep_optimizer *opt, size_t k, int32_t part) {
    return sqrt(opt->renewed[k].of[part]);
}

double bnnep_threshold_of(const bnnep_optimizer *opt, size_t k, double gamma) {
    const double given = opt->rates.of[BNNEP_RATE_THRESHOLD][k];
    if (opt->options.threshold_kind == BNNEP_ABSOLUTE)
        return given;
    const double one = sqrt(gamma / (2.0 - gamma)) * deviation(opt, k, BNNEP_CONTRAST_WEIGHTS);
    return one > 0.0 ? given * one : (double)INFINITY; /* nothing is known yet, and nothing flips */
}

double bnnep_bias_rate_of(const bnnep_optimizer *opt, size_t k) {
    const double given = opt->rates.of[BNNEP_RATE_BIAS][k];
    if (opt->options.rate_kind == BNNEP_ABSOLUTE)
        return given;
    const double one = deviation(opt, k, BNNEP_CONTRAST_BIAS);
    return one > 0.0 ? given / one : 0.0;
}

/* Scaling factors begin as the mean |w| of U(-1/sqrt(columns), 1/sqrt(columns)): of that, rates are shares. */
double bnnep_scale_rate_of(const bnnep_optimizer *opt, size_t k) {
    if (!opt->rates.of[BNNEP_RATE_ALPHA])
        return 0.0;
    const double given = opt->rates.of[BNNEP_RATE_ALPHA][k];
    if (opt->options.rate_kind == BNNEP_ABSOLUTE)
        return given;
    const double one = deviation(opt, k, BNNEP_CONTRAST_ALPHA);
    return one > 0.0 ? given * 0.5 / sqrt((double)opt->network->model.links[k]->columns) / one : 0.0;
}

/* --- running means ------------------------------------------------------------------------------------------------ */

void bnnep_measure(bnnep_optimizer *opt, const struct bnnep_gain *gains, bool one) {
    opt->updates++;
    if (!bnnep_measures(&opt->options))
        return;
    opt->measured++;
    const double share = 1.0 / (double)(opt->measured < MEMORY ? opt->measured : MEMORY);
    for (size_t k = 0; k < opt->network->model.connections; k++) {
        const struct bnnep_link *link = opt->network->model.links[k];
        const struct bnnep_squares *squares = &opt->squares[k];
        const double *gain = gains[one ? 0 : k].of;
        const double means[BNNEP_CONTRAST_PARTS] = {
            [BNNEP_CONTRAST_WEIGHTS] = squares->weights / (double)(link->rows * link->columns),
            [BNNEP_CONTRAST_BIAS] = squares->bias / (double)link->rows,
            [BNNEP_CONTRAST_ALPHA] = squares->scale / (double)link->scales,
        };
        for (int part = 0; part < BNNEP_CONTRAST_PARTS; part++) {
            double *mean = &opt->spread[k].of[part];
            *mean += share * (gain[part] * gain[part] * means[part] - *mean);
        }
    }
}
