/* SPDX-License-Identifier: MIT */
/* What a report tells of each connection beside its flips: how many weights are about to flip, and how large contrasts
 * are. */
#include <math.h>

#include "lib/internal.h"

static size_t weights_of(const bnnep_network *net, size_t k) {
    return net->model.links[k]->rows * net->model.links[k]->columns;
}

bnnep_status bnnep_diagnosis_open(const bnnep_optimizer *opt, const bnnep_report *report,
                                  struct bnnep_diagnosis *diagnosis) {
    const bnnep_network *net = opt->network;
    const size_t connections = net->model.connections;
    *diagnosis = (struct bnnep_diagnosis){.edges = report->edges, .contrasts = report->contrasts};
    if ((report->flips || report->edges || report->contrasts) && report->flips_count < connections)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "the report's flips has room for %zu connections, the network has %zu",
                          report->flips_count, connections);
    size_t most = 0;
    for (size_t k = 0; report->edges && k < connections; k++)
        most = weights_of(net, k) > most ? weights_of(net, k) : most;
    if (most > 0)
        diagnosis->momenta = bnnep_take(net->context, most, sizeof(float));
    return most == 0 || diagnosis->momenta ? BNNEP_OK : bnnep_fail_memory("a report's edges", most * sizeof(float));
}

void bnnep_diagnosis_close(const bnnep_network *net, struct bnnep_diagnosis *diagnosis) {
    if (diagnosis->momenta)
        bnnep_give_back(net->context, diagnosis->momenta);
    diagnosis->momenta = NULL;
}

/* Share of a connection's weights whose momentum is above half of its threshold. */
static bnnep_status find_edge(const bnnep_optimizer *opt, size_t k, float *momenta, double *edge) {
    char why[BNNEP_WHY] = "";
    const bnnep_network *net = opt->network;
    const size_t weights = weights_of(net, k);
    const float half = 0.5f * (float)bnnep_threshold_of(opt, k);
    size_t beyond = 0;
    const bnnep_status got = net->backend->get_momentum(opt->device, k, momenta, why);
    for (size_t i = 0; got == BNNEP_OK && i < weights; i++)
        beyond += fabsf(momenta[i]) > half;
    *edge = (double)beyond / (double)weights;
    return bnnep_backend_failed(net, got, why);
}

bnnep_status bnnep_diagnose(const bnnep_optimizer *opt, const struct bnnep_diagnosis *diagnosis) {
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < opt->network->model.connections; k++) {
        if (diagnosis->edges)
            status = find_edge(opt, k, diagnosis->momenta, &diagnosis->edges[k]);
        if (diagnosis->contrasts)
            diagnosis->contrasts[k] = !opt->squared
                                          ? 0.0
                                          : fabs(opt->contrast_gain[k].of[BNNEP_CONTRAST_WEIGHTS]) *
                                                sqrt(opt->squares[k].weights / (double)weights_of(opt->network, k));
    }
    return status;
}
