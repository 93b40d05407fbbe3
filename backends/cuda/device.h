/* SPDX-License-Identifier: MIT */
/*
 * What every file of this backend needs of CUDA: failures as exceptions, which end at the vtable; memory and streams
 * that free themselves; launches of kernels.
 */
#ifndef BNNEP_CUDA_DEVICE_H
#define BNNEP_CUDA_DEVICE_H

#include <climits>
#include <cstdio>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include <bnnep/backend.h>

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

/* Held while an object is made or freed and while a stream is captured: taking and freeing memory, and starting and
 * stopping the library, may wait for the whole device, which would break off another thread's capture. */
std::mutex &making();

/* Does an object take its memory, or only count the bytes it would take? */
enum class purpose { use, count };

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

/* Waits at the end of the block, whatever ends it: the stream's work reads and writes the host's memory. */
class until_idle {
  public:
    explicit until_idle(const stream &work) : work(work) {
    }
    ~until_idle();
    until_idle(const until_idle &) = delete;
    until_idle &operator=(const until_idle &) = delete;

  private:
    const stream &work;
};

/* All the device memory of an object, cleared by a stream. */
class memory {
  public:
    memory(purpose p, const stream &on) : counting(p == purpose::count), on(on) {
    }
    ~memory();
    memory(const memory &) = delete;
    memory &operator=(const memory &) = delete;

    /* An array of zeros, for work of the same stream; NULL while counting. */
    template <typename T> T *take(size_t count) {
        return static_cast<T *>(take_bytes(count * sizeof(T)));
    }
    uint64_t bytes() const {
        return taken;
    }

  private:
    void *take_bytes(size_t bytes);
    bool counting;
    const stream &on;
    uint64_t taken = 0;
    std::vector<void *> held;
};

template <typename T> void copy(T *to, const T *from, size_t count, cudaMemcpyKind kind, cudaStream_t on) {
    check(cudaMemcpyAsync(to, from, count * sizeof(T), kind, on), "copying");
}

constexpr unsigned threads_in_block = 256;

template <typename... Wanted, typename... Given>
void launch_blocks(cudaStream_t on, size_t blocks, dim3 threads, void (*kernel)(Wanted...), Given &&...arguments) {
    if (blocks == 0)
        return;
    if (blocks > INT_MAX)
        fail(BNNEP_ERROR_BACKEND, "%zu blocks are more than a device starts at once", blocks);
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
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    part[thread] = value;
    for (unsigned half = threads_in_block / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half)
            part[thread] += part[thread + half];
    }
    return part[0];
}

} // namespace bnnep_cuda

#endif
