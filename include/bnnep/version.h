/* SPDX-License-Identifier: MIT */
/* The only place where the version number stands: CMake, pkg-config and the soname read it here. */
#ifndef BNNEP_VERSION_H
#define BNNEP_VERSION_H

#define BNNEP_VERSION_MAJOR 0
#define BNNEP_VERSION_MINOR 1
#define BNNEP_VERSION_PATCH 0

/** The number the linker sees (libbnnep.so.N): raised when a program built against an older header would break. */
#define BNNEP_SOVERSION 0

/** The version of this header as one number, to compare with bnnep_version(). */
#define BNNEP_VERSION (BNNEP_VERSION_MAJOR * 10000 + BNNEP_VERSION_MINOR * 100 + BNNEP_VERSION_PATCH)

#endif
