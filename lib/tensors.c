/* SPDX-License-Identifier: MIT */
/* The tensors of a network, and of what an optimizer must remember, in a file. */
#include <stdio.h>
#include <string.h>

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

static bnnep_status fill_mean(const void *from, size_t k, void *bytes, size_t count) {
    const bnnep_optimizer *opt = from;
    memcpy(bytes, opt->means.layer[k + 1].mean, count * sizeof(float));
    return BNNEP_OK;
}

static bnnep_status fill_mean_below(const void *from, size_t k, void *bytes, size_t count) {
    const bnnep_optimizer *opt = from;
    memcpy(bytes, opt->means.layer[k].mean, count * sizeof(float));
    return BNNEP_OK;
}

enum { MOMENTUM, MEAN_BELOW, MEAN, ALPHA, BIAS, SIGNS, KINDS };

static const struct {
    const char *name;
    enum bnnep_held since; /* files hold them from this on */
    bnnep_status (*fill)(const void *from, size_t k, void *bytes, size_t count);
} kinds[KINDS] = {
    [MOMENTUM] = {"momentum", BNNEP_HELD_MOMENTA, fill_momentum},
    [MEAN_BELOW] = {"mean_below", BNNEP_HELD_MEANS, fill_mean_below},
    [MEAN] = {"mean", BNNEP_HELD_MEANS, fill_mean},
    [ALPHA] = {"alpha", BNNEP_HELD_PARAMETERS, fill_alpha},
    [BIAS] = {"bias", BNNEP_HELD_PARAMETERS, fill_bias},
    [SIGNS] = {"signs", BNNEP_HELD_PARAMETERS, fill_signs},
};

/* The means of activations below a fully connected connection are those above the one before, if there is one. */
static bool has(const struct bnnep_link *links, size_t k, int kind) {
    const bool connected = !bnnep_is_convolution(&links[k]);
    if (kind == MEAN_BELOW)
        return connected && (k == 0 || bnnep_is_convolution(&links[k - 1]));
    return kind != MEAN || connected;
}

/* The tensors of a file, floats first so that all are aligned. NULL if out of memory. */
static struct bnnep_tensor *list(const bnnep_context *context, const struct bnnep_link *links, size_t connections,
                                 enum bnnep_held held, size_t *count) {
    struct bnnep_tensor *tensors = bnnep_take(context, connections * KINDS, sizeof *tensors);
    *count = 0;
    for (int kind = 0; tensors && kind < KINDS; kind++)
        for (size_t k = 0; kinds[kind].since <= held && k < connections; k++) {
            const struct bnnep_link *link = &links[k];
            if (!has(links, k, kind))
                continue;
            struct bnnep_tensor *t = &tensors[(*count)++];
            snprintf(t->name, sizeof t->name, "connection.%zu.%s", k, kinds[kind].name);
            t->connection = k;
            t->is_float = kind != SIGNS;
            t->rows = kind == ALPHA ? link->scales : kind == MEAN_BELOW ? link->columns : link->rows;
            t->columns = kind == MOMENTUM ? link->columns : kind == SIGNS ? (link->columns + 7) / 8 : 0;
            t->fill = kinds[kind].fill;
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
                                enum bnnep_held held, struct bnnep_tensor **tensors, size_t *count) {
    *tensors = list(file->context, links, connections, held, count);
    bnnep_status status = *tensors ? BNNEP_OK : bnnep_fail_memory(file->path, 0);
    for (size_t i = 0; status == BNNEP_OK && i < *count; i++)
        status = check_tensor(file, &(*tensors)[i], &links[(*tensors)[i].connection]);
    return status;
}

static bnnep_status take(const struct bnnep_tensor *t, const void *bytes, size_t count, bnnep_network *net,
                         bnnep_optimizer *opt) {
    const size_t k = t->connection;
    if (t->fill == fill_mean || t->fill == fill_mean_below) {
        memcpy(opt->means.layer[t->fill == fill_mean ? k + 1 : k].mean, bytes, count * sizeof(float));
        return BNNEP_OK;
    }
    return t->fill == fill_momentum ? bnnep_optimizer_set_momentum(opt, k, bytes, count)
           : t->fill == fill_alpha  ? bnnep_network_set_alpha(net, k, bytes, count)
           : t->fill == fill_bias   ? bnnep_network_set_bias(net, k, bytes, count)
                                    : bnnep_network_set_sign_bits(net, k, bytes, count);
}

bnnep_status bnnep_tensors_take(const struct bnnep_container *file, const struct bnnep_tensor *tensors, size_t count,
                                bnnep_network *net, bnnep_optimizer *opt) {
    bnnep_status status = BNNEP_OK;
    for (size_t i = 0; status == BNNEP_OK && i < count; i++) {
        const struct bnnep_tensor *t = &tensors[i];
        const void *bytes;
        status = bnnep_container_tensor(file, t, &bytes);
        if (status == BNNEP_OK)
            status = take(t, bytes, (size_t)bnnep_tensor_count(t), net, opt);
    }
    return status;
}

uint64_t bnnep_tensors_bytes(const struct bnnep_model *model) {
    uint64_t bytes = 0;
    for (size_t k = 0; k < model->connections; k++) {
        const struct bnnep_link *link = model->links[k];
        const uint64_t means = link->rows + link->columns;
        const uint64_t floats = (uint64_t)link->rows * link->columns + link->rows + link->scales + means;
        bytes += floats * sizeof(float) + (uint64_t)link->rows * ((link->columns + 7) / 8);
    }
    return bytes;
}

bnnep_status bnnep_tensors_of(const bnnep_network *net, const bnnep_optimizer *opt, struct bnnep_tensor **tensors,
                              size_t *count) {
    const enum bnnep_held held = !opt                      ? BNNEP_HELD_PARAMETERS
                                 : opt->means.samples == 0 ? BNNEP_HELD_MOMENTA
                                                           : BNNEP_HELD_MEANS;
    *tensors = list(net->context, net->shape->link, net->model.connections, held, count);
    if (!*tensors)
        return bnnep_fail_memory("tensors", 0);
    for (size_t i = 0; i < *count; i++) {
        struct bnnep_tensor *t = &(*tensors)[i];
        const bool of_network = t->fill == fill_alpha || t->fill == fill_bias || t->fill == fill_signs;
        t->from = of_network ? (const void *)net : (const void *)opt;
    }
    return BNNEP_OK;
}
