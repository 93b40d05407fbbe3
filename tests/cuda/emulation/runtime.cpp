/* SPDX-License-Identifier: MIT */
/* Memory, streams and graphs. */
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "emulation.h"

/* tests/faults, where it is in the process. */
extern "C" {
#include "../../faults/layer.h"
}
#pragma weak faults_spare
#pragma weak faults_strike
#pragma weak faults_count_live

namespace emulation {

struct tape {
    std::vector<std::function<void()>> work;
};

struct queue {
    int device;
    tape *capturing;
    std::deque<std::function<void()>> waiting;
    size_t done; /* pieces of work since the beginning */
};

/* A place in a queue: after so many pieces of work. */
struct mark {
    queue *in;
    size_t after;
};

/* All devices, on which one thing happens at a time. */
static std::recursive_mutex device;
static std::set<queue *> queues;
static queue null_stream;
static thread_local int current;

static void work_off(queue &q, size_t until) {
    while (q.done < until && !q.waiting.empty()) {
        const std::function<void()> work = std::move(q.waiting.front());
        q.waiting.pop_front();
        q.done++;
        work();
    }
}

static void work_off(queue &q) {
    work_off(q, q.done + q.waiting.size());
}

/* What waits for the whole device, or for nothing that is still under way. */
static void work_off_all() {
    for (queue *q : queues)
        work_off(*q);
    work_off(null_stream);
}

call::call() {
    device.lock();
    if (faults_spare)
        faults_spare(1);
}

call::~call() {
    if (faults_spare)
        faults_spare(-1);
    device.unlock();
}

void keep(int change) {
    if (!faults_spare)
        return;
    faults_spare(-1);
    faults_count_live(change);
    faults_spare(1);
}

bool lacks_memory(const char *name) {
    if (fails())
        return true;
    if (!faults_spare)
        return false;
    faults_spare(-1);
    const bool struck = faults_strike(name, 1u << FAULT_MEMORY);
    faults_spare(1);
    return struck;
}

bool fails() {
    static std::string seen;
    static long left;
    const call now;
    const char *text = getenv("BNNEP_EMULATION_FAIL");
    if (seen != (text ? text : "")) {
        seen = text ? text : "";
        left = atol(seen.c_str());
    }
    return left > 0 && --left == 0;
}

void outside_of_captures() {
    for (const queue *q : queues)
        if (q->capturing)
            fault("memory is taken or freed while a stream is captured");
}

cudaError_t enqueue(queue *on, std::function<void()> work) {
    const call now;
    if (fails())
        return cudaErrorLaunchFailure;
    if (on && on->device != current)
        return cudaErrorInvalidResourceHandle;
    if (on && on->capturing)
        on->capturing->work.push_back(std::move(work));
    else
        (on ? on : &null_stream)->waiting.push_back(std::move(work));
    return cudaSuccess;
}

void fault(const char *what) {
    fprintf(stderr, "CUDA emulation: %s\n", what);
    abort();
}

/* --- memory: each array lies between guards, which are looked at when it is freed --------------------------------- */

static constexpr size_t guard = sanitized ? 0 : 64; /* sanitizers have guards of their own */
static constexpr unsigned char guard_byte = 0xA5;
static constexpr size_t filled = 1 << 20; /* of a new array; more would take time */
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

static int number_from(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static int devices() {
    return number_from("BNNEP_EMULATION_DEVICES", 1);
}

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
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
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
    const call now;
    *device = current;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    const call now;
    if (device < 0 || device >= devices())
        return cudaErrorInvalidDevice;
    current = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    if (device < 0 || device >= devices())
        return cudaErrorInvalidDevice;
    *properties = cudaDeviceProp{};
    snprintf(properties->name, sizeof properties->name, "emulated device");
    properties->totalGlobalMem = size_t{1} << 30;
    cudaDeviceGetAttribute(&properties->major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&properties->minor, cudaDevAttrComputeCapabilityMinor, device);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
    const int capability = number_from("BNNEP_EMULATION_CAPABILITY", 90);
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? capability / 10 : capability % 10;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **array, size_t bytes) {
    const call now;
    outside_of_captures();
    char *whole = lacks_memory("cudaMalloc") ? nullptr : static_cast<char *>(malloc(bytes + 2 * guard));
    if (!whole)
        return cudaErrorMemoryAllocation;
    keep(1);
    *array = whole + guard;
    memset(whole, guard_byte, guard);
    memset(whole + guard, 0xFF, std::min(bytes, filled));
    memset(whole + guard + bytes, guard_byte, guard);
    arrays[whole + guard] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *array) {
    const call now;
    if (!array)
        return cudaSuccess;
    outside_of_captures();
    work_off_all();
    const auto found = arrays.find(static_cast<char *>(array));
    if (found == arrays.end())
        return cudaErrorInvalidValue;
    check_guards(found->first, found->second);
    arrays.erase(found);
    keep(-1);
    free(static_cast<char *>(array) - guard);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **array, size_t bytes) {
    const call now;
    outside_of_captures();
    *array = lacks_memory("cudaMallocHost") ? nullptr : malloc(bytes);
    keep(*array ? 1 : 0);
    return *array ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *array) {
    const call now;
    outside_of_captures();
    work_off_all();
    keep(array ? -1 : 0);
    free(array);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *array, int value, size_t bytes, cudaStream_t on) {
    const call now;
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
    const call now;
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

/* --- streams and graphs ------------------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *made, unsigned) {
    const call now;
    if (lacks_memory("cudaStreamCreate"))
        return cudaErrorMemoryAllocation;
    keep(1);
    *made = new queue{current, nullptr, {}, 0};
    queues.insert(*made);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const call now;
    work_off(*stream);
    queues.erase(stream);
    keep(-1);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    const call now;
    if (stream && stream->capturing)
        return cudaErrorInvalidValue;
    work_off(stream ? *stream : null_stream);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *made, unsigned) {
    const call now;
    if (lacks_memory("cudaEventCreate"))
        return cudaErrorMemoryAllocation;
    keep(1);
    *made = new mark{nullptr, 0};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    const call now;
    keep(-1);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t on) {
    const call now;
    if (fails())
        return cudaErrorLaunchFailure;
    event->in = on ? on : &null_stream;
    event->after = event->in->done + event->in->waiting.size();
    return event->in->capturing ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const call now;
    if (event->in)
        work_off(*event->in, event->after);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    const call now;
    if (fails())
        return cudaErrorLaunchFailure;
    keep(1);
    stream->capturing = new tape;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    const call now;
    *graph = stream->capturing;
    stream->capturing = nullptr;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long) {
    const call now;
    if (lacks_memory("cudaGraphInstantiate"))
        return cudaErrorMemoryAllocation;
    keep(1);
    *made = new tape(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t on) {
    const call now;
    return enqueue(on, [=] {
        for (const auto &work : graph->work)
            work();
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    const call now;
    keep(-1);
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    const call now;
    work_off_all();
    keep(-1);
    delete graph;
    return cudaSuccess;
}
