/* SPDX-License-Identifier: MIT */
#include <vector>

#include "cublas_v2.h"

const char *cublasGetStatusString(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "success";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "the resource allocation failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "the GPU program failed to execute";
    default:
        return "not supported by the emulation";
    }
}

cublasStatus_t cublasCreate(cublasHandle_t *made) {
    const emulation::call now;
    emulation::outside_of_captures();
    if (emulation::lacks_memory("cublasCreate"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    emulation::keep(1);
    *made = new cublasContext{nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
    const emulation::call now;
    emulation::outside_of_captures(); /* it waits for the whole device */
    emulation::keep(-1);
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t on) {
    handle->on = on;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t, void *, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

/* c [n][m] = b [n][k] times a [m][k] (transposed) or [k][m]: sums in the order of k, for m columns at a time. */
template <typename In, typename Out>
static void multiply(bool transposed, int m, int n, int k, const In *a, size_t ld_a, const In *b, size_t ld_b, Out *c,
                     size_t ld_c) {
    const size_t M = static_cast<size_t>(m), N = static_cast<size_t>(n), K = static_cast<size_t>(k);
    std::vector<Out> lines(M * K), sums(M); /* [k][m] */
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < M; j++)
            lines[i * M + j] = transposed ? a[j * ld_a + i] : a[i * ld_a + j];
    for (size_t s = 0; s < N; s++) {
        std::fill(sums.begin(), sums.end(), Out(0));
        for (size_t i = 0; i < K; i++) {
            const Out by = b[s * ld_b + i];
            const Out *line = &lines[i * M];
            if (by != Out(0)) /* signs are finite: nothing is lost */
                for (size_t j = 0; j < M; j++)
                    sums[j] += line[j] * by;
        }
        std::copy(sums.begin(), sums.end(), c + s * ld_c);
    }
}

static cublasStatus_t queued(cudaError_t status) {
    return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <typename Value>
static cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           Value alpha, const Value *a, int ld_a, const Value *b, int ld_b, Value beta, Value *c,
                           int ld_c) {
    if (alpha != 1 || beta != 0 || op_b != CUBLAS_OP_N || m < 1 || n < 1 || k < 1 || ld_b < k || ld_c < m ||
        ld_a < (op_a == CUBLAS_OP_T ? k : m))
        return CUBLAS_STATUS_INVALID_VALUE;
    const emulation::call now;
    return queued(emulation::enqueue(handle->on, [=] {
        multiply(op_a == CUBLAS_OP_T, m, n, k, a, static_cast<size_t>(ld_a), b, static_cast<size_t>(ld_b), c,
                 static_cast<size_t>(ld_c));
    }));
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const float *alpha, const float *a, int ld_a, const float *b, int ld_b, const float *beta,
                           float *c, int ld_c) {
    return gemm(handle, op_a, op_b, m, n, k, *alpha, a, ld_a, b, ld_b, *beta, c, ld_c);
}

cublasStatus_t cublasDgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const double *alpha, const double *a, int ld_a, const double *b, int ld_b,
                           const double *beta, double *c, int ld_c) {
    return gemm(handle, op_a, op_b, m, n, k, *alpha, a, ld_a, b, ld_b, *beta, c, ld_c);
}

static bool aligned(const void *matrix) {
    return reinterpret_cast<uintptr_t>(matrix) % 4 == 0;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void *alpha, const void *a, cudaDataType type_a, int ld_a, const void *b,
                            cudaDataType type_b, int ld_b, const void *beta, void *c, cudaDataType type_c, int ld_c,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
    if (compute != CUBLAS_COMPUTE_32I || !aligned(a) || !aligned(b) || !aligned(c) || type_a != CUDA_R_8I ||
        type_b != CUDA_R_8I || type_c != CUDA_R_32I || op_a != CUBLAS_OP_T || op_b != CUBLAS_OP_N || m % 4 || k % 4 ||
        ld_a % 4 || ld_b % 4 || ld_c % 4)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (*static_cast<const int32_t *>(alpha) != 1 || *static_cast<const int32_t *>(beta) != 0 || m < 1 || n < 1 ||
        k < 1 || ld_a < k || ld_b < k || ld_c < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    const emulation::call now;
    return queued(emulation::enqueue(handle->on, [=] {
        multiply(true, m, n, k, static_cast<const int8_t *>(a), static_cast<size_t>(ld_a),
                 static_cast<const int8_t *>(b), static_cast<size_t>(ld_b), static_cast<int32_t *>(c),
                 static_cast<size_t>(ld_c));
    }));
}
