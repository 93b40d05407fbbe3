/* SPDX-License-Identifier: MIT */
/*
 * Learning: a thread takes a synapse, sums its gradient over the batch, moves its momentum, holds it against the
 * threshold and flips it, so that momenta are read and written once. Then biases and scaling factors.
 */
#include "backends/cuda/geometry.h"

namespace bnnep_cuda {

/* What a contrast reads: states of a layer, or the input, whose activations are themselves. */
struct reading {
    bool binary;
    float theta;
};

static __device__ float activation(reading r, float s) {
    return bnnep_activation(r.binary, r.theta, s);
}

static reading reading_of(const network &net, bool input) {
    return reading{net.binary() && !input, net.model->theta};
}

/* What a synapse's gradient does to it; or it is kept. */
struct updating {
    bnnep_rule rule;
    float *momentum;
    unsigned long long *flips;
    float *kept;
    double *squares; /* [block] of gradients, or NULL */
};

static __device__ void flip(const shape &l, const synapses &w, int j, int i) {
    atomicXor(&w.bits[static_cast<size_t>(j) * w.words + i / 32], 1u << (i % 32));
    const size_t at = static_cast<size_t>(j) * l.columns + i;
    if (w.f32)
        w.f32[at] = -w.f32[at];
    else if (w.f64)
        w.f64[at] = -w.f64[at];
    else {
        int8_t *sign = &w.i8[static_cast<size_t>(j) * l.padded_columns + i];
        *sign = static_cast<int8_t>(-*sign);
        w.transposed[static_cast<size_t>(i) * l.padded_rows + j] = *sign;
    }
}

static __device__ void turn(const shape &l, const synapses &w, const updating &t, int j, int i, float gradient) {
    const size_t at = static_cast<size_t>(j) * l.columns + i;
    if (t.kept) {
        t.kept[at] = gradient;
        return;
    }
    const float bit = w.bits[static_cast<size_t>(j) * w.words + i / 32] >> (i % 32) & 1u ? 1.0f : -1.0f;
    const float sign = bnnep_sign(w.alpha[l.scales == 1 ? 0 : j]) * bit, before = t.momentum[at];
    const float after = bnnep_momentum(before, t.rule.decay, t.rule.gain, gradient);
    const float m = bnnep_consolidated(sign, before, after, t.rule.consolidation);
    t.momentum[at] = m;
    if (!bnnep_flips(sign, m, t.rule.threshold, t.rule.at_threshold))
        return;
    if (t.rule.reset)
        t.momentum[at] = 0.0f;
    flip(l, w, j, i);
    atomicAdd(t.flips, 1ull);
}

static __device__ double square_of(float gradient) {
    return static_cast<double>(gradient) * static_cast<double>(gradient);
}

/* Of a thread's gradient; all threads of the block must come here. */
static __device__ void tell_square(const updating &t, double square) {
    if (!t.squares)
        return;
    const double sum = sum_of_block(square);
    if (threadIdx.x == 0 && threadIdx.y == 0)
        t.squares[blockIdx.x] = sum;
}

/* By one block. */
static __global__ void add_squares(const double *squares, size_t count, double *total) {
    double sum = 0.0;
    for (size_t i = threadIdx.x; i < count; i += threads_in_block)
        sum += squares[i];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0)
        *total = sum;
}

/* What a synapse's gradient is a contrast of. */
struct reckoning {
    int samples;
    bool covariance;    /* of the second phase, term 0, and the first, term 1; else of products */
    const double *sums; /* those of units to take it by, [2][rows], [2][columns]; NULL: the samples' */
};

static __device__ void take_sums(shape l, const double *sums, int j, int i, double above[2], double below[2]) {
    for (int phase = 0; phase < 2; phase++) {
        above[phase] = sums[phase * l.rows + j];
        below[phase] = sums[2 * l.rows + phase * l.columns + i];
    }
}

