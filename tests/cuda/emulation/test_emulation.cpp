/* SPDX-License-Identifier: MIT */
/* The emulation of CUDA itself: faults planted in kernels must show. */
#include <cstdio>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "emulation.h"

static constexpr unsigned threads = 64, blocks = 3;
static const char *const orders[] = {"forward", "backward", "shuffled"};
static int passed, failed;

static void expect(bool good, const char *what) {
    (good ? passed : failed)++;
    if (!good)
        printf("FAILED: %s\n", what);
}

template <typename... Wanted, typename... Given>
static void launch(cudaStream_t on, void (*kernel)(Wanted...), Given... given) {
    cudaLaunchConfig_t how = {};
    how.gridDim = dim3(blocks);
    how.blockDim = dim3(threads);
    how.stream = on;
    cudaLaunchKernelEx(&how, kernel, given...);
}

/* A device array of a number for each thread of all blocks. */
struct array {
    array() {
        cudaMalloc(reinterpret_cast<void **>(&device), count * sizeof(int));
        cudaMemset(device, 0, count * sizeof(int));
    }
    ~array() {
        cudaFree(device);
    }
    std::vector<int> read() const {
        std::vector<int> values(count);
        cudaMemcpyAsync(values.data(), device, count * sizeof(int), cudaMemcpyDeviceToHost, nullptr);
        cudaStreamSynchronize(nullptr);
        return values;
    }
    static constexpr size_t count = threads * blocks;
    int *device;
};

/* --- kernels, whole and with a barrier left out ------------------------------------------------------------------- */

/* Each block's numbers, the other way round. */
template <bool barrier> static __global__ void turn_round(int *out) {
    __shared__ int part[threads];
    part[threadIdx.x] = static_cast<int>(blockIdx.x * threads + threadIdx.x);
    if (barrier)
        __syncthreads();
    out[blockIdx.x * threads + threadIdx.x] = part[threads - 1 - threadIdx.x];
}

/* The same in rounds: without the second barrier a fast thread writes what a slow one has not read. */
template <bool barrier> static __global__ void rounds(int *out) {
    __shared__ int part[threads];
    int sum = 0;
    for (int round = 0; round < 4; round++) {
        part[threadIdx.x] = round * static_cast<int>(threadIdx.x + blockIdx.x);
        __syncthreads();
        sum += part[(threadIdx.x + 1) % threads];
        if (barrier)
            __syncthreads();
    }
    out[blockIdx.x * threads + threadIdx.x] = sum;
}

/* A block reads what another one writes. */
template <bool careful> static __global__ void across(int *out) {
    const unsigned at = blockIdx.x * threads + threadIdx.x;
    const unsigned other = (at + threads) % (blocks * threads);
    out[at] = careful ? static_cast<int>(other) : out[other] + 1;
}

static bool same_in_all_orders(void (*kernel)(int *)) {
    std::vector<std::vector<int>> results;
    for (const char *order : orders) {
        setenv("BNNEP_EMULATION_ORDER", order, 1);
        array out;
        launch(nullptr, kernel, out.device);
        results.push_back(out.read());
    }
    unsetenv("BNNEP_EMULATION_ORDER");
    return results[0] == results[1] && results[1] == results[2];
}

static void barriers() {
    expect(same_in_all_orders(turn_round<true>), "a kernel with its barrier depends on the order");
    expect(!same_in_all_orders(turn_round<false>), "a missing barrier does not show");
    expect(same_in_all_orders(rounds<true>), "a loop with its barriers depends on the order");
    expect(!same_in_all_orders(rounds<false>), "a missing barrier at the end of a loop does not show");
    expect(same_in_all_orders(across<true>), "independent blocks depend on the order");
    expect(!same_in_all_orders(across<false>), "a race between blocks does not show");
}

/* --- faults: each ends the process -------------------------------------------------------------------------------- */

static __global__ void write_at(int *out, size_t index) {
    if (threadIdx.x == 0 && blockIdx.x == 0)
        out[index] = 1;
}

static __global__ void leave_some() {
    if (threadIdx.x % 2)
        __syncthreads();
}

static void past_the_end() {
    array out;
    launch(nullptr, write_at, out.device, array::count);
}

static void before_the_start() {
    array out;
    launch(nullptr, write_at, out.device + 1, static_cast<size_t>(-2));
}

static void half_a_barrier() {
    launch(nullptr, leave_some);
    cudaStreamSynchronize(nullptr);
}

