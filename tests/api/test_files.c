/* SPDX-License-Identifier: MIT */
/* Where files are written and read: under names of their own, never through devices, FIFOs or links; and what files ask
 * for, against the limits of a context. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "support.h"

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bnnep-files-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/network.safetensors", folder);
    return 0;
}

static int empty_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/*", folder);
    return system(command);
}

static int remove_folder(void **state) {
    return empty_folder(state) || rmdir(folder);
}

static const struct shape shape = {
    .connections = 1, .units = {8, 10}, .free_steps = 5, .nudged_steps = 2, .max_batch = 2, .gamma = 0.5};

/* The names in the folder that end in ".part". */
static size_t parts(void) {
    size_t count = 0;
    DIR *files = opendir(folder);
    assert_non_null(files);
    for (const struct dirent *entry; (entry = readdir(files));)
        count += strlen(entry->d_name) > 5 && strcmp(entry->d_name + strlen(entry->d_name) - 5, ".part") == 0;
    closedir(files);
    return count;
}

static bnnep_status load(void) {
    bnnep_network *network;
    const bnnep_status status = bnnep_network_load(NULL, path, NULL, &network);
    bnnep_network_free(network);
    return status;
}

/* What errno was before means nothing. */
static void old_errors(void **state) {
    (void)state;
    struct net net = net_make(&shape, "ref");
    errno = EINTR;
    assert_ok(bnnep_network_save(net.network, path, NULL));
    errno = EINTR;
    assert_ok(load());
    net_free(&net);
}

