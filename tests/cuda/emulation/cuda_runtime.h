/* SPDX-License-Identifier: MIT */
/*
 * The pieces of CUDA that backends/cuda uses, in host C++, under the names and in the headers that the toolkit has, so
 * that the kernels' own source compiles. emulation.h says how threads run here.
 */
#ifndef BNNEP_EMULATED_CUDA_RUNTIME_H
#define BNNEP_EMULATED_CUDA_RUNTIME_H

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __shared__ static /* blocks run one after another */

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {
    }
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads();

using std::min;

/* Threads take turns only at barriers, so a plain update is atomic. */
template <typename T> T atomicAdd(T *at, T by) {
    const T before = *at;
    *at = before + by;
    return before;
}
template <typename T> T atomicSub(T *at, T by) {
    const T before = *at;
    *at = before - by;
    return before;
}
inline unsigned atomicXor(unsigned *at, unsigned by) {
    const unsigned before = *at;
    *at ^= by;
    return before;
}

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;

/* What a compiler for the oldest of the GPUs would say. */
#define __CUDA_ARCH_LIST__ 750, 900

namespace emulation {
struct queue;
struct tape;
struct mark;
/* Keeps the work for the stream's next wait, or for the graph that the stream is capturing. */
cudaError_t enqueue(queue *on, std::function<void()> work);
/* Runs a kernel's threads, block by block. */
void run(dim3 grid, dim3 block, const std::function<void()> &thread);
/* Is this the call that BNNEP_EMULATION_FAIL picked? */
bool fails();
/* Is there no memory on the device for what `name` makes: by the same, or by tests/faults? */
bool lacks_memory(const char *name);
/* What the device keeps until it is told otherwise, for those who look for leaks: +1, -1. */
void keep(int change);

/* A call of CUDA, in which one thing happens at a time. A device has memory of its own: while tests/faults lets the
 * host's run out there is still enough for the emulation. */
class call {
  public:
    call();
    ~call();
    call(const call &) = delete;
    call &operator=(const call &) = delete;
};
/* What may wait for the whole device must not be called while a stream is captured. */
void outside_of_captures();
} // namespace emulation

using cudaStream_t = emulation::queue *;
using cudaEvent_t = emulation::mark *;
using cudaGraph_t = emulation::tape *;
using cudaGraphExec_t = emulation::tape *;

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

const char *cudaGetErrorString(cudaError_t status);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaMalloc(void **array, size_t bytes);
cudaError_t cudaFree(void *array);
cudaError_t cudaMallocHost(void **array, size_t bytes);
cudaError_t cudaFreeHost(void *array);
cudaError_t cudaMemset(void *array, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *array, int value, size_t bytes, cudaStream_t on);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t on);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t on);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *made, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *made, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t on);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t on);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

/* Arguments are taken by value, as a real launch takes them. */
template <typename... Wanted, typename... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *how, void (*kernel)(Wanted...), Given &&...given) {
    const emulation::call now;
    const dim3 grid = how->gridDim, block = how->blockDim;
    return emulation::enqueue(how->stream,
                              [grid, block, kernel, arguments = std::tuple<Wanted...>(std::forward<Given>(given)...)] {
                                  emulation::run(grid, block, [&] { std::apply(kernel, arguments); });
                              });
}

#endif
