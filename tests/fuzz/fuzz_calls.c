/* SPDX-License-Identifier: MIT */
/*
 * Sequences of calls: the bytes are a program of them, with right and wrong arguments, on some handles. What must hold
 * is in calls.h: a call that fails changes nothing; positions count; a clone learns the same bits; a checkpoint that is
 * read is the one that was written; handles may be freed in any order.
 */
#include <math.h>
#include <string.h>

#include "calls.h"
#include "fuzz_structure.h"

enum { MOST_CALLS = 32, ROOM = 8192 };

static struct { /* what the program works with */
    struct slot slot[SLOTS];
    uint8_t file[ROOM]; /* the last checkpoint or network that was written */
    size_t file_size;
    struct slot from; /* its position, and the shape of its network */
} at;

/* Values of a kind: plain ones, or any. */
static void fill(struct fuzz_bytes *bytes, float *values, size_t count) {
    const unsigned how = fuzz_choice(bytes, 8);
    for (size_t i = 0; i < count; i++)
        values[i] = how == 7 ? (float)structure_number(bytes) : (float)((fuzz_byte(bytes) + i) % 17) / 16.0f;
}

/* `count`, or a wrong one that is smaller than the room for it. */
static size_t count_or_wrong(struct fuzz_bytes *bytes, size_t count) {
    return fuzz_choice(bytes, 8) == 7 ? fuzz_choice(bytes, MOST_WEIGHTS) : count;
}

/* --- learning ---------------------------------------------------------------------------------------------------- */

static bnnep_workspace *workspace_of(struct slot *slot, struct fuzz_bytes *bytes) {
    return slot->workspace && fuzz_choice(bytes, 2) ? slot->workspace
           : slot->network                          ? bnnep_network_workspace(slot->network)
                                                    : NULL;
}

static void train_batch(struct slot *slot, struct fuzz_bytes *bytes) {
    float inputs[SAMPLES * MOST_INPUTS];
    int32_t labels[SAMPLES];
    uint64_t flips[MOST_CONNECTIONS];
    bnnep_report report = BNNEP_REPORT_INIT;
    const size_t count = fuzz_choice(bytes, SAMPLES);
    report.flips = flips;
    report.flips_count = MOST_CONNECTIONS - fuzz_choice(bytes, 2);
    for (int n = 0; n < SAMPLES; n++)
        labels[n] = fuzz_choice(bytes, 32) == 31 ? -1 : n % 2;
    fill(bytes, inputs, count * slot->inputs);
    const bnnep_status status = bnnep_optimizer_train_batch(slot->optimizer, inputs, labels, count, NULL, &report);
    if (status == BNNEP_OK) {
        slot->batches++;
        PROMISE(report.samples == count && report.errors <= count && report.batches == 1);
    }
    call_end(slot, status);
}

struct stopping {
    unsigned after; /* batches, or steps */
    int32_t event;
    uint64_t done; /* batches */
};

static int32_t stop(void *user, const bnnep_progress *progress) {
    struct stopping *stopping = user;
    if (progress->event == BNNEP_EVENT_BATCH)
        stopping->done++;
    return stopping->after > 0 && progress->event == stopping->event && --stopping->after == 0;
}

/* Fails or not, batches that were done stay done, and the model must hear of them. */
static void train_epoch(struct slot *slot, struct fuzz_bytes *bytes) {
    struct supply supply = {.slot = slot};
    struct stopping stopping = {.after = fuzz_choice(bytes, 5), .event = fuzz_choice(bytes, 3) ? 1 : 0};
    bnnep_dataset *data = slot_data(bytes, &supply);
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    run.progress = stop;
    run.user = &stopping;
    run.batch_size = fuzz_choice(bytes, 6);
    run.workspace = fuzz_choice(bytes, 2) ? workspace_of(slot, bytes) : NULL;
    const bnnep_status status = bnnep_optimizer_train_epoch(slot->optimizer, data, &run, &report);
    bnnep_dataset_free(data);
    slot->batches += stopping.done;
    slot->epochs += status == BNNEP_OK;
    if (status == BNNEP_OK)
        PROMISE(report.samples == SAMPLES && report.errors <= SAMPLES);
    slot->known = slot->known && stopping.done == 0;
    call_begin(slot);
    call_end(slot, status);
}

