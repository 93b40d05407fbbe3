/* SPDX-License-Identifier: MIT */
/* Momenta's memory, and back-propagation through time. */
#include <algorithm>

#include "backends/cuda/cuda.h"
#include <bnnep/rules.h>

namespace bnnep_cuda {

optimizer::optimizer(bnnep_cuda::network &net, size_t max_batch, int32_t tape, purpose p)
    : net(net), held(p, net.work), remembered(net, max_batch, tape, held), host_terms(net.connections.size()),
      host_flips(net.connections.size()), host_totals(3 * net.connections.size()) {
    size_t most_of_any = 0, most_units = 0;
    const size_t most = 2 * static_cast<size_t>(std::max(1, tape));
    for (std::vector<term> &of : host_terms)
        of.reserve(most);
    for (const connection &c : net.connections)
        momentum.push_back(held.take<float>(static_cast<size_t>(c.s.rows) * c.s.columns));
    for (const connection &c : net.connections)
        most_of_any = std::max(most_of_any, most_squares(c.s));
    for (const connection &c : net.connections)
        most_units = std::max(most_units, static_cast<size_t>(c.s.rows) + static_cast<size_t>(c.s.columns));
    squares = held.take<double>(most_of_any);
    sums = held.take<double>(2 * most_units);
    totals = held.take<double>(host_totals.size());
    flips = held.take<unsigned long long>(net.connections.size());
    terms = held.take<term>(most);
    if (p == purpose::use)
        net.work.wait();
}

/* Rows for whole tiles, since the gradients are operands of products. */
tape::tape(const network &net, size_t max_batch, int steps, memory &held) : room(steps) {
    const size_t samples = (max_batch + 63) / 64 * 64;
    for (int t = 0; t < steps; t++) {
        state.emplace_back();
        pre.emplace_back();
        delta.emplace_back();
        argmax.emplace_back();
        for (const connection &c : net.connections) {
            const size_t values = samples * c.s.out;
            state[t].push_back(held.take<float>(values));
            pre[t].push_back(held.take<float>(values));
            delta[t].push_back(held.take<float>(values));
            argmax[t].push_back(c.s.convolution ? held.take<uint16_t>(values) : nullptr);
        }
    }
    for (size_t k = 0; steps > 0 && k < net.connections.size(); k++)
        gradient.push_back(held.take<float>(samples * net.connections[k].s.out));
}

/* A free step that is remembered. */
static __global__ void record(bnnep_neuron neuron, const float *forward, const float *feedback, float *state,
                              float *before, float *pre, size_t count) {
    const size_t at = thread_index();
    if (at >= count)
        return;
    before[at] = state[at];
    pre[at] = feedback ? forward[at] + feedback[at] : forward[at];
    state[at] = bnnep_rho(&neuron, pre[at]);
}

/* dLoss/ds_L after the last step. */
static __global__ void error_of(const float *state, const float *target, float *gradient, size_t count) {
    const size_t at = thread_index();
    if (at < count)
        gradient[at] = state[at] - target[at];
}

/* dLoss/dpre from dLoss/dstate. */
static __global__ void through_activation(bnnep_neuron neuron, const float *pre, const float *gradient, float *delta,
                                          size_t count) {
    const size_t at = thread_index();
    if (at < count)
        delta[at] = bnnep_rho_slope(&neuron, pre[at]) * gradient[at];
}

/* dLoss/dstate of a layer: through the connection above it and through the one below; NULL where there is none. */
static __global__ void add(const float *above, const float *below, float *gradient, size_t count) {
    const size_t at = thread_index();
    if (at < count)
        gradient[at] = (above ? above[at] : 0.0f) + (below ? below[at] : 0.0f);
}

static void record_steps(tape &tape, workspace &ws) {
    for (int t = 0; t < tape.steps; t++) {
        sum_all(ws, BNNEP_PHASE_FREE, nullptr, 1);
        for (int k = 0; k <= ws.net.top(); k++) {
            const size_t values = ws.count * ws.at(k).s.out;
            launch(ws.work, values, record, bnnep_neuron_of(ws.net.model, k, 0.0f), ws.forward[k], ws.feedback[k],
                   ws.state[BNNEP_PHASE_FREE][k], tape.state[t][k], tape.pre[t][k], values);
            if (tape.argmax[t][k])
                copy<uint16_t>(tape.argmax[t][k], ws.argmax[BNNEP_PHASE_FREE][k], values, cudaMemcpyDeviceToDevice,
                               ws.work);
        }
    }
}

/* dLoss/dstate before step t: layer k was read forward by connection k+1 and backward by connection k. */
static void through_weights(tape &tape, workspace &ws, int t) {
    for (int k = 0; k <= ws.net.top(); k++) {
        const bool above = k<ws.net.top(), below = k> 0;
        const size_t out = ws.at(k).s.out, values = ws.count * out;
        ws.for_tiles([&](tile tile) {
            const size_t first = tile.first;
            const auto from = [&](auto *values, size_t units) { return values ? values + first * units : nullptr; };
            if (above) {
                const size_t units = ws.at(k + 1).s.out;
                feedback(ws, k + 1, from(tape.delta[t][k + 1], units), from(tape.argmax[t][k + 1], units), tile.samples,
                         from(ws.feedback[k], out));
            }
            if (below)
                feedback_adjoint(ws, k, from(tape.delta[t][k - 1], ws.at(k).s.in), from(tape.argmax[t][k], out),
                                 tile.samples, from(ws.scratch, out));
        });
        launch(ws.work, values, add, above ? ws.feedback[k] : nullptr, below ? ws.scratch : nullptr, tape.gradient[k],
               values);
    }
}

void backpropagate(optimizer &optimizer, workspace &ws, int32_t steps) {
    tape &tape = optimizer.remembered;
    const int top = ws.net.top();
    tape.steps = steps;
    record_steps(tape, ws);
    for (int k = 0; k < top; k++)
        check(cudaMemsetAsync(tape.gradient[k], 0, ws.count * ws.at(k).s.out * sizeof(float), ws.work), "clearing");
    const size_t outputs = ws.count * ws.at(top).s.out;
    launch(ws.work, outputs, error_of, ws.state[BNNEP_PHASE_FREE][top], ws.target, tape.gradient[top], outputs);
    for (int t = steps - 1; t >= 0; t--) {
        for (int k = 0; k <= top; k++) {
            const size_t values = ws.count * ws.at(k).s.out;
            launch(ws.work, values, through_activation, bnnep_neuron_of(ws.net.model, k, 0.0f), tape.pre[t][k],
                   tape.gradient[k], tape.delta[t][k], values);
        }
        if (t > 0)
            through_weights(tape, ws, t);
    }
    ws.work.wait();
}

size_t tape_terms(optimizer &optimizer, const workspace &ws, int k) {
    const tape &tape = optimizer.remembered;
    std::vector<term> &terms = optimizer.host_terms[k];
    terms.clear();
    for (int t = 0; t < tape.steps; t++)
        terms.push_back(term{tape.delta[t][k], k == 0 ? ws.x : tape.state[t][k - 1], tape.argmax[t][k], 1.0f});
    const size_t biased = terms.size();
    for (int t = 0; k > 0 && t < tape.steps; t++)
        terms.push_back(term{tape.state[t][k], tape.delta[t][k - 1], tape.argmax[t][k], 1.0f});
    return biased;
}

} // namespace bnnep_cuda
