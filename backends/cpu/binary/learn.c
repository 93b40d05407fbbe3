/* SPDX-License-Identifier: MIT */
/*
 * Contrast, momenta and flips of a network with binary activations.
 *
 * The contrast of a weight is a number of samples: those in which both its ends are active after the second phase,
 * minus those in which they are after the first. A row of weights counts, with the same vertical counters as the
 * relaxation, the activations below of the samples (and in a convolution, of the patches) in which its own unit is
 * active. Samples that are the same in both phases on both sides count for nothing and are left out. Over inputs, the
 * few samples whose unit differs are added up in double (bnnep/rules.h).
 */
#include <string.h>

#include "backends/cpu/binary/binary.h"

struct update {
    struct binary_optimizer *optimizer;
    struct binary_workspace *ws;
    const struct cpu_learning *learning;
    size_t k;        /* connection */
    bool may_wait;   /* decays of momenta without contrast */
    bool covariance; /* in place of products */
};

static const struct bnnep_link *link_of(const struct update *update) {
    return update->ws->network->model->links[update->k];
}

static const struct cpu_connection *connection_of(const struct update *update) {
    return &update->ws->network->connection[update->k];
}

/* The two phases of a contrast, as indices of what is kept of each. */
enum { FIRST, SECOND, BOTH };

static int32_t phase_of(const struct update *update, int which) {
    return which == FIRST ? update->learning->how->first : update->learning->how->second;
}

/* Bits of layer index k of a sample after the first or second phase. */
static const uint64_t *active_of(const struct binary_workspace *ws, int which, size_t sample, size_t k) {
    return ws->active[which] + (sample * ws->layout.units + ws->layer[k].offset) / 64;
}

/* --- after the phases --------------------------------------------------------------------------------------------- */

/* a_{k+1} . W_k a_k of one phase, with the scaling factors' own sums: without bias if fully connected, fwd_k(a_k) of a
 * convolution. Into the sample's place in ws->dot: that of the first phase first, then the difference. */
static void find_dots(struct update *update, int which, struct binary_passage *p, struct binary_scratch *scratch) {
    struct binary_workspace *ws = update->ws;
    const struct bnnep_model *model = ws->network->model;
    double *dots = ws->dot + p->sample;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const bool convolution = bnnep_is_convolution(link);
        const float *drive = ws->drive + p->sample * model->links[0]->out, alpha = ws->network->connection[k].alpha[0];
        const int32_t *sums = bnnep_binary_part(p->record, ws->layer[k].forward);
        const uint64_t *active = active_of(ws, which, p->sample, k);
        float *value = p->forward;
        if (convolution && k > 0)
            bnnep_binary_pool(ws, k, p, value, scratch->places.argmax);
        else
            for (size_t v = 0; v < link->out; v++)
                value[v] = convolution ? drive[v] : alpha * (k > 0 ? (float)sums[v] : drive[v]);
        for (size_t i = 0; i < link->scales; i++, dots += ws->max_batch) {
            double dot = 0.0;
            for (size_t v = i; v < link->out; v += link->scales)
                if (active[v / 64] >> v % 64 & 1)
                    dot += (double)value[v];
            *dots = which == FIRST ? dot : dot - *dots;
        }
    }
}

/* Activations of a sample after both phases. */
static void finish_sample(void *arg, size_t sample, unsigned worker) {
    struct update *update = arg;
    struct binary_workspace *ws = update->ws;
    struct binary_scratch *scratch = &ws->scratch[worker];
    struct binary_passage *p = &scratch->passage[0];
    const size_t words = ws->layout.units / 64;
    for (int which = FIRST; which < BOTH; which++) {
        p->sample = sample;
        p->record = bnnep_binary_record(ws, phase_of(update, which), sample);
        bnnep_binary_begin(ws, p);
        memcpy(ws->active[which] + sample * words, p->active, words * sizeof *p->active);
        if (update->learning->how->learn_scale) {
            bnnep_binary_apply(ws, &p, 1, scratch);
            find_dots(update, which, p, scratch);
        }
    }
}

/* --- contrasts ---------------------------------------------------------------------------------------------------- */

/* Row j of the task, and all samples: bit n of word n / 64 of active[which]. */
static uint64_t *active_in_row(const struct update *update, const struct binary_scratch *scratch, int which, size_t j) {
    const size_t words = (update->ws->max_batch + 63) / 64;
    return scratch->active[which] + j * words;
}

