/* SPDX-License-Identifier: MIT */
/*
 * A handle is for one call that changes it, or for any number of calls that only read it. A call claims its handles,
 * and another one that comes while it works, from a callback or another thread, is refused instead of finding states
 * and sums that are half done. Between batches all is whole: there a call shows its handles to its own callback.
 */
#include "lib/internal.h"

enum { CHANGED = -1 }; /* users of a handle that one call has for itself */

/* An address that is this thread's alone. */
static const void *this_thread(void) {
    static _Thread_local const char here;
    return &here;
}

static bnnep_status refuse(const struct bnnep_call *call, struct bnnep_claim *claim, const char *handle) {
    const char *other = atomic_load(&claim->call);
    return bnnep_fail(BNNEP_ERROR_ARGUMENT, "%s: the %s is at work in %s; it is for one call at a time", call->name,
                      handle, other ? other : "another call");
}

static void hold(struct bnnep_call *call, struct bnnep_claim *claim) {
    atomic_store(&claim->call, call->name);
    call->held[call->count++] = claim;
}

bnnep_status bnnep_call_reads(struct bnnep_call *call, const struct bnnep_claim *of, const char *handle) {
    struct bnnep_claim *claim =
        (struct bnnep_claim *)(uintptr_t)of; /* who reads a handle does not change it otherwise */
    int users = atomic_load(&claim->users);
    do
        if (users == CHANGED)
            return atomic_load(&claim->shown_to) == this_thread() ? BNNEP_OK : refuse(call, claim, handle);
    while (!atomic_compare_exchange_weak(&claim->users, &users, users + 1));
    hold(call, claim);
    return BNNEP_OK;
}

bnnep_status bnnep_call_changes(struct bnnep_call *call, struct bnnep_claim *claim, const char *handle) {
    int nobody = 0;
    if (!atomic_compare_exchange_strong(&claim->users, &nobody, CHANGED))
        return refuse(call, claim, handle);
    hold(call, claim);
    return BNNEP_OK;
}

bnnep_status bnnep_check_idle(const char *name, bnnep_optimizer *opt) {
    struct bnnep_call call = {.name = name};
    bnnep_status status = bnnep_call_changes(&call, &opt->claim, "optimizer");
    if (status == BNNEP_OK)
        status = bnnep_call_changes(&call, &opt->network->claim, "network");
    return bnnep_call_end(&call, status);
}

void bnnep_call_show(struct bnnep_call *call, bool shown) {
    for (int i = 0; i < call->count; i++)
        if (atomic_load(&call->held[i]->users) == CHANGED)
            atomic_store(&call->held[i]->shown_to, shown ? this_thread() : NULL);
}

bnnep_status bnnep_call_end(struct bnnep_call *call, bnnep_status status) {
    while (call->count > 0) {
        struct bnnep_claim *claim = call->held[--call->count];
        if (atomic_load(&claim->users) == CHANGED)
            atomic_store(&claim->users, 0);
        else
            atomic_fetch_sub(&claim->users, 1);
    }
    return status;
}
