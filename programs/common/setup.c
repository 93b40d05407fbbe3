/* SPDX-License-Identifier: MIT */
/* From the paper's options to the library's: lists output first become arrays input first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "draw.h"
#include "program.h"
#include "sample.h"
#include "setup.h"
#include "text.h"

int setup_failed(bnnep_status status) {
    fprintf(stderr, "%s: %s\n", program_name, bnnep_last_error());
    return status == BNNEP_ERROR_ARGUMENT ? 2 : 1;
}

static int open_context(struct setup *setup, const struct options *o) {
    char device[32];
    snprintf(device, sizeof device, "cuda:%d", o->device);
    const int limited = o->max_memory ? program_limit_memory(o->max_memory) : 0;
    if (limited)
        return limited;
    const bool anywhere = !o->backend && o->device >= 0; /* as in the paper's commands, on any machine */
    bnnep_status status = program_context(anywhere ? device : o->backend, o->threads, &setup->context);
    if (anywhere && status == BNNEP_ERROR_BACKEND) {
        fprintf(stderr, "%s: --device %d: %s; going on with the cpu\n", program_name, o->device, bnnep_last_error());
        status = program_context("cpu", o->threads, &setup->context);
    }
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

static int wrong(const char *what) {
    fprintf(stderr, "%s: %s\n", program_name, what);
    return 2;
}

static int32_t unit_count(double value) {
    return (int32_t)value;
}

/* --- data -------------------------------------------------------------------------------------------------------- */

/* How a data set is transformed: CIFAR-10 as in the paper; Fashion-MNIST less its mean pixel, rounded so that floats
 * hold what is left. False: not at all. */
static bool transform_of(const char *dataset, int32_t part, bnnep_transform *transform) {
    static const float mean[] = {73.0f / 256.0f}, one[] = {1.0f};
    const bnnep_transform centred = {.size = sizeof centred, .mean = mean, .deviation = one, .channel_count = 1};
    if (strcmp(dataset, "cifar10") == 0)
        return bnnep_transform_init_cifar10(transform, sizeof *transform, part) == BNNEP_OK;
    *transform = centred;
    return strcmp(dataset, "fashion-mnist") == 0;
}

/* As given, or as many as the last layer has room for; 0 if neither says. */
static int32_t class_count(const struct options *o) {
    const int32_t outputs = o->layers.count > 0 ? unit_count(o->layers.value[o->layers.count - 1]) : 0;
    if (o->classes > 0)
        return o->classes;
    return outputs % o->expand_output == 0 ? outputs / o->expand_output : 0;
}

/* One part of the data, as it is in its files. */
static bnnep_status open_whole(const struct setup *setup, const struct options *o, const char *folder, int32_t part,
                               bnnep_dataset **out) {
    bnnep_open_options open = BNNEP_OPEN_OPTIONS_INIT;
    open.format = strcmp(o->dataset, "cifar10") == 0 ? BNNEP_FORMAT_CIFAR10 : BNNEP_FORMAT_IDX;
    open.part = part;
    open.classes = class_count(o);
    return bnnep_dataset_open(setup->context, folder, &open, out);
}

