/* SPDX-License-Identifier: MIT */
/*
 * A phase: time steps in captured graphs of a few, one behind the other. While one runs the next is queued already, and
 * the host looks whether the one before it left any sample running: the device never waits for the host. When all have
 * settled, the graph that is queued changes nothing.
 */
#include <algorithm>

#include "backends/cuda/cuda.h"

namespace bnnep_cuda {

/* Steps between two looks: long enough to start the next graph in, short because up to twice as many are done in vain.
 */
static constexpr int steps_in_graph = 4;
/* Graphs begin with an odd step that is not the first, whose argmax is found before. */
static constexpr int32_t not_first = 3;
static_assert(steps_in_graph % 2 == 0, "graphs begin with an odd step");

/* a = H(s - theta) of a layer, lines padded with zeros. */
static __global__ void threshold_states(const float *state, int8_t *active, float theta, int units, size_t count) {
    const size_t at = thread_index();
    if (at >= count)
        return;
    const size_t n = at / units;
    active[n * padded(units) + at % units] = static_cast<int8_t>(bnnep_activation(true, theta, state[at]));
}

void activate(workspace &ws, int32_t phase, int k) {
    const int units = ws.at(k).s.out;
    const size_t values = ws.count * static_cast<size_t>(units);
    launch(ws.work, values, threshold_states, ws.state[phase][k], ws.active[k], ws.net.model->theta, units, values);
}

/* s(t) -> s(t+1) of a layer, of the samples that still run. feedback is NULL for the output layer; target and
 * prediction count for it alone; active is NULL for real activations. */
static __global__ void move(bnnep_neuron neuron, int units, const phase_control *control, const float *forward,
                            const float *feedback, const float *target, const float *prediction, const uint8_t *running,
                            const uint32_t *steps, bool over_relaxed, float *state, int8_t *active, uint8_t *moved,
                            uint8_t calm_steps, size_t count) {
    const size_t at = thread_index(), n = at / units;
    if (at >= count || !running[n])
        return;
    neuron.beta = control->beta;
    neuron.stride = bnnep_stride(over_relaxed, neuron.beta, static_cast<int32_t>(steps[n]) + 1);
    const float s = state[at], pre = feedback ? forward[at] + feedback[at] : forward[at];
    const float next =
        bnnep_next_state(&neuron, s, pre, neuron.output ? target[at] : 0.0f, neuron.output ? prediction[at] : 0.0f);
    state[at] = next;
    if (active)
        active[n * padded(units) + at % units] = static_cast<int8_t>(bnnep_activation(true, neuron.theta, next));
    if (fabsf(next - s) > control->tolerance)
        moved[n] = calm_steps; /* by all threads alike */
}

static __global__ void begin(phase_control *control, float beta, float tolerance, uint8_t *running, uint8_t *moved,
                             uint8_t calm_steps, uint32_t *steps, int samples) {
    const int n = static_cast<int>(thread_index());
    if (n == 0)
        *control = phase_control{beta, tolerance, samples};
    if (n >= samples)
        return;
    running[n] = 1;
    moved[n] = calm_steps - 1;
    steps[n] = 0;
}

/* A sample of which nothing changed by more than the tolerance, for so many steps in a row as `moved` counts down,
 * rests from here on; none does if the tolerance is negative. */
static __global__ void settle(phase_control *control, uint8_t *running, uint8_t *moved, uint32_t *steps, int samples) {
    const int n = static_cast<int>(thread_index());
    if (n >= samples || !running[n])
        return;
    steps[n]++;
    if (!moved[n] && control->tolerance >= 0.0f) {
        running[n] = 0;
        atomicSub(&control->running, 1);
    } else if (moved[n])
        moved[n]--;
}

static uint8_t calm_steps(const workspace &ws) {
    return static_cast<uint8_t>(bnnep_calm_steps(ws.net.model->schedule));
}

/* Time step t: layers move at once, from the states of the step before. */
static void step(workspace &ws, int32_t phase, int32_t t) {
    sum_all(ws, phase, ws.running, t); /* beta, which a captured step does not know, is in ws.control */
    for (int k = 0; k <= ws.net.top(); k++) {
        if (!bnnep_moves(ws.net.model->schedule, static_cast<size_t>(k), t))
            continue;
        const bnnep_neuron neuron = bnnep_neuron_of(ws.net.model, static_cast<size_t>(k), 0.0f);
        const size_t values = ws.count * ws.at(k).s.out;
        launch(ws.work, values, move, neuron, ws.at(k).s.out, ws.control, ws.forward[k], ws.feedback[k], ws.target,
               ws.state[BNNEP_PHASE_FREE][k], ws.running, ws.steps,
               ws.net.model->schedule == BNNEP_SCHEDULE_OVER_RELAXED, ws.state[phase][k], ws.active[k], ws.moved,
               calm_steps(ws), values);
    }
    launch(ws.work, ws.count, settle, ws.control, ws.running, ws.moved, ws.steps, static_cast<int>(ws.count));
}

/* How many samples still ran at a place in the stream, for the host to read once the device has come there. */
class report {
  public:
    report() {
        check(cudaMallocHost(reinterpret_cast<void **>(&running), sizeof *running), "memory of the host");
        const cudaError_t status = cudaEventCreateWithFlags(&there, cudaEventDisableTiming);
        if (status != cudaSuccess)
            cudaFreeHost(running);
        check(status, "making an event");
    }
    ~report() {
        cudaEventDestroy(there);
        cudaFreeHost(running);
    }
    report(const report &) = delete;
    report &operator=(const report &) = delete;

