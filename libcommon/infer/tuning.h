// SPDX-License-Identifier: MIT
// What was measured of a network on a device, kept from one run to the next in the cache folder
// ($CELLSTREAM_CACHE): one small JSON file for each subject ("slots", "precision"), network and
// device.
//
//   {"cellstream":"tuning","v":1,"version":"0.1.0","subject":"slots",
//    "weights":"SHA-256","device":"cpu: ...","values":{
//     "256.slots":"2",
//     "256.batch":"1"}}
//
// A file decides how fast a result is made, or which of several good results; it can always be
// deleted. Whoever reads one that is broken or belongs to something else says so in one line and
// goes on without: the folder is shared with other versions and machines.
#ifndef CS_INFER_TUNING_H
#define CS_INFER_TUNING_H

#include <stddef.h>

#include "base/err.h"
#include "base/meta.h"

enum { CS_TUNING_MAX_BYTES = 1 << 20 };

// What the values were measured for; all borrowed. The version of the program belongs to it too:
// another one measures anew.
struct cs_tuning_key {
    const char *subject;        // letters of a file name
    const char *weights_sha256; // 64 hexadecimal digits
    const char *device;         // the backend's device_text, its number of threads in it
};

// The folder: `dir` where it is not NULL, else $CELLSTREAM_CACHE. NULL: none, nothing is kept.
const char *cs_tuning_folder(const char *dir);

// The file's path. Caller frees with free().
char *cs_tuning_path(const char *folder, const struct cs_tuning_key *key);

// Set the pairs that are kept for the key: 1, or 0 where there is no file. -1 with the file and
// what is wrong with it; `values` is then as it was.
int cs_tuning_read(const char *folder, const struct cs_tuning_key *key, struct cs_meta *values,
                   struct cs_err *err);
// From text. CS_EINPUT.
int cs_tuning_parse(const char *text, size_t len, const struct cs_tuning_key *key,
                    struct cs_meta *values, struct cs_err *err);

// Replace what is kept for the key; the folder is made. The file appears whole or not at all, and
// equal values give equal bytes.
int cs_tuning_write(const char *folder, const struct cs_tuning_key *key,
                    const struct cs_meta *values, struct cs_err *err);

#endif
