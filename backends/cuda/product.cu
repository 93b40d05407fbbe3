/* SPDX-License-Identifier: MIT */
/*
 * Products of a sign matrix with the activations of a tile. The library's matrices are column by column, so that our
 * rows of samples are its columns. Integer products are wanted in the form that tensor cores have, transposed times
 * not transposed with lines of a multiple of 16 bytes, in both directions: hence the transposed copy of the signs.
 */
#include "backends/cuda/cuda.h"

namespace bnnep_cuda {

/* Room for the library's own use, given to it so that it takes none while a graph is captured. */
static constexpr size_t library_bytes = static_cast<size_t>(32) << 20;

static void check_library(cublasStatus_t status, const char *what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        fail(status == CUBLAS_STATUS_ALLOC_FAILED ? BNNEP_ERROR_MEMORY : BNNEP_ERROR_BACKEND, "%s: %s", what,
             cublasGetStatusString(status));
}

class product {
  public:
    explicit product(cudaStream_t on) {
        check_library(cublasCreate(&handle), "starting cuBLAS");
        const cudaError_t taken = cudaMalloc(&room, library_bytes);
        if (taken == cudaSuccess && cublasSetStream(handle, on) == CUBLAS_STATUS_SUCCESS &&
            cublasSetWorkspace(handle, room, library_bytes) == CUBLAS_STATUS_SUCCESS)
            return;
        release();
        check(taken, "memory for cuBLAS");
        fail(BNNEP_ERROR_BACKEND, "cuBLAS takes no workspace");
    }
    ~product() {
        release();
    }
    product(const product &) = delete;
    product &operator=(const product &) = delete;

    /* sums [n][m] = b [n][k] times the signs a, which lie as [m][k] (transposed) or [k][m]; ld: values to a line. */
    void f32(bool transposed, int m, int n, int k, const float *a, int ld_a, const float *b, int ld_b, float *sums,
             int ld_sums) {
        const float one = 1.0f, zero = 0.0f;
        check_library(cublasSgemm(handle, transposed ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, a, ld_a,
                                  b, ld_b, &zero, sums, ld_sums),
                      "a float product");
    }
    /* The same in double. */
    void f64(bool transposed, int m, int n, int k, const double *a, int ld_a, const double *b, int ld_b, double *sums,
             int ld_sums) {
        const double one = 1.0, zero = 0.0;
        check_library(cublasDgemm(handle, transposed ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, a, ld_a,
                                  b, ld_b, &zero, sums, ld_sums),
                      "a product of doubles");
    }
    /* The same for integers, the signs as [m][k]. */
    void i8(int m, int n, int k, const int8_t *a, int ld_a, const int8_t *b, int ld_b, int32_t *sums, int ld_sums) {
        const int32_t one = 1, zero = 0;
        check_library(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, &one, a, CUDA_R_8I, ld_a, b, CUDA_R_8I,
                                   ld_b, &zero, sums, CUDA_R_32I, ld_sums, CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT),
                      "an integer product");
    }

  private:
    void release() {
        cublasDestroy(handle);
        cudaFree(room);
    }
    cublasHandle_t handle = nullptr;
    void *room = nullptr;
};

uint64_t product_bytes() {
    return library_bytes;
}

void make_products(workspace &ws) {
    ws.products = std::make_shared<product>(ws.work);
}

/* Signs times the input of a network with binary activations: in double, rounded once (bnnep/rules.h). Threads side
 * by side take rows side by side, whose signs lie so in the transposed copy. Once a batch. */
static __global__ void multiply_exactly(shape l, const int8_t *transposed, const float *below, size_t stride,
                                        float *sums, size_t places) {
    const size_t at = thread_index();
    if (at >= places * l.rows)
        return;
    const size_t p = at / l.rows, j = at % l.rows;
    double sum = 0.0;
    for (int i = 0; i < l.columns; i++)
        sum += transposed[static_cast<size_t>(i) * l.padded_rows + j] * static_cast<double>(below[p * stride + i]);
    sums[p * l.padded_rows + j] = static_cast<float>(sum);
}

void multiply(workspace &ws, int k, const void *below, size_t stride) {
    const shape &l = ws.at(k).s;
    const synapses &w = ws.at(k).w;
    const size_t places = ws.tile_size * l.places();
    if (ws.net.on_grid())
        ws.products->f64(true, l.rows, static_cast<int>(places), l.columns, w.f64, l.columns,
                         static_cast<const double *>(below), static_cast<int>(stride), static_cast<double *>(ws.sums),
                         l.padded_rows);
    else if (!ws.net.binary())
        ws.products->f32(true, l.rows, static_cast<int>(places), l.columns, w.f32, l.columns,
                         static_cast<const float *>(below), static_cast<int>(stride), static_cast<float *>(ws.sums),
                         l.padded_rows);
    else if (k == 0)
        launch(ws.work, places * l.rows, multiply_exactly, l, w.transposed, static_cast<const float *>(below), stride,
               static_cast<float *>(ws.sums), places);
    else
        ws.products->i8(l.padded_rows, static_cast<int>(places), l.padded_columns, w.i8, l.padded_columns,
                        static_cast<const int8_t *>(below), static_cast<int>(stride), static_cast<int32_t *>(ws.sums),
                        l.padded_rows);
}

void multiply_back(workspace &ws, int k, const void *above) {
    const shape &l = ws.at(k).s;
    const synapses &w = ws.at(k).w;
    const int samples = static_cast<int>(ws.tile_size);
    if (ws.net.binary())
        ws.products->i8(l.padded_columns, samples, l.padded_rows, w.transposed, l.padded_rows,
                        static_cast<const int8_t *>(above), l.padded_rows, static_cast<int32_t *>(ws.sums),
                        l.padded_columns);
    else if (ws.net.on_grid())
        ws.products->f64(false, l.columns, samples, l.rows, w.f64, l.columns, static_cast<const double *>(above),
                         l.rows, static_cast<double *>(ws.sums), l.padded_columns);
    else
        ws.products->f32(false, l.columns, samples, l.rows, w.f32, l.columns, static_cast<const float *>(above), l.rows,
                         static_cast<float *>(ws.sums), l.padded_columns);
}

} // namespace bnnep_cuda
