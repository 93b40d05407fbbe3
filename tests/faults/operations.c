/* SPDX-License-Identifier: MIT */
#include "operations.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"

const char *place(const struct subject *s, const char *name) {
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", s->known->folder, name);
    return path;
}

/* What a state is instead of the one that is known; frees it. */
static const char *unlike(struct bytes state, const struct bytes *known, const char *what) {
    const bool same = same_state(&state, known);
    free(state.at);
    return same ? NULL : what;
}

static const char *of_out(const void *out, bnnep_status status) {
    return !out == (status != BNNEP_OK) ? NULL : status == BNNEP_OK ? "OK, but nothing was made" : "out is not NULL";
}

/* --- making ------------------------------------------------------------------------------------------------------ */

static bnnep_status make_context(struct subject *s) {
    char name[32];
    const bnnep_context_options o = context_options(s->known, name);
    return bnnep_context_create(&o, &s->made_context);
}

static const char *wrong_context(struct subject *s, bnnep_status status) {
    return of_out(s->made_context, status);
}

static bnnep_status make_network(struct subject *s) {
    const bnnep_network_options o = network_options(s->known);
    return bnnep_network_create(s->context, &o, &s->made_network);
}

/* With an optimizer it is what a new one is. */
static const char *wrong_network(struct subject *s, bnnep_status status) {
    const char *wrong = of_out(s->made_network, status);
    if (wrong || status != BNNEP_OK)
        return wrong;
    const bnnep_optimizer_options o = optimizer_options(s->known);
    if (bnnep_optimizer_create(s->made_network, &o, &s->made_optimizer) != BNNEP_OK)
        return "OK, but the network takes no optimizer";
    return unlike(checkpoint_of(s->made_optimizer), &s->known->fresh, "OK, but another network");
}

static bnnep_status count_bytes(struct subject *s) {
    const bnnep_network_options o = network_options(s->known);
    return bnnep_network_memory(s->context, &o, 1, &s->bytes);
}

static const char *wrong_bytes(struct subject *s, bnnep_status status) {
    const uint64_t before = s->bytes;
    if (status != BNNEP_OK)
        return before == 0 ? NULL : "bytes, but not OK";
    return count_bytes(s) == BNNEP_OK && s->bytes == before ? NULL : "OK, but other bytes";
}

static void add_network(struct subject *s) {
    if (make_network(s) != BNNEP_OK)
        abort();
}

static bnnep_status make_optimizer(struct subject *s) {
    const bnnep_optimizer_options o = optimizer_options(s->known);
    return bnnep_optimizer_create(s->made_network, &o, &s->made_optimizer);
}

static const char *wrong_optimizer(struct subject *s, bnnep_status status) {
    const char *wrong = of_out(s->made_optimizer, status);
    return wrong || status != BNNEP_OK
               ? wrong
               : unlike(checkpoint_of(s->made_optimizer), &s->known->fresh, "OK, but another optimizer");
}

static bnnep_status clone(struct subject *s) {
    bnnep_status status = bnnep_network_clone(s->network, NULL, &s->made_network);
    if (status == BNNEP_OK)
        status = bnnep_optimizer_clone(s->optimizer, s->made_network, &s->made_optimizer);
    return status;
}

static const char *wrong_clone(struct subject *s, bnnep_status status) {
    const char *wrong = of_out(s->made_optimizer, status);
    return wrong || status != BNNEP_OK ? wrong
                                       : unlike(checkpoint_of(s->made_optimizer), &s->known->a, "OK, but no clone");
}

static bnnep_status make_workspace(struct subject *s) {
    return bnnep_workspace_create(s->network, NULL, &s->made_workspace);
}

static bnnep_status predict(struct subject *s) {
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    run.workspace = s->made_workspace;
    return bnnep_network_predict(s->network, s->known->inputs, IMAGES, &run, s->scores, NULL);
}

