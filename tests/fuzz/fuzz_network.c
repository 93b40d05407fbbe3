/* SPDX-License-Identifier: MIT */
/* Network files: what loads, predicts; and what is saved of it, loads. */
#include "fuzz.h"

static void predict(bnnep_network *network, const bnnep_network_info *info) {
    float *inputs = calloc((size_t)info->inputs, sizeof *inputs);
    float *scores = calloc((size_t)info->classes, sizeof *scores);
    int32_t class;
    PROMISE(inputs && scores);
    for (uint64_t i = 0; i < info->inputs; i += 2)
        inputs[i] = 0.5f;
    PROMISE(bnnep_network_set_relaxation(network, 3, 0.0) == BNNEP_OK);
    PROMISE(bnnep_network_predict(network, inputs, 1, NULL, scores, &class) == BNNEP_OK);
    PROMISE(class >= 0 && class < info->classes);
    free(inputs);
    free(scores);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_write_container("network", data, size), *saved = fuzz_path("saved");
    bnnep_context_options where = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_load_options how = BNNEP_LOAD_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *network;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    how.max_batch = 2;
    where.backend = size % 2 ? "ref" : "cpu";
    where.threads = 1;
    bnnep_file_text(path, "note", NULL, 0, NULL);
    bnnep_file_text(path, "network", NULL, 0, NULL);
    PROMISE(bnnep_context_create(&where, &context) == BNNEP_OK);
    const bnnep_status status = bnnep_network_load(context, path, &how, &network);
    bnnep_context_free(context);
    if (status != BNNEP_OK)
        return 0;
    PROMISE(bnnep_network_get_info(network, &info) == BNNEP_OK);
    if (info.inputs < 1u << 16) /* larger maps than the weights tell are legal and slow */
        predict(network, &info);
    PROMISE(bnnep_network_save(network, saved, NULL) == BNNEP_OK);
    bnnep_network_free(network);
    PROMISE(bnnep_network_load(NULL, saved, &how, &network) == BNNEP_OK);
    bnnep_network_free(network);
    return 0;
}
