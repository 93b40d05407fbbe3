/* SPDX-License-Identifier: MIT */
/* The safetensors container, written here by hand as docs/format.md tells: it is read; tensors and headers that reach
 * beyond the file, or a float where none can lie, are refused; a file that cannot be written leaves the old one. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "support.h"

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/bnnep-container-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/network.safetensors", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* A network of 8 inputs and 2 outputs; where its alpha and its signs lie are to be filled in. */
static const char header[] =
    "{\"__metadata__\":{\"format\":\"bnnep-network\",\"format_version\":\"1\",\"digest\":\"00000000\",\"network\":\""
    "{\\\"dynamics\\\":0,\\\"input\\\":[8,1,1],\\\"classes\\\":2,\\\"expand_output\\\":1,\\\"theta\\\":0.5,"
    "\\\"gamma_neur\\\":0.5,\\\"free_steps\\\":5,\\\"settle_tolerance\\\":0.0,\\\"connections\\\":"
    "[{\\\"kind\\\":0,\\\"outputs\\\":2,\\\"kernel\\\":0,\\\"padding\\\":0,\\\"pool\\\":0}]}\"},"
    "\"connection.0.alpha\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":%s},"
    "\"connection.0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
    "\"connection.0.signs\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":%s}}";
static const float numbers[3] = {0.5f, -0.25f, 1.0f}; /* alpha, biases */
static const uint8_t signs[2] = {0x0f, 0xaa};

/* Writes the file. Its header says that it is `length` bytes long; 0: as long as it is. Returns the size. */
static size_t write_file(const char *alpha_at, const char *signs_at, uint64_t length) {
    char text[1024], digest[9];
    uint8_t prefix[8];
    const size_t used = (size_t)snprintf(text, sizeof text, header, alpha_at, signs_at), size = (used + 7) / 8 * 8;
    assert_true(size <= sizeof text);
    memset(text + used, ' ', size - used);
    uLong crc = crc32(0, (const Bytef *)text, (uInt)size);
    crc = crc32(crc, (const Bytef *)numbers, sizeof numbers);
    crc = crc32(crc, signs, sizeof signs);
    snprintf(digest, sizeof digest, "%08lx", crc);
    memcpy(strstr(text, "00000000"), digest, 8);
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)((length ? length : size) >> (8 * i));
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(prefix, 1, sizeof prefix, file);
    fwrite(text, 1, size, file);
    fwrite(numbers, 1, sizeof numbers, file);
    fwrite(signs, 1, sizeof signs, file);
    assert_int_equal(fclose(file), 0);
    return sizeof prefix + size + sizeof numbers + sizeof signs;
}

/* The file is that of write_file("[0,4]", "[12,14]", 0). */
static void is_read(void) {
    bnnep_network *network;
    float alpha, bias[2];
    uint8_t bits[2];
    assert_ok(bnnep_network_load(NULL, path, NULL, &network));
    assert_ok(bnnep_network_get_alpha(network, 0, &alpha, 1));
    assert_ok(bnnep_network_get_bias(network, 0, bias, 2));
    assert_ok(bnnep_network_get_sign_bits(network, 0, bits, 2));
    assert_true(alpha == numbers[0] && bias[0] == numbers[1] && bias[1] == numbers[2]);
    assert_memory_equal(bits, signs, sizeof signs);
    bnnep_network_free(network);
}

static void reads(void **state) {
    (void)state;
    write_file("[0,4]", "[12,14]", 0);
    is_read();
}

static void misplaced_tensors(void **state) {
    (void)state;
    bnnep_network *network;
    write_file("[1,5]", "[12,14]", 0);
    assert_refused(bnnep_network_load(NULL, path, NULL, &network), BNNEP_ERROR_FORMAT,
                   "connection.0.alpha lies at 1 to 5");
    write_file("[0,4]", "[13,15]", 0);
    assert_refused(bnnep_network_load(NULL, path, NULL, &network), BNNEP_ERROR_FORMAT,
                   "connection.0.signs lies at 13 to 15 of 14 bytes");
}

/* Beyond the end of the file, no multiple of 8, beyond the most that is read. */
static void header_lengths(void **state) {
    (void)state;
    const uint64_t most = UINT64_C(4) << 20;
    const size_t size = write_file("[0,4]", "[12,14]", 0);
    const uint64_t lengths[] = {size / 8 * 8, 201, most + 8};
    for (size_t i = 0; i < 3; i++) {
        char says[64];
        bnnep_network *network;
        write_file("[0,4]", "[12,14]", lengths[i]);
        if (lengths[i] > most)
            assert_int_equal(truncate(path, (off_t)most + 16), 0);
        snprintf(says, sizeof says, "a header of %llu bytes", (unsigned long long)lengths[i]);
        assert_refused(bnnep_network_load(NULL, path, NULL, &network),
                       lengths[i] > most ? BNNEP_ERROR_MEMORY : BNNEP_ERROR_FORMAT, says);
    }
}

static size_t files_in_folder(void) {
    size_t count = 0;
    DIR *files = opendir(folder);
    assert_non_null(files);
    while (readdir(files))
        count++;
    closedir(files);
    return count - 2; /* itself and its parent */
}

/* A file that cannot be written whole leaves the one before as it was, and nothing else. */
static void no_room(void **state) {
    (void)state;
    static const struct shape shape = {
        .connections = 1, .units = {8, 2}, .free_steps = 5, .nudged_steps = 1, .max_batch = 1, .gamma = 0.5};
    struct net net = net_make(&shape, "cpu");
    struct rlimit usual, little;
    write_file("[0,4]", "[12,14]", 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    little = usual;
    little.rlim_cur = 100; /* bytes a file */
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    const bnnep_status status = bnnep_network_save(net.network, path, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    signal(SIGXFSZ, handler);
    assert_refused(status, BNNEP_ERROR_FILE, "network.safetensors: cannot be written: ");
    assert_int_equal(files_in_folder(), 1);
    is_read();
    net_free(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(misplaced_tensors),
                                       cmocka_unit_test(header_lengths), cmocka_unit_test(no_room)};
    return cmocka_run_group_tests_name("container", tests, make_folder, remove_folder);
}
