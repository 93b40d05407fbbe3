/* SPDX-License-Identifier: MIT */
/* Checkpoints, and network files written. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/sink.h"
#include "lib/stream.h"

#define FORMAT_VERSION "1"

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* What files may need that came after their version's first library. */
static bool knows(const char *feature) {
    static const char *const features[] = {"schedule", "feedback", "learning", "consolidation"};
    for (size_t i = 0; feature && i < sizeof features / sizeof features[0]; i++)
        if (strcmp(feature, features[i]) == 0)
            return true;
    return false;
}

static bnnep_status check_requires(const struct bnnep_container *file) {
    const char *text = bnnep_container_text(file, "requires");
    json_t *list, *feature;
    size_t i;
    if (!text)
        return BNNEP_OK;
    bnnep_status status = bnnep_json_read(file->context, file->path, text, strlen(text), &list);
    if (status == BNNEP_OK && !json_is_array(list))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: what it requires is no list", file->path);
    else
        json_array_foreach(list, i, feature) {
            const char *name = json_string_value(feature);
            if (knows(name))
                continue;
            status = bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: requires '%.64s', which libbnnep %s does not know",
                                file->path, name ? name : "something", bnnep_version_string());
            break;
        }
    json_decref(list);
    return status;
}

bnnep_status bnnep_file_open(const bnnep_context *context, const bnnep_source *theirs, uint64_t own,
                             struct bnnep_container *file) {
    bnnep_source source;
    bnnep_status status = bnnep_take_source(&source, theirs);
    if (status == BNNEP_OK)
        status = bnnep_container_open(context, &source, own, file);
    if (status != BNNEP_OK)
        return status;
    const char *format = bnnep_container_text(file, "format"), *version = bnnep_container_text(file, "format_version");
    if (!format || (strcmp(format, "bnnep-checkpoint") != 0 && strcmp(format, "bnnep-network") != 0))
        status = bnnep_fail(BNNEP_ERROR_FORMAT, "%s: its format is %s, expected bnnep-checkpoint or bnnep-network",
                            file->path, format ? format : "not named");
    else if (!version || strcmp(version, FORMAT_VERSION) != 0)
        status = bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "%s: its format version is %s, libbnnep %s reads version %s",
                            file->path, version ? version : "not named", bnnep_version_string(), FORMAT_VERSION);
    else
        status = check_requires(file);
    if (status != BNNEP_OK)
        bnnep_container_close(file);
    return status;
}

/* What a checkpoint holds, checked. */
struct checkpoint {
    struct bnnep_run_position position;
    struct bnnep_tensor *tensors;
    size_t count;
};

/* The caller frees it, on failure too. */
static bnnep_status read_checkpoint(const struct bnnep_container *file, const bnnep_optimizer *opt,
                                    struct checkpoint *to) {
    const bnnep_network *net = opt->network;
    *to = (struct checkpoint){0};
    if (strcmp(bnnep_container_text(file, "format"), "bnnep-checkpoint") != 0)
        return bnnep_fail(BNNEP_ERROR_FORMAT, "%s: is a network without an optimizer, expected a checkpoint",
                          file->path);
    bnnep_status status = bnnep_record_compare(file, "network", bnnep_record_network(net, false));
    if (status == BNNEP_OK)
        status = bnnep_record_compare(file, "optimizer", bnnep_record_optimizer(opt));
    if (status == BNNEP_OK)
        status = bnnep_record_read_position(file, opt, &to->position);
    const enum bnnep_held held = to->position.lone_samples > 0 ? BNNEP_HELD_MEANS : BNNEP_HELD_MOMENTA;
    if (status == BNNEP_OK)
        status = bnnep_tensors_find(file, net->shape->link, net->model.connections, held, &to->tensors, &to->count);
    return status;
}

static void free_checkpoint(const bnnep_context *context, struct checkpoint *checkpoint) {
    bnnep_give_back(context, checkpoint->tensors);
    bnnep_position_free(context, &checkpoint->position);
}

