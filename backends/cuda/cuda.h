/* SPDX-License-Identifier: MIT */
/*
 * The CUDA backend: all objects live on the device, and a phase runs there without the host but for a look, every few
 * steps, at whether all samples have settled.
 *
 * Layer index k means layer k+1, the one that connection k leads to. Arrays are [sample][unit], as in the interface.
 * Samples go through a step in tiles of a fixed size, so that every product has one shape and what becomes of a sample
 * depends neither on how many others are staged nor on which of them have settled.
 *
 * Real activations are float and multiply signs kept as float (SGEMM). Binary activations are int8, 0 or 1, and
 * multiply signs kept as int8 (integer products, exact); lines of such matrices are padded with zeros to 16 bytes. Real
 * activations on a grid are float too, but products take them and the signs as double (DGEMM), which is exact.
 */
#ifndef BNNEP_CUDA_H
#define BNNEP_CUDA_H

#include <algorithm>
#include <memory>

#include <cublas_v2.h>

#include "backends/cuda/device.h"

namespace bnnep_cuda {

__host__ __device__ inline size_t padded(size_t units) {
    return (units + 15) / 16 * 16;
}

/* A bnnep_link, as kernels compute with it. A fully connected one is a single place that sees all units. */
struct shape {
    bool convolution;
    int rows, columns, in, out, scales;
    int padded_rows, padded_columns;
    int units;  /* of a row: pooled positions of a channel; 1 if fully connected */
    int window; /* places of a pooling window: pool^2; 1 if fully connected */
    int kernel, padding, pool, from_height, from_width, to_height, to_width;
    /* Places in the order sample, unit, window. */
    __host__ __device__ size_t places() const {
        return static_cast<size_t>(units) * window;
    }
};

/* The parameters of a connection. The signs are kept as bits, which are what is read from outside, and as the products
 * of this network's activations want them, the others being NULL; a flip changes all. */
struct synapses {
    uint32_t *bits; /* [rows][words] */
    int words;
    float *f32;              /* real activations: [rows][columns], +1 or -1 */
    double *f64;             /* on a grid: the same */
    int8_t *i8, *transposed; /* binary ones: [padded rows][padded columns], and transposed */
    float *alpha, *bias;
};

struct connection {
    shape s;
    synapses w;
};

struct network {
    network(const bnnep_model *model, int device, purpose p);
    bool binary() const {
        return model->dynamics == BNNEP_DYNAMICS_BINARY;
    }
    bool on_grid() const {
        return model->grid.steps != 0.0f;
    }
    int top() const {
        return static_cast<int>(model->connections) - 1;
    }
    const bnnep_model *model;
    int device;
    stream work;
    memory held;
    std::vector<connection> connections;
};

/* What a phase needs to know, and how many samples still run; on the device, so that a captured graph serves every
 * beta. */
struct phase_control {
    float beta, tolerance;
    int running; /* samples that have not settled */
};

struct tile {
    size_t first;
    int samples;
};

class product; /* library products of a workspace, product.cu */
class graphs;  /* captured steps of a workspace, relax.cu */

struct workspace {
    /* Without products and graphs, which are freed with it. */
    workspace(const network &net, size_t max_batch, purpose p);
    const connection &at(int k) const {
        return net.connections[static_cast<size_t>(k)];
    }
    /* Activations of layer index k from sample `first` on, as products take them, and how far apart samples lie. */
    const void *activations(int32_t phase, int k, size_t first) const {
        const size_t out = at(k).s.out;
        return net.binary() ? static_cast<const void *>(active[k] + first * padded(out))
                            : static_cast<const void *>(state[phase][k] + first * out);
    }
    template <typename Function> void for_tiles(Function function) const {
        for (size_t first = 0; first < count; first += tile_size)
            function(tile{first, static_cast<int>(count - first < tile_size ? count - first : tile_size)});
    }

