/* SPDX-License-Identifier: MIT */
/*
 * The folder of a run that bnnep-train goes on with: notes of checkpoints, missing and damaged checkpoints, any
 * results. In a folder in memory where there is one.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/program.h"
#include "fuzz.h"
#include "train/folder.h"

static char root[64];
static struct setup setup;
static char *right_data;

/* --- the folder -------------------------------------------------------------------------------------------------- */

static const char *place(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void empty_folder(void) {
    static const char *const names[] = {"checkpoint.safetensors",      "checkpoint-previous.safetensors",
                                        "checkpoint-next.safetensors", "checkpoint-best.safetensors",
                                        "network.safetensors",         "results.csv",
                                        "Hyperparameters.txt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(place(names[i]));
}

static void remove_folder(void) {
    empty_folder();
    rmdir(root);
}

static void put(const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(place(name), "wb");
    PROMISE(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static size_t count_lines(const char *name) {
    FILE *file = fopen(place(name), "r");
    size_t lines = 0;
    for (int c; file && (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose(file);
    return lines;
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static void begin(void) {
    static const float inputs[2 * FUZZ_INPUTS] = {0.5f, 1.0f};
    static const int32_t labels[2] = {1, 0};
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    if (right_data)
        return;
    snprintf(root, sizeof root, "%s/bnnep-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    PROMISE(mkdtemp(root));
    atexit(remove_folder);
    fuzz_hush(NULL);
    program_name = "bnnep-train";
    o.channels = FUZZ_INPUTS;
    setup.optimizer = fuzz_optimizer(&setup.network);
    setup.connections = 2;
    PROMISE(bnnep_dataset_from_memory(NULL, &o, inputs, labels, 2, &setup.train) == BNNEP_OK);
    PROMISE(bnnep_dataset_from_memory(NULL, &o, inputs, labels, 1, &setup.test) == BNNEP_OK);
    right_data = setup_describe_data(&setup);
    PROMISE(right_data);
}

/* A note of the bytes as they are, or with the data that they must tell of. */
static char *make_note(struct fuzz_bytes *bytes) {
    const bool right = fuzz_choice(bytes, 4) > 0;
    char *text = fuzz_text(bytes), *note = text;
    if (right) {
        const size_t room = strlen(text) + strlen(right_data) + 16;
        note = malloc(room);
        PROMISE(note);
        snprintf(note, room, "best=%s %s\n%s", "12.5", right_data, text);
        free(text);
    }
    return note;
}

/* A checkpoint with the note, whole or damaged, or none. */
static void put_checkpoint(const char *name, const char *note, struct fuzz_bytes *bytes) {
    const unsigned how = fuzz_choice(bytes, 4);
    size_t size;
    uint8_t *file = how > 0 ? fuzz_checkpoint(setup.optimizer, note, &size) : NULL;
    if (file && how == 1)
        file[(fuzz_byte(bytes) * 256 + fuzz_byte(bytes)) % size] ^= 1;
    if (file)
        put(name, file, size);
    free(file);
}

/* An epoch more: what has been going on so far is a folder to go on with. */
static void add_epoch(struct folder *folder, size_t epochs) {
    uint64_t flips[2] = {1, 0};
    double edges[2] = {0.5, 0.0}, contrasts[2] = {1e-3, 0.0};
    struct epoch epoch = {BNNEP_REPORT_INIT, BNNEP_REPORT_INIT, BNNEP_REPORT_INIT};
    epoch.train.flips = flips;
    epoch.train.edges = edges;
    epoch.train.contrasts = contrasts;
    epoch.train.samples = epoch.test.samples = 2;
    PROMISE(folder_epoch(folder, &setup, &epoch) == 0);
    PROMISE(count_lines("results.csv") == epochs + 2);
}

/* It goes on if the results have a row for each epoch; more rows are of epochs that no checkpoint has. */
static int go_on(struct folder *folder, size_t epochs) {
    struct options options;
    char **words;
    int status = folder_read(folder);
    if (status)
        return status;
    const int count = options_split(folder->options, &words);
    PROMISE(count >= 1);
    status = options_read(&options, count, words);
    if (status < 0)
        status = folder_load(folder, &setup, &options);
    if (status == 0) {
        const bool enough = epochs == 0 || count_lines("results.csv") > epochs;
        PROMISE((folder_go_on(folder, &setup, &options) == 0) == enough);
        PROMISE(!enough || count_lines("results.csv") == epochs + 1);
        if (enough)
            add_epoch(folder, epochs);
    }
    free(words);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    struct folder folder;
    begin();
    const size_t epochs = fuzz_choice(&bytes, 4);
    PROMISE(bnnep_optimizer_set_position(setup.optimizer, 2 * epochs, epochs) == BNNEP_OK);
    char *note = make_note(&bytes), *other = make_note(&bytes);
    put_checkpoint("checkpoint.safetensors", note, &bytes);
    put_checkpoint("checkpoint-previous.safetensors", other, &bytes);
    if (fuzz_choice(&bytes, 8) > 0)
        put("results.csv", bytes.at, bytes.left);
    PROMISE(folder_find(&folder, root, true) == 0);
    while (go_on(&folder, epochs) == FOLDER_UNUSABLE && folder_step_back(&folder))
        ; /* the checkpoint before */
    folder_close(&folder);
    empty_folder();
    free(note);
    free(other);
    return 0;
}
