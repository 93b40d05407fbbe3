/* SPDX-License-Identifier: MIT */
/* The kernels of one instruction set, BNNEP_ISA. Included once for each. */
size_t KERNEL(tables)(const float *x, size_t inputs, void *tables);
void KERNEL(add_signed)(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables,
                        float *out);
size_t KERNEL(tables_exact)(const double *x, size_t inputs, void *tables);
void KERNEL(add_signed_exact)(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables,
                              double *out);
