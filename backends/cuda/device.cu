/* SPDX-License-Identifier: MIT */
#include "backends/cuda/device.h"

#include <cstdarg>
#include <cstdio>

namespace bnnep_cuda {

void fail(bnnep_status status, const char *format, ...) {
    failure f = {};
    f.status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f.why, sizeof f.why, format, arguments);
    va_end(arguments);
    throw f;
}

void check(cudaError_t status, const char *what) {
    if (status == cudaSuccess)
        return;
    cudaGetLastError(); /* forget it, unless the device is lost: then every later call says so again */
    fail(status == cudaErrorMemoryAllocation ? BNNEP_ERROR_MEMORY : BNNEP_ERROR_BACKEND, "%s: %s", what,
         cudaGetErrorString(status));
}

on_device::on_device(int device) {
    check(cudaGetDevice(&before), "asking for the current device");
    check(cudaSetDevice(device), "choosing the device");
}

on_device::~on_device() {
    cudaSetDevice(before);
}

memory::~memory() {
    for (void *array : held)
        cudaFree(array);
}

void *memory::take_bytes(size_t bytes) {
    taken += bytes;
    if (counting || bytes == 0)
        return nullptr;
    held.reserve(held.size() + 1);
    void *array = nullptr;
    if (cudaMalloc(&array, bytes) != cudaSuccess) {
        cudaGetLastError();
        fail(BNNEP_ERROR_MEMORY, "the device has no %zu bytes left", bytes);
    }
    held.push_back(array);
    check(cudaMemset(array, 0, bytes), "clearing memory");
    return array;
}

stream::stream(purpose p) {
    if (p == purpose::use)
        check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "making a stream");
}

stream::~stream() {
    if (handle)
        cudaStreamDestroy(handle);
}

void stream::wait() const {
    check(cudaStreamSynchronize(handle), "waiting for the device");
}

} // namespace bnnep_cuda
