/* SPDX-License-Identifier: MIT */
#include "normalisation.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

/* The numbers after `name` in a line of text, as many as there are channels: a new array, or NULL. */
static float *read_floats(const char *line, const char *name, int32_t channels) {
    const char *at = strstr(line, name);
    float *values = at ? calloc((size_t)channels, sizeof *values) : NULL;
    if (!values)
        return NULL;
    at += strlen(name);
    for (int32_t i = 0; i < channels; i++) {
        char *end;
        values[i] = strtof(at, &end);
        const char closes = i + 1 < channels ? ',' : ' ';
        if (end == at || (*end != closes && !(closes == ' ' && *end == '\0'))) {
            free(values);
            return NULL;
        }
        at = end + (*end != '\0');
    }
    return values;
}

/* " mean=0.49,0.48,0.45 deviation=0.25,0.24,0.26" in the note's first line, if it is there. */
const char *normalisation_read(const char *path, int32_t channels, struct normalisation *n) {
    char *note;
    *n = (struct normalisation){.channels = channels};
    const bnnep_status status = program_file_text(path, "note", &note);
    if (!note)
        return status == BNNEP_ERROR_MEMORY ? "out of memory" : bnnep_last_error();
    note[strcspn(note, "\n")] = '\0';
    const bool named = strstr(note, " mean=") != NULL;
    if (named) {
        n->mean = read_floats(note, " mean=", channels);
        n->deviation = read_floats(note, " deviation=", channels);
    }
    free(note);
    return named && (!n->mean || !n->deviation) ? "the normalisation in its note cannot be read" : NULL;
}

void normalisation_apply(const struct normalisation *n, float *inputs, size_t count, size_t pixels) {
    const size_t values = (size_t)n->channels * pixels;
    for (size_t v = 0; n->mean && v < count * values; v++)
        inputs[v] = (inputs[v] - n->mean[v % values / pixels]) / n->deviation[v % values / pixels];
}

void normalisation_free(struct normalisation *n) {
    free(n->mean);
    free(n->deviation);
}
