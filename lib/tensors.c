/* SPDX-License-Identifier: MIT */
/* The tensors of a network, and of what an optimizer must remember, in a file. */
#include <stdio.h>

#include "lib/file.h"

static bnnep_status fill_momentum(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_optimizer_get_momentum(from, k, bytes, count);
}

static bnnep_status fill_alpha(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_network_get_alpha(from, k, bytes, count);
}

static bnnep_status fill_bias(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_network_get_bias(from, k, bytes, count);
}

static bnnep_status fill_signs(const void *from, size_t k, void *bytes, size_t count) {
    return bnnep_network_get_sign_bits(from, k, bytes, count);
}

enum { KINDS = 4 };

/* The tensors of a file, floats first so that all are aligned. NULL if out of memory. */
static struct bnnep_tensor *list(const bnnep_context *context, const struct bnnep_link *links, size_t connections,
                                 bool momenta, size_t *count) {
    struct bnnep_tensor *tensors = bnnep_take(context, connections * KINDS, sizeof *tensors);
    static const char *const names[KINDS] = {"momentum", "alpha", "bias", "signs"};
    *count = 0;
    for (int kind = momenta ? 0 : 1; tensors && kind < KINDS; kind++)
        for (size_t k = 0; k < connections; k++) {
            const struct bnnep_link *link = &links[k];
            struct bnnep_tensor *t = &tensors[(*count)++];
            snprintf(t->name, sizeof t->name, "connection.%zu.%s", k, names[kind]);
            t->connection = k;
            t->is_float = kind < 3;
            t->rows = kind == 1 ? link->scales : link->rows;
            t->columns = kind == 0 ? link->columns : kind == 3 ? (link->columns + 7) / 8 : 0;
            t->fill = kind == 0 ? fill_momentum : kind == 1 ? fill_alpha : kind == 2 ? fill_bias : fill_signs;
        }
    return tensors;
}

/* Is a tensor in the file, with values that a network can have? */
static bnnep_status check_tensor(const struct bnnep_container *file, const struct bnnep_tensor *tensor,
                                 const struct bnnep_link *link) {
    const void *bytes;
    char what[4096 + sizeof tensor->name];
    const bnnep_status status = bnnep_container_tensor(file, tensor, &bytes);
    if (status != BNNEP_OK)
        return status;
    snprintf(what, sizeof what, "%s: tensor %s", file->path, tensor->name);
    return tensor->is_float ? bnnep_check_finite(what, bytes, (size_t)bnnep_tensor_count(tensor))
                            : bnnep_check_bits(what, bytes, link);
}

bnnep_status bnnep_tensors_find(const struct bnnep_container *file, const struct bnnep_link *links, size_t connections,
                                bool momenta, struct bnnep_tensor **tensors, size_t *count) {
    *tensors = list(file->context, links, connections, momenta, count);
    bnnep_status status = *tensors ? BNNEP_OK : bnnep_fail_memory(file->path, 0);
    for (size_t i = 0; status == BNNEP_OK && i < *count; i++)
        status = check_tensor(file, &(*tensors)[i], &links[(*tensors)[i].connection]);
    return status;
}

bnnep_status bnnep_tensors_take(const struct bnnep_container *file, const struct bnnep_tensor *tensors, size_t count,
                                bnnep_network *net, bnnep_optimizer *opt) {
    bnnep_status status = BNNEP_OK;
    for (size_t i = 0; status == BNNEP_OK && i < count; i++) {
        const struct bnnep_tensor *t = &tensors[i];
        const size_t values = (size_t)bnnep_tensor_count(t);
        const void *bytes;
        status = bnnep_container_tensor(file, t, &bytes);
        if (status == BNNEP_OK)
            status = t->fill == fill_momentum ? bnnep_optimizer_set_momentum(opt, t->connection, bytes, values)
                     : t->fill == fill_alpha  ? bnnep_network_set_alpha(net, t->connection, bytes, values)
                     : t->fill == fill_bias   ? bnnep_network_set_bias(net, t->connection, bytes, values)
                                              : bnnep_network_set_sign_bits(net, t->connection, bytes, values);
    }
    return status;
}

uint64_t bnnep_tensors_bytes(const struct bnnep_model *model) {
    uint64_t bytes = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const uint64_t floats = (uint64_t)link->rows * link->columns + link->rows + link->scales;
        bytes += floats * sizeof(float) + (uint64_t)link->rows * ((link->columns + 7) / 8);
    }
    return bytes;
}

bnnep_status bnnep_tensors_of(const bnnep_network *net, const bnnep_optimizer *opt, struct bnnep_tensor **tensors,
                              size_t *count) {
    *tensors = list(net->context, net->shape->link, net->model.connections, opt != NULL, count);
    if (!*tensors)
        return bnnep_fail_memory("tensors", 0);
    for (size_t i = 0; i < *count; i++)
        (*tensors)[i].from = (*tensors)[i].fill == fill_momentum ? (const void *)opt : (const void *)net;
    return BNNEP_OK;
}
