/* SPDX-License-Identifier: MIT */
/* What is opened, by its path: the longest ones, and names that tell the format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static char folder[] = "/tmp/bnnep-open-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* An image of 2 x 3 as IDX, by any name. */
static void write_image(const char *name) {
    static const char image[16 + 6] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 2, 3, 4, 5};
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(image, 1, sizeof image, file), sizeof image);
    fclose(file);
}

/* Folders whose path is as long as the system allows, so that those of the files in them are too long. */
static void long_paths(void **state) {
    (void)state;
    static char path[4200];
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_dataset *data;
    strcpy(path, folder);
    while (strlen(path) < 4090)
        strcat(path, "/.");
    for (int32_t format = BNNEP_FORMAT_AUTO; format <= BNNEP_FORMAT_CIFAR10; format++) {
        o.format = format;
        assert_refused(bnnep_dataset_open(NULL, path, &o, &data), BNNEP_ERROR_ARGUMENT, "the path of the data folder");
        assert_null(data);
    }
    strcat(path, "/./././.");
    assert_refused(bnnep_dataset_open(NULL, path, NULL, &data), BNNEP_ERROR_FILE, folder); /* cut before the reason */
}

/* What a file is, is told by its name where there is nothing else: one of IDX, unless it ends in .bin. */
static void names(void **state) {
    (void)state;
    bnnep_dataset *data;
    static const char *const idx[] = {"plain", "with.ending", ".bin.gz", "bin"};
    for (size_t i = 0; i < sizeof idx / sizeof idx[0]; i++) {
        write_image(idx[i]);
        assert_ok(bnnep_dataset_open(NULL, path_of(idx[i]), NULL, &data));
        bnnep_dataset_free(data);
    }
    write_image("batch.bin");
    assert_refused(bnnep_dataset_open(NULL, path_of("batch.bin"), NULL, &data), BNNEP_ERROR_FORMAT, "batch.bin");
    const char *const link = path_of("train-images-idx3-ubyte");
    assert_int_equal(symlink("train-images-idx3-ubyte", link), 0); /* to itself */
    assert_refused(bnnep_dataset_open(NULL, folder, NULL, &data), BNNEP_ERROR_FILE, "train-images-idx3-ubyte: cannot");
    unlink(link);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(long_paths), cmocka_unit_test(names)};
    return cmocka_run_group_tests_name("open", tests, make_folder, remove_folder);
}
