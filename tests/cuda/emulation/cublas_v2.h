/* SPDX-License-Identifier: MIT */
/* The products of cuBLAS that backends/cuda uses, as plain loops. Matrices are column by column. */
#ifndef BNNEP_EMULATED_CUBLAS_H
#define BNNEP_EMULATED_CUBLAS_H

#include "cuda_runtime.h"

enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cudaDataType { CUDA_R_8I = 3, CUDA_R_32I = 10 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32I = 72 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };
struct cublasContext {
    cudaStream_t on;
};
using cublasHandle_t = cublasContext *;

const char *cublasGetStatusString(cublasStatus_t status);
cublasStatus_t cublasCreate(cublasHandle_t *made);
cublasStatus_t cublasDestroy(cublasHandle_t handle);
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t on);
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *room, size_t bytes);
cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const float *alpha, const float *a, int ld_a, const float *b, int ld_b, const float *beta,
                           float *c, int ld_c);
cublasStatus_t cublasDgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const double *alpha, const double *a, int ld_a, const double *b, int ld_b,
                           const double *beta, double *c, int ld_c);
/* Refuses what the integer products of tensor cores do not take: other forms than transposed times not transposed,
 * m, k, lines or addresses that are no multiple of 4. */
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void *alpha, const void *a, cudaDataType type_a, int ld_a, const void *b,
                            cudaDataType type_b, int ld_b, const void *beta, void *c, cudaDataType type_c, int ld_c,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm);

#endif
