/* SPDX-License-Identifier: MIT */
/* Each preset of bnnep-train is the paper's command: both are read by the same parser, and must come out equal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/presets.h"
#include "common/text.h"
#include "support.h"
#include "train/options.h"

static struct options parse_line(char *line) {
    char *words[256], *rest = NULL, program[] = "bnnep-train";
    struct options options;
    int count = 0;
    words[count++] = program;
    for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
        words[count++] = word;
    words[count] = NULL;
    assert_int_equal(options_read(&options, count, words), -1);
    return options;
}

static void assert_same_list(const struct list *a, const struct list *b) {
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->value, b->value, a->count * sizeof a->value[0]);
}

static void assert_same(const struct options *a, const struct options *b) {
    assert_string_equal(a->dataset, b->dataset);
    assert_string_equal(a->optim, b->optim);
    assert_string_equal(a->archi, b->archi);
    assert_string_equal(a->binary_settings, b->binary_settings);
    assert_string_equal(a->activation, b->activation);
    assert_same_list(&a->layers, &b->layers);
    assert_same_list(&a->conv, &b->conv);
    assert_same_list(&a->gamma, &b->gamma);
    assert_same_list(&a->threshold, &b->threshold);
    assert_same_list(&a->lr_bias, &b->lr_bias);
    assert_same_list(&a->lr_alpha, &b->lr_alpha);
    assert_same_list(&a->conv_gamma, &b->conv_gamma);
    assert_same_list(&a->conv_threshold, &b->conv_threshold);
    const double numbers_a[] = {a->classi_gamma,
                                a->classi_threshold,
                                a->padding,
                                a->kernel,
                                a->pool,
                                a->T,
                                a->Kmax,
                                a->expand_output,
                                a->batch_size,
                                a->test_batch_size,
                                a->epochs,
                                a->device,
                                a->random_beta,
                                a->learn_alpha,
                                a->beta,
                                a->gamma_neur,
                                a->rho_threshold,
                                a->decay_lr_alpha,
                                a->epoch_decay_lr_alpha};
    const double numbers_b[] = {b->classi_gamma,
                                b->classi_threshold,
                                b->padding,
                                b->kernel,
                                b->pool,
                                b->T,
                                b->Kmax,
                                b->expand_output,
                                b->batch_size,
                                b->test_batch_size,
                                b->epochs,
                                b->device,
                                b->random_beta,
                                b->learn_alpha,
                                b->beta,
                                b->gamma_neur,
                                b->rho_threshold,
                                b->decay_lr_alpha,
                                b->epoch_decay_lr_alpha};
    assert_memory_equal(numbers_a, numbers_b, sizeof numbers_a);
}

static void presets_are_commands(void **state) {
    (void)state;
    char line[2048], preset[128];
    size_t seen = 0;
    FILE *file = fopen(BNNEP_COMMANDS, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#')
            continue;
        char *command = strchr(line, ' ');
        assert_non_null(command);
        snprintf(preset, sizeof preset, "--preset %.*s", (int)(command - line), line);
        const struct options by_preset = parse_line(preset);
        struct options by_command = parse_line(command);
        assert_int_equal(by_command.device, 0);
        by_command.device = by_preset.device; /* a preset runs anywhere */
        assert_same(&by_preset, &by_command);
        seen++;
    }
    fclose(file);
    assert_int_equal(seen, preset_paper_count);
    assert_int_equal(seen, 18);
}

/* The others give no rate. */
static void others_by_the_default_rule(void **state) {
    (void)state;
    char preset[128];
    assert_true(preset_count > preset_paper_count);
    for (size_t i = 0; i < preset_count; i++) {
        snprintf(preset, sizeof preset, "--preset %s", presets[i].name);
        assert_int_equal(parse_line(preset).default_rule, i >= preset_paper_count);
    }
}

static void overriding(void **state) {
    (void)state;
    char line[] = "--preset mnist-fc1-alpha --T 7 --gamma 0.1 0.2 0.3 --epochs=2";
    const struct options o = parse_line(line);
    assert_int_equal(o.T, 7);
    assert_int_equal(o.epochs, 2);
    assert_int_equal(o.gamma.count, 3);
    assert_true(o.gamma.value[0] == 0.1 && o.gamma.value[2] == 0.3);
    assert_int_equal(o.threshold.count, 2);
    assert_int_equal(o.learn_alpha, 1);
}

