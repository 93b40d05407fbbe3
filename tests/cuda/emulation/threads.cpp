/* SPDX-License-Identifier: MIT */
/* Threads of a kernel as fibres. */
#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <ucontext.h>
#include <vector>

#include "emulation.h"

#if BNNEP_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

/* Where a stack was left. The compiler's own jumps: at those of the C library AddressSanitizer clears what it knows of
 * the stack, with a system call, which made up most of its time. */
using place = void *[5];

/* A stack on which threads run one after another; one that waits at a barrier keeps it until it goes on. */
struct fibre {
    ucontext_t beginning;
    place left;
    std::unique_ptr<char[]> stack;
    unsigned thread;     /* that it runs */
    bool begun, waiting; /* waiting: at a barrier */
};

static constexpr size_t stack_bytes = 256 * 1024;
static place scheduler;
static std::vector<std::unique_ptr<fibre>> fibres;
static fibre *here; /* the fibre that runs */

/* The block under way. */
static const std::function<void()> *body;
static std::vector<unsigned> order;
static size_t started, ended;

#if BNNEP_SANITIZED
/* AddressSanitizer has to know which stack is in use. */
static const void *scheduler_stack;
static size_t scheduler_size;
#endif

#define BARE __attribute__((noinline, no_sanitize("address")))

BARE [[noreturn]] static void jump(void **to) {
    __builtin_longjmp(to, 1);
}

/* Leaves a stack, which goes on from here when it is jumped to, for another. */
BARE static void leave(void **from, void **to) {
    if (__builtin_setjmp(from) == 0)
        jump(to);
}

BARE static void begin(void **from, const ucontext_t &to) {
    if (__builtin_setjmp(from) == 0)
        setcontext(&to);
}

static void to_fibre(fibre &f) {
    here = &f;
#if BNNEP_SANITIZED
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, f.stack.get(), stack_bytes);
#endif
    if (f.begun)
        leave(scheduler, f.left);
    else {
        f.begun = true;
        begin(scheduler, f.beginning);
    }
#if BNNEP_SANITIZED
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

static void to_scheduler() {
    fibre &f = *here;
#if BNNEP_SANITIZED
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, scheduler_stack, scheduler_size);
#endif
    leave(f.left, scheduler);
#if BNNEP_SANITIZED
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#endif
}

static void become(unsigned thread) {
    threadIdx = dim3(thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y);
}

/* What a fibre does for ever: threads that were not started yet, then a rest until the next block. */
static void live() {
#if BNNEP_SANITIZED
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    for (;;) {
        while (started < order.size()) {
            here->thread = order[started++];
            become(here->thread);
            (*body)();
            ended++;
        }
        to_scheduler();
    }
}

static fibre &new_fibre() {
    fibres.push_back(std::make_unique<fibre>());
    fibre &f = *fibres.back();
    f.stack = std::make_unique_for_overwrite<char[]>(stack_bytes);
    f.begun = f.waiting = false;
    getcontext(&f.beginning);
    f.beginning.uc_stack.ss_sp = f.stack.get();
    f.beginning.uc_stack.ss_size = stack_bytes;
    f.beginning.uc_link = nullptr;
    makecontext(&f.beginning, live, 0);
    return f;
}

enum class sequence { forward, backward, shuffled };

static sequence chosen_sequence() {
    const char *text = getenv("BNNEP_EMULATION_ORDER");
    if (!text || strcmp(text, "forward") == 0)
        return sequence::forward;
    if (strcmp(text, "backward") == 0)
        return sequence::backward;
    if (strcmp(text, "shuffled") == 0)
        return sequence::shuffled;
    fault("BNNEP_EMULATION_ORDER is not forward, backward or shuffled");
}

static void arrange(std::vector<unsigned> &numbers, size_t count, sequence how, uint32_t &draw) {
    numbers.resize(count);
    std::iota(numbers.begin(), numbers.end(), 0u);
    if (how == sequence::backward)
        std::reverse(numbers.begin(), numbers.end());
    for (size_t i = count; how == sequence::shuffled && i > 1; i--) {
        draw = draw * 1664525u + 1013904223u;
        std::swap(numbers[i - 1], numbers[(draw >> 8) % i]);
    }
}

/* All threads of a block, from barrier to barrier. */
static void run_block(sequence how, uint32_t &draw) {
    std::vector<fibre *> waiting;
    std::vector<unsigned> turns;
    size_t used = 0;
    started = ended = 0;
    while (started < order.size()) {
        fibre &f = used < fibres.size() ? *fibres[used] : new_fibre();
        used++;
        to_fibre(f);
        if (f.waiting)
            waiting.push_back(&f);
    }
    while (!waiting.empty()) {
        if (ended > 0)
            fault("a thread has left the kernel while others wait at a barrier");
        std::vector<fibre *> again;
        arrange(turns, waiting.size(), how == sequence::shuffled ? how : sequence::forward, draw);
        for (unsigned turn : turns) {
            fibre &f = *waiting[turn];
            f.waiting = false;
            become(f.thread);
            to_fibre(f);
            if (f.waiting)
                again.push_back(&f);
        }
        waiting.swap(again);
    }
}

void run(dim3 grid, dim3 block, const std::function<void()> &thread) {
    static uint32_t draw = 1;
    const sequence how = chosen_sequence();
    const unsigned threads = block.x * block.y * block.z;
    if (grid.y != 1 || grid.z != 1 || threads == 0 || threads > 1024)
        fault("a launch of a shape that the emulation does not know");
    std::vector<unsigned> blocks;
    arrange(blocks, grid.x, how, draw);
    body = &thread;
    blockDim = block;
    gridDim = grid;
    for (unsigned b : blocks) {
        blockIdx = dim3(b, 0, 0);
        arrange(order, threads, how, draw);
        run_block(how, draw);
    }
}

} // namespace emulation

void __syncthreads() {
    emulation::here->waiting = true;
    emulation::to_scheduler();
}