static const char *wrong_scores(struct subject *s, bnnep_status status) {
    return status != BNNEP_OK || memcmp(s->scores, s->known->scores, sizeof s->scores) == 0 ? NULL
                                                                                            : "OK, but other scores";
}

static const char *wrong_workspace(struct subject *s, bnnep_status status) {
    const char *wrong = of_out(s->made_workspace, status);
    return wrong || status != BNNEP_OK ? wrong : wrong_scores(s, predict(s));
}

/* --- running ----------------------------------------------------------------------------------------------------- */

static const char *unlike_report(const struct subject *s, const bnnep_report *known) {
    const bnnep_report *r = &s->report;
    return r->samples == known->samples && r->batches == known->batches && r->errors == known->errors &&
                   r->errors_single == known->errors_single && memcmp(&r->loss, &known->loss, sizeof r->loss) == 0
               ? NULL
               : "OK, but another report";
}

static bnnep_status train(struct subject *s) {
    return bnnep_optimizer_train_epoch(s->optimizer, s->data, NULL, &s->report);
}

static const char *wrong_epoch(struct subject *s, bnnep_status status) {
    if (status != BNNEP_OK) /* what was done stays done, and the rest can follow */
        status = train(s);
    if (status != BNNEP_OK)
        return "the epoch cannot be gone on with";
    if (memcmp(s->flips, s->known->flips, sizeof s->flips) != 0)
        return "OK, but other flips";
    return unlike_report(s, &s->known->epoch);
}

static void add_workspace(struct subject *s) {
    if (make_workspace(s) != BNNEP_OK)
        abort();
}

static bnnep_status evaluate(struct subject *s) {
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    run.workspace = s->made_workspace;
    return bnnep_network_evaluate(s->network, s->data, &run, &s->report);
}

