// SPDX-License-Identifier: MIT
// Formats that are not read here: a command of the user's turns such a file into one that is.
// The command is run by /bin/sh with the file's path as $1, nothing on its standard input, and in
// $TMPDIR a folder of its own, which is removed with all it holds when the command has ended. What
// it writes to its standard output takes the file's place.
#ifndef CS_IMAGE_DECODER_H
#define CS_IMAGE_DECODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { CS_MAX_DECODERS = 64, CS_MAX_EXTENSION = 32 };

struct cs_decoder {
    const char *command;                  // borrowed
    char extension[CS_MAX_EXTENSION + 2]; // ".czi"
};

// "EXT=CMD", with or without a dot in front. CS_EUSAGE.
int cs_decoder_parse(struct cs_decoder *decoder, const char *text, struct cs_err *err);
// The one whose extension the path ends with, letter case aside: the longest extension, of equal
// ones the last. NULL: none.
const struct cs_decoder *cs_decoder_find(const struct cs_decoder *list, int count,
                                         const char *path);
// Run the command on a file. *fd: what it wrote, an unlinked file in $TMPDIR at its start; the
// caller closes it. CS_EINPUT: the command failed, with the last line of its standard error, or
// wrote nothing; CS_EIO: it could not be run.
int cs_decoder_run(const struct cs_decoder *decoder, const char *path, int *fd, struct cs_err *err);

#endif
