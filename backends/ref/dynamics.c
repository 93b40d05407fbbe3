/* SPDX-License-Identifier: MIT */
/* The two dynamics, one sample at a time. */
#include <string.h>

#include "backends/ref/ref.h"
#include <bnnep/rules.h>

static struct bnnep_position place_of(const struct bnnep_link *link, size_t u, size_t q) {
    return bnnep_place_of(u, q, link->to.width, link->pool);
}

/* The input unit that column i of the sign matrix sees from a place of the output, or -1 if that lies in the padding.
 */
static ptrdiff_t seen_by(const struct bnnep_link *link, size_t i, struct bnnep_position at) {
    const size_t K = link->kernel, c = i / (K * K);
    const ptrdiff_t row = (ptrdiff_t)(at.y + i / K % K) - (ptrdiff_t)link->padding;
    const ptrdiff_t column = (ptrdiff_t)(at.x + i % K) - (ptrdiff_t)link->padding;
    if (row < 0 || column < 0 || row >= (ptrdiff_t)link->from.height || column >= (ptrdiff_t)link->from.width)
        return -1;
    return (ptrdiff_t)(c * link->from.height + (size_t)row) * (ptrdiff_t)link->from.width + column;
}

/* Row j of B_k at a place of the convolution's output. */
static float patch_sum(const struct ref_network *net, size_t k, size_t j, struct bnnep_position at, const float *a) {
    const struct bnnep_link *link = net->model->links[k];
    const int8_t *row = net->connection[k].sign + j * link->columns;
    double sum = 0.0;
    for (size_t i = 0; i < link->columns; i++) {
        const ptrdiff_t unit = seen_by(link, i, at);
        if (unit >= 0)
            sum += row[i] * (double)a[unit];
    }
    return (float)sum;
}

/* Row j of B_k of a fully connected layer. */
static float row_sum(const struct ref_network *net, size_t k, size_t j, const float *a) {
    const size_t columns = net->model->links[k]->columns;
    const int8_t *row = net->connection[k].sign + j * columns;
    double sum = 0.0;
    for (size_t i = 0; i < columns; i++)
        sum += row[i] * (double)a[i];
    return (float)sum;
}

/* fc: W a + b. conv: maxpool(conv2d(a, W) + b), the first maximum in row-major order. */
void bnnep_ref_forward(const struct ref_network *net, size_t k, const float *a, float *value, uint16_t *argmax) {
    const struct bnnep_link *link = net->model->links[k];
    const struct ref_connection *c = &net->connection[k];
    if (!bnnep_is_convolution(link)) {
        for (size_t j = 0; j < link->rows; j++)
            value[j] = bnnep_forward(c->alpha[0], row_sum(net, k, j, a), c->bias[j]);
        return;
    }
    const size_t units = link->to.height * link->to.width;
    for (size_t j = 0; j < link->rows; j++)
        for (size_t u = 0; u < units; u++)
            for (uint16_t q = 0; q < link->pool * link->pool; q++) {
                const float sum = patch_sum(net, k, j, place_of(link, u, q), a);
                const float v = bnnep_forward(c->alpha[j], sum, c->bias[j]);
                if (bnnep_is_argmax(q, v, value[j * units + u])) {
                    value[j * units + u] = v;
                    argmax[j * units + u] = q;
                }
            }
}

/* What output channel j of a convolution sends down for an activation a, and what the sum is still multiplied with. */
static double pulled_by(const struct bnnep_grid *grid, float alpha, float largest, float a) {
    return grid->steps == 0.0f ? (double)alpha * (double)a
                               : (double)bnnep_on_grid(grid, bnnep_share(alpha, largest) * a);
}

