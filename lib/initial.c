/* SPDX-License-Identifier: MIT */
/* Initial values of a network's parameters. */
#include <math.h>
#include <string.h>

#include "lib/internal.h"

/* What is drawn for a connection, and sums of its signs, which balance biases. */
struct drawn {
    uint8_t *bits;
    float *scale, *bias;
    int32_t *row_sum, *column_sum;
};

static struct drawn take(const bnnep_network *net, size_t k) {
    const struct bnnep_link *link = net->model.links[k];
    return (struct drawn){
        .bits = bnnep_take(net->context, (uint64_t)link->rows * ((link->columns + 7) / 8), 1),
        .scale = bnnep_take(net->context, link->scales, sizeof(float)),
        .bias = bnnep_take(net->context, link->rows, sizeof(float)),
        .row_sum = bnnep_take(net->context, link->rows, sizeof(int32_t)),
        .column_sum = bnnep_take(net->context, link->columns, sizeof(int32_t)),
    };
}

static bool is_there(const struct drawn *drawn) {
    return drawn->bits && drawn->scale && drawn->bias && drawn->row_sum && drawn->column_sum;
}

static void give_back(const bnnep_context *context, const struct drawn *drawn) {
    bnnep_give_back(context, drawn->bits);
    bnnep_give_back(context, drawn->scale);
    bnnep_give_back(context, drawn->bias);
    bnnep_give_back(context, drawn->row_sum);
    bnnep_give_back(context, drawn->column_sum);
}

/* --- the paper's ------------------------------------------------------------------------------------------------- */

/* w ~ U(-r, r), r = 1/sqrt(fan_in): B = sign(w), alpha = mean|w| (of the whole matrix, or of each output channel of a
 * convolution) rounded to 4 decimals. Biases likewise; 0 in a convolutional network with binary activations. */
static void draw_connection(const struct bnnep_model *model, size_t k, uint64_t seed, const struct drawn *to) {
    const struct bnnep_link *link = model->links[k];
    const double r = 1.0 / sqrt((double)link->columns);
    const size_t stride = (link->columns + 7) / 8, rows_a_scale = link->rows / link->scales;
    double sum = 0.0;
    uint32_t words[4] = {0};
    for (size_t j = 0; j < link->rows; j++) {
        for (size_t i = 0; i < link->columns; i++) {
            const uint64_t weight = (uint64_t)j * link->columns + i;
            if (weight % 4 == 0)
                bnnep_draw(seed, BNNEP_DRAW_WEIGHT, (uint32_t)k, weight / 4, words);
            const float w = bnnep_draw_symmetric(words[weight % 4]);
            sum += fabs((double)w);
            if (w >= 0.0f)
                to->bits[j * stride + i / 8] |= (uint8_t)(1u << (i % 8));
            to->row_sum[j] += w >= 0.0f ? 1 : -1;
            to->column_sum[i] += w >= 0.0f ? 1 : -1;
        }
        if ((j + 1) % rows_a_scale == 0) {
            const double mean = r * sum / ((double)rows_a_scale * (double)link->columns);
            to->scale[j / rows_a_scale] = (float)(round(mean * 1e4) / 1e4);
            sum = 0.0;
        }
    }
    const bool zero = model->convolutional && model->dynamics == BNNEP_DYNAMICS_BINARY;
    for (size_t j = 0; j < link->rows; j++) {
        bnnep_draw(seed, BNNEP_DRAW_BIAS, (uint32_t)k, j, words);
        to->bias[j] = zero ? 0.0f : (float)(r * bnnep_draw_symmetric(words[0]));
    }
}

/* --- balanced ---------------------------------------------------------------------------------------------------- */

/* How small scaling factors may begin, however many layers there are: 2^-16 of the paper's. */
#define MOST_HALVINGS 16
/* What a hidden layer of binary activations feeds back, of what comes from below. */
#define FED_BACK 0.2

/* Binary activations: the scaling factor of connection k, of which the paper's is `scale`; that of connection k - 1 is
 * `below`. A hidden unit hears of the hidden layer above it FED_BACK times as much as of the one below it, in
 * deviations and if inputs deviate as units do; outputs are the weaker the more layers there are. */
