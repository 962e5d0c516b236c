// SPDX-License-Identifier: MIT
// Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere.
#ifndef CS_EXPORT_PROGRESS_H
#define CS_EXPORT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct cs_progress {
    int64_t total; // items; 0: not known
    int64_t done, failed;
    bool terminal;
    double start; // of the monotonic clock, 0 before cs_progress_start
    double shown; // seconds after the start
};

void cs_progress_start(struct cs_progress *progress, int64_t total);
void cs_progress_item(struct cs_progress *progress, bool failed);
void cs_progress_end(struct cs_progress *progress);

#endif
