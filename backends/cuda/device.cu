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

std::mutex &making() {
    static std::mutex mutex;
    return mutex;
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
    char what[64];
    snprintf(what, sizeof what, "taking %zu bytes of the device", bytes);
    check(cudaMalloc(&array, bytes), what);
    held.push_back(array);
    check(cudaMemsetAsync(array, 0, bytes, on), "clearing memory");
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

until_idle::~until_idle() {
    cudaStreamSynchronize(work);
}

} // namespace bnnep_cuda
