/* SPDX-License-Identifier: MIT */
/*
 * bnnep-info: what a checkpoint or a network file holds, and where networks can be computed.
 *
 *     bnnep-info [--json] FILE
 *     bnnep-info [--json] --backends
 *
 * --json: one object with the texts of the file's metadata (those that are JSON, as such) and, of each connection, its
 * shape, the share of weights that are +1, and the ranges of its scaling factors and biases; or an array of backends.
 * Both forms are made of it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bnnep/bnnep.h>
#include <jansson.h>

#include "common/program.h"
#include "common/text.h"

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* A float as the decimal number that people wrote: 0.3, not 0.30000001192092896. */
static double plain(float value) {
    char text[NUMBER_ROOM];
    return strtod(float_text(value, text), NULL);
}

static void make_plain(json_t *object) {
    static const char *const floats[] = {"theta", "gamma_neur", "settle_tolerance"};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        json_t *value = json_object_get(object, floats[i]);
        if (json_is_real(value))
            json_real_set(value, plain((float)json_real_value(value)));
    }
}

/* For jansson (2.14), which passes over characters for which it has no memory, and then may count on them. */
static void *take_or_end(size_t bytes) {
    void *taken = malloc(bytes);
    if (!taken && bytes > 0)
        exit(complain("what there is", "out of memory"));
    return taken;
}

/* Adds a text of the file's metadata, or what it is as JSON; the latter not if the file lacks it. */
static int add_text(json_t *about, const char *path, const char *key, bool as_json) {
    char *text;
    if (program_file_text(path, key, &text) != BNNEP_OK)
        return complain_library();
    json_t *value = !as_json ? json_string(text) : *text ? json_loads(text, 0, NULL) : json_null();
    free(text);
    make_plain(as_json ? value : NULL);
    const bool added = value && (json_is_null(value) || json_object_set(about, key, value) == 0);
    json_decref(value);
    return added ? 0 : complain(path, "out of memory");
}

/* NULL if it cannot be had, and it is said why. */
static json_t *read_metadata(const char *path) {
    static const char *const texts[] = {"format", "format_version", "library", "note"};
    static const char *const objects[] = {"network", "optimizer", "position"};
    json_t *about = json_object();
    int status = about ? 0 : complain(path, "out of memory");
    for (size_t i = 0; status == 0 && i < sizeof texts / sizeof texts[0]; i++)
        status = add_text(about, path, texts[i], false);
    for (size_t i = 0; status == 0 && i < sizeof objects / sizeof objects[0]; i++)
        status = add_text(about, path, objects[i], true);
    if (status == 0)
        return about;
    json_decref(about);
    return NULL;
}

