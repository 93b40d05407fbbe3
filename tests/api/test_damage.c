/* SPDX-License-Identifier: MIT */
/* Files that are not what they should be: any damaged byte and any cut is noticed, and so is what is whole but foreign
 * or impossible; nothing changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "support.h"

enum { VALUES = 35 };

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bnnep-damage-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run.safetensors", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const struct shape shape = {
    .connections = 2,
    .units = {VALUES, 29, 20},
    .expand_output = 2,
    .free_steps = 15,
    .nudged_steps = 6,
    .max_batch = 1,
    .learn_alpha = true,
    .shuffle = true,
    .random_beta = true,
    .gamma = 0.1,
    .threshold = 0.002,
    .seed = 4,
};

static void train_once(const struct net *net) {
    static const float x[VALUES] = {1.0f};
    assert_ok(bnnep_optimizer_train_batch(net->optimizer, x, (const int32_t[]){3}, 1, NULL, NULL));
}

static uint8_t *read_file(size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static uint8_t bytes[1 << 16];
    *size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(*size > 1000 && *size < sizeof bytes);
    return bytes;
}

static void write_file(const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void damage(void **state) {
    (void)state;
    struct net saved = net_make(&shape, "cpu"), net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    size_t size;
    train_once(&saved);
    assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
    uint8_t *bytes = read_file(&size);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= (uint8_t)(1u << (at % 8));
        write_file(bytes, size);
        bytes[at] ^= (uint8_t)(1u << (at % 8));
        if (bnnep_checkpoint_load(net.optimizer, path) != BNNEP_ERROR_FORMAT)
            fail_msg("byte %zu of %zu was damaged and it did not show", at, size);
        assert_non_null(strstr(bnnep_last_error(), path));
    }
    for (size_t cut = 0; cut < size; cut += cut < 100 ? 1 : 37) {
        write_file(bytes, cut);
        assert_int_equal(bnnep_checkpoint_load(net.optimizer, path), BNNEP_ERROR_FORMAT);
    }
    assert_same_network(&net, &untouched);
    write_file(bytes, size);
    assert_ok(bnnep_checkpoint_load(net.optimizer, path));
    assert_same_network(&net, &saved);
    net_free(&saved);
    net_free(&net);
    net_free(&untouched);
}

static uint8_t *find_text(uint8_t *bytes, size_t size, const char *text) {
    size_t at = 0;
    while (at + strlen(text) <= size && memcmp(bytes + at, text, strlen(text)) != 0)
        at++;
    assert_true(at + strlen(text) <= size);
    return bytes + at;
}

/* Makes the digest of changed bytes anew. */
static void seal(uint8_t *bytes, size_t size) {
    static const char key[] = "\"digest\":\"";
    char digest[9];
    uint8_t *const place = find_text(bytes, size, key) + sizeof key - 1;
    memcpy(place, "00000000", 8);
    snprintf(digest, sizeof digest, "%08lx", crc32(0, bytes + 8, (uInt)(size - 8)));
    memcpy(place, digest, 8);
    write_file(bytes, size);
}

/* Files that are whole, but not what they should be: newer, of something else, with tensors that do not fit. */
static void foreign(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } changes[] = {
        {"\"format_version\":\"1\"", "\"format_version\":\"2\"", "its format version is 2, libbnnep"},
        {"bnnep-checkpoint", "bnnep-checkpoinT", "its format is bnnep-checkpoinT"},
        {"connection.1.alpha", "connection.9.alpha", "has no tensor connection.1.alpha"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F64\"", "connection.0.momentum is F64 [29, 35], expected F32 [29, 35]"},
        {"\"data_offsets\":[0,", "\"data_offsets\":[4,", "connection.0.momentum lies at 4 to"},
        {"\\\"batches\\\"", "\\\"bAtches\\\"", "its position's counters cannot be read"},
        {"\\\"epochs\\\":0", "\\\"epochs\\\":-", "its metadata's position: is no JSON"},
        {"\\\"errors\\\":0", "\\\"errors\\\":9", "its position's counters cannot be read"},
    };
    struct net saved = net_make(&shape, "cpu"), net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    size_t size;
    train_once(&saved);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
        uint8_t *bytes = read_file(&size);
        memcpy(find_text(bytes, size, changes[i].from), changes[i].to, strlen(changes[i].to));
        seal(bytes, size);
        assert_refused(bnnep_checkpoint_load(net.optimizer, path),
                       i == 0 ? BNNEP_ERROR_UNSUPPORTED : BNNEP_ERROR_FORMAT, changes[i].says);
        assert_same_network(&net, &untouched);
    }
    net_free(&saved);
    net_free(&net);
    net_free(&untouched);
}

/* A description of the network without a grid, as files had it before there were any: states were floats. */
static void older(void **state) {
    (void)state;
    static const char field[] = "\\\"grid_bits\\\":0,";
    struct shape on_grid = shape;
    on_grid.grid_bits = 16;
    struct net saved = net_make(&shape, "cpu"), net = net_make(&shape, "cpu"), other = net_make(&on_grid, "cpu");
    size_t size;
    train_once(&saved);
    assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
    uint8_t *bytes = read_file(&size);
    memset(find_text(bytes, size, field), ' ', sizeof field - 1);
    seal(bytes, size);
    assert_ok(bnnep_checkpoint_load(net.optimizer, path));
    assert_same_network(&net, &saved);
    assert_refused(bnnep_checkpoint_load(other.optimizer, path), BNNEP_ERROR_ARGUMENT,
                   "grid_bits is missing, here it is 16");
    net_free(&saved);
    net_free(&net);
    net_free(&other);
}

