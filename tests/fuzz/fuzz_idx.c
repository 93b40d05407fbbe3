/* SPDX-License-Identifier: MIT */
/* IDX: as images and as labels, and the same bytes compressed, which must come to the same. */
#include <zlib.h>

#include "fuzz.h"

/* Reads what there is; the sum of all values, or -1 if the files are refused. */
static double read_all(const char *images, const char *labels) {
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_dataset *data;
    source.path = labels;
    o.format = BNNEP_FORMAT_IDX;
    o.classes = labels ? 10 : 0;
    o.labels = labels ? &source : NULL;
    if (bnnep_dataset_open(NULL, images, &o, &data) != BNNEP_OK)
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
    const char *path = fuzz_write("plain", bytes, size), *compressed = fuzz_path("compressed");
    const char *images = fuzz_write("images", two_images, sizeof two_images);
    const double plain = read_all(path, NULL);
    read_all(images, path);
    if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        return 0; /* compressed already: once more would be another file */
    gzFile file = gzopen(compressed, "wb1");
    PROMISE(file && (size == 0 || gzwrite(file, bytes, (unsigned)size) == (int)size));
    PROMISE(gzclose(file) == Z_OK);
    PROMISE(read_all(compressed, NULL) == plain);
    return 0;
}