    void ask(const workspace &ws) {
        copy<int>(running, &ws.control->running, 1, cudaMemcpyDeviceToHost, ws.work);
        check(cudaEventRecord(there, ws.work), "recording an event");
    }
    int answer() const {
        check(cudaEventSynchronize(there), "waiting for steps");
        return *running;
    }

  private:
    int *running = nullptr;
    cudaEvent_t there = nullptr;
};

/* Captured steps, for one number of staged samples: they are built anew when that changes. */
class graphs {
  public:
    graphs() = default;
    ~graphs() {
        clear();
    }
    graphs(const graphs &) = delete;
    graphs &operator=(const graphs &) = delete;

    /* All graphs that so many steps need, before any of them changes a state. */
    void prepare(workspace &ws, int32_t phase, int32_t steps) {
        if (samples != ws.count)
            clear();
        samples = ws.count;
        for (const int32_t some : {std::min(steps, steps_in_graph), steps % steps_in_graph})
            if (some > 0 && !made[phase][some])
                made[phase][some] = capture(ws, phase, some);
    }
    /* False if it was cancelled. Who may cancel is asked as the phase goes on, not while it is queued. */
    bool run(const workspace &ws, const bnnep_phase_run &how) {
        const bool looks = how.tolerance >= 0.0f || how.cancelled;
        for (int32_t at = 0, n = 0; at < how.steps; at += steps_in_graph, n++) {
            if (how.cancelled && how.cancelled(how.cancel_user))
                return false;
            check(cudaGraphLaunch(made[how.to][std::min(how.steps - at, steps_in_graph)], ws.work), "starting steps");
            if (!looks)
                continue;
            reports[n % 2].ask(ws);
            if (n > 0 && reports[(n - 1) % 2].answer() == 0)
                break;
        }
        return true;
    }

  private:
    static cudaGraphExec_t capture(workspace &ws, int32_t phase, int32_t steps) {
        const std::lock_guard<std::mutex> lock(making());
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t made = nullptr;
        check(cudaStreamBeginCapture(ws.work, cudaStreamCaptureModeThreadLocal), "capturing steps");
        try {
            for (int32_t i = 0; i < steps; i++)
                step(ws, phase, not_first + i);
        } catch (...) {
            cudaStreamEndCapture(ws.work, &graph);
            cudaGraphDestroy(graph);
            cudaGetLastError();
            throw;
        }
        check(cudaStreamEndCapture(ws.work, &graph), "capturing steps");
        const cudaError_t status = cudaGraphInstantiate(&made, graph, 0);
        cudaGraphDestroy(graph);
        check(status, "capturing steps");
        return made;
    }
    void clear() {
        for (auto &phase : made)
            for (cudaGraphExec_t &graph : phase) {
                if (graph)
                    cudaGraphExecDestroy(graph);
                graph = nullptr;
            }
    }
    size_t samples = 0;
    cudaGraphExec_t made[BNNEP_PHASES][steps_in_graph + 1] = {};
    report reports[2];
};

/* The runtime and the library load code when it is first used, in the library that for a shape, which must not happen
 * in a capture: hence one step in which no sample runs. */
void make_graphs(workspace &ws) {
    ws.captured = std::make_shared<graphs>();
    ws.count = 1;
    step(ws, BNNEP_PHASE_FREE, 1);
    step(ws, BNNEP_PHASE_FREE, 2);
    ws.work.wait();
    ws.count = 0;
}

static void count_steps(workspace &ws, bnnep_relaxed &done) {
    copy<uint32_t>(ws.host_steps.data(), ws.steps, ws.count, cudaMemcpyDeviceToHost, ws.work);
    ws.work.wait();
    done.sample_steps = 0;
    done.most_steps = 0;
    for (size_t n = 0; n < ws.count; n++) {
        done.sample_steps += ws.host_steps[n];
        done.most_steps = std::max(done.most_steps, static_cast<int32_t>(ws.host_steps[n]));
    }
}

static void copy_phase(workspace &ws, int32_t from, int32_t to) {
    for (int k = 0; k <= ws.net.top(); k++) {
        const size_t values = ws.count * ws.at(k).s.out;
        copy<float>(ws.state[to][k], ws.state[from][k], values, cudaMemcpyDeviceToDevice, ws.work);
        if (ws.argmax[to][k])
            copy<uint16_t>(ws.argmax[to][k], ws.argmax[from][k], values, cudaMemcpyDeviceToDevice, ws.work);
    }
}

bnnep_status relax(workspace &ws, const bnnep_phase_run &how, bnnep_relaxed &done) {
    ws.captured->prepare(ws, how.to, how.steps);
    if (how.from != how.to)
        copy_phase(ws, how.from, how.to);
    for (int k = 0; ws.net.binary() && k <= ws.net.top(); k++)
        activate(ws, how.to, k);
    launch(ws.work, ws.count, begin, ws.control, how.beta, how.tolerance, ws.running, ws.moved, calm_steps(ws),
           ws.steps, static_cast<int>(ws.count));
    if (ws.net.model->schedule != BNNEP_SCHEDULE_SYNCHRONOUS && ws.net.model->convolutional)
        sum_all(ws, how.to, ws.running, 1);
    const bool whole = ws.captured->run(ws, how);
    count_steps(ws, done);
    return whole ? BNNEP_OK : BNNEP_CANCELLED;
}

} // namespace bnnep_cuda
