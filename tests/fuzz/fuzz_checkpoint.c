/* SPDX-License-Identifier: MIT */
/* Checkpoints: what is read can be written and read, and training goes on from it. */
#include "fuzz.h"

static void write_and_read(bnnep_optimizer *optimizer) {
    uint64_t count;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.count = &count;
    PROMISE(bnnep_checkpoint_write(optimizer, &sink, NULL) == BNNEP_OK);
    uint8_t *bytes = malloc((size_t)count);
    PROMISE(bytes);
    sink.bytes = bytes;
    sink.room = (size_t)count;
    PROMISE(bnnep_checkpoint_write(optimizer, &sink, NULL) == BNNEP_OK);
    const bnnep_source source = fuzz_source(bytes, (size_t)count);
    PROMISE(bnnep_checkpoint_read(optimizer, &source) == BNNEP_OK);
    free(bytes);
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
