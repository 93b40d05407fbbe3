/* SPDX-License-Identifier: MIT */
/*
 * Every operation of the library, with each of the calls below it failing in turn:
 *     test_faults [--most N] [--seed S] BACKEND...        such as ref cpu/2
 *
 * An operation is done once to count its calls of a kind (memory; input and output with EIO, ENOSPC, EINTR, short
 * counts) and then once for each of them, which fails, alone or with all after it. With --most N some N of a kind's
 * calls fail, evenly spread, the first and the last among them; with another seed others. After each it is checked that
 *   - the status is the one promised, and OK where the fault can be got over (EINTR, short counts);
 *   - a call that failed has left the network, its optimizer, the file that was there, no handle, no temporary file;
 *   - a call that succeeded has done what it does without the fault;
 *   - training goes on to the same bits;
 *   - no memory and no descriptor is lost when all is freed.
 *
 * Prints a line an operation: faults tried; survived: the call succeeded all the same; refused: it failed as promised;
 * lost: something is not as promised; wrong status; leaks; died: a signal, an exit or no end within 20 seconds. Exit
 * status 1 if there is any of the last four. The work is done by children, so that one that dies costs one fault.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layer.h"
#include "operations.h"

/* A kind of fault, and whether all calls after the first fail too. Calls that are interrupted for ever have no end. */
static const struct mode {
    enum fault_kind kind;
    bool onwards;
} modes[] = {
    {FAULT_MEMORY, false}, {FAULT_MEMORY, true}, {FAULT_EIO, false},   {FAULT_EIO, true},   {FAULT_ENOSPC, false},
    {FAULT_ENOSPC, true},  {FAULT_EINTR, false}, {FAULT_SHORT, false}, {FAULT_SHORT, true},
};
enum { MODES = sizeof modes / sizeof modes[0], MOST_WORDS = 40, PATIENCE = 20 };

enum outcome { SURVIVED, REFUSED, LOST, WRONG_STATUS, LEAKS, DIED, OUTCOMES };

/* What the parent and the child of an operation know together. */
static struct shared {
    size_t mode;
    long n, step;
    bool at_work; /* on fault n */
    long tried, words, outcomes[OUTCOMES];
    long totals[OUTCOMES + 1];
} * shared;

static long most = 0;     /* faults of a kind, 0: all */
static uint64_t seed = 1; /* of the network, and with `most` of which of the faults */

/* --- one fault --------------------------------------------------------------------------------------------------- */

static size_t count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

static void note(enum outcome outcome, const struct subject *s, const struct operation *op, const char *what) {
    const struct mode *mode = &modes[shared->mode];
    shared->outcomes[outcome]++;
    if (outcome < LOST || shared->words++ >= MOST_WORDS)
        return;
    printf("  %s, %s: %s: %s number %ld%s%s%s: %s\n", s->known->backend, s->known->kind->name, op->name,
           fault_names[mode->kind], shared->n, mode->onwards ? " and all after" : "", faults_struck() ? ", " : "",
           faults_struck() ? faults_struck() : "", what);
    fflush(stdout);
}

static bool is_promised(bnnep_status status) {
    switch (modes[shared->mode].kind) {
    case FAULT_MEMORY:
        return status == BNNEP_OK || status == BNNEP_ERROR_MEMORY;
    case FAULT_EIO:
    case FAULT_ENOSPC: /* data that may not be on the disk are not saved */
        return status == BNNEP_ERROR_FILE ||
               (status == BNNEP_OK && (!faults_struck() || strcmp(faults_struck(), "fsync") != 0));
    default:
        return status == BNNEP_OK;
    }
}

/* Is the subject where the operation should have left it? Then the epoch that it stands in ends as ever. */
static const char *wrong_state(struct subject *s, const struct operation *op, bnnep_status status) {
    const struct known *known = s->known;
    const struct bytes *wanted = op->goes == MOVES                         ? &known->done
                                 : op->goes == LOADS && status == BNNEP_OK ? &known->b
                                                                           : &known->a;
    struct bytes now = checkpoint_of(s->optimizer);
    bool same = same_state(&now, wanted);
    free(now.at);
    if (!same)
        return status == BNNEP_OK ? "OK, but the state is another" : "the state has changed";
    if (wanted != &known->a)
        return NULL;
    if (bnnep_optimizer_train_epoch(s->optimizer, s->data, NULL, NULL) != BNNEP_OK)
        return "training does not go on";
    now = checkpoint_of(s->optimizer);
    same = same_state(&now, &known->done);
    free(now.at);
    return same ? NULL : "training goes on to other bits";
}

/* Returns how many calls there were. n < 0: none of them fails. */
static long try_fault(const struct known *known, const struct operation *op, long n) {
    const struct mode *mode = &modes[shared->mode];
    const long live = faults_live();
    const size_t descriptors = count_descriptors();
    struct subject s;
    char said[1200];
    subject_make(&s, known);
    if (op->prepare)
        op->prepare(&s);
    faults_arm(mode->kind, n, mode->onwards);
    const bnnep_status status = op->call(&s);
    const long calls = faults_disarm();
    snprintf(said, sizeof said, "%s, '%s'", bnnep_status_name(status), status ? bnnep_last_error() : "");
    const char *wrong = op->wrong ? op->wrong(&s, status) : NULL;
    if (!wrong)
        wrong = wrong_state(&s, op, status);
    subject_free(&s);
    if (wrong)
        note(LOST, &s, op, wrong);
    if (!is_promised(status))
        note(WRONG_STATUS, &s, op, said);
    const long kept = faults_live() - live;
    if (n >= 0 && (kept > 0 || count_descriptors() != descriptors)) {
        snprintf(said, sizeof said, "%ld blocks are not given back, %zu descriptors were open, now %zu", kept,
                 descriptors, count_descriptors());
        note(LEAKS, &s, op, said);
    }
    if (n >= 0 && !wrong && is_promised(status))
        note(status == BNNEP_OK ? SURVIVED : REFUSED, &s, op, "");
    return calls;
}

