/* SPDX-License-Identifier: MIT */
/* fwd_k, fb_k and the adjoint of fb_k: products, and what comes before and after them. */
#include "backends/cuda/geometry.h"
#include <bnnep/rules.h>

namespace bnnep_cuda {

/* What each place of each pooling window sees, or a fully connected unit: patches [place][padded columns], tails 0. */
template <typename Value, typename Operand>
static __global__ void gather_patches(shape l, const Value *below, size_t stride, Operand *patches, int samples) {
    const size_t at = thread_index();
    const int i = static_cast<int>(at % l.padded_columns);
    const size_t p = at / l.padded_columns, n = p / l.places();
    if (n >= static_cast<size_t>(samples))
        return;
    const int place = static_cast<int>(p % l.places());
    const int unit = i >= l.columns ? -1 : l.convolution ? seen_by(l, i, place / l.window, place % l.window) : i;
    patches[at] = unit < 0 ? Operand(0) : static_cast<Operand>(below[n * stride + unit]);
}

static __global__ void widen(const float *values, double *wide, size_t count) {
    const size_t at = thread_index();
    if (at < count)
        wide[at] = static_cast<double>(values[at]);
}

/* value = alpha * sum + bias (NULL: none), the first maximum of each window. */
template <typename Sum>
static __global__ void pool(shape l, const Sum *sums, const float *alpha, const float *bias, const uint8_t *running,
                            float *value, uint16_t *argmax, int samples) {
    const size_t at = thread_index(), n = at / l.out;
    if (n >= static_cast<size_t>(samples) || (running && !running[n]))
        return;
    const int j = static_cast<int>(at % l.out) / l.units, u = static_cast<int>(at % l.out) % l.units;
    const float scale = alpha[l.scales == 1 ? 0 : j];
    float best = 0.0f;
    int where = 0;
    for (int q = 0; q < l.window; q++) {
        const size_t p = (n * l.units + u) * l.window + q;
        const float sum = static_cast<float>(sums[p * l.padded_rows + j]);
        const float v = bias ? bnnep_forward(scale, sum, bias[j]) : scale * sum;
        if (bnnep_is_argmax(q, v, best)) {
            best = v;
            where = q;
        }
    }
    value[at] = best;
    if (argmax)
        argmax[at] = static_cast<uint16_t>(where);
}

/* value = alpha * sum, read at given places. */
static __global__ void read_at(shape l, const float *sums, const float *alpha, const uint16_t *argmax, float *value,
                               int samples) {
    const size_t at = thread_index(), n = at / l.out;
    if (n >= static_cast<size_t>(samples))
        return;
    const int j = static_cast<int>(at % l.out) / l.units, u = static_cast<int>(at % l.out) % l.units;
    const size_t p = (n * l.units + u) * l.window + (l.convolution ? argmax[at] : 0);
    value[at] = alpha[l.scales == 1 ? 0 : j] * sums[p * l.padded_rows + j];
}

/* value = scale * sum of the feedback of a fully connected layer. */
template <typename Sum>
static __global__ void scale_back(shape l, const Sum *sums, const float *alpha, float strength, float *value,
                                  int samples) {
    const size_t at = thread_index(), n = at / l.in, i = at % l.in;
    if (n < static_cast<size_t>(samples))
        value[at] = bnnep_feedback_scale(alpha[0], strength) * static_cast<float>(sums[n * l.padded_columns + i]);
}

/* The largest alpha of a convolution. */
static __global__ void find_largest(const float *alpha, size_t count, float *largest) {
    *largest = bnnep_largest(alpha, count);
}

/* conv_transpose(unpool(above), W) of one input unit a thread: of each output channel, the pooled units whose windows
 * can see it, one place each. The sum is in double where it has to be exact. On a grid, `largest` is not NULL, and
 * channels send their shares of it. */
template <typename Sign, typename Value, typename Sum>
static __global__ void pull(shape l, bnnep_grid grid, const Sign *sign, size_t line, const float *alpha,
                            const float *largest, float strength, const Value *above, size_t stride,
                            const uint16_t *argmax, float *value, int samples) {
    const size_t at = thread_index(), n = at / l.in;
    if (n >= static_cast<size_t>(samples))
        return;
    const int map = l.from_height * l.from_width, i = static_cast<int>(at % l.in), channel = i / map;
    const int y = i % map / l.from_width + l.padding, x = i % map % l.from_width + l.padding;
    const int first_y = y < l.kernel ? 0 : (y - l.kernel + 1) / l.pool, last_y = min(l.to_height - 1, y / l.pool);
    const int first_x = x < l.kernel ? 0 : (x - l.kernel + 1) / l.pool, last_x = min(l.to_width - 1, x / l.pool);
    Sum sum = 0;
    for (int j = 0; j < l.rows; j++) {
        const Sign *kernel = sign + j * line + static_cast<size_t>(channel) * l.kernel * l.kernel;
        const float share = largest ? bnnep_share(alpha[j], *largest) : 1.0f;
        Sum pulled = 0;
        for (int uy = first_y; uy <= last_y; uy++)
            for (int ux = first_x; ux <= last_x; ux++) {
                const int unit = j * l.units + uy * l.to_width + ux, q = argmax[n * l.out + unit];
                const bnnep_position from = bnnep_place_of(uy * l.to_width + ux, q, l.to_width, l.pool);
                const int dy = y - static_cast<int>(from.y), dx = x - static_cast<int>(from.x);
                if (dy < 0 || dx < 0 || dy >= l.kernel || dx >= l.kernel)
                    continue;
                const Value a = above[n * stride + unit];
                pulled += static_cast<Sum>(kernel[dy * l.kernel + dx]) *
                          (largest ? static_cast<Sum>(bnnep_on_grid(&grid, share * a)) : static_cast<Sum>(a));
            }
        sum += largest ? pulled : static_cast<Sum>(alpha[j]) * pulled;
    }
    value[at] = bnnep_feedback_scale(largest ? *largest : 1.0f, strength) * static_cast<float>(sum);
}

/* ws.sums = B_k below; a convolution looks through its patches, and on a grid they are double. */
static void multiply_seen(workspace &ws, int k, const void *below, int samples) {
    const shape &l = ws.at(k).s;
    const bool whole = ws.net.binary() && k > 0;
    const size_t stride = whole ? padded(l.in) : l.in,
                 patches = static_cast<size_t>(samples) * l.places() * l.padded_columns;
    if (!l.convolution && !ws.net.on_grid()) {
        multiply(ws, k, below, stride);
        return;
    }
    if (whole)
        launch(ws.work, patches, gather_patches<int8_t, int8_t>, l, static_cast<const int8_t *>(below), stride,
               static_cast<int8_t *>(ws.patches), samples);
    else if (ws.net.on_grid())
        launch(ws.work, patches, gather_patches<float, double>, l, static_cast<const float *>(below), stride,
               static_cast<double *>(ws.patches), samples);
    else
        launch(ws.work, patches, gather_patches<float, float>, l, static_cast<const float *>(below), stride,
               static_cast<float *>(ws.patches), samples);
    multiply(ws, k, ws.patches, l.padded_columns);
}

template <typename Sum>
static void pool_sums(workspace &ws, int k, int samples, bool biased, const uint8_t *running, float *value,
                      uint16_t *argmax) {
    const shape &l = ws.at(k).s;
    const synapses &w = ws.at(k).w;
    launch(ws.work, static_cast<size_t>(samples) * l.out, pool<Sum>, l, static_cast<const Sum *>(ws.sums), w.alpha,
           biased ? w.bias : nullptr, running, value, argmax, samples);
}

void forward(workspace &ws, int k, const void *below, int samples, bool biased, const uint8_t *running, float *value,
             uint16_t *argmax) {
    multiply_seen(ws, k, below, samples);
    if (ws.net.on_grid())
        pool_sums<double>(ws, k, samples, biased, running, value, argmax);
    else if (ws.net.binary() && k > 0)
        pool_sums<int32_t>(ws, k, samples, biased, running, value, argmax);
    else
        pool_sums<float>(ws, k, samples, biased, running, value, argmax);
}

static void feedback_matrix(workspace &ws, int k, const void *above, int samples, float *value) {
    const shape &l = ws.at(k).s;
    const float *alpha = ws.at(k).w.alpha, strength = ws.net.model->feedback;
    const size_t values = static_cast<size_t>(samples) * l.in, above_values = static_cast<size_t>(samples) * l.out;
    if (ws.net.on_grid()) {
        launch(ws.work, above_values, widen, static_cast<const float *>(above), static_cast<double *>(ws.patches),
               above_values);
        above = ws.patches;
    }
    multiply_back(ws, k, above);
    if (ws.net.on_grid())
        launch(ws.work, values, scale_back<double>, l, static_cast<const double *>(ws.sums), alpha, strength, value,
               samples);
    else if (ws.net.binary())
        launch(ws.work, values, scale_back<int32_t>, l, static_cast<const int32_t *>(ws.sums), alpha, strength, value,
               samples);
    else
        launch(ws.work, values, scale_back<float>, l, static_cast<const float *>(ws.sums), alpha, strength, value,
               samples);
}

template <typename Sign, typename Value, typename Sum>
static void feedback_maps(workspace &ws, int k, const Sign *sign, int line, const void *above, size_t stride,
                          const uint16_t *argmax, int samples, float *value) {
    const shape &l = ws.at(k).s;
    float *largest = ws.net.on_grid() ? ws.largest + k : nullptr;
    launch(ws.work, static_cast<size_t>(samples) * l.in, pull<Sign, Value, Sum>, l, ws.net.model->grid, sign,
           static_cast<size_t>(line), ws.at(k).w.alpha, largest, ws.net.model->feedback,
           static_cast<const Value *>(above), stride, argmax, value, samples);
}

void feedback(workspace &ws, int k, const void *above, const uint16_t *argmax, int samples, float *value) {
    const shape &l = ws.at(k).s;
    const synapses &w = ws.at(k).w;
    if (!l.convolution)
        feedback_matrix(ws, k, above, samples, value);
    else if (ws.net.binary())
        feedback_maps<int8_t, int8_t, double>(ws, k, w.i8, l.padded_columns, above, padded(l.out), argmax, samples,
                                              value);
    else if (ws.net.on_grid())
        feedback_maps<double, float, double>(ws, k, w.f64, l.columns, above, l.out, argmax, samples, value);
    else
        feedback_maps<float, float, float>(ws, k, w.f32, l.columns, above, l.out, argmax, samples, value);
}

void find_shares(workspace &ws) {
    for (int k = 1; ws.net.on_grid() && k <= ws.net.top(); k++)
        if (ws.at(k).s.convolution)
            launch_blocks(ws.work, 1, dim3(1), find_largest, ws.at(k).w.alpha, static_cast<size_t>(ws.at(k).s.scales),
                          ws.largest + k);
}

void feedback_adjoint(workspace &ws, int k, const float *below, const uint16_t *argmax, int samples, float *value) {
    const shape &l = ws.at(k).s;
    multiply_seen(ws, k, below, samples);
    launch(ws.work, static_cast<size_t>(samples) * l.out, read_at, l, static_cast<const float *>(ws.sums),
           ws.at(k).w.alpha, argmax, value, samples);
}

void sum_all(workspace &ws, int32_t phase, const uint8_t *running, int32_t t) {
    const auto moves = [&](int k) { return bnnep_moves(ws.net.model->schedule, static_cast<size_t>(k), t); };
    ws.for_tiles([&](tile some) {
        for (int k = 1; k <= ws.net.top(); k++) {
            const shape &l = ws.at(k).s;
            uint16_t *argmax = ws.argmax[phase][k] ? ws.argmax[phase][k] + some.first * l.out : nullptr;
            if (t == 1 || moves(k))
                forward(ws, k, ws.activations(phase, k - 1, some.first), some.samples, true,
                        running ? running + some.first : nullptr, ws.forward[k] + some.first * l.out, argmax);
            if (moves(k - 1))
                feedback(ws, k, ws.activations(phase, k, some.first), argmax, some.samples,
                         ws.feedback[k - 1] + some.first * l.in);
        }
    });
}

} // namespace bnnep_cuda
