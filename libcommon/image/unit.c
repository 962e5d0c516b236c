// SPDX-License-Identifier: MIT
#include "image/unit.h"

#include <stddef.h>
#include <string.h>

// Both micro signs (U+00B5 and the Greek letter U+03BC) as UTF-8, as Latin-1, and as ImageJ
// escapes them.
static const struct {
    const char *name;
    double um;
} units[] = {
    {"\xc2\xb5m", 1},    {"\xce\xbcm", 1},   {"\xb5m", 1},        {"\\u00B5m", 1},
    {"\\u00b5m", 1},     {"um", 1},          {"micron", 1},       {"microns", 1},
    {"micrometer", 1},   {"micrometre", 1},  {"nm", 1e-3},        {"pm", 1e-6},
    {"\xc3\x85", 1e-4},  {"mm", 1e3},        {"cm", 1e4},         {"dm", 1e5},
    {"m", 1e6},          {"inch", 25400},    {"inches", 25400},   {"in", 25400},
    {"\\u00C5", 1e-4},   {"angstrom", 1e-4}, {"nanometer", 1e-3}, {"millimeter", 1e3},
    {"centimeter", 1e4}, {"meter", 1e6},
};

double cs_unit_um(const char *name)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(units[i].name, name) == 0)
            return units[i].um;
    return 0;
}
