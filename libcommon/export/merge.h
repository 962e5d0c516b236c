// SPDX-License-Identifier: MIT
// One table out of the records of all shards.
#ifndef CS_EXPORT_MERGE_H
#define CS_EXPORT_MERGE_H

#include "base/err.h"

// Read OUT/.cs/NNNN.manifest.jsonl and NNNN.objects.csv of all shards and write OUT/manifest.jsonl,
// objects.csv, images.csv and failed.txt anew, each complete or not at all, in the order of the
// inputs. Of several lines for one item the latest counts; lines that are cut off are not read.
// *status: 0, 1 where an image failed, 3 where there is no record. CS_EIO: a file cannot be read or
// written, or rows that a line promises are not there.
int cs_merge(const char *out, int *status, struct cs_err *err);

#endif
