/* SPDX-License-Identifier: MIT */
/* What runs before and below main() on a bare Cortex-M4: start, faults, and semihosting to print and to end. */
#include <stdint.h>

#include "device.h"

enum { WRITE0 = 0x04, EXIT = 0x18 };
static const uint32_t ended_well = 0x20026, ended_badly = 0x20024; /* ADP_Stopped_ApplicationExit, _RunTimeError */

extern uint32_t data_begin[], data_end[], data_load[], bss_begin[], bss_end[], stack_top[];

static void semihost(uint32_t operation, uintptr_t argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void say(const char *text) {
    semihost(WRITE0, (uintptr_t)text);
}

void start(void) {
    for (uint32_t *to = data_begin, *from = data_load; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;)
        *to++ = 0;
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the floating-point unit is there to be used */
    __asm__ volatile("dsb\n\tisb");
    semihost(EXIT, main() == 0 ? ended_well : ended_badly);
}

static void fault(void) {
    say("fault\n");
    semihost(EXIT, ended_badly);
}

/* stack, reset, NMI, and the faults */
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    (uintptr_t)stack_top, (uintptr_t)start, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,     (uintptr_t)fault, (uintptr_t)fault,
};
