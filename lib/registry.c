/* SPDX-License-Identifier: MIT */
/* The backends of a context: those of the library, modules, and those that the caller registered. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/module.h"
#include "lib/registry.h"

extern const struct bnnep_backend bnnep_backend_cpu, bnnep_backend_ref;

/* --- the list ----------------------------------------------------------------------------------------------------- */

static struct bnnep_entry *find(const struct bnnep_registry *registry, const char *name, size_t length) {
    for (struct bnnep_entry *entry = registry->first; entry; entry = entry->next)
        if (strlen(entry->name) == length && strncmp(entry->name, name, length) == 0)
            return entry;
    return NULL;
}

/* Adds an entry at the end; NULL if out of memory. */
static struct bnnep_entry *add(bnnep_context *context, const char *name, size_t length) {
    struct bnnep_entry *entry = bnnep_take(context, 1, sizeof *entry), **at = &context->registry->first;
    if (!entry)
        return NULL;
    snprintf(entry->name, sizeof entry->name, "%.*s", (int)length, name);
    while (*at)
        at = &(*at)->next;
    *at = entry;
    return entry;
}

static void remove_last(bnnep_context *context) {
    struct bnnep_entry **at = &context->registry->first;
    while ((*at)->next)
        at = &(*at)->next;
    bnnep_give_back(context, *at);
    *at = NULL;
}

/* Looks once for the entry's table and its devices. Afterwards `fits`, or `why` not. */
static void look(bnnep_context *context, struct bnnep_entry *entry) {
    char room[4096];
    if (entry->looked)
        return;
    entry->looked = true;
    if (!entry->given)
        entry->given = bnnep_module_load(bnnep_module_folders(context, room, sizeof room), entry->name, entry->why);
    if (!entry->given || !bnnep_table_take(entry->given, context->host.ref, &entry->table, &entry->can, entry->why))
        return;
    entry->fits = true;
    entry->summary = entry->table.summary;
    entry->devices = entry->table.device_count(entry->why);
}

static bnnep_status list_module(void *user, const char *name) {
    bnnep_context *context = user;
    return find(context->registry, name, strlen(name)) || add(context, name, strlen(name))
               ? BNNEP_OK
               : bnnep_fail_memory("a list of modules", sizeof(struct bnnep_entry));
}

/* Lists what modules there are, once. If memory runs out the list is shorter, until it is asked for again. */
static bnnep_status list_modules(bnnep_context *context) {
    char room[4096];
    if (context->registry->listed)
        return BNNEP_OK;
    const bnnep_status status =
        bnnep_module_list(bnnep_module_folders(context, room, sizeof room), list_module, context);
    context->registry->listed = status == BNNEP_OK;
    return status;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

/* Opens a device of an entry that fits, or finds it open. */
static bnnep_status open_device(bnnep_context *context, struct bnnep_entry *entry, const char *name,
                                struct bnnep_choice *choice, char *why) {
    *choice = (struct bnnep_choice){.backend = &entry->table};
    for (const struct bnnep_opened *open = entry->opened; open; open = open->next)
        if (strcmp(open->name, name) == 0) {
            choice->device = open->device;
            return BNNEP_OK;
        }
    struct bnnep_opened *opened = bnnep_take(context, 1, sizeof *opened);
    if (!opened) {
        snprintf(why, BNNEP_WHY, "out of memory");
        return BNNEP_ERROR_MEMORY;
    }
    const bnnep_status status = entry->table.open(&context->host, name, &opened->device, why);
    if (status != BNNEP_OK) {
        bnnep_give_back(context, opened);
        return status;
    }
    snprintf(opened->name, sizeof opened->name, "%s", name);
    opened->next = entry->opened;
    entry->opened = opened;
    choice->device = opened->device;
    return BNNEP_OK;
}

/* The same of any entry. */
static bnnep_status try_entry(bnnep_context *context, struct bnnep_entry *entry, const char *device,
                              struct bnnep_choice *choice, char *why) {
    look(context, entry);
    if (entry->fits && entry->devices > 0)
        return open_device(context, entry, device, choice, why);
    snprintf(why, BNNEP_WHY, "%s", entry->why);
    return BNNEP_ERROR_BACKEND;
}

/* Texts about the devices of an entry, made once. */
static bnnep_status describe_devices(bnnep_context *context, struct bnnep_entry *entry) {
    look(context, entry);
    if (entry->about || entry->devices == 0)
        return BNNEP_OK;
    struct bnnep_device *about = bnnep_take(context, entry->devices, sizeof *about);
    if (!about)
        return bnnep_fail_memory("a list of devices", entry->devices * sizeof *about);
    for (size_t i = 0; i < entry->devices; i++) {
        char name[BNNEP_WHY] = "";
        entry->table.device_get(i, name, about[i].summary, &about[i].memory_bytes);
        snprintf(about[i].name, sizeof about[i].name, "%s%s%s", entry->name, name[0] ? ":" : "", name);
    }
    entry->about = about;
    return BNNEP_OK;
}

/* --- choosing ------------------------------------------------------------------------------------------------ */

static bnnep_status no_such_backend(const bnnep_context *context, const char *wanted, const char *why) {
    char names[512] = "";
    for (const struct bnnep_entry *entry = context->registry->first; entry; entry = entry->next) {
        const size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, ", %s", entry->name);
    }
    return bnnep_fail(BNNEP_ERROR_BACKEND, "there is no backend '%.64s' (%s); known are auto%s", wanted, why, names);
}

