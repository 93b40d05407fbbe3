/* SPDX-License-Identifier: MIT */
/* The memory of a workspace. */
#include <algorithm>
#include <climits>

#include "backends/cuda/cuda.h"

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
    x = held.take<float>(room * model.links[0]->in);
    target = held.take<float>(room * model.links[L - 1]->out);
    for (size_t k = 0; k < L; k++) {
        const size_t out = model.links[k]->out;
        for (int phase = 0; phase < BNNEP_PHASES; phase++) {
            state[phase].push_back(held.take<float>(room * out));
            argmax[phase].push_back(net.connections[k].s.convolution ? held.take<uint16_t>(room * out) : nullptr);
        }
        active.push_back(net.binary() ? held.take<int8_t>(room * padded(out)) : nullptr);
        forward.push_back(held.take<float>(room * out));
        feedback.push_back(k + 1 < L ? held.take<float>(room * out) : nullptr);
        most_units = std::max(most_units, out);
        most_scales = std::max(most_scales, model.links[k]->scales);
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

} // namespace bnnep_cuda
