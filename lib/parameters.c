/* SPDX-License-Identifier: MIT */
/* Reading and setting what a network and an optimizer have learnt. */
#include <math.h>
#include <string.h>

#include "lib/internal.h"

/* Checks the arguments common to all functions here; `count` must be `expected`. */
static bnnep_status check(const char *what, const bnnep_network *net, size_t connection, const void *array,
                          size_t count, uint64_t (*expected)(const struct bnnep_link *)) {
    if (!net || !array)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: the %s is NULL", what, net ? "array" : "handle");
    if (connection >= net->model.connections)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: connection %zu does not exist; the network has %zu", what,
                          connection, net->model.connections);
    const uint64_t wanted = expected(net->model.links[connection]);
    if (count != wanted)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s of connection %zu: the array has %zu elements, expected %llu", what,
                          connection, count, (unsigned long long)wanted);
    return BNNEP_OK;
}

static uint64_t weights_of(const struct bnnep_link *link) {
    return (uint64_t)link->rows * link->columns;
}

static uint64_t bytes_of(const struct bnnep_link *link) {
    return (uint64_t)link->rows * ((link->columns + 7) / 8);
}

static uint64_t scales_of(const struct bnnep_link *link) {
    return link->scales;
}

static uint64_t rows_of(const struct bnnep_link *link) {
    return link->rows;
}

bnnep_status bnnep_check_finite(const char *what, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return bnnep_fail(BNNEP_ERROR_DATA, "%s: element %zu is %g", what, i, (double)values[i]);
    return BNNEP_OK;
}

bnnep_status bnnep_check_bits(const char *what, const uint8_t *bits, const struct bnnep_link *link) {
    const size_t stride = (link->columns + 7) / 8;
    const uint8_t tail = (uint8_t)(link->columns % 8 ? 0xffu << (link->columns % 8) : 0u);
    for (size_t j = 0; j < link->rows; j++)
        if (bits[j * stride + stride - 1] & tail)
            return bnnep_fail(BNNEP_ERROR_DATA, "%s: row %zu has bits set beyond its %zu columns", what, j,
                              link->columns);
    return BNNEP_OK;
}

static bnnep_status get(const char *function, const bnnep_network *net, size_t k, struct bnnep_parameters_out to) {
    struct bnnep_call call = {.name = function};
    char why[BNNEP_WHY] = "";
    to.size = sizeof to;
    bnnep_status status = bnnep_call_reads(&call, &net->claim, "network");
    if (status == BNNEP_OK)
        status = bnnep_backend_failed(net, net->backend->get(net->device, k, &to, why), why);
    return bnnep_call_end(&call, status);
}

static bnnep_status put(const char *function, bnnep_network *net, size_t k, struct bnnep_parameters from) {
    struct bnnep_call call = {.name = function};
    char why[BNNEP_WHY] = "";
    from.size = sizeof from;
    bnnep_status status = bnnep_call_changes(&call, &net->claim, "network");
    if (status == BNNEP_OK) {
        status = bnnep_backend_failed(net, net->backend->put(net->device, k, &from, why), why);
        net->revision++;
    }
    return bnnep_call_end(&call, status);
}

bnnep_status bnnep_network_get_sign_bits(const bnnep_network *net, size_t connection, uint8_t *bits, size_t count) {
    const bnnep_status status = check("sign bits", net, connection, bits, count, bytes_of);
    return status == BNNEP_OK
               ? get("bnnep_network_get_sign_bits", net, connection, (struct bnnep_parameters_out){.bits = bits})
               : status;
}

bnnep_status bnnep_network_set_sign_bits(bnnep_network *net, size_t connection, const uint8_t *bits, size_t count) {
    bnnep_status status = check("sign bits", net, connection, bits, count, bytes_of);
    if (status == BNNEP_OK)
        status = bnnep_check_bits("sign bits", bits, net->model.links[connection]);
    return status == BNNEP_OK
               ? put("bnnep_network_set_sign_bits", net, connection, (struct bnnep_parameters){.bits = bits})
               : status;
}

bnnep_status bnnep_network_get_signs(const bnnep_network *net, size_t connection, int8_t *signs, size_t count) {
    bnnep_status status = check("signs", net, connection, signs, count, weights_of);
    if (status != BNNEP_OK)
        return status;
    const struct bnnep_link *link = net->model.links[connection];
    const size_t stride = (link->columns + 7) / 8;
    uint8_t *bits = bnnep_take(net->context, bytes_of(link), 1);
    if (!bits)
        return bnnep_fail_memory("sign bits", bytes_of(link));
    status = get("bnnep_network_get_signs", net, connection, (struct bnnep_parameters_out){.bits = bits});
    for (size_t j = 0; status == BNNEP_OK && j < link->rows; j++)
        for (size_t i = 0; i < link->columns; i++)
            signs[j * link->columns + i] = bits[j * stride + i / 8] >> (i % 8) & 1 ? 1 : -1;
    bnnep_give_back(net->context, bits);
    return status;
}

