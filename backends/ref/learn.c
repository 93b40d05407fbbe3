/* SPDX-License-Identifier: MIT */
/* Gradients, by the contrast of two phases or by back-propagation through time, and the rule that applies them. */
#include <string.h>

#include "backends/ref/ref.h"
#include <bnnep/rules.h>

/* --- back-propagation through time ------------------------------------------------------------------------------- */

/* State of layer index k of sample n before step t of the tape, into `to`. */
static const float *state_before(const struct ref_optimizer *optimizer, int32_t t, size_t k, size_t n, float *to) {
    const size_t units = optimizer->network->model->links[k]->out;
    const struct ref_tape *tape = &optimizer->tape;
    const struct bnnep_neuron neuron = bnnep_neuron_of(optimizer->network->model, k, 0.0f);
    for (size_t j = 0; j < units; j++)
        to[j] = t == 0 ? tape->start[k][n * units + j] : bnnep_rho(&neuron, tape->pre[t - 1][k][n * units + j]);
    return to;
}

static void record(struct ref_tape *tape, struct ref_workspace *ws, size_t n) {
    const struct bnnep_model *model = ws->network->model;
    for (size_t k = 0; k < model->connections; k++) {
        const size_t units = model->links[k]->out;
        memcpy(tape->start[k] + n * units, ws->state[BNNEP_PHASE_FREE][k] + n * units, units * sizeof(float));
    }
    for (int32_t t = 0; t < tape->steps; t++) {
        bnnep_ref_sums(ws, BNNEP_PHASE_FREE, n, t + 1);
        for (size_t k = 0; k < model->connections; k++) {
            const size_t units = model->links[k]->out;
            const struct bnnep_neuron neuron = bnnep_neuron_of(model, k, 0.0f);
            memcpy(tape->pre[t][k] + n * units, ws->pre[k], units * sizeof(float));
            memcpy(tape->argmax[t][k] + n * units, ws->pooled[k], units * sizeof(uint16_t));
            memcpy(ws->argmax[BNNEP_PHASE_FREE][k] + n * units, ws->pooled[k], units * sizeof(uint16_t));
            for (size_t j = 0; j < units; j++)
                ws->state[BNNEP_PHASE_FREE][k][n * units + j] = bnnep_rho(&neuron, ws->pre[k][j]);
        }
    }
}

/* g = dLoss/dstate after step t -> delta = dLoss/dpre of step t. */
static void through_activation(struct ref_tape *tape, const struct bnnep_model *model, int32_t t, size_t n,
                               ref_layers g) {
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_neuron neuron = bnnep_neuron_of(model, k, 0.0f);
        for (size_t j = 0, units = model->links[k]->out; j < units; j++) {
            const float slope = bnnep_rho_slope(&neuron, tape->pre[t][k][n * units + j]);
            tape->delta[t][k][n * units + j] = slope * g[k][j];
        }
    }
}

/* g = dLoss/dstate before step t: layer k was read forward by connection k+1 and backward by connection k. */
static void through_weights(struct ref_tape *tape, struct ref_workspace *ws, int32_t t, size_t n, ref_layers g) {
    const struct bnnep_model *model = ws->network->model;
    for (size_t k = 0; k < model->connections; k++) {
        const size_t units = model->links[k]->out;
        for (size_t j = 0; j < units; j++)
            g[k][j] = 0.0f;
        if (k + 1 < model->connections) {
            const size_t above = model->links[k + 1]->out;
            bnnep_ref_feedback(ws->network, k + 1, tape->delta[t][k + 1] + n * above,
                               tape->argmax[t][k + 1] + n * above, g[k], ws->back);
        }
        if (k > 0) {
            bnnep_ref_feedback_adjoint(ws->network, k, tape->delta[t][k - 1] + n * model->links[k]->in,
                                       tape->argmax[t][k] + n * units, ws->forward[k]);
            for (size_t j = 0; j < units; j++)
                g[k][j] += ws->forward[k][j];
        }
    }
}

bnnep_status bnnep_ref_backpropagate(void *handle, void *workspace, int32_t steps, char *why) {
    (void)why;
    struct ref_optimizer *optimizer = handle;
    struct ref_workspace *ws = workspace;
    const struct bnnep_model *model = ws->network->model;
    const size_t top = model->connections - 1, out = model->links[top]->out;
    struct ref_tape *tape = &optimizer->tape;
    tape->steps = steps;
    for (size_t n = 0; n < ws->count; n++) {
        record(tape, ws, n);
        ref_layers g = ws->active; /* free for use by now */
        for (size_t k = 0; k < top; k++)
            memset(g[k], 0, model->links[k]->out * sizeof(float));
        for (size_t j = 0; j < out; j++)
            g[top][j] = ws->state[BNNEP_PHASE_FREE][top][n * out + j] - ws->target[n * out + j];
        for (int32_t t = steps - 1; t >= 0; t--) {
            through_activation(tape, model, t, n, g);
            if (t > 0)
                through_weights(tape, ws, t, n, g);
        }
    }
    return BNNEP_OK;
}

