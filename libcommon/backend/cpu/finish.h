// SPDX-License-Identifier: MIT
// What the convolutions of ours do to a value before they store it.
#ifndef CS_BACKEND_CPU_FINISH_H
#define CS_BACKEND_CPU_FINISH_H

enum cs_finish_kind { CS_FINISH_LINEAR, CS_FINISH_CLAMP, CS_FINISH_SLOPE };

// NaN stays NaN.
struct cs_finish {
    enum cs_finish_kind kind;
    float low, high; // CS_FINISH_CLAMP
    float slope;     // CS_FINISH_SLOPE: below zero
};

#endif
