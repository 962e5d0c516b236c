// SPDX-License-Identifier: MIT
// Rows of the option tables that several tools have: one spelling and one meaning in all of them.
#ifndef CS_TOOLS_SHARED_OPTIONS_H
#define CS_TOOLS_SHARED_OPTIONS_H

#include "base/opt.h"

// const char **
#define OPT_INPUT(value)                                                                           \
    {                                                                                              \
        'i', "input", CS_OPT_STRING, value, "FILE", "read FILE instead of standard input",         \
            .env = NULL                                                                            \
    }
// int *: an enum cs_transport
#define OPT_TRANSPORT(value)                                                                       \
    {                                                                                              \
        0, "transport", CS_OPT_CHOICE, value, "HOW", "how payloads travel",                        \
            .choices = "auto|pipe|shm", .env = "CELLSTREAM_TRANSPORT"                              \
    }
// uint64_t *
#define OPT_RING(value)                                                                            \
    {                                                                                              \
        0, "ring", CS_OPT_SIZE, value, "SIZE", "size of the shared area (64M)", .env = NULL        \
    }
// const char **
#define OPT_SCRATCH(value)                                                                         \
    {                                                                                              \
        0, "scratch", CS_OPT_STRING, value, "DIR", "folder for what is larger than --spill",       \
            .env = NULL                                                                            \
    }
#define SPILL_BYTES ((uint64_t)256 << 20) // its default
// uint64_t *
#define OPT_SPILL(value)                                                                           \
    {                                                                                              \
        0, "spill", CS_OPT_SIZE, value, "SIZE", "largest plane kept in memory; 0: all",            \
            .env = NULL                                                                            \
    }

#endif