/* Row j: gradient of the loss, summed over the batch and the steps. Returns that of the bias. */
static double row_gradient(struct ref_optimizer *optimizer, struct ref_workspace *ws, size_t k, size_t j, double *G) {
    const struct bnnep_model *model = ws->network->model;
    const struct bnnep_link *link = model->links[k];
    const struct ref_tape *tape = &optimizer->tape;
    double bias = 0.0;
    for (int32_t t = 0; t < tape->steps; t++)
        for (size_t n = 0; n < ws->count; n++) {
            const float *delta = tape->delta[t][k] + n * link->out;
            const uint16_t *argmax = tape->argmax[t][k] + n * link->out;
            const float *below =
                k == 0 ? ws->x + n * link->in : state_before(optimizer, t, k - 1, n, ws->active[k - 1]);
            bnnep_ref_outer(ws->network, k, j, 1.0, (struct ref_pair){delta, below, argmax}, G);
            if (k > 0)
                bnnep_ref_outer(ws->network, k, j, 1.0,
                                (struct ref_pair){state_before(optimizer, t, k, n, ws->active[k]),
                                                  tape->delta[t][k - 1] + n * link->in, argmax},
                                G);
            for (size_t u = 0, units = link->out / link->rows; u < units; u++)
                bias += (double)delta[j * units + u];
        }
    return bias;
}

/* --- contrast ----------------------------------------------------------------------------------------------------- */

/* Activations of layer k, the input for k = 0, of sample n after a phase. */
static const float *activations(struct ref_workspace *ws, int32_t phase, size_t k, size_t n) {
    const struct bnnep_model *model = ws->network->model;
    if (k == 0)
        return ws->x + n * model->links[0]->in;
    const size_t units = model->links[k - 1]->out;
    const bool binary = model->dynamics == BNNEP_DYNAMICS_BINARY;
    for (size_t j = 0; j < units; j++)
        ws->active[k - 1][j] = bnnep_activation(binary, model->theta, ws->state[phase][k - 1][n * units + j]);
    return ws->active[k - 1];
}

/* Row j: G = sum over the batch of a^b a^b - a^* a^*, the second phase minus the first one, each with the argmax of its
 * last step. Returns the same of the bias. */
static double row_contrast(struct ref_workspace *ws, const struct bnnep_learning *how, size_t k, size_t j, double *G) {
    const struct bnnep_link *link = ws->network->model->links[k];
    double bias = 0.0;
    for (size_t n = 0; n < ws->count; n++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const int32_t phase = sign > 0 ? how->second : how->first;
            const double weight = sign;
            const float *below = activations(ws, phase, k, n), *above = activations(ws, phase, k + 1, n);
            const struct ref_pair pair = {above, below, ws->argmax[phase][k] + n * link->out};
            bnnep_ref_outer(ws->network, k, j, weight, pair, G);
            for (size_t u = 0, units = link->out / link->rows; u < units; u++)
                bias += weight * above[j * units + u];
        }
    return bias;
}

/* Activations of layer k, the input for k = 0, summed over the batch after the first and the second phase. */
static void add_up_samples(struct ref_workspace *ws, const struct bnnep_learning *how, size_t k) {
    const size_t units = ws->network->model->links[k]->columns;
    double *total = ws->total[k];
    memset(total, 0, 2 * units * sizeof *total);
    for (size_t i = 0; how->sums[0] && i < 2; i++)
        memcpy(total + i * units, how->sums[i][k], units * sizeof *total);
    if (how->sums[0])
        return;
    for (size_t n = 0; n < ws->count; n++)
        for (int i = 0; i < 2; i++) {
            const float *a = activations(ws, i == 0 ? how->first : how->second, k, n);
            for (size_t j = 0; j < units; j++)
                total[(size_t)i * units + j] += (double)a[j];
        }
}

/* Row j: what makes covariances of products, of a fully connected layer's unit with those below. */
static void take_covariance(struct ref_workspace *ws, const struct bnnep_learning *how, size_t k, size_t j, float *G) {
    const struct bnnep_link *link = ws->network->model->links[k];
    double above[2] = {0.0, 0.0};
    for (int i = 0; i < 2; i++)
        for (size_t n = 0; n < ws->count; n++)
            above[i] += (double)activations(ws, i == 0 ? how->first : how->second, k + 1, n)[j];
    for (int i = 0; how->sums[0] && i < 2; i++)
        above[i] = how->sums[i][k + 1][j];
    for (size_t i = 0; i < link->columns; i++) {
        const double below[2] = {ws->total[k][i], ws->total[k][link->columns + i]};
        G[i] = bnnep_covariance(G[i], bnnep_product_of_sums(above, below), 1.0 / (double)ws->count);
    }
}

/* Scaling factors: sum over the batch of a_{k+1} . W_k a_k, second minus first; in a convolution, with the bias, of
 * each channel, pooled anew. */
