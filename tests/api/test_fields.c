/* SPDX-License-Identifier: MIT */
/* Checkpoints that are whole but for one field of their metadata: of another type, impossible, or missing. Those are
 * refused with a message, and nothing changes; what may be missing is the default. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "support.h"

enum { ROOM = 1 << 15 };
static const struct shape shape = {.connections = 2,
                                   .units = {6, 5, 4},
                                   .expand_output = 2,
                                   .free_steps = 4,
                                   .nudged_steps = 2,
                                   .max_batch = 2,
                                   .learn_alpha = true,
                                   .gamma = 0.1,
                                   .threshold = 1e-3};
/* One sample a batch: the file has means of activations. */
static const struct shape lone = {.connections = 2,
                                  .units = {6, 5, 4},
                                  .expand_output = 2,
                                  .free_steps = 4,
                                  .nudged_steps = 2,
                                  .max_batch = 1,
                                  .learn_alpha = true,
                                  .covariance = true,
                                  .gamma = 0.1,
                                  .threshold = 1e-3};
static uint8_t whole[ROOM], changed[ROOM];
static size_t whole_size, changed_size;

/* --- files ------------------------------------------------------------------------------------------------------- */

static int32_t stop(void *user, const bnnep_progress *progress) {
    (void)user;
    return progress->event == BNNEP_EVENT_BATCH;
}

static void make_whole_of(const struct shape *of) {
    static const float inputs[5 * 6] = {1.0f};
    static const int32_t labels[5] = {1};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    struct net net = net_make(of, "ref");
    o.channels = 6;
    assert_ok(bnnep_dataset_from_memory(NULL, &o, inputs, labels, 5, &data));
    assert_int_equal(bnnep_optimizer_train_epoch(net.optimizer, data, RUN(.progress = stop), NULL), BNNEP_CANCELLED);
    whole_size = net_checkpoint(&net, whole, ROOM);
    bnnep_dataset_free(data);
    net_free(&net);
}

static int make_whole(void **state) {
    (void)state;
    make_whole_of(&shape);
    return 0;
}

static size_t header_length(const uint8_t *bytes) {
    return (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16;
}

/* The length of a value of JSON within a text of JSON, where quotes have a backslash. */
static size_t value_length(const char *value) {
    size_t length = 0;
    int depth = 0;
    for (; depth > 0 || (value[length] != ',' && value[length] != '}' && value[length] != '"'); length++)
        depth += (value[length] == '[' || value[length] == '{') - (value[length] == ']' || value[length] == '}');
    return length;
}

static void renew_digest(void) {
    static const char key[] = "\"digest\":\"";
    char digest[9];
    uint8_t *place = (uint8_t *)strstr((char *)changed + 8, key) + sizeof key - 1;
    memcpy(place, "00000000", 8);
    snprintf(digest, sizeof digest, "%08lx", crc32(0, changed + 8, (uInt)(changed_size - 8)));
    memcpy(place, digest, 8);
}

/* The file with another header, of at most ROOM - 8 bytes. */
static void rebuild(char *header) {
    const size_t length = header_length(whole);
    size_t now = strlen(header);
    while (now % 8)
        header[now++] = ' ';
    memset(changed, 0, 8);
    changed[0] = (uint8_t)now;
    changed[1] = (uint8_t)(now >> 8);
    memcpy(changed + 8, header, now);
    memcpy(changed + 8 + now, whole + 8 + length, whole_size - 8 - length);
    changed_size = whole_size - length + now;
    renew_digest();
}

/* In the metadata's text `part`, another value of a field; NULL: the field has another name. The header keeps its
 * padding, and has a right digest. */
static void change(const char *part, const char *field, const char *value) {
    static char header[ROOM];
    char key[64];
    const size_t length = header_length(whole);
    snprintf(key, sizeof key, "\"%s\":\"{", part);
    memcpy(header, whole + 8, length);
    header[length] = '\0';
    char *at = strstr(header, key);
    assert_non_null(at);
    snprintf(key, sizeof key, "\\\"%s\\\":", field);
    at = strstr(at, key);
    assert_non_null(at);
    char *from = at + strlen(key), *rest = from + value_length(from);
    static char tail[ROOM];
    snprintf(tail, sizeof tail, "%s", rest);
    if (value)
        snprintf(from, ROOM - (size_t)(from - header), "%s%s", value, tail);
    else
        at[2] = '?';
    rebuild(header);
}

static bnnep_status read_changed(const struct net *net) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    source.bytes = changed;
    source.count = changed_size;
    return bnnep_checkpoint_read(net->optimizer, &source);
}

