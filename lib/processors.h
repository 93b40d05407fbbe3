/* SPDX-License-Identifier: MIT */
/* How many threads a process can run at once. */
#ifndef BNNEP_PROCESSORS_H
#define BNNEP_PROCESSORS_H

#include <stddef.h>

/* Those that the calling thread may run on, and no more than its control group may use at once; at least 1. */
size_t bnnep_processors(void);

/* What control groups of version 2 allow, in whole processors, rounded up; 0: they have no limit. list names the
 * process's group as /proc/self/cgroup does, root is where groups are mounted; a group's limit holds for those in it.
 */
size_t bnnep_cgroup_processors(const char *list, const char *root);

#endif
