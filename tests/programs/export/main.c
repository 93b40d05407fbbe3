/* SPDX-License-Identifier: MIT */
/* Classifies images with an exported network, in the words of bnnep-classify --exact: main BYTES VALUES_AN_IMAGE */
#include <stdio.h>
#include <stdlib.h>

enum { CLASSES = 10, MOST_VALUES = 4096 };

int network_classify(const float *input, float *scores);

int main(int argc, char **argv) {
    static unsigned char bytes[MOST_VALUES];
    static float input[MOST_VALUES];
    float scores[CLASSES];
    const size_t values = argc == 3 ? (size_t)atoi(argv[2]) : 0;
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    int image, i, class;
    size_t v;
    if (!file || values > MOST_VALUES)
        return 1;
    for (image = 0; fread(bytes, 1, values, file) == values; image++) {
        for (v = 0; v < values; v++)
            input[v] = (float)bytes[v] / 255.0f;
        class = network_classify(input, scores);
        if (network_classify(input, NULL) != class)
            return 1;
        printf("image=%d class=%d scores=", image, class);
        for (i = 0; i < CLASSES; i++)
            printf("%s%.9g", i ? "," : "", (double)scores[i]);
        printf("\n");
    }
    return fclose(file) != 0;
}
