// SPDX-License-Identifier: MIT
#include "image/room.h"

#include "base/num.h"

int cs_room_init(struct cs_room *room, uint64_t memory, uint64_t program, struct cs_err *err)
{
    char has[CS_SIZE_TEXT], needs[CS_SIZE_TEXT];
    uint64_t rest = memory - memory / 4;
    *room = (struct cs_room){rest > program ? rest - program : 0, program};
    if (room->bytes)
        return 0;
    cs_size_text(memory, has);
    cs_size_option(program / 3 * 4, needs);
    return cs_fail(err, CS_ENOMEM, "--memory: %s are too little, more than %s are needed", has,
                   needs);
}

struct cs_room cs_room_less(const struct cs_room *room, uint64_t taken)
{
    struct cs_room less = *room;
    if (less.bytes)
        less.bytes = taken < less.bytes ? less.bytes - taken : 1;
    less.program += taken;
    return less;
}

int cs_room_check(const struct cs_room *room, uint64_t need, const char *what, struct cs_err *err)
{
    char needs[CS_SIZE_TEXT], has[CS_SIZE_TEXT], would[CS_SIZE_TEXT];
    if (!room || !room->bytes || need <= room->bytes)
        return 0;
    cs_size_text(need, needs);
    cs_size_text(room->bytes, has);
    // In double: what a hostile file claims may be beyond what fits.
    double memory = ((double)need + (double)room->program) / 3 * 4;
    if (memory > 1e15)
        return cs_fail(err, CS_ENOMEM, "%s: more memory than there can be", what);
    cs_size_option((uint64_t)memory, would);
    return cs_fail(err, CS_ENOMEM, "%s: needs %s of memory, there are %s: take --memory %s", what,
                   needs, has, would);
}