/* The backend that was asked for by name, "NAME" or "NAME:DEVICE". */
static bnnep_status choose_by_name(bnnep_context *context, const char *wanted) {
    const size_t length = strcspn(wanted, ":");
    const char *device = wanted[length] ? wanted + length + 1 : "";
    char why[BNNEP_WHY] = "no backend has such a name";
    struct bnnep_entry *entry = find(context->registry, wanted, length);
    const bool known = entry;
    if (!known && !bnnep_module_name(wanted, length))
        return no_such_backend(context, wanted, why);
    if (!known && !(entry = add(context, wanted, length)))
        return bnnep_fail_memory("a backend", sizeof *entry);
    const bnnep_status status = try_entry(context, entry, device, &context->registry->chosen, why);
    if (status == BNNEP_OK)
        return BNNEP_OK;
    if (!known && !entry->given) {
        remove_last(context);
        return no_such_backend(context, wanted, why);
    }
    return bnnep_fail(status, "backend '%.64s' is not available: %s", wanted, why);
}

static bool can_do(const struct bnnep_capabilities *can, const struct bnnep_model *model, char *why) {
    const bool binary = model->dynamics == BNNEP_DYNAMICS_BINARY;
    const char *lacks = binary && !can->binary                      ? "binary activations"
                        : !binary && !can->real                     ? "real activations"
                        : model->convolutional && !can->convolution ? "convolutions"
                        : model->grid.steps != 0.0f && !can->grid   ? "states on a grid (grid_bits)"
                        : model->schedule && !can->alternating      ? "alternating steps (schedule)"
                        : model->schedule == BNNEP_SCHEDULE_OVER_RELAXED && !can->over_relaxed
                            ? "over-relaxed steps (schedule)"
                        : model->feedback != 1.0f && !can->weak_feedback ? "weak feedback (feedback)"
                        : can->phases <= BNNEP_PHASE_NUDGED              ? "two phases"
                        : !(can->momentum_types & 1)                     ? "momenta in float"
                                                                         : NULL;
    if (lacks)
        snprintf(why, BNNEP_WHY, "it does not do %s", lacks);
    return !lacks;
}

/* What is to be logged when the registry is not locked any more: the callback may ask it something. */
struct notices {
    size_t count;
    char line[4][BNNEP_WHY + 128];
};

