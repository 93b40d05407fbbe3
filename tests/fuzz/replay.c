/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target without a fuzzer: replay ITERATIONS FOLDER...
 *
 * Runs the target on each file of the folders, then on so many mutations of them, the same ones each time. Before a
 * target stops the program, the input that did it is in the file "replay-input" in the current folder.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "fuzz.h"

enum { MOST_FILES = 1024, ROOM = 1 << 16 };

struct input {
    size_t size;
    uint8_t bytes[ROOM];
};

static uint64_t state = 0x9e3779b97f4a7c15u;

/* xorshift64: the same everywhere. */
static size_t below(size_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state >> 11) % limit;
}

/* Puts `count` bytes in place of `gone` bytes at `at`. */
static void replace(struct input *in, size_t at, size_t gone, const void *bytes, size_t count) {
    if (at + gone > in->size || in->size - gone + count > ROOM)
        return;
    memmove(in->bytes + at + count, in->bytes + at + gone, in->size - at - gone);
    memcpy(in->bytes + at, bytes, count);
    in->size += count - gone;
}

/* Another number in place of one in digits: headers in JSON and in words are full of them. */
static void change_number(struct input *in, size_t at) {
    static const char *const numbers[] = {
        "0",   "1",   "2",    "7",     "-1",         "255",        "256",
        "0.5", "1e9", "1e-9", "65536", "2147483647", "4294967296", "9223372036854775807"};
    size_t end;
    while (at < in->size && (in->bytes[at] < '0' || in->bytes[at] > '9'))
        at++;
    for (end = at; end < in->size && in->bytes[end] >= '0' && in->bytes[end] <= '9';)
        end++;
    const char *number = numbers[below(sizeof numbers / sizeof numbers[0])];
    replace(in, at, end - at, number, strlen(number));
}

/* The lengths of what follows, where files have them: big-endian and little-endian words. */
static void change_word(struct input *in, size_t at) {
    static const uint8_t bytes[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    const size_t width = (size_t)1 << below(3);
    for (size_t i = 0; i < width && at + i < in->size; i++)
        in->bytes[at + i] = bytes[below(sizeof bytes)];
}

static void mutate(struct input *in, const struct input *other) {
    const size_t at = in->size ? below(in->size) : 0, left = in->size - at,
                 some = left ? 1 + below(left < 64 ? left : 64) : 0;
    switch (below(8)) {
    case 0:
        if (left)
            in->bytes[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        change_word(in, at);
        break;
    case 2: /* the beginning is where the headers are */
        change_word(in, at % 16);
        break;
    case 3:
    case 4:
        change_number(in, at);
        break;
    case 5:
        replace(in, at, some, "", 0);
        break;
    case 6:
        in->size = below(4) ? in->size : at;
        break;
    default:
        if (other->size) {
            const size_t from = below(other->size), most = other->size - from;
            replace(in, at, below(2) ? some : 0, other->bytes + from, 1 + below(most < 64 ? most : 64));
        }
    }
}

static void run(const struct input *in) {
    FILE *file = fopen("replay-input", "wb");
    PROMISE(file && fwrite(in->bytes, 1, in->size, file) == in->size && fclose(file) == 0);
    LLVMFuzzerTestOneInput(in->bytes, in->size);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A folder that is not there has no files. */
static size_t read_folder(const char *folder, struct input **inputs, size_t count) {
    struct dirent **entries;
    const int found = scandir(folder, &entries, NULL, by_name);
    for (int i = 0; i < found; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        FILE *file = entries[i]->d_name[0] != '.' && count < MOST_FILES ? fopen(path, "rb") : NULL;
        if (file) {
            inputs[count] = malloc(sizeof *inputs[0]);
            PROMISE(inputs[count]);
            inputs[count]->size = fread(inputs[count]->bytes, 1, ROOM, file);
            fclose(file);
            count++;
        }
        free(entries[i]);
    }
    if (found >= 0)
        free(entries);
    return count;
}

int main(int argc, char **argv) {
    static struct input *corpus[MOST_FILES];
    FILE *out = stdout; /* before a target hushes it */
    const long iterations = argc > 1 ? atol(argv[1]) : 0;
    struct input *in = malloc(sizeof *in);
    size_t count = 0;
    for (int i = 2; i < argc; i++)
        count = read_folder(argv[i], corpus, count);
    if (count == 0 || !in) {
        fputs("usage: replay ITERATIONS FOLDER...; there must be files in the folders\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < count; i++)
        run(corpus[i]);
    for (long i = 0; i < iterations; i++) {
        const struct input *from = corpus[below(count)];
        in->size = from->size;
        memcpy(in->bytes, from->bytes, from->size);
        for (size_t changes = 1 + below(4); changes > 0; changes--)
            mutate(in, corpus[below(count)]);
        run(in);
    }
    fprintf(out, "%zu files and %ld mutations\n", count, iterations);
    remove("replay-input");
    for (size_t i = 0; i < count; i++)
        free(corpus[i]);
    free(in);
    return 0;
}
