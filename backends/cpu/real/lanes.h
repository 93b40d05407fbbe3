/* SPDX-License-Identifier: MIT */
/* Which samples are under way: lanes.c. */
#ifndef BNNEP_REAL_LANES_H
#define BNNEP_REAL_LANES_H

#include "backends/cpu/real/real.h"

/* The exchanges that a tile can take part in: each sample begins once, and half a tile is packed once. */
#define MOST_EXCHANGES (LANES + LANES / 2)

/* Samples of a batch on their way through a phase. */
struct real_lanes {
    struct real_workspace *ws;
    int32_t phase;
    size_t next, end;                  /* samples that have not begun */
    size_t tile;                       /* what is under way */
    size_t in_use;                     /* lanes */
    bool half;                         /* the lanes in use are in the first half */
    float moving[LANES];               /* 1: in use */
    int32_t steps[LANES], calm[LANES]; /* done; those in a row, to now, that changed nothing */
    struct real_exchange *exchange;    /* those that were made, [exchanges] */
    size_t exchanges;
};

/* Nothing is under way; the tile of the next sample is taken up where it lies. */
void bnnep_real_begin_tile(struct real_lanes *lanes);
/* Lanes not in use go to samples that have not begun. */
void bnnep_real_refill(struct real_lanes *lanes);
/* At most half of the lanes are in use, and none will be refilled. */
void bnnep_real_pack(struct real_lanes *lanes);
/* Every sample goes back to its place in the batch. */
void bnnep_real_go_home(struct real_lanes *lanes);

#endif
