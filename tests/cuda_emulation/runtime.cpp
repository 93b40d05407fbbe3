/* SPDX-License-Identifier: MIT */
/* Memory, streams and graphs. */
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "emulation.h"

namespace emulation {

struct tape {
    std::vector<std::function<void()>> work;
};

struct queue {
    tape *capturing = nullptr;
};

/* One device, on which one thing happens at a time. */
static std::recursive_mutex device;

cudaError_t enqueue(queue *on, std::function<void()> work) {
    const std::lock_guard<std::recursive_mutex> lock(device);
    if (on && on->capturing)
        on->capturing->work.push_back(std::move(work));
    else
        work();
    return cudaSuccess;
}

void fault(const char *what) {
    fprintf(stderr, "CUDA emulation: %s\n", what);
    abort();
}

/* --- memory: each array lies between guards, which are looked at when it is freed
 * ------------------------------------- */

static constexpr size_t guard = sanitized ? 0 : 64; /* sanitizers have guards of their own */
static constexpr unsigned char guard_byte = 0xA5;
static std::map<const char *, size_t> arrays;

static bool on_device(const void *from, size_t bytes) {
    const char *start = static_cast<const char *>(from);
    auto after = arrays.upper_bound(start);
    if (after == arrays.begin())
        return false;
    --after;
    return start + bytes <= after->first + after->second;
}

static void check_guards(const char *array, size_t bytes) {
    for (size_t i = 0; i < guard; i++)
        if (static_cast<unsigned char>(array[-1 - static_cast<ptrdiff_t>(i)]) != guard_byte ||
            static_cast<unsigned char>(array[bytes + i]) != guard_byte)
            fault("a kernel wrote outside of an array");
}

} // namespace emulation

using namespace emulation;

static int devices() {
    const char *text = getenv("BNNEP_EMULATION_DEVICES");
    return text ? atoi(text) : 1;
}

static thread_local int current;

const char *cudaGetErrorString(cudaError_t status) {
    switch (status) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    default:
        return "invalid argument";
    }
}

cudaError_t cudaGetLastError() {
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = devices();
    return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDevice(int *device) {
    *device = current;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= devices())
        return cudaErrorInvalidDevice;
    current = device;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **array, size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(device);
    char *whole = static_cast<char *>(malloc(bytes + 2 * guard));
    if (!whole)
        return cudaErrorMemoryAllocation;
    *array = whole + guard;
    memset(whole, guard_byte, guard);
    memset(whole + guard + bytes, guard_byte, guard);
    arrays[whole + guard] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *array) {
    const std::lock_guard<std::recursive_mutex> lock(device);
    if (!array)
        return cudaSuccess;
    const auto found = arrays.find(static_cast<char *>(array));
    if (found == arrays.end())
        return cudaErrorInvalidValue;
    check_guards(found->first, found->second);
    arrays.erase(found);
    free(static_cast<char *>(array) - guard);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *array, int value, size_t bytes, cudaStream_t on) {
    return enqueue(on, [=] {
        if (!on_device(array, bytes))
            fault("memset outside of the device's memory");
        memset(array, value, bytes);
    });
}

cudaError_t cudaMemset(void *array, int value, size_t bytes) {
    return cudaMemsetAsync(array, value, bytes, nullptr);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t on) {
    return enqueue(on, [=] {
        const size_t to_bytes = (height - 1) * to_pitch + width, from_bytes = (height - 1) * from_pitch + width;
        if (on_device(to, to_bytes) != (kind != cudaMemcpyDeviceToHost) ||
            on_device(from, from_bytes) != (kind != cudaMemcpyHostToDevice))
            fault("a copy that is not between the memories it names");
        for (size_t line = 0; line < height; line++)
            memcpy(static_cast<char *>(to) + line * to_pitch, static_cast<const char *>(from) + line * from_pitch,
                   width);
    });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t on) {
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, on);
}

/* --- streams and graphs ---------------------------------------------------------------------------------------------
 */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *made, unsigned) {
    *made = new queue;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return stream && stream->capturing ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    stream->capturing = new tape;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = stream->capturing;
    stream->capturing = nullptr;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long) {
    *made = new tape(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t on) {
    return enqueue(on, [=] {
        for (const auto &work : graph->work)
            work();
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
    return cudaSuccess;
}
