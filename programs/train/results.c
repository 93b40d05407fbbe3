/* SPDX-License-Identifier: MIT */
#include "results.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/program.h"
#include "file.h"

/* Suffix of connection k, counted from the output: "_0", or "_fc_0" and "_conv_0" in a convolutional network. */
static void suffix_of(const struct setup *setup, size_t k, char suffix[32]) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    size_t place = 0;
    bool convolutional = false;
    bnnep_network_get_connection(setup->network, 0, &info);
    convolutional = info.kind == BNNEP_CONNECTION_CONVOLUTION;
    bnnep_network_get_connection(setup->network, k, &info);
    const int32_t kind = info.kind;
    for (size_t above = k + 1; above < setup->connections; above++) {
        bnnep_network_get_connection(setup->network, above, &info);
        place += info.kind == kind;
    }
    snprintf(suffix, 32, "%s_%zu", !convolutional ? "" : kind == BNNEP_CONNECTION_CONVOLUTION ? "_conv" : "_fc", place);
}

int results_begin(const char *path, const struct setup *setup) {
    char suffix[32];
    struct text text;
    text_open(&text);
    if (text.complete)
        fputs("Ave_Train_Error,Ave_Test_Error,Single_Train_Error,Single_Test_Error,Train_Loss,Test_Loss", text.stream);
    for (size_t k = setup->connections; text.complete && k-- > 0;) {
        suffix_of(setup, k, suffix);
        fprintf(text.stream, ",Nb_Change_Weights%s,Threshold%s,Gamma%s,Alpha%s", suffix, suffix, suffix, suffix);
    }
    if (text.complete)
        fputs(",Seconds,Steps_Free,Steps_Nudged", text.stream);
    for (size_t k = setup->connections; text.complete && k-- > 0;) {
        suffix_of(setup, k, suffix);
        fprintf(text.stream, ",Edge%s,Contrast%s", suffix, suffix);
    }
    if (text.complete && setup->validation)
        fputs(",Ave_Validation_Error", text.stream);
    if (text.complete)
        fputs("\n", text.stream);
    return text_write(&text, path);
}

/* The length of the first `lines` lines of a file, and how many there are of them; -1 if it cannot be read. */
static off_t length_of_lines(int file, uint64_t lines, uint64_t *found) {
    char piece[4096];
    off_t length = 0;
    *found = 0;
    while (*found < lines) {
        const ssize_t got = read(file, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : length;
        ssize_t i = 0;
        while (i < got && *found < lines)
            *found += piece[i++] == '\n';
        length += i;
    }
    return length;
}

static bool cut(int file, off_t length) {
    int status;
    do
        status = ftruncate(file, length);
    while (status != 0 && errno == EINTR);
    return status == 0 && file_sync(file);
}

int results_cut(const char *path, const struct setup *setup, uint64_t rows) {
    uint64_t lines;
    if (rows == 0)
        return results_begin(path, setup);
    const int file = file_open(path, O_RDWR);
    if (file < 0)
        return 1;
    const off_t length = length_of_lines(file, rows + 1, &lines); /* with the names */
    int status = 0;
    if (length >= 0 && lines <= rows) {
        char what[120];
        snprintf(what, sizeof what, "has %llu rows, the checkpoint stands after epoch %llu",
                 (unsigned long long)(lines ? lines - 1 : 0), (unsigned long long)rows);
        status = complain(path, what);
    } else if (length < 0 || !cut(file, length))
        status = complain_errno(path);
    close(file);
    return status;
}

/* Has the file columns of edges and contrasts? A run that an earlier program began has not. -1, and it is said why, if
 * that cannot be read. */
static int tells_edges(const char *path) {
    char names[32768];
    size_t length = 0;
    ssize_t got = 1;
    const int file = file_open(path, O_RDONLY);
    if (file < 0)
        return -1;
    while (got != 0 && length < sizeof names - 1) {
        got = read(file, names + length, sizeof names - 1 - length);
        if (got < 0 && errno != EINTR)
            break;
        length += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        complain_errno(path);
    close(file);
    names[length] = '\0';
    names[strcspn(names, "\n")] = '\0';
    return got < 0 ? -1 : strstr(names, ",Edge") != NULL;
}

/* The mean scaling factor of connection k; false if there is no memory to look at them. */
static bool mean_alpha(const struct setup *setup, size_t k, uint64_t scales, double *mean) {
    float *alpha = malloc((size_t)scales * sizeof *alpha);
    const bool there = alpha && bnnep_network_get_alpha(setup->network, k, alpha, (size_t)scales) == BNNEP_OK;
    *mean = 0.0;
    for (uint64_t i = 0; there && i < scales; i++)
        *mean += (double)alpha[i] / (double)scales;
    free(alpha);
    return there;
}

static double percent(uint64_t part, uint64_t whole) {
    return 100.0 * (double)part / (double)whole;
}

/* The columns of connection k; false if there is no memory. */
static bool print_connection(FILE *to, const struct setup *setup, size_t k, uint64_t flips) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    double alpha;
    bnnep_network_get_connection(setup->network, k, &info);
    const double weights = (double)info.rows * (double)info.columns;
    if (!mean_alpha(setup, k, info.scales, &alpha))
        return false;
    fprintf(to, ",%.6f,%g,%g,%.9g", log((double)flips / weights + 1e-9), setup->threshold[k], setup->gamma[k], alpha);
    return true;
}

int results_add(const char *path, const struct setup *setup, const struct epoch *epoch) {
    const bnnep_report *train = &epoch->train, *test = &epoch->test, *held = &epoch->validation;
    struct text text;
    const int edges = tells_edges(path);
    if (edges < 0)
        return 1;
    text_open(&text);
    if (text.complete)
        fprintf(text.stream, "%.6g,%.6g,%.6g,%.6g,%.9g,%.9g", percent(train->errors, train->samples),
                percent(test->errors, test->samples), percent(train->errors_single, train->samples),
                percent(test->errors_single, test->samples), train->loss, test->loss);
    for (size_t k = setup->connections; text.complete && k-- > 0;)
        text.complete = print_connection(text.stream, setup, k, train->flips[k]);
    if (text.complete)
        fprintf(text.stream, ",%.3f,%.3f,%.3f", train->seconds, train->steps_free, train->steps_nudged);
    for (size_t k = edges ? setup->connections : 0; text.complete && k-- > 0;)
        fprintf(text.stream, ",%.6g,%.6g", train->edges[k], train->contrasts[k]);
    if (text.complete && held->samples > 0)
        fprintf(text.stream, ",%.6g", percent(held->errors, held->samples));
    if (text.complete)
        fputs("\n", text.stream);
    return text_append(&text, path);
}