/* --- fields ------------------------------------------------------------------------------------------------------ */

/* Refused, and what it was to be read into is as it was. what: of the changed file, for a message. */
static void assert_refuses(const struct shape *of, const char *what, bnnep_status expected) {
    static uint8_t before[ROOM], after[ROOM];
    struct net net = net_make(of, "ref");
    const size_t size = net_checkpoint(&net, before, ROOM);
    const bnnep_status status = read_changed(&net);
    if (status != expected)
        fail_msg("%s is %s, expected %s", what, bnnep_status_name(status), bnnep_status_name(expected));
    assert_int_equal(net_checkpoint(&net, after, ROOM), size);
    assert_memory_equal(before, after, size);
    net_free(&net);
}

static void assert_bad(const char *part, const char *field, const char *value, bnnep_status expected) {
    char what[128];
    change(part, field, value);
    snprintf(what, sizeof what, "%s of %s as %s", field, part, value ? value : "nothing");
    assert_refuses(&shape, what, expected);
}

static void counters(void **state) {
    static const char *const fields[] = {"batches",        "epochs",           "epoch_count",  "epoch_batch_size",
                                         "samples",        "epoch_batches",    "errors",       "errors_single",
                                         "steps_free_max", "steps_nudged_max", "steps_nudged", "steps_free",
                                         "loss",           "seconds",          "flips"};
    static const char *const values[] = {"-1", "true", "null", "[]", "{}", NULL};
    (void)state;
    for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++)
            assert_bad("position", fields[f], values[v], BNNEP_ERROR_FORMAT);
}

