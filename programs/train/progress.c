/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "train.h"

enum { WIDTH = 16, MOST = 160 }; /* the line fits 80 columns */

double progress_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_open(struct progress *progress, const char *what) {
    progress->what = what;
    progress->visible = isatty(STDERR_FILENO) != 0;
    progress->started = progress_now();
    progress->drawn = 0.0;
    progress->length = 0;
}

/* Writes a line over the one before, with spaces where that was longer: no escape sequences, which some terminals do
 * not know and some people turn off. */
static void write_over(struct progress *progress, const char *line) {
    fprintf(stderr, "\r%-*s%s", progress->length, line, *line ? "" : "\r");
    fflush(stderr);
    progress->length = (int)strlen(line);
}

void progress_draw(struct progress *progress, const bnnep_progress *event) {
    const double now = progress_now(), elapsed = now - progress->started;
    if (!progress->visible || now - progress->drawn < 0.1 || event->batches_total == 0 || elapsed <= 0.0)
        return;
    progress->drawn = now;
    char bar[WIDTH + 1], line[MOST];
    const double done = (double)event->batches_done / (double)event->batches_total;
    const int filled = (int)(done * WIDTH);
    memset(bar, '-', WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[WIDTH] = '\0';
    const long left = (long)(elapsed * (1.0 - done) / done + 0.5);
    const bnnep_report *so_far = event->so_far;
    snprintf(line, sizeof line, "%s [%s] %3.0f %%  %.0f images/s  %02ld:%02ld left  error %.2f %%", progress->what, bar,
             100.0 * done, (double)event->samples_done / elapsed, left / 60, left % 60,
             100.0 * (double)so_far->errors / (double)so_far->samples);
    write_over(progress, line);
}

void progress_clear(struct progress *progress) {
    if (progress->length > 0)
        write_over(progress, "");
}
