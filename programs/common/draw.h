/* SPDX-License-Identifier: MIT */
/* Random numbers of the programs, apart from the library's: the same Philox generator, a stream of its own. */
#ifndef BNNEP_PROGRAMS_DRAW_H
#define BNNEP_PROGRAMS_DRAW_H

#include <stddef.h>
#include <stdint.h>

/* The noise that the authors' program starts the momenta of a connection from: 2 gamma N(0, 1). */
void draw_momentum(uint64_t seed, uint32_t connection, double gamma, float *momentum, size_t count);

#endif
