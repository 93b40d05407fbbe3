/* SPDX-License-Identifier: MIT */
/* Classifies the digits that were linked in, and prints of each its class and the bits of its scores. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "device.h"

enum { CLASSES = 10, PIXELS = 784 };

extern const uint8_t digits[], digits_end[]; /* digits.S */
int network_classify(const float *input, float *scores);

static void say_hex(uint32_t word) {
    char text[10] = " ";
    for (int i = 0; i < 8; i++)
        text[1 + i] = "0123456789abcdef"[word >> (28 - 4 * i) & 15];
    say(text);
}

int main(void) {
    static float input[PIXELS];
    for (const uint8_t *digit = digits; digit < digits_end; digit += PIXELS) {
        float scores[CLASSES];
        for (size_t v = 0; v < PIXELS; v++)
            input[v] = (float)digit[v] / 255.0f;
        const char class[] = {(char)('0' + network_classify(input, scores)), '\0'};
        say(class);
        for (int c = 0; c < CLASSES; c++) {
            uint32_t bits;
            memcpy(&bits, &scores[c], sizeof bits);
            say_hex(bits);
        }
        say("\n");
    }
    return 0;
}
