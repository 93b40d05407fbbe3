/* SPDX-License-Identifier: MIT */
/* A batch on its way in. */
#include "backends/cuda/cuda.h"
#include <bnnep/rules.h>

namespace bnnep_cuda {

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

} // namespace bnnep_cuda
