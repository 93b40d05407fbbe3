/* SPDX-License-Identifier: MIT */
/* Backends in modules: whatever is wrong with a module, the library says what, "auto" goes on without it and logs why,
 * and asking from many threads at once loads it once. A process looks for modules once, so each case is one of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static void in_child(const char *path, void (*check)(void)) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("BNNEP_BACKEND_PATH", path, 1);
        check();
        exit(0); /* a check that fails does not come here */
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void expect(bool good, const char *what, const char *text) {
    if (good)
        return;
    fprintf(stderr, "%s: '%s'\n", what, text);
    _exit(1);
}

static void keep_notice(void *user, int32_t level, const char *message) {
    if (level == BNNEP_LOG_NOTICE)
        snprintf(user, 512, "%s", message);
}

static bnnep_status make(const char *backend, char *notice) {
    bnnep_connection connection = BNNEP_FC(10);
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network = NULL;
    o.input_channels = 5;
    o.classes = 10;
    o.connections = &connection;
    o.connection_count = 1;
    o.free_steps = 3;
    o.backend = backend;
    o.log = keep_notice;
    o.log_user = notice;
    const bnnep_status status = bnnep_network_create(&o, &network);
    bnnep_network_free(network);
    return status;
}

/* The module cannot be used, for the reason given. */
static void unusable(const char *reason) {
    char notice[512] = "";
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    expect(bnnep_backend_get(0, &info) == BNNEP_OK && !info.available, "available", info.reason ? info.reason : "");
    expect(info.reason && strstr(info.reason, reason), "reason", info.reason ? info.reason : "");
    expect(make("cuda", NULL) == BNNEP_ERROR_BACKEND && strstr(bnnep_last_error(), reason), "error",
           bnnep_last_error());
    expect(make("auto", notice) == BNNEP_OK && strstr(notice, reason), "notice", notice);
    expect(make("gpu", NULL) == BNNEP_ERROR_BACKEND && strstr(bnnep_last_error(), "cuda (not here), cpu, ref"), "names",
           bnnep_last_error());
}

static void nowhere(void) {
    unusable("module libbnnep-cuda.so not found in '/nowhere:/nor/here'");
}

static void other_interface(void) {
    unusable("built for backend interface");
}

static void no_library(void) {
    unusable("libbnnep-cuda.so: "); /* the loader's own words follow */
}

static void *look(void *unused) {
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    expect(bnnep_backend_get(0, &info) == BNNEP_OK && !info.available, "available", info.reason ? info.reason : "");
    return unused;
}

static void at_once(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        expect(pthread_create(&threads[i], NULL, look, NULL) == 0, "pthread_create", "");
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

static void missing(void **state) {
    (void)state;
    in_child("/nowhere:/nor/here", nowhere);
}

static void mismatched(void **state) {
    (void)state;
    in_child(BNNEP_OTHER_INTERFACE, other_interface);
    in_child("/nowhere::" BNNEP_OTHER_INTERFACE, other_interface);
}

static void damaged(void **state) {
    (void)state;
    char folder[] = "/tmp/bnnep-module-XXXXXX", file[128];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/libbnnep-cuda.so", folder);
    FILE *module = fopen(file, "w");
    assert_non_null(module);
    fputs("no library\n", module);
    fclose(module);
    in_child(folder, no_library);
    unlink(file);
    rmdir(folder);
}

static void threads(void **state) {
    (void)state;
    in_child(BNNEP_OTHER_INTERFACE, at_once);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(missing), cmocka_unit_test(mismatched),
                                       cmocka_unit_test(damaged), cmocka_unit_test(threads)};
    return cmocka_run_group_tests_name("modules", tests, NULL, NULL);
}
