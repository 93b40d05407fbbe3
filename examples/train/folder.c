/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int complain(const char *path) {
    fprintf(stderr, "bnnep-train: %s: %s\n", path, strerror(errno));
    return 1;
}

static const char *inside(const struct folder *folder, const char *name, char path[4096]) {
    snprintf(path, 4096, "%s/%s", folder->path, name);
    return path;
}

/* --- the note: "best=<error>", then the words of the command line, one a line ------------------------------------- */

static char *make_note(const struct options *options, int argc, char **argv) {
    char *data = options->data ? realpath(options->data, NULL) : NULL; /* the run may go on from elsewhere */
    size_t length = 16 + (data ? strlen(data) : 0);
    for (int i = 1; i < argc; i++)
        length += strlen(argv[i]) + 1;
    char *note = malloc(length), *to = note;
    for (int i = 1; note && i < argc; i++)
        to += sprintf(to, "%s\n", argv[i]);
    if (note && data)
        to += sprintf(to, "--data\n%s\n", data);
    if (note)
        *to = '\0';
    free(data);
    return note;
}

static char *with_best(const struct folder *folder) {
    char *text = malloc(strlen(folder->note) + 64);
    if (text)
        sprintf(text, "best=%.17g\n%s", folder->best, folder->note);
    return text;
}

static char *read_note(const char *path, bnnep_status *status) {
    size_t length = 0;
    *status = bnnep_file_note(path, NULL, 0, &length);
    char *note = *status == BNNEP_OK ? malloc(length + 1) : NULL;
    if (note)
        *status = bnnep_file_note(path, note, length + 1, NULL);
    return note;
}

/* The checkpoint to go on from, or the one before it. Its note, or NULL after a message. */
static char *find_checkpoint(const char *folder, char path[4096]) {
    static const char *const names[] = {"checkpoint.safetensors", "checkpoint-previous.safetensors"};
    bnnep_status status;
    for (int i = 0; i < 2; i++) {
        snprintf(path, 4096, "%s/%s", folder, names[i]);
        char *note = read_note(path, &status);
        if (note)
            return note;
        fprintf(stderr, "bnnep-train: %s\n", bnnep_last_error());
    }
    return NULL;
}

int folder_arguments(const char *folder, int *argc, char ***argv) {
    char path[4096], *note = find_checkpoint(folder, path);
    if (!note)
        return 1;
    size_t lines = 0;
    for (const char *at = note; *at; at++)
        lines += *at == '\n';
    /* one block: the words' addresses, then the words */
    char **words = malloc((lines + 2) * sizeof *words + strlen(note) + 1);
    if (!words) {
        free(note);
        return complain(folder);
    }
    char *text = strcpy((char *)(words + lines + 2), note), *rest = NULL;
    *argc = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        words[(*argc)++] = line; /* "best=..." stands where the program's name does */
    words[*argc] = NULL;
    *argv = words;
    free(note);
    return 0;
}

/* --- making ---------------------------------------------------------------------------------------------------- */

