/* SPDX-License-Identifier: MIT */
/* From the paper's options to the library's: lists output first become arrays input first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "program.h"
#include "sample.h"
#include "setup.h"
#include "text.h"

int setup_failed(bnnep_status status) {
    fprintf(stderr, "%s: %s\n", program_name, bnnep_last_error());
    return status == BNNEP_ERROR_ARGUMENT ? 2 : 1;
}

static void log_line(void *user, int32_t level, const char *message) {
    (void)user;
    if (level <= BNNEP_LOG_WARNING)
        fprintf(stderr, "%s: %s\n", program_name, message);
}

/* --- data -------------------------------------------------------------------------------------------------------- */

/* Opens one part of the data, its first `limit` images. */
static int open_part(const struct options *o, const char *folder, int32_t part, int64_t limit, bnnep_dataset **out) {
    bnnep_dataset *whole;
    bnnep_status status = strcmp(o->dataset, "cifar10") == 0 ? bnnep_dataset_from_cifar10(folder, part, &whole)
                                                             : bnnep_dataset_from_folder(folder, part, 10, &whole);
    if (status != BNNEP_OK)
        return setup_failed(status);
    if (limit == 0) {
        *out = whole;
        return 0;
    }
    status = bnnep_dataset_subset(whole, 0, (uint64_t)limit, out);
    bnnep_dataset_free(whole);
    if (status == BNNEP_OK)
        return 0;
    fprintf(stderr, "%s: %s: --%s-limit %lld: %s\n", program_name, folder,
            part == BNNEP_TRAINING_SET ? "train" : "test", (long long)limit, bnnep_last_error());
    return 1;
}

static int open_data(struct setup *setup, const struct options *o) {
    const char *folder = o->data ? o->data : sample_folder();
    const int status = open_part(o, folder, BNNEP_TRAINING_SET, o->train_limit, &setup->train);
    return status ? status : open_part(o, folder, BNNEP_TEST_SET, o->test_limit, &setup->test);
}

/* CRC-32 of all inputs and labels. */
static bnnep_status take_digest(const bnnep_dataset *data, uLong *digest) {
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset_get_info(data, &info);
    const size_t bytes = (size_t)info.channels * (size_t)info.height * (size_t)info.width * sizeof(float);
    float *inputs = malloc(bytes);
    bnnep_status status = inputs ? BNNEP_OK : BNNEP_ERROR_MEMORY;
    *digest = 0;
    for (uint64_t n = 0; status == BNNEP_OK && n < info.count; n++) {
        int32_t label;
        status = bnnep_dataset_read(data, n, 1, inputs, &label);
        *digest = crc32(*digest, (const Bytef *)inputs, (uInt)bytes);
        *digest = crc32(*digest, (const Bytef *)&label, sizeof label);
    }
    free(inputs);
    return status;
}

static void print_floats(FILE *to, const char *name, const float *values, int32_t count) {
    char text[NUMBER_ROOM];
    for (int32_t c = 0; values && c < count; c++)
        fprintf(to, "%s%s", c ? "," : name, float_text(values[c], text));
}

