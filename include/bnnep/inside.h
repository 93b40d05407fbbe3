/* SPDX-License-Identifier: MIT */
/**
 * @file inside.h
 * What a researcher needs to look inside: parameters, and the phases one by one. Included by bnnep/bnnep.h, whose rules
 * hold here too.
 */
#ifndef BNNEP_INSIDE_H
#define BNNEP_INSIDE_H

#include <bnnep/bnnep.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Parameters ------------------------------------------------------------------------------------------------- */

/** What a connection is. */
typedef struct bnnep_connection_info {
    size_t size;
    uint64_t rows;                    /**< rows of the sign matrix: output units or channels */
    uint64_t columns;                 /**< its columns: input units (convolution: input channels * kernel * kernel) */
    uint64_t scales;                  /**< number of scaling factors: 1, or one per output channel */
    uint64_t units;                   /**< units of the layer it leads to */
    uint64_t channels, height, width; /**< their shape; fully connected: units, 1, 1 */
    int32_t kind, kernel, padding, pool, from, to; /**< see bnnep_connection */
} bnnep_connection_info;
#define BNNEP_CONNECTION_INFO_INIT BNNEP_INIT_(sizeof(bnnep_connection_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

/** Describes connection @p connection, counted from 0 at the input. */
BNNEP_API bnnep_status bnnep_network_get_connection(const bnnep_network *network, size_t connection,
                                                    bnnep_connection_info *info);

/* `count` is the length of the caller's array in elements and must be exactly that of the parameter; see
 * bnnep_network_get_connection(). */

/** Signs as bytes +1 and -1, [rows][columns]. Columns of a convolution are [input channel][kernel row][column]. */
BNNEP_API bnnep_status bnnep_network_get_signs(const bnnep_network *network, size_t connection, int8_t *signs,
                                               size_t count);
BNNEP_API bnnep_status bnnep_network_set_signs(bnnep_network *network, size_t connection, const int8_t *signs,
                                               size_t count);

/** Signs as bits, [rows][ceil(columns/8)] bytes: least significant bit first, 1 means +1, bits beyond the last
 * column 0. */
BNNEP_API bnnep_status bnnep_network_get_sign_bits(const bnnep_network *network, size_t connection, uint8_t *bits,
                                                   size_t count);
BNNEP_API bnnep_status bnnep_network_set_sign_bits(bnnep_network *network, size_t connection, const uint8_t *bits,
                                                   size_t count);

/** Scaling factors, [scales]. */
BNNEP_API bnnep_status bnnep_network_get_alpha(const bnnep_network *network, size_t connection, float *alpha,
                                               size_t count);
BNNEP_API bnnep_status bnnep_network_set_alpha(bnnep_network *network, size_t connection, const float *alpha,
                                               size_t count);

/** Biases, [rows]. */
BNNEP_API bnnep_status bnnep_network_get_bias(const bnnep_network *network, size_t connection, float *bias,
                                              size_t count);
BNNEP_API bnnep_status bnnep_network_set_bias(bnnep_network *network, size_t connection, const float *bias,
                                              size_t count);

/** Momenta, [rows][columns]. */
BNNEP_API bnnep_status bnnep_optimizer_get_momentum(const bnnep_optimizer *optimizer, size_t connection,
                                                    float *momentum, size_t count);
BNNEP_API bnnep_status bnnep_optimizer_set_momentum(bnnep_optimizer *optimizer, size_t connection,
                                                    const float *momentum, size_t count);

/** Sets the batches and epochs that an optimizer has trained. They number the random draws (signs of beta, orders of
 * data), so setting them with parameters and momenta resumes a run where it stood, if its rates are not
 * in deviations, nor its contrasts of covariances of single samples: what was measured is forgotten. Ends an epoch that
 * was cancelled: the next one starts from its beginning. */
BNNEP_API bnnep_status bnnep_optimizer_set_position(bnnep_optimizer *optimizer, uint64_t batches, uint64_t epochs);

/* --- The phases, one by one ------------------------------------------------------------------------------------ */

/* bnnep_optimizer_train_batch() is bnnep_workspace_stage(), bnnep_workspace_relax() to BNNEP_PHASE_FREE and from there,
 * with beta, to BNNEP_PHASE_NUDGED, bnnep_optimizer_contrast(), bnnep_optimizer_update(); it also draws the sign of
 * beta and counts the batch. States can be read and set after a phase, the contrast before the update; parameters that
 * were changed ask for the batch to be staged again. */

/** The phases, whose states are kept apart: the free one, the nudged one, and room for another. */
enum { BNNEP_PHASE_FREE = 0, BNNEP_PHASE_NUDGED = 1, BNNEP_PHASE_OTHER = 2 };

/** Clamps a batch: copies @p inputs ([count][inputs]) and @p targets ([count][outputs], or NULL if there will be
 * no nudged phase), computes the input's drive, and sets the free states to those the phase starts from. */
