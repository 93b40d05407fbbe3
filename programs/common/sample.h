/* SPDX-License-Identifier: MIT */
#ifndef BNNEP_EXAMPLES_SAMPLE_H
#define BNNEP_EXAMPLES_SAMPLE_H

/* Where the data lie if nobody says: the folder in BNNEP_DATA, else the MNIST sample beside the running program
 * (../share/bnnep), where it was installed, or in the source tree. */
const char *sample_folder(void);

/* The same of a data set by its name: for "fashion-mnist", after BNNEP_DATA, the folder of Debian's package
 * dataset-fashion-mnist. */
const char *data_folder(const char *dataset);

#endif
