/* SPDX-License-Identifier: MIT */
/*
 * How kernels run here. Blocks run one after another; the threads of a block too, each until it ends or comes to a
 * barrier, where it waits on a stack of its own until all others are there. The order is that of BNNEP_EMULATION_ORDER:
 * "forward" (or unset), "backward" or "shuffled"; it is the same in every run. A kernel whose result depends on it
 * lacks a barrier or reads what another block writes, and differs from itself in another order.
 *
 * Device memory is memory: an index outside of an array is found by AddressSanitizer where that is compiled in, and
 * without it, if it wrote near the array, when the array is freed. A copy must name the memories it is between. A
 * thread that leaves a kernel while others wait at a barrier is a fault. Faults abort.
 *
 * Streams are as lazy as the rules allow: work that is queued is done when the host waits for it, and no further than
 * that, whatever other streams do. Copies read and write the host's memory then. A missing wait therefore shows as
 * memory that was not written yet, or in AddressSanitizer as memory that is gone. New device memory is full of ones. A
 * stream takes work only while its device is the thread's current one. Taking and freeing memory while any stream is
 * captured is a fault.
 *
 * BNNEP_EMULATION_DEVICES is the number of devices (1), BNNEP_EMULATION_CAPABILITY what they can do (90).
 * BNNEP_EMULATION_FAIL = n lets the n-th call fail, counted from when the variable was seen to change.
 *
 * Not seen here: host code that reads device memory directly, and what only hardware has: warps, caches, several
 * blocks at once.
 */
#ifndef BNNEP_EMULATION_H
#define BNNEP_EMULATION_H

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define BNNEP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BNNEP_SANITIZED 1
#endif
#endif
#ifndef BNNEP_SANITIZED
#define BNNEP_SANITIZED 0
#endif

namespace emulation {

constexpr bool sanitized = BNNEP_SANITIZED;

[[noreturn]] void fault(const char *what);

} // namespace emulation

#endif