/* Numbers that do not go together: an epoch of 5 samples in batches of 2, one of which is done. */
static void impossible(void **state) {
    static const struct {
        const char *field, *value;
    } bad[] = {{"samples", "1"},          {"samples", "5"},
               {"samples", "6"},          {"epoch_batches", "2"},
               {"epoch_batch_size", "0"}, {"epoch_batch_size", "3"},
               {"epoch_count", "2"},      {"errors", "3"},
               {"errors_single", "3"},    {"steps_free_max", "2147483648"},
               {"flips", "[1]"},          {"flips", "[1,2,3]"},
               {"flips", "[1,-2]"},       {"flips", "[1,2.5]"},
               {"batches", "1.5"},        {"batches", "99999999999999999999"},
               {"loss", "1e999"},         {"lone_samples", "7"},
               {"lone_samples", "-1"},    {"lone_samples", "0.5"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_bad("position", bad[i].field, bad[i].value, BNNEP_ERROR_FORMAT);
}

static void rates(void **state) {
    static const struct {
        const char *field, *value;
    } bad[] = {{"rates", "[]"},
               {"rates", "1"},
               {"gamma", "[0.1]"},
               {"gamma", "[0.1,true]"},
               {"gamma", "[0.1,0]"},
               {"gamma", "[0.1,1.5]"},
               {"gamma", "1"},
               {"threshold", "[-1,0.1]"},
               {"lr_bias", "[0.1,0.1,0.1]"},
               {"lr_alpha", "[]"},
               {"beta", "[0]"},
               {"beta", "[]"},
               {"free_steps", "0"},
               {"free_steps", "2147483648"},
               {"free_steps", "-2147483649"},
               {"free_steps", "true"},
               {"settle_tolerance", "1e39"},
               {"settle_tolerance", "null"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_bad("position", bad[i].field, bad[i].value, BNNEP_ERROR_FORMAT);
}

/* What a run was made with is compared. */
static void made_with(void **state) {
    static const char *const network[] = {"dynamics",   "input",      "classes",          "expand_output", "theta",
                                          "gamma_neur", "free_steps", "settle_tolerance", "connections",   "grid_bits"},
                             *const optimizer[] = {"method", "nudged_steps", "beta",      "nudge",   "keep_order",
                                                   "seed",   "gamma",        "threshold", "lr_bias", "lr_alpha"};
    (void)state;
    for (size_t f = 0; f < sizeof network / sizeof network[0]; f++)
        assert_bad("network", network[f], "77", BNNEP_ERROR_ARGUMENT);
    for (size_t f = 0; f < sizeof optimizer / sizeof optimizer[0]; f++)
        assert_bad("optimizer", optimizer[f], "[77]", BNNEP_ERROR_ARGUMENT);
    assert_bad("network", "classes", NULL, BNNEP_ERROR_ARGUMENT);
    assert_bad("optimizer", "lr_alpha", NULL, BNNEP_ERROR_ARGUMENT);
}

/* A network that is made of the file. */
static void described(void **state) {
    static const char *const fields[] = {"dynamics",  "input",      "classes",    "expand_output",    "theta",
                                         "grid_bits", "gamma_neur", "free_steps", "settle_tolerance", "connections"};
    static const char *const values[] = {"true",        "null", "\\\"text\\\"", "{}",         "2147483648",
                                         "-2147483649", "[{}]", "[1,2]",        "[true,1,1]", "[0,1,1]"};
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_network *network;
    (void)state;
    for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            change("network", fields[f], values[v]);
            source.bytes = changed;
            source.count = changed_size;
            const bnnep_status status = bnnep_network_read(NULL, &source, NULL, &network);
            /* a tolerance may be any number */
            const bool number = strcmp(fields[f], "settle_tolerance") == 0 && strspn(values[v], "-0123456789") > 0;
            if (number ? status != BNNEP_OK : status != BNNEP_ERROR_FORMAT)
                fail_msg("%s as %s is %s (%s)", fields[f], values[v], bnnep_status_name(status), bnnep_last_error());
            bnnep_network_free(network);
        }
    static const char *const feedback[] = {"1.5", "-0.25", "true", "[]"};
    for (size_t v = 0; v < sizeof feedback / sizeof feedback[0]; v++) {
        change("network", "feedback", feedback[v]);
        source.bytes = changed;
        source.count = changed_size;
        assert_int_equal(bnnep_network_read(NULL, &source, NULL, &network), BNNEP_ERROR_FORMAT);
    }
    for (int f = 0; f < 2; f++)
        for (int v = 0; v < 2; v++) { /* of the run's position, for the relaxation is there */
            change("position", f ? "settle_tolerance" : "free_steps", v ? "null" : "[]");
            source.bytes = changed;
            source.count = changed_size;
            assert_int_equal(bnnep_network_read(NULL, &source, NULL, &network), BNNEP_ERROR_FORMAT);
        }
}

/* One of its connections lacks something. */
static void connections(void **state) {
    static const char *const fields[] = {"kind", "outputs", "kernel", "padding", "pool"};
    (void)state;
    for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++) {
        bnnep_source source = BNNEP_SOURCE_INIT;
        bnnep_network *network;
        change("network", fields[f], NULL);
        source.bytes = changed;
        source.count = changed_size;
        assert_refused(bnnep_network_read(NULL, &source, NULL, &network), BNNEP_ERROR_FORMAT, "connection 0 cannot");
    }
}

/* What a text of the metadata begins with, by something else. */
static void change_text(const char *key, const char *from, const char *to) {
    static char header[ROOM], tail[ROOM];
    char old[128];
    const size_t length = header_length(whole);
    memcpy(header, whole + 8, length);
    header[length] = '\0';
    snprintf(old, sizeof old, "\"%s\":\"%s", key, from);
    char *at = strstr(header, old);
    assert_non_null(at);
    snprintf(tail, sizeof tail, "%s", at + strlen(old));
    snprintf(at, ROOM - (size_t)(at - header), "\"%s\":\"%s%s", key, to, tail);
    rebuild(header);
}

static void texts(void **state) {
    static const struct {
        const char *key, *from, *to;
        bnnep_status status;
    } tries[] = {{"requires", "[]", "{}", BNNEP_ERROR_FORMAT},
                 {"requires", "[]", "[ ", BNNEP_ERROR_FORMAT},
                 {"requires", "[]", "[\\\"quantum\\\"]", BNNEP_ERROR_UNSUPPORTED},
                 {"requires", "[]", "[1]", BNNEP_ERROR_UNSUPPORTED},
                 {"requires", "[]", "[ ]", BNNEP_OK},
                 {"format_version", "1", "2", BNNEP_ERROR_UNSUPPORTED},
                 {"format", "bnnep-checkpoint", "bnnep-checkpoinT", BNNEP_ERROR_FORMAT},
                 {"network", "{", "[", BNNEP_ERROR_FORMAT},
                 {"optimizer", "{", "[", BNNEP_ERROR_FORMAT},
                 {"position", "{", "[", BNNEP_ERROR_FORMAT}};
    (void)state;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        struct net net = net_make(&shape, "ref");
        change_text(tries[i].key, tries[i].from, tries[i].to);
        assert_int_equal(read_changed(&net), tries[i].status);
        net_free(&net);
    }
}

/* A file may ask for so many steps by default, and no more. */
static void steps(void **state) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_network *network;
    (void)state;
    for (int more = 0; more < 2; more++) {
        change("position", "free_steps", more ? "10001" : "10000");
        source.bytes = changed;
        source.count = changed_size;
        const bnnep_status status = bnnep_network_read(NULL, &source, NULL, &network);
        assert_int_equal(status, more ? BNNEP_ERROR_MEMORY : BNNEP_OK);
        bnnep_network_free(network);
    }
}