    const network &net;
    stream work;
    memory held;
    size_t count = 0, tile_size, room; /* samples staged; of a tile; of all tiles */
    float *x, *target;
    std::vector<float *> state[BNNEP_PHASES];     /* [layer] */
    std::vector<uint16_t *> argmax[BNNEP_PHASES]; /* argmax of the last step; NULL unless a convolution leads there */
    std::vector<int8_t *> active;                 /* binary activations of the phase under way */
    std::vector<float *> forward, feedback;       /* fwd_k, fb_{k+1}; forward[0], the input's drive, stays */
    void *patches, *sums;                         /* operand and result of a product, one tile */
    float *scratch;                               /* [room][units of the largest layer] */
    float *largest;                               /* [connection]: bnnep_largest of its alpha, on a grid */
    double *dots;                                 /* [sample][scales of any connection]: their gradient's terms */
    phase_control *control;
    uint8_t *running, *moved; /* [sample]: has not settled; changed by more than the tolerance in this step */
    uint32_t *steps;          /* [sample]: done in this phase */
    std::vector<uint32_t> host_steps;
    std::shared_ptr<product> products;
    std::shared_ptr<graphs> captured;
};

/* What the last steps before the gradient did, for back-propagation through time. */
struct tape {
    tape(const network &net, size_t max_batch, int steps, memory &held);
    int room, steps = 0;
    /* [step][layer]: states before the step, pre-activations, argmax and dLoss/dpre */
    std::vector<std::vector<float *>> state, pre, delta;
    std::vector<std::vector<uint16_t *>> argmax;
    std::vector<float *> gradient; /* [layer]: dLoss/dstate */
};

/* One product of a gradient: weight * above (x) below, summed over samples. */
struct term {
    const float *above, *below;
    const uint16_t *argmax;
    float weight;
};

/* A contrast that is kept: sums over the batch, [connection]. */
struct contrast {
    explicit contrast(const network &net);
    memory held;
    std::vector<float *> weights, bias, scale;
};

struct optimizer {
    optimizer(network &net, size_t max_batch, int32_t tape, purpose p);
    network &net;
    memory held;
    std::vector<float *> momentum;  /* [connection][rows][columns] */
    std::unique_ptr<contrast> kept; /* none until it is asked for: training does without */
    unsigned long long *flips;      /* [connection] */
    double *squares, *totals;       /* [most_squares of any connection]; [connection][3]: weights, biases, scales */
    double *sums;                   /* bnnep_learning's, of a connection: [2][rows], [2][columns] */
    term *terms;
    tape remembered;
    /* What is copied to them, [connection], with room for all: an update that has begun must not run out of memory. */
    std::vector<std::vector<term>> host_terms;
    std::vector<unsigned long long> host_flips;
    std::vector<double> host_totals;
};

/* --- network.cu ------------------------------------------------------------------------------------------------- */

void put(network &net, size_t k, const bnnep_parameters &from);
void get(const network &net, size_t k, const bnnep_parameters_out &to);

/* --- product.cu --------------------------------------------------------------------------------------------------- */

uint64_t product_bytes();
void make_products(workspace &ws);
/* ws.sums [place][padded rows] = B_k below, for the places of a tile; lines of below are `stride` values apart. The
 * values are float, int8 (binary activations, but for the input) or double (on a grid), and the sums float, int32 or
 * double. */
void multiply(workspace &ws, int k, const void *below, size_t stride);
/* ws.sums [sample][padded columns] = B_k^T above, in the same types; fully connected only. */
void multiply_back(workspace &ws, int k, const void *above);

/* --- forward.cu: fwd_k, fb_k and the adjoint of fb_k, for the samples of a tile ----------------------------------- */

/* W below + b, pooled; without `biased`, W below. A sample that is not `running` keeps value and place (NULL: all run).
 * place may be NULL. */
void forward(workspace &ws, int k, const void *below, int samples, bool biased, const uint8_t *running, float *value,
             uint16_t *argmax);
/* Before the first feedback of a batch: what the channels' shares are of. */
void find_shares(workspace &ws);
void feedback(workspace &ws, int k, const void *above, const uint16_t *argmax, int samples, float *value);
/* Like fwd_k without bias, read at given places. */
void feedback_adjoint(workspace &ws, int k, const float *below, const uint16_t *argmax, int samples, float *value);
/* fwd_k but for the drive, and fb_k, of the layers that move in step t, from the states of a phase; in the first step
 * all fwd_k, for their argmax. */
void sum_all(workspace &ws, int32_t phase, const uint8_t *running, int32_t t);

/* --- stage.cu --------------------------------------------------------------------------------------------------- */

void stage(workspace &ws, const float *x, const float *target, size_t count);

/* --- relax.cu ----------------------------------------------------------------------------------------------------- */

void make_graphs(workspace &ws);
bnnep_status relax(workspace &ws, const bnnep_phase_run &how, bnnep_relaxed &done);
/* ws.active of layer index k from the states of a phase. */
void activate(workspace &ws, int32_t phase, int k);

/* --- learn.cu, tape.cu -------------------------------------------------------------------------------------------- */

/* Edge of the squares of synapses that a block of threads updates; fully connected. */
constexpr int side = 16;

inline size_t blocks(size_t count, size_t block) {
    return (count + block - 1) / block;
}

/* Blocks of the kernel that updates a connection's weights. */
inline size_t update_blocks(const shape &s) {
    return s.convolution ? blocks(static_cast<size_t>(s.rows) * s.columns, threads_in_block)
                         : blocks(s.columns, side) * blocks(s.rows, side);
}

/* Squares that are added up of a connection, at most. */
inline size_t most_squares(const shape &s) {
    const size_t weights = blocks(static_cast<size_t>(s.rows) * s.columns, threads_in_block);
    return std::max({update_blocks(s), weights, static_cast<size_t>(s.rows), static_cast<size_t>(s.scales)});
}

/* Updates by the contrasts as they come; or, if `kept`, leaves them there and changes nothing else. */
void learn(optimizer &optimizer, workspace &ws, const bnnep_learning &how, contrast *kept);
void update(optimizer &optimizer, const bnnep_learning &how);
void put_contrast(optimizer &optimizer, size_t k, const bnnep_contrast &from);
void get_contrast(const optimizer &optimizer, size_t k, const bnnep_contrast_out &to);
/* The terms of connection k's gradient, into optimizer.host_terms[k]. Those whose sum over `above` is the gradient of
 * the bias come first: returns how many they are. */
size_t tape_terms(optimizer &optimizer, const workspace &ws, int k);
void backpropagate(optimizer &optimizer, workspace &ws, int32_t steps);

} // namespace bnnep_cuda

#endif
