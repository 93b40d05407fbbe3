/* SPDX-License-Identifier: MIT */
/* The CUDA backend's place in the table of backends: its functions with C's types, failures transposed into statuses.
 */
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "backends/cuda/cuda.h"

using namespace bnnep_cuda;

/* A GPU that is older than the oldest that this was compiled for could only fail later. */
static void check_capability(int device) {
    constexpr int compiled_for[] = {__CUDA_ARCH_LIST__}; /* 10 * capability * 10, ascending */
    int major = 0, minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "asking for its capability");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "asking for its capability");
    if (100 * major + 10 * minor < compiled_for[0])
        fail(BNNEP_ERROR_BACKEND, "device %d has compute capability %d.%d, and this module needs %d.%d", device, major,
             minor, compiled_for[0] / 100, compiled_for[0] / 10 % 10);
}

/* "" or "N", one of the devices that the driver has. */
static int device_of(const char *text) {
    int devices = 0;
    check(cudaGetDeviceCount(&devices), "the CUDA driver says");
    if (devices == 0)
        fail(BNNEP_ERROR_BACKEND, "there is no CUDA device");
    char *end = nullptr;
    const long device = text[0] ? strtol(text, &end, 10) : 0;
    if (text[0] && (text[0] < '0' || text[0] > '9' || *end))
        fail(BNNEP_ERROR_ARGUMENT, "cuda takes the number of a device, but was given '%.64s'", text);
    if (device >= devices)
        fail(BNNEP_ERROR_BACKEND, "device %ld does not exist: there %s %d, counted from 0", device,
             devices == 1 ? "is" : "are", devices);
    check_capability(static_cast<int>(device));
    return static_cast<int>(device);
}

/* An open device. */
struct place {
    int device;
};

static int place_of(const void *handle) {
    return static_cast<const place *>(handle)->device;
}

static size_t device_count(char *why) {
    int devices = 0;
    const bnnep_status status = guarded(why, [&] {
        device_of("");
        check(cudaGetDeviceCount(&devices), "the CUDA driver says");
        return BNNEP_OK;
    });
    return status == BNNEP_OK ? static_cast<size_t>(devices) : 0;
}

static void device_get(size_t index, char *name, char *summary, uint64_t *memory_bytes) {
    cudaDeviceProp about = {};
    const bool known = cudaGetDeviceProperties(&about, static_cast<int>(index)) == cudaSuccess;
    snprintf(name, BNNEP_WHY, "%zu", index);
    if (known)
        snprintf(summary, BNNEP_WHY, "%.64s, compute capability %d.%d", about.name, about.major, about.minor);
    else
        snprintf(summary, BNNEP_WHY, "does not answer");
    *memory_bytes = known ? about.totalGlobalMem : 0;
}

static bnnep_status open_device(const bnnep_host *, const char *name, void **device, char *why) {
    return guarded(why, [&] {
        *device = new place{device_of(name)};
        return BNNEP_OK;
    });
}

static void close_device(void *device) {
    delete static_cast<place *>(device);
}

/* --- sizes: what the constructors would take ---------------------------------------------------------------------- */

template <typename Count> static uint64_t counted(Count count) noexcept {
    try {
        return count();
    } catch (...) {
        return BNNEP_UNCOUNTED;
    }
}

static uint64_t network_bytes(void *, const bnnep_model *model) {
    return counted([&] { return network(model, 0, purpose::count).held.bytes(); });
}

static uint64_t workspace_bytes(void *, const bnnep_model *model, size_t max_batch, size_t) {
    return counted([&] {
        const network net(model, 0, purpose::count);
        return workspace(net, max_batch, purpose::count).held.bytes() + product_bytes();
    });
}

