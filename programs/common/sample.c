/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Set by the build. */
#ifndef BNNEP_INSTALLED_SAMPLE
#define BNNEP_INSTALLED_SAMPLE "/usr/local/share/bnnep/data/mnist-sample"
#endif
#ifndef BNNEP_SOURCE_SAMPLE
#define BNNEP_SOURCE_SAMPLE "examples/data/mnist-sample"
#endif

#define FASHION_MNIST "/usr/share/datasets/fashion-mnist"

static const char *given(void) {
    const char *folder = getenv("BNNEP_DATA");
    return folder && *folder ? folder : NULL;
}

const char *sample_folder(void) {
    static char path[4096];
    if (given())
        return given();
    char self[4000];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
        snprintf(path, sizeof path, "%s/../share/bnnep/data/mnist-sample", self);
        if (access(path, R_OK) == 0)
            return path;
    }
    return access(BNNEP_INSTALLED_SAMPLE, R_OK) == 0 ? BNNEP_INSTALLED_SAMPLE : BNNEP_SOURCE_SAMPLE;
}

const char *data_folder(const char *dataset) {
    return strcmp(dataset, "fashion-mnist") != 0 ? sample_folder() : given() ? given() : FASHION_MNIST;
}
