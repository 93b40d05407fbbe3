/* SPDX-License-Identifier: MIT */
/* Tables of backends in which something is missing: all that take objects of the table's own must be there; the rest is
 * ref's. Nothing of a table is called here. */
#include <stdlib.h>
#include <string.h>

#include <bnnep/backend.h>

#include "support.h"

static const struct bnnep_capabilities can = {
    .size = sizeof can, .real = 1, .tape = 1, .phases = BNNEP_PHASES, .momentum_types = 1};

/* A table with all functions, for none of which there is a use. */
static struct bnnep_backend whole(void) {
    struct bnnep_backend table = {
        .abi = BNNEP_BACKEND_ABI, .size = sizeof table, .name = "whole", .summary = "all is its own", .can = &can};
    void (*const none)(void) = abort;
    for (size_t at = offsetof(struct bnnep_backend, device_count); at < sizeof table; at += sizeof none)
        memcpy((char *)&table + at, &none, sizeof none);
    return table;
}

static void leave_out(struct bnnep_backend *table, size_t at) {
    memset((char *)table + at, 0, sizeof(void (*)(void)));
}

static bnnep_status use(const struct bnnep_backend *table) {
    bnnep_context *context;
    assert_ok(bnnep_context_create(NULL, &context));
    const bnnep_status status = bnnep_backend_register(context, table, NULL);
    bnnep_context_free(context);
    return status;
}

#define AT(function) offsetof(struct bnnep_backend, function)

/* Of a table that has devices, networks, workspaces and optimizers of its own. */
static void functions(void **state) {
    static const size_t free_to_lack[] = {AT(device_count), AT(device_get), AT(open), AT(learn)};
    struct bnnep_backend table = whole();
    (void)state;
    assert_ok(use(&table));
    for (size_t at = AT(device_count); at < sizeof table; at += sizeof(void (*)(void))) {
        bool may = false;
        for (size_t i = 0; i < sizeof free_to_lack / sizeof free_to_lack[0]; i++)
            may = may || free_to_lack[i] == at;
        table = whole();
        leave_out(&table, at);
        if ((use(&table) == BNNEP_OK) != may)
            fail_msg("without the function at byte %zu: %s", at, bnnep_last_error());
    }
}

/* Objects that only some of its own functions take. */
static void objects(void **state) {
    static const struct {
        size_t creator, taker;
        const char *kind;
    } of[] = {{AT(network_create), AT(put), "networks"},         {AT(network_create), AT(network_destroy), "networks"},
              {AT(network_create), AT(get), "networks"},         {AT(workspace_create), AT(stage), "workspaces"},
              {AT(workspace_create), AT(relax), "workspaces"},   {AT(workspace_create), AT(get_state), "workspaces"},
              {AT(optimizer_create), AT(update), "optimizers"},  {AT(optimizer_create), AT(put_contrast), "optimizers"},
              {AT(optimizer_create), AT(contrast), "optimizers"}};
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        struct bnnep_backend table = whole();
        const size_t creators[] = {AT(open), AT(network_create), AT(workspace_create), AT(optimizer_create)};
        for (size_t c = 0; c < sizeof creators / sizeof creators[0]; c++)
            if (creators[c] != of[i].creator)
                leave_out(&table, creators[c]);
        if (of[i].creator == AT(network_create)) { /* whose workspaces and optimizers are then its own too */
            table.workspace_create = whole().workspace_create;
            table.optimizer_create = whole().optimizer_create;
        }
        assert_ok(use(&table));
        leave_out(&table, of[i].taker);
        assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, of[i].kind);
    }
}

/* One that does no BPTT needs nothing for it. */
static void without_tape(void **state) {
    struct bnnep_capabilities less = can;
    struct bnnep_backend table = whole();
    (void)state;
    less.tape = 0;
    table.can = &less;
    table.backpropagate = NULL;
    assert_ok(use(&table));
}

static void heads(void **state) {
    static const char *const names[] = {"", "auto", "a/b", "../cpu", "a b"};
    const struct bnnep_capabilities none = {.size = sizeof none.size - 1};
    struct bnnep_backend table = whole();
    (void)state;
    table.abi++;
    assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, "built for backend interface");
    table = whole();
    table.size = AT(device_count) - 1;
    assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, "lacks what every backend has");
    table = whole();
    table.name = NULL;
    assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, "lacks what every backend has");
    table = whole();
    table.summary = NULL;
    assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, "lacks what every backend has");
    table = whole();
    table.can = NULL;
    assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, "lacks what every backend has");
    table.can = &none;
    assert_refused(use(&table), BNNEP_ERROR_UNSUPPORTED, "lacks what every backend has");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        table = whole();
        table.name = names[i];
        assert_refused(use(&table), BNNEP_ERROR_ARGUMENT, "cannot be the name");
    }
    /* older, and shorter: the rest is ref's */
    table = (struct bnnep_backend){
        .abi = BNNEP_BACKEND_ABI, .size = AT(device_count), .name = "older", .summary = "nothing", .can = &can};
    assert_ok(use(&table));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(functions), cmocka_unit_test(objects),
                                       cmocka_unit_test(without_tape), cmocka_unit_test(heads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
