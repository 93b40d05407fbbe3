/* SPDX-License-Identifier: MIT */
/* Reading the output layer: targets, scores, classes, loss. */
#include <math.h>
#include <string.h>

#include "lib/internal.h"

void bnnep_one_hot(const bnnep_network *net, const int32_t *labels, size_t count, float *targets) {
    const size_t expand = (size_t)net->options.expand_output;
    memset(targets, 0, count * net->outputs * sizeof *targets);
    for (size_t n = 0; n < count; n++)
        for (size_t e = 0; e < expand; e++)
            targets[n * net->outputs + (size_t)labels[n] * expand + e] = 1.0f;
}

int32_t bnnep_read_scores(const bnnep_network *net, const float *outputs, int32_t readout, float *scores) {
    const size_t expand = (size_t)net->options.expand_output;
    int32_t best = 0;
    double best_score = -INFINITY;
    for (int32_t c = 0; c < net->options.classes; c++) {
        const float *units = outputs + (size_t)c * expand;
        double score = units[0];
        if (readout == BNNEP_READOUT_AVERAGE) {
            for (size_t e = 1; e < expand; e++)
                score += (double)units[e];
            score /= (double)expand;
        }
        if (scores)
            scores[c] = (float)score;
        if (score > best_score) { /* the lowest class wins a tie */
            best_score = score;
            best = c;
        }
    }
    return best;
}

void bnnep_score_batch(const bnnep_network *net, const float *outputs, const int32_t *labels, size_t count,
                       struct bnnep_sums *sums) {
    const size_t expand = (size_t)net->options.expand_output;
    for (size_t n = 0; labels && n < count; n++) {
        const float *s = outputs + n * net->outputs;
        double square = 0.0;
        for (size_t j = 0; j < net->outputs; j++) {
            const double error = (double)s[j] - (j / expand == (size_t)labels[n] ? 1.0 : 0.0);
            square += error * error;
        }
        sums->loss += 0.5 * square;
        sums->errors += bnnep_read_scores(net, s, BNNEP_READOUT_AVERAGE, NULL) != labels[n];
        sums->errors_single += bnnep_read_scores(net, s, BNNEP_READOUT_SINGLE, NULL) != labels[n];
    }
    sums->samples += count;
    sums->batches++;
}

bnnep_status bnnep_check_inputs(const float *inputs, size_t count, size_t values, float most, uint64_t first,
                                const uint64_t *places) {
    for (size_t n = 0; n < count; n++)
        for (size_t v = 0; v < values; v++) {
            const float x = inputs[n * values + v];
            if (fabsf(x) <= most)
                continue;
            const unsigned long long place = places ? places[n] : first + n;
            if (!isfinite(x))
                return bnnep_fail(BNNEP_ERROR_DATA, "input %llu, value %zu is %g; inputs must be finite", place, v,
                                  (double)x);
            return bnnep_fail(BNNEP_ERROR_DATA,
                              "input %llu, value %zu is %g; with so many grid_bits inputs must be within -%g to %g",
                              place, v, (double)x, (double)most, (double)most);
        }
    return BNNEP_OK;
}

bnnep_status bnnep_check_labels(const int32_t *labels, size_t count, int32_t classes, uint64_t first,
                                const uint64_t *places) {
    for (size_t n = 0; n < count; n++)
        if (labels[n] < 0 || (classes > 0 && labels[n] >= classes)) {
            if (classes > 0)
                return bnnep_fail(BNNEP_ERROR_DATA, "label %llu is %d; expected 0 to %d",
                                  (unsigned long long)(places ? places[n] : first + n), labels[n], classes - 1);
            return bnnep_fail(BNNEP_ERROR_DATA, "label %llu is %d; labels are at least 0",
                              (unsigned long long)(places ? places[n] : first + n), labels[n]);
        }
    return BNNEP_OK;
}
