/* SPDX-License-Identifier: MIT */
/*
 * The reference backend: plain loops in the order of the equations, sums in double. It is the oracle of the tests and
 * the text to learn the algorithm from; it is not made for speed.
 *
 * Layer index k means layer k+1, the one that connection k leads to. Arrays: signs [rows][columns] as +1/-1 bytes;
 * states, activations and argmax [layer][sample][unit].
 */
#ifndef BNNEP_REF_H
#define BNNEP_REF_H

#include <bnnep/backend.h>

struct ref_connection {
    int8_t *sign;
    float *alpha, *bias; /* [scales], [rows] */
};

struct ref_network {
    const struct bnnep_model *model;
    const struct bnnep_host *host;
    struct ref_connection *connection; /* [connections] */
};

/* Values of all layers of a number of samples. */
typedef float **ref_layers;
/* Which place of its pooling window a unit of a convolution took: 0 ... pool^2 - 1, row by row. */
typedef uint16_t **ref_places;

struct ref_workspace {
    const struct ref_network *network;
    size_t max_batch, count;         /* samples staged */
    float *x, *target;               /* [count][in], [count][out] */
    float *drive;                    /* [count][units of layer 1]: fwd_0(x), the same in every step */
    ref_layers state[BNNEP_PHASES];  /* [layer][count][units] */
    ref_places argmax[BNNEP_PHASES]; /* the same, of the last step */
    /* one sample: activations, fwd_k, fb_{k+1}, pre-activations and argmax of this step */
    ref_layers active, forward, feedback, pre;
    ref_places pooled;
    double **sum;   /* [connection][columns]: contrast of one row, summed over the batch */
    double **total; /* [connection][2][columns]: sums of the activations below over the batch, in both phases */
    double **scale; /* [connection][2][scales]: the same of the scaling factors, and of one sample's first phase */
    double *back;   /* [units of the largest layer] */
};

/* Back-propagation through time: what the last steps did, and the gradients. */
struct ref_tape {
    int32_t room, steps;
    ref_layers start;   /* states before the first of the steps */
    ref_layers *pre;    /* [step]: pre-activations; the states after the step are their clamp */
    ref_places *argmax; /* [step] */
    ref_layers *delta;  /* [step]: dLoss/dpre, summed, not averaged, over the batch */
};

struct ref_optimizer {
    struct ref_network *network;
    float **momentum;                                    /* [connection][rows][columns] */
    float **contrast, **bias_contrast, **scale_contrast; /* the same, [connection][rows], [connection][scales] */
    struct ref_tape tape;
};

/* --- dynamics.c -------------------------------------------------------------------------------------------------- */

/* fwd_k of one sample: a [in] -> value [out], and the argmax [out] if it is a convolution. */
void bnnep_ref_forward(const struct ref_network *net, size_t k, const float *a, float *value, uint16_t *argmax);
/* fb_k of one sample: a [out], argmax [out] -> value [in]; sum: [in]. */
void bnnep_ref_feedback(const struct ref_network *net, size_t k, const float *a, const uint16_t *argmax, float *value,
                        double *sum);
/* The adjoint of fb_k: like fwd_k without bias, read at the given places. */
void bnnep_ref_feedback_adjoint(const struct ref_network *net, size_t k, const float *a, const uint16_t *argmax,
                                float *value);
/* What the two sides of a connection were in a sample. */
struct ref_pair {
    const float *above, *below;
    const uint16_t *argmax;
};
/* G [columns] += weight * dValue/dB of row j: sum over the row's units of above * (the inputs it saw) */
void bnnep_ref_outer(const struct ref_network *net, size_t k, size_t j, double weight, struct ref_pair pair, double *G);
/* What the layers that move in time step t of `phase` receive in sample n, from its states: sums, argmax and
 * pre-activations are left in the workspace. */
void bnnep_ref_sums(struct ref_workspace *ws, int32_t phase, size_t n, int32_t t);

bnnep_status bnnep_ref_stage(void *workspace, const float *x, const float *target, size_t count, char *why);
bnnep_status bnnep_ref_relax(void *workspace, const struct bnnep_phase_run *how, bnnep_relaxed *done, char *why);

/* --- learn.c ------------------------------------------------------------------------------------------------------ */

bnnep_status bnnep_ref_backpropagate(void *optimizer, void *workspace, int32_t steps, char *why);
bnnep_status bnnep_ref_contrast(void *optimizer, void *workspace, const struct bnnep_learning *how, char *why);
bnnep_status bnnep_ref_update(void *optimizer, const struct bnnep_learning *how, char *why);

#endif