static uint64_t optimizer_bytes(void *, const bnnep_model *model, size_t max_batch, int32_t tape) {
    return counted([&] {
        network net(model, 0, purpose::count);
        return optimizer(net, max_batch, tape, purpose::count).held.bytes();
    });
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

static network &network_of(const void *handle) {
    return *static_cast<network *>(const_cast<void *>(handle));
}

static workspace &workspace_of(const void *handle) {
    return *static_cast<workspace *>(const_cast<void *>(handle));
}

static optimizer &optimizer_of(const void *handle) {
    return *static_cast<optimizer *>(const_cast<void *>(handle));
}

/* Runs a function on the network's device. */
template <typename Function> static bnnep_status on(const network &net, char *why, Function function) {
    return guarded(why, [&] {
        const on_device current(net.device);
        return function();
    });
}

/* The same for one that works on a stream. */
template <typename Function>
static bnnep_status on(const network &net, const stream &work, char *why, Function function) {
    return on(net, why, [&] {
        const until_idle end(work);
        return function();
    });
}

/* Makes an object by a function, on the network's device. */
template <typename Function> static bnnep_status make(const network &net, void **out, char *why, Function function) {
    return on(net, why, [&] {
        const std::lock_guard<std::mutex> lock(making());
        *out = function().release();
        return BNNEP_OK;
    });
}

/* Frees an object on its device, or, if that is lost, what the host has of it. */
template <typename Object> static void destroy(const network &net, Object *object) {
    char why[BNNEP_WHY];
    std::unique_ptr<Object> owned(object);
    const std::lock_guard<std::mutex> lock(making());
    on(net, why, [&] {
        owned.reset();
        return BNNEP_OK;
    });
}

static bnnep_status network_create(void *device, const bnnep_model *model, void **out, char *why) {
    return guarded(why, [&] {
        const int number = place_of(device);
        const on_device current(number);
        const std::lock_guard<std::mutex> lock(making());
        *out = new network(model, number, purpose::use);
        return BNNEP_OK;
    });
}

static void network_destroy(void *handle) {
    if (handle)
        destroy(network_of(handle), &network_of(handle));
}

static bnnep_status put_parameters(void *handle, size_t k, const bnnep_parameters *from, char *why) {
    return on(network_of(handle), network_of(handle).work, why, [&] {
        put(network_of(handle), k, *from);
        return BNNEP_OK;
    });
}

static bnnep_status get_parameters(const void *handle, size_t k, const bnnep_parameters_out *to, char *why) {
    return on(network_of(handle), network_of(handle).work, why, [&] {
        get(network_of(handle), k, *to);
        return BNNEP_OK;
    });
}

/* --- workspaces --------------------------------------------------------------------------------------------------- */

static bnnep_status workspace_create(void *, const bnnep_model *, const void *net, size_t max_batch, size_t, void **out,
                                     char *why) {
    return make(network_of(net), out, why, [&] {
        auto made = std::make_unique<workspace>(network_of(net), max_batch, purpose::use);
        make_products(*made);
        make_graphs(*made);
        return made;
    });
}

static void workspace_destroy(void *handle) {
    if (handle)
        destroy(workspace_of(handle).net, &workspace_of(handle));
}

static bnnep_status stage_batch(void *handle, const float *x, const float *target, size_t count, char *why) {
    workspace &ws = workspace_of(handle);
    return on(ws.net, ws.work, why, [&] {
        stage(ws, x, target, count);
        return BNNEP_OK;
    });
}

static bnnep_status relax_batch(void *handle, const bnnep_phase_run *how, bnnep_relaxed *done, char *why) {
    workspace &ws = workspace_of(handle);
    return on(ws.net, ws.work, why, [&] { return relax(ws, *how, *done); });
}

static bnnep_status put_state(void *handle, int32_t phase, size_t layer, const float *state, char *why) {
    workspace &ws = workspace_of(handle);
    return on(ws.net, ws.work, why, [&] {
        const size_t values = ws.count * ws.net.model->links[layer - 1]->out;
        copy(ws.state[phase][layer - 1], state, values, cudaMemcpyHostToDevice, ws.work);
        ws.work.wait();
        return BNNEP_OK;
    });
}

static bnnep_status get_state(const void *handle, int32_t phase, size_t layer, float *state, char *why) {
    workspace &ws = workspace_of(handle);
    return on(ws.net, ws.work, why, [&] {
        const size_t values = ws.count * ws.net.model->links[layer - 1]->out;
        copy<float>(state, ws.state[phase][layer - 1], values, cudaMemcpyDeviceToHost, ws.work);
        ws.work.wait();
        return BNNEP_OK;
    });
}

/* --- optimizers --------------------------------------------------------------------------------------------------- */

static bnnep_status optimizer_create(void *net, size_t max_batch, int32_t tape, void **out, char *why) {
    return make(network_of(net), out, why,
                [&] { return std::make_unique<optimizer>(network_of(net), max_batch, tape, purpose::use); });
}

static void optimizer_destroy(void *handle) {
    if (handle)
        destroy(optimizer_of(handle).net, &optimizer_of(handle));
}

static size_t weights(const network &net, size_t k) {
    return net.model->links[k]->rows * net.model->links[k]->columns;
}

static bnnep_status put_momentum(void *handle, size_t k, const float *momentum, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, l.net.work, why, [&] {
        copy(l.momentum[k], momentum, weights(l.net, k), cudaMemcpyHostToDevice, l.net.work);
        l.net.work.wait();
        return BNNEP_OK;
    });
}

