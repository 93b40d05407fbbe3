/* SPDX-License-Identifier: MIT */
/* The end of networks and workspaces, which keep each other: a workspace has a reference to its network, and a network
 * owns a workspace, which has none. */
#include <stdlib.h>

#include "lib/internal.h"

void bnnep_network_retain(bnnep_network *net) {
    atomic_fetch_add(&net->references, 1);
}

void bnnep_network_free(bnnep_network *net) {
    if (!net || atomic_fetch_sub(&net->references, 1) != 1)
        return;
    bnnep_workspace_free(net->workspace);
    if (net->device)
        net->backend->network_destroy(net->device);
    free(net->links);
    free(net);
}

void bnnep_workspace_free(bnnep_workspace *ws) {
    if (!ws)
        return;
    bnnep_network *net = ws->network;
    if (ws->device)
        net->backend->workspace_destroy(ws->device);
    free(ws->inputs);
    free(ws->targets);
    free(ws->outputs);
    free(ws->labels);
    free(ws->indices);
    if (ws->owns_reference)
        bnnep_network_free(net);
    free(ws);
}
