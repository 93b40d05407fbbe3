/* SPDX-License-Identifier: MIT */
/* The kernels of one instruction set, BNNEP_ISA. Included once for each. */
size_t KERNEL(tables)(const float *x, size_t inputs, size_t bytes, void *tables);
void KERNEL(add_signed)(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes,
                        const void *tables, float *out);
size_t KERNEL(tables_exact)(const double *x, size_t inputs, size_t bytes, void *tables);
void KERNEL(add_signed_exact)(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes,
                              const void *tables, double *out);
void KERNEL(extract)(const uint64_t *words, size_t stride, size_t count, uint64_t mask, uint64_t *out);
size_t KERNEL(tables_whole)(const int32_t *x, size_t inputs, size_t bytes, void *tables);
void KERNEL(add_signed_whole)(const uint64_t *words, size_t stride, size_t rows, size_t groups, size_t bytes,
                              const void *tables, int32_t *out);
size_t KERNEL(digit_tables)(const int32_t *digits, size_t inputs, void *tables);
void KERNEL(add_digits)(const uint64_t *words, size_t rows, size_t groups, const void *tables, int32_t *sums);
void KERNEL(largest_change)(const float *x, const float *told, size_t units, float *largest);
void KERNEL(tell)(const float *x, float *told, size_t units, const struct bnnep_digit_steps *steps, int32_t *digits,
                  float *left);
void KERNEL(take_digits)(const int32_t *sums, size_t units, const float *step, float *kept);
void KERNEL(to_grid)(const float *x, size_t count, float steps, int32_t *whole);
void KERNEL(from_grid)(void *sums, size_t count, float steps);
void KERNEL(move_hidden)(float *state, const float *forward, const float *feedback, float scale, size_t units,
                         const struct bnnep_grid *grid, const float *moving, float *change);
void KERNEL(scale_rows)(float *value, float alpha, const float *bias, size_t rows);
void KERNEL(pool)(const float *sums, size_t pool, size_t stride, size_t row_stride, size_t rows, const float *alpha,
                  const float *bias, float *value, int32_t *place);
void KERNEL(keep_places)(const int32_t *place, size_t rows, const float *moving, int32_t *kept);
void KERNEL(unpool)(const float *above, const int32_t *place, int32_t places, const float *alpha, size_t rows,
                    float *value);
uint64_t KERNEL(nonzero)(const float *x);
void KERNEL(add_outer)(const float *above, uint64_t samples, const float *below, size_t stride, float *G);
void KERNEL(gather)(const float *factor, const uint32_t *from, size_t events, const float *map, float *G);
uint64_t KERNEL(turn)(float *momentum, const float *G, size_t count, const struct bnnep_rule *rule, bool at_threshold,
                      uint64_t signs);
void KERNEL(fade)(float *momentum, size_t count, float decay, unsigned times);
void KERNEL(counts)(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                    size_t down_count, size_t outputs, int32_t *sums);
void KERNEL(forward_of_sums)(size_t units, const int32_t *sums, float alpha, const float *bias, float *forward);
void KERNEL(add_feedback)(size_t units, const float *forward, const int32_t *sums, float alpha, float *pre);
void KERNEL(add_feedback_exact)(size_t units, const float *forward, const double *sums, float *pre);
void KERNEL(pool_exact)(size_t channels, const double *sums, int32_t q, const float *alpha, const float *bias,
                        float *largest, int32_t *at);
void KERNEL(pool_sums)(size_t channels, const int32_t *sums, size_t pool, size_t stride, size_t row_stride,
                       const float *alpha, const float *bias, float *value, uint16_t *place);
void KERNEL(take_counts)(int32_t *counts, size_t outputs, double alpha, double *sums);
void KERNEL(take_contrast)(int32_t *counts, size_t outputs, int32_t signs, float *contrast);
float KERNEL(move_neurons)(const struct bnnep_neuron *neuron, size_t units, const float *pre, const float *target,
                           const float *prediction, float *state, uint64_t *active);
void KERNEL(activations)(size_t units, const float *state, float theta, uint64_t *active);