static bnnep_status choose_auto(bnnep_context *context, const struct bnnep_model *model, struct bnnep_choice *choice,
                                struct notices *notices) {
    char why[BNNEP_WHY];
    bool short_of_memory = false;
    for (struct bnnep_entry *entry = context->registry->first; entry; entry = entry->next) {
        if (!entry->automatic)
            continue;
        why[0] = '\0';
        const bnnep_status status = try_entry(context, entry, "", choice, why);
        if (status == BNNEP_OK && can_do(&entry->can, model, why))
            return BNNEP_OK;
        short_of_memory |= status == BNNEP_ERROR_MEMORY;
        if (notices->count < sizeof notices->line / sizeof notices->line[0])
            snprintf(notices->line[notices->count++], sizeof notices->line[0], "backend %s is not available: %s",
                     entry->name, why);
    }
    return short_of_memory ? bnnep_fail(BNNEP_ERROR_MEMORY, "out of memory for a backend")
                           : bnnep_fail(BNNEP_ERROR_BACKEND, "no backend is available");
}

bnnep_status bnnep_choose_backend(bnnep_context *context, const struct bnnep_model *model,
                                  struct bnnep_choice *choice) {
    struct bnnep_registry *registry = context->registry;
    struct notices notices = {.count = 0};
    char why[BNNEP_WHY];
    pthread_mutex_lock(&registry->lock);
    *choice = registry->chosen;
    bnnep_status status = BNNEP_OK;
    if (!choice->backend)
        status = choose_auto(context, model, choice, &notices);
    else if (!can_do(choice->backend->can, model, why))
        status = bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "backend %s: %s", choice->backend->name, why);
    pthread_mutex_unlock(&registry->lock);
    for (size_t i = 0; i < notices.count; i++)
        context->host.log(context->host.log_user, BNNEP_LOG_NOTICE, notices.line[i]);
    return status;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

bnnep_status bnnep_registry_create(bnnep_context *context, const char *wanted) {
    /* In the order in which "auto" tries them; "ref" is only used by name. */
    static const struct {
        const char *name;
        const struct bnnep_backend *backend; /* NULL: in a module of its own */
        const char *summary;                 /* of a module that is not there */
        bool automatic;
    } own[] = {{"cuda", NULL, "NVIDIA GPUs", true},
               {"cpu", &bnnep_backend_cpu, "", true},
               {"ref", &bnnep_backend_ref, "", false}};
    const bnnep_status status = bnnep_module_check(context->module_path);
    if (status != BNNEP_OK)
        return status;
    context->host.ref = &bnnep_backend_ref;
    context->registry = bnnep_take(context, 1, sizeof *context->registry);
    if (!context->registry)
        return bnnep_fail_memory("a context", sizeof *context->registry);
    pthread_mutex_init(&context->registry->lock, NULL);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        struct bnnep_entry *entry = add(context, own[i].name, strlen(own[i].name));
        if (!entry)
            return bnnep_fail_memory("a context", sizeof *entry);
        entry->given = own[i].backend;
        entry->summary = own[i].summary;
        entry->automatic = own[i].automatic;
    }
    return !wanted || strcmp(wanted, "auto") == 0 ? BNNEP_OK : choose_by_name(context, wanted);
}

void bnnep_registry_destroy(bnnep_context *context) {
    struct bnnep_registry *registry = context->registry;
    if (!registry)
        return;
    while (registry->first) {
        struct bnnep_entry *entry = registry->first;
        registry->first = entry->next;
        while (entry->opened) {
            struct bnnep_opened *opened = entry->opened;
            entry->opened = opened->next;
            entry->table.close(opened->device);
            bnnep_give_back(context, opened);
        }
        bnnep_give_back(context, entry->about);
        bnnep_give_back(context, entry);
    }
    pthread_mutex_destroy(&registry->lock);
    bnnep_give_back(context, registry);
}

/* --- what there is, for the caller --------------------------------------------------------------------------- */

size_t bnnep_backend_count(bnnep_context *context) {
    size_t count = 0;
    if (!context)
        return 0;
    pthread_mutex_lock(&context->registry->lock);
    list_modules(context);
    for (const struct bnnep_entry *entry = context->registry->first; entry; entry = entry->next)
        count++;
    pthread_mutex_unlock(&context->registry->lock);
    return count;
}

