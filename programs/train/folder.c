/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/program.h"
#include "file.h"
#include "results.h"

static const char checkpoint[] = "checkpoint.safetensors", previous[] = "checkpoint-previous.safetensors",
                  next[] = "checkpoint-next.safetensors", best[] = "checkpoint-best.safetensors",
                  network[] = "network.safetensors", results[] = "results.csv",
                  hyperparameters[] = "Hyperparameters.txt";

static char *inside(const struct folder *folder, const char *name, char path[4096]) {
    snprintf(path, 4096, "%s/%s", folder->path, name);
    return path;
}

/* Opens a folder to lock or sync it; -1, and it is said why, if that fails. */
static int open_folder(const char *path) {
    int folder;
    do
        folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (folder < 0 && errno == EINTR);
    if (folder < 0)
        complain_errno(path);
    return folder;
}

static int lock(struct folder *folder) {
    const int file = open_folder(folder->path);
    if (file < 0)
        return 1;
    folder->lock = file;
    int status;
    do
        status = flock(file, LOCK_EX | LOCK_NB);
    while (status != 0 && errno == EINTR);
    if (status == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return complain_errno(folder->path);
    return complain(folder->path, "another bnnep-train is at work in this folder");
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
static int read_note(struct folder *folder, const char *path, const char *note) {
    static const char key[] = "best=";
    const size_t line = strcspn(note, "\n");
    char *rest = NULL;
    if (strncmp(note, key, sizeof key - 1) == 0)
        folder->best = strtod(note + sizeof key - 1, &rest);
    size_t head = rest ? (size_t)(rest - note) : 0;
    if (head <= sizeof key - 1 || head > line || note[line] == '\0') {
        complain(path, "was not written by this program");
        return FOLDER_UNUSABLE;
    }
    head += strspn(note + head, " ");
    folder->data = strndup(note + head, line - head);
    folder->options = strdup(note + line + 1);
    return folder->data && folder->options ? 0 : complain_errno(path);
}

/* What becomes of a checkpoint that the library does not take: the one before helps against what is missing, damaged or
 * of another run than its note says. It would only lose work where memory is short, a disk fails or a newer program is
 * needed, and not help where the command line's options are of another run. */
static int refused(bnnep_status status, const char *path, bool by_options) {
    const bool missing = status == BNNEP_ERROR_FILE && access(path, F_OK) != 0 && errno == ENOENT;
    const int said = setup_failed(status);
    return missing || status == BNNEP_ERROR_FORMAT || status == BNNEP_ERROR_DATA ||
                   (status == BNNEP_ERROR_ARGUMENT && !by_options)
               ? FOLDER_UNUSABLE
               : said;
}

int folder_find(struct folder *folder, const char *path, bool work) {
    *folder = (struct folder){.open = work, .whole = true, .saved_at = progress_now()};
    snprintf(folder->path, sizeof folder->path, "%s", path);
    return work ? lock(folder) : 0;
}

int folder_read(struct folder *folder) {
    char path[4096], *note;
    const bnnep_status status =
        program_file_text(inside(folder, folder->whole ? checkpoint : previous, path), "note", &note);
    if (status != BNNEP_OK)
        return refused(status, path, false);
    const int read = read_note(folder, path, note);
    free(note);
    return read;
}

bool folder_step_back(struct folder *folder) {
    free(folder->data);
    free(folder->options);
    folder->data = folder->options = NULL;
    if (!folder->whole) /* that was it */
        return false;
    folder->whole = false;
    char what[80];
    snprintf(what, sizeof what, "goes on from %s", previous);
    complain(folder->path, what);
    return true;
}

/* --- making ---------------------------------------------------------------------------------------------------- */

/* A folder, unless it is there; with `last`, it must not be. Its name is on the disk then. */
static int make_folder(const char *path, bool last) {
    char parent[4096];
    if (mkdir(path, 0777) != 0)
        return errno == EEXIST && !last ? 0 : -1;
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    const int folder = open_folder(slash ? parent : ".");
    const bool synced = folder >= 0 && file_sync(folder);
    if (folder >= 0)
        close(folder);
    return synced ? 0 : -1;
}

static int make_folders(struct folder *folder, const struct options *o) {
    char base[2048], day[16];
    const time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(day, sizeof day, "%Y-%m-%d", &local);
    const char *out = o->out ? o->out : ".";
    if (strlen(out) > 1900) {
        errno = ENAMETOOLONG;
        return complain_errno(out);
    }
    int at = snprintf(base, sizeof base, "%s", out);
    if (make_folder(base, false) != 0)
        return complain_errno(base);
    at += snprintf(base + at, sizeof base - (size_t)at, "/DATA-0-%s-%s", o->archi, o->dataset);
    if (make_folder(base, false) != 0)
        return complain_errno(base);
    snprintf(base + at, sizeof base - (size_t)at, "/%s", day);
    if (make_folder(base, false) != 0)
        return complain_errno(base);
    for (int n = 1; n < 100000; n++) { /* mkdir says who was first */
        snprintf(folder->path, sizeof folder->path, "%s/S-%d", base, n);
        if (make_folder(folder->path, true) == 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return complain_errno(folder->path);
}

static int write_options(const struct folder *folder, const struct options *options) {
    char path[4096];
    struct text text;
    text_open(&text);
    if (text.complete)
        options_print(options, text.stream);
    return text_write(&text, inside(folder, hyperparameters, path));
}

int folder_create(struct folder *folder, const struct setup *setup, const struct options *options) {
    char path[4096];
    *folder = (struct folder){.open = !options->no_save, .best = 101.0, .saved_at = progress_now()};
    if (!folder->open)
        return 0;
    folder->data = setup_describe_data(setup);
    folder->options = options_write(options);
    int status = folder->data && folder->options ? make_folders(folder, options) : complain_errno("options");
    if (status == 0)
        status = lock(folder);
    if (status == 0)
        status = write_options(folder, options);
    if (status == 0)
        status = results_begin(inside(folder, results, path), setup);
    return status ? status : folder_save(folder, setup);
}

/* --- going on ---------------------------------------------------------------------------------------------------- */

/* Is this the name of a file that is written in the folder, NAME.part or NAME.<anything>.part? */
static bool is_part(const char *entry) {
    static const char *const names[] = {next, best, network, results, hyperparameters};
    static const char end[] = ".part";
    const size_t length = strlen(entry);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t name = strlen(names[i]);
        if (length >= name + sizeof end - 1 && strncmp(entry, names[i], name) == 0 && entry[name] == '.' &&
            strcmp(entry + length - (sizeof end - 1), end) == 0)
            return true;
    }
    return false;
}

/* What a killed write left. */
static void remove_parts(const struct folder *folder) {
    char path[4096];
    DIR *open = opendir(folder->path);
    for (const struct dirent *entry; open && (entry = readdir(open));) /* NOLINT(concurrency-mt-unsafe) */
        if (is_part(entry->d_name) || strcmp(entry->d_name, next) == 0)
            unlink(inside(folder, entry->d_name, path));
    if (open)
        closedir(open);
}

static void complain_data(const struct folder *folder, const char *here) {
    char what[1024];
    snprintf(what, sizeof what, "its run has other data: %.400s, here %.400s", folder->data, here);
    complain(folder->path, what);
}

int folder_load(const struct folder *folder, struct setup *setup, const struct options *options) {
    char path[4096], *data = setup_describe_data(setup);
    const bool same = data && strcmp(data, folder->data) == 0;
    if (!data)
        return complain_errno(folder->path);
    if (!same)
        complain_data(folder, data);
    free(data);
    if (!same)
        return 1;
    const bnnep_status status =
        bnnep_checkpoint_load(setup->optimizer, inside(folder, folder->whole ? checkpoint : previous, path));
    if (status == BNNEP_OK)
        return 0;
    char *words = options_write(options);
    const int said = refused(status, path, !words || strcmp(words, folder->options) != 0);
    free(words);
    return said;
}

int folder_go_on(struct folder *folder, const struct setup *setup, const struct options *options) {
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    char path[4096], *words = options_write(options);
    if (!words)
        return complain_errno(folder->path);
    const bool others = strcmp(words, folder->options) != 0;
    free(folder->options);
    folder->options = words;
    remove_parts(folder);
    bnnep_optimizer_get_info(setup->optimizer, &info);
    int status = results_cut(inside(folder, results, path), setup, info.epochs);
    if (status == 0 && others)
        status = write_options(folder, options);
    return status == 0 && others ? folder_save(folder, setup) : status;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

/* A checkpoint under this name, or a network. */
static int save_as(const struct folder *folder, const struct setup *setup, const char *name) {
    char path[4096], *note = make_note(folder);
    if (!note)
        return complain_errno(folder->path);
    inside(folder, name, path);
    const bnnep_status status = name == network ? bnnep_network_save(setup->network, path, note)
                                                : bnnep_checkpoint_save(setup->optimizer, path, note);
    free(note);
    return status == BNNEP_OK ? 0 : setup_failed(status);
}

/* The new checkpoint is whole before the old ones change their places. */
int folder_save(struct folder *folder, const struct setup *setup) {
    char from[4096], to[4096];
    if (!folder->open)
        return 0;
    const int status = save_as(folder, setup, next);
    folder->saved_at = progress_now();
    if (status)
        return status;
    if (folder->whole && rename(inside(folder, checkpoint, from), inside(folder, previous, to)) != 0)
        return complain_errno(from);
    folder->whole = rename(inside(folder, next, from), inside(folder, checkpoint, to)) == 0;
    return folder->whole && file_sync(folder->lock) ? 0 : complain_errno(to);
}

static double percent(uint64_t part, uint64_t whole) {
    return 100.0 * (double)part / (double)whole;
}

int folder_epoch(struct folder *folder, const struct setup *setup, const struct epoch *epoch) {
    char path[4096];
    const bnnep_report *judge = epoch->validation.samples > 0 ? &epoch->validation : &epoch->test;
    const double error = percent(judge->errors, judge->samples);
    if (!folder->open)
        return 0;
    int status = results_add(inside(folder, results, path), setup, epoch);
    if (status == 0 && error < folder->best) {
        folder->best = error;
        status = save_as(folder, setup, best);
        if (status == 0)
            status = save_as(folder, setup, network);
    }
    return status ? status : folder_save(folder, setup);
}

void folder_close(struct folder *folder) {
    free(folder->data);
    free(folder->options);
    if (folder->lock > 0)
        close(folder->lock);
}
