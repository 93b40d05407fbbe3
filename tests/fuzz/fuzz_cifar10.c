/* SPDX-License-Identifier: MIT */
/* CIFAR-10: the bytes of a file. */
#include "fuzz.h"

enum { VALUES = 3 * 32 * 32 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static float inputs[VALUES];
    const bnnep_source source = fuzz_source(bytes, size);
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_dataset *data;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    o.format = BNNEP_FORMAT_CIFAR10;
    if (bnnep_dataset_from_source(fuzz_context(true), &source, &o, &data) != BNNEP_OK)
        return 0;
    PROMISE(bnnep_dataset_get_info(data, &info) == BNNEP_OK);
    PROMISE(info.count == size / (VALUES + 1));
    for (uint64_t n = 0; n < info.count; n++) {
        int32_t label;
        PROMISE(bnnep_dataset_read(data, n, 1, inputs, &label) == BNNEP_OK);
        PROMISE(label >= 0 && label < 10);
    }
    bnnep_dataset_free(data);
    return 0;
}