/* Entry `index`; the registry is locked. */
static bnnep_status entry_at(bnnep_context *context, size_t index, struct bnnep_entry **found) {
    const bnnep_status status = list_modules(context);
    size_t count = 0;
    for (*found = context->registry->first; *found; *found = (*found)->next)
        if (count++ == index)
            return BNNEP_OK;
    return status != BNNEP_OK
               ? status
               : bnnep_fail(BNNEP_ERROR_ARGUMENT, "there are %zu backends; number %zu does not exist", count, index);
}

bnnep_status bnnep_backend_get(bnnep_context *context, size_t index, bnnep_backend_info *info) {
    if (!context || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_backend_get: %s is NULL", context ? "info" : "context");
    bnnep_backend_info found = {0};
    pthread_mutex_lock(&context->registry->lock);
    struct bnnep_entry *entry;
    const bnnep_status status = entry_at(context, index, &entry);
    if (status == BNNEP_OK) {
        look(context, entry);
        found.name = entry->name;
        found.summary = entry->summary ? entry->summary : "";
        found.available = entry->devices > 0;
        found.reason = found.available ? "" : entry->why;
        found.device_count = (int32_t)entry->devices;
    }
    pthread_mutex_unlock(&context->registry->lock);
    return status == BNNEP_OK ? bnnep_give_struct(info, &found, sizeof found, "bnnep_backend_info") : status;
}

bnnep_status bnnep_device_get(bnnep_context *context, size_t backend, size_t device, bnnep_device_info *info) {
    if (!context || !info)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_device_get: %s is NULL", context ? "info" : "context");
    bnnep_device_info found = {0};
    pthread_mutex_lock(&context->registry->lock);
    struct bnnep_entry *entry;
    bnnep_status status = entry_at(context, backend, &entry);
    if (status == BNNEP_OK)
        status = describe_devices(context, entry);
    if (status == BNNEP_OK && device >= entry->devices)
        status = bnnep_fail(BNNEP_ERROR_ARGUMENT, "backend %s has %zu devices; number %zu does not exist", entry->name,
                            entry->devices, device);
    if (status == BNNEP_OK) {
        found.name = entry->about[device].name;
        found.summary = entry->about[device].summary;
        found.memory_bytes = entry->about[device].memory_bytes;
    }
    pthread_mutex_unlock(&context->registry->lock);
    return status == BNNEP_OK ? bnnep_give_struct(info, &found, sizeof found, "bnnep_device_info") : status;
}

/* bnnep_backend_register() of a table that was checked; the registry is locked. */
static bnnep_status add_own(bnnep_context *context, const struct bnnep_backend *backend, const char *device) {
    char why[BNNEP_WHY] = "";
    const size_t length = strlen(backend->name);
    if (find(context->registry, backend->name, length))
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "there is a backend '%.64s' already", backend->name);
    struct bnnep_entry *entry = add(context, backend->name, length);
    struct bnnep_choice choice;
    if (!entry)
        return bnnep_fail_memory("a backend", sizeof *entry);
    entry->given = backend;
    if (!device)
        return BNNEP_OK;
    const bnnep_status status = try_entry(context, entry, device, &choice, why);
    if (status != BNNEP_OK) {
        remove_last(context);
        return bnnep_fail(status, "backend '%.64s' is not available: %s", backend->name, why);
    }
    context->registry->chosen = choice;
    return BNNEP_OK;
}

bnnep_status bnnep_backend_register(bnnep_context *context, const struct bnnep_backend *backend, const char *device) {
    if (!context || !backend)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "bnnep_backend_register: %s is NULL", context ? "backend" : "context");
    struct bnnep_backend table;
    struct bnnep_capabilities can;
    char why[BNNEP_WHY];
    if (!bnnep_table_take(backend, context->host.ref, &table, &can, why))
        return bnnep_fail(BNNEP_ERROR_UNSUPPORTED, "the backend cannot be registered: %s", why);
    if (!bnnep_module_name(table.name, strlen(table.name)) || strcmp(table.name, "auto") == 0)
        return bnnep_fail(BNNEP_ERROR_ARGUMENT, "'%.64s' cannot be the name of a backend", table.name);
    pthread_mutex_lock(&context->registry->lock);
    const bnnep_status status = add_own(context, backend, device);
    pthread_mutex_unlock(&context->registry->lock);
    return status;
}