/* Fully connected: a block takes side x side synapses, and the samples through shared memory, side at a time. */
template <typename Sum>
static __global__ void update_matrix(shape l, synapses w, updating t, const term *terms, int count, reading above,
                                     reading below, reckoning of) {
    __shared__ Sum high[side][side + 1], low[side][side + 1];
    const int across = (l.columns + side - 1) / side, tx = threadIdx.x, ty = threadIdx.y;
    const int j0 = static_cast<int>(blockIdx.x) / across * side, i0 = static_cast<int>(blockIdx.x) % across * side;
    const int samples = of.samples;
    Sum sum = 0;
    double first_above = 0.0, first_below = 0.0, second_above = 0.0, second_below = 0.0; /* sums of the phases */
    for (int c = 0; c < count; c++) {
        double total_above = 0.0, total_below = 0.0;
        for (int first = 0; first < samples; first += side) {
            const size_t n = static_cast<size_t>(first) + ty;
            const bool staged = first + ty < samples;
            high[ty][tx] = static_cast<Sum>(
                staged && j0 + tx < l.rows ? terms[c].weight * activation(above, terms[c].above[n * l.rows + j0 + tx])
                                           : 0.0f);
            low[ty][tx] = static_cast<Sum>(
                staged && i0 + tx < l.columns ? activation(below, terms[c].below[n * l.columns + i0 + tx]) : 0.0f);
            __syncthreads();
            for (int s = 0; s < side; s++)
                sum += high[s][ty] * low[s][tx];
            Sum some_above = 0, some_below = 0;
            for (int s = 0; of.covariance && s < side; s++) {
                some_above += high[s][ty];
                some_below += low[s][tx];
            }
            total_above += static_cast<double>(some_above);
            total_below += static_cast<double>(some_below);
            __syncthreads();
        }
        (c == 0 ? second_above : first_above) = static_cast<double>(terms[c].weight) * total_above;
        (c == 0 ? second_below : first_below) = total_below;
    }
    float gradient = static_cast<float>(sum);
    const bool here = j0 + ty < l.rows && i0 + tx < l.columns;
    if (of.covariance) {
        double high_sums[2] = {first_above, second_above}, low_sums[2] = {first_below, second_below};
        if (of.sums && here)
            take_sums(l, of.sums, j0 + ty, i0 + tx, high_sums, low_sums);
        gradient = bnnep_covariance(gradient, bnnep_product_of_sums(high_sums, low_sums), 1.0 / samples);
    }
    if (here)
        turn(l, w, t, j0 + ty, i0 + tx, gradient);
    tell_square(t, here ? square_of(gradient) : 0.0);
}

/* A convolution: one synapse a thread; each pooled unit of its output channel contributes what it saw from the place of
 * its maximum. */
static __global__ void update_kernels(shape l, synapses w, updating t, const term *terms, int count, reading above,
                                      reading below, int samples) {
    const size_t at = thread_index();
    const bool here = at < static_cast<size_t>(l.rows) * l.columns;
    const int j = static_cast<int>(at / l.columns), i = static_cast<int>(at % l.columns);
    double sum = 0.0;
    for (int c = 0; here && c < count; c++)
        for (size_t n = 0; n < static_cast<size_t>(samples); n++)
            for (int u = 0; u < l.units; u++) {
                const size_t unit = n * l.out + static_cast<size_t>(j) * l.units + u;
                const float a = activation(above, terms[c].above[unit]);
                const int seen = a != 0.0f ? seen_by(l, i, u, terms[c].argmax[unit]) : -1;
                if (seen >= 0)
                    sum += static_cast<double>(terms[c].weight * a) *
                           static_cast<double>(activation(below, terms[c].below[n * l.in + seen]));
            }
    if (here)
        turn(l, w, t, j, i, static_cast<float>(sum));
    tell_square(t, here ? square_of(static_cast<float>(sum)) : 0.0);
}

/* Biases or scaling factors: what a gradient does to them; or it is kept. */
struct moving {
    float *value, gain, *kept;
    double *squares; /* of each gradient, or NULL */
};

static __device__ void move(const moving &m, size_t at, double gradient) {
    if (m.kept)
        m.kept[at] = static_cast<float>(gradient);
    else
        m.value[at] += m.gain * static_cast<float>(gradient);
    if (m.squares)
        m.squares[at] = square_of(static_cast<float>(gradient));
}