static void find_active(const struct update *update, size_t row, struct binary_scratch *scratch) {
    const struct binary_workspace *ws = update->ws;
    for (int which = FIRST; which < BOTH; which++)
        for (size_t first = 0; first < ws->count; first += 64) {
            uint64_t words[64] = {0};
            for (size_t n = first; n < first + 64 && n < ws->count; n++)
                words[n - first] = active_of(ws, which, n, update->k)[row / 64];
            bnnep_cpu_transpose(words);
            for (size_t j = 0; j < TASK_ROWS; j++)
                active_in_row(update, scratch, which, j)[first / 64] = words[j];
        }
}

/* In how many samples row j of the task is active after each phase. */
static void count_active(const struct update *update, const struct binary_scratch *scratch, size_t j,
                         double counts[BOTH]) {
    for (int which = FIRST; which < BOTH; which++) {
        int64_t sum = 0;
        for (size_t w = 0; w < (update->ws->count + 63) / 64; w++)
            sum += __builtin_popcountll(active_in_row(update, scratch, which, j)[w]);
        counts[which] = (double)sum;
    }
}

/* Weights of a row in one place of the kernel, PANEL of them as far as there are so many. */
static struct cpu_weights panel_of(const struct update *update, size_t row, size_t part, size_t panel) {
    const size_t left = connection_of(update)->inner - panel * PANEL;
    return (struct cpu_weights){row, part, panel * PANEL, left < PANEL ? left : PANEL};
}

/* Must this panel be looked at? Otherwise its decay waits. A contrast that is kept leaves the momenta alone. */
static bool flush(const struct update *update, const struct cpu_weights *panel, bool contrast) {
    return update->learning->kept ||
           bnnep_binary_flush(update->optimizer, update->k, panel, update->may_wait && !contrast);
}

static void update_weights(struct update *update, const struct cpu_weights *which, const float *contrast,
                           struct cpu_tally *tally) {
    bnnep_cpu_learn_weights(update->ws->network, update->learning, update->k, which, contrast,
                            update->optimizer->momentum[update->k], tally);
}

/* Counts the bits of the listed rows of `from`, [..][PANEL_WORDS], for a panel of weights. */
static void count_panel(const struct update *update, const struct cpu_weights *panel, const uint64_t *from,
                        struct binary_scratch *scratch) {
    const struct count_kernels *kernels = update->ws->network->kernels->counts;
    const struct binary_events *list = &scratch->samples;
    kernels->counts(from, list->up, list->ups, list->down, list->downs, panel->count, scratch->counts);
    kernels->contrast(scratch->counts, panel->count, (int32_t)list->ups - (int32_t)list->downs, scratch->contrast);
}

/* Updates a row of weights of connection 0, in all places of the kernel, by the contrast in scratch->contrast. */
static void update_input_row(struct update *update, size_t row, bool contrast, const struct binary_scratch *scratch,
                             struct cpu_tally *tally) {
    const struct cpu_connection *c = connection_of(update);
    for (size_t part = 0; part < c->parts; part++)
        for (size_t i = 0; i < c->up_panels; i++) {
            const struct cpu_weights panel = panel_of(update, row, part, i);
            if (flush(update, &panel, contrast))
                update_weights(update, &panel, scratch->contrast + part * c->inner + panel.first, tally);
        }
}

/* --- fully connected ---------------------------------------------------------------------------------------------- */

/* Which samples differ between the phases in a panel of the layer below. */
static void find_differences(struct update *update) {
    struct binary_workspace *ws = update->ws;
    const size_t words = (ws->max_batch + 63) / 64;
    memset(ws->differs, 0, connection_of(update)->up_panels * words * sizeof *ws->differs);
    for (size_t n = 0; n < ws->count; n++) {
        const uint64_t *free = active_of(ws, FIRST, n, update->k - 1);
        const uint64_t *nudged = active_of(ws, SECOND, n, update->k - 1);
        for (size_t i = 0; i < (link_of(update)->columns + 63) / 64; i++)
            if (free[i] != nudged[i])
                ws->differs[i / PANEL_WORDS * words + n / 64] |= UINT64_C(1) << n % 64;
    }
}