static void phases(struct slot *slot, struct fuzz_bytes *bytes) {
    bnnep_workspace *workspace = workspace_of(slot, bytes);
    float inputs[SAMPLES * MOST_INPUTS], targets[SAMPLES * MOST_UNITS], state[SAMPLES * MOST_UNITS];
    bnnep_relaxation how = BNNEP_RELAXATION_INIT;
    const size_t count = fuzz_choice(bytes, MOST_BATCH + 2);
    switch (fuzz_choice(bytes, 4)) {
    case 0:
        fill(bytes, inputs, count * slot->inputs);
        fill(bytes, targets, count * slot->outputs);
        call_end(slot, bnnep_workspace_stage(workspace, inputs, fuzz_choice(bytes, 4) ? targets : NULL, count));
        break;
    case 1:
        how.beta = fuzz_choice(bytes, 2) ? 0.0 : structure_number(bytes);
        how.from = (int32_t)fuzz_choice(bytes, 5) - 1;
        how.to = (int32_t)fuzz_choice(bytes, 5) - 1;
        how.steps = (int32_t)fuzz_choice(bytes, 5) - 1;
        call_end(slot, bnnep_workspace_relax(workspace, &how, NULL));
        break;
    case 2:
        call_end(slot, bnnep_workspace_get_state(workspace, (int32_t)fuzz_choice(bytes, 4), fuzz_choice(bytes, 5),
                                                 state, count * slot->outputs));
        break;
    default:
        fill(bytes, state, count * slot->outputs);
        call_end(slot, bnnep_workspace_set_state(workspace, (int32_t)fuzz_choice(bytes, 4), fuzz_choice(bytes, 5),
                                                 state, count * slot->outputs));
    }
}

static void learn(struct slot *slot, struct fuzz_bytes *bytes) {
    bnnep_contrast_options o = BNNEP_CONTRAST_OPTIONS_INIT;
    float values[MOST_WEIGHTS];
    const size_t k = fuzz_choice(bytes, MOST_CONNECTIONS + 1);
    const int32_t part = (int32_t)fuzz_choice(bytes, 4);
    const size_t counts[] = {slot->weights[k % MOST_CONNECTIONS], slot->rows[k % MOST_CONNECTIONS],
                             slot->scales[k % MOST_CONNECTIONS], 1};
    switch (fuzz_choice(bytes, 4)) {
    case 0:
        o.first = (int32_t)fuzz_choice(bytes, 4);
        o.second = (int32_t)fuzz_choice(bytes, 4);
        o.divisor = fuzz_choice(bytes, 2) ? 0.0 : structure_number(bytes);
        call_end(slot, bnnep_optimizer_contrast(slot->optimizer, workspace_of(slot, bytes), &o));
        break;
    case 1:
        call_end(slot, bnnep_optimizer_update(slot->optimizer, NULL));
        break;
    case 2:
        fill(bytes, values, MOST_WEIGHTS);
        call_end(slot,
                 bnnep_optimizer_set_contrast(slot->optimizer, k, part, values, count_or_wrong(bytes, counts[part])));
        break;
    default:
        call_end(slot, bnnep_optimizer_backpropagate(slot->optimizer, workspace_of(slot, bytes),
                                                     (int32_t)fuzz_choice(bytes, 10) - 1));
    }
}

/* --- setting ----------------------------------------------------------------------------------------------------- */

static void set_parameter(struct slot *slot, struct fuzz_bytes *bytes) {
    float values[MOST_WEIGHTS];
    int8_t signs[MOST_WEIGHTS];
    uint8_t bits[MOST_WEIGHTS];
    const size_t k = fuzz_choice(bytes, MOST_CONNECTIONS + 1), in = k % MOST_CONNECTIONS;
    const unsigned which = fuzz_choice(bytes, 4);
    fill(bytes, values, MOST_WEIGHTS);
    fuzz_fill(bytes, bits, sizeof bits);
    for (int i = 0; i < MOST_WEIGHTS; i++)
        signs[i] = bits[i] == 255 ? 0 : bits[i] % 2 ? 1 : -1;
    const size_t rows = count_or_wrong(bytes, slot->rows[in]), weights = count_or_wrong(bytes, slot->weights[in]);
    const size_t columns = slot->rows[in] ? slot->weights[in] / slot->rows[in] : 0;
    call_end(slot, which == 0   ? bnnep_network_set_signs(slot->network, k, signs, weights)
                   : which == 1 ? bnnep_network_set_sign_bits(slot->network, k, bits, rows * ((columns + 7) / 8))
                   : which == 2
                       ? bnnep_network_set_alpha(slot->network, k, values, count_or_wrong(bytes, slot->scales[in]))
                       : bnnep_network_set_bias(slot->network, k, values, rows));
}

