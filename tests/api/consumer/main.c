/* SPDX-License-Identifier: MIT */
/* A program outside the tree, as a user writes it: compiled as C and as C++ by scripts/check-install.sh. */
#include <bnnep/bnnep.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    const bnnep_connection connections[] = {BNNEP_FC(16), BNNEP_FC(2)};
    const double gamma[] = {0.1, 0.1}, threshold[] = {1e-3, 1e-3}, rate[] = {0.01, 0.01};
    const float x[] = {0.0f, 1.0f, 1.0f, 0.0f};
    const int32_t labels[] = {0, 1};
    float scores[4];
    bnnep_network_options options = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options learning = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    bnnep_network *network = NULL;
    bnnep_optimizer *optimizer = NULL;
    int status = 1;
    options.input_channels = 2;
    options.classes = 2;
    options.connections = connections;
    options.connection_count = 2;
    learning.gamma = gamma;
    learning.threshold = threshold;
    learning.lr_bias = rate;
    if (bnnep_version() == BNNEP_VERSION && bnnep_network_create(NULL, &options, &network) == BNNEP_OK &&
        bnnep_optimizer_create(network, &learning, &optimizer) == BNNEP_OK &&
        bnnep_optimizer_train_batch(optimizer, x, labels, 2, NULL, &report) == BNNEP_OK &&
        bnnep_network_predict(network, x, 2, NULL, scores, NULL) == BNNEP_OK) {
        printf("libbnnep %s: loss %.3f\n", bnnep_version_string(), report.loss);
        status = 0;
    } else
        fprintf(stderr, "%s\n", bnnep_last_error());
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return status;
}