/* Is a file that was just written that of this network, or of this optimizer if that is not NULL? */
static bnnep_status check_file(const struct bnnep_container *file, const bnnep_network *net,
                               const bnnep_optimizer *opt) {
    struct checkpoint found = {0};
    bnnep_status status;
    if (opt) {
        status = read_checkpoint(file, opt, &found);
        if (status == BNNEP_OK)
            status = bnnep_record_compare(file, "position", bnnep_record_position(opt));
    } else {
        status = bnnep_record_compare(file, "network", bnnep_record_network(net, true));
        if (status == BNNEP_OK)
            status = bnnep_tensors_find(file, net->shape->link, net->model.connections, BNNEP_HELD_PARAMETERS,
                                        &found.tensors, &found.count);
    }
    free_checkpoint(net->context, &found);
    return status;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool put_json(json_t *metadata, const char *key, json_t *value) {
    char *text = value ? bnnep_json_text(value, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    const bool done = text && json_object_set_new(metadata, key, json_string(text)) == 0;
    free(text);
    json_decref(value);
    return done;
}

/* What a library must know, or it would take the file for something else. */
static json_t *what_it_requires(const bnnep_network *net, const bnnep_optimizer *opt) {
    json_t *list = json_array();
    const bool learning = opt && (bnnep_measures(&opt->options) || opt->options.fall != BNNEP_FALL_CONSTANT ||
                                  opt->options.flip_reset || opt->options.covariance);
    const bool consolidating = opt && opt->options.consolidation > 0.0f;
    bool complete = list != NULL;
    if (net->options.schedule != BNNEP_SCHEDULE_SYNCHRONOUS)
        complete = complete && json_array_append_new(list, json_string("schedule")) == 0;
    if (net->model.feedback != 1.0f)
        complete = complete && json_array_append_new(list, json_string("feedback")) == 0;
    if (learning)
        complete = complete && json_array_append_new(list, json_string("learning")) == 0;
    if (consolidating)
        complete = complete && json_array_append_new(list, json_string("consolidation")) == 0;
    if (complete)
        return list;
    json_decref(list);
    return NULL;
}

/* The metadata of a file. */
static bnnep_status describe(const bnnep_network *net, const bnnep_optimizer *opt, const char *name, json_t *note,
                             json_t *metadata) {
    if (opt && !isfinite(opt->epoch.loss))
        return bnnep_fail(BNNEP_ERROR_DATA, "%s: not written: the loss of the epoch is %g", name, opt->epoch.loss);
    bool complete =
        metadata &&
        json_object_set_new(metadata, "format", json_string(opt ? "bnnep-checkpoint" : "bnnep-network")) == 0 &&
        json_object_set_new(metadata, "format_version", json_string(FORMAT_VERSION)) == 0 &&
        put_json(metadata, "requires", what_it_requires(net, opt)) &&
        json_object_set_new(metadata, "library", json_string(bnnep_version_string())) == 0 &&
        json_object_set(metadata, "note", note) == 0 &&
        put_json(metadata, "network", bnnep_record_network(net, opt == NULL));
    if (opt)
        complete = complete && put_json(metadata, "optimizer", bnnep_record_optimizer(opt)) &&
                   put_json(metadata, "position", bnnep_record_position(opt));
    return complete ? BNNEP_OK : bnnep_fail_memory(name, 0);
}

/* opt NULL: without momenta. */
static bnnep_status write(const bnnep_network *net, const bnnep_optimizer *opt, const json_t *metadata,
                          struct bnnep_output *output) {
    size_t count;
    struct bnnep_tensor *tensors;
    bnnep_status status = bnnep_tensors_of(net, opt, &tensors, &count);
    if (status == BNNEP_OK)
        status = bnnep_container_write(net->context, output, metadata, tensors, count);
    bnnep_give_back(net->context, tensors);
    return status;
}

/* Reads back what was written: it must be a file that can be loaded, and that says what it was meant to. */
static bnnep_status verify(const bnnep_network *net, const bnnep_optimizer *opt, const struct bnnep_output *output) {
    struct bnnep_container file;
    bnnep_source source;
    if (!bnnep_output_source(output, &source))
        return BNNEP_OK;
    bnnep_status status = bnnep_file_open(net->context, &source, bnnep_tensors_bytes(&net->model), &file);
    if (status == BNNEP_OK) {
        status = check_file(&file, net, opt);
        bnnep_container_close(&file);
    }
    if (status == BNNEP_OK || status == BNNEP_ERROR_MEMORY)
        return status;
    char why[512];
    snprintf(why, sizeof why, "%s", bnnep_last_error());
    return bnnep_fail(BNNEP_ERROR_FILE, "%s: not written: what was written reads back otherwise: %s", output->name,
                      why);
}

/* The metadata, note included. */
static bnnep_status make_metadata(const bnnep_network *net, const bnnep_optimizer *opt, const char *name,
                                  const char *text, json_t **out) {
    json_error_t error = {0};
    const char *const words = text ? text : "";
    json_t *note = json_pack_ex(&error, 0, "s", words);
    *out = NULL;
    if (!note)
        return json_error_code(&error) == json_error_invalid_utf8
                   ? bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: not written: the note is not UTF-8", name)
                   : bnnep_fail_memory(name, strlen(words));
    *out = json_object();
    const bnnep_status status = describe(net, opt, name, note, *out);
    json_decref(note);
    return status;
}

static bnnep_status save(const bnnep_network *net, const bnnep_optimizer *opt, const bnnep_sink *theirs,
                         const char *text) {
    struct bnnep_call call = {.name = opt ? "bnnep_checkpoint_write" : "bnnep_network_write"};
    struct bnnep_output output;
    bnnep_sink sink;
    json_t *metadata = NULL;
    bnnep_status status = bnnep_call_reads(&call, &net->claim, "network");
    if (status == BNNEP_OK && opt)
        status = bnnep_call_reads(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = bnnep_take_sink(&sink, theirs);
    if (status == BNNEP_OK)
        status = make_metadata(net, opt, bnnep_sink_name(&sink), text, &metadata);
    if (status == BNNEP_OK)
        status = bnnep_output_open(&output, &sink);
    if (status == BNNEP_OK) {
        status = write(net, opt, metadata, &output);
        if (status == BNNEP_OK)
            status = verify(net, opt, &output);
        status = bnnep_output_close(&output, status);
    }
    json_decref(metadata);
    return bnnep_call_end(&call, status);
}

bnnep_status bnnep_checkpoint_write(const bnnep_optimizer *opt, const bnnep_sink *sink, const char *note) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_write: optimizer is NULL");
    return save(opt->network, opt, sink, note);
}

bnnep_status bnnep_network_write(const bnnep_network *net, const bnnep_sink *sink, const char *note) {
    if (!net)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_write: network is NULL");
    return save(net, NULL, sink, note);
}

bnnep_status bnnep_checkpoint_save(const bnnep_optimizer *opt, const char *path, const char *note) {
    if (!opt || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_save: %s is NULL", opt ? "path" : "optimizer");
    return save(opt->network, opt, &(bnnep_sink){.size = sizeof(bnnep_sink), .path = path}, note);
}

bnnep_status bnnep_network_save(const bnnep_network *net, const char *path, const char *note) {
    if (!net || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_network_save: %s is NULL", net ? "path" : "network");
    return save(net, NULL, &(bnnep_sink){.size = sizeof(bnnep_sink), .path = path}, note);
}

/* --- checkpoints -------------------------------------------------------------------------------------------------- */

static bnnep_status load(const struct bnnep_container *file, bnnep_optimizer *opt) {
    struct checkpoint found = {0};
    bnnep_status status = bnnep_check_idle("bnnep_checkpoint_read", opt);
    if (status == BNNEP_OK)
        status = read_checkpoint(file, opt, &found);
    if (status == BNNEP_OK)
        status = bnnep_tensors_take(file, found.tensors, found.count, opt->network, opt);
    if (status == BNNEP_OK)
        bnnep_position_take(&found.position, opt);
    free_checkpoint(file->context, &found);
    return status;
}

bnnep_status bnnep_checkpoint_read(bnnep_optimizer *opt, const bnnep_source *source) {
    if (!opt)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_read: optimizer is NULL");
    struct bnnep_container file;
    bnnep_status status =
        bnnep_file_open(opt->network->context, source, bnnep_tensors_bytes(&opt->network->model), &file);
    if (status != BNNEP_OK)
        return status;
    status = load(&file, opt);
    bnnep_container_close(&file);
    return status;
}

bnnep_status bnnep_checkpoint_load(bnnep_optimizer *opt, const char *path) {
    if (!opt || !path)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_checkpoint_load: %s is NULL", opt ? "path" : "optimizer");
    return bnnep_checkpoint_read(opt, &(bnnep_source){.size = sizeof(bnnep_source), .path = path});
}
