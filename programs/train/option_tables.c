/* SPDX-License-Identifier: MIT */
/* Prints the table of bnnep-train's options as a page needs it, at build time: option_tables markdown|man */
#include "options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What a page says of an option: its text, or its line of --help as a sentence. */
static const char *sentences(const struct known *option, char room[256]) {
    if (option->text)
        return option->text;
    snprintf(room, 256, "%c%s.", toupper((unsigned char)option->help[0]), option->help + 1);
    return room;
}

static bool is_number(const struct known *option) {
    return option->kind >= INTEGER && option->kind <= COUNTS;
}

/* --- Markdown: a row an option ------------------------------------------------------------------------------------ */

static void print_range(const struct known *option) {
    if (is_number(option))
        printf("%g to %g", option->min, option->max);
    else if (option->choices)
        for (size_t i = 0; option->choices[i]; i++)
            printf("%s`%s`", i ? ", " : "", option->choices[i]);
    else
        fputs(!option->argument ? "—" : strcmp(option->argument, "DIR") == 0 ? "a folder" : "a name", stdout);
}

static void print_row(const struct known *option) {
    char room[256];
    printf("| `--%s", option->name);
    for (const char *c = option->argument ? option->argument : ""; *c; c++)
        printf("%s%s%c", c == option->argument ? " " : "", *c == '|' ? "\\" : "", *c);
    printf("` | %s | ", option->unit ? option->unit : "—");
    print_range(option);
    printf(" | %s | %s |\n", option->standard ? option->standard : "—", sentences(option, room));
}

static void print_markdown(void) {
    puts("| option | unit | range | default | what |\n|---|---|---|---|---|");
    for (size_t i = 0; i < known_count; i++)
        print_row(&known[i]);
}

/* --- man: a paragraph an option ---------------------------------------------------------------------------------- */

/* What groff has other names for than ours. Sentences begin lines of their own; `code` is bold; of a link, its target
 * comes in parentheses. */
static const struct {
    const char *ours, *groff;
} names[] = {
    {". ", ".\n"},   {"](", " ("},    {"[", ""},       {"-", "\\-"},    {"−", "\\-"},
    {"β", "\\[*b]"}, {"γ", "\\[*g]"}, {"θ", "\\[*h]"}, {"τ", "\\[*t]"}, {"←", "\\[<-]"},
    {"→", "\\[->]"}, {"×", "\\[mu]"}, {"≥", "\\[>=]"},
};

static void print_groff(const char *text) {
    bool bold = false;
    while (*text) {
        size_t i = 0;
        while (i < sizeof names / sizeof names[0] && strncmp(text, names[i].ours, strlen(names[i].ours)) != 0)
            i++;
        if (i < sizeof names / sizeof names[0]) {
            fputs(names[i].groff, stdout);
            text += strlen(names[i].ours);
        } else if (*text == '`') {
            bold = !bold;
            fputs(bold ? "\\fB" : "\\fR", stdout);
            text++;
        } else {
            putchar(*text++);
        }
    }
}

static void print_tag(const struct known *option) {
    const char *argument = option->argument ? option->argument : "";
    const size_t words = strspn(argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"); /* in italics; digits, bars and dots are not */
    printf(".TP\n%s \\-\\-", words ? ".BI" : *argument ? ".BR" : ".B");
    print_groff(option->name);
    if (*argument)
        printf("\\  %.*s%s%s", (int)words, argument, words && argument[words] ? "\\fR" : "", argument + words);
    putchar('\n');
}

static void print_paragraph(const struct known *option) {
    char room[256];
    print_tag(option);
    print_groff(sentences(option, room));
    putchar('\n');
    if (is_number(option)) {
        char range[64];
        snprintf(range, sizeof range, "From %g to %g", option->min, option->max);
        print_groff(range);
    }
    if (option->standard) {
        fputs(is_number(option) ? "; default: " : "Default: ", stdout);
        print_groff(option->standard);
    }
    fputs(is_number(option) || option->standard ? ".\n" : "", stdout);
}

static void print_man(void) {
    puts(".SS Options of this program");
    for (size_t i = 0; i < known_count; i++) {
        if (strcmp(known[i].name, "dataset") == 0) /* from here on they are the paper's */
            puts(".SS Options of the paper");
        print_paragraph(&known[i]);
    }
}

int main(int argc, char **argv) {
    const char *format = argc == 2 ? argv[1] : "";
    if (strcmp(format, "markdown") == 0)
        print_markdown();
    else if (strcmp(format, "man") == 0)
        print_man();
    else
        return fputs("usage: option_tables markdown|man\n", stderr), 2;
    return fflush(stdout) == 0 ? 0 : 1;
}
