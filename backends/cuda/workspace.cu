/* SPDX-License-Identifier: MIT */
/* The memory of a workspace, and a batch on its way in. */
#include <algorithm>
#include <climits>

#include "backends/cuda/cuda.h"
#include "backends/rules.h"

namespace bnnep_cuda {

/* Samples that go through a product together, at most. */
static constexpr size_t most_in_tile = 64;

/* Bytes of operands that are gathered for a product, for one sample: those of convolutions, on a grid all. */
static size_t patch_bytes(const network &net) {
    size_t most = 0;
    for (size_t k = 0; k < net.connections.size(); k++) {
        const shape &l = net.connections[k].s;
        const size_t value = net.binary() && k > 0 ? sizeof(int8_t) : sizeof(float);
        if (net.on_grid())
            most = std::max({most, l.places() * l.padded_columns * sizeof(double), l.rows * sizeof(double)});
        else if (l.convolution)
            most = std::max(most, l.places() * l.padded_columns * value);
    }
    return most;
}

/* Sums of any product, for one sample. */
static size_t sums_of_sample(const network &net) {
    size_t most = 0;
    for (const connection &c : net.connections)
        most = std::max(
            {most, c.s.places() * c.s.padded_rows, c.s.convolution ? 0 : static_cast<size_t>(c.s.padded_columns)});
    return most;
}

workspace::workspace(const network &net, size_t max_batch, purpose p) : net(net), work(p), held(p, work) {
    const bnnep_model &model = *net.model;
    const size_t L = model.connections;
    size_t most_units = 0, most_scales = 0;
    tile_size = std::min(max_batch, most_in_tile);
    room = (max_batch + tile_size - 1) / tile_size * tile_size;
    x = held.take<float>(room * model.links[0].in);
    target = held.take<float>(room * model.links[L - 1].out);
    for (size_t k = 0; k < L; k++) {
        const size_t out = model.links[k].out;
        for (int phase = 0; phase < BNNEP_PHASES; phase++) {
            state[phase].push_back(held.take<float>(room * out));
            argmax[phase].push_back(net.connections[k].s.convolution ? held.take<uint16_t>(room * out) : nullptr);
        }
        active.push_back(net.binary() ? held.take<int8_t>(room * padded(out)) : nullptr);
        forward.push_back(held.take<float>(room * out));
        feedback.push_back(k + 1 < L ? held.take<float>(room * out) : nullptr);
        most_units = std::max(most_units, out);
        most_scales = std::max(most_scales, model.links[k].scales);
        if (tile_size * net.connections[k].s.places() > INT_MAX)
            fail(BNNEP_ERROR_ARGUMENT, "connection %zu has more places than cuBLAS takes columns", k);
    }
    patches = held.take<uint8_t>(tile_size * patch_bytes(net));
    const size_t results = tile_size * sums_of_sample(net);
    sums = net.on_grid() ? static_cast<void *>(held.take<double>(results)) : held.take<float>(results);
    scratch = held.take<float>(room * most_units);
    largest = held.take<float>(L);
    dots = held.take<double>(max_batch * most_scales);
    control = held.take<phase_control>(1);
    running = held.take<uint8_t>(max_batch);
    moved = held.take<uint8_t>(max_batch);
    steps = held.take<uint32_t>(max_batch);
    if (p == purpose::use) {
        host_steps.resize(max_batch);
        work.wait();
    }
}

workspace::~workspace() {
    free_graphs(*this);
    free_products(*this);
}

const void *workspace::activations(bnnep_phase phase, int k, size_t first) const {
    const size_t out = at(k).s.out;
    return net.binary() ? static_cast<const void *>(active[k] + first * padded(out))
                        : static_cast<const void *>(state[phase][k] + first * out);
}

static __global__ void to_grid(bnnep_grid grid, float *values, size_t count) {
    const size_t at = thread_index();
    if (at < count)
        values[at] = bnnep_on_grid(&grid, values[at]);
}

static __global__ void fill(float *values, float with, size_t count) {
    const size_t at = thread_index();
    if (at < count)
        values[at] = with;
}

static void take_batch(workspace &ws, const float *x, const float *target) {
    const bnnep_model &model = *ws.net.model;
    const float start = bnnep_start(ws.net.binary(), model.convolutional);
    const shape &first = ws.at(0).s;
    const size_t count = ws.count;
    copy(ws.x, x, count * first.in, cudaMemcpyHostToDevice, ws.work);
    if (ws.net.on_grid())
        launch(ws.work, count * first.in, to_grid, model.grid, ws.x, count * first.in);
    find_shares(ws);
    if (target)
        copy(ws.target, target, count * ws.at(ws.net.top()).s.out, cudaMemcpyHostToDevice, ws.work);
    ws.for_tiles([&](tile t) {
        uint16_t *argmax = first.convolution ? ws.argmax[BNNEP_PHASE_FREE][0] + t.first * first.out : nullptr;
        forward(ws, 0, ws.x + t.first * first.in, t.samples, true, nullptr, ws.forward[0] + t.first * first.out,
                argmax);
    });
    for (int k = 0; k <= ws.net.top(); k++) {
        const size_t values = count * ws.at(k).s.out;
        launch(ws.work, values, fill, ws.state[BNNEP_PHASE_FREE][k], start, values);
        if (k > 0 && ws.argmax[BNNEP_PHASE_FREE][k])
            check(cudaMemsetAsync(ws.argmax[BNNEP_PHASE_FREE][k], 0, values * sizeof(uint16_t), ws.work), "clearing");
    }
    ws.work.wait();
}

/* Takes a batch in; the drive of the input, fwd_0(x), is the same in all steps of both phases. */
void stage(workspace &ws, const float *x, const float *target, size_t count) {
    const size_t before = ws.count;
    ws.count = count;
    try {
        take_batch(ws, x, target);
    } catch (...) {
        ws.count = before; /* so many states are asked for */
        throw;
    }
}

void copy_phase(workspace &ws, bnnep_phase from, bnnep_phase to) {
    for (int k = 0; k <= ws.net.top(); k++) {
        const size_t values = ws.count * ws.at(k).s.out;
        copy<float>(ws.state[to][k], ws.state[from][k], values, cudaMemcpyDeviceToDevice, ws.work);
        if (ws.argmax[to][k])
            copy<uint16_t>(ws.argmax[to][k], ws.argmax[from][k], values, cudaMemcpyDeviceToDevice, ws.work);
    }
}

} // namespace bnnep_cuda