static void set_optimizer(struct slot *slot, struct fuzz_bytes *bytes) {
    double rates[MOST_CONNECTIONS];
    float momenta[MOST_WEIGHTS];
    uint64_t batches, epochs;
    const size_t k = fuzz_choice(bytes, MOST_CONNECTIONS + 1);
    bnnep_status status;
    switch (fuzz_choice(bytes, 3)) {
    case 0:
        for (int i = 0; i < MOST_CONNECTIONS; i++)
            rates[i] = structure_number(bytes);
        call_end(slot, bnnep_optimizer_set_rates(slot->optimizer, (int32_t)fuzz_choice(bytes, 7) - 1, rates,
                                                 fuzz_choice(bytes, MOST_CONNECTIONS + 1)));
        break;
    case 1:
        fill(bytes, momenta, MOST_WEIGHTS);
        call_end(slot, bnnep_optimizer_set_momentum(slot->optimizer, k, momenta,
                                                    count_or_wrong(bytes, slot->weights[k % MOST_CONNECTIONS])));
        break;
    default:
        batches = epochs = fuzz_byte(bytes);
        if (fuzz_choice(bytes, 4) == 3)
            fuzz_fill(bytes, &batches, sizeof batches);
        batches = batches == INT64_MAX ? 0 : batches; /* there is no batch after that */
        status = bnnep_optimizer_set_position(slot->optimizer, batches, epochs);
        if (status == BNNEP_OK) {
            slot->batches = batches;
            slot->epochs = epochs;
        }
        call_end(slot, status);
    }
}

/* --- using ------------------------------------------------------------------------------------------------------- */

/* Nothing of it changes a network, and both times the same comes out. */
static void use(struct slot *slot, struct fuzz_bytes *bytes) {
    struct supply supply = {.slot = slot};
    float inputs[SAMPLES * MOST_INPUTS], scores[2][SAMPLES * 2] = {{0.0f}};
    int32_t classes[2][SAMPLES] = {{0}};
    bnnep_run_options run = BNNEP_RUN_OPTIONS_INIT;
    bnnep_report report = BNNEP_REPORT_INIT;
    const size_t count = fuzz_choice(bytes, SAMPLES + 1);
    bnnep_status status;
    run.workspace = workspace_of(slot, bytes);
    run.readout = (int32_t)fuzz_choice(bytes, 3);
    if (fuzz_choice(bytes, 2)) {
        bnnep_dataset *data = slot_data(bytes, &supply);
        status = bnnep_network_evaluate(slot->network, data, &run, &report);
        PROMISE(status != BNNEP_OK || (report.samples == SAMPLES && report.errors <= SAMPLES));
        bnnep_dataset_free(data);
    } else {
        fill(bytes, inputs, count * slot->inputs);
        status = bnnep_network_predict(slot->network, inputs, count, &run, scores[0], classes[0]);
        PROMISE(bnnep_network_predict(slot->network, inputs, count, &run, scores[1], classes[1]) == status);
        PROMISE(memcmp(scores[0], scores[1], sizeof scores[0]) == 0);
        PROMISE(memcmp(classes[0], classes[1], sizeof classes[0]) == 0);
    }
    PROMISE(slot_portrait(slot) == slot->portrait);
    call_end(slot, status);
}

/* NULL where there must be something. */
static void forget_arguments(struct slot *slot, struct fuzz_bytes *bytes) {
    const float input[MOST_INPUTS] = {0.0f};
    const int32_t label = 0;
    bnnep_network *network = slot->network;
    bnnep_optimizer *optimizer = slot->optimizer;
    const bnnep_status statuses[] = {
        bnnep_network_set_signs(network, 0, NULL, 1),
        bnnep_network_set_bias(NULL, 0, input, 1),
        bnnep_network_predict(network, NULL, 1, NULL, NULL, NULL),
        bnnep_network_clone(network, NULL, NULL),
        bnnep_optimizer_train_batch(optimizer, input, NULL, 1, NULL, NULL),
        bnnep_optimizer_train_batch(NULL, input, &label, 1, NULL, NULL),
        bnnep_optimizer_train_epoch(optimizer, NULL, NULL, NULL),
        bnnep_optimizer_contrast(optimizer, NULL, NULL),
        bnnep_optimizer_set_rates(optimizer, BNNEP_RATE_BETA, NULL, 1),
        bnnep_checkpoint_read(optimizer, NULL),
        bnnep_checkpoint_write(NULL, NULL, NULL),
        bnnep_workspace_stage(NULL, input, NULL, 1),
    };
    const unsigned which = fuzz_choice(bytes, sizeof statuses / sizeof statuses[0]);
    PROMISE(statuses[which] == BNNEP_ERROR_ARGUMENT);
    call_end(slot, statuses[which]);
}