/* A FIFO or device neither holds up the reader or writer nor is replaced. */
static void special(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu");
    struct stat about;
    bnnep_dataset *dataset;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(load(), BNNEP_ERROR_FILE, "is not a regular file");
    assert_refused(bnnep_dataset_open(NULL, path, NULL, &dataset), BNNEP_ERROR_FILE, "is not a regular file");
    assert_refused(bnnep_network_save(net.network, path, NULL), BNNEP_ERROR_FILE, "is not a regular file");
    assert_int_equal(lstat(path, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_refused(bnnep_network_save(net.network, "/dev/null", NULL), BNNEP_ERROR_FILE, "is not a regular file");
    assert_int_equal(stat("/dev/null", &about), 0);
    assert_true(S_ISCHR(about.st_mode));
    assert_refused(bnnep_checkpoint_load(net.optimizer, "/dev/zero"), BNNEP_ERROR_FILE, "is not a regular file");
    assert_refused(bnnep_network_save(net.network, folder, NULL), BNNEP_ERROR_FILE, "is not a regular file");
    net_free(&net);
}

/* What lies where a file is about to be written, whoever put it there, is not written to. */
static void planted(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu");
    char part[128], victim[128], text[8] = "";
    struct stat about;
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(victim, sizeof victim, "%s/victim", folder);
    FILE *file = fopen(victim, "w");
    assert_non_null(file);
    assert_true(fputs("kept", file) >= 0);
    fclose(file);
    assert_int_equal(link(victim, part), 0);
    assert_int_equal(symlink(victim, path), 0);
    assert_ok(bnnep_network_save(net.network, path, NULL));
    assert_ok(load());
    assert_int_equal(lstat(path, &about), 0);
    assert_true(S_ISREG(about.st_mode));
    file = fopen(victim, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "kept");
    assert_int_equal(unlink(part), 0);
    assert_int_equal(parts(), 0);
    net_free(&net);
}

/* A write that fails leaves the file and no other. */
static void failed_write(void **state) {
    (void)state;
    struct net net = net_make(&shape, "cpu");
    assert_ok(bnnep_network_save(net.network, path, NULL));
    assert_refused(bnnep_network_save(net.network, path, "\xff"), BNNEP_ERROR_ARGUMENT, "UTF-8");
    assert_ok(load());
    assert_int_equal(parts(), 0);
    net_free(&net);
}

/* A disk that keeps something else, here memory: its last byte changes when the written file is about to be read. */
static struct {
    uint8_t bytes[1 << 16];
    uint64_t size; /* of the file; 0: it stays as it is written */
} disk;

static void *take(void *user, size_t bytes) {
    (void)user;
    if (disk.size > 0 && disk.bytes[disk.size - 1] != 0xff)
        disk.bytes[disk.size - 1] = 0xff;
    return malloc(bytes);
}

static void give_back(void *user, void *memory) {
    (void)user;
    free(memory);
}

static void reads_back(void **state) {
    (void)state;
    const bnnep_connection connections[] = {BNNEP_FC(10)};
    bnnep_context_options c = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_sink sink = BNNEP_SINK_INIT;
    bnnep_context *context;
    bnnep_network *network;
    uint64_t size;
    c.allocate = take;
    c.release = give_back;
    o.input_channels = 8;
    o.connections = connections;
    o.connection_count = 1;
    assert_ok(bnnep_context_create(&c, &context));
    assert_ok(bnnep_network_create(context, &o, &network));
    sink.bytes = disk.bytes;
    sink.room = sizeof disk.bytes;
    sink.count = &size;
    assert_ok(bnnep_network_write(network, &sink, NULL));
    disk.size = size;
    assert_refused(bnnep_network_write(network, &sink, NULL), BNNEP_ERROR_FILE, "reads back otherwise");
    disk.size = 0;
    assert_ok(bnnep_network_write(network, &sink, NULL));
    bnnep_network_free(network);
    bnnep_context_free(context);
}

/* Cuts the file and makes it whole again until the parent kills it. */
static _Noreturn void cut_for_ever(void) {
    static char bytes[1 << 20];
    alarm(60); /* if the parent is no more */
    FILE *file = fopen(path, "r+b");
    const size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    for (;;)
        if (ftruncate(fileno(file), 0) != 0 || fseek(file, 0, SEEK_SET) != 0 || fwrite(bytes, 1, size, file) != size ||
            fflush(file) != 0)
            _exit(1);
}

/* A file that another process cuts while it is read: what was read of it is whole, or damaged, and no signal comes. */
static void cut_while_read(void **state) {
    (void)state;
    static const struct shape large = {
        .connections = 1, .units = {20000, 10}, .free_steps = 5, .nudged_steps = 2, .max_batch = 1, .gamma = 0.5};
    struct net net = net_make(&large, "cpu");
    int status, whole = 0, damaged = 0;
    assert_ok(bnnep_checkpoint_save(net.optimizer, path, NULL));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        cut_for_ever();
    for (int i = 0; i < 300; i++) {
        const bnnep_status loaded = bnnep_checkpoint_load(net.optimizer, path);
        assert_true(loaded == BNNEP_OK || loaded == BNNEP_ERROR_FORMAT);
        whole += loaded == BNNEP_OK;
        damaged += loaded != BNNEP_OK;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status)); /* it cut until then */
    print_message("whole %d times, damaged %d times\n", whole, damaged);
    net_free(&net);
}

/* Messages quote paths, notes and what not: no terminal obeys them. */
static void escapes(void **state) {
    (void)state;
    bnnep_network *network;
    assert_refused(
        bnnep_network_load(NULL, "no\x1b]0;such\x07\xff\xc2\x9b.f\xc3\xa4 \xe2\x82\xac\n\xe2\x82", NULL, &network),
        BNNEP_ERROR_FILE, "no\\x1b]0;such\\x07\\xff\\xc2\\x9b.f\xc3\xa4 \xe2\x82\xac\\x0a\\xe2\\x82: cannot be opened");
    char path_of_many[2000];
    memset(path_of_many, '\x1b', sizeof path_of_many - 1);
    path_of_many[sizeof path_of_many - 1] = '\0';
    assert_refused(bnnep_network_load(NULL, path_of_many, NULL, &network), BNNEP_ERROR_FILE, "\\x1b\\x1b");
    assert_true(strlen(bnnep_last_error()) < 1024);
}

/* --- what files ask for --------------------------------------------------------------------------------------------
 */

/* Writes a file by hand: a header, and `zeros` bytes of tensors. */
static void write_file(const char *header, size_t zeros) {
    static const uint8_t none[4096];
    const size_t used = strlen(header), size = (used + 7) / 8 * 8;
    char *text = malloc(size + 1), digest[9];
    assert_non_null(text);
    assert_true(zeros <= sizeof none);
    memset(text, ' ', size);
    memcpy(text, header, used);
    text[size] = '\0';
    snprintf(digest, sizeof digest, "%08lx", crc32(crc32(0, (Bytef *)text, (uInt)size), none, (uInt)zeros));
    char *place = strstr(text, "\"digest\":\"00000000");
    assert_non_null(place);
    memcpy(place + strlen("\"digest\":\""), digest, 8);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        fputc((int)((uint64_t)size >> (8 * i) & 0xff), file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fwrite(none, 1, zeros, file), zeros);
    fclose(file);
    free(text);
}

#define START "{\"__metadata__\":{\"format\":\"bnnep-network\",\"format_version\":\"1\",\"digest\":\"00000000\""
#define NETWORK(input, steps, connections)                                                                             \
    ",\"network\":\"{\\\"dynamics\\\":0,\\\"input\\\":" input ",\\\"classes\\\":2,\\\"expand_output\\\":1,"            \
    "\\\"theta\\\":0.5,\\\"gamma_neur\\\":0.5,\\\"free_steps\\\":" steps                                               \
    ",\\\"settle_tolerance\\\":-1.0,\\\"connections\\\":[" connections "]}\""
#define CONNECTION(kind, outputs, kernel, pool)                                                                        \
    "{\\\"kind\\\":" kind ",\\\"outputs\\\":" outputs ",\\\"kernel\\\":" kernel                                        \
    ",\\\"padding\\\":0,\\\"pool\\\":" pool "}"
/* 1 x 8191 x 8191 inputs, a convolution of 1 x 1 to one channel, pooled by 255, 32 x 32 of which remain: a kilobyte
 * that asks for gigabytes. */
static void large_network(void **state) {
    (void)state;
    static const char header[] = START NETWORK(
        "[1,8191,8191]", "5",
        CONNECTION("1", "1", "1", "255") "," CONNECTION(
            "0", "2", "0",
            "0")) "},"
                  "\"connection.0.alpha\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                  "\"connection.0.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
                  "\"connection.0.signs\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[20,21]},"
                  "\"connection.1.alpha\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
                  "\"connection.1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]},"
                  "\"connection.1.signs\":{\"dtype\":\"U8\",\"shape\":[2,128],\"data_offsets\":[21,277]}}";
    write_file(header, 277);
    assert_refused(load(), BNNEP_ERROR_MEMORY,
                   SIZE_MAX > UINT32_MAX ? "with max_batch 64; the context's file_network allows 1073741824"
                                         : "more than memory can address");
}

/* A network that never rests. */
static void many_steps(void **state) {
    (void)state;
    static const char header[] = START NETWORK(
        "[8,1,1]", "1000000000",
        CONNECTION("0", "2", "0",
                   "0")) "},"
                         "\"connection.0.alpha\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                         "\"connection.0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
                         "\"connection.0.signs\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[12,14]}}";
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *network;
    write_file(header, 14);
    assert_refused(load(), BNNEP_ERROR_MEMORY, "1000000000 free steps; the context's file_steps allow 10000");
    o.file_steps = 1000000000;
    assert_ok(bnnep_context_create(&o, &context));
    assert_ok(bnnep_network_load(context, path, NULL, &network));
    bnnep_network_free(network);
    bnnep_context_free(context);
}

/* The same of a checkpoint whose steps were changed on the way: the optimizer's own are allowed. */
static void steps_of_checkpoint(void **state) {
    (void)state;
    struct net saved = net_make(&shape, "cpu"), net = net_make(&shape, "cpu");
    assert_ok(bnnep_network_set_relaxation(saved.network, 20000, 0.0));
    assert_ok(bnnep_checkpoint_save(saved.optimizer, path, NULL));
    assert_refused(bnnep_checkpoint_load(net.optimizer, path), BNNEP_ERROR_MEMORY,
                   "20000 free steps; the context's file_steps allow 10000");
    assert_ok(bnnep_network_set_relaxation(net.network, 20000, 0.0));
    assert_ok(bnnep_checkpoint_load(net.optimizer, path));
    net_free(&saved);
    net_free(&net);
}

/* JSON that is nothing but a great number of items, deep nesting, or a header longer than any. */
static void headers(void **state) {
    (void)state;
    enum { LONG = 5 << 20 };
    char *header = malloc(LONG + 1);
    assert_non_null(header);
    static const char start[] = START ",\"note\":\"\"},\"x\":[";
    memset(header, ' ', LONG);
    header[LONG] = '\0';
    memcpy(header, start, sizeof start - 1);
    for (size_t i = sizeof start - 1; i < 300000; i += 2)
        memcpy(header + i, "1,", 2);
    strcpy(header + 300000, "1]}");
    write_file(header, 0);
    assert_refused(load(), BNNEP_ERROR_MEMORY, "items of JSON");
    for (size_t i = 0; i < 9; i++)
        header[sizeof start - 1 + i] = '[';
    write_file(header, 0);
    assert_refused(load(), BNNEP_ERROR_FORMAT, "nests deeper than 8");
    memset(header + sizeof start - 1, ' ', LONG - sizeof start + 1);
    write_file(header, 0);
    assert_refused(load(), BNNEP_ERROR_MEMORY, "a header of 5242880 bytes; the context's file_header allows 4194304");
    header[(4 << 20) + 8] = '\0'; /* the limit itself, and the least beyond it */
    write_file(header, 0);
    assert_refused(load(), BNNEP_ERROR_MEMORY, "a header of 4194312 bytes");
    header[4 << 20] = '\0';
    write_file(header, 0);
    assert_int_equal(load(), BNNEP_ERROR_FORMAT);
    free(header);
}

/* What could not be loaded again is not saved; who allows more can do both. */
static void long_note(void **state) {
    (void)state;
    enum { LONG = 5 << 20 };
    char *note = malloc(LONG + 1);
    struct net net = net_make(&shape, "cpu");
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *clone, *read;
    assert_non_null(note);
    memset(note, 'n', LONG);
    note[LONG] = '\0';
    assert_refused(bnnep_network_save(net.network, path, note), BNNEP_ERROR_MEMORY, "file_header");
    assert_int_equal(access(path, F_OK), -1);
    o.file_header = 2 * LONG;
    assert_ok(bnnep_context_create(&o, &context));
    assert_ok(bnnep_network_clone(net.network, context, &clone));
    assert_ok(bnnep_network_save(clone, path, note));
    assert_ok(bnnep_network_load(context, path, NULL, &read));
    bnnep_network_free(read);
    bnnep_network_free(clone);
    bnnep_context_free(context);
    net_free(&net);
    free(note);
}

/* A checkpoint as large as the optimizer is loaded, whatever the limit; a network is not made of it. */
static void own_size(void **state) {
    (void)state;
    const bnnep_connection connections[] = {BNNEP_FC(10)};
    const double rates[] = {0.5};
    bnnep_context_options c = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_optimizer_options p = BNNEP_OPTIMIZER_OPTIONS_INIT;
    bnnep_context *context;
    bnnep_network *network, *read;
    bnnep_optimizer *optimizer;
    c.file_network = 100;
    o.input_channels = 8;
    o.connections = connections;
    o.connection_count = 1;
    p.gamma = p.threshold = p.lr_bias = rates;
    assert_ok(bnnep_context_create(&c, &context));
    assert_ok(bnnep_network_create(context, &o, &network));
    assert_ok(bnnep_optimizer_create(network, &p, &optimizer));
    assert_ok(bnnep_checkpoint_save(optimizer, path, NULL));
    assert_ok(bnnep_checkpoint_load(optimizer, path));
    assert_refused(bnnep_network_load(context, path, NULL, &read), BNNEP_ERROR_MEMORY,
                   "holds more than the context's file_network, 100");
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    bnnep_context_free(context);
}

#ifndef BNNEP_WITHOUT_ZLIB
/* More than a gibibyte of data in a megabyte. */
static void bomb(void **state) {
    (void)state;
    static uint8_t zeros[1 << 16];
    uint8_t head[16] = {0, 0, 8, 3, 0x10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8}; /* 2^28 images of 8 values */
    gzFile file = gzopen(path, "wb1");
    bnnep_dataset *dataset;
    assert_non_null(file);
    assert_int_equal(gzwrite(file, head, sizeof head), sizeof head);
    assert_int_equal(gzwrite(file, zeros, sizeof zeros), sizeof zeros);
    gzclose(file);
    const bnnep_open_options idx = {.size = sizeof idx, .format = BNNEP_FORMAT_IDX};
    assert_refused(bnnep_dataset_open(NULL, path, &idx, &dataset), BNNEP_ERROR_MEMORY,
                   "unpacks to 2147483648 bytes or more; the context's file_unpacked allows 1073741824");
}
#endif

#define TEST(name) cmocka_unit_test_setup(name, empty_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(old_errors),     TEST(special),   TEST(planted),       TEST(failed_write), TEST(reads_back),
        TEST(cut_while_read), TEST(escapes),   TEST(large_network), TEST(many_steps),   TEST(steps_of_checkpoint),
        TEST(headers),        TEST(long_note), TEST(own_size),
#ifndef BNNEP_WITHOUT_ZLIB
        TEST(bomb),
#endif
    };
    return cmocka_run_group_tests_name("files", tests, make_folder, remove_folder);
}