/* The samples that count for row j of the task and a panel of the layer below, as rows of ws->active. */
static void list_samples(const struct update *update, size_t j, size_t panel, struct binary_scratch *scratch) {
    const struct binary_workspace *ws = update->ws;
    const size_t words = (ws->max_batch + 63) / 64, stride = ws->layout.units / PANEL;
    const uint64_t *free = active_in_row(update, scratch, FIRST, j);
    const uint64_t *nudged = active_in_row(update, scratch, SECOND, j);
    struct binary_events *list = &scratch->samples;
    list->ups = list->downs = 0;
    for (size_t w = 0; w < (ws->count + 63) / 64; w++) {
        const uint64_t count = ws->differs[panel * words + w] | (free[w] ^ nudged[w]);
        for (uint64_t up = nudged[w] & count; up; up &= up - 1)
            list->up[list->ups++] = (uint32_t)((ws->max_batch + 64 * w + (size_t)__builtin_ctzll(up)) * stride);
        for (uint64_t down = free[w] & count; down; down &= down - 1)
            list->down[list->downs++] = (uint32_t)((64 * w + (size_t)__builtin_ctzll(down)) * stride);
    }
}

/* Is the panel below another one after the second phase, in some sample? */
static bool differs(const struct binary_workspace *ws, size_t panel) {
    const size_t words = (ws->max_batch + 63) / 64;
    uint64_t any = 0;
    for (size_t w = 0; w < (ws->count + 63) / 64; w++)
        any |= ws->differs[panel * words + w];
    return any != 0;
}

static void update_row(struct update *update, size_t row, const double above[BOTH], struct binary_scratch *scratch,
                       struct cpu_tally *tally) {
    const struct binary_workspace *ws = update->ws;
    const uint64_t *below = active_of(ws, FIRST, 0, update->k - 1);
    for (size_t panel = 0; panel < connection_of(update)->up_panels; panel++) {
        const struct cpu_weights weights = panel_of(update, row, 0, panel);
        list_samples(update, row % TASK_ROWS, panel, scratch);
        const bool products = scratch->samples.ups + scratch->samples.downs > 0;
        if (!flush(update, &weights, products || (update->covariance && differs(ws, panel))))
            continue;
        count_panel(update, &weights, below + panel * PANEL_WORDS, scratch);
        if (update->covariance)
            ws->network->kernels->momenta->covariance(above, ws->total[FIRST] + weights.first,
                                                      ws->total[SECOND] + weights.first, weights.count,
                                                      1.0 / (double)ws->count, scratch->contrast);
        update_weights(update, &weights, scratch->contrast, tally);
    }
}

/* Connection 0: inputs of the samples whose unit differs. */
static void update_row_of_inputs(struct update *update, size_t row, const double above[BOTH],
                                 struct binary_scratch *scratch, struct cpu_tally *tally) {
    const struct binary_workspace *ws = update->ws;
    const size_t in = link_of(update)->in;
    const uint64_t *free = active_in_row(update, scratch, FIRST, row % TASK_ROWS);
    const uint64_t *nudged = active_in_row(update, scratch, SECOND, row % TASK_ROWS);
    double *sum = scratch->exact;
    bool contrast = false;
    memset(sum, 0, in * sizeof *sum);
    for (size_t w = 0; w < (ws->count + 63) / 64; w++)
        for (uint64_t differ = free[w] ^ nudged[w]; differ; differ &= differ - 1) {
            const size_t n = (size_t)__builtin_ctzll(differ);
            const double weight = nudged[w] >> n & 1 ? 1.0 : -1.0;
            const float *x = ws->x + (64 * w + n) * in;
            for (size_t i = 0; i < in; i++)
                sum[i] += weight * (double)x[i];
            contrast = true;
        }
    for (size_t i = 0; i < in; i++)
        scratch->contrast[i] = (float)sum[i];
    if (update->covariance)
        ws->network->kernels->momenta->covariance(above, ws->input_total, ws->input_total, in, 1.0 / (double)ws->count,
                                                  scratch->contrast);
    update_input_row(update, row, contrast, scratch, tally);
}

static void update_rows(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct binary_scratch *scratch = &update->ws->scratch[worker];
    const struct cpu_connection *c = connection_of(update);
    const struct bnnep_learning *how = update->learning->how;
    struct cpu_tally tally = {0};
    find_active(update, task * TASK_ROWS, scratch);
    for (size_t row = task * TASK_ROWS; row < c->rows && row < (task + 1) * TASK_ROWS; row++) {
        double active[BOTH], above[BOTH];
        count_active(update, scratch, row % TASK_ROWS, active);
        for (int which = FIRST; which < BOTH; which++)
            above[which] = how->sums[which] ? how->sums[which][update->k + 1][row] : active[which];
        (update->k > 0 ? update_row : update_row_of_inputs)(update, row, above, scratch, &tally);
        bnnep_cpu_learn_bias(update->ws->network, update->learning, update->k, row,
                             (float)(active[SECOND] - active[FIRST]), &tally);
    }
    bnnep_cpu_tell(update->ws->network, update->learning, update->k, task, &tally);
}

