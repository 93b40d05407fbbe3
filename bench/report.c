/* SPDX-License-Identifier: MIT */
/* A line is a JSON object with numbers and texts, printed as such or as key=value. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/program.h"

static const char *phase_name(const struct options *options, int phase) {
    static const char *const names[PHASES] = {"drive", "free", "nudged", "learn"};
    return phase == THIRD && strcmp(options->optim, "bptt") == 0 ? "backpropagate" : names[phase];
}

static void put(json_t *line, const char *before, const char *name, const char *after, double value) {
    char key[64];
    snprintf(key, sizeof key, "%s%s%s", before, name, after);
    json_object_set_new(line, key, json_real(value));
}

void report_limits(json_t *line, const struct limits *limits) {
    put(line, "", "copy", "", limits->copy);
    put(line, "", "multiply_adds", "", limits->multiply_adds);
    put(line, "", "bit_products", "", limits->bit_products);
    put(line, "", "bit_logic", "", limits->bit_logic);
}

void report_measured(json_t *line, const struct options *options, const struct measured *measured) {
    put(line, "", "seconds_per_batch", "", measured->seconds);
    for (int p = 0; p < PHASES; p++)
        put(line, "", phase_name(options, p), "", measured->phase[p]);
    for (int p = FREE; p <= THIRD; p++)
        put(line, "steps_", phase_name(options, p), "", measured->steps[p]);
}

void report_shares(json_t *line, const struct options *options, const struct measured *measured,
                   const struct work work[PHASES], const struct limits *limits) {
    for (int p = 0; p < PHASES; p++)
        put(line, "", phase_name(options, p), "_share", least_seconds(&work[p], limits) / measured->phase[p]);
}

static void print_words(json_t *line) {
    const char *key, *space = "";
    json_t *value;
    json_object_foreach(line, key, value) {
        if (json_is_string(value))
            printf("%s%s=%s", space, key, json_string_value(value));
        else
            printf("%s%s=%.4g", space, key, json_number_value(value));
        space = " ";
    }
    putchar('\n');
}

int report_print(json_t *line, bool as_json) {
    if (as_json) {
        json_dumpf(line, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
    } else
        print_words(line);
    json_decref(line);
    if (fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "%s: standard output: ", program_name);
    perror("");
    return 1;
}