static void wrong_memory() {
    array out;
    int here = 0;
    cudaMemcpyAsync(out.device, &here, sizeof here, cudaMemcpyDeviceToHost, nullptr);
    cudaStreamSynchronize(nullptr);
}

static void past_a_copy() {
    array out;
    std::vector<int> values(array::count + 1);
    cudaMemcpyAsync(out.device, values.data(), values.size() * sizeof(int), cudaMemcpyHostToDevice, nullptr);
    cudaStreamSynchronize(nullptr);
}

static void free_in_a_capture() {
    array out;
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
}

static void nothing_wrong() {
    array out;
    launch(nullptr, write_at, out.device, array::count - 1);
}

static bool ends_well(void (*play)()) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        play();
        _exit(0);
    }
    int how = 0;
    waitpid(child, &how, 0);
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static void faults() {
    expect(ends_well(nothing_wrong), "a kernel without a fault is one");
    expect(!ends_well(past_the_end), "a write past the end does not show");
    expect(!ends_well(before_the_start), "a write before the start does not show");
    expect(!ends_well(half_a_barrier), "a barrier that some threads leave out does not show");
    expect(!ends_well(wrong_memory), "a copy in the wrong direction does not show");
    expect(!ends_well(past_a_copy), "a copy past the end does not show");
    expect(!ends_well(free_in_a_capture), "freeing memory while a stream is captured does not show");
}

/* --- streams: lazy, each for itself ------------------------------------------------------------------------------- */

static __global__ void set_all(int *out, int value) {
    out[blockIdx.x * threads + threadIdx.x] = value;
}

/* What the host reads of a kernel's work after waiting for it, for the work before it, or not at all. */
enum class waited { not_at_all, before, after };

static int read_when(waited how) {
    array out;
    cudaStream_t stream;
    cudaEvent_t event;
    int value = 0;
    cudaStreamSynchronize(nullptr); /* its zeros */
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    launch(stream, set_all, out.device, 1);
    cudaMemcpyAsync(&value, out.device, sizeof value, cudaMemcpyDeviceToHost, stream);
    if (how != waited::not_at_all)
        cudaEventRecord(event, stream);
    launch(stream, set_all, out.device, 2);
    cudaMemcpyAsync(&value, out.device, sizeof value, cudaMemcpyDeviceToHost, stream);
    if (how == waited::after)
        cudaEventRecord(event, stream);
    cudaEventSynchronize(event);
    const int seen = value;
    cudaEventDestroy(event);
    cudaStreamDestroy(stream);
    return seen;
}

static void waits() {
    expect(read_when(waited::not_at_all) == 0, "a missing wait does not show");
    expect(read_when(waited::before) == 1, "a wait for some work waits for other work");
    expect(read_when(waited::after) == 2, "a wait does not wait");
}

/* Another stream's work, memory's zeros among it, is not there until it was waited for. */
static void streams() {
    array out;
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    launch(stream, set_all, out.device, 3);
    cudaStreamSynchronize(stream);
    expect(out.read()[0] == 0, "clearing memory without a wait does not show");
    setenv("BNNEP_EMULATION_DEVICES", "2", 1);
    cudaSetDevice(1);
    expect(cudaMemsetAsync(out.device, 0, 1, stream) == cudaErrorInvalidResourceHandle,
           "a stream of another device takes work");
    cudaSetDevice(0);
    cudaStreamDestroy(stream);
}

/* --- graphs and atomics ------------------------------------------------------------------------------------------- */

static __global__ void count_up(int *out, int by) {
    atomicAdd(out, by);
}

static void graphs() {
    array out;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t made;
    int by = 2;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    launch(stream, count_up, out.device, by);
    expect(cudaStreamSynchronize(stream) != cudaSuccess, "waiting while a graph is captured is no error");
    cudaStreamEndCapture(stream, &graph);
    cudaGraphInstantiate(&made, graph, 0);
    cudaGraphDestroy(graph);
    by = 5; /* arguments were taken when the kernel was captured */
    expect(out.read()[0] == 0, "capturing runs the kernel");
    cudaGraphLaunch(made, stream);
    cudaGraphLaunch(made, stream);
    cudaStreamSynchronize(stream);
    expect(out.read()[0] == static_cast<int>(2 * 2 * array::count), "a graph does not do its kernels' work");
    cudaGraphExecDestroy(made);
    cudaStreamDestroy(stream);
}

int main() {
    barriers();
    faults();
    waits();
    streams();
    graphs();
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