/* fc: W^T a. conv: conv_transpose(unpool(a), W), from the pooled positions only. */
void bnnep_ref_feedback(const struct ref_network *net, size_t k, const float *a, const uint16_t *argmax, float *value,
                        double *sum) {
    const struct bnnep_link *link = net->model->links[k];
    const struct ref_connection *c = &net->connection[k];
    for (size_t i = 0; i < link->in; i++)
        sum[i] = 0.0;
    if (!bnnep_is_convolution(link)) {
        for (size_t j = 0; j < link->rows; j++)
            for (size_t i = 0; i < link->columns; i++)
                sum[i] += c->sign[j * link->columns + i] * (double)a[j];
        const float scale = bnnep_feedback_scale(c->alpha[0], net->model->feedback);
        for (size_t i = 0; i < link->in; i++)
            value[i] = scale * (float)sum[i];
        return;
    }
    const struct bnnep_grid *grid = &net->model->grid;
    const float largest = grid->steps == 0.0f ? 1.0f : bnnep_largest(c->alpha, link->rows);
    const size_t units = link->to.height * link->to.width;
    for (size_t j = 0; j < link->rows; j++)
        for (size_t u = 0; u < units; u++) {
            const struct bnnep_position at = place_of(link, u, argmax[j * units + u]);
            const double pulled = pulled_by(grid, c->alpha[j], largest, a[j * units + u]);
            for (size_t i = 0; i < link->columns; i++) {
                const ptrdiff_t unit = seen_by(link, i, at);
                if (unit >= 0)
                    sum[unit] += c->sign[j * link->columns + i] * pulled;
            }
        }
    const float scale = bnnep_feedback_scale(largest, net->model->feedback);
    for (size_t i = 0; i < link->in; i++)
        value[i] = scale * (float)sum[i];
}

void bnnep_ref_feedback_adjoint(const struct ref_network *net, size_t k, const float *a, const uint16_t *argmax,
                                float *value) {
    const struct bnnep_link *link = net->model->links[k];
    const struct ref_connection *c = &net->connection[k];
    const size_t units = link->out / link->rows; /* a row; 1 if fully connected */
    for (size_t j = 0; j < link->rows; j++)
        for (size_t u = 0; u < units; u++) {
            const size_t v = j * units + u;
            value[v] = bnnep_is_convolution(link) ? c->alpha[j] * patch_sum(net, k, j, place_of(link, u, argmax[v]), a)
                                                  : c->alpha[0] * row_sum(net, k, j, a);
        }
}

void bnnep_ref_outer(const struct ref_network *net, size_t k, size_t j, double weight, struct ref_pair pair,
                     double *G) {
    const struct bnnep_link *link = net->model->links[k];
    if (!bnnep_is_convolution(link)) {
        for (size_t i = 0; i < link->columns; i++)
            G[i] += weight * pair.above[j] * (double)pair.below[i];
        return;
    }
    const size_t units = link->to.height * link->to.width;
    for (size_t u = 0; u < units; u++) {
        const struct bnnep_position at = place_of(link, u, pair.argmax[j * units + u]);
        for (size_t i = 0; i < link->columns; i++) {
            const ptrdiff_t unit = seen_by(link, i, at);
            if (unit >= 0)
                G[i] += weight * pair.above[j * units + u] * (double)pair.below[unit];
        }
    }
}

bnnep_status bnnep_ref_stage(void *handle, const float *x, const float *target, size_t count, char *why) {
    (void)why;
    struct ref_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *first = model->links[0], *last = model->links[model->connections - 1];
    const float start = bnnep_start(model->dynamics == BNNEP_DYNAMICS_BINARY, model->convolutional);
    ws->count = count;
    for (size_t v = 0; v < count * first->in; v++)
        ws->x[v] = bnnep_on_grid(&model->grid, x[v]);
    if (target)
        memcpy(ws->target, target, count * last->out * sizeof(float));
    for (size_t n = 0; n < count; n++)
        bnnep_ref_forward(ws->network, 0, ws->x + n * first->in, ws->drive + n * first->out,
                          ws->argmax[BNNEP_PHASE_FREE][0] + n * first->out);
    for (size_t k = 0; k < model->connections; k++)
        for (size_t v = 0; v < count * model->links[k]->out; v++) {
            ws->state[BNNEP_PHASE_FREE][k][v] = start;
            if (k > 0)
                ws->argmax[BNNEP_PHASE_FREE][k][v] = 0;
        }
    return BNNEP_OK;
}