static bnnep_status get_momentum(const void *handle, size_t k, float *momentum, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, l.net.work, why, [&] {
        copy<float>(momentum, l.momentum[k], weights(l.net, k), cudaMemcpyDeviceToHost, l.net.work);
        l.net.work.wait();
        return BNNEP_OK;
    });
}

static bnnep_status backpropagate_batch(void *handle, void *ws, int32_t steps, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, workspace_of(ws).work, why, [&] {
        backpropagate(l, workspace_of(ws), steps);
        return BNNEP_OK;
    });
}

static bnnep_status learn_batch(void *handle, void *ws, const bnnep_learning *how, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, workspace_of(ws).work, why, [&] {
        learn(l, workspace_of(ws), *how, nullptr);
        return BNNEP_OK;
    });
}

/* --- contrasts that are kept --------------------------------------------------------------------------------- */

/* Room for a contrast, from the first one on. */
static void make_room(optimizer &l) {
    if (l.kept)
        return;
    const std::lock_guard<std::mutex> lock(making());
    l.kept = std::make_unique<contrast>(l.net);
}

static bnnep_status take_contrast(void *handle, void *ws, const bnnep_learning *how, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, workspace_of(ws).work, why, [&] {
        make_room(l);
        learn(l, workspace_of(ws), *how, l.kept.get());
        return BNNEP_OK;
    });
}

static bnnep_status put_contrast_of(void *handle, size_t k, const bnnep_contrast *from, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, l.net.work, why, [&] {
        make_room(l);
        put_contrast(l, k, *from);
        return BNNEP_OK;
    });
}

static bnnep_status get_contrast_of(const void *handle, size_t k, const bnnep_contrast_out *to, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, l.net.work, why, [&] {
        make_room(l);
        get_contrast(l, k, *to);
        return BNNEP_OK;
    });
}

static bnnep_status update_by_contrast(void *handle, const bnnep_learning *how, char *why) {
    optimizer &l = optimizer_of(handle);
    return on(l.net, l.net.work, why, [&] {
        make_room(l);
        update(l, *how);
        return BNNEP_OK;
    });
}

static const bnnep_capabilities can = {
    .size = sizeof(bnnep_capabilities),
    .real = 1,
    .binary = 1,
    .convolution = 1,
    .grid = 1,
    .scale = 1,
    .tape = 1,
    .phases = BNNEP_PHASES,
    .momentum_types = 1,
    .alternating = 1,
    .over_relaxed = 1,
    .squares = 1,
    .reset = 1,
    .covariance = 2,
    .weak_feedback = 1,
    .consolidation = 1,
};

extern "C" {
extern const bnnep_backend bnnep_backend_cuda __attribute__((visibility("default")));
const bnnep_backend bnnep_backend_cuda = {
    .abi = BNNEP_BACKEND_ABI,
    .reserved = 0,
    .size = sizeof(bnnep_backend),
    .name = "cuda",
    .summary = "NVIDIA GPUs: cuBLAS and kernels of its own",
    .can = &can,
    .device_count = device_count,
    .device_get = device_get,
    .open = open_device,
    .close = close_device,
    .network_bytes = network_bytes,
    .workspace_bytes = workspace_bytes,
    .optimizer_bytes = optimizer_bytes,
    .network_create = network_create,
    .network_destroy = network_destroy,
    .put = put_parameters,
    .get = get_parameters,
    .workspace_create = workspace_create,
    .workspace_destroy = workspace_destroy,
    .stage = stage_batch,
    .relax = relax_batch,
    .put_state = put_state,
    .get_state = get_state,
    .optimizer_create = optimizer_create,
    .optimizer_destroy = optimizer_destroy,
    .put_momentum = put_momentum,
    .get_momentum = get_momentum,
    .contrast = take_contrast,
    .put_contrast = put_contrast_of,
    .get_contrast = get_contrast_of,
    .update = update_by_contrast,
    .learn = learn_batch,
    .backpropagate = backpropagate_batch,
};
}
