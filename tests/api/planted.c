/* SPDX-License-Identifier: MIT */
/* A module that somebody has put where a program might look for the library's: leaves a mark when it is loaded. */
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void leave_mark(void) {
    const int mark = open("mark", O_CREAT | O_WRONLY, 0666);
    if (mark >= 0)
        close(mark);
}
