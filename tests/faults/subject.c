/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

const struct kind kinds[KINDS] = {
    {"connected, real", BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, false, true, 0.0},
    {"connected, settling", BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, false, false, 1e-3},
    {"connected, binary", BNNEP_DYNAMICS_BINARY, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, false, false, 0.0},
    {"connected, bptt", BNNEP_DYNAMICS_REAL, BNNEP_METHOD_BPTT, false, false, 0.0},
    {"convolution, real", BNNEP_DYNAMICS_REAL, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, true, false, 0.0},
    {"convolution, binary", BNNEP_DYNAMICS_BINARY, BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, true, true, 0.0},
};

/* --- what must not go wrong -------------------------------------------------------------------------------------- */

static void need(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "faults: %s\n", what);
    exit(3);
}

static void need_ok(bnnep_status status) {
    need(status == BNNEP_OK, bnnep_last_error());
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

struct bytes file_bytes(const char *path) {
    struct bytes found = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return found;
    need(fseek(file, 0, SEEK_END) == 0, path);
    const long length = ftell(file);
    rewind(file);
    found = (struct bytes){malloc((size_t)length + 1), (size_t)length};
    need(found.at && fread(found.at, 1, found.count, file) == found.count, path);
    fclose(file);
    return found;
}

void write_file(const char *path, const struct bytes *bytes) {
    FILE *file = fopen(path, "wb");
    need(file && fwrite(bytes->at, 1, bytes->count, file) == bytes->count && fclose(file) == 0, path);
}

/* Writes a file of either kind to memory. */
static struct bytes written(const bnnep_optimizer *optimizer, const bnnep_network *network) {
    uint64_t count;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.count = &count;
    need_ok(optimizer ? bnnep_checkpoint_write(optimizer, &sink, "note") : bnnep_network_write(network, &sink, "note"));
    struct bytes made = {malloc((size_t)count + 64), 0};
    need(made.at, "out of memory");
    sink.bytes = made.at;
    sink.room = (size_t)count + 64; /* the seconds may be longer now */
    need_ok(optimizer ? bnnep_checkpoint_write(optimizer, &sink, "note") : bnnep_network_write(network, &sink, "note"));
    made.count = (size_t)count;
    return made;
}

struct bytes checkpoint_of(const bnnep_optimizer *optimizer) {
    return written(optimizer, NULL);
}

struct bytes network_of(const bnnep_network *network) {
    return written(NULL, network);
}

/* The header of a file of ours, without the values of "digest" and "seconds" and the spaces at its end; its tensors are
 * what follows. */
static struct bytes plain_header(const struct bytes *file, const char **tensors) {
    static const char *const keys[] = {"\"digest\":\"", "\\\"seconds\\\":"};
    uint64_t length = 0;
    need(file->count > 8, "a file without a header");
    for (int i = 7; i >= 0; i--)
        length = length << 8 | (unsigned char)file->at[i];
    need(length <= file->count - 8, "a file without a header");
    *tensors = file->at + 8 + length;
    char *text = malloc((size_t)length + 1);
    need(text, "out of memory");
    memcpy(text, file->at + 8, (size_t)length);
    text[length] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char *value = strstr(text, keys[i]);
        if (!value)
            continue;
        value += strlen(keys[i]);
        const char *rest = value + strcspn(value, "\",}");
        memmove(value, rest, strlen(rest) + 1);
    }
    size_t end = strlen(text);
    while (end > 0 && text[end - 1] == ' ')
        end--;
    return (struct bytes){text, end};
}

bool same_state(const struct bytes *a, const struct bytes *b) {
    const char *a_tensors, *b_tensors;
    if (!a->at || !b->at)
        return false;
    const struct bytes x = plain_header(a, &a_tensors), y = plain_header(b, &b_tensors);
    const size_t left = a->count - (size_t)(a_tensors - a->at);
    const bool same = x.count == y.count && memcmp(x.at, y.at, x.count) == 0 &&
                      left == b->count - (size_t)(b_tensors - b->at) && memcmp(a_tensors, b_tensors, left) == 0;
    free(x.at);
    free(y.at);
    return same;
}

/* --- options ----------------------------------------------------------------------------------------------------- */

bnnep_context_options context_options(const struct known *known, char name[32]) {
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    snprintf(name, 32, "%s", known->backend);
    char *threads = strchr(name, '/');
    o.threads = threads ? (int32_t)strtol(threads + 1, NULL, 10) : 1;
    if (threads)
        *threads = '\0';
    o.backend = name;
    return o;
}

