// SPDX-License-Identifier: MIT
// What suites share: the end of their main, and what they count.
#ifndef CS_TESTS_SUITE_H
#define CS_TESTS_SUITE_H

#include <check.h>

// Run a suite and free it: the exit status of the program.
int suite_run(Suite *suite);
// Descriptors of this process that are open, of the first 256.
int suite_open_files(void);

#endif
