/* SPDX-License-Identifier: MIT */
/*
 * What every file of this backend needs of CUDA: failures as exceptions, which end at the vtable; memory and streams
 * that free themselves; launches of kernels.
 */
#ifndef BNNEP_CUDA_DEVICE_H
#define BNNEP_CUDA_DEVICE_H

#include <cstdio>
#include <new>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include "backends/backend.h"

namespace bnnep_cuda {

struct failure {
    bnnep_status status;
    char why[BNNEP_WHY];
};

[[noreturn]] void fail(bnnep_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check(cudaError_t status, const char *what);

/* Runs what a function of the vtable does and turns failures into its status. */
template <typename Function> bnnep_status guarded(char *why, Function function) noexcept {
    try {
        return function();
    } catch (const failure &f) {
        snprintf(why, BNNEP_WHY, "%s", f.why);
        return f.status;
    } catch (const std::bad_alloc &) {
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
}

/* Makes a device this thread's current one, until the end of the block: the choice belongs to the caller's thread. */
class on_device {
  public:
    explicit on_device(int device);
    ~on_device();
    on_device(const on_device &) = delete;
    on_device &operator=(const on_device &) = delete;

  private:
    int before = 0;
};

/* Does an object take its memory, or only count the bytes it would take? */
enum class purpose { use, count };

/* All the device memory of an object. */
class memory {
  public:
    explicit memory(purpose p) : counting(p == purpose::count) {
    }
    ~memory();
    memory(const memory &) = delete;
    memory &operator=(const memory &) = delete;

    /* An array of zeros; NULL while counting. */
    template <typename T> T *take(size_t count) {
        return static_cast<T *>(take_bytes(count * sizeof(T)));
    }
    uint64_t bytes() const {
        return taken;
    }

  private:
    void *take_bytes(size_t bytes);
    bool counting;
    uint64_t taken = 0;
    std::vector<void *> held;
};

/* A queue of work of its own. */
class stream {
  public:
    explicit stream(purpose p);
    ~stream();
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;
    operator cudaStream_t() const {
        return handle;
    }
    /* Waits until all is done. Every function of the vtable returns with its streams idle. */
    void wait() const;

  private:
    cudaStream_t handle = nullptr;
};

template <typename T> void copy(T *to, const T *from, size_t count, cudaMemcpyKind kind, cudaStream_t on) {
    check(cudaMemcpyAsync(to, from, count * sizeof(T), kind, on), "copying");
}

constexpr unsigned threads_in_block = 256;

template <typename... Wanted, typename... Given>
void launch_blocks(cudaStream_t on, size_t blocks, dim3 threads, void (*kernel)(Wanted...), Given &&...arguments) {
    if (blocks == 0)
        return;
    cudaLaunchConfig_t how = {};
    how.gridDim = dim3(static_cast<unsigned>(blocks));
    how.blockDim = threads;
    how.stream = on;
    check(cudaLaunchKernelEx(&how, kernel, std::forward<Given>(arguments)...), "starting a kernel");
}

/* One thread for each of `count` things; a kernel leaves when its thread_index() is not below count. */
template <typename... Wanted, typename... Given>
void launch(cudaStream_t on, size_t count, void (*kernel)(Wanted...), Given &&...arguments) {
    launch_blocks(on, (count + threads_in_block - 1) / threads_in_block, dim3(threads_in_block), kernel,
                  std::forward<Given>(arguments)...);
}

__device__ inline size_t thread_index() {
    return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/* The sum of a value of each thread of a block of threads_in_block, by halves, so that it is the same in every run. All
 * threads must come here; it is known in thread 0. */
__device__ inline double sum_of_block(double value) {
    __shared__ double part[threads_in_block];
    part[threadIdx.x] = value;
    for (unsigned half = threads_in_block / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
    }
    return part[0];
}

} // namespace bnnep_cuda

#endif
