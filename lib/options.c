/* SPDX-License-Identifier: MIT */
/* Structures that cross the interface with their size, and what 0 means in those with options. */
#include <string.h>

#include "lib/internal.h"

/* A struct that may grow must not end in padding: a new field would lie in bytes that older programs never set. On any
 * machine: words come first, then what has 64 bits, then an even number of what has 32. */
#define ENDS_WITH(type, field)                                                                                         \
    _Static_assert(offsetof(type, field) + sizeof(((type *)0)->field) == sizeof(type), #type " ends in padding")
ENDS_WITH(bnnep_context_options, file_steps);
ENDS_WITH(bnnep_backend_info, device_count);
ENDS_WITH(bnnep_device_info, memory_bytes);
ENDS_WITH(bnnep_source, name); /* NOLINT(bugprone-sizeof-expression): they are pointers, here and below */
ENDS_WITH(bnnep_sink, count);  /* NOLINT(bugprone-sizeof-expression) */
ENDS_WITH(bnnep_dataset_options, borrow);
ENDS_WITH(bnnep_batch, labels); /* NOLINT(bugprone-sizeof-expression) */
ENDS_WITH(bnnep_open_options, reserved);
ENDS_WITH(bnnep_transform, crop);
ENDS_WITH(bnnep_dataset_info, reserved);
ENDS_WITH(bnnep_connection, reserved);
ENDS_WITH(bnnep_network_options, feedback);
ENDS_WITH(bnnep_network_info, reserved);
ENDS_WITH(bnnep_connection_info, to);
ENDS_WITH(bnnep_optimizer_options, consolidation);
ENDS_WITH(bnnep_optimizer_info, reserved);
ENDS_WITH(bnnep_report, contrasts); /* NOLINT(bugprone-sizeof-expression) */
ENDS_WITH(bnnep_progress, reserved);
ENDS_WITH(bnnep_run_options, reserved);
ENDS_WITH(bnnep_workspace_options, threads);
ENDS_WITH(bnnep_load_options, reserved);
ENDS_WITH(bnnep_relaxation, reserved);
ENDS_WITH(bnnep_relaxed, reserved);
ENDS_WITH(bnnep_contrast_options, second);

static bnnep_status check_size(size_t size, const char *name) {
    if (size >= sizeof size && size <= 65536)
        return BNNEP_OK;
    return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: size is %zu; initialise it with its _INIT macro", name, size);
}

bnnep_status bnnep_take_options(void *to, size_t known, const void *from, const char *name) {
    size_t size;
    memset(to, 0, known);
    memcpy(to, &known, sizeof known);
    if (!from)
        return BNNEP_OK;
    memcpy(&size, from, sizeof size);
    const bnnep_status status = check_size(size, name);
    if (status != BNNEP_OK)
        return status;
    for (size_t i = known; i < size; i++)
        if (((const char *)from)[i])
            return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: a field at byte %zu is set that libbnnep %s does not know",
                              name, i, bnnep_version_string());
    memcpy(to, from, size < known ? size : known);
    memcpy(to, &known, sizeof known);
    return BNNEP_OK;
}

bnnep_status bnnep_give_struct(void *to, const void *from, size_t known, const char *name) {
    size_t size;
    memcpy(&size, to, sizeof size);
    const bnnep_status status = check_size(size, name);
    if (status != BNNEP_OK)
        return status;
    const size_t common = size < known ? size : known;
    memcpy((char *)to + sizeof size, (const char *)from + sizeof size, common - sizeof size);
    return BNNEP_OK;
}

bnnep_status bnnep_write_options(void *to, size_t size, const void *values, size_t known, const char *name) {
    if (!to)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s_init: the structure is NULL", name);
    const bnnep_status status = check_size(size, name);
    if (status != BNNEP_OK)
        return status;
    memset(to, 0, size);
    memcpy(to, values, size < known ? size : known);
    memcpy(to, &size, sizeof size);
    return BNNEP_OK;
}

bnnep_status bnnep_check_reserved(int32_t reserved, const char *name) {
    return reserved == 0 ? BNNEP_OK
                         : bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: reserved is %d; libbnnep %s knows no meaning but 0",
                                      name, reserved, bnnep_version_string());
}

/* --- what 0 means in options --------------------------------------------------------------------------------- */

static void fill(int32_t *field, int32_t meant) {
    if (*field == 0)
        *field = meant;
}

static void fill_double(double *field, double meant) {
    if (*field == 0.0)
        *field = meant;
}

static void fill_bytes(uint64_t *field, uint64_t meant) {
    if (*field == 0)
        *field = meant;
}

static void fill_shape(int32_t *channels, int32_t *height, int32_t *width) {
    fill(channels, 1);
    fill(height, 1);
    fill(width, 1);
}