static const char *wrong_evaluation(struct subject *s, bnnep_status status) {
    if (status != BNNEP_OK)
        return NULL;
    if (memcmp(s->predictions, s->known->predictions, sizeof s->predictions) != 0)
        return "OK, but other predictions";
    return unlike_report(s, &s->known->test);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

/* Something is in the file that a save replaces. */
static void write_old(struct subject *s) {
    write_file(place(s, "saved/file"), &s->known->b);
}

/* The file is alone in its folder. */
static bool is_alone(const struct subject *s) {
    DIR *folder = opendir(place(s, "saved"));
    size_t count = 0;
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count == 1;
}

/* After a save: the old file is there, or the new one, as the status says. When the folder cannot be synced, the new
 * one is in place, though a loss of power could undo that. */
static const char *wrong_file(const struct subject *s, bnnep_status status, const struct bytes *wanted) {
    const struct bytes file = file_bytes(place(s, "saved/file")), *old = &s->known->b;
    const bool kept = file.at && file.count == old->count && memcmp(file.at, old->at, old->count) == 0;
    const bool in_place = faults_struck() && strcmp(faults_struck(), "fsync of a folder") == 0;
    const bool right = status == BNNEP_OK || in_place ? same_state(&file, wanted) : kept;
    free(file.at);
    if (!is_alone(s))
        return "a temporary file is left";
    return right ? NULL : status == BNNEP_OK ? "OK, but the file is another" : "the old file is not as it was";
}

static bnnep_status save_checkpoint(struct subject *s) {
    return bnnep_checkpoint_save(s->optimizer, place(s, "saved/file"), "note");
}

static const char *wrong_checkpoint(struct subject *s, bnnep_status status) {
    const char *wrong = wrong_file(s, status, &s->known->a);
    if (wrong || status != BNNEP_OK)
        return wrong;
    return bnnep_checkpoint_load(s->optimizer, place(s, "saved/file")) == BNNEP_OK ? NULL
                                                                                   : "OK, but it cannot be loaded";
}

static bnnep_status save_network(struct subject *s) {
    return bnnep_network_save(s->network, place(s, "saved/file"), "note");
}

static const char *wrong_saved_network(struct subject *s, bnnep_status status) {
    return wrong_file(s, status, &s->known->network);
}

static bnnep_status load_checkpoint(struct subject *s) {
    return bnnep_checkpoint_load(s->optimizer, s->known->at);
}

static void write_network(struct subject *s) {
    write_file(place(s, "network"), &s->known->network);
}

static bnnep_status load_network(struct subject *s) {
    bnnep_load_options o = BNNEP_LOAD_OPTIONS_INIT;
    o.max_batch = BATCH;
    return bnnep_network_load(s->context, place(s, "network"), &o, &s->made_network);
}

static const char *wrong_loaded_network(struct subject *s, bnnep_status status) {
    const char *wrong = of_out(s->made_network, status);
    return wrong || status != BNNEP_OK
               ? wrong
               : unlike(network_of(s->made_network), &s->known->network, "OK, but another network");
}

static bnnep_status read_text(struct subject *s) {
    return bnnep_file_text(s->known->at, "note", s->text, sizeof s->text, NULL);
}

static const char *wrong_text(struct subject *s, bnnep_status status) {
    return status != BNNEP_OK || strcmp(s->text, "note") == 0 ? NULL : "OK, but another note";
}

/* --- data -------------------------------------------------------------------------------------------------------- */

static bnnep_status open_images(struct subject *s) {
    return bnnep_dataset_open(s->context, s->known->images, NULL, &s->made_data);
}

static const char *wrong_images(struct subject *s, bnnep_status status) {
    float read[IMAGES * VALUES];
    const char *wrong = of_out(s->made_data, status);
    if (wrong || status != BNNEP_OK)
        return wrong;
    if (bnnep_dataset_read(s->made_data, 0, IMAGES, read, NULL) != BNNEP_OK)
        return "OK, but it cannot be read";
    return memcmp(read, s->known->inputs, sizeof read) == 0 ? NULL : "OK, but other images";
}

static bnnep_status open_pictures(struct subject *s) {
    return bnnep_dataset_open(s->context, s->known->pictures, NULL, &s->made_data);
}

static const char *wrong_pictures(struct subject *s, bnnep_status status) {
    static float read[5 * 3072];
    int32_t labels[5];
    const char *wrong = of_out(s->made_data, status);
    if (wrong || status != BNNEP_OK)
        return wrong;
    if (bnnep_dataset_read(s->made_data, 0, 5, read, labels) != BNNEP_OK)
        return "OK, but it cannot be read";
    for (int n = 0; n < 5; n++)
        if (labels[n] != n || read[3072 * n] != (float)(17 * n + 3) / 255.0f)
            return "OK, but other pictures";
    return NULL;
}

const struct operation operations[OPERATIONS] = {
    {"make a context", true, STAYS, NULL, make_context, wrong_context},
    {"make a network", false, STAYS, NULL, make_network, wrong_network},
    {"count bytes", false, STAYS, NULL, count_bytes, wrong_bytes},
    {"make an optimizer", false, STAYS, add_network, make_optimizer, wrong_optimizer},
    {"make a workspace", false, STAYS, NULL, make_workspace, wrong_workspace},
    {"clone", false, STAYS, NULL, clone, wrong_clone},
    {"train an epoch", false, MOVES, NULL, train, wrong_epoch},
    {"evaluate", false, STAYS, add_workspace, evaluate, wrong_evaluation},
    {"predict", false, STAYS, add_workspace, predict, wrong_scores},
    {"save a checkpoint", false, STAYS, write_old, save_checkpoint, wrong_checkpoint},
    {"load a checkpoint", false, LOADS, NULL, load_checkpoint, NULL},
    {"save a network", false, STAYS, write_old, save_network, wrong_saved_network},
    {"load a network", false, STAYS, write_network, load_network, wrong_loaded_network},
    {"read a text", true, STAYS, NULL, read_text, wrong_text},
    {"open IDX, gzip", true, STAYS, NULL, open_images, wrong_images},
    {"open CIFAR-10", true, STAYS, NULL, open_pictures, wrong_pictures},
};
