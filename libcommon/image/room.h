// SPDX-License-Identifier: MIT
// The memory that reading one file may take (cs-load --memory). What a file asks for is checked
// against it before anything of that size is allocated, so that no file makes the process exceed
// its limit, whatever the file claims.
#ifndef CS_IMAGE_ROOM_H
#define CS_IMAGE_ROOM_H

#include <stdint.h>

#include "base/err.h"

struct cs_room {
    uint64_t bytes;   // for one file; 0: no limit
    uint64_t program; // at most that of the program itself, for the message
};

// A quarter of the memory is for files that are decoded ahead, `program` for the program itself.
// CS_ENOMEM: nothing is left.
int cs_room_init(struct cs_room *room, uint64_t memory, uint64_t program, struct cs_err *err);
// What is left of a room when so much is taken: never the one without a limit.
struct cs_room cs_room_less(const struct cs_room *room, uint64_t taken);
// CS_ENOMEM when `need` bytes do not fit: what needs so much, and what --memory it takes.
int cs_room_check(const struct cs_room *room, uint64_t need, const char *what, struct cs_err *err);

#endif