bnnep_network_options network_options(const struct known *known) {
    static const bnnep_connection connected[] = {BNNEP_FC(12), BNNEP_FC(CLASSES)},
                                  convolved[] = {BNNEP_CONV(4, 3, 1, 2), BNNEP_CONV(3, 3, 1, 1), BNNEP_FC(CLASSES)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    o.input_height = o.input_width = SIDE;
    o.connections = known->kind->convolution ? convolved : connected;
    o.connection_count = known->kind->convolution ? 3 : 2;
    o.dynamics = known->kind->dynamics;
    o.settle_tolerance = known->kind->tolerance;
    o.free_steps = 8;
    o.max_batch = BATCH;
    o.seed = known->seed;
    return o;
}

bnnep_optimizer_options optimizer_options(const struct known *known) {
    static const double gamma[] = {0.1, 0.1, 0.1}, threshold[] = {1e-4, 1e-4, 1e-4}, rates[] = {0.01, 0.02, 0.03};
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    o.gamma = gamma;
    o.threshold = threshold;
    o.lr_bias = rates;
    o.lr_alpha = known->kind->learns_alpha ? rates : NULL;
    o.method = known->kind->method;
    o.nudged_steps = 4;
    o.seed = known->seed;
    return o;
}

/* --- the subject ------------------------------------------------------------------------------------------------- */

static void make_fresh(struct subject *s, const struct known *known) {
    char name[32];
    const bnnep_context_options c = context_options(known, name);
    const bnnep_network_options n = network_options(known);
    const bnnep_optimizer_options o = optimizer_options(known);
    bnnep_dataset_options d = BNNEP_DATASET_OPTIONS_INIT;
    memset(s, 0, sizeof *s);
    s->known = known;
    d.height = d.width = SIDE;
    d.classes = CLASSES;
    need_ok(bnnep_context_create(&c, &s->context));
    need_ok(bnnep_network_create(s->context, &n, &s->network));
    need_ok(bnnep_optimizer_create(s->network, &o, &s->optimizer));
    need_ok(bnnep_dataset_from_memory(s->context, &d, known->inputs, known->labels, IMAGES, &s->data));
    s->report = (bnnep_report)BNNEP_REPORT_INIT;
    s->report.flips = s->flips;
    s->report.flips_count = MOST_CONNECTIONS;
    s->report.predictions = s->predictions;
    s->report.predictions_count = IMAGES;
}

void subject_make(struct subject *s, const struct known *known) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    source.bytes = known->a.at;
    source.count = known->a.count;
    make_fresh(s, known);
    need_ok(bnnep_checkpoint_read(s->optimizer, &source));
}

void subject_free(struct subject *s) {
    bnnep_workspace_free(s->made_workspace);
    bnnep_optimizer_free(s->made_optimizer);
    bnnep_network_free(s->made_network);
    bnnep_dataset_free(s->made_data);
    bnnep_context_free(s->made_context);
    bnnep_optimizer_free(s->optimizer);
    bnnep_network_free(s->network);
    bnnep_dataset_free(s->data);
    bnnep_context_free(s->context);
}

/* --- what is known ----------------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint32_t draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(z >> 32);
}

/* An IDX file of the images, compressed; CIFAR-10's folder, each of its files with one record. */
static void write_data(struct known *known) {
    static const char *const names[] = {"data_batch_1", "data_batch_2", "data_batch_3",
                                        "data_batch_4", "data_batch_5", "test_batch"};
    static char record[1 + 3072];
    char idx[16 + IMAGES * VALUES] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    char path[700];
    for (size_t i = 0; i < IMAGES * VALUES; i++)
        idx[16 + i] = (char)(int)(known->inputs[i] * 255.0f);
    snprintf(known->images, sizeof known->images, "%s/images-idx3-ubyte.gz", known->folder);
    gzFile file = gzopen(known->images, "wb");
    need(file && gzwrite(file, idx, sizeof idx) == sizeof idx && gzclose(file) == Z_OK, known->images);
    snprintf(known->pictures, sizeof known->pictures, "%s/pictures", known->folder);
    mkdir(known->pictures, 0777);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s.bin", known->pictures, names[i]);
        record[0] = (char)i;
        memset(record + 1, (int)(17 * i + 3), sizeof record - 1);
        write_file(path, &(struct bytes){record, sizeof record});
    }
}

/* Stops in the midst of an epoch. */
static int32_t stop(void *user, const bnnep_progress *event) {
    (void)user;
    return event->event == BNNEP_EVENT_BATCH;
}

static void look_at_a(struct known *known, struct subject *s) {
    bnnep_run_options stopping = BNNEP_RUN_OPTIONS_INIT;
    stopping.progress = stop;
    need_ok(bnnep_optimizer_train_epoch(s->optimizer, s->data, NULL, NULL));
    need(bnnep_optimizer_train_epoch(s->optimizer, s->data, &stopping, NULL) == BNNEP_CANCELLED, "it does not stop");
    known->a = checkpoint_of(s->optimizer);
    known->network = network_of(s->network);
    need_ok(bnnep_network_evaluate(s->network, s->data, NULL, &s->report));
    known->test = s->report;
    memcpy(known->predictions, s->predictions, sizeof s->predictions);
    need_ok(bnnep_network_predict(s->network, known->inputs, IMAGES, NULL, known->scores, NULL));
}

/* The C++ runtime takes a thread's room for exceptions at the first of them, and ends the process if there is none:
 * here is one, if the backend is C++. */
static void refuse_device(const struct known *known) {
    char name[32], device[48];
    bnnep_context *context;
    bnnep_context_options o = context_options(known, name);
    snprintf(device, sizeof device, "%s:none", name);
    o.backend = device;
    need(bnnep_context_create(&o, &context) != BNNEP_OK, "a device that is not there");
}

void known_make(struct known *known) {
    struct subject s;
    uint64_t state = known->seed;
    refuse_device(known);
    for (size_t i = 0; i < IMAGES * VALUES; i++)
        known->inputs[i] = (float)(draw(&state) % 256) / 255.0f;
    for (size_t n = 0; n < IMAGES; n++)
        known->labels[n] = (int32_t)(draw(&state) % CLASSES);
    mkdir(known->folder, 0777);
    write_data(known);
    make_fresh(&s, known);
    known->fresh = checkpoint_of(s.optimizer);
    look_at_a(known, &s);
    need_ok(bnnep_optimizer_train_epoch(s.optimizer, s.data, NULL, &s.report));
    known->epoch = s.report;
    memcpy(known->flips, s.flips, sizeof s.flips);
    known->done = checkpoint_of(s.optimizer);
    need_ok(bnnep_optimizer_train_epoch(s.optimizer, s.data, NULL, NULL));
    known->b = checkpoint_of(s.optimizer);
    snprintf(known->at, sizeof known->at, "%s/b.safetensors", known->folder);
    write_file(known->at, &known->b);
    subject_free(&s);
}