/* Options that are written as text and read again are the same, whatever is in the words. */
static void written(void **state) {
    (void)state;
    char odd[] = "a b\n%41\377", again[] = "--preset cifar10-conv-alpha --gamma_neur 0.1";
    struct options o = parse_line(again);
    o.data = odd;
    o.beta = 1.0 / 3.0;
    o.no_shuffle = true;
    o.seed = 1234567890123;
    char *text = options_write(&o), **words = NULL;
    assert_non_null(text);
    assert_null(strstr(text, "gamma_neur")); /* does not apply */
    struct options read;
    const int count = options_split(text, &words);
    assert_int_equal(options_read(&read, count, words), -1);
    assert_string_equal(read.data, odd);
    assert_true(read.no_shuffle && read.seed == o.seed);
    o.gamma_neur = 0.5;
    assert_same(&o, &read);
    free(text);
    free(words);
}

/* A value of no letters is one all the same. */
static void empty_values(void **state) {
    (void)state;
    static const char given[] = "--data \n--layersList 784 10\n--backend \n";
    char **words = NULL;
    struct options read;
    const int count = options_split(given, &words);
    assert_int_equal(options_read(&read, count, words), -1);
    assert_non_null(read.data);
    assert_string_equal(read.data, "");
    assert_string_equal(read.backend, "");
    assert_int_equal(read.layers.count, 2);
    char *text = options_write(&read);
    assert_non_null(strstr(text, "--data \n"));
    free(text);
    free(words);
}

/* A number that is refused is nowhere converted: what the option was it stays. */
static void refused_numbers(void **state) {
    (void)state;
    static const char *const names[] = {"--T", "--seed", "--beta", "--train-limit"};
    static const char *const values[] = {"1e300", "-1e300", "nan", "1e999"};
    for (size_t i = 0; i < 4; i++)
        for (size_t v = 0; v < 4; v++) {
            char program[] = "bnnep-train", name[32], value[32], *words[] = {program, name, value, NULL};
            struct options o;
            snprintf(name, sizeof name, "%s", names[i]);
            snprintf(value, sizeof value, "%s", values[v]);
            assert_int_equal(options_read(&o, 3, words), 2);
            assert_true(o.T == 50 && o.seed == 0 && o.beta == 0.3 && o.train_limit == 0);
        }
}

/* What the table says that options are if nobody says: numbers and choices are set, words are for people. */
static void standards(void **state) {
    (void)state;
    char line[] = "--layersList 784 10 --gamma 0.1", shape[] = "--layersList 784 10";
    const struct options o = parse_line(line), nothing_said = parse_line(shape);
    assert_string_equal(o.dataset, "mnist");
    assert_string_equal(o.binary_settings, "bin_W");
    assert_int_equal(o.T, 50);
    assert_int_equal(o.test_batch_size, 512);
    assert_int_equal(o.device, -1);
    assert_int_equal(o.epoch_decay_lr_alpha, 1000);
    assert_true(o.beta == 0.3 && o.decay_lr_alpha == 1.0 && o.settle == 0.0 && o.checkpoint_minutes == 0.0);
    assert_true(o.random_beta == 1 && o.learn_alpha == 0 && o.threads == 0 && o.grid == 0 && o.train_limit == 0);
    assert_true(!o.backend && !o.data && !o.out && !o.activation && !o.units && !o.fall && !o.default_rule);
    /* without rates the default rule is meant */
    assert_true(nothing_said.default_rule && nothing_said.learn_alpha == 1);
    assert_string_equal(nothing_said.units, "deviations");
    assert_string_equal(nothing_said.fall, "harmonic");
}

static void nearest_name(void **state) {
    (void)state;
    const char *const names[] = {"gamma", "gamma_neur", "beta", "epochs"};
    assert_string_equal(nearest("gama", names, 4), "gamma");
    assert_string_equal(nearest("gamma_nerv", names, 4), "gamma_neur");
    assert_string_equal(nearest("epoch", names, 4), "epochs");
    assert_string_equal(nearest("", names, 4), "beta");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(presets_are_commands),
                                       cmocka_unit_test(others_by_the_default_rule),
                                       cmocka_unit_test(overriding),
                                       cmocka_unit_test(nearest_name),
                                       cmocka_unit_test(standards),
                                       cmocka_unit_test(written),
                                       cmocka_unit_test(empty_values),
                                       cmocka_unit_test(refused_numbers)};
    return cmocka_run_group_tests_name("presets", tests, NULL, NULL);
}