/* --- all faults of an operation ---------------------------------------------------------------------------------- */

/* From where the last child came to an end. */
static void work(const struct known *known, const struct operation *op) {
    for (; shared->mode < MODES; shared->mode++, shared->n = 0) {
        try_fault(known, op, -1); /* what is taken once for the process is there now */
        const long calls = try_fault(known, op, -1);
        const long step = shared->step = most > 1 && calls > most ? (calls - 1 + most - 2) / (most - 1) : 1;
        if (shared->n == 0)
            shared->n = (long)((seed - 1) % (uint64_t)step);
        while (shared->n < calls) {
            shared->at_work = true;
            shared->tried++;
            alarm(PATIENCE);
            try_fault(known, op, shared->n);
            alarm(0);
            shared->at_work = false;
            shared->n += shared->n < calls - 1 && shared->n + step > calls - 1 ? calls - 1 - shared->n : step;
        }
    }
}

/* In children: false if one dies on its own. */
static bool try_operation(struct known *known, const struct operation *op) {
    *shared = (struct shared){.mode = 0};
    while (shared->mode < MODES) {
        int ended;
        fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            char path[600];
            snprintf(path, sizeof path, "%s/saved", known->folder);
            known_make(known);
            mkdir(path, 0777);
            work(known, op);
            fflush(stdout);
            exit(0); /* not _exit(): what a build for coverage has counted is written at the end */
        }
        if (child < 0 || waitpid(child, &ended, 0) != child)
            return false;
        if (ended == 0)
            return true;
        if (!shared->at_work) {
            printf("  %s: the child ends with %x where nothing fails\n", op->name, (unsigned)ended);
            return false;
        }
        const struct subject s = {.known = known};
        char said[64];
        snprintf(said, sizeof said, "ends with %s %d", WIFSIGNALED(ended) ? "signal" : "exit status",
                 WIFSIGNALED(ended) ? WTERMSIG(ended) : WEXITSTATUS(ended));
        note(DIED, &s, op, said);
        shared->at_work = false;
        shared->n += shared->step;
    }
    return true;
}

/* Does the library have the backend here? Asked by a child: a process that forks has no threads. */
static bool is_there(const char *backend) {
    fflush(stdout);
    const pid_t child = fork();
    int ended;
    if (child == 0) {
        const struct known known = {.backend = backend};
        bnnep_context *context;
        char name[32];
        const bnnep_context_options o = context_options(&known, name);
        _exit(bnnep_context_create(&o, &context) == BNNEP_OK ? 0 : 1);
    }
    return child > 0 && waitpid(child, &ended, 0) == child && ended == 0;
}

/* The lines of a backend; false if anything is not as promised. */
static bool try_backend(const char *backend, const char *folder, long totals[OUTCOMES + 1]) {
    bool fine = true;
    for (size_t o = 0; o < OPERATIONS; o++) {
        long sums[OUTCOMES + 1] = {0};
        for (size_t k = 0; k < (operations[o].alone ? 1 : KINDS); k++) {
            struct known *known = calloc(1, sizeof *known);
            if (!known)
                return false;
            known->backend = backend;
            known->kind = &kinds[k];
            known->seed = seed;
            snprintf(known->folder, sizeof known->folder, "%s", folder);
            fine = try_operation(known, &operations[o]) && fine;
            free(known);
            sums[0] += shared->tried;
            for (size_t i = 0; i < OUTCOMES; i++)
                sums[i + 1] += shared->outcomes[i];
        }
        printf("%-8s%-20s", backend, operations[o].name);
        for (size_t i = 0; i <= OUTCOMES; i++) {
            printf("%9ld", sums[i]);
            totals[i] += sums[i];
        }
        putchar('\n');
        for (size_t i = LOST; i < OUTCOMES; i++)
            fine = fine && sums[i + 1] == 0;
    }
    return fine;
}

static void print_head(void) {
    static const char *const names[] = {"tried", "survived", "refused", "lost", "status", "leaks", "died"};
    printf("%-8s%-20s", "backend", "operation");
    for (size_t i = 0; i <= OUTCOMES; i++)
        printf("%9s", names[i]);
    putchar('\n');
}

int main(int argc, char **argv) {
    const char *temporary = getenv("TMPDIR");
    char folder[400], command[420];
    long totals[OUTCOMES + 1] = {0};
    bool fine = true;
    int at = 1;
    snprintf(folder, sizeof folder, "%.300s/bnnep-faults-XXXXXX", temporary ? temporary : "/tmp");
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2)
        if (strcmp(argv[at], "--most") == 0)
            most = strtol(argv[at + 1], NULL, 10);
        else if (strcmp(argv[at], "--seed") == 0)
            seed = strtoull(argv[at + 1], NULL, 10);
        else
            at = argc;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at >= argc || shared == MAP_FAILED || !mkdtemp(folder)) {
        fputs("usage: test_faults [--most N] [--seed S] BACKEND...\n", stderr);
        return 2;
    }
    print_head();
    for (; at < argc; at++) {
        if (is_there(argv[at]))
            fine = try_backend(argv[at], folder, totals) && fine;
        else
            printf("%-8sis not here\n", argv[at]);
    }
    printf("%-28s", "all");
    for (size_t i = 0; i <= OUTCOMES; i++)
        printf("%9ld", totals[i]);
    putchar('\n');
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 && fine && totals[0] > 0 ? 0 : 1;
}
