// SPDX-License-Identifier: MIT
// The record of a run, kept by its last stage: for each shard a file of rows of measurements and a
// manifest of one line of JSON an item, below OUT/.cs. A line is written after the files that it
// promises have reached the disk; these go in groups. What no line promises did not happen.
#ifndef CS_EXPORT_MANIFEST_H
#define CS_EXPORT_MANIFEST_H

#include "stream/stream.h"

struct cs_manifest;

// Open the record of a shard in folder `out` for appending; made where it is not there. head: HEAD
// with the provenance of all stages. CS_EIO; CS_EUSAGE where another process has it open.
int cs_manifest_open(struct cs_manifest **manifest, const char *out, int64_t shard,
                     const struct cs_meta *head, struct cs_err *err);

// Rows of measurements of the item that is recorded next, and which columns they have.
int cs_manifest_rows(struct cs_manifest *manifest, const char *rows, size_t bytes, bool shape,
                     unsigned channels, struct cs_err *err);

// A file of that item, as DONE names those of earlier stages: CS_KEY_WROTE = "KIND PATH".
void cs_manifest_wrote(struct cs_item *item, const char *kind, const char *path);

// Record an item, failed ones too. What it promises is durable at the latest after
// cs_manifest_close. Fails with CS_EIO; the item is then not recorded.
int cs_manifest_item(struct cs_manifest *manifest, const struct cs_item *item, struct cs_err *err);

// Bring everything to disk and close. Accepts NULL. CS_EIO.
int cs_manifest_close(struct cs_manifest *manifest, struct cs_err *err);

// The key of a result: XXH3 over version, all provenance and the model's SHA-256, as 16 digits.
void cs_manifest_key(const struct cs_meta *head, char key[17]);

#endif
