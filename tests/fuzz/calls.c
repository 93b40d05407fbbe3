/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <string.h>

#include "fuzz_structure.h"

bool portraits_have_files;

/* --- portraits --------------------------------------------------------------------------------------------------- */

/* FNV-1a */
static uint64_t add(uint64_t hash, const void *data, size_t size) {
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t add_network(uint64_t hash, const struct slot *slot) {
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    PROMISE(bnnep_network_get_info(slot->network, &info) == BNNEP_OK);
    hash = add(hash, &info.free_steps, sizeof info.free_steps);
    hash = add(hash, &info.settle_tolerance, sizeof info.settle_tolerance);
    for (size_t k = 0; k < slot->connections; k++) {
        int8_t signs[MOST_WEIGHTS];
        float values[MOST_WEIGHTS];
        PROMISE(bnnep_network_get_signs(slot->network, k, signs, slot->weights[k]) == BNNEP_OK);
        hash = add(hash, signs, slot->weights[k]);
        PROMISE(bnnep_network_get_alpha(slot->network, k, values, slot->scales[k]) == BNNEP_OK);
        hash = add(hash, values, slot->scales[k] * sizeof *values);
        PROMISE(bnnep_network_get_bias(slot->network, k, values, slot->rows[k]) == BNNEP_OK);
        hash = add(hash, values, slot->rows[k] * sizeof *values);
    }
    return hash;
}

static uint64_t add_optimizer(uint64_t hash, const struct slot *slot) {
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    PROMISE(bnnep_optimizer_get_info(slot->optimizer, &info) == BNNEP_OK);
    hash = add(hash, &info.batches, sizeof info.batches);
    hash = add(hash, &info.epochs, sizeof info.epochs);
    for (int32_t which = BNNEP_RATE_GAMMA; which <= BNNEP_RATE_BETA; which++) {
        double rates[MOST_CONNECTIONS];
        const size_t count = which == BNNEP_RATE_BETA ? 1 : slot->connections;
        if (which == BNNEP_RATE_ALPHA && !info.learns_alpha)
            continue;
        PROMISE(bnnep_optimizer_get_rates(slot->optimizer, which, rates, count) == BNNEP_OK);
        hash = add(hash, rates, count * sizeof *rates);
    }
    for (size_t k = 0; k < slot->connections; k++) {
        float momenta[MOST_WEIGHTS];
        PROMISE(bnnep_optimizer_get_momentum(slot->optimizer, k, momenta, slot->weights[k]) == BNNEP_OK);
        hash = add(hash, momenta, slot->weights[k] * sizeof *momenta);
    }
    return hash;
}

static uint64_t add_contrast(uint64_t hash, const struct slot *slot) {
    for (size_t k = 0; k < slot->connections; k++)
        for (int32_t part = BNNEP_CONTRAST_WEIGHTS; part <= BNNEP_CONTRAST_ALPHA; part++) {
            const size_t counts[] = {slot->weights[k], slot->rows[k], slot->scales[k]};
            float values[MOST_WEIGHTS];
            if (bnnep_optimizer_get_contrast(slot->optimizer, k, part, values, counts[part]) == BNNEP_OK)
                hash = add(hash, values, counts[part] * sizeof *values);
        }
    return hash;
}

uint64_t slot_parameters(const struct slot *slot) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    if (slot->network)
        hash = add_network(hash, slot);
    return slot->optimizer ? add_optimizer(hash, slot) : hash;
}

uint64_t slot_portrait(const struct slot *slot) {
    uint64_t hash = slot_parameters(slot);
    size_t size;
    if (!slot->optimizer)
        return hash;
    hash = add_contrast(hash, slot);
    uint8_t *bytes = portraits_have_files ? fuzz_checkpoint(slot->optimizer, NULL, &size) : NULL;
    if (bytes)
        hash = add(hash, bytes, size);
    free(bytes);
    return hash;
}

/* --- calls ------------------------------------------------------------------------------------------------------- */

void call_begin(struct slot *slot) {
    if (!slot->known)
        slot->portrait = slot_portrait(slot);
    slot->known = true;
}