void bnnep_ref_sums(struct ref_workspace *ws, int32_t phase, size_t n, int32_t t) {
    const struct ref_network *net = ws->network;
    const struct bnnep_model *model = net->model;
    const bool binary = model->dynamics == BNNEP_DYNAMICS_BINARY;
    const size_t L = model->connections;
    for (size_t k = 0; k < L; k++)
        for (size_t j = 0, units = model->links[k]->out; j < units; j++)
            ws->active[k][j] = bnnep_activation(binary, model->theta, ws->state[phase][k][n * units + j]);
    memcpy(ws->forward[0], ws->drive + n * model->links[0]->out, model->links[0]->out * sizeof(float));
    for (size_t k = 0; k < L; k++)
        memcpy(ws->pooled[k], ws->argmax[phase][k] + n * model->links[k]->out, model->links[k]->out * sizeof(uint16_t));
    for (size_t k = 1; k < L; k++) {
        if (t == 1 || bnnep_moves(model->schedule, k, t)) /* else its argmax is that of its last forward */
            bnnep_ref_forward(net, k, ws->active[k - 1], ws->forward[k], ws->pooled[k]);
        if (bnnep_moves(model->schedule, k - 1, t))
            bnnep_ref_feedback(net, k, ws->active[k], ws->pooled[k], ws->feedback[k - 1], ws->back);
    }
    for (size_t k = 0; k < L; k++)
        for (size_t j = 0; j < model->links[k]->out; j++)
            ws->pre[k][j] = k + 1 < L ? ws->forward[k][j] + ws->feedback[k][j] : ws->forward[k][j];
}

/* Time step t of sample n: layers move at once, from the states of the step before. Returns the largest change. */
static float step(struct ref_workspace *ws, size_t n, const struct bnnep_phase_run *how, int32_t t) {
    const struct bnnep_model *model = ws->network->model;
    const size_t L = model->connections;
    float change = 0.0f;
    bnnep_ref_sums(ws, how->to, n, t);
    for (size_t k = 0; k < L; k++) {
        const size_t units = model->links[k]->out;
        struct bnnep_neuron neuron = bnnep_neuron_of(model, k, how->beta);
        neuron.stride = bnnep_stride(model->schedule == BNNEP_SCHEDULE_OVER_RELAXED, how->beta, t);
        memcpy(ws->argmax[how->to][k] + n * units, ws->pooled[k], units * sizeof(uint16_t));
        for (size_t j = 0; bnnep_moves(model->schedule, k, t) && j < units; j++) {
            float *s = &ws->state[how->to][k][n * units + j];
            const float target = neuron.output ? ws->target[n * units + j] : 0.0f;
            const float prediction = ws->state[BNNEP_PHASE_FREE][k][n * units + j];
            const float next = bnnep_next_state(&neuron, *s, ws->pre[k][j], target, prediction);
            change = fmaxf(change, fabsf(next - *s));
            *s = next;
        }
    }
    return change;
}

bnnep_status bnnep_ref_relax(void *handle, const struct bnnep_phase_run *how, bnnep_relaxed *done, char *why) {
    (void)why;
    struct ref_workspace *ws = handle;
    const struct bnnep_model *model = ws->network->model;
    done->sample_steps = 0;
    done->most_steps = 0;
    for (size_t k = 0; how->from != how->to && k < model->connections; k++) {
        const size_t count = ws->count * model->links[k]->out;
        memcpy(ws->state[how->to][k], ws->state[how->from][k], count * sizeof(float));
        memcpy(ws->argmax[how->to][k], ws->argmax[how->from][k], count * sizeof(uint16_t));
    }
    for (size_t n = 0; n < ws->count; n++) {
        int32_t steps = 0, calm = 0; /* steps in a row that changed nothing */
        while (steps < how->steps && calm < bnnep_calm_steps(model->schedule)) {
            if (how->cancelled && how->cancelled(how->cancel_user))
                return BNNEP_CANCELLED;
            calm = step(ws, n, how, ++steps) > how->tolerance ? 0 : calm + 1;
        }
        done->sample_steps += (uint64_t)steps;
        if (steps > done->most_steps)
            done->most_steps = steps;
    }
    return BNNEP_OK;
}