static int make_folders(struct folder *folder, const struct options *o) {
    char base[2048], day[16];
    const time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(day, sizeof day, "%Y-%m-%d", &local);
    const char *out = o->out ? o->out : ".";
    if (strlen(out) > 1900) {
        errno = ENAMETOOLONG;
        return complain(out);
    }
    int at = snprintf(base, sizeof base, "%s", out);
    if (mkdir(base, 0777) != 0 && errno != EEXIST)
        return complain(base);
    at += snprintf(base + at, sizeof base - (size_t)at, "/DATA-0-%s-%s", o->archi, o->dataset);
    if (mkdir(base, 0777) != 0 && errno != EEXIST)
        return complain(base);
    snprintf(base + at, sizeof base - (size_t)at, "/%s", day);
    if (mkdir(base, 0777) != 0 && errno != EEXIST)
        return complain(base);
    for (int n = 1; n < 100000; n++) { /* mkdir says who was first */
        snprintf(folder->path, sizeof folder->path, "%s/S-%d", base, n);
        if (mkdir(folder->path, 0777) == 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return complain(folder->path);
}

/* Suffix of connection k, counted from the output: "_0", or "_fc_0" and "_conv_0" in a convolutional network. */
static void suffix_of(const struct setup *setup, size_t k, char suffix[32]) {
    bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
    size_t place = 0;
    bool convolutional = false;
    bnnep_network_get_connection(setup->network, 0, &info);
    convolutional = info.kind == BNNEP_CONVOLUTION;
    bnnep_network_get_connection(setup->network, k, &info);
    const int32_t kind = info.kind;
    for (size_t above = k + 1; above < setup->connections; above++) {
        bnnep_network_get_connection(setup->network, above, &info);
        place += info.kind == kind;
    }
    snprintf(suffix, 32, "%s_%zu", !convolutional ? "" : kind == BNNEP_CONVOLUTION ? "_conv" : "_fc", place);
}

static int write_header(const struct folder *folder, const struct setup *setup) {
    char path[4096], suffix[32];
    FILE *file = fopen(inside(folder, "results.csv", path), "w");
    if (!file)
        return complain(path);
    fputs("Ave_Train_Error,Ave_Test_Error,Single_Train_Error,Single_Test_Error,Train_Loss,Test_Loss", file);
    for (size_t k = setup->connections; k-- > 0;) {
        suffix_of(setup, k, suffix);
        fprintf(file, ",Nb_Change_Weights%s,Threshold%s,Gamma%s,Alpha%s", suffix, suffix, suffix, suffix);
    }
    fputs(",Seconds,Steps_Free,Steps_Nudged\n", file);
    return fclose(file) == 0 ? 0 : complain(path);
}

int folder_create(struct folder *folder, const struct setup *setup, const struct options *options, int argc,
                  char **argv) {
    char path[4096];
    *folder = (struct folder){.open = !options->no_save, .best = 101.0, .saved_at = progress_now()};
    if (!folder->open)
        return 0;
    folder->note = make_note(options, argc, argv);
    int status = folder->note ? make_folders(folder, options) : complain("options");
    if (status)
        return status;
    FILE *file = fopen(inside(folder, "Hyperparameters.txt", path), "w");
    if (!file)
        return complain(path);
    options_print(options, file);
    if (fclose(file) != 0)
        return complain(path);
    status = write_header(folder, setup);
    return status ? status : folder_save(folder, setup);
}

/* --- going on ---------------------------------------------------------------------------------------------------- */

/* Keeps the header and the first `rows` rows of the results. */
static int cut_results(const struct folder *folder, uint64_t rows) {
    char path[4096];
    FILE *file = fopen(inside(folder, "results.csv", path), "r");
    if (!file)
        return complain(path);
    uint64_t lines = 0;
    for (int c; lines <= rows && (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    const long length = ftell(file);
    fclose(file);
    if (lines <= rows) {
        fprintf(stderr, "bnnep-train: %s: has %llu rows, the checkpoint stands after epoch %llu\n", path,
                (unsigned long long)(lines ? lines - 1 : 0), (unsigned long long)rows);
        return 1;
    }
    return truncate(path, length) == 0 ? 0 : complain(path);
}

int folder_resume(struct folder *folder, struct setup *setup, const char *from) {
    char path[4096];
    *folder = (struct folder){.open = true, .best = 101.0, .saved_at = progress_now()};
    snprintf(folder->path, sizeof folder->path, "%s", from);
    char *note = find_checkpoint(from, path);
    if (!note)
        return 1;
    char *words = strchr(note, '\n');
    folder->best = strtod(note + strlen("best="), NULL);
    folder->note = strdup(words ? words + 1 : "");
    free(note);
    const bnnep_status status = folder->note ? bnnep_checkpoint_load(setup->optimizer, path) : BNNEP_ERROR_MEMORY;
    uint64_t epochs = 0;
    if (status != BNNEP_OK)
        return setup_failed(status);
    bnnep_optimizer_get_position(setup->optimizer, NULL, &epochs);
    return cut_results(folder, epochs);
}

/* --- writing -------------------------------------------------------------------------------------------------------
 */

int folder_save(struct folder *folder, const struct setup *setup) {
    char path[4096], previous[4096];
    if (!folder->open)
        return 0;
    inside(folder, "checkpoint.safetensors", path);
    if (rename(path, inside(folder, "checkpoint-previous.safetensors", previous)) != 0 && errno != ENOENT)
        return complain(path);
    char *note = with_best(folder);
    const bnnep_status status = note ? bnnep_checkpoint_save(setup->optimizer, path, note) : BNNEP_ERROR_MEMORY;
    free(note);
    folder->saved_at = progress_now();
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

static double mean_alpha(const struct setup *setup, size_t k, uint64_t scales) {
    float *alpha = malloc((size_t)scales * sizeof *alpha);
    double sum = 0.0;
    if (alpha && bnnep_network_get_alpha(setup->network, k, alpha, (size_t)scales) == BNNEP_OK)
        for (uint64_t i = 0; i < scales; i++)
            sum += (double)alpha[i] / (double)scales;
    free(alpha);
    return sum;
}

static double percent(uint64_t part, uint64_t whole) {
    return 100.0 * (double)part / (double)whole;
}

static int add_row(const struct folder *folder, const struct setup *setup, const bnnep_report *train,
                   const bnnep_report *test) {
    char path[4096];
    FILE *file = fopen(inside(folder, "results.csv", path), "a");
    if (!file)
        return complain(path);
    fprintf(file, "%.6g,%.6g,%.6g,%.6g,%.9g,%.9g", percent(train->errors, train->samples),
            percent(test->errors, test->samples), percent(train->errors_single, train->samples),
            percent(test->errors_single, test->samples), train->loss, test->loss);
    for (size_t k = setup->connections; k-- > 0;) {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        bnnep_network_get_connection(setup->network, k, &info);
        const double weights = (double)info.rows * (double)info.columns;
        fprintf(file, ",%.6f,%g,%g,%.9g", log((double)train->flips[k] / weights + 1e-9), setup->threshold[k],
                setup->gamma[k], mean_alpha(setup, k, info.scales));
    }
    fprintf(file, ",%.3f,%.3f,%.3f\n", train->seconds, train->steps_free, train->steps_nudged);
    const bool written = fflush(file) == 0 && fsync(fileno(file)) == 0;
    return fclose(file) == 0 && written ? 0 : complain(path);
}

int folder_epoch(struct folder *folder, const struct setup *setup, const bnnep_report *train,
                 const bnnep_report *test) {
    char path[4096];
    const double error = percent(test->errors, test->samples);
    if (!folder->open)
        return 0;
    int status = add_row(folder, setup, train, test);
    if (status)
        return status;
    if (error < folder->best) {
        folder->best = error;
        char *note = with_best(folder);
        bnnep_status saved =
            note ? bnnep_checkpoint_save(setup->optimizer, inside(folder, "checkpoint-best.safetensors", path), note)
                 : BNNEP_ERROR_MEMORY;
        if (saved == BNNEP_OK)
            saved = bnnep_network_save(setup->network, inside(folder, "network.safetensors", path), note);
        free(note);
        if (saved != BNNEP_OK)
            return setup_failed(saved);
    }
    return folder_save(folder, setup);
}

void folder_close(struct folder *folder) {
    free(folder->note);
}