bnnep_status call_end(struct slot *slot, bnnep_status status) {
    PROMISE(status <= BNNEP_OK && status >= BNNEP_CANCELLED);
    PROMISE(strncmp(bnnep_status_name(status), "BNNEP_", 6) == 0);
    if (status != BNNEP_OK)
        PROMISE(bnnep_last_error()[0] && slot_portrait(slot) == slot->portrait);
    slot->known = status != BNNEP_OK;
    if (slot->optimizer) {
        bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
        PROMISE(bnnep_optimizer_get_info(slot->optimizer, &info) == BNNEP_OK);
        PROMISE(info.batches == slot->batches && info.epochs == slot->epochs);
    }
    return status;
}

/* --- slots ------------------------------------------------------------------------------------------------------- */

struct kind {
    bnnep_connection connection[MOST_CONNECTIONS];
    size_t connections;
    int32_t dynamics, channels, height, expand_output, grid_bits, schedule;
    double settle_tolerance;
    float feedback; /* 0 means 1 */
    int32_t start;
};

static const struct kind kinds[KINDS] = {
    {.connection = {BNNEP_FC(5), BNNEP_FC(4)}, .connections = 2, .channels = 6, .expand_output = 2},
    {.connection = {BNNEP_FC(7), BNNEP_FC(6), BNNEP_FC(2)},
     .connections = 3,
     .channels = 5,
     .settle_tolerance = 1e-3,
     .feedback = 0.5f,
     .start = BNNEP_START_BALANCED},
    {.connection = {BNNEP_FC(9), BNNEP_FC(4)},
     .connections = 2,
     .channels = 6,
     .expand_output = 2,
     .dynamics = BNNEP_DYNAMICS_BINARY,
     .start = BNNEP_START_BALANCED},
    {.connection = {BNNEP_CONV(2, 3, 1, 2), BNNEP_FC(2)}, .connections = 2, .channels = 1, .height = 4},
    {.connection = {BNNEP_CONV(3, 2, 0, 1), BNNEP_FC(4)},
     .connections = 2,
     .channels = 1,
     .height = 3,
     .expand_output = 2,
     .dynamics = BNNEP_DYNAMICS_BINARY},
    {.connection = {BNNEP_FC(8), BNNEP_FC(2)},
     .connections = 2,
     .channels = 6,
     .grid_bits = 12,
     .schedule = BNNEP_SCHEDULE_ALTERNATING},
    {.connection = {BNNEP_FC(8), BNNEP_FC(2)},
     .connections = 2,
     .channels = 6,
     .schedule = BNNEP_SCHEDULE_OVER_RELAXED},
};

void slot_create(struct slot *slot, unsigned number, bool reference, uint64_t seed) {
    const struct kind *kind = &kinds[number % KINDS];
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    o.connections = kind->connection;
    o.connection_count = kind->connections;
    o.dynamics = kind->dynamics;
    o.input_channels = kind->channels;
    o.input_height = o.input_width = kind->height;
    o.classes = 2;
    o.expand_output = kind->expand_output;
    o.settle_tolerance = kind->settle_tolerance;
    o.grid_bits = kind->grid_bits;
    o.schedule = kind->schedule;
    o.feedback = kind->feedback;
    o.start = kind->start;
    o.free_steps = 6;
    o.max_batch = MOST_BATCH;
    o.seed = seed;
    *slot = (struct slot){.network = NULL};
    PROMISE(bnnep_network_create(fuzz_small_context(reference), &o, &slot->network) == BNNEP_OK);
    PROMISE(bnnep_network_get_info(slot->network, &info) == BNNEP_OK);
    slot->connections = info.connection_count;
    slot->inputs = (size_t)info.inputs;
    slot->outputs = (size_t)info.outputs;
    for (size_t k = 0; k < slot->connections; k++) {
        bnnep_connection_info c = BNNEP_CONNECTION_INFO_INIT;
        PROMISE(bnnep_network_get_connection(slot->network, k, &c) == BNNEP_OK);
        slot->rows[k] = (size_t)c.rows;
        slot->scales[k] = (size_t)c.scales;
        slot->weights[k] = (size_t)(c.rows * c.columns);
        PROMISE(slot->weights[k] <= MOST_WEIGHTS);
    }
}

