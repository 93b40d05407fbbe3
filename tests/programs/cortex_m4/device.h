/* SPDX-License-Identifier: MIT */
#ifndef BNNEP_TESTS_DEVICE_H
#define BNNEP_TESTS_DEVICE_H

void start(void);
/* Prints a text that ends with 0. */
void say(const char *text);
int main(void);

#endif