/* --- convolutions ------------------------------------------------------------------------------------------------- */

/* The panel of part (0, 0) that a unit's patch begins with, among those of a sample's padded map. */
static size_t patch_of(const struct update *update, int which, size_t sample, size_t unit) {
    const struct binary_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const char *record = bnnep_binary_record(ws, phase_of(update, which), sample);
    const uint16_t *argmax = bnnep_binary_part(record, ws->layer[update->k].argmax);
    const struct bnnep_position at = bnnep_binary_position(link, unit / link->rows, argmax[unit]);
    return at.y * (link->from.width + 2 * link->padding) + at.x;
}

/* The activations below of a sample in both phases, padded, a pixel's channels in panels of their own. */
static void pad_sample(void *arg, size_t sample, unsigned worker) {
    struct update *update = arg;
    struct binary_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const struct cpu_connection *c = connection_of(update);
    const size_t P = link->padding, W = link->from.width, C = link->from.channels;
    const size_t pixels = (link->from.height + 2 * P) * (W + 2 * P), words = pixels * c->up_panels * PANEL_WORDS;
    (void)worker;
    for (int which = FIRST; which < BOTH; which++) {
        const uint64_t *active = active_of(ws, which, sample, update->k - 1);
        uint64_t *map = ws->maps + ((size_t)which * ws->max_batch + sample) * words;
        memset(map, 0, words * sizeof *map);
        for (size_t i = 0; i < (link->in + 63) / 64; i++)
            for (uint64_t left = active[i]; left; left &= left - 1) {
                const size_t unit = 64 * i + (size_t)__builtin_ctzll(left), pixel = unit / C, channel = unit % C;
                const size_t at = (pixel / W + P) * (W + 2 * P) + pixel % W + P;
                map[at * c->up_panels * PANEL_WORDS + channel / 64] |= UINT64_C(1) << channel % 64;
            }
    }
}

/* The patches that count for output channel o, as rows of ws->maps; those of part (0, 0) and panel 0. Returns the
 * contrast of the bias. */
static int64_t list_patches(const struct update *update, size_t o, struct binary_scratch *scratch) {
    const struct binary_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const size_t panels = connection_of(update)->up_panels;
    const size_t pixels = (link->from.height + 2 * link->padding) * (link->from.width + 2 * link->padding);
    struct binary_events *list = &scratch->samples;
    list->ups = list->downs = 0;
    for (int which = FIRST; which < BOTH; which++) {
        uint32_t *to = which == SECOND ? list->up : list->down;
        size_t count = 0;
        for (size_t n = 0; n < ws->count; n++) {
            const uint64_t *active = active_of(ws, which, n, update->k);
            const size_t map = ((size_t)which * ws->max_batch + n) * pixels;
            for (size_t unit = o; unit < link->out; unit += link->rows)
                if (active[unit / 64] >> unit % 64 & 1)
                    to[count++] = (uint32_t)((map + patch_of(update, which, n, unit)) * panels);
        }
        *(which == SECOND ? &list->ups : &list->downs) = count;
    }
    return (int64_t)list->ups - (int64_t)list->downs;
}

static void update_channel(struct update *update, size_t o, struct binary_scratch *scratch, struct cpu_tally *tally) {
    const struct bnnep_link *link = link_of(update);
    const struct cpu_connection *c = connection_of(update);
    for (size_t part = 0; part < c->parts; part++)
        for (size_t panel = 0; panel < c->up_panels; panel++) {
            const size_t shift = part / link->kernel * (link->from.width + 2 * link->padding) + part % link->kernel;
            const uint64_t *from = update->ws->maps + (shift * c->up_panels + panel) * PANEL_WORDS;
            const struct cpu_weights weights = panel_of(update, o, part, panel);
            if (!flush(update, &weights, scratch->samples.ups + scratch->samples.downs > 0))
                continue;
            count_panel(update, &weights, from, scratch);
            update_weights(update, &weights, scratch->contrast, tally);
        }
}

