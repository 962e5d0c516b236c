// SPDX-License-Identifier: MIT
// Resuming: which inputs of a run are done already.
#ifndef CS_EXPORT_RESUME_H
#define CS_EXPORT_RESUME_H

#include <stdbool.h>

#include "base/buf.h"
#include "export/segments.h"

struct cs_resume_options {
    bool checksum;     // compare the content's hash, where one was recorded, and not the date
    bool retry_failed; // inputs with a failed item are not done
};

// Whether an input with these entries (all of one image) needs no work: every item that it gives
// has a line, size and date of the file are those of the lines, and the outputs are there with
// the size recorded. `path`: the input as it is now; `out`: the folder of the entries.
bool cs_resume_done(const struct cs_segments *segments, const struct cs_entry *entries,
                    size_t count, const char *path, const char *out,
                    const struct cs_resume_options *options);

// Of the inputs listed in `list` (ended by NUL each) append those that are done, ended by NUL.
int cs_resume_list(const struct cs_segments *segments, const char *list, size_t bytes,
                   const char *out, const struct cs_resume_options *options, struct cs_buf *done,
                   struct cs_err *err);

#endif