/* Sums over samples and positions move biases; a block a row. */
static __global__ void move_biases(shape l, moving bias, const term *terms, int count, reading above, int samples) {
    const size_t j = blockIdx.x;
    const size_t values = static_cast<size_t>(samples) * l.units;
    double sum = 0.0;
    for (int c = 0; c < count; c++)
        for (size_t v = threadIdx.x; v < values; v += threads_in_block)
            sum +=
                static_cast<double>(terms[c].weight) *
                static_cast<double>(activation(above, terms[c].above[v / l.units * l.out + j * l.units + v % l.units]));
    sum = sum_of_block(sum);
    if (threadIdx.x == 0)
        move(bias, j, sum);
}

/* dots [sample][scale] += weight * above . value of the units that a scaling factor serves; a block each. */
static __global__ void dot_samples(shape l, const float *state, const float *value, reading above, double weight,
                                   double *dots) {
    const size_t n = blockIdx.x / l.scales, i = blockIdx.x % l.scales;
    const int units = l.out / l.scales;
    const size_t first = n * l.out + i * units;
    double sum = 0.0;
    for (int u = static_cast<int>(threadIdx.x); u < units; u += threads_in_block)
        sum += static_cast<double>(activation(above, state[first + u])) * static_cast<double>(value[first + u]);
    sum = sum_of_block(sum);
    if (threadIdx.x == 0)
        dots[blockIdx.x] += weight * sum;
}

/* Sums of the samples, in order, move scaling factors. */
static __global__ void move_scales(shape l, moving alpha, const double *dots, int samples) {
    const int i = static_cast<int>(thread_index());
    if (i >= l.scales)
        return;
    double sum = 0.0;
    for (int n = 0; n < samples; n++)
        sum += dots[static_cast<size_t>(n) * l.scales + i];
    move(alpha, static_cast<size_t>(i), sum);
}

/* a_{k+1} . W_k a_k of each sample, second phase minus first; in a convolution with the bias, pooled anew. */
static void contrast_scales(workspace &ws, const bnnep_learning &how, int k) {
    const shape &l = ws.at(k).s;
    const size_t dots = ws.count * l.scales;
    check(cudaMemsetAsync(ws.dots, 0, dots * sizeof(double), ws.work), "clearing");
    for (int32_t phase : {how.second, how.first}) {
        if (k > 0 && ws.net.binary())
            activate(ws, phase, k - 1);
        ws.for_tiles([&](tile t) {
            const void *below = k == 0 ? ws.x + t.first * l.in : ws.activations(phase, k - 1, t.first);
            forward(ws, k, below, t.samples, l.convolution, nullptr, ws.scratch + t.first * l.out, nullptr);
        });
        launch_blocks(ws.work, dots, dim3(threads_in_block), dot_samples, l, ws.state[phase][k], ws.scratch,
                      reading_of(ws.net, false), phase == how.second ? 1.0 : -1.0, ws.dots);
    }
}

/* The second phase minus the first one, each with the argmax of its last step; the bias learns by all of them. */
static size_t contrast_terms(optimizer &optimizer, const workspace &ws, const bnnep_learning &how, int k) {
    std::vector<term> &terms = optimizer.host_terms[k];
    terms.clear();
    for (int32_t phase : {how.second, how.first})
        terms.push_back(term{ws.state[phase][k], k == 0 ? ws.x : ws.state[phase][k - 1], ws.argmax[phase][k],
                             phase == how.second ? 1.0f : -1.0f});
    return terms.size();
}

/* What is asked for of a connection's squares goes through optimizer.squares to its totals: weights, biases, scales. */
static void total_squares(optimizer &optimizer, const stream &work, const bnnep_learning &how, size_t k, int part,
                          size_t count) {
    if (how.squares)
        launch_blocks(work, 1, dim3(threads_in_block), add_squares, optimizer.squares, count,
                      optimizer.totals + 3 * k + part);
}