/* sum += weight * what the kernel sees of the input from a position. */
static void add_input_patch(const struct bnnep_link *link, const float *x, struct bnnep_position from, double weight,
                            double *sum) {
    const size_t K = link->kernel, P = link->padding, H = link->from.height, W = link->from.width;
    for (size_t part = 0; part < K * K; part++) {
        const size_t at_y = from.y + part / K, at_x = from.x + part % K;
        if (at_y < P || at_y - P >= H || at_x < P || at_x - P >= W)
            continue;
        for (size_t i = 0; i < link->from.channels; i++)
            sum[part * link->from.channels + i] += weight * (double)x[(i * H + at_y - P) * W + at_x - P];
    }
}

/* Connection 0: inputs that the units that differ see; their argmax is the same in both phases. */
static void update_channel_of_inputs(struct update *update, size_t o, struct binary_scratch *scratch,
                                     struct cpu_tally *tally) {
    const struct binary_workspace *ws = update->ws;
    const struct bnnep_link *link = link_of(update);
    const struct cpu_connection *c = connection_of(update);
    double *sum = scratch->exact;
    bool contrast = false;
    memset(sum, 0, c->columns * sizeof *sum);
    for (size_t n = 0; n < ws->count; n++) {
        const uint64_t *free = active_of(ws, FIRST, n, 0), *nudged = active_of(ws, SECOND, n, 0);
        for (size_t unit = o; unit < link->out; unit += link->rows) {
            const uint64_t differ = (free[unit / 64] ^ nudged[unit / 64]) >> unit % 64 & 1;
            const double weight = nudged[unit / 64] >> unit % 64 & 1 ? 1.0 : -1.0;
            const uint16_t argmax = ws->drive_argmax[n * link->out + unit];
            if (differ)
                add_input_patch(link, ws->x + n * link->in, bnnep_binary_position(link, unit / link->rows, argmax),
                                weight, sum);
            contrast = contrast || differ;
        }
    }
    for (size_t i = 0; i < c->columns; i++)
        scratch->contrast[i] = (float)sum[i];
    update_input_row(update, o, contrast, scratch, tally);
}

static void update_channels(void *arg, size_t task, unsigned worker) {
    struct update *update = arg;
    struct binary_scratch *scratch = &update->ws->scratch[worker];
    const struct cpu_connection *c = connection_of(update);
    struct cpu_tally tally = {0};
    for (size_t o = task * TASK_ROWS; o < c->rows && o < (task + 1) * TASK_ROWS; o++) {
        bnnep_cpu_learn_bias(update->ws->network, update->learning, update->k, o,
                             (float)list_patches(update, o, scratch), &tally);
        (update->k > 0 ? update_channel : update_channel_of_inputs)(update, o, scratch, &tally);
    }
    bnnep_cpu_tell(update->ws->network, update->learning, update->k, task, &tally);
}

/* --- the rule ----------------------------------------------------------------------------------------------------- */

void bnnep_binary_learn(void *handle, void *workspace, const struct cpu_learning *learning) {
    struct binary_optimizer *optimizer = handle;
    struct binary_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_learning *how = learning->how;
    const double *dots = ws->dot;
    bnnep_pool_run(ws->pool, ws->threads, ws->count, finish_sample, &(struct update){.ws = ws, .learning = learning});
    for (size_t k = 0; k < model->connections; k++) {
        struct update update = {.optimizer = optimizer, .ws = ws, .learning = learning, .k = k};
        const struct bnnep_link *link = model->links[k];
        update.may_wait = !learning->kept && bnnep_binary_may_wait(optimizer, k, how->rules[k]);
        const bool convolution = bnnep_is_convolution(link);
        update.covariance = how->covariance && !convolution && (ws->count > 1 || how->sums[0]);
        if (update.covariance)
            bnnep_binary_add_up(ws, how, k);
        if (convolution && k > 0)
            bnnep_pool_run(ws->pool, ws->threads, ws->count, pad_sample, &update);
        else if (k > 0)
            find_differences(&update);
        const size_t tasks = (link->rows + TASK_ROWS - 1) / TASK_ROWS;
        bnnep_pool_run(ws->pool, ws->threads, tasks, convolution ? update_channels : update_rows, &update);
        bnnep_cpu_add_up(ws->network, learning, k, tasks);
        if (!learning->kept) {
            optimizer->network->connection[k].changes += how->flips[k];
            bnnep_binary_remember(optimizer, k, how->rules[k]);
        }
        for (size_t i = 0; how->learn_scale && i < link->scales; i++, dots += ws->max_batch) {
            double contrast = 0.0;
            for (size_t n = 0; n < ws->count; n++)
                contrast += dots[n];
            bnnep_cpu_learn_scale(ws->network, learning, k, i, (float)contrast);
        }
    }
}
