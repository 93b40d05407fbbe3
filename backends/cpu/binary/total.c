/* SPDX-License-Identifier: MIT */
/* How often units are active in a batch after both phases, for covariances. */
#include <string.h>

#include "backends/cpu/binary/binary.h"

struct below {
    struct binary_workspace *ws;
    size_t layer; /* index */
};

/* 64 units of the layer. */
static void add_up_word(void *arg, size_t word, unsigned worker) {
    const struct below *below = arg;
    const struct binary_workspace *ws = below->ws;
    const size_t stride = ws->layout.units / 64, offset = ws->layer[below->layer].offset / 64 + word;
    (void)worker;
    for (int which = 0; which < 2; which++) {
        int32_t total[64] = {0};
        for (size_t first = 0; first < ws->count; first += 64) {
            uint64_t words[64] = {0};
            for (size_t n = first; n < first + 64 && n < ws->count; n++)
                words[n - first] = ws->active[which][n * stride + offset];
            bnnep_cpu_transpose(words);
            for (size_t j = 0; j < 64; j++)
                total[j] += __builtin_popcountll(words[j]);
        }
        for (size_t j = 0; j < 64; j++)
            ws->total[which][64 * word + j] = (double)total[j];
    }
}

static void add_up_inputs(struct binary_workspace *ws) {
    const size_t in = ws->network->model->links[0]->in;
    memset(ws->input_total, 0, in * sizeof *ws->input_total);
    for (size_t n = 0; n < ws->count; n++)
        for (size_t i = 0; i < in; i++)
            ws->input_total[i] += (double)ws->x[n * in + i];
}

void bnnep_binary_add_up(struct binary_workspace *ws, const struct bnnep_learning *how, size_t k) {
    const size_t in = ws->network->model->links[k]->in, words = bnnep_binary_padded(in) / 64;
    if (how->sums[0] && k == 0)
        memcpy(ws->input_total, how->sums[0][0], in * sizeof *ws->input_total);
    else if (how->sums[0])
        for (size_t i = 0; i < in; i++)
            for (int which = 0; which < 2; which++)
                ws->total[which][bnnep_cpu_column(&ws->network->connection[k], i)] = how->sums[which][k][i];
    else if (k == 0)
        add_up_inputs(ws);
    else
        bnnep_pool_run(ws->pool, ws->threads, words, add_up_word, &(struct below){ws, k - 1});
}
