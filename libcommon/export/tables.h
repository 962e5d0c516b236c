// SPDX-License-Identifier: MIT
// The tables of an output folder, merged from its segments (segments.h) in input order:
// objects.csv, images.csv, manifest.jsonl, and failed.txt, which cs-load reads with -F.
#ifndef CS_EXPORT_TABLES_H
#define CS_EXPORT_TABLES_H

#include "base/err.h"
#include "export/segments.h"

struct cs_tables_count {
    int64_t items, ok, empty, failed, objects;
};

// Write the tables; each appears under its name only when it is complete. CS_EINPUT: a segment is
// damaged, or segments of different measurements lie in one folder.
int cs_tables_merge(const char *out, struct cs_tables_count *count, struct cs_err *err);

#endif
