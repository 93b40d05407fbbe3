/* SPDX-License-Identifier: MIT */
#include "case.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char *key;
    char *text;             /* NULL for a tensor */
    uint64_t offset, count; /* of a tensor, in floats */
};

struct golden_case {
    struct entry *entries;
    size_t entry_count;
    float *data;
    uint64_t floats;
};

void case_close(struct golden_case *c) {
    for (size_t i = 0; c && i < c->entry_count; i++) {
        free(c->entries[i].key);
        free(c->entries[i].text);
    }
    if (c) {
        free(c->entries);
        free(c->data);
    }
    free(c);
}

static struct entry *add_entry(struct golden_case *c, const char *key, const char *text) {
    struct entry *larger = realloc(c->entries, (c->entry_count + 1) * sizeof *larger);
    if (!larger)
        return NULL;
    c->entries = larger;
    struct entry *entry = &larger[c->entry_count];
    *entry = (struct entry){.key = strdup(key), .text = text ? strdup(text) : NULL};
    if (!entry->key || (text && !entry->text)) {
        free(entry->key);
        free(entry->text);
        return NULL;
    }
    c->entry_count++;
    return entry;
}

/* "tensor NAME OFFSET RANK DIMS..." */
static bool add_tensor(struct golden_case *c, char *line) {
    char *rest = NULL;
    strtok_r(line, " ", &rest);
    const char *name = strtok_r(NULL, " ", &rest), *offset = strtok_r(NULL, " ", &rest);
    const char *rank = strtok_r(NULL, " ", &rest);
    struct entry *entry = name && offset && rank ? add_entry(c, name, NULL) : NULL;
    if (!entry)
        return false;
    entry->offset = strtoull(offset, NULL, 10);
    entry->count = 1;
    for (long d = strtol(rank, NULL, 10); d > 0; d--) {
        const char *size = strtok_r(NULL, " ", &rest);
        const uint64_t n = size ? strtoull(size, NULL, 10) : 0;
        if (n == 0 || entry->count > UINT32_MAX / n)
            return false;
        entry->count *= n;
    }
    return true;
}

static bool read_lines(struct golden_case *c, FILE *file, char why[256]) {
    char line[4096];
    for (unsigned number = 1; fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "\r\n")] = '\0';
        char *equals = strstr(line, " =");
        bool good = true;
        if (strncmp(line, "tensor ", 7) == 0)
            good = add_tensor(c, line);
        else if (equals) {
            *equals = '\0';
            good = add_entry(c, line, equals + 2 + strspn(equals + 2, " ")) != NULL;
        } else
            good = line[strspn(line, " ")] == '\0';
        if (!good) {
            snprintf(why, 256, "case.txt: line %u cannot be read", number);
            return false;
        }
    }
    return true;
}

static bool read_data(struct golden_case *c, const char *path, char why[256]) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        snprintf(why, 256, "data.bin: %s", strerror(errno));
        if (file)
            fclose(file);
        return false;
    }
    const long bytes = ftell(file);
    rewind(file);
    c->floats = bytes > 0 ? (uint64_t)bytes / sizeof(float) : 0;
    c->data = malloc(bytes > 0 ? (size_t)bytes : 1);
    const bool whole = c->data && fread(c->data, sizeof(float), (size_t)c->floats, file) == c->floats;
    fclose(file);
    if (!whole)
        snprintf(why, 256, "data.bin: cannot be read");
    for (size_t i = 0; whole && i < c->entry_count; i++) {
        const struct entry *entry = &c->entries[i];
        if (!entry->text && (entry->offset > c->floats || entry->count > c->floats - entry->offset)) {
            snprintf(why, 256, "tensor %.100s goes beyond the end of data.bin", entry->key);
            return false;
        }
    }
    return whole;
}

struct golden_case *case_open(const char *folder, char why[256]) {
    char path[4096];
    struct golden_case *c = calloc(1, sizeof *c);
    snprintf(path, sizeof path, "%s/case.txt", folder);
    FILE *file = fopen(path, "r");
    if (!c || !file) {
        snprintf(why, 256, "case.txt: %s", strerror(errno));
        if (file)
            fclose(file);
        case_close(c);
        return NULL;
    }
    bool good = read_lines(c, file, why);
    fclose(file);
    snprintf(path, sizeof path, "%s/data.bin", folder);
    good = good && read_data(c, path, why);
    if (good && !case_text(c, "class")) {
        snprintf(why, 256, "case.txt: there is no 'class'");
        good = false;
    }
    if (!good) {
        case_close(c);
        return NULL;
    }
    return c;
}

static const struct entry *find(const struct golden_case *c, const char *key, bool tensor) {
    for (size_t i = 0; i < c->entry_count; i++)
        if (strcmp(c->entries[i].key, key) == 0 && !c->entries[i].text == tensor)
            return &c->entries[i];
    return NULL;
}

const char *case_text(const struct golden_case *c, const char *key) {
    const struct entry *entry = find(c, key, false);
    return entry ? entry->text : NULL;
}

size_t case_list(const struct golden_case *c, const char *key, double *values, size_t room) {
    const char *text = case_text(c, key);
    size_t count = 0;
    for (char *end; text; text = end, count++) {
        const double value = strtod(text, &end);
        if (end == text)
            break;
        if (count < room)
            values[count] = value;
    }
    return count;
}

double case_number(const struct golden_case *c, const char *key, double missing) {
    double value = missing;
    return case_list(c, key, &value, 1) >= 1 ? value : missing;
}

const float *case_tensor(const struct golden_case *c, const char *name, size_t *count) {
    const struct entry *entry = find(c, name, true);
    if (!entry)
        return NULL;
    *count = (size_t)entry->count;
    return c->data + entry->offset;
}