char *setup_describe_data(const struct setup *setup) {
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    uLong train, test;
    char *text = NULL;
    size_t length;
    FILE *to = take_digest(setup->train, &train) == BNNEP_OK && take_digest(setup->test, &test) == BNNEP_OK
                   ? open_memstream(&text, &length)
                   : NULL;
    if (!to)
        return NULL;
    bnnep_dataset_get_info(setup->test, &info);
    fprintf(to, "data=%08lx,%08lx", train, test);
    print_floats(to, " mean=", info.mean, info.channels);
    print_floats(to, " deviation=", info.deviation, info.channels);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* --- network ----------------------------------------------------------------------------------------------------- */

static int wrong(const char *what) {
    fprintf(stderr, "%s: %s\n", program_name, what);
    return 2;
}

static int32_t unit_count(double value) {
    return (int32_t)value;
}

/* The connections of the network, input first. */
static int list_connections(const struct options *o, bnnep_connection *connections, size_t *count) {
    const bool conv = strcmp(o->archi, "conv") == 0;
    *count = 0;
    if (conv && o->conv.count < 2)
        return wrong("--archi conv needs --convList with the channels, output first, at least two");
    for (size_t k = o->conv.count - 1; conv && k > 0; k--)
        connections[(*count)++] =
            (bnnep_connection)BNNEP_CONV(unit_count(o->conv.value[k - 1]), o->kernel, o->padding, o->pool);
    if (!conv && o->layers.count < 2)
        return wrong("--layersList needs at least two layers, input first");
    for (size_t k = conv ? 0 : 1; k < o->layers.count; k++)
        connections[(*count)++] = (bnnep_connection)BNNEP_FC(unit_count(o->layers.value[k]));
    return *count <= MOST_VALUES ? 0 : wrong("--convList and --layersList make more than 64 connections");
}

static int choose_backend(const struct options *o, char resource[128]) {
    const char *name = o->backend ? o->backend : "auto";
    snprintf(resource, 128, "%s", name);
    if (!o->backend && o->device >= 0)
        snprintf(resource, 128, "cuda:%d", o->device);
    if (!o->threads)
        return 0;
    if (strcmp(resource, "auto") != 0 && strcmp(resource, "cpu") != 0)
        return wrong("--threads goes with the cpu backend");
    snprintf(resource, 128, "cpu:threads=%d", o->threads);
    return 0;
}

static int open_network(struct setup *setup, const struct options *o) {
    const bool binary = strcmp(o->binary_settings, "bin_W_N") == 0;
    bnnep_connection connections[2 * MOST_VALUES];
    char resource[128];
    bnnep_dataset_info data = BNNEP_DATASET_INFO_INIT;
    bnnep_network_options n = BNNEP_NETWORK_OPTIONS_INIT;
    if (o->activation && strcmp(o->activation, binary ? "heaviside" : "hardsigm") != 0)
        return wrong(binary ? "--binary_settings bin_W_N goes with --activationFun heaviside"
                            : "--binary_settings bin_W goes with --activationFun hardsigm");
    int status = list_connections(o, connections, &setup->connections);
    if (status == 0)
        status = choose_backend(o, resource);
    if (status)
        return status;
    bnnep_dataset_get_info(setup->train, &data);
    const double inputs = (double)data.channels * data.height * data.width;
    if (strcmp(o->archi, "fc") == 0 && inputs != o->layers.value[0]) {
        fprintf(stderr, "%s: --layersList begins with %.0f units, but an image has %.0f values\n", program_name,
                o->layers.value[0], inputs);
        return 2;
    }
    if (strcmp(o->archi, "conv") == 0 && o->conv.value[o->conv.count - 1] != data.channels) {
        fprintf(stderr, "%s: --convList ends with %.0f channels, but an image has %d\n", program_name,
                o->conv.value[o->conv.count - 1], data.channels);
        return 2;
    }
    n.dynamics = binary ? BNNEP_BINARY_ACTIVATIONS : BNNEP_REAL_ACTIVATIONS;
    n.input_channels = data.channels;
    n.input_height = data.height;
    n.input_width = data.width;
    n.expand_output = o->expand_output;
    n.connections = connections;
    n.connection_count = setup->connections;
    n.theta = (float)o->rho_threshold;
    n.gamma_neur = (float)o->gamma_neur;
    n.free_steps = o->T;
    n.settle_tolerance = (float)o->settle;
    n.grid_bits = o->grid;
    n.max_batch = o->batch_size;
    n.seed = (uint64_t)o->seed;
    n.backend = resource;
    n.log = log_line;
    const bnnep_status made = bnnep_network_create(&n, &setup->network);
    return made == BNNEP_OK ? 0 : setup_failed(made);
}

/* --- optimizer --------------------------------------------------------------------------------------------------- */

static int wrong_count(const char *name, const struct list *list, size_t count, const char *of_what) {
    fprintf(stderr, "%s: --%s has %zu values, the network has %zu %s\n", program_name, name, list->count, count,
            of_what);
    return 2;
}

/* Turns one list of the command line, output first, into an array input first. */
static int turn(const char *name, const struct list *list, size_t connections, double *to) {
    if (list->count != connections)
        return wrong_count(name, list, connections, "connections");
    for (size_t k = 0; k < connections; k++)
        to[k] = list->value[connections - 1 - k];
    return 0;
}

/* In a convolutional network the classifier's value comes apart, once for all its connections. */
static int turn_apart(const struct options *o, const char *name, double classifier, const struct list *conv,
                      size_t connections, double *to) {
    const size_t convolutions = o->conv.count - 1;
    if (conv->count != convolutions)
        return wrong_count(name, conv, convolutions, "convolutions");
    for (size_t k = 0; k < connections; k++)
        to[k] = k < convolutions ? conv->value[convolutions - 1 - k] : classifier;
    return 0;
}

static int open_optimizer(struct setup *setup, const struct options *o) {
    const bool conv = strcmp(o->archi, "conv") == 0;
    const size_t L = setup->connections;
    double lr_bias[MOST_VALUES];
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    int status = conv ? turn_apart(o, "conv_gamma", o->classi_gamma, &o->conv_gamma, L, setup->gamma)
                      : turn("gamma", &o->gamma, L, setup->gamma);
    if (status == 0)
        status = conv ? turn_apart(o, "conv_threshold", o->classi_threshold, &o->conv_threshold, L, setup->threshold)
                      : turn("gradThreshold", &o->threshold, L, setup->threshold);
    if (status == 0)
        status = turn("lrBias", &o->lr_bias, L, lr_bias);
    if (status == 0 && o->learn_alpha)
        status = turn("lrAlpha", &o->lr_alpha, L, setup->lr_alpha);
    if (status)
        return status;
    p.method = strcmp(o->optim, "bptt") == 0 ? BNNEP_BPTT : BNNEP_EQUILIBRIUM_PROPAGATION;
    p.nudged_steps = o->Kmax;
    p.beta = (float)o->beta;
    p.random_beta = o->random_beta;
    p.gamma = setup->gamma;
    p.threshold = setup->threshold;
    p.lr_bias = lr_bias;
    p.lr_alpha = o->learn_alpha ? setup->lr_alpha : NULL;
    p.shuffle = !o->no_shuffle;
    p.seed = (uint64_t)o->seed;
    p.momentum_noise = o->momentum_noise;
    const bnnep_status made = bnnep_optimizer_create(setup->network, &p, &setup->optimizer);
    return made == BNNEP_OK ? 0 : setup_failed(made);
}

int setup_open(struct setup *setup, const struct options *options) {
    *setup = (struct setup){.train = NULL};
    int status = open_data(setup, options);
    if (status == 0)
        status = open_network(setup, options);
    if (status == 0)
        status = open_optimizer(setup, options);
    return status;
}

void setup_close(struct setup *setup) {
    bnnep_optimizer_free(setup->optimizer);
    bnnep_network_free(setup->network);
    bnnep_dataset_free(setup->train);
    bnnep_dataset_free(setup->test);
}
