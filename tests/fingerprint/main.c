/* SPDX-License-Identifier: MIT */
/*
 * The bits that must not change: trains small networks of every kind that the paper has, on every backend and kernel
 * set of this machine, and prints a line with digests for each.
 *
 *     fingerprint - [WORD]        prints the lines, or those of networks whose names begin with a word
 *     fingerprint FILE [WORD]     compares them with a file of such lines
 *
 * Lines that the file has and this machine cannot make are passed over, and so are those of networks whose contrast is
 * dense, on the cpu backend, where OpenBLAS is another one than the file's (its first line): bits of its products
 * differ.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "networks.h"
#include "support.h"
#ifdef BNNEP_WITH_OPENBLAS
#include <cblas.h>
#endif

/* How a network is run. */
struct setting {
    const char *backend, *kernels; /* kernels: "" for ref */
    int threads;
    float tolerance;
    int32_t grid_bits;
};

static const char *products(void) {
#ifdef BNNEP_WITH_OPENBLAS
    return openblas_get_corename();
#else
    return "none";
#endif
}

/* --- digests ----------------------------------------------------------------------------------------------------- */

/* FNV-1a */
static uint64_t digest(uint64_t hash, const void *data, size_t bytes) {
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

enum part { FREE, NUDGED, MOMENTUM, SIGNS, BIAS, ALPHA, PARTS };
static const char *const part_name[PARTS] = {"free", "nudged", "momentum", "signs", "bias", "alpha"};

/* Back-propagation through time has no nudged phase. */
static void digest_states(bnnep_network *network, size_t layer, size_t units, size_t samples, int last,
                          uint64_t *digests) {
    const size_t count = samples * units;
    float *state = malloc(count * sizeof *state);
    assert_non_null(state);
    for (int phase = BNNEP_PHASE_FREE; phase <= last; phase++) {
        const bnnep_workspace *workspace = bnnep_network_workspace(network);
        assert_ok(bnnep_workspace_get_state(workspace, phase, layer, state, count));
        digests[phase] = digest(digests[phase], state, count * sizeof *state);
    }
    free(state);
}

static void digest_parameters(const bnnep_network *network, const bnnep_optimizer *optimizer, size_t k,
                              const bnnep_connection_info *info, uint64_t *digests) {
    const size_t rows = (size_t)info->rows, weights = rows * (size_t)info->columns, scales = (size_t)info->scales;
    float *values = malloc(weights * sizeof *values);
    int8_t *signs = malloc(weights);
    assert_true(values && signs);
    assert_ok(bnnep_optimizer_get_momentum(optimizer, k, values, weights));
    digests[MOMENTUM] = digest(digests[MOMENTUM], values, weights * sizeof *values);
    assert_ok(bnnep_network_get_signs(network, k, signs, weights));
    digests[SIGNS] = digest(digests[SIGNS], signs, weights);
    assert_ok(bnnep_network_get_bias(network, k, values, rows));
    digests[BIAS] = digest(digests[BIAS], values, rows * sizeof *values);
    assert_ok(bnnep_network_get_alpha(network, k, values, scales));
    digests[ALPHA] = digest(digests[ALPHA], values, scales * sizeof *values);
    free(values);
    free(signs);
}

static void digest_all(bnnep_network *network, const bnnep_optimizer *optimizer, bool nudged, size_t samples,
                       uint64_t *digests) {
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    assert_ok(bnnep_network_get_info(network, &info));
    for (size_t k = 0; k < info.connection_count; k++) {
        bnnep_connection_info connection = BNNEP_CONNECTION_INFO_INIT;
        assert_ok(bnnep_network_get_connection(network, k, &connection));
        digest_states(network, k + 1, (size_t)connection.units, samples, nudged ? BNNEP_PHASE_NUDGED : BNNEP_PHASE_FREE,
                      digests);
        digest_parameters(network, optimizer, k, &connection, digests);
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

enum { BATCHES = 3, MOST_LINES = 2048, LINE = 512 };

struct lines {
    char (*text)[LINE];
    size_t count;
};

/* Trains for BATCHES batches, the last one smaller, and adds a line: a key, " : ", digests. */
static void add_line(struct lines *lines, const struct kind *kind, const struct setting *how) {
    bnnep_network *network;
    bnnep_optimizer *optimizer;
    struct stream stream = {5};
    uint64_t digests[PARTS], flips[MOST_CONNECTIONS], flipped = 0;
    char backend[64];
    assert_true(lines->count < MOST_LINES);
    for (size_t i = 0; i < PARTS; i++)
        digests[i] = UINT64_C(0xcbf29ce484222325);
    if (how->kernels[0]) {
        assert_int_equal(setenv("BNNEP_CPU", how->kernels, 1), 0);
        snprintf(backend, sizeof backend, "cpu/%d", how->threads);
    } else
        snprintf(backend, sizeof backend, "%s", how->backend);
    kind_make(kind, backend, how->tolerance, how->grid_bits, &network, &optimizer);
    for (int batch = 0; batch < BATCHES; batch++) {
        const size_t samples = (size_t)kind->samples - (batch == BATCHES - 1 ? 5 : 0);
        float *x = kind_inputs(kind, &stream, samples);
        int32_t *labels = random_labels(&stream, samples, kind->classes);
        bnnep_report report = BNNEP_REPORT_INIT;
        report.flips = flips;
        report.flips_count = MOST_CONNECTIONS;
        assert_ok(bnnep_optimizer_train_batch(optimizer, x, labels, samples, NULL, &report));
        for (size_t k = 0; k < kind->connections; k++)
            flipped += flips[k];
        digest_all(network, optimizer, kind->method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION, samples, digests);
        free(x);
        free(labels);
    }
    bnnep_optimizer_free(optimizer);
    bnnep_network_free(network);
    char *text = lines->text[lines->count++];
    int at = snprintf(text, LINE, "%s %s %s%sthreads=%d settle=%g grid=%d :", kind->name, how->backend, how->kernels,
                      how->kernels[0] ? " " : "", how->threads, (double)how->tolerance, how->grid_bits);
    for (size_t i = 0; i < PARTS; i++)
        at += snprintf(text + at, LINE - (size_t)at, " %s=%016" PRIx64, part_name[i], digests[i]);
    snprintf(text + at, LINE - (size_t)at, " flips=%" PRIu64, flipped);
}

/* Can this machine run a kernel set? The library takes another one if not, so ask the processor. */
static bool runs(const char *kernels) {
#if defined(__x86_64__)
    if (strcmp(kernels, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
    if (strcmp(kernels, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#elif defined(__aarch64__)
    if (strcmp(kernels, "neon") == 0)
        return true;
#endif
    return strcmp(kernels, "generic") == 0;
}

static void add_settings(struct lines *lines, const struct kind *kind) {
    static const char *const kernels[] = {"generic", "avx2", "avx512", "neon"};
    const bool may_grid = kind->dynamics == BNNEP_DYNAMICS_REAL && kind->method == BNNEP_METHOD_EQUILIBRIUM_PROPAGATION;
    for (int grid = 0; grid <= (may_grid ? 16 : 0); grid += 16)
        for (int loose = 0; loose < 2; loose++) {
            const float tolerance = loose ? 1e-6f : 0.0f;
            if (!kind->large)
                add_line(lines, kind, &(struct setting){"ref", "", 1, tolerance, grid});
            for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
                for (int threads = 1; runs(kernels[i]) && threads <= 2; threads++)
                    add_line(lines, kind, &(struct setting){"cpu", kernels[i], threads, tolerance, grid});
        }
}

/* --- comparison -------------------------------------------------------------------------------------------------- */

static size_t key_length(const char *line) {
    const char *end = strstr(line, " :");
    return end ? (size_t)(end - line) : 0;
}

static const char *find_line(const struct lines *lines, const char *key) {
    for (size_t i = 0; i < lines->count; i++)
        if (key_length(lines->text[i]) == key_length(key) && strncmp(lines->text[i], key, key_length(key)) == 0)
            return lines->text[i];
    return NULL;
}

static bool is_comparable(const char *line, bool same_products) {
    const struct kind *kind = kind_find(line, strcspn(line, " "));
    return same_products || !strstr(line, " cpu ") || (kind && !kind->dense);
}

/* Returns how many lines differ. */
static int compare(const struct lines *now, const char *path) {
    char line[LINE], first[LINE];
    int same = 0, different = 0, passed_over = 0;
    FILE *file = fopen(path, "r");
    if (!file || !fgets(first, sizeof first, file)) {
        fprintf(stderr, "fingerprint: %s cannot be read\n", path);
        return 1;
    }
    first[strcspn(first, "\n")] = '\0';
    const bool same_products = strncmp(first, "OpenBLAS ", 9) == 0 && strcmp(first + 9, products()) == 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *mine = find_line(now, line);
        if (!mine || !is_comparable(line, same_products))
            passed_over++;
        else if (strcmp(mine, line) == 0)
            same++;
        else {
            different++;
            printf("- %s\n+ %s\n", line, mine);
        }
    }
    fclose(file);
    printf("fingerprint: %d lines as in %s, %d differ, %d not comparable on this machine (OpenBLAS %s)\n", same, path,
           different, passed_over, products());
    return different + (same == 0);
}

int main(int argc, char **argv) {
    struct lines lines = {calloc(MOST_LINES, LINE), 0};
    if (!lines.text)
        return 1;
    for (size_t i = 0; i < kind_count; i++)
        if (argc < 3 || strncmp(kinds[i].name, argv[2], strlen(argv[2])) == 0)
            add_settings(&lines, &kinds[i]);
    int failed = 0;
    if (argc > 1 && strcmp(argv[1], "-") != 0)
        failed = compare(&lines, argv[1]);
    else {
        printf("OpenBLAS %s\n", products());
        for (size_t i = 0; i < lines.count; i++)
            puts(lines.text[i]);
    }
    free(lines.text);
    return failed != 0;
}
