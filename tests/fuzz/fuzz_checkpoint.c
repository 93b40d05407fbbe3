/* SPDX-License-Identifier: MIT */
/* Checkpoints: what loads can be saved and loaded, and training goes on from it. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { IMAGES = 10 };
    const char *path = fuzz_write_container("checkpoint", bytes, size), *saved = fuzz_path("saved");
    bnnep_network *network;
    bnnep_optimizer *optimizer = fuzz_optimizer(&network);
    if (bnnep_checkpoint_load(optimizer, path) == BNNEP_OK) {
        static const int32_t labels[IMAGES] = {0, 1, 1, 0};
        float inputs[IMAGES * FUZZ_INPUTS];
        bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
        bnnep_dataset *data;
        for (int v = 0; v < IMAGES * FUZZ_INPUTS; v++)
            inputs[v] = (float)(v % 7) / 7.0f;
        o.channels = FUZZ_INPUTS;
        PROMISE(bnnep_dataset_from_memory(NULL, &o, inputs, labels, IMAGES, &data) == BNNEP_OK);
        PROMISE(bnnep_checkpoint_save(optimizer, saved, NULL) == BNNEP_OK);
        PROMISE(bnnep_checkpoint_load(optimizer, saved) == BNNEP_OK);
        bnnep_optimizer_train_epoch(optimizer, data, NULL, NULL);
        bnnep_dataset_free(data);
    }
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    return 0;
}