/* --- files and clones -------------------------------------------------------------------------------------------- */

static void write_file(struct slot *slot, struct fuzz_bytes *bytes) {
    uint64_t count = 0;
    bnnep_sink sink = BNNEP_SINK_INIT;
    uint8_t file[ROOM];
    sink.bytes = file;
    sink.room = fuzz_choice(bytes, 8) == 7 ? fuzz_byte(bytes) : sizeof file;
    sink.count = &count;
    const bool whole = slot->optimizer && (!slot->network || fuzz_choice(bytes, 4));
    const char *note = fuzz_choice(bytes, 8) == 7 ? "\xff" : "a note";
    const bnnep_status status =
        whole ? bnnep_checkpoint_write(slot->optimizer, &sink, note) : bnnep_network_write(slot->network, &sink, note);
    if (status == BNNEP_OK) {
        memcpy(at.file, file, (size_t)count);
        at.file_size = (size_t)count;
        at.from = *slot;
    }
    PROMISE(slot_portrait(slot) == slot->portrait);
    call_end(slot, status);
}

/* A checkpoint that was read is written as the same bytes. */
static void read_checkpoint(struct slot *slot, struct fuzz_bytes *bytes) {
    const bool damaged = fuzz_choice(bytes, 4) == 3 && at.file_size > 0;
    const size_t place = damaged ? (fuzz_byte(bytes) * 256 + fuzz_byte(bytes)) % at.file_size : 0;
    const uint8_t change = (uint8_t)(damaged ? 1u << fuzz_choice(bytes, 8) : 0u);
    size_t size;
    at.file[place] ^= change;
    const bnnep_source source = fuzz_source(at.file, at.file_size);
    const bnnep_status status = bnnep_checkpoint_read(slot->optimizer, &source);
    at.file[place] ^= change;
    PROMISE(!damaged || status != BNNEP_OK);
    if (status == BNNEP_OK) {
        slot->known = false;
        slot->batches = at.from.batches;
        slot->epochs = at.from.epochs;
        uint8_t *again = fuzz_checkpoint(slot->optimizer, "a note", &size);
        PROMISE(again && size == at.file_size && memcmp(again, at.file, size) == 0);
        free(again);
    }
    call_end(slot, status);
}

static void read_network(struct fuzz_bytes *bytes) {
    struct slot *to = &at.slot[fuzz_choice(bytes, SLOTS)];
    const bnnep_source source = fuzz_source(at.file, at.file_size);
    bnnep_load_options o = BNNEP_LOAD_OPTIONS_INIT;
    bnnep_network *made;
    o.max_batch = MOST_BATCH;
    const bnnep_status status = bnnep_network_read(fuzz_small_context(fuzz_choice(bytes, 2)), &source, &o, &made);
    PROMISE((status == BNNEP_OK) == (at.file_size > 0) && (made != NULL) == (status == BNNEP_OK));
    if (!made)
        return;
    const struct slot shape = at.from;
    slot_free(to, fuzz_byte(bytes));
    *to = shape;
    to->known = false;
    to->network = made;
    to->optimizer = NULL;
    to->workspace = NULL;
}

