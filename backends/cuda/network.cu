/* SPDX-License-Identifier: MIT */
/* Parameters: canonical bits, and copies of them as products want them. */
#include "backends/cuda/cuda.h"

namespace bnnep_cuda {

static shape shape_of(const bnnep_link &link) {
    shape s = {};
    s.convolution = link.kind == BNNEP_CONNECTION_CONVOLUTION;
    s.rows = static_cast<int>(link.rows);
    s.columns = static_cast<int>(link.columns);
    s.in = static_cast<int>(link.in);
    s.out = static_cast<int>(link.out);
    s.scales = static_cast<int>(link.scales);
    s.padded_rows = static_cast<int>(padded(link.rows));
    s.padded_columns = static_cast<int>(padded(link.columns));
    s.units = s.out / s.rows;
    s.window = s.convolution ? static_cast<int>(link.pool * link.pool) : 1;
    s.kernel = static_cast<int>(link.kernel);
    s.padding = static_cast<int>(link.padding);
    s.pool = static_cast<int>(link.pool);
    s.from_height = static_cast<int>(link.from.height);
    s.from_width = static_cast<int>(link.from.width);
    s.to_height = static_cast<int>(link.to.height);
    s.to_width = static_cast<int>(link.to.width);
    return s;
}

network::network(const bnnep_model *model, int device, purpose p)
    : model(model), device(device), work(p), held(p, work) {
    for (size_t k = 0; k < model->connections; k++) {
        connection c = {};
        c.s = shape_of(*model->links[k]);
        const size_t rows = model->links[k]->rows, columns = model->links[k]->columns;
        c.w.words = static_cast<int>((columns + 31) / 32);
        c.w.bits = held.take<uint32_t>(rows * static_cast<size_t>(c.w.words));
        if (binary()) {
            c.w.i8 = held.take<int8_t>(padded(rows) * padded(columns));
            c.w.transposed = held.take<int8_t>(padded(rows) * padded(columns));
        } else if (on_grid())
            c.w.f64 = held.take<double>(rows * columns);
        else
            c.w.f32 = held.take<float>(rows * columns);
        c.w.alpha = held.take<float>(model->links[k]->scales);
        c.w.bias = held.take<float>(rows);
        connections.push_back(c);
    }
    if (p == purpose::use)
        work.wait();
}

/* The copies of the signs, from the bits. */
static __global__ void expand_bits(shape l, synapses w) {
    const size_t at = thread_index();
    if (at >= static_cast<size_t>(l.rows) * l.columns)
        return;
    const int j = static_cast<int>(at / l.columns), i = static_cast<int>(at % l.columns);
    const int sign = w.bits[static_cast<size_t>(j) * w.words + i / 32] >> (i % 32) & 1u ? 1 : -1;
    if (w.f32)
        w.f32[at] = static_cast<float>(sign);
    else if (w.f64)
        w.f64[at] = static_cast<double>(sign);
    else {
        w.i8[static_cast<size_t>(j) * l.padded_columns + i] = static_cast<int8_t>(sign);
        w.transposed[static_cast<size_t>(i) * l.padded_rows + j] = static_cast<int8_t>(sign);
    }
}

/* The host's rows are whole bytes, the device's whole words: bit i of a row is the same in both. */
void put(network &net, size_t k, const bnnep_parameters &from) {
    const connection &c = net.connections[k];
    const size_t rows = net.model->links[k]->rows, bytes = (net.model->links[k]->columns + 7) / 8;
    const size_t pitch = static_cast<size_t>(c.w.words) * sizeof(uint32_t);
    if (from.bits) {
        check(cudaMemcpy2DAsync(c.w.bits, pitch, from.bits, bytes, bytes, rows, cudaMemcpyHostToDevice, net.work),
              "copying signs");
        launch(net.work, rows * net.model->links[k]->columns, expand_bits, c.s, c.w);
    }
    if (from.scale)
        copy(c.w.alpha, from.scale, net.model->links[k]->scales, cudaMemcpyHostToDevice, net.work);
    if (from.bias)
        copy(c.w.bias, from.bias, rows, cudaMemcpyHostToDevice, net.work);
    net.work.wait();
}

void get(const network &net, size_t k, const bnnep_parameters_out &to) {
    const connection &c = net.connections[k];
    const size_t rows = net.model->links[k]->rows, bytes = (net.model->links[k]->columns + 7) / 8;
    const size_t pitch = static_cast<size_t>(c.w.words) * sizeof(uint32_t);
    if (to.bits)
        check(cudaMemcpy2DAsync(to.bits, bytes, c.w.bits, pitch, bytes, rows, cudaMemcpyDeviceToHost, net.work),
              "copying signs");
    if (to.scale)
        copy<float>(to.scale, c.w.alpha, net.model->links[k]->scales, cudaMemcpyDeviceToHost, net.work);
    if (to.bias)
        copy<float>(to.bias, c.w.bias, rows, cudaMemcpyDeviceToHost, net.work);
    net.work.wait();
}

} // namespace bnnep_cuda
