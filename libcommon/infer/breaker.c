// SPDX-License-Identifier: MIT
#include "infer/breaker.h"

void cs_breaker_init(struct cs_breaker *b, double pause)
{
    *b = (struct cs_breaker){.state = CS_BREAKER_CLOSED, .pause = pause};
}

void cs_breaker_good(struct cs_breaker *b)
{
    b->errors = 0;
    b->proofs++;
    if (++b->good == CS_BREAKER_FORGETS)
        b->openings = 0;
}

void cs_breaker_error(struct cs_breaker *b)
{
    if (++b->errors >= CS_BREAKER_ERRORS)
        cs_breaker_ask(b);
}

void cs_breaker_ask(struct cs_breaker *b)
{
    if (b->state == CS_BREAKER_CLOSED)
        b->state = CS_BREAKER_ASKING;
}

bool cs_breaker_asks(const struct cs_breaker *b, double now)
{
    return b->state == CS_BREAKER_ASKING || (b->state == CS_BREAKER_OPEN && now >= b->until);
}

void cs_breaker_answer(struct cs_breaker *b, bool works, double now)
{
    b->errors = 0;
    if (works) {
        b->state = CS_BREAKER_CLOSED;
        b->proofs++;
        return;
    }
    b->good = 0;
    b->openings++;
    b->state = b->openings >= CS_BREAKER_OPENINGS ? CS_BREAKER_LOST : CS_BREAKER_OPEN;
    b->until = now + b->pause;
}

void cs_breaker_hasten(struct cs_breaker *b)
{
    b->openings = CS_BREAKER_OPENINGS - 1;
    b->good = 0;
    b->until = 0;
}
