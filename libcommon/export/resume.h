// SPDX-License-Identifier: MIT
// Resuming: which inputs are done already, by the manifests in an output folder
// (OUT/.cs/NNNN.manifest.jsonl). A line that is not finished by a newline did not happen.
#ifndef CS_EXPORT_RESUME_H
#define CS_EXPORT_RESUME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct cs_resume;

struct cs_resume_options {
    bool checksum;     // compare the content's hash, where one was recorded, and not the date
    bool retry_failed; // inputs with a failed item are not done
};

// Read the manifests below `out` (which may not exist: then nothing is done). CS_EIO, or CS_EINPUT
// for a line that is none of ours. Close with cs_resume_close.
int cs_resume_open(struct cs_resume **resume, const char *out,
                   const struct cs_resume_options *options, struct cs_err *err);
// Whether the input at `path` needs no work: each item that it gives has a line, size and date of
// the file are those of the line, and the files that the line promises are there in their size.
bool cs_resume_done(const struct cs_resume *resume, const char *path);
void cs_resume_close(struct cs_resume *resume); // accepts NULL

#endif
