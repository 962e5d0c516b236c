// SPDX-License-Identifier: MIT
// What a run that came to nothing means for the images that were in it.
#ifndef CS_INFER_RETRY_H
#define CS_INFER_RETRY_H

#include <stdbool.h>

#include "base/err.h"

enum cs_retry {
    CS_RETRY_SMALLER, // memory did not suffice for so many at once: again, half as many
    CS_RETRY_ALONE,   // anything in flight may be at fault: again, with nothing else in flight
    CS_RETRY_COUNT,   // this image or the device: again, and it counts against the image's tries
    CS_RETRY_MEMORY,  // not even this image alone has memory: it fails, if the device works at all
    CS_RETRY_FAIL,    // the image or the model is at fault, and will be the next time
};

struct cs_failure {
    enum cs_code code;
    bool told;  // the worker answered; otherwise it died or was ended
    bool only;  // nothing else was in flight
    int images; // of the run
};

enum cs_retry cs_retry_judge(const struct cs_failure *failure);

// Whether the device may be what failed, and not the image, the model or the memory.
bool cs_failure_of_device(const struct cs_failure *failure);

// Seconds before the next try of an image with so many counted failures: twice as long each time,
// at most `pause`.
double cs_retry_delay(int failures, double pause);

#endif
