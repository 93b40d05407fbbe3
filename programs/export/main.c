/* SPDX-License-Identifier: MIT */
/*
 * bnnep-export: a trained network as a C file of its own, for devices that have no room for a library.
 *
 *     bnnep-export --c NETWORK [-o FILE] [--name NAME] [--single]
 *
 * Writes C99 without includes but of the freestanding headers, without malloc and libm, that defines
 *
 *     int NAME_classify(const float input[], float scores[]);
 *
 * (NAME is "network" by default) and gives the classes and scores of bnnep_network_predict() with backend "ref", bit
 * for bit. The weights come through the public interface; how they are computed with is inference.c.in, which is
 * appended.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bnnep/bnnep.h>

#include "common/normalisation.h"
#include "common/program.h"
#include "inference_text.h"

enum { MOST_NAME = 100 }; /* characters */

struct export {
    const char *path, *name;
    bool single;
    bnnep_context *context;
    bnnep_network *network;
    bnnep_network_info info;
    bnnep_connection_info *connection; /* [info.connection_count] */
    struct normalisation normalisation;
    FILE *out;
};

/* --- numbers ----------------------------------------------------------------------------------------------------- */

/* A value that a C compiler reads as this float. */
static void write_float(FILE *out, float v) {
    fprintf(out, "%.8ef", (double)v);
}

static void write_floats(FILE *out, const char *name, const float *values, size_t count) {
    fprintf(out, "static const float %s[%zu] = {", name, count);
    for (size_t i = 0; i < count; i++) {
        fputs(i % 7 ? " " : "\n    ", out);
        write_float(out, values[i]);
        fputc(',', out);
    }
    fputs("\n};\n", out);
}

static void write_bytes(FILE *out, const char *name, const uint8_t *bytes, size_t count) {
    fprintf(out, "static const uint8_t %s[%zu] = {", name, count);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%u,", i % 24 ? "" : "\n    ", bytes[i]);
    fputs("\n};\n", out);
}

static void define(FILE *out, const char *name, float value) {
    fprintf(out, "#define %s ", name);
    write_float(out, value);
    fputc('\n', out);
}

/* --- sizes ------------------------------------------------------------------------------------------------------- */

static bool is_convolution(const struct export *e, size_t k) {
    return e->connection[k].kind == BNNEP_CONNECTION_CONVOLUTION;
}

/* What the static arrays of inference.c.in take. */
struct sizes {
    size_t inputs, units, driven, map_units, patch, fed_back;
    bool map_feedback;
    size_t constants, memory; /* bytes */
};

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

static struct sizes measure(const struct export *e) {
    struct sizes s = {.inputs = (size_t)e->info.inputs, .patch = 1, .fed_back = 1};
    for (size_t k = 0; k < e->info.connection_count; k++) {
        const bnnep_connection_info *c = &e->connection[k];
        s.units += (size_t)c->units;
        s.constants += (size_t)(c->rows * ((c->columns + 7) / 8) + (c->scales + c->rows) * sizeof(float));
        if (is_convolution(e, k)) {
            s.map_units += (size_t)c->units;
            s.patch = largest(s.patch, (size_t)c->columns);
            s.map_feedback = s.map_feedback || k > 0;
        }
        if (k > 0)
            s.fed_back = largest(s.fed_back, (size_t)c[-1].units);
    }
    s.map_units = largest(s.map_units, 1);
    s.driven = (size_t)e->connection[0].units;
    const bool binary = e->info.dynamics == BNNEP_DYNAMICS_BINARY;
    const bool wide = binary ? s.map_feedback : !e->info.grid_bits;
    s.memory = 4 * (s.inputs + s.patch + s.driven + 2 * s.units) + 2 * s.map_units + (wide ? 8 : 4) * s.fed_back;
    if (binary || e->info.grid_bits)
        s.memory += 4 * s.units;
    return s;
}

