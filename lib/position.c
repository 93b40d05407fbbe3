/* SPDX-License-Identifier: MIT */
/* Where a run stands: counters, sums of the epoch under way, and what may change on the way: rates and relaxation. */
#include <string.h>

#include "lib/json.h"
#include "lib/record.h"

/* --- writing ------------------------------------------------------------------------------------------------- */

static json_t *record_rates(const bnnep_optimizer *opt) {
    json_t *rates = json_object();
    for (int32_t which = 0; rates && which < BNNEP_RATES; which++) {
        json_t *list = bnnep_json_list(opt->rates.of[which], bnnep_rate_count(opt, which));
        if (json_object_set_new(rates, bnnep_rate_names[which], list) != 0) {
            json_decref(rates);
            rates = NULL;
        }
    }
    return rates;
}

static json_t *record_flips(const bnnep_optimizer *opt) {
    json_t *flips = json_array();
    for (size_t k = 0; flips && k < opt->network->model.connections; k++)
        if (json_array_append_new(flips, json_integer((json_int_t)opt->epoch_flips[k])) != 0) {
            json_decref(flips);
            flips = NULL;
        }
    return flips;
}

/* [connection][part] */
static json_t *record_spread(const struct bnnep_spread *spread, size_t connections) {
    json_t *all = json_array();
    for (size_t k = 0; all && k < connections; k++)
        if (json_array_append_new(all, bnnep_json_list(spread[k].of, BNNEP_SPREADS)) != 0) {
            json_decref(all);
            all = NULL;
        }
    return all;
}

static json_t *record_measured(const bnnep_optimizer *opt) {
    const size_t L = opt->network->model.connections;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "updates", (json_int_t)opt->updates, "lone_samples",
                     (json_int_t)opt->means.samples, "fallen_at", (json_int_t)opt->fallen_at, "contrasts",
                     (json_int_t)opt->measured, "renewed_at", (json_int_t)opt->renewed_at, "mean_squares",
                     record_spread(opt->spread, L), "renewed", record_spread(opt->renewed, L));
}

json_t *bnnep_record_position(const bnnep_optimizer *opt) {
    const struct bnnep_sums *r = &opt->epoch;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:i, s:i, s:f, s:o, s:o, s:o, s:i, s:f}",
                     "batches", (json_int_t)opt->batches, "epochs", (json_int_t)opt->epochs, "epoch_count",
                     (json_int_t)opt->epoch_count, "epoch_batch_size", (json_int_t)opt->epoch_batch_size, "samples",
                     (json_int_t)r->samples, "epoch_batches", (json_int_t)r->batches, "errors", (json_int_t)r->errors,
                     "errors_single", (json_int_t)r->errors_single, "loss", r->loss, "steps_free", r->steps_free,
                     "steps_nudged", r->steps_nudged, "steps_free_max", r->steps_free_max, "steps_nudged_max",
                     r->steps_nudged_max, "seconds", r->seconds, "flips", record_flips(opt), "rates", record_rates(opt),
                     "measured", record_measured(opt), "free_steps", opt->network->free_steps, "settle_tolerance",
                     (double)opt->network->settle_tolerance);
}

/* --- reading ------------------------------------------------------------------------------------------------- */

static bnnep_status bad_position(const struct bnnep_container *file, const char *field) {
    return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its position's %s cannot be read", file->path, field);
}

/* Can an optimizer have this position? An epoch under way has done whole batches, and has more to do. */
static bool is_position(const struct bnnep_run_position *at) {
    const struct bnnep_sums *r = &at->epoch;
    const bool counts = at->batches <= INT64_MAX && at->epochs <= INT64_MAX && at->epoch_count <= INT64_MAX &&
                        at->epoch_batch_size <= SIZE_MAX && r->errors <= r->samples && r->errors_single <= r->samples;
    return counts && (r->batches == 0 ||
                      (r->samples < at->epoch_count && at->epoch_batch_size > 0 &&
                       r->samples / at->epoch_batch_size == r->batches && r->samples % at->epoch_batch_size == 0));
}

/* A number of the position, which must be there and at least 0. */
static bool read_number(const json_t *p, const char *key, double *to) {
    const json_t *value = json_object_get(p, key);
    *to = json_number_value(value);
    return json_is_number(value) && *to >= 0.0;
}