static double balanced_scale(const struct bnnep_model *model, size_t k, double scale, double below) {
    const size_t hidden = model->connections - 1, halvings = hidden < MOST_HALVINGS ? hidden : MOST_HALVINGS;
    if (k + 1 == model->connections)
        return ldexp(scale, -(int)halvings);
    const double ratio = (double)model->links[k - 1]->columns / (double)model->links[k]->rows;
    return fmax(FED_BACK * below * sqrt(ratio), ldexp(scale, -MOST_HALVINGS));
}

/* What layers feed back must not drown what comes from below: two layers that hold each other active no longer heed the
 * input. Full-precision activations: a unit hears of `rows` units above. */
static void balance_scale(const struct bnnep_model *model, size_t k, float below, float *scale) {
    const struct bnnep_link *link = model->links[k];
    if (k > 0 && model->dynamics == BNNEP_DYNAMICS_REAL && link->rows > link->columns)
        *scale = (float)(0.5 / sqrt((double)link->rows));
    if (k > 0 && model->dynamics == BNNEP_DYNAMICS_BINARY && !model->convolutional)
        *scale = (float)balanced_scale(model, k, (double)*scale, (double)below);
}

/* Binary activations: a unit stands at theta, an output at 0, while all hidden units that it hears of are half
 * active; inputs are not known. First by what comes from below, then, as the connection above is drawn, from there. */
static void balance_bias(const struct bnnep_model *model, size_t k, const struct drawn *drawn) {
    const struct bnnep_link *link = model->links[k];
    const float rest = k + 1 < model->connections ? model->theta : 0.0f;
    for (size_t j = 0; j < link->rows; j++)
        drawn->bias[j] = k == 0 ? rest : rest - 0.5f * drawn->scale[0] * (float)drawn->row_sum[j];
}

static void balance_feedback(const struct bnnep_model *model, size_t k, const struct drawn *drawn, float *bias_below) {
    if (k + 1 == model->connections)
        return; /* outputs rest at 0 */
    for (size_t i = 0; i < model->links[k]->columns; i++)
        bias_below[i] -= 0.5f * drawn->scale[0] * (float)drawn->column_sum[i];
}

/* Balances connection k and, by its signs, the biases of the one below. */
static void balance(const struct bnnep_model *model, size_t k, const struct drawn *drawn, const struct drawn *below) {
    if (bnnep_is_convolution(model->links[k]))
        return;
    balance_scale(model, k, k > 0 ? below->scale[0] : 0.0f, drawn->scale);
    if (model->dynamics == BNNEP_DYNAMICS_REAL)
        return;
    balance_bias(model, k, drawn);
    if (k > 0 && !bnnep_is_convolution(model->links[k - 1]))
        balance_feedback(model, k, drawn, below->bias);
}

/* --- all of a network -------------------------------------------------------------------------------------------- */

static bnnep_status put(const bnnep_network *net, size_t k, const struct bnnep_parameters *values) {
    char why[BNNEP_WHY] = "";
    const bnnep_status status = net->backend->put(net->device, k, values, why);
    return status == BNNEP_OK ? BNNEP_OK : bnnep_fail(status, "initial values of connection %zu: %s", k, why);
}

/* Draws connection k into `drawn`; `below` is what was drawn for the one before. */
static bnnep_status draw_and_put(const bnnep_network *net, size_t k, const struct drawn *drawn,
                                 const struct drawn *below) {
    const bool balanced = net->options.start == BNNEP_START_BALANCED;
    draw_connection(&net->model, k, net->options.seed, drawn);
    if (balanced)
        balance(&net->model, k, drawn, below);
    const struct bnnep_parameters values = {sizeof values, drawn->bits, drawn->scale, drawn->bias};
    const struct bnnep_parameters biases = {.size = sizeof biases, .bias = below->bias};
    bnnep_status status = put(net, k, &values);
    if (status == BNNEP_OK && balanced && k > 0)
        status = put(net, k - 1, &biases);
    return status;
}

bnnep_status bnnep_draw_parameters(bnnep_network *net) {
    struct drawn below = {0};
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < net->model.connections; k++) {
        const struct bnnep_link *link = net->model.links[k];
        const struct drawn drawn = take(net, k);
        status = is_there(&drawn) ? draw_and_put(net, k, &drawn, &below)
                                  : bnnep_fail_memory("initial values", (uint64_t)link->rows * link->columns / 8);
        give_back(net->context, &below);
        below = drawn;
    }
    give_back(net->context, &below);
    return status;
}
