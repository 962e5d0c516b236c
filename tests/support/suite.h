// SPDX-License-Identifier: MIT
// The end of every suite's main.
#ifndef CS_TESTS_SUITE_H
#define CS_TESTS_SUITE_H

#include <check.h>

// Run a suite and free it: the exit status of the program.
int suite_run(Suite *suite);

#endif