/* Defaults, where they come to the same. */
static void left_out(void **state) {
    static const char *const position[] = {"rates", "gamma", "lr_alpha", "beta", "free_steps", "settle_tolerance"},
                             *const zeros[] = {"dynamics", "grid_bits", "settle_tolerance"};
    static uint8_t bytes[ROOM];
    (void)state;
    for (size_t f = 0; f < sizeof position / sizeof position[0]; f++) {
        struct net net = net_make(&shape, "ref");
        change("position", position[f], NULL);
        assert_ok(read_changed(&net));
        assert_int_equal(net_checkpoint(&net, bytes, ROOM), whole_size);
        assert_memory_equal(bytes, whole, whole_size);
        net_free(&net);
    }
    for (size_t f = 0; f < sizeof zeros / sizeof zeros[0]; f++) {
        struct net net = net_make(&shape, "ref");
        change("network", zeros[f], NULL);
        assert_ok(read_changed(&net));
        net_free(&net);
    }
}

/* --- means of activations ---------------------------------------------------------------------------------------- */

/* Something of the header's entry of a tensor, by something else. */
static void change_tensor(const char *name, const char *from, const char *to) {
    static char header[ROOM], tail[ROOM];
    char key[64];
    const size_t length = header_length(whole);
    memcpy(header, whole + 8, length);
    header[length] = '\0';
    snprintf(key, sizeof key, "\"connection.%s\"", name);
    char *at = strstr(header, key);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    snprintf(tail, sizeof tail, "%s", at + strlen(from));
    snprintf(at, ROOM - (size_t)(at - header), "%s%s", to, tail);
    rebuild(header);
}

/* The first value of a tensor, as bits. */
static void change_value(const char *name, uint32_t bits) {
    char key[64];
    size_t from;
    memcpy(changed, whole, whole_size);
    changed_size = whole_size;
    snprintf(key, sizeof key, "\"connection.%s\"", name);
    const char *at = strstr((const char *)changed + 8, key);
    assert_non_null(at);
    at = strstr(at, "\"data_offsets\":[");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"data_offsets\":[%zu,", &from), 1);
    memcpy(changed + 8 + header_length(changed) + from, &bits, sizeof bits);
    renew_digest();
}

static void means(void **state) {
    static const char *const names[] = {"0.mean_below", "0.mean", "1.mean"};
    static const char *const counts[] = {"-1", "0.5", "null", "[]"};
    static uint8_t bytes[ROOM];
    (void)state;
    make_whole_of(&lone);
    struct net net = net_make(&lone, "ref");
    change("position", "lone_samples", "1"); /* as it is */
    assert_ok(read_changed(&net));
    assert_int_equal(net_checkpoint(&net, bytes, ROOM), whole_size);
    assert_memory_equal(bytes, whole, whole_size);
    net_free(&net);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        change_tensor(names[i], "mean", "meaN");
        assert_refuses(&lone, "a tensor by another name", BNNEP_ERROR_FORMAT);
        change_tensor(names[i], "F32", "I32");
        assert_refuses(&lone, "another type", BNNEP_ERROR_FORMAT);
        change_tensor(names[i], "\"shape\":[", "\"shape\":[1,");
        assert_refuses(&lone, "another shape", BNNEP_ERROR_FORMAT);
        change_value(names[i], UINT32_C(0x7fc00000));
        assert_refuses(&lone, "no number", BNNEP_ERROR_DATA);
        change_value(names[i], UINT32_C(0x7f800000));
        assert_refuses(&lone, "an infinite mean", BNNEP_ERROR_DATA);
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        change("position", "lone_samples", counts[i]);
        assert_refuses(&lone, "lone_samples", BNNEP_ERROR_FORMAT);
    }
    make_whole_of(&shape);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counters),  cmocka_unit_test(impossible),
                                       cmocka_unit_test(rates),     cmocka_unit_test(made_with),
                                       cmocka_unit_test(described), cmocka_unit_test(connections),
                                       cmocka_unit_test(steps),     cmocka_unit_test(texts),
                                       cmocka_unit_test(left_out),  cmocka_unit_test(means)};
    return cmocka_run_group_tests(tests, make_whole, NULL);
}