static json_t *range(const float *values, size_t count) {
    float least = values[0], most = values[0];
    for (size_t i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    return json_pack("[f, f]", plain(least), plain(most));
}

static double share_of_ones(const uint8_t *bits, size_t bytes, double weights) {
    size_t ones = 0;
    for (size_t i = 0; i < bytes; i++)
        for (unsigned byte = bits[i]; byte; byte &= byte - 1)
            ones++;
    return (double)ones / weights;
}

/* NULL if the parameters cannot be had. */
static json_t *read_connection(const bnnep_network *network, size_t k) {
    bnnep_connection_info c = BNNEP_CONNECTION_INFO_INIT;
    bnnep_network_get_connection(network, k, &c);
    const size_t rows = (size_t)c.rows, scales = (size_t)c.scales, bytes = rows * (size_t)((c.columns + 7) / 8);
    uint8_t *bits = malloc(bytes);
    float *alpha = malloc(scales * sizeof *alpha), *bias = malloc(rows * sizeof *bias);
    json_t *about = NULL;
    if (bits && alpha && bias && bnnep_network_get_sign_bits(network, k, bits, bytes) == BNNEP_OK &&
        bnnep_network_get_alpha(network, k, alpha, scales) == BNNEP_OK &&
        bnnep_network_get_bias(network, k, bias, rows) == BNNEP_OK)
        about = json_pack("{s:I, s:I, s:[I, I, I], s:f, s:o, s:o}", "rows", (json_int_t)rows, "columns",
                          (json_int_t)c.columns, "shape", (json_int_t)c.channels, (json_int_t)c.height,
                          (json_int_t)c.width, "plus", share_of_ones(bits, bytes, (double)rows * (double)c.columns),
                          "alpha", range(alpha, scales), "bias", range(bias, rows));
    free(bits);
    free(alpha);
    free(bias);
    return about;
}

/* Adds "connections" and "weights". */
static bool read_parameters(const bnnep_network *network, json_t *about) {
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    json_t *connections = json_array();
    bnnep_network_get_info(network, &info);
    for (size_t k = 0; k < info.connection_count; k++)
        if (json_array_append_new(connections, read_connection(network, k)) != 0) {
            json_decref(connections);
            return false;
        }
    return json_object_set_new(about, "connections", connections) == 0 &&
           json_object_set_new(about, "weights", json_integer((json_int_t)info.weights)) == 0;
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static double element(const json_t *object, const char *key, size_t place) {
    return json_number_value(json_array_get(json_object_get(object, key), place));
}

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* A number as people write it. */
static const char *shown(const json_t *object, const char *key, char room[NUMBER_ROOM]) {
    return number_text(number(object, key), room);
}

static void print_network(const json_t *about) {
    char one[NUMBER_ROOM], other[NUMBER_ROOM];
    const json_t *network = json_object_get(about, "network");
    const bool binary = number(network, "dynamics") == BNNEP_DYNAMICS_BINARY;
    printf("network     %s activations, %.0f binary weights\n", binary ? "binary" : "full-precision",
           number(about, "weights"));
    if (binary)
        printf("            threshold %s, leak %s\n", shown(network, "theta", one),
               shown(network, "gamma_neur", other));
    else if (number(network, "grid_bits") > 0)
        printf("            states on a grid of 2^-%.0f\n", number(network, "grid_bits"));
    const double schedule = number(network, "schedule");
    printf("free phase  %.0f steps%s, tolerance %s\n", number(network, "free_steps"),
           schedule == BNNEP_SCHEDULE_OVER_RELAXED  ? ", over-relaxed"
           : schedule == BNNEP_SCHEDULE_ALTERNATING ? ", alternating"
                                                    : "",
           shown(network, "settle_tolerance", one));
    if (number(network, "feedback") > 0.0)
        printf("            feedback of strength %s\n", float_text((float)number(network, "feedback"), one));
    printf("input       %.0f x %.0f x %.0f (channels, height, width)\n", element(network, "input", 0),
           element(network, "input", 1), element(network, "input", 2));
    printf("output      %.0f classes, units of each: %.0f\n\n", number(network, "classes"),
           number(network, "expand_output"));
}

static void print_connections(const json_t *about) {
    size_t k;
    json_t *c;
    printf("%-11s%-28s%-26s%-15s%-8s%-22s%s\n", "connection", "kind", "weights", "layer above", "+1", "alpha", "bias");
    json_array_foreach(json_object_get(about, "connections"), k, c) {
        const json_t *said = json_array_get(json_object_get(json_object_get(about, "network"), "connections"), k);
        char kind[64], weights[48], layer[64], alpha[48];
        snprintf(kind, sizeof kind, "fully connected");
        if (number(said, "kind") == BNNEP_CONNECTION_CONVOLUTION)
            snprintf(kind, sizeof kind, "conv %.0fx%.0f, padding %.0f, pool %.0f", number(said, "kernel"),
                     number(said, "kernel"), number(said, "padding"), number(said, "pool"));
        snprintf(weights, sizeof weights, "%.0f x %.0f = %.0f", number(c, "rows"), number(c, "columns"),
                 number(c, "rows") * number(c, "columns"));
        snprintf(layer, sizeof layer, "%.0f x %.0f x %.0f", element(c, "shape", 0), element(c, "shape", 1),
                 element(c, "shape", 2));
        snprintf(alpha, sizeof alpha, "%.4g to %.4g", element(c, "alpha", 0), element(c, "alpha", 1));
        printf("%-11zu%-28s%-26s%-15s%-8.4f%-22s%.4g to %.4g\n", k, kind, weights, layer, number(c, "plus"), alpha,
               element(c, "bias", 0), element(c, "bias", 1));
    }
}

static void print_list(const char *name, const json_t *list) {
    size_t k;
    json_t *value;
    char room[NUMBER_ROOM];
    if (json_array_size(list) == 0)
        return;
    printf("            %s", name);
    json_array_foreach(list, k, value) printf("%s%s", k ? ", " : " ", number_text(json_number_value(value), room));
    putchar('\n');
}

static void print_run(const json_t *about) {
    const json_t *position = json_object_get(about, "position"), *optimizer = json_object_get(about, "optimizer");
    if (optimizer) {
        const bool bptt = number(optimizer, "method") == BNNEP_METHOD_BPTT;
        const double nudge = number(optimizer, "nudge");
        char room[NUMBER_ROOM];
        printf("\nlearning    %s, %.0f nudged steps, beta %s%s, seed %.0f\n",
               bptt ? "back-propagation through time" : "equilibrium propagation", number(optimizer, "nudged_steps"),
               shown(optimizer, "beta", room),
               nudge == BNNEP_NUDGE_RANDOM_SIGN ? " of random sign"
               : nudge == BNNEP_NUDGE_CENTRED   ? " of both signs"
                                                : "",
               number(optimizer, "seed"));
        static const char *const lists[] = {"gamma", "threshold", "lr_bias", "lr_alpha"};
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
            print_list(lists[i], json_object_get(optimizer, lists[i]));
        if (number(optimizer, "threshold_kind") == BNNEP_UNIT_DEVIATIONS)
            puts("            threshold in deviations of the contrast");
        if (number(optimizer, "rate_kind") == BNNEP_UNIT_DEVIATIONS)
            puts("            lr_bias and lr_alpha in deviations of the contrast");
        if (number(optimizer, "fall") == BNNEP_FALL_HARMONIC)
            puts("            rates fall harmonically");
        else if (number(optimizer, "fall") > 0)
            printf("            rates fall to %s in %.0f updates%s\n", shown(optimizer, "fall_to", room),
                   number(optimizer, "fall_updates"),
                   number(optimizer, "fall") == BNNEP_FALL_COSINE ? ", by a cosine" : "");
        if (number(optimizer, "flip_reset") > 0)
            puts("            flips reset momenta");
        if (number(optimizer, "covariance") > 0)
            puts("            contrasts of covariances");
        if (number(optimizer, "consolidation") > 0)
            printf("            consolidation %s\n", float_text((float)number(optimizer, "consolidation"), room));
    }
    if (position) {
        printf("position    %.0f epochs, %.0f batches", number(position, "epochs"), number(position, "batches"));
        if (number(position, "samples") > 0)
            printf("; in the midst of an epoch, %.0f of %.0f samples done", number(position, "samples"),
                   number(position, "epoch_count"));
        putchar('\n');
    }
}

/* A word of bnnep-train's options. What is not plain is written %XX there: here it is itself, in quotes. False if out
 * of memory. */
static bool print_word(const char *word, size_t length) {
    char *decoded = malloc(length + 1);
    size_t bytes = 0;
    if (!decoded)
        return false;
    for (size_t i = 0; i < length; i++) {
        const bool code = word[i] == '%' && i + 2 < length;
        const char digits[] = {code ? word[i + 1] : '0', code ? word[i + 2] : '0', '\0'};
        decoded[bytes++] = code ? (char)strtol(digits, NULL, 16) : word[i];
        i += code ? 2 : 0;
    }
    const bool quoted = bytes < length;
    fputs(quoted ? "'" : "", stdout);
    for (size_t i = 0, piece; i < bytes; i += piece) {
        const char *quote = quoted ? memchr(decoded + i, '\'', bytes - i) : NULL;
        piece = quote == decoded + i ? 1 : quote ? (size_t)(quote - decoded) - i : bytes - i;
        if (quote == decoded + i)
            fputs("'\\''", stdout);
        else
            print_text(stdout, decoded + i, piece, "");
    }
    fputs(quoted ? "'" : "", stdout);
    free(decoded);
    return true;
}

/* The rest of a line of the note; of bnnep-train's own, words are decoded. */
static bool print_line(const char *line, size_t length, bool ours) {
    bool printed = true;
    if (!ours)
        print_text(stdout, line, length, "\t");
    for (size_t i = 0; ours && printed && i < length;) {
        const size_t word = strcspn(line + i, " \n");
        if (word > 0)
            printed = print_word(line + i, word);
        else
            putchar(' ');
        i += word > 0 ? word : 1;
    }
    putchar('\n');
    return printed;
}

static bool print_note(const json_t *about) {
    const char *line = text(about, "note");
    char room[NUMBER_ROOM];
    static const char key[] = "best=";
    if (!*line)
        return true;
    bool printed = true;
    char *rest = NULL;
    const double best = strncmp(line, key, sizeof key - 1) == 0 ? strtod(line + sizeof key - 1, &rest) : 0.0;
    const size_t head = rest ? (size_t)(rest - line) : 0;
    const bool ours = head > sizeof key - 1;
    if (ours)
        printf("\nbest error  %.4g %%\n", best);
    printf("\nnote\n    %s%s", ours ? "best=" : "", ours ? number_text(best, room) : "");
    for (line += head; printed && *line;) {
        const size_t length = strcspn(line, "\n");
        printed = print_line(line, length, ours);
        line += length + (line[length] == '\n');
        fputs(*line ? "    " : "", stdout);
    }
    return printed;
}

static void print_value(const json_t *about, const char *key) {
    print_text(stdout, text(about, key), strlen(text(about, key)), "");
}

static bool print_file(const json_t *about) {
    fputs("file        ", stdout);
    print_value(about, "format");
    fputs(", version ", stdout);
    print_value(about, "format_version");
    fputs(", written by ", stdout);
    print_value(about, "library");
    putchar('\n');
    print_network(about);
    print_connections(about);
    print_run(about);
    return print_note(about);
}

/* --- backends ---------------------------------------------------------------------------------------------------- */

/* NULL if it cannot be had, here and below. */
static json_t *read_device(bnnep_context *context, size_t backend, size_t place) {
    bnnep_device_info info = BNNEP_DEVICE_INFO_INIT;
    if (bnnep_device_get(context, backend, place, &info) != BNNEP_OK)
        return NULL;
    return json_pack("{s:s, s:s, s:I}", "name", info.name, "summary", info.summary, "memory_bytes",
                     (json_int_t)info.memory_bytes);
}

/* Adds to a list, of which nothing stays if that fails. */
static json_t *add(json_t *list, json_t *value) {
    if (json_array_append_new(list, value) == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *read_backend(bnnep_context *context, size_t place) {
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    json_t *devices = json_array();
    if (bnnep_backend_get(context, place, &info) != BNNEP_OK) {
        json_decref(devices);
        return NULL;
    }
    for (size_t d = 0; devices && d < (size_t)info.device_count; d++)
        devices = add(devices, read_device(context, place, d));
    return json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", info.name, "summary", info.summary, "available",
                     info.available, "reason", info.reason, "devices", devices);
}

static json_t *read_backends(bnnep_context *context) {
    json_t *backends = json_array();
    for (size_t b = 0; backends && b < bnnep_backend_count(context); b++)
        backends = add(backends, read_backend(context, b));
    return backends;
}

static bool print_backends(const json_t *backends) {
    size_t b, d;
    json_t *backend, *device;
    json_array_foreach(backends, b, backend) {
        printf("%-8s%s\n", text(backend, "name"), text(backend, "summary"));
        if (!json_is_true(json_object_get(backend, "available")))
            printf("        not available: %s\n", text(backend, "reason"));
        json_array_foreach(json_object_get(backend, "devices"), d, device) {
            printf("        %-8s%s", text(device, "name"), text(device, "summary"));
            if (number(device, "memory_bytes") > 0)
                printf(", %.1f GiB", number(device, "memory_bytes") / 0x1p30);
            putchar('\n');
        }
    }
    return true;
}

/* --- the program ------------------------------------------------------------------------------------------------- */

/* As JSON, or as `print` does, which returns false if out of memory. JSON is ASCII, whatever the texts hold. */
static int tell(const json_t *about, bool as_json, bool (*print)(const json_t *)) {
    const bool told = as_json
                          ? json_dumpf(about, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15) | JSON_ENSURE_ASCII) == 0
                          : print(about);
    if (as_json)
        putchar('\n');
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain("standard output", "cannot be written");
    return told ? 0 : complain("what there is", "out of memory");
}

static int tell_backends(bool as_json) {
    bnnep_context *context;
    if (program_context(NULL, 0, &context) != BNNEP_OK)
        return complain_library();
    json_t *about = read_backends(context);
    const int status = about ? tell(about, as_json, print_backends) : complain("backends", "cannot be listed");
    json_decref(about);
    bnnep_context_free(context);
    return status;
}

static int tell_file(const char *path, bool as_json) {
    bnnep_context *context;
    bnnep_network *network = NULL;
    bnnep_load_options options = BNNEP_LOAD_OPTIONS_INIT;
    options.max_batch = 1;
    if (program_context("ref", 1, &context) != BNNEP_OK)
        return complain_library();
    int status = bnnep_network_load(context, path, &options, &network) == BNNEP_OK ? 0 : complain_library();
    if (status == 0) {
        json_t *about = read_metadata(path);
        status = !about                            ? 1
                 : read_parameters(network, about) ? tell(about, as_json, print_file)
                                                   : complain(path, "out of memory");
        json_decref(about);
    }
    bnnep_network_free(network);
    bnnep_context_free(context);
    return status;
}

static const struct program_option options[] = {
    {"json", NULL, "print it as JSON, with the texts of the file's metadata", 'j'},
    {"backends", NULL, "list backends and devices, whose names --backend takes", 'b'},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "bnnep-info",
    .usage = "[--json] [--max-memory SIZE] FILE\n       bnnep-info [--json] --backends",
    .about =
        "Prints the network that a file of bnnep-train holds, of each connection its shape, the share of weights that\n"
        "are +1, and the ranges of its scaling factors and biases; of a checkpoint, where its run stands.",
    .options = options,
    .reads_files = true,
};

int main(int argc, char **argv) {
    bool as_json = false, backends = false;
    json_set_alloc_funcs(take_or_end, free);
    for (int key; (key = program_next(&program, argc, argv)) != -1;) {
        as_json = as_json || key == 'j';
        backends = backends || key == 'b';
    }
    if (argc - optind != (backends ? 0 : 1))
        program_usage(&program);
    return backends ? tell_backends(as_json) : tell_file(argv[optind], as_json);
}
