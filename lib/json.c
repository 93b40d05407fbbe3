/* SPDX-License-Identifier: MIT */
#include "lib/json.h"

#include <stdlib.h>
#include <string.h>

/* Headers nest four deep. */
enum { DEEPEST = 8 };

/* Each value takes up to some 150 bytes where its text may have two. */
#define HEADER_BYTES_AN_ITEM 32

/* Counts what the text would be made of, without reading it: jansson would take memory for all of it. */
static bnnep_status check_items(const bnnep_context *context, const char *what, const char *text, size_t length) {
    const uint64_t most = context->file_header / HEADER_BYTES_AN_ITEM;
    uint64_t items = 0;
    size_t depth = 0;
    bool within = false; /* a string */
    for (size_t i = 0; i < length; i++) {
        const char c = text[i];
        if (within) {
            i += c == '\\';
            within = c != '"';
        } else if (c == '"')
            within = true;
        else if (c == '[' || c == '{') {
            items++;
            if (++depth > DEEPEST)
                return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: nests deeper than %d", what, DEEPEST);
        } else if ((c == ']' || c == '}') && depth > 0)
            depth--;
        else
            items += c == ',';
    }
    if (items > most)
        return bnnep_fail(BNNEP_ERROR_MEMORY,
                          "%s: has %llu items of JSON, more than 1 in %d bytes of the context's file_header, %llu",
                          what, (unsigned long long)items, HEADER_BYTES_AN_ITEM,
                          (unsigned long long)context->file_header);
    return BNNEP_OK;
}

/* Has a string of this length its closing quote where jansson's buffer, of a power of two, needs to grow? */
static bool ends_at_growth(size_t length) {
    const size_t quotes = 2;
    return ((length + quotes) & (length + quotes - 1)) == 0;
}

/* The text as the second element of a list, whose first is a string as long as all of it. jansson (2.14) collects each
 * token in one buffer that only grows, and passes over the characters for which it finds no memory: a number would lose
 * a digit, a string its end. When the first string is whole, the buffer has room for any token after it. */
struct frame {
    char *list;
    size_t length; /* of the list */
    size_t first;  /* of its first string */
};

static bool make_frame(struct frame *frame, const char *text, size_t length) {
    static const char open[] = "[\"", between[] = "\",";
    frame->first = length + ends_at_growth(length);
    frame->length = sizeof open - 1 + frame->first + sizeof between - 1 + length + 1;
    frame->list = malloc(frame->length);
    if (!frame->list)
        return false;
    memcpy(frame->list, open, sizeof open - 1);
    char *at = memset(frame->list + sizeof open - 1, 'x', frame->first);
    memcpy(at + frame->first, between, sizeof between - 1);
    at = memcpy(at + frame->first + sizeof between - 1, text, length);
    at[length] = ']';
    return true;
}

/* Why a text was not read. A token for which there is no memory is a wrong one to jansson. */
static bnnep_status explain(const char *what, const json_error_t *error, size_t bytes) {
    const enum json_error_code code = json_error_code(error);
    void *memory = code == json_error_invalid_syntax ? malloc(bytes) : NULL;
    const bool short_of_memory = code == json_error_unknown || code == json_error_out_of_memory ||
                                 (code == json_error_invalid_syntax && !memory);
    free(memory);
    return short_of_memory ? bnnep_fail_memory(what, bytes)
                           : bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is no JSON: %s", what, error->text);
}

bnnep_status bnnep_json_read(const bnnep_context *context, const char *what, const char *text, size_t length,
                             json_t **out) {
    struct frame frame;
    *out = NULL;
    bnnep_status status = check_items(context, what, text, length);
    if (status != BNNEP_OK)
        return status;
    if (!make_frame(&frame, text, length))
        return bnnep_fail_memory(what, frame.length);
    for (int tries = 0; tries < 2 && !*out; tries++) { /* twice, as the first may only have lacked memory */
        json_error_t error = {0};
        json_t *both = json_loadb(frame.list, frame.length, JSON_REJECT_DUPLICATES, &error);
        if (!both)
            status = explain(what, &error, frame.length);
        else if (json_string_length(json_array_get(both, 0)) != frame.first)
            status = bnnep_fail_memory(what, frame.length);
        else if (json_array_size(both) != 2)
            status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is no JSON: more than one value", what);
        else {
            *out = json_incref(json_array_get(both, 1));
            status = BNNEP_OK;
        }
        json_decref(both);
    }
    free(frame.list);
    return status;
}

json_t *bnnep_json_list(const double *values, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; list && values && i < count; i++)
        if (json_array_append_new(list, json_real(values[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

/* Into a buffer of its length: in one that grows, jansson (2.14) passes over a key for which there is no memory. */
char *bnnep_json_text(const json_t *value, size_t flags) {
    const size_t length = json_dumpb(value, NULL, 0, flags);
    char *text = length > 0 ? malloc(length + 1) : NULL;
    if (text && json_dumpb(value, text, length, flags) != length) {
        free(text);
        text = NULL;
    }
    if (text)
        text[length] = '\0';
    return text;
}
