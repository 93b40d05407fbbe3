/* SPDX-License-Identifier: MIT */
/* A phase: time steps in captured graphs of a few, and a look after each graph at whether any sample still runs. */
#include "backends/cuda/cuda.h"
#include "backends/rules.h"

namespace bnnep_cuda {

/* Steps between two looks. */
static constexpr int steps_in_graph = 8;

/* a = H(s - theta) of a layer, lines padded with zeros. */
static __global__ void threshold_states(const float *state, int8_t *active, float theta, int units, size_t count) {
    const size_t at = thread_index();
    if (at >= count)
        return;
    const size_t n = at / units;
    active[n * padded(units) + at % units] = static_cast<int8_t>(bnnep_activation(true, theta, state[at]));
}

void activate(workspace &ws, bnnep_slot slot, int k) {
    const int units = ws.at(k).s.out;
    const size_t values = ws.count * static_cast<size_t>(units);
    launch(ws.work, values, threshold_states, ws.state[slot][k], ws.active[k], ws.net.model->theta, units, values);
}

/* s(t) -> s(t+1) of a layer, of the samples that still run. feedback is NULL for the output layer; target and
 * prediction count for it alone; active is NULL for real activations. */
static __global__ void move(bnnep_neuron neuron, int units, const phase *control, const float *forward,
                            const float *feedback, const float *target, const float *prediction, const uint8_t *running,
                            float *state, int8_t *active, uint8_t *moved, size_t count) {
    const size_t at = thread_index(), n = at / units;
    if (at >= count || !running[n])
        return;
    neuron.beta = control->beta;
    const float s = state[at], pre = feedback ? forward[at] + feedback[at] : forward[at];
    const float next =
        bnnep_next_state(&neuron, s, pre, neuron.output ? target[at] : 0.0f, neuron.output ? prediction[at] : 0.0f);
    state[at] = next;
    if (active)
        active[n * padded(units) + at % units] = static_cast<int8_t>(bnnep_activation(true, neuron.theta, next));
    if (fabsf(next - s) > control->tolerance)
        moved[n] = 1; /* by all threads alike */
}

static __global__ void begin(phase *control, float beta, float tolerance, uint8_t *running, uint8_t *moved,
                             uint32_t *steps, int samples) {
    const int n = static_cast<int>(thread_index());
    if (n == 0)
        *control = phase{beta, tolerance, samples};
    if (n >= samples)
        return;
    running[n] = 1;
    moved[n] = 0;
    steps[n] = 0;
}

/* A sample of which nothing changed by more than the tolerance rests from here on. */
static __global__ void settle(phase *control, uint8_t *running, uint8_t *moved, uint32_t *steps, int samples) {
    const int n = static_cast<int>(thread_index());
    if (n >= samples || !running[n])
        return;
    steps[n]++;
    if (!moved[n]) {
        running[n] = 0;
        atomicSub(&control->running, 1);
    }
    moved[n] = 0;
}

/* One time step: all layers move at once, from the states of time t. */
static void step(workspace &ws, bnnep_slot slot) {
    const bnnep_model &model = *ws.net.model;
    sum_all(ws, slot, ws.running);
    for (int k = 0; k <= ws.net.top(); k++) {
        bnnep_neuron neuron = {};
        neuron.binary = ws.net.binary();
        neuron.output = k == ws.net.top();
        neuron.clamp_nudged = !model.convolutional;
        neuron.fixed_prediction = model.convolutional;
        neuron.theta = model.theta;
        neuron.keep = static_cast<float>(1.0 - static_cast<double>(model.gamma_neur));
        neuron.gain = model.gamma_neur;
        neuron.grid = model.grid;
        const size_t values = ws.count * ws.at(k).s.out;
        launch(ws.work, values, move, neuron, ws.at(k).s.out, ws.control, ws.forward[k], ws.feedback[k], ws.target,
               ws.state[BNNEP_SLOT_FREE][k], ws.running, ws.state[slot][k], ws.active[k], ws.moved, values);
    }
    launch(ws.work, ws.count, settle, ws.control, ws.running, ws.moved, ws.steps, static_cast<int>(ws.count));
}

/* Captured steps, for one number of staged samples: they are built anew when that changes. */
class graphs {
  public:
    ~graphs() {
        clear();
    }
    void run(workspace &ws, bnnep_slot slot, int steps) {
        if (samples != ws.count) {
            clear();
            samples = ws.count;
        }
        cudaGraphExec_t &graph = made[slot][steps];
        if (!graph)
            graph = capture(ws, slot, steps);
        check(cudaGraphLaunch(graph, ws.work), "starting steps");
    }

  private:
    static cudaGraphExec_t capture(workspace &ws, bnnep_slot slot, int steps) {
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t made = nullptr;
        /* The library loads code when it first sees a shape, which it must not do in a capture. These sums are those
         * that the first step takes again. */
        sum_all(ws, slot, ws.running);
        check(cudaStreamBeginCapture(ws.work, cudaStreamCaptureModeThreadLocal), "capturing steps");
        try {
            for (int i = 0; i < steps; i++)
                step(ws, slot);
        } catch (...) {
            cudaStreamEndCapture(ws.work, &graph);
            cudaGraphDestroy(graph);
            throw;
        }
        check(cudaStreamEndCapture(ws.work, &graph), "capturing steps");
        const cudaError_t status = cudaGraphInstantiate(&made, graph, 0);
        cudaGraphDestroy(graph);
        check(status, "capturing steps");
        return made;
    }
    void clear() {
        for (auto &slot : made)
            for (cudaGraphExec_t &graph : slot) {
                if (graph)
                    cudaGraphExecDestroy(graph);
                graph = nullptr;
            }
    }
    size_t samples = 0;
    cudaGraphExec_t made[BNNEP_SLOTS][steps_in_graph + 1] = {};
};

void free_graphs(workspace &ws) {
    delete ws.captured;
}

bnnep_status relax(workspace &ws, const bnnep_relaxation &how, bnnep_relaxed &done) {
    const int samples = static_cast<int>(ws.count);
    if (!ws.captured)
        ws.captured = new graphs;
    if (how.from != how.to)
        copy_slot(ws, how.from, how.to);
    for (int k = 0; ws.net.binary() && k <= ws.net.top(); k++)
        activate(ws, how.to, k);
    launch(ws.work, ws.count, begin, ws.control, how.beta, how.tolerance, ws.running, ws.moved, ws.steps, samples);
    int running = samples;
    for (int32_t at = 0; at < how.steps && running > 0; at += steps_in_graph) {
        if (how.cancelled && how.cancelled(how.cancel_user)) {
            ws.work.wait();
            return BNNEP_CANCELLED;
        }
        ws.captured->run(ws, how.to, how.steps - at < steps_in_graph ? how.steps - at : steps_in_graph);
        copy<int>(&running, &ws.control->running, 1, cudaMemcpyDeviceToHost, ws.work);
        ws.work.wait();
    }
    copy<uint32_t>(ws.host_steps.data(), ws.steps, ws.count, cudaMemcpyDeviceToHost, ws.work);
    ws.work.wait();
    done.sample_steps = 0;
    done.most_steps = 0;
    for (size_t n = 0; n < ws.count; n++) {
        done.sample_steps += ws.host_steps[n];
        done.most_steps = ws.host_steps[n] > done.most_steps ? ws.host_steps[n] : done.most_steps;
    }
    return BNNEP_OK;
}

} // namespace bnnep_cuda
