/* SPDX-License-Identifier: MIT */
/* PGM and PPM, as bnnep-classify reads them. */
#include "common/picture.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { MOST = 1 << 12 }; /* bnnep-classify reads values only if they are as many as its network's inputs */
    static float values[MOST];
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)bytes, size, "r") : fopen("/dev/null", "r");
    struct picture picture;
    PROMISE(file);
    if (picture_header(file, &picture) == 1) {
        const double count = (double)picture.channels * picture.height * picture.width;
        PROMISE(count >= 1.0);
        if (count <= MOST && !picture_values(file, &picture, values))
            for (int v = 0; v < (int)count; v++)
                PROMISE(values[v] >= 0.0f && values[v] <= 1.0f);
    }
    fclose(file);
    return 0;
}
