/* SPDX-License-Identifier: MIT */
/* The table of one instruction set; compiled once for each, like the kernels. */
#include "backends/cpu/kernels/vectors.h"

#define BNNEP_TEXT_(x) #x
#define BNNEP_TEXT(x) BNNEP_TEXT_(x)

extern const struct cpu_kernels KERNEL(kernels);
const struct cpu_kernels KERNEL(kernels) = {
    .name = BNNEP_TEXT(BNNEP_ISA),
    .tables = KERNEL(tables),
    .add_signed = KERNEL(add_signed),
    .tables_exact = KERNEL(tables_exact),
    .add_signed_exact = KERNEL(add_signed_exact),
    .extract = KERNEL(extract),
    .tables_whole = KERNEL(tables_whole),
    .add_signed_whole = KERNEL(add_signed_whole),
    .digit_tables = KERNEL(digit_tables),
    .add_digits = KERNEL(add_digits),
    .largest_change = KERNEL(largest_change),
    .tell = KERNEL(tell),
    .take_digits = KERNEL(take_digits),
    .to_grid = KERNEL(to_grid),
    .from_grid = KERNEL(from_grid),
    .move_hidden = KERNEL(move_hidden),
    .scale_rows = KERNEL(scale_rows),
    .pool = KERNEL(pool),
    .keep_places = KERNEL(keep_places),
    .unpool = KERNEL(unpool),
    .nonzero = KERNEL(nonzero),
    .add_outer = KERNEL(add_outer),
    .gather = KERNEL(gather),
    .turn = KERNEL(turn),
    .fade = KERNEL(fade),
    .counts = KERNEL(counts),
    .forward_of_sums = KERNEL(forward_of_sums),
    .add_feedback = KERNEL(add_feedback),
    .add_feedback_exact = KERNEL(add_feedback_exact),
    .pool_exact = KERNEL(pool_exact),
    .pool_sums = KERNEL(pool_sums),
    .take_counts = KERNEL(take_counts),
    .take_contrast = KERNEL(take_contrast),
    .move_neurons = KERNEL(move_neurons),
    .activations = KERNEL(activations),
};
