/* SPDX-License-Identifier: MIT */
/* Sums of inputs with the signs of a weight matrix, through tables shared by all rows. */
#include "backends/cpu/kernels/vectors.h"

/* Vectors of sums that are in registers at a time. */
#define SUMS ((size_t)8)

#define ELEMENT float
#define VECTOR KERNEL(float_vector)
#define TABLES KERNEL(tables)
#define ENTRY KERNEL(entry)
#define ADD_ROWS KERNEL(add_rows)
#define ADD_GROUPS KERNEL(add_groups)
#define ADD_PARTS KERNEL(add_parts)
#define ADD_SIGNED KERNEL(add_signed)
#include "backends/cpu/kernels/signed_sums.h"

#define ELEMENT double
#define VECTOR KERNEL(double_vector)
#define TABLES KERNEL(tables_exact)
#define ENTRY KERNEL(entry_exact)
#define ADD_ROWS KERNEL(add_rows_exact)
#define ADD_GROUPS KERNEL(add_groups_exact)
#define ADD_PARTS KERNEL(add_parts_exact)
#define ADD_SIGNED KERNEL(add_signed_exact)
#include "backends/cpu/kernels/signed_sums.h"

#define ELEMENT int32_t
#define VECTOR KERNEL(whole_vector)
#define TABLES KERNEL(tables_whole)
#define ENTRY KERNEL(entry_whole)
#define ADD_ROWS KERNEL(add_rows_whole)
#define ADD_GROUPS KERNEL(add_groups_whole)
#define ADD_PARTS KERNEL(add_parts_whole)
#define ADD_SIGNED KERNEL(add_signed_whole)
#include "backends/cpu/kernels/signed_sums.h"
