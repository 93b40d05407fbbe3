/* SPDX-License-Identifier: MIT */
/* Code is loaded from where the program or its user said, or from beside a shared library, and from nowhere else: not
 * from the current folder, nor for a program with more rights than its user. This program, which has the library in it,
 * starts itself in a folder with a planted module, and looks whether the module left its mark.
 *     test_planted --look      asks for all backends; status PRIVILEGED where the system calls it so */
#define _GNU_SOURCE /* environ */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { PRIVILEGED = 9 };

static char self[4096]; /* this program */
static char folder[] = "/tmp/bnnep-planted-XXXXXX";

static int look(void) {
    bnnep_context *context;
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    if (bnnep_context_create(NULL, &context) != BNNEP_OK)
        return 1;
    for (size_t i = 0; i < bnnep_backend_count(context); i++)
        if (bnnep_backend_get(context, i, &info) != BNNEP_OK)
            return 2;
    bnnep_context_free(context);
    return getauxval(AT_SECURE) ? PRIVILEGED : 0;
}

/* --- folders ------------------------------------------------------------------------------------------------------ */

static char *inside(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int plant(void **state) {
    (void)state;
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    return length > 0 && mkdtemp(folder) && symlink(BNNEP_PLANTED, inside("libbnnep-cuda.so")) == 0 ? 0 : -1;
}

static int clear(void **state) {
    static const char *const names[] = {"libbnnep-cuda.so", "libbnnep-loops.so", "libbnnep.so", "program", "mark"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(inside(names[i]));
    return rmdir(folder);
}

static void copy(const char *from, const char *to) {
    char bytes[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, got, out), got);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

/* Starts `program` in the folder with BNNEP_BACKEND_PATH (NULL: unset) and a PATH on which this program is. Was the
 * module loaded? */
static bool loads(const char *program, const char *backend_path, int *status) {
    char path[4096], *slash = strrchr(self, '/');
    snprintf(path, sizeof path, "%.*s", (int)(slash - self), self);
    unlink(inside("mark"));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        unsetenv("BNNEP_BACKEND_PATH");
        if (backend_path)
            setenv("BNNEP_BACKEND_PATH", backend_path, 1);
        setenv("PATH", path, 1);
        if (chdir(folder) == 0)
            execlp(program, program, "--look", (char *)NULL);
        _exit(127);
    }
    waitpid(child, status, 0);
    assert_true(WIFEXITED(*status));
    *status = WEXITSTATUS(*status);
    return access(inside("mark"), F_OK) == 0;
}

static void assert_not_loaded(const char *program, const char *backend_path) {
    int status;
    assert_false(loads(program, backend_path, &status));
    assert_int_equal(status, 0);
}

static void in_the_current_folder(void **state) {
    (void)state;
    const char *name = strrchr(self, '/') + 1; /* found through PATH */
    int status;
    assert_not_loaded(name, NULL);
    assert_not_loaded(name, "");
    assert_not_loaded(name, ".");
    assert_not_loaded(name, ":./:../..");
    assert_true(loads(name, folder, &status)); /* the module is one that can be loaded */
    assert_int_equal(status, 0);
}

static void beside_the_program(void **state) {
    (void)state;
    copy(self, inside("program"));
    assert_int_equal(chmod(inside("program"), 0755), 0);
    assert_not_loaded("./program", NULL);
    char program[4096];
    snprintf(program, sizeof program, "%s", inside("program"));
    assert_not_loaded(program, NULL);
}

/* A program with the rights of a group that is not its user's. */
static void with_privileges(void **state) {
    (void)state;
    int status;
    char program[4096];
    snprintf(program, sizeof program, "%s", inside("program"));
    const gid_t other = 65534;
    if (getuid() != 0 || getgid() == other || chown(program, (uid_t)-1, other) != 0 || chmod(program, 02755) != 0)
        skip();
    const bool loaded = loads(program, folder, &status);
    if (status == 0)
        skip(); /* a file system without such rights */
    assert_int_equal(status, PRIVILEGED);
    assert_false(loaded);
    assert_false(loads(program, NULL, &status));
    assert_int_equal(status, PRIVILEGED);
}

/* --- what is told ------------------------------------------------------------------------------------------------- */

static void relative_folders(void **state) {
    (void)state;
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    o.module_path = "/nowhere:modules";
    assert_refused(bnnep_context_create(&o, &context), BNNEP_ERROR_ARGUMENT, "module_path has 'modules'");
    o.module_path = "/nowhere::/nor/here:";
    assert_ok(bnnep_context_create(&o, &context));
    bnnep_context_free(context);
    o.module_path = NULL;
    o.backend = "cuda";
    unsetenv("BNNEP_BACKEND_PATH");
    assert_refused(bnnep_context_create(&o, &context), BNNEP_ERROR_BACKEND, "libbnnep-cuda.so not found, as no folder");
    setenv("BNNEP_BACKEND_PATH", "modules", 1);
    assert_refused(bnnep_context_create(&o, &context), BNNEP_ERROR_BACKEND, "begin with /");
    unsetenv("BNNEP_BACKEND_PATH");
}

/* A shared library finds its modules beside itself. */
static void beside_the_library(void **state) {
    (void)state;
#ifdef BNNEP_SHARED
    copy(BNNEP_SHARED, inside("libbnnep.so"));
    copy(BNNEP_LOOPS, inside("libbnnep-loops.so"));
    void *library = dlopen(inside("libbnnep.so"), RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    bnnep_status (*create)(const bnnep_context_options *, bnnep_context **);
    void (*release)(bnnep_context *);
    *(void **)&create = dlsym(library, "bnnep_context_create");
    *(void **)&release = dlsym(library, "bnnep_context_free");
    bnnep_context_options o = BNNEP_CONTEXT_OPTIONS_INIT;
    bnnep_context *context;
    o.backend = "loops";
    assert_true(create && release);
    assert_int_equal(create(&o, &context), BNNEP_OK);
    release(context);
    dlclose(library);
#else
    skip();
#endif
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--look") == 0)
        return look();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_current_folder), cmocka_unit_test(beside_the_program),
        cmocka_unit_test(with_privileges),       cmocka_unit_test(relative_folders),
        cmocka_unit_test(beside_the_library),
    };
    return cmocka_run_group_tests_name("planted", tests, plant, clear);
}
