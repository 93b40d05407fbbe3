/* SPDX-License-Identifier: MIT */
/* Files of all versions, which lie in folders of their own: they are read, hold what they did, and training goes on
 * from them to the same bits. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

static const char *folder;

static const char *place(int kind, const char *what) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s-%s.safetensors", folder, file_kinds[kind], what);
    return path;
}

/* Compares a line with the one of expected.txt that begins with the same two words. */
static void assert_expected(int kind, const char *what, const char *text) {
    char path[4096], begin[64], line[1024];
    snprintf(path, sizeof path, "%s/expected.txt", folder);
    snprintf(begin, sizeof begin, "%s %s ", file_kinds[kind], what);
    FILE *expected = fopen(path, "r");
    assert_non_null(expected);
    bool found = false;
    while (!found && fgets(line, sizeof line, expected))
        found = strncmp(line, begin, strlen(begin)) == 0;
    fclose(expected);
    assert_true(found);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(text, line + strlen(begin));
}

static void check_network(int kind, const char *backend) {
    char text[1024];
    bnnep_network *network;
    bnnep_context *context = context_on(backend);
    static const char *const files[] = {"network", "checkpoint"};
    for (int i = 0; i < 2; i++) {
        assert_ok(bnnep_network_load(context, place(kind, files[i]), NULL, &network));
        if (i == 1) /* where the run's relaxation is not the network's */
            assert_ok(bnnep_network_set_relaxation(network, 15, 1e-5));
        network_tell(network, text, sizeof text);
        assert_expected(kind, "network", text);
        bnnep_network_free(network);
    }
    bnnep_context_free(context);
}

static void check_checkpoint(int kind, const char *backend) {
    char text[1024];
    struct run run = run_make(kind, backend);
    assert_ok(bnnep_checkpoint_load(run.optimizer, place(kind, "checkpoint")));
    run_tell(&run, text, sizeof text);
    assert_expected(kind, "checkpoint", text);
    run_go_on(&run);
    run_tell(&run, text, sizeof text);
    assert_expected(kind, "trained", text);
    run_free(&run);
}

static void check_texts(int kind) {
    char text[256];
    assert_ok(bnnep_file_text(place(kind, "checkpoint"), "note", text, sizeof text, NULL));
    assert_string_equal(text, "A note: \xc3\xa4, \xe2\x82\xac.\nIts second line.");
    assert_ok(bnnep_file_text(place(kind, "network"), "note", text, sizeof text, NULL));
    assert_string_equal(text, "");
    assert_ok(bnnep_file_text(place(kind, "network"), "library", text, sizeof text, NULL));
    assert_string_equal(text, strrchr(folder, '/') + 1);
}

static void test_files(void **state) {
    const char *names[MOST_BACKENDS];
    struct dirent **entries;
    int versions = 0;
    (void)state;
    const size_t backends = available_backends(names);
    const int found = scandir(BNNEP_FILES, &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", BNNEP_FILES, entries[i]->d_name);
        folder = path;
        for (int kind = 0; kind < FILE_KINDS && strspn(entries[i]->d_name, "0123456789") > 0; kind++) {
            check_texts(kind);
            for (size_t b = 0; b < backends; b++) {
                check_network(kind, names[b]);
                check_checkpoint(kind, names[b]);
            }
            versions += kind == 0;
        }
        free(entries[i]);
    }
    free(entries);
    assert_true(versions >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
