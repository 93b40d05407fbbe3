/* SPDX-License-Identifier: MIT */
/* Command lines of bnnep-train, as a checkpoint's note has them: what is understood is written so that it means the
 * same. */
#include <string.h>

#include "common/program.h"
#include "fuzz.h"
#include "train/options.h"

/* The options of a command line as text, to be freed; NULL if they are refused. */
static char *read_and_write(const char *text) {
    char **words;
    struct options options;
    const int count = options_split(text, &words);
    PROMISE(count >= 1);
    const int status = options_read(&options, count, words);
    PROMISE(status >= -1 && status <= 2);
    char *written = status < 0 ? options_write(&options) : NULL;
    PROMISE(status >= 0 || written);
    if (written && options.resume) { /* which notes do not have */
        free(written);
        written = NULL;
    }
    if (written) {
        char *shown;
        size_t length;
        FILE *file = open_memstream(&shown, &length);
        PROMISE(file);
        options_print(&options, file);
        PROMISE(fclose(file) == 0 && length > 0);
        free(shown);
    }
    free(words);
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    fuzz_hush(NULL);
    program_name = "bnnep-train";
    char *text = fuzz_text(&bytes), *once = read_and_write(text);
    if (once) {
        char *twice = read_and_write(once);
        PROMISE(twice && strcmp(once, twice) == 0);
        for (const char *c = once; *c; c++)
            PROMISE((*c >= ' ' && *c < 127) || *c == '\n');
        free(twice);
    }
    free(once);
    free(text);
    return 0;
}