bnnep_status bnnep_network_set_signs(bnnep_network *net, size_t connection, const int8_t *signs, size_t count) {
    bnnep_status status = check("signs", net, connection, signs, count, weights_of);
    if (status != BNNEP_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (signs[i] != 1 && signs[i] != -1)
            return bnnep_fail(BNNEP_ERROR_DATA, "signs: element %zu is %d; only 1 and -1 are signs", i, signs[i]);
    const struct bnnep_link *link = net->model.links[connection];
    const size_t stride = (link->columns + 7) / 8;
    uint8_t *bits = bnnep_take(net->context, bytes_of(link), 1);
    if (!bits)
        return bnnep_fail_memory("sign bits", bytes_of(link));
    for (size_t j = 0; j < link->rows; j++)
        for (size_t i = 0; i < link->columns; i++)
            if (signs[j * link->columns + i] > 0)
                bits[j * stride + i / 8] |= (uint8_t)(1u << (i % 8));
    status = put("bnnep_network_set_signs", net, connection, (struct bnnep_parameters){.bits = bits});
    bnnep_give_back(net->context, bits);
    return status;
}

bnnep_status bnnep_network_get_alpha(const bnnep_network *net, size_t connection, float *alpha, size_t count) {
    const bnnep_status status = check("alpha", net, connection, alpha, count, scales_of);
    return status == BNNEP_OK
               ? get("bnnep_network_get_alpha", net, connection, (struct bnnep_parameters_out){.scale = alpha})
               : status;
}

bnnep_status bnnep_network_get_bias(const bnnep_network *net, size_t connection, float *bias, size_t count) {
    const bnnep_status status = check("bias", net, connection, bias, count, rows_of);
    return status == BNNEP_OK
               ? get("bnnep_network_get_bias", net, connection, (struct bnnep_parameters_out){.bias = bias})
               : status;
}

bnnep_status bnnep_network_set_alpha(bnnep_network *net, size_t connection, const float *alpha, size_t count) {
    bnnep_status status = check("alpha", net, connection, alpha, count, scales_of);
    if (status == BNNEP_OK)
        status = bnnep_check_finite("alpha", alpha, count);
    return status == BNNEP_OK
               ? put("bnnep_network_set_alpha", net, connection, (struct bnnep_parameters){.scale = alpha})
               : status;
}

bnnep_status bnnep_network_set_bias(bnnep_network *net, size_t connection, const float *bias, size_t count) {
    bnnep_status status = check("bias", net, connection, bias, count, rows_of);
    if (status == BNNEP_OK)
        status = bnnep_check_finite("bias", bias, count);
    return status == BNNEP_OK ? put("bnnep_network_set_bias", net, connection, (struct bnnep_parameters){.bias = bias})
                              : status;
}

bnnep_status bnnep_optimizer_get_momentum(const bnnep_optimizer *optimizer, size_t connection, float *momentum,
                                          size_t count) {
    const bnnep_network *net = optimizer ? optimizer->network : NULL;
    bnnep_status status = check("momentum", net, connection, momentum, count, weights_of);
    if (status != BNNEP_OK)
        return status;
    struct bnnep_call call = {.name = "bnnep_optimizer_get_momentum"};
    char why[BNNEP_WHY] = "";
    status = bnnep_call_reads(&call, &optimizer->claim, "optimizer");
    if (status == BNNEP_OK)
        status =
            bnnep_backend_failed(net, net->backend->get_momentum(optimizer->device, connection, momentum, why), why);
    return bnnep_call_end(&call, status);
}

bnnep_status bnnep_optimizer_set_momentum(bnnep_optimizer *optimizer, size_t connection, const float *momentum,
                                          size_t count) {
    const bnnep_network *net = optimizer ? optimizer->network : NULL;
    bnnep_status status = check("momentum", net, connection, momentum, count, weights_of);
    if (status == BNNEP_OK)
        status = bnnep_check_finite("momentum", momentum, count);
    if (status != BNNEP_OK)
        return status;
    struct bnnep_call call = {.name = "bnnep_optimizer_set_momentum"};
    char why[BNNEP_WHY] = "";
    status = bnnep_call_changes(&call, &optimizer->claim, "optimizer");
    if (status == BNNEP_OK)
        status =
            bnnep_backend_failed(net, net->backend->put_momentum(optimizer->device, connection, momentum, why), why);
    return bnnep_call_end(&call, status);
}