/* Flips and squares of all connections to the host. */
static void report_update(optimizer &optimizer, const stream &work, const bnnep_learning &how) {
    const size_t L = optimizer.net.connections.size();
    copy<unsigned long long>(optimizer.host_flips.data(), optimizer.flips, L, cudaMemcpyDeviceToHost, work);
    copy<double>(optimizer.host_totals.data(), optimizer.totals, 3 * L, cudaMemcpyDeviceToHost, work);
    work.wait();
    for (size_t k = 0; how.flips && k < L; k++)
        how.flips[k] = optimizer.host_flips[k];
    for (size_t k = 0; how.squares && k < L; k++) {
        const double *total = &optimizer.host_totals[3 * k];
        how.squares[k] = bnnep_squares{total[0], total[1], total[2]};
    }
}

static void clear_report(optimizer &optimizer, const stream &work) {
    const size_t L = optimizer.net.connections.size();
    check(cudaMemsetAsync(optimizer.flips, 0, L * sizeof *optimizer.flips, work), "clearing");
    check(cudaMemsetAsync(optimizer.totals, 0, 3 * L * sizeof *optimizer.totals, work), "clearing");
}

/* What a connection's contrast is of. */
static reckoning reckoning_of(optimizer &optimizer, const workspace &ws, int k, const bnnep_learning &how) {
    const shape &l = ws.at(k).s;
    const int samples = static_cast<int>(ws.count);
    if (!how.covariance || !how.sums[0] || l.convolution)
        return reckoning{samples, how.covariance != 0 && samples > 1, nullptr};
    for (int phase = 0; phase < 2; phase++) {
        copy<double>(optimizer.sums + phase * l.rows, how.sums[phase][k + 1], l.rows, cudaMemcpyHostToDevice, ws.work);
        copy<double>(optimizer.sums + 2 * l.rows + phase * l.columns, how.sums[phase][k], l.columns,
                     cudaMemcpyHostToDevice, ws.work);
    }
    return reckoning{samples, true, optimizer.sums};
}

static void update_all(optimizer &optimizer, workspace &ws, int k, const updating &t, int terms, const reckoning &of) {
    const connection &c = ws.at(k);
    const reading above = reading_of(ws.net, false), below = reading_of(ws.net, k == 0);
    const int samples = static_cast<int>(ws.count);
    /* binary activations are multiplied as integers, with the network's input exactly in double */
    const auto matrix = !ws.net.binary() ? update_matrix<float> : k == 0 ? update_matrix<double> : update_matrix<int>;
    if (c.s.convolution)
        launch(ws.work, static_cast<size_t>(c.s.rows) * c.s.columns, update_kernels, c.s, c.w, t, optimizer.terms,
               terms, above, below, samples);
    else
        launch_blocks(ws.work, update_blocks(c.s), dim3(side, side), matrix, c.s, c.w, t, optimizer.terms, terms, above,
                      below, of);
}

void learn(optimizer &optimizer, workspace &ws, const bnnep_learning &how, contrast *kept) {
    const int samples = static_cast<int>(ws.count);
    double *squares = how.squares ? optimizer.squares : nullptr;
    clear_report(optimizer, ws.work);
    for (int k = 0; k <= ws.net.top(); k++) {
        const connection &c = ws.at(k);
        const bnnep_rule rule = kept ? bnnep_rule{} : *how.rules[k];
        const size_t biased =
            optimizer.remembered.room > 0 ? tape_terms(optimizer, ws, k) : contrast_terms(optimizer, ws, how, k);
        const std::vector<term> &terms = optimizer.host_terms[k];
        copy<term>(optimizer.terms, terms.data(), terms.size(), cudaMemcpyHostToDevice, ws.work);
        if (how.learn_scale)
            contrast_scales(ws, how, k);
        update_all(
            optimizer, ws, k,
            updating{rule, optimizer.momentum[k], optimizer.flips + k, kept ? kept->weights[k] : nullptr, squares},
            static_cast<int>(terms.size()), reckoning_of(optimizer, ws, k, how));
        total_squares(optimizer, ws.work, how, k, 0, update_blocks(c.s));
        launch_blocks(ws.work, c.s.rows, dim3(threads_in_block), move_biases, c.s,
                      moving{c.w.bias, rule.bias_gain, kept ? kept->bias[k] : nullptr, squares}, optimizer.terms,
                      static_cast<int>(biased), reading_of(ws.net, false), samples);
        total_squares(optimizer, ws.work, how, k, 1, c.s.rows);
        if (!how.learn_scale)
            continue;
        launch(ws.work, c.s.scales, move_scales, c.s,
               moving{c.w.alpha, rule.scale_gain, kept ? kept->scale[k] : nullptr, squares}, ws.dots, samples);
        total_squares(optimizer, ws.work, how, k, 2, c.s.scales);
    }
    report_update(optimizer, ws.work, how);
}

