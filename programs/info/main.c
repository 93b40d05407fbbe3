/* SPDX-License-Identifier: MIT */
/*
 * bnnep-info: what a checkpoint or a network file holds.
 *
 *     bnnep-info [--json] FILE
 *
 * --json: one object with the texts of the file's metadata (those that are JSON, as such) and, of each connection, its
 * shape, the share of weights that are +1, and the ranges of its scaling factors and biases. Both forms are made of it.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bnnep/bnnep.h>
#include <jansson.h>

static int complain(const char *path, const char *what) {
    fprintf(stderr, "bnnep-info: %s: %s\n", path, what);
    return 1;
}

static int failed(void) {
    fprintf(stderr, "bnnep-info: %s\n", bnnep_last_error());
    return 1;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* A text of the file's metadata, a new string; NULL if there is none. */
static char *read_text(const char *path, const char *key) {
    size_t length = 0;
    if (bnnep_file_text(path, key, NULL, 0, &length) != BNNEP_OK || length == 0)
        return NULL;
    char *text = malloc(length + 1);
    if (text && bnnep_file_text(path, key, text, length + 1, NULL) == BNNEP_OK)
        return text;
    free(text);
    return NULL;
}

static json_t *read_metadata(const char *path) {
    static const char *const texts[] = {"format", "format_version", "library", "note"};
    static const char *const objects[] = {"network", "optimizer", "position"};
    json_t *about = json_object();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *text = read_text(path, texts[i]);
        json_object_set_new(about, texts[i], json_string(text ? text : ""));
        free(text);
    }
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        char *text = read_text(path, objects[i]);
        json_t *object = text ? json_loads(text, 0, NULL) : NULL;
        if (object)
            json_object_set_new(about, objects[i], object);
        free(text);
    }
    return about;
}

static json_t *range(const float *values, size_t count) {
    float least = values[0], most = values[0];
    for (size_t i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    return json_pack("[f, f]", (double)least, (double)most);
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
    for (size_t k = 0; k < info.connections; k++)
        if (json_array_append_new(connections, read_connection(network, k)) != 0) {
            json_decref(connections);
            return false;
        }
    json_object_set_new(about, "weights", json_integer((json_int_t)info.weights));
    json_object_set_new(about, "connections", connections);
    return true;
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

static void print_network(const json_t *about) {
    const json_t *network = json_object_get(about, "network");
    const bool binary = number(network, "dynamics") == BNNEP_BINARY_ACTIVATIONS;
    printf("network     %s activations, %.0f binary weights\n", binary ? "binary" : "full-precision",
           number(about, "weights"));
    if (binary)
        printf("            threshold %g, leak %g\n", number(network, "theta"), number(network, "gamma_neur"));
    else if (number(network, "grid_bits") > 0)
        printf("            states on a grid of 2^-%.0f\n", number(network, "grid_bits"));
    printf("free phase  %.0f steps, tolerance %g\n", number(network, "free_steps"),
           number(network, "settle_tolerance"));
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
        if (number(said, "kind") == BNNEP_CONVOLUTION)
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
    if (json_array_size(list) == 0)
        return;
    printf("            %s", name);
    json_array_foreach(list, k, value) printf("%s%g", k ? ", " : " ", json_number_value(value));
    putchar('\n');
}

static void print_run(const json_t *about) {
    const json_t *position = json_object_get(about, "position"), *optimizer = json_object_get(about, "optimizer");
    if (optimizer) {
        const bool bptt = number(optimizer, "method") == BNNEP_BPTT;
        printf("\nlearning    %s, %.0f nudged steps, beta %g%s, seed %.0f\n",
               bptt ? "back-propagation through time" : "equilibrium propagation", number(optimizer, "nudged_steps"),
               number(optimizer, "beta"),
               json_is_true(json_object_get(optimizer, "random_beta")) ? " of random sign" : "",
               number(optimizer, "seed"));
        static const char *const lists[] = {"gamma", "threshold", "lr_bias", "lr_alpha"};
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
            print_list(lists[i], json_object_get(optimizer, lists[i]));
    }
    if (position) {
        printf("position    %.0f epochs, %.0f batches", number(position, "epochs"), number(position, "batches"));
        if (number(position, "samples") > 0)
            printf("; in the midst of an epoch, %.0f of %.0f samples done", number(position, "samples"),
                   number(position, "epoch_count"));
        putchar('\n');
    }
}

static void print_note(const json_t *about) {
    const char *note = text(about, "note");
    double best;
    if (sscanf(note, "best=%lf ", &best) == 1)
        printf("\nbest error  %.4g %%\n", best);
    for (bool begins = true; *note; note++) {
        if (begins)
            printf("%-12s", note == text(about, "note") ? "note" : "");
        begins = *note == '\n';
        putchar((unsigned char)*note < ' ' && !begins ? '?' : *note); /* nothing that a terminal obeys */
        if (!begins && !note[1])
            putchar('\n');
    }
}

static void print(const json_t *about) {
    printf("file        %s, version %s, written by %s\n", text(about, "format"), text(about, "format_version"),
           text(about, "library"));
    print_network(about);
    print_connections(about);
    print_run(about);
    print_note(about);
}

/* --- the program ------------------------------------------------------------------------------------------------- */

static int tell(const char *path, bool as_json) {
    bnnep_network_options like = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network;
    like.backend = "ref";
    like.max_batch = 1;
    if (bnnep_network_load(path, &like, &network) != BNNEP_OK)
        return failed();
    json_t *about = read_metadata(path);
    int status = read_parameters(network, about) ? 0 : complain(path, "out of memory");
    if (status == 0 && as_json) {
        json_dumpf(about, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (status == 0) {
        print(about);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0)
        status = complain("standard output", "cannot be written");
    json_decref(about);
    bnnep_network_free(network);
    return status;
}

static int usage(void) {
    fputs("usage: bnnep-info [--json] FILE\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    bool as_json = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o != 'j')
            return usage();
        as_json = true;
    }
    return argc - optind == 1 ? tell(argv[optind], as_json) : usage();
}
