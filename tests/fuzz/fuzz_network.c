/* SPDX-License-Identifier: MIT */
/* Network files: what is read, predicts; and what is written of it, can be read. */
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

static void write_and_read(const bnnep_network *network, bnnep_context *context, const bnnep_load_options *o) {
    uint64_t count;
    bnnep_network *again;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.count = &count;
    PROMISE(bnnep_network_write(network, &sink, NULL) == BNNEP_OK);
    uint8_t *bytes = malloc((size_t)count);
    PROMISE(bytes);
    sink.bytes = bytes;
    sink.room = (size_t)count;
    PROMISE(bnnep_network_write(network, &sink, NULL) == BNNEP_OK);
    const bnnep_source source = fuzz_source(bytes, (size_t)count);
    PROMISE(bnnep_network_read(context, &source, o, &again) == BNNEP_OK);
    bnnep_network_free(again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *bytes = fuzz_digested(data, size);
    const bnnep_source source = fuzz_source(bytes, size);
    bnnep_context *context = fuzz_context(size % 2);
    bnnep_load_options o = BNNEP_LOAD_OPTIONS_INIT;
    bnnep_network *network;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    o.max_batch = 2;
    bnnep_source_text(&source, "note", NULL, 0, NULL);
    bnnep_source_text(&source, "network", NULL, 0, NULL);
    if (bnnep_network_read(context, &source, &o, &network) == BNNEP_OK) {
        PROMISE(bnnep_network_get_info(network, &info) == BNNEP_OK);
        if (info.inputs < 1u << 16) /* larger maps than the weights tell are legal and slow */
            predict(network, &info);
        write_and_read(network, context, &o);
        bnnep_network_free(network);
    }
    free(bytes);
    return 0;
}
