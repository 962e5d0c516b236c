// SPDX-License-Identifier: MIT
// Strict numbers: the whole text must be the number, and in range.
#ifndef CS_BASE_NUM_H
#define CS_BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// `what` names the number in messages ("--slots"). All fail with CS_EUSAGE.
int cs_num_int(const char *text, int64_t min, int64_t max, const char *what, int64_t *value,
               struct cs_err *err);
// Finite reals in C notation, decimal point whatever the locale.
int cs_num_real(const char *text, double min, double max, const char *what, double *value,
                struct cs_err *err);
// Bytes: a whole number with an optional K, M, G or T (powers of 1024).
int cs_num_size(const char *text, const char *what, uint64_t *bytes, struct cs_err *err);
enum { CS_SIZE_TEXT = 32 };
void cs_size_text(uint64_t bytes, char text[CS_SIZE_TEXT]); // for people: "1.9 GiB"
// At least as much, in few digits, as cs_num_size reads it: "2G".
void cs_size_option(uint64_t bytes, char text[CS_SIZE_TEXT]);

#endif