/* Values that cannot be, in a file that is otherwise whole: found before any of them is put. */
static void impossible_values(void **state) {
    (void)state;
    const uint32_t nan = 0x7fc00000;
    const size_t momenta = 29 * 35 + 20 * 29, floats = momenta + 2 + 29 + 20; /* then 5 bytes of signs a row */
    struct net saved = net_make(&shape, "cpu"), net = net_make(&shape, "cpu"), untouched = net_make(&shape, "cpu");
    size_t size;
    train_once(&saved);
    assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
    uint8_t *bytes = read_file(&size), *const tensors = bytes + size - (4 * floats + 29 * 5 + 20 * 4);
    memcpy(tensors + 4 * (momenta + 1), &nan, 4);
    seal(bytes, size);
    assert_refused(bnnep_checkpoint_load(net.optimizer, path), BNNEP_ERROR_DATA,
                   "run.safetensors: tensor connection.1.alpha: element 0 is nan");
    assert_same_network(&net, &untouched);
    assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
    read_file(&size);
    tensors[4 * floats + 4] |= 8; /* column 35 of row 0 */
    seal(bytes, size);
    assert_refused(bnnep_checkpoint_load(net.optimizer, path), BNNEP_ERROR_DATA,
                   "run.safetensors: tensor connection.0.signs: row 0 has bits set beyond its 35 columns");
    assert_same_network(&net, &untouched);
    net_free(&saved);
    net_free(&net);
    net_free(&untouched);
}

/* A run that has diverged writes nothing: what was there before stays. */
static void diverged(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu");
    bnnep_workspace *ws = bnnep_network_workspace(net.network);
    float huge[29];
    for (size_t i = 0; i < 29; i++)
        huge[i] = 1e38f;
    assert_ok(bnnep_checkpoint_save(net.optimizer, path, "good"));
    assert_ok(bnnep_workspace_stage(ws, (const float[VALUES]){1.0f}, (const float[20]){1.0f}, 1));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_FREE, 1, 0.0f, NULL));
    assert_ok(phase_run(ws, BNNEP_PHASE_FREE, BNNEP_PHASE_NUDGED, 1, 0.5f, NULL));
    assert_ok(bnnep_workspace_set_state(ws, BNNEP_PHASE_NUDGED, 1, huge, 29));
    assert_ok(bnnep_workspace_set_state(ws, BNNEP_PHASE_NUDGED, 2, huge, 20));
    assert_ok(phase_learn(net.optimizer, ws, 0.0, NULL));
    assert_refused(bnnep_checkpoint_save(net.optimizer, path, "bad"), BNNEP_ERROR_DATA,
                   "run.safetensors: not written: tensor connection.1.momentum: element 0 is inf");
    char note[8];
    assert_ok(bnnep_file_text(path, "note", note, sizeof note, NULL));
    assert_string_equal(note, "good");
    net_free(&net);
}

/* A small file that describes a large network, as large as one may be: it takes no memory before its tensors are found
 * to be others. */
static void claims(void **state) {
    (void)state;
    const bool wide = SIZE_MAX > UINT32_MAX;
    static const char from[] =
        "\\\"input\\\":[2,7,9],\\\"classes\\\":10,\\\"expand_output\\\":1,\\\"theta\\\":0.40000000596046448,";
    char to[sizeof from];
    assert_int_equal(
        snprintf(to, sizeof to,
                 "\\\"input\\\":[%8d,7,9],\\\"classes\\\":10,\\\"expand_output\\\":1,\\\"theta\\\":0.4,         ",
                 wide ? 17000000 : 160000),
        sizeof from - 1);
    const bnnep_connection connections[] = {BNNEP_CONV(5, 3, 1, 2), BNNEP_FC(10)};
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_load_options l = BNNEP_LOAD_OPTIONS_INIT;
    bnnep_network *network;
    size_t size;
    o.input_channels = 2;
    o.input_height = 7;
    o.input_width = 9;
    o.connections = connections;
    o.connection_count = 2;
    o.theta = 0.4f;
    assert_ok(bnnep_network_create(NULL, &o, &network));
    assert_ok(bnnep_network_save(network, path, NULL));
    bnnep_network_free(network);
    uint8_t *bytes = read_file(&size);
    memcpy(find_text(bytes, size, from), to, strlen(to));
    seal(bytes, size);
    l.max_batch = 1;
    assert_refused(bnnep_network_load(NULL, path, &l, &network), BNNEP_ERROR_FORMAT,
                   wide ? "connection.0.signs is U8 [5, 3], expected U8 [5, 19125000]"
                        : "connection.0.signs is U8 [5, 3], expected U8 [5, 180000]");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(damage),   cmocka_unit_test(foreign),
                                       cmocka_unit_test(older),    cmocka_unit_test(impossible_values),
                                       cmocka_unit_test(diverged), cmocka_unit_test(claims)};
    return cmocka_run_group_tests_name("damage", tests, make_folder, remove_folder);
}