bnnep_status slot_teach(struct slot *slot, struct fuzz_bytes *bytes) {
    double rates[4][MOST_CONNECTIONS];
    bnnep_optimizer_options o = BNNEP_OPTIMIZER_OPTIONS_INIT;
    const bool wild = fuzz_choice(bytes, 4) == 3;
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < slot->connections; k++)
            rates[i][k] = wild ? structure_number(bytes) : (const double[]){0.1, 1e-3, 0.01, 0.02}[i];
    o.gamma = rates[0];
    o.threshold = rates[1];
    o.lr_bias = rates[2];
    o.lr_alpha = fuzz_choice(bytes, 2) ? rates[3] : NULL;
    o.method = fuzz_choice(bytes, 4) == 3 ? BNNEP_METHOD_BPTT : BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
    o.nudged_steps = (int32_t)fuzz_choice(bytes, 8);
    o.nudge = (int32_t)fuzz_choice(bytes, 3);
    o.keep_order = (int32_t)fuzz_choice(bytes, 2);
    o.seed = fuzz_byte(bytes);
    o.threshold_kind = (int32_t)fuzz_choice(bytes, 2);
    o.rate_kind = (int32_t)fuzz_choice(bytes, 2);
    o.flip_reset = (int32_t)fuzz_choice(bytes, 2);
    o.covariance = (int32_t)fuzz_choice(bytes, 2);
    o.consolidation = fuzz_choice(bytes, 3) == 2 ? 1.5f : 0.0f;
    o.fall = (int32_t)fuzz_choice(bytes, 4);
    o.fall_to = o.fall && o.fall < BNNEP_FALL_HARMONIC ? 0.25 : 0.0;
    o.fall_updates = o.fall && o.fall < BNNEP_FALL_HARMONIC ? 3 : 0;
    if (fuzz_choice(bytes, 4) == 3) /* the default rule */
        o.gamma = o.threshold = o.lr_bias = o.lr_alpha = NULL;
    bnnep_optimizer *made;
    const bnnep_status status = bnnep_optimizer_create(slot->network, &o, &made);
    PROMISE((status == BNNEP_OK) == (made != NULL));
    if (status == BNNEP_OK) {
        bnnep_optimizer_free(slot->optimizer);
        slot->optimizer = made;
        slot->batches = slot->epochs = 0;
    }
    return status;
}

void slot_free(struct slot *slot, unsigned order) {
    for (unsigned i = 0; i < 3; i++)
        switch ((order / 2 + (order % 2 ? i : 3 - i)) % 3) {
        case 0:
            bnnep_network_free(slot->network);
            break;
        case 1:
            bnnep_optimizer_free(slot->optimizer);
            break;
        default:
            bnnep_workspace_free(slot->workspace);
        }
    *slot = (struct slot){.network = NULL};
}

/* --- data -------------------------------------------------------------------------------------------------------- */

static int32_t deliver(void *user, const bnnep_batch *batch) {
    struct supply *supply = user;
    for (size_t n = 0; n < batch->count; n++) {
        for (size_t i = 0; batch->inputs && i < supply->slot->inputs; i++)
            batch->inputs[n * supply->slot->inputs + i] = (float)((batch->indices[n] + i) % 5) / 4.0f;
        if (batch->labels)
            batch->labels[n] = (int32_t)(batch->indices[n] % 2);
    }
    return supply->fails > 0 && --supply->fails == 0;
}

bnnep_dataset *slot_data(struct fuzz_bytes *bytes, struct supply *supply) {
    float inputs[SAMPLES * MOST_INPUTS];
    int32_t labels[SAMPLES];
    bnnep_dataset_options o = BNNEP_DATASET_OPTIONS_INIT;
    bnnep_dataset *data;
    const unsigned how = fuzz_choice(bytes, 6);
    o.channels = (int32_t)(how == 5 ? 3 : supply->slot->inputs);
    for (size_t v = 0; v < SAMPLES * supply->slot->inputs; v++)
        inputs[v] = (float)(v % 5) / 4.0f;
    for (int n = 0; n < SAMPLES; n++)
        labels[n] = how == 1 && n == 4 ? 2 : n % 2;
    if (how == 3) {
        supply->fails = fuzz_choice(bytes, 4);
        PROMISE(bnnep_dataset_from_callback(NULL, &o, deliver, supply, SAMPLES, &data) == BNNEP_OK);
    } else
        PROMISE(bnnep_dataset_from_memory(NULL, &o, inputs, how == 2 ? NULL : labels, SAMPLES, &data) == BNNEP_OK);
    return data;
}
