// SPDX-License-Identifier: MIT
#include "image/unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    double um;
};

// Letter case tells units apart (mm, Mm). Both micro signs (U+00B5 and the Greek letter U+03BC) as
// UTF-8, as Latin-1, and as ImageJ escapes them; so is the A with a ring.
static const struct unit symbols[] = {
    {"\xc2\xb5m", 1},   {"\xce\xbcm", 1},
    {"\xb5m", 1},       {"\\u00B5m", 1},
    {"\\u00b5m", 1},    {"\\u03BCm", 1},
    {"\\u03bcm", 1},    {"um", 1},
    {"nm", 1e-3},       {"pm", 1e-6},
    {"\xc3\x85", 1e-4}, {"\\u00C5", 1e-4},
    {"\\u00c5", 1e-4},  {"\xe2\x84\xab", 1e-4},
    {"mm", 1e3},        {"cm", 1e4},
    {"dm", 1e5},        {"m", 1e6},
    {"in", 25400},
};

// Letter case aside, and in the plural, too.
static const struct unit words[] = {
    {"micron", 1},       {"micrometer", 1},   {"micrometre", 1},   {"nanometer", 1e-3},
    {"nanometre", 1e-3}, {"angstrom", 1e-4},  {"millimeter", 1e3}, {"millimetre", 1e3},
    {"centimeter", 1e4}, {"centimetre", 1e4}, {"meter", 1e6},      {"metre", 1e6},
    {"inch", 25400},     {"inches", 25400},
};

double cs_unit_um(const char *name)
{
    name += strspn(name, " \t");
    size_t len = strlen(name);
    while (len && strchr(" \t", name[len - 1]))
        len--;
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (strlen(symbols[i].name) == len && memcmp(symbols[i].name, name, len) == 0)
            return symbols[i].um;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t word = strlen(words[i].name);
        bool plural = len == word + 1 && (name[word] == 's' || name[word] == 'S');
        if ((len == word || plural) && strncasecmp(words[i].name, name, word) == 0)
            return words[i].um;
    }
    return 0;
}
