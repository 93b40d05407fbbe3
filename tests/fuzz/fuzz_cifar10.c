/* SPDX-License-Identifier: MIT */
/* CIFAR-10: the bytes are each of the files. */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { VALUES = 3 * 32 * 32 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static float inputs[VALUES];
    static char folder[160];
    fuzz_write("test_batch.bin", bytes, size);
    if (!*folder) {
        static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                            "data_batch_4.bin", "data_batch_5.bin"};
        for (int i = 0; i < 5; i++)
            PROMISE(symlink("test_batch.bin", fuzz_path(names[i])) == 0);
        snprintf(folder, sizeof folder, "%s", fuzz_path(""));
    }
    for (int32_t part = BNNEP_PART_TRAINING; part <= BNNEP_PART_TEST; part++) {
        bnnep_dataset *data;
        bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
        bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
        int32_t label;
        o.format = BNNEP_FORMAT_CIFAR10;
        o.part = part;
        if (bnnep_dataset_open(NULL, folder, &o, &data) != BNNEP_OK)
            continue;
        PROMISE(bnnep_dataset_get_info(data, &info) == BNNEP_OK);
        PROMISE(info.count == size / (VALUES + 1) * (part == BNNEP_PART_TEST ? 1 : 5));
        for (uint64_t n = 0; n < info.count; n++) {
            PROMISE(bnnep_dataset_read(data, n, 1, inputs, &label) == BNNEP_OK);
            PROMISE(label >= 0 && label < 10);
        }
        bnnep_dataset_free(data);
    }
    return 0;
}
