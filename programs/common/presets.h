/* SPDX-License-Identifier: MIT */
#ifndef BNNEP_PROGRAMS_PRESETS_H
#define BNNEP_PROGRAMS_PRESETS_H

#include <stddef.h>

/* A command: that of `base`, if there is one, with `command` after it. Those of the paper come first. */
struct preset {
    const char *name, *base, *command;
};

extern const struct preset presets[];
extern const size_t preset_count, preset_paper_count;
/* NULL if there is none of this name. */
const struct preset *preset_find(const char *name);

#endif
