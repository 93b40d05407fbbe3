/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/program.h"

static const char checkpoint[] = "checkpoint.safetensors", previous[] = "checkpoint-previous.safetensors",
                  next[] = "checkpoint-next.safetensors", best[] = "checkpoint-best.safetensors",
                  network[] = "network.safetensors", results[] = "results.csv",
                  hyperparameters[] = "Hyperparameters.txt";

static int complain_file(const char *path) {
    return complain(path, strerror(errno));
}

static char *inside(const struct folder *folder, const char *name, char path[4096]) {
    snprintf(path, 4096, "%s/%s", folder->path, name);
    return path;
}

static int lock(struct folder *folder) {
    const int file = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return complain_file(folder->path);
    folder->lock = file;
    if (flock(file, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return complain_file(folder->path);
    fprintf(stderr, "bnnep-train: %s: another bnnep-train is at work in this folder\n", folder->path);
    return 1;
}

/* --- the note ---------------------------------------------------------------------------------------------------- */

static char *make_note(const struct folder *folder) {
    const size_t room = strlen(folder->data) + strlen(folder->options) + 64;
    char *note = malloc(room);
    if (note)
        snprintf(note, room, "best=%.17g %s\n%s", folder->best, folder->data, folder->options);
    return note;
}

/* Takes a note apart. */
static int read_note(struct folder *folder, const char *note) {
    static const char key[] = "best=";
    const size_t line = strcspn(note, "\n");
    char *rest = NULL;
    if (strncmp(note, key, sizeof key - 1) == 0)
        folder->best = strtod(note + sizeof key - 1, &rest);
    size_t head = rest ? (size_t)(rest - note) : 0;
    if (head <= sizeof key - 1 || head > line || note[line] == '\0') {
        fprintf(stderr, "bnnep-train: %s: its checkpoint was not written by this program\n", folder->path);
        return 1;
    }
    head += strspn(note + head, " ");
    folder->data = strndup(note + head, line - head);
    folder->options = strdup(note + line + 1);
    return folder->data && folder->options ? 0 : complain_file(folder->path);
}

int folder_find(struct folder *folder, const char *from, bool work) {
    const char *const names[] = {checkpoint, previous};
    char path[4096];
    *folder = (struct folder){.open = work, .saved_at = progress_now()};
    snprintf(folder->path, sizeof folder->path, "%s", from);
    int status = work ? lock(folder) : 0;
    for (int i = 0; status == 0 && i < 2; i++) {
        char *note;
        const bnnep_status read = program_file_text(inside(folder, names[i], path), "note", &note);
        if (note) {
            folder->whole = i == 0;
            status = read_note(folder, note);
            free(note);
            return status;
        }
        fprintf(stderr, "bnnep-train: %s\n", bnnep_last_error());
        /* another checkpoint helps only against what is missing or damaged */
        if (read != BNNEP_ERROR_FORMAT && access(path, F_OK) == 0)
            return 1;
    }
    return 1;
}

/* Closes a file that was written; false if not all of it is on the disk. */
static bool close_synced(FILE *file) {
    const bool written = fflush(file) == 0 && fsync(fileno(file)) == 0;
    return fclose(file) == 0 && written;
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
        return complain_file(out);
    }
    int at = snprintf(base, sizeof base, "%s", out);
    if (mkdir(base, 0777) != 0 && errno != EEXIST)
        return complain_file(base);
    at += snprintf(base + at, sizeof base - (size_t)at, "/DATA-0-%s-%s", o->archi, o->dataset);
    if (mkdir(base, 0777) != 0 && errno != EEXIST)
        return complain_file(base);
    snprintf(base + at, sizeof base - (size_t)at, "/%s", day);
    if (mkdir(base, 0777) != 0 && errno != EEXIST)
        return complain_file(base);
    for (int n = 1; n < 100000; n++) { /* mkdir says who was first */
        snprintf(folder->path, sizeof folder->path, "%s/S-%d", base, n);
        if (mkdir(folder->path, 0777) == 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return complain_file(folder->path);
}

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

static int write_header(const struct folder *folder, const struct setup *setup) {
    char path[4096], suffix[32];
    FILE *file = fopen(inside(folder, results, path), "w");
    if (!file)
        return complain_file(path);
    fputs("Ave_Train_Error,Ave_Test_Error,Single_Train_Error,Single_Test_Error,Train_Loss,Test_Loss", file);
    for (size_t k = setup->connections; k-- > 0;) {
        suffix_of(setup, k, suffix);
        fprintf(file, ",Nb_Change_Weights%s,Threshold%s,Gamma%s,Alpha%s", suffix, suffix, suffix, suffix);
    }
    fputs(",Seconds,Steps_Free,Steps_Nudged\n", file);
    return close_synced(file) ? 0 : complain_file(path);
}

static int write_options(const struct folder *folder, const struct options *options) {
    char path[4096];
    FILE *file = fopen(inside(folder, hyperparameters, path), "w");
    if (!file)
        return complain_file(path);
    options_print(options, file);
    return close_synced(file) ? 0 : complain_file(path);
}

int folder_create(struct folder *folder, const struct setup *setup, const struct options *options) {
    *folder = (struct folder){.open = !options->no_save, .best = 101.0, .saved_at = progress_now()};
    if (!folder->open)
        return 0;
    folder->data = setup_describe_data(setup);
    folder->options = options_write(options);
    int status = folder->data && folder->options ? make_folders(folder, options) : complain_file("options");
    if (status == 0)
        status = lock(folder);
    if (status == 0)
        status = write_options(folder, options);
    if (status == 0)
        status = write_header(folder, setup);
    return status ? status : folder_save(folder, setup);
}

/* --- going on ---------------------------------------------------------------------------------------------------- */

/* Keeps the header and the first `rows` rows of the results; with no rows to keep, they are begun anew. */
static int cut_results(const struct folder *folder, const struct setup *setup, uint64_t rows) {
    char path[4096];
    if (rows == 0)
        return write_header(folder, setup);
    FILE *file = fopen(inside(folder, results, path), "r");
    uint64_t lines = 0;
    for (int c; file && lines <= rows && (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    const long length = file ? ftell(file) : 0;
    if (file)
        fclose(file);
    if (lines > rows)
        return truncate(path, length) == 0 ? 0 : complain_file(path);
    fprintf(stderr, "bnnep-train: %s: has %llu rows, the checkpoint stands after epoch %llu\n", path,
            (unsigned long long)(lines ? lines - 1 : 0), (unsigned long long)rows);
    return 1;
}

/* What a killed write left. */
static void remove_parts(const struct folder *folder) {
    const char *const names[] = {next, best, network};
    char path[4096 + 8];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        inside(folder, names[i], path);
        const size_t length = strlen(path);
        snprintf(path + length, sizeof path - length, ".part");
        unlink(path);
    }
    unlink(inside(folder, next, path));
}

int folder_load(const struct folder *folder, struct setup *setup) {
    char path[4096], *data = setup_describe_data(setup);
    const bool same = data && strcmp(data, folder->data) == 0;
    if (!data)
        return complain_file(folder->path);
    if (!same)
        fprintf(stderr, "bnnep-train: %s: its run has other data: %s, here %s\n", folder->path, folder->data, data);
    free(data);
    if (!same)
        return 1;
    const bnnep_status status =
        bnnep_checkpoint_load(setup->optimizer, inside(folder, folder->whole ? checkpoint : previous, path));
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

int folder_go_on(struct folder *folder, const struct setup *setup, const struct options *options) {
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    char *words = options_write(options);
    if (!words)
        return complain_file(folder->path);
    const bool others = strcmp(words, folder->options) != 0;
    free(folder->options);
    folder->options = words;
    remove_parts(folder);
    bnnep_optimizer_get_info(setup->optimizer, &info);
    int status = cut_results(folder, setup, info.epochs);
    if (status == 0 && others)
        status = write_options(folder, options);
    return status == 0 && others ? folder_save(folder, setup) : status;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

/* The new checkpoint is whole before the old ones change their places. */
int folder_save(struct folder *folder, const struct setup *setup) {
    char from[4096], to[4096];
    if (!folder->open)
        return 0;
    char *note = make_note(folder);
    const bnnep_status status =
        note ? bnnep_checkpoint_save(setup->optimizer, inside(folder, next, from), note) : BNNEP_ERROR_MEMORY;
    free(note);
    folder->saved_at = progress_now();
    if (status != BNNEP_OK)
        return setup_failed(status);
    if (folder->whole && rename(inside(folder, checkpoint, from), inside(folder, previous, to)) != 0)
        return complain_file(from);
    folder->whole = rename(inside(folder, next, from), inside(folder, checkpoint, to)) == 0;
    return folder->whole && fsync(folder->lock) == 0 ? 0 : complain_file(to);
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
    FILE *file = fopen(inside(folder, results, path), "a");
    if (!file)
        return complain_file(path);
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
    return close_synced(file) ? 0 : complain_file(path);
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
        char *note = make_note(folder);
        bnnep_status saved =
            note ? bnnep_checkpoint_save(setup->optimizer, inside(folder, best, path), note) : BNNEP_ERROR_MEMORY;
        if (saved == BNNEP_OK)
            saved = bnnep_network_save(setup->network, inside(folder, network, path), note);
        free(note);
        if (saved != BNNEP_OK)
            return setup_failed(saved);
    }
    return folder_save(folder, setup);
}

void folder_close(struct folder *folder) {
    free(folder->data);
    free(folder->options);
    if (folder->lock > 0)
        close(folder->lock);
}