/* The largest power of 2 that as many values on the grid can have for their sum to stay within 32 bits. */
static float grid_most(const struct export *e) {
    const uint64_t inputs = e->connection[0].columns, terms = 1 + (inputs > e->info.outputs ? inputs : e->info.outputs);
    int bits = e->info.grid_bits;
    while (bits < 30 && terms < (UINT64_C(1) << 31) >> (bits + 1))
        bits++;
    return (float)(UINT64_C(1) << (bits - e->info.grid_bits));
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

static void write_head(const struct export *e, const struct sizes *s) {
    const bnnep_network_info *i = &e->info;
    fprintf(e->out,
            "/* SPDX-License-Identifier: MIT */\n"
            "/*\n"
            " * A neural network with binary weights, for inference. Written by bnnep-export %s.\n"
            " *\n"
            " *     int %s_classify(const float input[%llu], float scores[%d]);\n"
            " *\n"
            " * tells the class of an input ([channel][row][column], bytes divided by 255), and a score of each class\n"
            " * (scores may be NULL). One call at a time: states are kept in static memory.\n"
            " *\n"
            " * Inputs %llu",
            bnnep_version_string(), e->name, (unsigned long long)i->inputs, i->classes, (unsigned long long)i->inputs);
    for (size_t k = 0; k < i->connection_count; k++)
        fprintf(e->out, " - %llu", (unsigned long long)e->connection[k].units);
    fprintf(e->out, " units, %s activations", i->dynamics == BNNEP_DYNAMICS_BINARY ? "binary" : "full-precision");
    if (i->grid_bits)
        fprintf(e->out, " on a grid of 2^-%d", i->grid_bits);
    fprintf(e->out, ".\n * Weights take %zu bytes of constants, states %zu bytes of memory.\n */\n", s->constants,
            s->memory);
}

static void write_options(const struct export *e, const struct sizes *s) {
    const bnnep_network_info *i = &e->info;
    const bool binary = i->dynamics == BNNEP_DYNAMICS_BINARY;
    fprintf(e->out,
            "#include <stddef.h>\n#include <stdint.h>\n\n"
            "enum { INPUTS = %zu, CHANNELS = %d, CONNECTIONS = %zu, UNITS = %zu, DRIVEN = %zu };\n"
            "enum { CLASSES = %d, EXPAND = %d, READ = %d, FREE_STEPS = %d };\n",
            s->inputs, i->input_channels, i->connection_count, s->units, s->driven, i->classes, i->expand_output,
            e->single ? 1 : i->expand_output, i->free_steps);
    fprintf(e->out, /* with so many values at once, glibc would need memory */
            "enum { MAP_UNITS = %zu, PATCH = %zu, FED_BACK = %zu };\n"
            "#define BINARY %d\n#define GRID_BITS %d\n#define MAP_FEEDBACK %d\n#define ALTERNATING %d\n"
            "#define OVER_RELAXED %d\n",
            s->map_units, s->patch, s->fed_back, binary, i->grid_bits, s->map_feedback,
            i->schedule != BNNEP_SCHEDULE_SYNCHRONOUS, i->schedule == BNNEP_SCHEDULE_OVER_RELAXED);
    define(e->out, "TOLERANCE", (float)i->settle_tolerance);
    define(e->out, "FEEDBACK", i->feedback);
    define(e->out, "START", binary ? 1.0f : is_convolution(e, 0) ? 0.5f : 0.0f);
    if (binary) {
        const float leak = (float)i->gamma_neur;
        define(e->out, "THETA", (float)i->theta);
        define(e->out, "KEEP", (float)(1.0 - (double)leak));
        define(e->out, "GAIN", leak);
    }
    if (i->grid_bits)
        define(e->out, "GRID_MOST", grid_most(e));
    if (e->normalisation.mean) {
        write_floats(e->out, "mean", e->normalisation.mean, (size_t)i->input_channels);
        write_floats(e->out, "deviation", e->normalisation.deviation, (size_t)i->input_channels);
        fputs("#define NORMALISED(v, channel) (((v) - mean[channel]) / deviation[channel])\n", e->out);
    } else {
        fputs("#define NORMALISED(v, channel) (v)\n", e->out);
    }
    fputc('\n', e->out);
}

/* The arrays of connection k, and the largest |alpha|. */
static int write_parameters(const struct export *e, size_t k, float *most) {
    const bnnep_connection_info *c = &e->connection[k];
    const size_t bytes = (size_t)(c->rows * ((c->columns + 7) / 8)), rows = (size_t)c->rows, scales = (size_t)c->scales;
    uint8_t *bits = malloc(bytes);
    float *alpha = malloc(scales * sizeof *alpha), *bias = malloc(rows * sizeof *bias);
    int status = 0;
    if (!bits || !alpha || !bias) {
        complain(e->path, "out of memory");
        status = 1;
    } else if ((bnnep_network_get_sign_bits(e->network, k, bits, bytes) != BNNEP_OK ||
                bnnep_network_get_alpha(e->network, k, alpha, scales) != BNNEP_OK ||
                bnnep_network_get_bias(e->network, k, bias, rows) != BNNEP_OK))
        status = complain_library();
    else {
        char name[32];
        snprintf(name, sizeof name, "signs_%zu", k);
        write_bytes(e->out, name, bits, bytes);
        snprintf(name, sizeof name, "alpha_%zu", k);
        write_floats(e->out, name, alpha, scales);
        snprintf(name, sizeof name, "bias_%zu", k);
        write_floats(e->out, name, bias, rows);
        *most = 0.0f;
        for (size_t i = 0; i < scales; i++) {
            const float size = alpha[i] < 0.0f ? -alpha[i] : alpha[i];
            *most = size > *most ? size : *most;
        }
    }
    free(bits);
    free(alpha);
    free(bias);
    return status;
}

static void write_connection(const struct export *e, size_t k, float most) {
    const bnnep_connection_info *c = &e->connection[k];
    const bool map = is_convolution(e, k);
    const unsigned long long height = k ? e->connection[k - 1].height : (unsigned long long)e->info.input_height;
    const unsigned long long width = k ? e->connection[k - 1].width : (unsigned long long)e->info.input_width;
    fprintf(e->out, "    {%llu, %llu, %d, %d, %d, %llu, %llu, %llu, %llu, ", (unsigned long long)c->rows,
            (unsigned long long)c->columns, c->kernel, c->padding, map ? c->pool : 1, map ? height : 1, map ? width : 1,
            map ? (unsigned long long)c->height : 1, map ? (unsigned long long)c->width : 1);
    write_float(e->out, most);
    fprintf(e->out, ", signs_%zu, alpha_%zu, bias_%zu},\n", k, k, k);
}

static int write_connections(const struct export *e) {
    float *most = calloc(e->info.connection_count, sizeof *most);
    int status = most ? 0 : complain(e->path, "out of memory");
    fputs("/* Binary weights: a bit each, the least significant first, 1 means +1; alpha is what they stand for. */\n",
          e->out);
    for (size_t k = 0; status == 0 && k < e->info.connection_count; k++)
        status = write_parameters(e, k, &most[k]);
    fputs("\nstatic const struct connection {\n"
          "    size_t rows, columns;         /* of the sign matrix */\n"
          "    size_t kernel, padding, pool; /* fully connected: 0, 0, 1 */\n"
          "    size_t from_height, from_width, to_height, to_width;\n"
          "    float largest; /* |alpha| */\n"
          "    const uint8_t *signs;\n"
          "    const float *alpha, *bias;\n"
          "} connections[CONNECTIONS] = {\n",
          e->out);
    for (size_t k = 0; status == 0 && k < e->info.connection_count; k++)
        write_connection(e, k, most[k]);
    fputs("};\n", e->out);
    free(most);
    return status;
}

static int write_file(const struct export *e) {
    const struct sizes sizes = measure(e);
    write_head(e, &sizes);
    write_options(e, &sizes);
    const int status = write_connections(e);
    for (size_t i = 0; i < sizeof inference_text / sizeof inference_text[0]; i++)
        fputs(inference_text[i], e->out);
    fprintf(e->out,
            "\nint %s_classify(const float input[%zu], float scores[%d]);\n\n"
            "int %s_classify(const float input[%zu], float scores[%d]) {\n"
            "    return classify(input, scores);\n}\n",
            e->name, sizes.inputs, e->info.classes, e->name, sizes.inputs, e->info.classes);
    return status;
}

/* --- the program ------------------------------------------------------------------------------------------------- */

static int open_network(struct export *e) {
    bnnep_load_options options = BNNEP_LOAD_OPTIONS_INIT;
    options.max_batch = 1;
    if (program_context("ref", 1, &e->context) != BNNEP_OK ||
        bnnep_network_load(e->context, e->path, &options, &e->network) != BNNEP_OK)
        return complain_library();
    bnnep_network_get_info(e->network, &e->info);
    const char *wrong = normalisation_read(e->path, e->info.input_channels, &e->normalisation);
    e->connection = calloc(e->info.connection_count, sizeof *e->connection);
    if (wrong || !e->connection)
        return complain(e->path, wrong ? wrong : "out of memory");
    for (size_t k = 0; k < e->info.connection_count; k++) {
        e->connection[k] = (bnnep_connection_info)BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(e->network, k, &e->connection[k]);
    }
    return 0;
}

/* To `path`, or to standard output if that is NULL. */
static int export_to(struct export *e, const char *path) {
    struct stat about;
    const bool is_device = path && stat(path, &about) == 0 && !S_ISREG(about.st_mode);
    e->out = path ? fopen(path, "w") : stdout;
    if (!e->out)
        return complain_errno(path);
    int status = write_file(e);
    const bool bad = ferror(e->out) != 0;
    if (((path ? fclose(e->out) : fflush(stdout)) != 0 || bad) && status == 0)
        status = complain(path ? path : "standard output", "cannot be written");
    if (status && path && !is_device)
        unlink(path); /* half a file might compile */
    return status;
}

static bool is_name(const char *name) {
    const size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return false;
    return length > 0 && length <= MOST_NAME && !isdigit((unsigned char)name[0]);
}

static const struct program_option options[] = {
    {"c", NULL, "write C, the only language there is", 'c'},
    {"output", "FILE", "where to write; also -o FILE [standard output]", 'o'},
    {"name", "NAME", "what names in the file begin with [network]", 'n'},
    {"single", NULL, "read the first output unit of a class [the mean of its units]", 's'},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "bnnep-export",
    .usage = "--c [OPTION...] NETWORK",
    .about =
        "Writes a network as C99 that needs no library and gives the classes and scores of backend ref, bit for bit:\n"
        "int NAME_classify(const float input[], float scores[]);",
    .options = options,
    .reads_files = true,
    .letters = "o:",
};

int main(int argc, char **argv) {
    struct export e = {.name = "network", .info = BNNEP_NETWORK_INFO_INIT};
    const char *path = NULL;
    bool c = false;
    for (int key; (key = program_next(&program, argc, argv)) != -1;) {
        if (key == 'c')
            c = true;
        else if (key == 'n')
            e.name = optarg;
        else if (key == 'o')
            path = optarg;
        else
            e.single = true;
    }
    if (!c || argc - optind != 1)
        program_usage(&program);
    if (!is_name(e.name))
        return complain(e.name, "is no name that a C function can begin with");
    e.path = argv[optind];
    int status = open_network(&e);
    if (status == 0)
        status = export_to(&e, path);
    free(e.connection);
    normalisation_free(&e.normalisation);
    bnnep_network_free(e.network);
    bnnep_context_free(e.context);
    return status;
}
