/* SPDX-License-Identifier: MIT */
/* The one place that tells of an option of bnnep-train: its name, its limits, and every word that is said about it.
 * After a change, target option-pages brings docs/options.md and the manual page up to date. */
#include "options.h"

#define AT(field) offsetof(struct options, field)
/* The five fields from `at` to `kind`. */
#define VALUE(kind, field, least, most) AT(field), least, most, NULL, kind
#define WORD(field, choices) AT(field), 0, 0, choices, TEXT
#define SWITCH(field) AT(field), 0, 0, NULL, FLAG
#define ACTION(kind) 0, 0, 0, NULL, kind

static const char *const datasets[] = {"mnist", "fashion-mnist", "cifar10", NULL};
static const char *const optims[] = {"ep", "bptt", NULL};
static const char *const archis[] = {"fc", "conv", NULL};
static const char *const settings[] = {"bin_W", "bin_W_N", NULL};
static const char *const schedules[] = {"synchronous", "alternating", "over-relaxed", NULL};
static const char *const nudges[] = {"random", "fixed", "centred", NULL};
static const char *const kinds[] = {"absolute", "deviations", NULL};
static const char *const starts[] = {"paper", "balanced", NULL};
static const char *const falls[] = {"constant", "exponential", "cosine", "harmonic", NULL};
static const char *const activations[] = {"hardsigm", "heaviside", NULL};

