// SPDX-License-Identifier: MIT
#include "base/line.h"

#include <stdbool.h>
#include <string.h>

static const char plain[] = "\n\r\"\\", spelled[] = "nr\"\\";

void cs_line_add(struct cs_buf *out, const char *name)
{
    size_t len = strlen(name);
    bool as_it_is = name[0] != '"' && !strchr(name, '\n') && !(len && name[len - 1] == '\r');
    if (!as_it_is)
        cs_buf_addc(out, '"');
    for (const char *c = name; *c; c++) {
        const char *special = as_it_is ? NULL : strchr(plain, *c);
        if (special)
            cs_buf_addc(out, '\\');
        cs_buf_addc(out, special ? spelled[special - plain] : *c);
    }
    cs_buf_adds(out, as_it_is ? "\n" : "\"\n");
}

// The character that an escape stands for; 0: it is none.
static char escaped(char c)
{
    const char *which = c ? strchr(spelled, c) : NULL;
    return which ? plain[which - spelled] : 0;
}

void cs_line_name(char *line)
{
    size_t len = strlen(line), to = 0;
    if (len < 2 || line[0] != '"' || line[len - 1] != '"')
        return;
    const char *end = line + len - 1;
    for (const char *c = line + 1; c < end; c++)
        if (*c == '"' || (*c == '\\' && (++c == end || !escaped(*c))))
            return;
    for (const char *c = line + 1; c < end; c++)
        line[to++] = *c == '\\' ? escaped(*++c) : *c;
    line[to] = '\0';
}
