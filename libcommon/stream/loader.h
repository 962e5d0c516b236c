// SPDX-License-Identifier: MIT
// One image file, or what a decoder of the user's made of it, into items of a stream: BEGIN, bands
// of rows, DONE. What cannot be read becomes a failed item with the reason.
#ifndef CS_STREAM_LOADER_H
#define CS_STREAM_LOADER_H

#include <sys/stat.h>

#include "image/inputs.h"
#include "image/pick.h"
#include "image/room.h"
#include "stream/ahead.h"

// What is wanted of every file.
struct cs_load {
    const char *tool; // who fails items
    struct cs_inputs inputs;
    struct cs_pick pick;
    struct cs_decoder decoders[CS_MAX_DECODERS];
    int decoder_count;
    bool checksum;       // record a hash of each file
    struct cs_room room; // for the file whose turn it is
    int threads;         // that decode the next ones meanwhile
};

// Who reads: the process, or a thread that is ahead.
struct cs_loader {
    const struct cs_load *load;
    struct cs_room room;
    struct cs_writer *writer;
    struct cs_record *record; // takes the items instead, in a thread
    uint64_t failed;          // items, each of which was logged; in a thread neither
    void *band;
    size_t band_bytes;
    struct stat input; // the present file before it was opened; no regular file: mode 0
};

// All items of one file. -1: the output failed, or, in a thread, the record has no space for the
// file or the room is too small: it is to be read once more when its turn has come.
int cs_loader_file(struct cs_loader *loader, const struct cs_input *input, struct cs_err *err);
// Count and log a failed item.
void cs_loader_failed(struct cs_loader *loader, const char *path, const char *text);
void cs_loader_release(struct cs_loader *loader); // accepts a zeroed struct

#endif