const struct known known[] = {
    {"preset", "NAME", NULL, ACTION(PRESET), ALWAYS, NULL,
     "a command of the paper, or fashion-fc1, -fc1-bin, -conv, -conv-bin; options after it override it",
     "A command of the paper, see `--list-presets`; or `fashion-fc1`, `fashion-fc1-bin`, `fashion-conv` and "
     "`fashion-conv-bin`, networks for Fashion-MNIST by the [default rule](learning-rule.md). Options after it override it."},
    {"fast", NULL, NULL, ACTION(FAST), ALWAYS, NULL,
     "bin_W: --settle 1e-3 (weak feedback: 1e-6), --schedule over-relaxed or alternating; options after it override it",
     "`--settle 1e-3` (1e-6 where feedback is weaker than 1) and `--schedule over-relaxed`, or `alternating` for convolutions: another way to nearly the same rest, with less "
     "work. Changes nothing for binary activations, which learn worse so. Says what it is. Options after it override it."},
    {"list-presets", NULL, NULL, ACTION(LIST_PRESETS), ALWAYS, NULL, "print the names of the presets, one a line",
     "Prints the names of the presets, one a line, and exits."},
    {"data", "DIR", NULL, WORD(data, NULL), ALWAYS, "BNNEP_DATA, else the MNIST sample", "folder with the data set",
     "Folder with the data set: four files in the layout of MNIST, or CIFAR-10's in its binary format."},
    {"train-limit", "N", "images", VALUE(LONG, train_limit, 1, 1e15), ALWAYS, "all", "train on the first N images",
     "Trains on the first N images."},
    {"test-limit", "N", "images", VALUE(LONG, test_limit, 1, 1e15), ALWAYS, "all", "test on the first N images",
     "Tests on the first N images."},
    {"validation", "X", "images, or a share below 1", VALUE(NUMBER, validation, 1e-9, 1e15), ALWAYS, NULL,
     "hold back the last X training images, or a share below 1; the best network errs least on them",
     "Holds back the last X of the training images (after `--train-limit`), or a share of them if X is below 1: they are not trained on, and the network that is kept as "
     "the best is that which errs least on them. Not given: the best by the test set, as in the paper's program; its error is then too good, as it chose the network."},
    {"classes", "N", "classes", VALUE(INTEGER, classes, 2, 1e9), ALWAYS, "as the last layer has units",
     "how many classes there are",
     "How many classes there are: as many as the last layer has units, by `--expand_output`, if it is not given. Labels are 0 to N − 1."},
    {"seed", "N", "number", VALUE(LONG, seed, 0, 9e15), ALWAYS, "0",
     "initial values, order and signs of beta are drawn by it",
     "Initial values, the order of the data and the signs of β are drawn by it."},
    {"threads", "N", "threads", VALUE(INTEGER, threads, 1, 64), ALWAYS, "one a processor", "threads to compute with",
     "Threads to compute with. They change no result."},
    {"max-memory", "SIZE", "bytes", WORD(max_memory, NULL), NEVER, "1G of what files ask for",
     "most that a file or what is made of it may take: 512M, 4G",
     "Most that a data file, a checkpoint, or what is made of one may take, such as `512M` or `4G`: with files that nobody "
     "vouches for. What needs more is refused."},
    {"backend", "NAME", NULL, WORD(backend, NULL), ALWAYS, "auto", "auto, ref, cpu, cuda:N",
     "`auto`, `ref`, `cpu`, `cuda:N`: `bnnep-info --backends` lists them. "
     "`auto` takes the first that can be used here."},
    {"no-shuffle", NULL, NULL, SWITCH(no_shuffle), ALWAYS, NULL, "take the images in the order of the file",
     "Takes the images in the order of the file. Else each epoch has an order of its own."},
    {"out", "DIR", NULL, WORD(out, NULL), NEVER, "the current folder", "folder in which runs are kept",
     "Folder in which runs are kept: `DATA-0-<archi>-<dataset>/<date>/S-<n>` in it."},
    {"no-save", NULL, NULL, SWITCH(no_save), NEVER, NULL, "keep nothing", "Keeps nothing: no folder, no checkpoint."},
    {"checkpoint-minutes", "X", "minutes", VALUE(NUMBER, checkpoint_minutes, 0, 1e9), ALWAYS, "0: after each epoch",
     "write a checkpoint every X minutes too",
     "Writes a checkpoint in the midst of an epoch too, whenever so much time has passed."},
    {"resume", "DIR", NULL, WORD(resume, NULL), NEVER, NULL,
     "go on with the run in this folder, with its options; those given here override them",
     "Goes on with the run in this folder, with its options; those given here override them. "
     "Not with `--out` and `--no-save`."},
    {"compare-gradients", NULL, NULL, SWITCH(compare_gradients), NEVER, NULL,
     "print how the contrast follows the gradient of BPTT on one batch, and train nothing",
     "Prints how the contrast follows the gradient of BPTT on one batch, and trains nothing. "
     "See [Contrast and gradient](gradients.md)."},
    {"momentum-noise", NULL, NULL, SWITCH(momentum_noise), ALWAYS, NULL,
     "momenta start from noise, as in the paper's program for mnist-conv-bin",
     "Momenta start from 2γ N(0, 1), as in the authors' program for mnist-conv-bin; else from 0."},
    {"settle", "TOL", "state (0 to 1)", VALUE(NUMBER, settle, -1e30, 1e30), ALWAYS, "0, exact",
     "end a sample's phase when a step changes no state by more; <0: never",
     "Ends a sample's phase when a step changes none of its states by more than this. "
     "0 is exact: the result is that of all steps. Negative: all steps are done. "
     "Above 0, the cpu backend may send up to 2^−10 of the largest change of a step later, in fully connected networks: "
     "that vanishes as the sample settles ([Performance](performance.md))."},
    {"grid", "BITS", "bits", VALUE(INTEGER, grid, 8, 20), REAL, "no",
     "round states to multiples of 2^-BITS: the same bits on every backend, bin_W",
     "Rounds states to multiples of 2^−BITS, which gives the same bits on every backend. `bin_W` with `ep` only."},
    {"schedule", "NAME", NULL, WORD(schedule, schedules), NUDGED, "synchronous",
     "synchronous, as in the paper; alternating: half of the layers a step; over-relaxed",
     "`synchronous`: all layers move in each time step, as in the paper; `alternating`: layers 1, 3, 5 ... in odd steps, the "
     "others in even ones, which is half the work a step and another way to the same rest; `over-relaxed`: alternating, and "
     "states go further from the ninth step of the free phase on, `bin_W` only ([the algorithm](algorithm.md)). `ep` only."},
    {"start", "NAME", NULL, WORD(start, starts), ALWAYS, NULL,
     "initial values: the paper's, or balanced, which deep networks need",
     "Initial values: `paper`, or `balanced`: hidden units with binary activations stand at their threshold while those about "
     "them are half active, and wide layers do not drown what comes from below ([the learning rule](learning-rule.md)). "
     "The paper's, unless no rate is given: then balanced."},
    {"feedback", "X", "share (0 to 1)", VALUE(NUMBER, feedback, 1e-6, 1), REAL, NULL,
     "strength of what layers receive from above; 1 is the paper's, deep networks need less, bin_W",
     "Strength of what layers receive from above, of what they would by their weights: 1 is the paper's, and weaker feedback "
     "keeps deep networks from holding themselves active ([the learning rule](learning-rule.md)). `bin_W` with `ep` only. Not "
     "given: 1, but 0.1 with `--start balanced` in fully connected networks with more than one hidden layer and no `--grid`."},
    {"covariance", NULL, NULL, SWITCH(covariance), NUDGED, NULL,
     "contrasts of covariances over the batch, not of mean products",
     "Contrasts of covariances over the batch, in place of mean products: what all images share moves biases alone "
     "([the learning rule](learning-rule.md)). `ep` only; in fully connected layers. On where no rate is given."},
    {"nudge", "NAME", NULL, WORD(nudge, nudges), NUDGED, NULL,
     "random sign, fixed, or centred: both signs a batch; else as --random_beta says",
     "`random`: a nudge of β or −β a batch, as is drawn; `fixed`: of β; `centred`: both, whose contrast is free of the first-order "
     "error of a finite β and costs a nudged phase more. Else `--random_beta` decides: 0 is `fixed`, 1 `random`, or `centred` where no rate is given."},
    {"units", "NAME", NULL, WORD(units, kinds), ALWAYS, NULL,
     "unit of thresholds and learning rates: absolute, as in the paper, or deviations",
     "Unit of `--gradThreshold`, `--lrBias` and `--lrAlpha`: `absolute`, as in the paper, or `deviations` of each connection's "
     "contrast, which training measures. Absolute, unless none of them nor `--gamma` is given."},
    {"fall", "NAME", NULL, WORD(fall, falls), ALWAYS, NULL,
     "how gamma and the learning rates fall: constant, exponential, cosine, harmonic",
     "How γ and the learning rates fall: `constant`; `exponential`, `cosine`: to an end, after the last epoch; `harmonic`: divided by "
     "1 + γ × updates. Constant, unless no rate is given: then harmonic."},
    {"fall-to", "X", "1", VALUE(NUMBER, fall_to, 1e-30, 1), FALLING, "0.01, if they fall",
     "what they fall to, of 1: exponential, cosine",
     "What γ and the learning rates fall to, as a share of what they begin with: `exponential` and `cosine`."},
    {"fall-epochs", "N", "epochs", VALUE(INTEGER, fall_epochs, 1, 1e9), FALLING, "all", "in how many epochs they fall",
     "In how many epochs they fall. A run that is gone on with for more epochs than it was begun with keeps to it."},
    {"flip-reset", NULL, NULL, SWITCH(flip_reset), ALWAYS, NULL,
     "the momentum of a weight that flips starts again from 0",
     "The momentum of a weight that flips starts again from 0."},
    {"consolidation", "C", "1", VALUE(NUMBER, consolidation, 0, 1e6), ALWAYS, "0",
     "momenta that have spoken for their weight change it less; keeps what was learnt before",
     "Metaplasticity: steps that would take a momentum m away from its weight's side are 1 − tanh² (C m / threshold) times as large, but whole where the "
     "threshold is 0, so that what was learnt from other data is kept longer ([the learning rule](learning-rule.md#one-task-after-another)). 0: whole steps."},
    {"help", NULL, NULL, ACTION(HELP), ALWAYS, NULL, "print this and exit",
     "Prints a line an option and exits. `-h` too."},
    {"version", NULL, NULL, ACTION(VERSION), ALWAYS, NULL, "print the version and exit",
     "Prints the version and exits."},
    {"dataset", "NAME", NULL, WORD(dataset, datasets), ALWAYS, "mnist", "mnist, fashion-mnist or cifar10",
     "What is in the folder: `mnist` (its layout, any images), `fashion-mnist` (the same, less its mean pixel; the folder of Debian's "
     "package dataset-fashion-mnist if none is given) or `cifar10`."},
    {"optim", "NAME", NULL, WORD(optim, optims), ALWAYS, "ep", "ep or bptt",
     "`ep`: equilibrium propagation; `bptt`: back-propagation through time, `bin_W` and `--learnAlpha 0` only."},
    {"archi", "NAME", NULL, WORD(archi, archis), ALWAYS, "fc", "fc or conv",
     "`fc`: fully connected; `conv`: convolutions, then fully connected."},
    {"binary_settings", "NAME", NULL, WORD(binary_settings, settings), ALWAYS, "bin_W", "bin_W or bin_W_N",
     "`bin_W`: binary weights; `bin_W_N`: binary weights and activations."},
    {"activationFun", "NAME", NULL, WORD(activation, activations), ALWAYS, NULL,
     "hardsigm (bin_W) or heaviside (bin_W_N)",
     "`hardsigm` goes with `bin_W`, `heaviside` with `bin_W_N`; it follows from there if it is not given."},
    {"layersList", "N...", "units", VALUE(COUNTS, layers, 1, 1e9), ALWAYS, NULL,
     "units of the layers, input first; conv: of the classifier",
     "Units of the layers, input first. Conv: of the classifier, without its input."},
    {"convList", "N...", "channels", VALUE(COUNTS, conv, 1, 1e9), CONVOLUTIONAL, NULL, "channels, output first",
     "Channels, output first: `64 32 1` is 1 → 32 → 64. Needed for `--archi conv`."},
    {"padding", "N", "pixels", VALUE(INTEGER, padding, 0, 1e6), CONVOLUTIONAL, "0", "zero padding of the convolutions",
     "Zero padding of the convolutions. The library takes at most 255."},
    {"kernelSize", "N", "pixels", VALUE(INTEGER, kernel, 1, 1e6), CONVOLUTIONAL, "5", "edge of the kernels",
     "Edge of the kernels. The library takes at most 255."},
    {"Fpool", "N", "pixels", VALUE(INTEGER, pool, 1, 1e6), CONVOLUTIONAL, "2", "edge of the pooling windows",
     "Edge of the pooling windows, and their stride. The library takes at most 255."},
    {"T", "N", "time steps", VALUE(INTEGER, T, 1, 1e9), ALWAYS, "50", "time steps of the free phase", NULL},
    {"Kmax", "N", "time steps", VALUE(INTEGER, Kmax, 1, 1e9), ALWAYS, "10", "time steps of the nudged phase",
     "Length of the nudged phase. The library takes at most 1000000."},
    {"beta", "X", "1", VALUE(NUMBER, beta, -1e30, 1e30), NUDGED, "0.3", "strength of the nudge",
     "Strength of the nudge. Not 0. Its sign counts with `--random_beta 0`."},
    {"random_beta", "0|1", "switch", VALUE(INTEGER, random_beta, 0, 1), NUDGED, "1",
     "draw the sign of beta for each batch", "1: the sign of β is drawn for each batch."},
    {"gamma_neur", "X", "per time step", VALUE(NUMBER, gamma_neur, 1e-30, 1), BINARY, "0.5",
     "leak of the states, bin_W_N", "Leak of the states, `bin_W_N`."},
    {"rho_threshold", "X", "state (0 to 1)", VALUE(NUMBER, rho_threshold, 1e-30, 1), BINARY, "0.5",
     "threshold of the activations, bin_W_N", "Threshold θ of the activations, `bin_W_N`."},
    {"expand_output", "N", "units a class", VALUE(INTEGER, expand_output, 1, 1e9), ALWAYS, "1", "output units a class",
     "Output units of a class; the last layer has classes × N units."},
    {"gamma", "X...", "per batch", VALUE(LIST, gamma, 0, 1), CONNECTED, NULL,
     "gains of the momenta, output first; of all lists of rates one value goes for all connections",
     "Gains of the momenta, m ← (1 − γ) m + γ g, output first; of this and the other lists of rates, one value goes for all connections. Above 0. Needed for `--archi fc`, unless no rate is given: then the [default rule](learning-rule.md) is meant."},
    {"gradThreshold", "X...", "momentum, or deviations", VALUE(LIST, threshold, 0, 1e30), CONNECTED, NULL,
     "thresholds of the flips, output first",
     "Thresholds τ of the flips, output first. Needed where any rate is given, `--archi fc`."},
    {"lrBias", "X...", "1, or deviations", VALUE(LIST, lr_bias, 0, 1e30), ALWAYS, NULL,
     "learning rates of the biases, output first",
     "Learning rates of the biases, output first; conv: classifier, then convolutions. Needed where any rate is given."},
    {"learnAlpha", "0|1", "switch", VALUE(INTEGER, learn_alpha, 0, 1), ALWAYS, "0", "learn the scaling factors",
     "1: the scaling factors are learnt, as they are with `bin_W` and `ep` where no rate is given."},
    {"lrAlpha", "X...", "1, or deviations", VALUE(LIST, lr_alpha, 0, 1e30), LEARNT_ALPHA, NULL,
     "learning rates of the scaling factors, output first",
     "Learning rates of the scaling factors, output first; conv: classifier, then convolutions. "
     "Needed with `--learnAlpha 1`."},
    {"decayLrAlpha", "X", "1", VALUE(NUMBER, decay_lr_alpha, 1e-30, 1e30), LEARNT_ALPHA, "1",
     "what lrAlpha is divided by, once", "What `--lrAlpha` is divided by, once."},
    {"epochDecayLrAlpha", "N", "epochs, from 1", VALUE(INTEGER, epoch_decay_lr_alpha, 1, 1e9), LEARNT_ALPHA, "1000",
     "the epoch from which on it is", NULL},
    {"classi_gamma", "X", "per batch", VALUE(NUMBER, classi_gamma, 0, 1), CONVOLUTIONAL, NULL,
     "conv: gain of the classifier's momentum",
     "Conv: gain of the momenta of the fully connected part. Above 0. Needed for `--archi conv`."},
    {"conv_gamma", "X...", "per batch", VALUE(LIST, conv_gamma, 0, 1), CONVOLUTIONAL, NULL,
     "conv: gains of the convolutions, output first",
     "Conv: gains of the convolutions, output first. Above 0. Needed for `--archi conv`."},
    {"classi_threshold", "X", "momentum", VALUE(NUMBER, classi_threshold, 0, 1e30), CONVOLUTIONAL, NULL,
     "conv: threshold of the classifier", "Conv: threshold of the fully connected part. 0 if it is not given."},
    {"conv_threshold", "X...", "momentum", VALUE(LIST, conv_threshold, 0, 1e30), CONVOLUTIONAL, NULL,
     "conv: thresholds of the convolutions, output first",
     "Conv: thresholds of the convolutions, output first. Needed for `--archi conv`."},
    {"batchSize", "N", "images", VALUE(INTEGER, batch_size, 1, 65536), ALWAYS, "64", "images a batch",
     "Images a batch. The last batch of an epoch may be smaller."},
    {"test_batchSize", "N", "images", VALUE(INTEGER, test_batch_size, 1, 65536), ALWAYS, "512",
     "images tested at once, which changes no result", "Images tested at once. It changes no result."},
    {"epochs", "N", "epochs", VALUE(INTEGER, epochs, 1, 1e9), ALWAYS, "50", "times through the data",
     "Times through the data, those of a resumed run included."},
    {"device", "N", "device number", VALUE(INTEGER, device, -1, 1024), NO_BACKEND, "-1",
     "N >= 0: GPU number N, or the cpu, with a word about it, where it is not",
     "−1: no device is asked for; N ≥ 0: GPU number N, and where it cannot be used the cpu, with a line that says so. "
     "`--backend` goes before it, and is strict."},
};
const size_t known_count = sizeof known / sizeof known[0];
_Static_assert(sizeof known / sizeof known[0] <= MOST_KNOWN, "the arrays that are made of the table are too small");
