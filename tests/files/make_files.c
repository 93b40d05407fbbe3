/* SPDX-License-Identifier: MIT */
/*
 * make_files FOLDER: writes the files of this version, and what must be read of them (expected.txt), to a folder that
 * is there. For a new release; the files of old ones are never made again.
 */
#include <stdio.h>

#include "files.h"

/* The files of a kind, and three lines. */
static void make(int kind, const char *folder, FILE *expected) {
    char path[4096], text[1024];
    struct run run = run_make(kind, "ref");
    run_begin(&run);
    snprintf(path, sizeof path, "%s/%s-checkpoint.safetensors", folder, file_kinds[kind]);
    assert_ok(bnnep_checkpoint_save(run.optimizer, path, "A note: \xc3\xa4, \xe2\x82\xac.\nIts second line."));
    snprintf(path, sizeof path, "%s/%s-network.safetensors", folder, file_kinds[kind]);
    assert_ok(bnnep_network_save(run.network, path, NULL));
    network_tell(run.network, text, sizeof text);
    fprintf(expected, "%s network %s\n", file_kinds[kind], text);
    run_tell(&run, text, sizeof text);
    fprintf(expected, "%s checkpoint %s\n", file_kinds[kind], text);
    run_go_on(&run);
    run_tell(&run, text, sizeof text);
    fprintf(expected, "%s trained %s\n", file_kinds[kind], text);
    run_free(&run);
}

int main(int argc, char **argv) {
    char path[4096];
    snprintf(path, sizeof path, "%s/expected.txt", argc == 2 ? argv[1] : "");
    FILE *expected = argc == 2 ? fopen(path, "w") : NULL;
    if (!expected) {
        fputs("usage: make_files FOLDER\n", stderr);
        return 2;
    }
    for (int kind = 0; kind < FILE_KINDS; kind++)
        make(kind, argv[1], expected);
    return fclose(expected) != 0;
}