/* In the place of a data set, the same as images of this part are transformed. */
static int transform(const struct options *o, int32_t part, bnnep_dataset **data) {
    bnnep_transform how;
    bnnep_dataset *plain = *data;
    if (!transform_of(o->dataset, part, &how))
        return 0;
    const bnnep_status status = bnnep_dataset_transformed(plain, &how, data);
    bnnep_dataset_free(plain);
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

/* The first images of a part, as many as the options say. */
static int open_part(const struct setup *setup, const struct options *o, int32_t part, bnnep_dataset **out) {
    const char *folder = o->data ? o->data : data_folder(o->dataset);
    const int64_t limit = part == BNNEP_PART_TRAINING ? o->train_limit : o->test_limit;
    bnnep_dataset *whole;
    bnnep_status status = open_whole(setup, o, folder, part, &whole);
    if (status != BNNEP_OK) {
        const int failed = setup_failed(status);
        if (status == BNNEP_ERROR_FILE && strcmp(o->dataset, "fashion-mnist") == 0)
            complain(folder, "Fashion-MNIST is in Debian's package dataset-fashion-mnist; elsewhere, say --data DIR");
        return failed;
    }
    if (limit == 0) {
        *out = whole;
        return 0;
    }
    status = bnnep_dataset_subset(whole, 0, (uint64_t)limit, out);
    bnnep_dataset_free(whole);
    if (status == BNNEP_OK)
        return 0;
    char what[1200];
    snprintf(what, sizeof what, "--%s-limit %lld: %s", part == BNNEP_PART_TRAINING ? "train" : "test", (long long)limit,
             bnnep_last_error());
    return complain(folder, what);
}

/* Takes the last images of the training set out of it. */
static int hold_back(struct setup *setup, const struct options *o) {
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset *rest;
    bnnep_dataset_get_info(setup->train, &info);
    const double held = o->validation < 1.0 ? round(o->validation * (double)info.count) : o->validation;
    if (held != floor(held)) {
        fprintf(stderr, "%s: --validation %g is neither a share below 1 nor a whole number\n", program_name,
                o->validation);
        return 2;
    }
    if (!(held >= 1.0 && held < (double)info.count)) {
        fprintf(stderr, "%s: --validation %g: of %llu training images at least one must be held back, and one left\n",
                program_name, o->validation, (unsigned long long)info.count);
        return 2;
    }
    const uint64_t count = (uint64_t)held;
    bnnep_status status = bnnep_dataset_subset(setup->train, info.count - count, count, &setup->validation);
    if (status == BNNEP_OK)
        status = bnnep_dataset_subset(setup->train, 0, info.count - count, &rest);
    if (status != BNNEP_OK)
        return setup_failed(status);
    bnnep_dataset_free(setup->train);
    setup->train = rest;
    return transform(o, BNNEP_PART_TEST, &setup->validation);
}

static int open_data(struct setup *setup, const struct options *o) {
    int status = open_part(setup, o, BNNEP_PART_TRAINING, &setup->train);
    if (status == 0 && o->validation > 0.0)
        status = hold_back(setup, o);
    if (status == 0)
        status = transform(o, BNNEP_PART_TRAINING, &setup->train);
    if (status == 0)
        status = open_part(setup, o, BNNEP_PART_TEST, &setup->test);
    return status ? status : transform(o, BNNEP_PART_TEST, &setup->test);
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
    uLong train, test, held;
    char *text = NULL;
    size_t length;
    if (take_digest(setup->train, &train) != BNNEP_OK || take_digest(setup->test, &test) != BNNEP_OK ||
        (setup->validation && take_digest(setup->validation, &held) != BNNEP_OK))
        return NULL;
    FILE *to = open_memstream(&text, &length);
    if (!to)
        return NULL;
    bnnep_dataset_get_info(setup->test, &info);
    fprintf(to, "data=%08lx,%08lx", train, test);
    if (setup->validation)
        fprintf(to, ",%08lx", held);
    print_floats(to, " mean=", info.mean, info.channels);
    print_floats(to, " deviation=", info.deviation, info.channels);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* --- network ----------------------------------------------------------------------------------------------------- */

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

/* How the network's states move. */
static void set_relaxation(const struct options *o, bnnep_network_options *n) {
    const bool bptt = strcmp(o->optim, "bptt") == 0 || o->compare_gradients;
    n->dynamics = strcmp(o->binary_settings, "bin_W_N") == 0 ? BNNEP_DYNAMICS_BINARY : BNNEP_DYNAMICS_REAL;
    n->theta = o->rho_threshold;
    n->gamma_neur = o->gamma_neur;
    n->free_steps = o->T;
    n->settle_tolerance = o->settle;
    n->grid_bits = o->grid;
    n->schedule = strcmp(o->schedule, "over-relaxed") == 0  ? BNNEP_SCHEDULE_OVER_RELAXED
                  : strcmp(o->schedule, "alternating") == 0 ? BNNEP_SCHEDULE_ALTERNATING
                                                            : BNNEP_SCHEDULE_SYNCHRONOUS;
    /* BPTT has none of its own, and is refused with what was asked for. */
    n->feedback = bptt && o->feedback == 0.0 ? 1.0f : (float)o->feedback;
}

static int open_network(struct setup *setup, const struct options *o) {
    const bool binary = strcmp(o->binary_settings, "bin_W_N") == 0;
    bnnep_connection connections[2 * MOST_VALUES];
    bnnep_dataset_info data = BNNEP_DATASET_INFO_INIT;
    bnnep_network_options n = BNNEP_NETWORK_OPTIONS_INIT;
    if (o->activation && strcmp(o->activation, binary ? "heaviside" : "hardsigm") != 0)
        return wrong(binary ? "--binary_settings bin_W_N goes with --activationFun heaviside"
                            : "--binary_settings bin_W goes with --activationFun hardsigm");
    const int status = list_connections(o, connections, &setup->connections);
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
    if (class_count(o) == 0) {
        fprintf(stderr, "%s: the last layer has %.0f units, no multiple of --expand_output %d; say --classes\n",
                program_name, o->layers.value[o->layers.count - 1], o->expand_output);
        return 2;
    }
    set_relaxation(o, &n);
    n.input_channels = data.channels;
    n.input_height = data.height;
    n.input_width = data.width;
    n.classes = class_count(o);
    n.expand_output = o->expand_output;
    n.connections = connections;
    n.connection_count = setup->connections;
    n.start = o->start && strcmp(o->start, "balanced") == 0 ? BNNEP_START_BALANCED : BNNEP_START_PAPER;
    n.max_batch = o->batch_size;
    n.seed = (uint64_t)o->seed;
    const bnnep_status made = bnnep_network_create(setup->context, &n, &setup->network);
    return made == BNNEP_OK ? 0 : setup_failed(made);
}

/* --- optimizer --------------------------------------------------------------------------------------------------- */

static int wrong_count(const char *name, const struct list *list, size_t count, const char *of_what) {
    fprintf(stderr, "%s: --%s has %zu values, the network has %zu %s\n", program_name, name, list->count, count,
            of_what);
    return 2;
}

/* Turns one list of the command line, output first, into an array input first. One value is that of all. */
static int turn(const char *name, const struct list *list, size_t count, const char *of_what, double *to) {
    if (list->count != count && list->count != 1)
        return wrong_count(name, list, count, of_what);
    for (size_t k = 0; k < count; k++)
        to[k] = list->value[list->count == 1 ? 0 : count - 1 - k];
    return 0;
}

/* In a convolutional network the classifier's value comes apart, once for all its connections. */
static int turn_apart(const struct options *o, const char *name, double classifier, const struct list *conv,
                      size_t connections, double *to) {
    const size_t convolutions = o->conv.count - 1;
    for (size_t k = convolutions; k < connections; k++)
        to[k] = classifier;
    return turn(name, conv, convolutions, "convolutions", to);
}

/* The momenta that the authors' program starts from. */
static bnnep_status set_noise(const struct setup *setup, uint64_t seed) {
    bnnep_status status = BNNEP_OK;
    for (size_t k = 0; status == BNNEP_OK && k < setup->connections; k++) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(setup->network, k, &info);
        const size_t weights = (size_t)(info.rows * info.columns);
        float *momentum = malloc(weights * sizeof *momentum);
        if (!momentum)
            return BNNEP_ERROR_MEMORY;
        draw_momentum(seed, (uint32_t)k, setup->gamma[k], momentum, weights);
        status = bnnep_optimizer_set_momentum(setup->optimizer, k, momentum, weights);
        free(momentum);
    }
    return status;
}

static int32_t nudge_of(const struct options *o) {
    if (o->nudge)
        return strcmp(o->nudge, "centred") == 0 ? BNNEP_NUDGE_CENTRED
               : strcmp(o->nudge, "fixed") == 0 ? BNNEP_NUDGE_FIXED
                                                : BNNEP_NUDGE_RANDOM_SIGN;
    return o->random_beta ? BNNEP_NUDGE_RANDOM_SIGN : BNNEP_NUDGE_FIXED;
}

/* The rates that are given, input first. */
static int turn_rates(struct setup *setup, const struct options *o, double *lr_bias) {
    static const char all[] = "connections";
    const bool conv = strcmp(o->archi, "conv") == 0;
    const size_t L = setup->connections;
    int status = conv ? turn_apart(o, "conv_gamma", o->classi_gamma, &o->conv_gamma, L, setup->gamma)
                      : turn("gamma", &o->gamma, L, all, setup->gamma);
    if (status == 0)
        status = conv ? turn_apart(o, "conv_threshold", o->classi_threshold, &o->conv_threshold, L, setup->threshold)
                      : turn("gradThreshold", &o->threshold, L, all, setup->threshold);
    if (status == 0)
        status = turn("lrBias", &o->lr_bias, L, all, lr_bias);
    if (status == 0 && o->learn_alpha)
        status = turn("lrAlpha", &o->lr_alpha, L, all, setup->lr_alpha);
    return status;
}

/* How rates fall until the last epoch's last update. */
static void set_fall(const struct setup *setup, const struct options *o, bnnep_optimizer_options *p) {
    bnnep_dataset_info data = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset_get_info(setup->train, &data);
    const uint64_t batch = (uint64_t)o->batch_size, batches = (data.count + batch - 1) / batch;
    p->fall = !o->fall                              ? BNNEP_FALL_CONSTANT
              : strcmp(o->fall, "harmonic") == 0    ? BNNEP_FALL_HARMONIC
              : strcmp(o->fall, "cosine") == 0      ? BNNEP_FALL_COSINE
              : strcmp(o->fall, "exponential") == 0 ? BNNEP_FALL_EXPONENTIAL
                                                    : BNNEP_FALL_CONSTANT;
    p->fall_to = o->fall_to;
    p->fall_updates = (uint64_t)o->fall_epochs * batches;
}

/* The rates as the optimizer has them: those of the default rule are the library's. */
static void read_rates(struct setup *setup) {
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    bnnep_optimizer_get_info(setup->optimizer, &info);
    bnnep_optimizer_get_rates(setup->optimizer, BNNEP_RATE_GAMMA, setup->gamma, setup->connections);
    bnnep_optimizer_get_rates(setup->optimizer, BNNEP_RATE_THRESHOLD, setup->threshold, setup->connections);
    if (info.learns_alpha)
        bnnep_optimizer_get_rates(setup->optimizer, BNNEP_RATE_ALPHA, setup->lr_alpha, setup->connections);
}

static int open_optimizer(struct setup *setup, const struct options *o) {
    double lr_bias[MOST_VALUES];
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    const int status = o->default_rule ? 0 : turn_rates(setup, o, lr_bias);
    if (status)
        return status;
    if (o->beta == 0.0) /* of which the library would make its default */
        return wrong("beta is 0; it must be another number");
    p.method = strcmp(o->optim, "bptt") == 0 ? BNNEP_METHOD_BPTT : BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
    p.nudged_steps = o->Kmax;
    p.beta = o->beta;
    p.nudge = nudge_of(o);
    if (!o->default_rule) {
        p.gamma = setup->gamma;
        p.threshold = setup->threshold;
        p.lr_bias = lr_bias;
        p.lr_alpha = o->learn_alpha ? setup->lr_alpha : NULL;
        if (o->units && strcmp(o->units, "deviations") == 0)
            p.threshold_kind = p.rate_kind = BNNEP_UNIT_DEVIATIONS;
    }
    p.flip_reset = o->flip_reset;
    p.covariance = o->covariance;
    p.consolidation = (float)o->consolidation;
    set_fall(setup, o, &p);
    p.keep_order = o->no_shuffle;
    p.seed = (uint64_t)o->seed;
    bnnep_status made = bnnep_optimizer_create(setup->network, &p, &setup->optimizer);
    if (made == BNNEP_OK)
        read_rates(setup);
    if (made == BNNEP_OK && o->momentum_noise)
        made = set_noise(setup, p.seed);
    return made == BNNEP_OK ? 0 : setup_failed(made);
}

int setup_open(struct setup *setup, const struct options *options) {
    *setup = (struct setup){.context = NULL};
    int status = open_context(setup, options);
    if (status == 0)
        status = open_data(setup, options);
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
    bnnep_dataset_free(setup->validation);
    bnnep_context_free(setup->context);
}