static bool read_count(const json_t *p, const char *key, uint64_t *to) {
    const json_t *value = json_object_get(p, key);
    *to = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool read_steps(const json_t *p, const char *key, int32_t *to) {
    uint64_t steps;
    const bool read = read_count(p, key, &steps) && steps <= INT32_MAX;
    *to = read ? (int32_t)steps : 0;
    return read;
}

static bnnep_status read_counters(const struct bnnep_container *file, const json_t *p, struct bnnep_run_position *to) {
    struct bnnep_sums *r = &to->epoch;
    const bool read =
        read_count(p, "batches", &to->batches) && read_count(p, "epochs", &to->epochs) &&
        read_count(p, "epoch_count", &to->epoch_count) && read_count(p, "epoch_batch_size", &to->epoch_batch_size) &&
        read_count(p, "samples", &r->samples) && read_count(p, "epoch_batches", &r->batches) &&
        read_count(p, "errors", &r->errors) && read_count(p, "errors_single", &r->errors_single) &&
        read_number(p, "loss", &r->loss) && read_number(p, "steps_free", &r->steps_free) &&
        read_number(p, "steps_nudged", &r->steps_nudged) && read_number(p, "seconds", &r->seconds) &&
        read_steps(p, "steps_free_max", &r->steps_free_max) && read_steps(p, "steps_nudged_max", &r->steps_nudged_max);
    return read && is_position(to) ? BNNEP_OK : bad_position(file, "counters");
}

static bnnep_status read_flips(const struct bnnep_container *file, json_t *p, size_t connections, uint64_t *flips) {
    const json_t *list = json_object_get(p, "flips");
    if (json_array_size(list) != connections)
        return bad_position(file, "flips");
    for (size_t k = 0; k < connections; k++) {
        const json_t *value = json_array_get(list, k);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return bad_position(file, "flips");
        flips[k] = (uint64_t)json_integer_value(value);
    }
    return BNNEP_OK;
}

/* What the file lacks stays as the optimizer was made. */
static bnnep_status read_rates(const struct bnnep_container *file, json_t *p, const bnnep_optimizer *opt,
                               struct bnnep_rates *rates) {
    const json_t *all = json_object_get(p, "rates");
    if (all && !json_is_object(all))
        return bad_position(file, "rates");
    for (int32_t which = 0; which < BNNEP_RATES; which++) {
        const json_t *list = json_object_get(all, bnnep_rate_names[which]);
        const size_t count = bnnep_rate_count(opt, which);
        if (!list)
            continue;
        if (json_array_size(list) != count)
            return bad_position(file, bnnep_rate_names[which]);
        for (size_t i = 0; i < count; i++) {
            if (!json_is_number(json_array_get(list, i)))
                return bad_position(file, bnnep_rate_names[which]);
            rates->of[which][i] = json_number_value(json_array_get(list, i));
        }
        if (count > 0 && bnnep_check_rates(which, rates->of[which], count) != BNNEP_OK)
            return bad_position(file, bnnep_rate_names[which]);
    }
    return BNNEP_OK;
}

static bool read_spread(const json_t *all, size_t connections, struct bnnep_spread *to) {
    bool read = json_array_size(all) == connections;
    for (size_t k = 0; read && k < connections; k++) {
        const json_t *parts = json_array_get(all, k);
        read = json_array_size(parts) == BNNEP_SPREADS;
        for (size_t i = 0; read && i < BNNEP_SPREADS; i++) {
            const json_t *mean = json_array_get(parts, i);
            to[k].of[i] = json_number_value(mean);
            read = json_is_number(mean) && to[k].of[i] >= 0.0;
        }
    }
    return read;
}

/* A file that lacks it is of an optimizer that measured nothing. */
static bnnep_status read_measured(const struct bnnep_container *file, const json_t *p, size_t connections,
                                  struct bnnep_run_position *to) {
    const json_t *measured = json_object_get(p, "measured");
    to->updates = to->fallen_at = to->batches;
    if (!measured)
        return BNNEP_OK;
    const bool read = read_count(measured, "updates", &to->updates) &&
                      read_count(measured, "contrasts", &to->measured) &&
                      read_count(measured, "fallen_at", &to->fallen_at) && to->fallen_at <= to->updates &&
                      read_count(measured, "renewed_at", &to->renewed_at) && to->renewed_at <= to->measured &&
                      read_spread(json_object_get(measured, "mean_squares"), connections, to->spread) &&
                      read_spread(json_object_get(measured, "renewed"), connections, to->renewed);
    if (read && json_object_get(measured, "lone_samples") && !read_count(measured, "lone_samples", &to->lone_samples))
        return bad_position(file, "lone_samples");
    return read ? BNNEP_OK : bad_position(file, "measured");
}

static bnnep_status read_relaxation(const struct bnnep_container *file, json_t *p, const bnnep_network *net,
                                    struct bnnep_run_position *to) {
    to->free_steps = net->options.free_steps;
    to->settle_tolerance = net->options.settle_tolerance;
    if (!bnnep_record_read_relaxation(p, &to->free_steps, &to->settle_tolerance) ||
        bnnep_check_relaxation(to->free_steps, to->settle_tolerance) != BNNEP_OK)
        return bad_position(file, "relaxation");
    const bool more = to->free_steps > net->options.free_steps && to->free_steps > net->free_steps;
    return more ? bnnep_check_file_steps(file, to->free_steps) : BNNEP_OK;
}

bnnep_status bnnep_record_read_position(const struct bnnep_container *file, const bnnep_optimizer *opt,
                                        struct bnnep_run_position *to) {
    const size_t L = opt->network->model.connections, values = (BNNEP_RATES - 1) * L + 1;
    const bnnep_context *context = opt->network->context;
    *to = (struct bnnep_run_position){.flips = bnnep_take(context, L, sizeof *to->flips),
                                      .values = bnnep_take(context, values, sizeof *to->values),
                                      .spread = bnnep_take(context, L, sizeof *to->spread),
                                      .renewed = bnnep_take(context, L, sizeof *to->renewed)};
    if (!to->flips || !to->values || !to->spread || !to->renewed)
        return bnnep_fail_memory(file->path, values * sizeof *to->values);
    for (int32_t which = 0; which < BNNEP_RATES; which++)
        if (opt->made.of[which]) {
            to->rates.of[which] = to->values + (opt->made.of[which] - opt->values);
            memcpy(to->rates.of[which], opt->made.of[which], bnnep_rate_count(opt, which) * sizeof *to->values);
        }
    json_t *p;
    bnnep_status status = bnnep_container_json(file, "position", &p);
    if (status != BNNEP_OK)
        return status;
    status = read_counters(file, p, to);
    if (status == BNNEP_OK)
        status = read_flips(file, p, L, to->flips);
    if (status == BNNEP_OK)
        status = read_rates(file, p, opt, &to->rates);
    if (status == BNNEP_OK)
        status = read_measured(file, p, L, to);
    if (status == BNNEP_OK && to->lone_samples > 0 && !opt->means.layer)
        status = bad_position(file, "lone_samples");
    if (status == BNNEP_OK)
        status = read_relaxation(file, p, opt->network, to);
    json_decref(p);
    return status;
}

void bnnep_position_take(const struct bnnep_run_position *from, bnnep_optimizer *opt) {
    opt->batches = from->batches;
    opt->epochs = from->epochs;
    opt->epoch_count = from->epoch_count;
    opt->epoch_batch_size = (size_t)from->epoch_batch_size;
    opt->epoch = from->epoch;
    for (size_t k = 0; k < opt->network->model.connections; k++)
        opt->epoch_flips[k] = from->epoch.batches ? from->flips[k] : 0;
    opt->means.samples = from->lone_samples;
    opt->updates = from->updates;
    opt->measured = from->measured;
    opt->fallen_at = from->fallen_at;
    opt->renewed_at = from->renewed_at;
    for (size_t k = 0; k < opt->network->model.connections; k++) {
        opt->spread[k] = from->spread[k];
        opt->renewed[k] = from->renewed[k];
    }
    for (int32_t which = 0; which < BNNEP_RATES; which++)
        if (opt->rates.of[which])
            memcpy(opt->rates.of[which], from->rates.of[which], bnnep_rate_count(opt, which) * sizeof(double));
    opt->network->free_steps = from->free_steps;
    opt->network->settle_tolerance = (float)from->settle_tolerance;
}

void bnnep_position_free(const bnnep_context *context, struct bnnep_run_position *position) {
    bnnep_give_back(context, position->flips);
    bnnep_give_back(context, position->values);
    bnnep_give_back(context, position->spread);
    bnnep_give_back(context, position->renewed);
}
