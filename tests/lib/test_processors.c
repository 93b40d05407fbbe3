/* SPDX-License-Identifier: MIT */
/* As many threads as the process may use: a context starts no more than its affinity allows; limits of control groups
 * are those of a tree of files. */
#define _GNU_SOURCE /* sched_setaffinity() */
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/processors.h"
#include "support.h"

/* --- control groups ----------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/bnnep-groups-XXXXXX";

static void write_text(const char *name, const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static size_t processors_of(const char *list) {
    char path[PATH_MAX];
    write_text("list", list);
    snprintf(path, sizeof path, "%s/list", folder);
    return bnnep_cgroup_processors(path, folder);
}

static void groups(void **state) {
    static const struct {
        const char *outer, *inner;
        size_t wanted;
    } limits[] = {
        {"max 100000\n", "max 100000\n", 0},
        {"max 100000\n", "200000 100000\n", 2},
        {"max 100000\n", "250000 100000", 3},
        {"100000 100000", "400000 100000", 1},
        {"300000 100000", "50000 100000", 1},
        {"300000 100000", "max 100000", 3},
        {"", "200000 50000", 4},
        {"nonsense", "200000", 0},
        {"200000 0", "-1 100000", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        write_text("outer/cpu.max", limits[i].outer);
        write_text("outer/inner/cpu.max", limits[i].inner);
        assert_int_equal(processors_of("0::/outer/inner\n"), limits[i].wanted);
        assert_int_equal(processors_of("4:cpu:/other\n0::/outer/inner\n"), limits[i].wanted);
    }
    write_text("outer/cpu.max", "200000 100000\n");
    write_text("outer/inner/cpu.max", "100000 100000\n");
    assert_int_equal(processors_of("0::/outer\n"), 2);
    assert_int_equal(processors_of("0::/outer/inner/without/files"), 1);
    assert_int_equal(processors_of("0::/\n"), 0);
    write_text("cpu.max", "700000 100000\n"); /* as within a container */
    assert_int_equal(processors_of("0::/\n"), 7);
    assert_int_equal(processors_of("10:cpu,cpuacct:/outer\n"), 0); /* of version 1 */
    assert_int_equal(processors_of("0::"), 0);
    assert_int_equal(processors_of(""), 0);
    assert_int_equal(bnnep_cgroup_processors("/nowhere", folder), 0);
}

static void make_path(char *path, const char *name) {
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
}

static int make_folders(void **state) {
    char path[PATH_MAX];
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    make_path(path, "outer");
    int failed = mkdir(path, 0700);
    make_path(path, "outer/inner");
    return failed | mkdir(path, 0700);
}

static int remove_folders(void **state) {
    static const char *const names[] = {
        "outer/inner/cpu.max", "outer/inner", "outer/cpu.max", "outer", "cpu.max", "list", ""};
    char path[PATH_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        make_path(path, names[i]);
        remove(path);
    }
    return 0;
}

/* --- affinity ----------------------------------------------------------------------------------------------------- */

static int threads_now(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *entry; tasks && (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

/* In a process of its own, on as many of the processors it has: the threads that a network's context adds. */
static int threads_added(int most) {
    cpu_set_t all, some;
    CPU_ZERO(&some);
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return -1;
    for (size_t i = 0, taken = 0; i < CPU_SETSIZE && taken < (size_t)most; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &some);
            taken++;
        }
    if (sched_setaffinity(0, sizeof some, &some) != 0 || bnnep_processors() > (size_t)most)
        return -1;
    const int before = threads_now();
    const struct shape shape = {.connections = 1,
                                .units = {256, 256},
                                .free_steps = 1,
                                .nudged_steps = 1,
                                .max_batch = 64,
                                .gamma = 0.1,
                                .threshold = 1.0};
    static const float x[64 * 256] = {1.0f};
    static const int32_t labels[64] = {1};
    struct net net = net_make(&shape, "cpu"); /* threads start with the first work there is for them */
    if (bnnep_optimizer_train_batch(net.optimizer, x, labels, 64, NULL, NULL) != BNNEP_OK)
        return -1;
    const int added = threads_now() - before;
    net_free(&net);
    return added;
}

static void affinity(void **state) {
    (void)state;
    for (int most = 1; most <= 2; most++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            const int added = threads_added(most);
            _exit(added < 0 ? 100 : added);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        const int wanted = (int)bnnep_processors() < most ? (int)bnnep_processors() : most;
        assert_int_equal(WEXITSTATUS(status), wanted - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(groups), cmocka_unit_test(affinity)};
    return cmocka_run_group_tests_name("processors", tests, make_folders, remove_folders);
}