static void scale_contrast(struct ref_workspace *ws, const struct bnnep_learning *how, size_t k) {
    const struct bnnep_link *link = ws->network->model->links[k];
    const size_t units = link->out / link->scales; /* that share a scaling factor, one behind the other */
    double *contrast = ws->scale[k], *first = contrast + link->scales; /* first: of one sample */
    memset(contrast, 0, link->scales * sizeof *contrast);
    for (size_t n = 0; n < ws->count; n++)
        for (int i = 0; i < 2; i++) {
            const int32_t phase = i == 0 ? how->first : how->second;
            const float *below = activations(ws, phase, k, n), *above = activations(ws, phase, k + 1, n);
            if (bnnep_is_convolution(link))
                bnnep_ref_forward(ws->network, k, below, ws->forward[k], ws->pooled[k]);
            else
                bnnep_ref_feedback_adjoint(ws->network, k, below, NULL, ws->forward[k]); /* W a without bias */
            for (size_t s = 0; s < link->scales; s++) {
                double sum = 0.0;
                for (size_t u = s * units; u < (s + 1) * units; u++)
                    sum += (double)above[u] * (double)ws->forward[k][u];
                if (i == 0)
                    first[s] = sum;
                else
                    contrast[s] += sum - first[s];
            }
        }
}

bnnep_status bnnep_ref_contrast(void *handle, void *workspace, const struct bnnep_learning *how, char *why) {
    (void)why;
    struct ref_optimizer *optimizer = handle;
    struct ref_workspace *ws = workspace;
    const struct bnnep_model *model = optimizer->network->model;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const bool covariance = how->covariance && !bnnep_is_convolution(link) && (ws->count > 1 || how->sums[0]);
        if (covariance)
            add_up_samples(ws, how, k);
        if (how->learn_scale)
            scale_contrast(ws, how, k);
        for (size_t i = 0; i < link->scales; i++)
            optimizer->scale_contrast[k][i] = how->learn_scale ? (float)ws->scale[k][i] : 0.0f;
        for (size_t j = 0; j < link->rows; j++) {
            double *G = ws->sum[k];
            memset(G, 0, link->columns * sizeof *G);
            optimizer->bias_contrast[k][j] = (float)(optimizer->tape.room > 0 ? row_gradient(optimizer, ws, k, j, G)
                                                                              : row_contrast(ws, how, k, j, G));
            for (size_t i = 0; i < link->columns; i++)
                optimizer->contrast[k][j * link->columns + i] = (float)G[i];
            if (covariance)
                take_covariance(ws, how, k, j, optimizer->contrast[k] + j * link->columns);
        }
    }
    return BNNEP_OK;
}

/* --- the rule ----------------------------------------------------------------------------------------------------- */

/* Momentum and flips of row j. Returns the number of flips. */
static uint64_t update_row(struct ref_optimizer *optimizer, size_t k, size_t j, const struct bnnep_rule *rule,
                           float alpha) {
    const size_t columns = optimizer->network->model->links[k]->columns;
    const float *G = optimizer->contrast[k] + j * columns;
    float *m = optimizer->momentum[k] + j * columns;
    int8_t *sign = optimizer->network->connection[k].sign + j * columns;
    uint64_t flips = 0;
    for (size_t i = 0; i < columns; i++) {
        const float side = bnnep_sign(alpha) * sign[i];
        m[i] = bnnep_consolidated(side, m[i], bnnep_momentum(m[i], rule->decay, rule->gain, G[i]), rule->consolidation);
        if (bnnep_flips(side, m[i], rule->threshold, rule->at_threshold)) {
            sign[i] = (int8_t)-sign[i];
            m[i] = rule->reset ? 0.0f : m[i];
            flips++;
        }
    }
    return flips;
}

static double sum_of_squares(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

bnnep_status bnnep_ref_update(void *handle, const struct bnnep_learning *how, char *why) {
    (void)why;
    struct ref_optimizer *optimizer = handle;
    const struct bnnep_model *model = optimizer->network->model;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const struct bnnep_rule *rule = how->rules[k];
        struct ref_connection *c = &optimizer->network->connection[k];
        how->flips[k] = 0;
        for (size_t j = 0; j < link->rows; j++) {
            how->flips[k] += update_row(optimizer, k, j, rule, c->alpha[link->scales == 1 ? 0 : j]);
            c->bias[j] += rule->bias_gain * optimizer->bias_contrast[k][j];
        }
        for (size_t i = 0; how->learn_scale && i < link->scales; i++)
            c->alpha[i] += rule->scale_gain * optimizer->scale_contrast[k][i];
        if (how->squares)
            how->squares[k] = (struct bnnep_squares){
                .weights = sum_of_squares(optimizer->contrast[k], link->rows * link->columns),
                .bias = sum_of_squares(optimizer->bias_contrast[k], link->rows),
                .scale = sum_of_squares(optimizer->scale_contrast[k], link->scales),
            };
    }
    return BNNEP_OK;
}