BNNEP_API bnnep_status bnnep_workspace_stage(bnnep_workspace *workspace, const float *inputs, const float *targets,
                                             size_t count);

/** One phase. Samples that settle (see settle_tolerance) stop early. */
typedef struct bnnep_relaxation {
    size_t size;
    double beta;      /**< signed strength of the nudge; 0: the free dynamics */
    int32_t from, to; /**< phases: where it starts, and where it leaves its states; they may be the same */
    int32_t steps;    /**< time steps; 0: the network's free_steps */
    int32_t reserved; /**< 0 */
} bnnep_relaxation;
#define BNNEP_RELAXATION_INIT BNNEP_INIT_(sizeof(bnnep_relaxation), 0.0, 0, 0, 0, 0)
BNNEP_API bnnep_status bnnep_relaxation_init(bnnep_relaxation *relaxation, size_t size);

/** How many time steps a phase took. */
typedef struct bnnep_relaxed {
    size_t size;
    uint64_t sample_steps; /**< time steps, summed over the samples */
    int32_t most_steps;    /**< the largest number a sample took */
    int32_t reserved;      /**< 0 */
} bnnep_relaxed;
#define BNNEP_RELAXED_INIT BNNEP_INIT_(sizeof(bnnep_relaxed), 0, 0, 0)

/** Runs a phase. @p relaxed may be NULL. Alternating steps begin with layer 1 in each call. */
BNNEP_API bnnep_status bnnep_workspace_relax(bnnep_workspace *workspace, const bnnep_relaxation *relaxation,
                                             bnnep_relaxed *relaxed);

/** States of a layer (1 ... connections) after a phase, [samples staged][units]. The places of maxima in convolutions
 * stay those of the last step until the next one. */
BNNEP_API bnnep_status bnnep_workspace_get_state(const bnnep_workspace *workspace, int32_t phase, size_t layer,
                                                 float *state, size_t count);
BNNEP_API bnnep_status bnnep_workspace_set_state(bnnep_workspace *workspace, int32_t phase, size_t layer,
                                                 const float *state, size_t count);

/** Which phases are contrasted: (second - first) / divisor, mean over the samples; of covariances
 * if the optimizer was made so: each contrast of one sample then counts in the means that it is taken about. */
typedef struct bnnep_contrast_options {
    size_t size;
    double divisor; /**< 0: the beta of the second phase less that of the first */
    int32_t first;  /**< a phase; default: BNNEP_PHASE_FREE */
    int32_t second; /**< another than the free one; 0: BNNEP_PHASE_NUDGED */
} bnnep_contrast_options;
#define BNNEP_CONTRAST_OPTIONS_INIT BNNEP_INIT_(sizeof(bnnep_contrast_options), 0.0, 0, 0)
BNNEP_API bnnep_status bnnep_contrast_options_init(bnnep_contrast_options *options, size_t size);

/** Takes the contrast g of two phases in @p workspace, which must be of the optimizer's network. @p options may be
 * NULL. */
BNNEP_API bnnep_status bnnep_optimizer_contrast(bnnep_optimizer *optimizer, bnnep_workspace *workspace,
                                                const bnnep_contrast_options *options);

/** For an optimizer with BNNEP_METHOD_BPTT: takes @p steps more free steps (1 to nudged_steps + 1; convolutional
 * networks: 1 to nudged_steps) from the free states, which it updates, and back-propagates the gradient through these
 * steps; its negative is the contrast. The batch must have been staged with targets. */
BNNEP_API bnnep_status bnnep_optimizer_backpropagate(bnnep_optimizer *optimizer, bnnep_workspace *workspace,
                                                     int32_t steps);

/** Parts of a contrast: that of the weights (of B), [rows][columns]; of the biases, [rows]; of the scaling factors,
 * [scales]: of a_{k+1} . W a_k, in a convolution with its bias and pooled, and halved in networks without convolutions.
 */
enum { BNNEP_CONTRAST_WEIGHTS = 0, BNNEP_CONTRAST_BIAS = 1, BNNEP_CONTRAST_ALPHA = 2 };

/** The contrast that bnnep_optimizer_update() will apply: the last one taken, or set. (What is read and set again may
 * differ in its last bit from what was taken.) Setting a part when there is none makes the others 0. Training
 * leaves none, and a clone has none. */
BNNEP_API bnnep_status bnnep_optimizer_get_contrast(const bnnep_optimizer *optimizer, size_t connection, int32_t part,
                                                    float *values, size_t count);
BNNEP_API bnnep_status bnnep_optimizer_set_contrast(bnnep_optimizer *optimizer, size_t connection, int32_t part,
                                                    const float *values, size_t count);

/** Moves momenta, flips signs, moves biases and scaling factors by the contrast, which stays. Of @p report (may be
 * NULL) flips, edges and contrasts are filled in. */
BNNEP_API bnnep_status bnnep_optimizer_update(bnnep_optimizer *optimizer, bnnep_report *report);

#ifdef __cplusplus
}
#endif

#endif
