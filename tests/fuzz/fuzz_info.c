/* SPDX-License-Identifier: MIT */
/* What bnnep-info and bnnep-export make of a file: the programs themselves, on a file that is in memory alone. */
#define _GNU_SOURCE
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

int info_main(int argc, char **argv);
int export_main(int argc, char **argv);

static char path[64];

static void put(const uint8_t *bytes, size_t size) {
    static int file = -1;
    if (file < 0) {
        file = memfd_create("network", MFD_CLOEXEC);
        PROMISE(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    PROMISE(ftruncate(file, (off_t)size) == 0 && pwrite(file, bytes, size, 0) == (ssize_t)size);
}

static bool is_readable(const uint8_t *bytes, size_t size) {
    const bnnep_source source = fuzz_source(bytes, size);
    bnnep_load_options o = BNNEP_LOAD_OPTIONS_INIT;
    bnnep_network *network;
    o.max_batch = 1;
    const bool read = bnnep_network_read(fuzz_context(true), &source, &o, &network) == BNNEP_OK;
    bnnep_network_free(network);
    return read;
}

/* Runs a program with some words before the file; what it prints goes to `file`, or nowhere. */
static int run(int (*program)(int, char **), const char *first, const char *second, FILE *file) {
    char words[4][64];
    char *argv[5] = {NULL};
    const char *const given[] = {"program", first, second, path};
    int argc = 0;
    for (int i = 0; i < 4; i++)
        if (given[i]) {
            snprintf(words[argc], sizeof words[argc], "%s", given[i]);
            argv[argc] = words[argc];
            argc++;
        }
    fuzz_hush(file);
    optind = 0;
    const int status = program(argc, argv);
    fuzz_hush(NULL);
    PROMISE(status == 0 || status == 1);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text;
    size_t length;
    uint8_t *bytes = fuzz_digested(data, size);
    put(bytes, size);
    const bool readable = is_readable(bytes, size);
    free(bytes);
    FILE *file = open_memstream(&text, &length);
    PROMISE(file);
    const int status = run(info_main, "--json", NULL, file);
    PROMISE(fclose(file) == 0);
    if (status == 0) {
        json_t *object = json_loadb(text, length, 0, NULL);
        PROMISE(json_is_array(json_object_get(object, "connections")));
        json_decref(object);
    }
    free(text);
    PROMISE(run(info_main, NULL, NULL, NULL) == status);
    const int exported = run(export_main, "--c", size % 2 ? "--single" : NULL, NULL);
    /* each may find more to refuse: texts that are no JSON, a normalisation that is none */
    PROMISE(readable || (status != 0 && exported != 0));
    return 0;
}
