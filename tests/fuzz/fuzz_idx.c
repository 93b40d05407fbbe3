/* SPDX-License-Identifier: MIT */
/* Data files: as whatever they may be, as labels in IDX, and compressed, which must come to the same. */
#include "fuzz.h"

/* Reads what there is; the sum of all values, or -1 if the files are refused. */
static double read_all(const bnnep_source *images, const bnnep_source *labels) {
    bnnep_dataset *data;
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    o.format = labels ? BNNEP_FORMAT_IDX : BNNEP_FORMAT_AUTO;
    o.labels = labels;
    o.classes = labels ? 10 : 0;
    if (bnnep_dataset_from_source(fuzz_context(true), images, &o, &data) != BNNEP_OK)
        return -1.0;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    PROMISE(bnnep_dataset_get_info(data, &info) == BNNEP_OK);
    const size_t values = (size_t)info.channels * (size_t)info.height * (size_t)info.width;
    float *inputs = malloc(values * sizeof *inputs);
    int32_t label;
    double sum = 0.0;
    PROMISE(inputs);
    for (uint64_t n = 0; n < info.count; n++) {
        PROMISE(bnnep_dataset_read(data, n, 1, inputs, &label) == BNNEP_OK);
        PROMISE(info.labelled ? label >= 0 : label == -1);
        for (size_t v = 0; v < values; v++) {
            PROMISE(inputs[v] >= 0.0f && inputs[v] <= 1.0f);
            sum += (double)inputs[v];
        }
    }
    free(inputs);
    bnnep_dataset_free(data);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const uint8_t two_images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
    const bnnep_source source = fuzz_source(bytes, size), images = fuzz_source(two_images, sizeof two_images);
    const double plain = read_all(&source, NULL);
    read_all(&images, &source);
    if (size >= 2 && (bytes[0] || bytes[1]))
        return 0; /* compressed already, and once more would be another file; or CIFAR-10, which is not when compressed
                   */
    size_t length;
    uint8_t *compressed = fuzz_compressed(bytes, size, &length);
    const bnnep_source again = fuzz_source(compressed, length);
    PROMISE(read_all(&again, NULL) == plain);
    free(compressed);
    return 0;
}