/* A clone is the same, and stays so when both learn. */
static void clone(struct slot *from, struct fuzz_bytes *bytes) {
    static const int32_t labels[2] = {1, 0};
    struct slot *to = &at.slot[fuzz_choice(bytes, SLOTS)], made = *from;
    float inputs[2 * MOST_INPUTS];
    made.workspace = NULL;
    if (to == from || !from->network)
        return;
    PROMISE(bnnep_network_clone(from->network, NULL, &made.network) == BNNEP_OK);
    if (from->optimizer) {
        if (bnnep_optimizer_clone(from->optimizer, made.network, &made.optimizer) != BNNEP_OK) {
            bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT; /* BPTT, and the free phase was made too short */
            PROMISE(bnnep_optimizer_get_info(from->optimizer, &info) == BNNEP_OK && info.method == BNNEP_METHOD_BPTT);
            bnnep_network_free(made.network);
            return;
        }
        PROMISE(slot_parameters(&made) == slot_parameters(from));
        fill(bytes, inputs, 2 * from->inputs);
        const bnnep_status first = bnnep_optimizer_train_batch(from->optimizer, inputs, labels, 2, NULL, NULL);
        PROMISE(bnnep_optimizer_train_batch(made.optimizer, inputs, labels, 2, NULL, NULL) == first);
        from->batches += first == BNNEP_OK;
        from->known = made.known = false;
        made.batches = from->batches;
    }
    PROMISE(slot_parameters(&made) == slot_parameters(from));
    slot_free(to, fuzz_byte(bytes));
    *to = made;
}

static void make_workspace(struct slot *slot, struct fuzz_bytes *bytes) {
    bnnep_workspace_options o = BNNEP_WORKSPACE_OPTIONS_INIT;
    bnnep_workspace *made;
    o.max_batch = (int32_t)fuzz_choice(bytes, 8) - 1;
    o.threads = (int32_t)fuzz_choice(bytes, 4) - 1;
    const bnnep_status status = bnnep_workspace_create(slot->network, &o, &made);
    PROMISE((status == BNNEP_OK) == (made != NULL));
    if (made) {
        bnnep_workspace_free(slot->workspace);
        slot->workspace = made;
    }
    call_end(slot, status);
}

/* One handle of several, or all. */
static void let_go(struct slot *slot, struct fuzz_bytes *bytes) {
    switch (fuzz_choice(bytes, 4)) {
    case 0:
        bnnep_network_free(slot->network);
        slot->network = NULL;
        slot->known = false;
        break;
    case 1:
        bnnep_optimizer_free(slot->optimizer);
        slot->optimizer = NULL;
        slot->known = false;
        break;
    case 2:
        bnnep_workspace_free(slot->workspace);
        slot->workspace = NULL;
        break;
    default:
        slot_free(slot, fuzz_byte(bytes));
    }
}

/* --- the program ------------------------------------------------------------------------------------------------- */

static void call_with_network(struct slot *slot, unsigned which, struct fuzz_bytes *bytes) {
    switch (which) {
    case 0:
        call_end(slot, slot_teach(slot, bytes));
        break;
    case 1:
        call_end(slot, bnnep_network_set_relaxation(slot->network, (int32_t)fuzz_choice(bytes, 16) - 1,
                                                    structure_number(bytes)));
        break;
    case 2:
        set_parameter(slot, bytes);
        break;
    case 3:
        use(slot, bytes);
        break;
    default:
        make_workspace(slot, bytes);
    }
}

static void call_with_optimizer(struct slot *slot, unsigned which, struct fuzz_bytes *bytes) {
    void (*const calls[])(struct slot *, struct fuzz_bytes *) = {train_batch,   train_epoch,     learn,
                                                                 set_optimizer, read_checkpoint, forget_arguments};
    calls[which](slot, bytes);
}

static void call(struct fuzz_bytes *bytes) {
    struct slot *slot = &at.slot[fuzz_choice(bytes, SLOTS)];
    const unsigned which = fuzz_choice(bytes, 17);
    call_begin(slot);
    if (which < 5 && slot->network)
        call_with_network(slot, which, bytes);
    else if (which >= 5 && which < 11 && slot->optimizer)
        call_with_optimizer(slot, which - 5, bytes);
    else if (which == 11 && (slot->workspace || slot->network))
        phases(slot, bytes);
    else if (which == 12 && (slot->network || slot->optimizer))
        write_file(slot, bytes);
    else if (which == 13)
        read_network(bytes);
    else if (which == 14)
        clone(slot, bytes);
    else if (which == 15)
        let_go(slot, bytes);
    else {
        slot_free(slot, fuzz_byte(bytes));
        slot_create(slot, fuzz_byte(bytes), fuzz_choice(bytes, 2), fuzz_byte(bytes));
        slot_teach(slot, bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    at.file_size = 0;
    portraits_have_files = fuzz_choice(&bytes, 4) == 0;
    for (int calls = 0; calls < MOST_CALLS && bytes.left > 0; calls++)
        call(&bytes);
    for (int i = 0; i < SLOTS; i++)
        slot_free(&at.slot[i], 0);
    return 0;
}
