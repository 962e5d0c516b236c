// SPDX-License-Identifier: MIT
// Limits of the instruction set, for tests of CPU kernels. Takes effect when nothing has run on
// the CPU backend in this process yet: Check runs each test in a process of its own.
#ifndef TESTS_SUPPORT_ISA_H
#define TESTS_SUPPORT_ISA_H

enum { ISA_LIMITS = 3 };

// 0: everything the processor has; 1: AVX2; 2: SSE4.1 (oneDNN's least), plain kernels of ours.
void isa_limit(int limit);

#endif
