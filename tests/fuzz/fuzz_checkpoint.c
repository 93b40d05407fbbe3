/* SPDX-License-Identifier: MIT */
/* Checkpoints: what is read can be written and read, and training goes on from it. */
#include <string.h>

#include "fuzz.h"

/* What is written of it is the same each time, also once it has been read. */
static void write_and_read(bnnep_optimizer *optimizer) {
    size_t size, size_again;
    uint8_t *bytes = fuzz_checkpoint(optimizer, NULL, &size);
    PROMISE(bytes);
    const bnnep_source source = fuzz_source(bytes, size);
    PROMISE(bnnep_checkpoint_read(optimizer, &source) == BNNEP_OK);
    uint8_t *again = fuzz_checkpoint(optimizer, NULL, &size_again);
    PROMISE(again && size_again == size && memcmp(again, bytes, size) == 0);
    free(bytes);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { IMAGES = 10 };
    uint8_t *bytes = fuzz_digested(data, size);
    const bnnep_source source = fuzz_source(bytes, size);
    bnnep_network *network;
    bnnep_optimizer *optimizer = fuzz_optimizer(&network);
    if (bnnep_checkpoint_read(optimizer, &source) == BNNEP_OK) {
        static const int32_t labels[IMAGES] = {0, 1, 1, 0};
        float inputs[IMAGES * FUZZ_INPUTS];
        bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
        bnnep_dataset *images;
        for (int v = 0; v < IMAGES * FUZZ_INPUTS; v++)
            inputs[v] = (float)(v % 7) / 7.0f;
        o.channels = FUZZ_INPUTS;
        PROMISE(bnnep_dataset_from_memory(fuzz_context(true), &o, inputs, labels, IMAGES, &images) == BNNEP_OK);
        write_and_read(optimizer);
        bnnep_optimizer_train_epoch(optimizer, images, NULL, NULL);
        bnnep_dataset_free(images);
    }
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    free(bytes);
    return 0;
}
