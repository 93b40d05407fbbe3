/* SPDX-License-Identifier: MIT */
/* The end of networks and workspaces, which keep each other: a workspace has a reference to its network, and a network
 * owns a workspace, which has none. */
#include "lib/internal.h"

void bnnep_network_retain(bnnep_network *net) {
    atomic_fetch_add(&net->references, 1);
}

void bnnep_network_free(bnnep_network *net) {
    if (!net || atomic_fetch_sub(&net->references, 1) != 1)
        return;
    bnnep_context *context = net->context;
    bnnep_workspace_free(net->workspace);
    if (net->device)
        net->backend->network_destroy(net->device);
    bnnep_give_back(context, net->shape);
    bnnep_give_back(context, net);
    bnnep_context_free(context);
}

void bnnep_workspace_free(bnnep_workspace *ws) {
    if (!ws)
        return;
    bnnep_network *net = ws->network;
    const bnnep_context *context = net->context;
    const bool owns_reference = ws->owns_reference;
    if (ws->device)
        net->backend->workspace_destroy(ws->device);
    bnnep_give_back(context, ws->inputs);
    bnnep_give_back(context, ws->lone_input);
    bnnep_give_back(context, ws->targets);
    bnnep_give_back(context, ws->outputs);
    bnnep_give_back(context, ws->labels);
    bnnep_give_back(context, ws->indices);
    bnnep_give_back(context, ws);
    if (owns_reference)
        bnnep_network_free(net);
}
