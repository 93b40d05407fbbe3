/* SPDX-License-Identifier: MIT */
/* The kernels of one instruction set, BNNEP_ISA. Included once for each. */
size_t KERNEL(tables)(const float *x, size_t inputs, void *tables);
void KERNEL(add_signed)(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables,
                        float *out);
size_t KERNEL(tables_exact)(const double *x, size_t inputs, void *tables);
void KERNEL(add_signed_exact)(const uint64_t *words, size_t stride, size_t rows, size_t groups, const void *tables,
                              double *out);
void KERNEL(move_hidden)(float *state, const float *forward, const float *feedback, float scale, size_t units,
                         const float *moving, float *change);
void KERNEL(scale_rows)(float *value, float alpha, const float *bias, size_t rows);
void KERNEL(pool)(const float *sums, int32_t q, size_t rows, const float *alpha, const float *bias, float *value,
                  int32_t *place);
void KERNEL(unpool)(const float *above, const int32_t *place, int32_t q, const float *alpha, size_t rows, float *value);
uint64_t KERNEL(nonzero)(const float *x);
void KERNEL(add_outer)(const float *above, uint64_t samples, const float *below, size_t stride, float *G);
void KERNEL(add_scaled)(double *to, const double *from, double factor, size_t count);
uint64_t KERNEL(turn)(float *momentum, const float *G, size_t count, const struct bnnep_rule *rule, bool at_threshold,
                      uint64_t signs);