static void fill_context(bnnep_context_options *o) {
    if (!o->backend)
        o->backend = "auto";
    fill_bytes(&o->file_network, UINT64_C(1) << 30);
    fill_bytes(&o->file_unpacked, UINT64_C(1) << 30);
    fill_bytes(&o->file_header, UINT64_C(4) << 20);
    fill(&o->file_steps, 10000);
}

static void fill_dataset(bnnep_dataset_options *o) {
    fill_shape(&o->channels, &o->height, &o->width);
}

static void fill_network(bnnep_network_options *o) {
    fill_double(&o->theta, 0.5);
    fill_double(&o->gamma_neur, 0.5);
    fill_shape(&o->input_channels, &o->input_height, &o->input_width);
    fill(&o->classes, 10);
    fill(&o->expand_output, 1);
    fill(&o->free_steps, 50);
    fill(&o->max_batch, 64);
}

static void fill_load(bnnep_load_options *o) {
    fill(&o->max_batch, 64);
}

static void fill_optimizer(bnnep_optimizer_options *o) {
    fill(&o->nudged_steps, 10); /* what beta is follows from the network */
}

static void fill_contrast(bnnep_contrast_options *o) {
    fill(&o->second, BNNEP_PHASE_NUDGED);
}

/* What is written begins as zeros, padding included: 32-bit ARM has some before a double. */

bnnep_status bnnep_context_options_init(bnnep_context_options *options, size_t size) {
    bnnep_context_options values;
    bnnep_take_context_options(&values, NULL);
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_context_options");
}

bnnep_status bnnep_take_context_options(bnnep_context_options *o, const bnnep_context_options *theirs) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_context_options");
    fill_context(o);
    return status;
}

bnnep_status bnnep_dataset_options_init(bnnep_dataset_options *options, size_t size) {
    bnnep_dataset_options values;
    bnnep_take_dataset_options(&values, NULL);
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_dataset_options");
}

bnnep_status bnnep_take_dataset_options(bnnep_dataset_options *o, const bnnep_dataset_options *theirs) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_dataset_options");
    fill_dataset(o);
    return status;
}

bnnep_status bnnep_network_options_init(bnnep_network_options *options, size_t size) {
    bnnep_network_options values;
    bnnep_take_network_options(&values, NULL);
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_network_options");
}

bnnep_status bnnep_take_network_options(bnnep_network_options *o, const bnnep_network_options *theirs) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_network_options");
    fill_network(o);
    return status;
}

bnnep_status bnnep_load_options_init(bnnep_load_options *options, size_t size) {
    bnnep_load_options values;
    bnnep_take_load_options(&values, NULL);
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_load_options");
}

bnnep_status bnnep_take_load_options(bnnep_load_options *o, const bnnep_load_options *theirs) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_load_options");
    fill_load(o);
    return status;
}

bnnep_status bnnep_optimizer_options_init(bnnep_optimizer_options *options, size_t size) {
    bnnep_optimizer_options values;
    bnnep_take_optimizer_options(&values, NULL);
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_optimizer_options");
}

bnnep_status bnnep_take_optimizer_options(bnnep_optimizer_options *o, const bnnep_optimizer_options *theirs) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_optimizer_options");
    fill_optimizer(o);
    return status;
}

bnnep_status bnnep_contrast_options_init(bnnep_contrast_options *options, size_t size) {
    bnnep_contrast_options values;
    bnnep_take_contrast_options(&values, NULL);
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_contrast_options");
}

bnnep_status bnnep_take_contrast_options(bnnep_contrast_options *o, const bnnep_contrast_options *theirs) {
    const bnnep_status status = bnnep_take_options(o, sizeof *o, theirs, "bnnep_contrast_options");
    fill_contrast(o);
    return status;
}

/* In those that follow, 0 means 0. */

bnnep_status bnnep_open_options_init(bnnep_open_options *options, size_t size) {
    bnnep_open_options values;
    bnnep_take_options(&values, sizeof values, NULL, "bnnep_open_options");
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_open_options");
}

bnnep_status bnnep_workspace_options_init(bnnep_workspace_options *options, size_t size) {
    bnnep_workspace_options values;
    bnnep_take_options(&values, sizeof values, NULL, "bnnep_workspace_options");
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_workspace_options");
}

bnnep_status bnnep_run_options_init(bnnep_run_options *options, size_t size) {
    bnnep_run_options values;
    bnnep_take_options(&values, sizeof values, NULL, "bnnep_run_options");
    return bnnep_write_options(options, size, &values, sizeof values, "bnnep_run_options");
}

bnnep_status bnnep_relaxation_init(bnnep_relaxation *relaxation, size_t size) {
    bnnep_relaxation values;
    bnnep_take_options(&values, sizeof values, NULL, "bnnep_relaxation");
    return bnnep_write_options(relaxation, size, &values, sizeof values, "bnnep_relaxation");
}