/* --- by a contrast that is kept ----------------------------------------------------------------------------------- */

contrast::contrast(const network &net) : held(purpose::use, net.work) {
    for (const connection &c : net.connections) {
        weights.push_back(held.take<float>(static_cast<size_t>(c.s.rows) * c.s.columns));
        bias.push_back(held.take<float>(c.s.rows));
        scale.push_back(held.take<float>(c.s.scales));
    }
    net.work.wait();
}

static __global__ void turn_all(shape l, synapses w, updating t, const float *gradient) {
    const size_t at = thread_index();
    const bool here = at < static_cast<size_t>(l.rows) * l.columns;
    if (here)
        turn(l, w, t, static_cast<int>(at / l.columns), static_cast<int>(at % l.columns), gradient[at]);
    tell_square(t, here ? square_of(gradient[at]) : 0.0);
}

static __global__ void move_all(moving m, const float *gradient, size_t count) {
    const size_t at = thread_index();
    if (at < count)
        move(m, at, static_cast<double>(gradient[at]));
}

void update(optimizer &optimizer, const bnnep_learning &how) {
    const network &net = optimizer.net;
    double *squares = how.squares ? optimizer.squares : nullptr;
    clear_report(optimizer, net.work);
    for (size_t k = 0; k < net.connections.size(); k++) {
        const connection &c = net.connections[k];
        const bnnep_rule &rule = *how.rules[k];
        const size_t weights = static_cast<size_t>(c.s.rows) * c.s.columns, rows = c.s.rows, scales = c.s.scales;
        launch(net.work, weights, turn_all, c.s, c.w,
               updating{rule, optimizer.momentum[k], optimizer.flips + k, nullptr, squares},
               optimizer.kept->weights[k]);
        total_squares(optimizer, net.work, how, k, 0, blocks(weights, threads_in_block));
        launch(net.work, rows, move_all, moving{c.w.bias, rule.bias_gain, nullptr, squares}, optimizer.kept->bias[k],
               rows);
        total_squares(optimizer, net.work, how, k, 1, rows);
        if (!how.learn_scale)
            continue;
        launch(net.work, scales, move_all, moving{c.w.alpha, rule.scale_gain, nullptr, squares},
               optimizer.kept->scale[k], scales);
        total_squares(optimizer, net.work, how, k, 2, scales);
    }
    report_update(optimizer, net.work, how);
}

void put_contrast(optimizer &optimizer, size_t k, const bnnep_contrast &from) {
    const shape &s = optimizer.net.connections[k].s;
    const stream &work = optimizer.net.work;
    const auto put = [&](float *to, const float *values, size_t count) {
        if (values)
            copy(to, values, count, cudaMemcpyHostToDevice, work);
    };
    put(optimizer.kept->weights[k], from.weights, static_cast<size_t>(s.rows) * s.columns);
    put(optimizer.kept->bias[k], from.bias, s.rows);
    put(optimizer.kept->scale[k], from.scale, s.scales);
    work.wait();
}

void get_contrast(const optimizer &optimizer, size_t k, const bnnep_contrast_out &to) {
    const shape &s = optimizer.net.connections[k].s;
    const stream &work = optimizer.net.work;
    const auto get = [&](float *values, const float *from, size_t count) {
        if (values)
            copy<float>(values, from, count, cudaMemcpyDeviceToHost, work);
    };
    get(to.weights, optimizer.kept->weights[k], static_cast<size_t>(s.rows) * s.columns);
    get(to.bias, optimizer.kept->bias[k], s.rows);
    get(to.scale, optimizer.kept->scale[k], s.scales);
    work.wait();
}

} // namespace bnnep_cuda
