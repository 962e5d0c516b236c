// SPDX-License-Identifier: MIT
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// Length of the valid UTF-8 sequence at s (RFC 3629), 0 if there is none.
static int utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    int len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (int i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0; // overlong, surrogate, beyond U+10FFFF
    return len;
}

void cs_json_string(struct cs_buf *out, const char *text)
{
    cs_buf_addc(out, '"');
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int len = utf8_length(s);
        if (!len) {
            cs_buf_addf(out, "\\udc%02x", *s++);
        } else if (*s == '"' || *s == '\\') {
            cs_buf_addf(out, "\\%c", *s++);
        } else if (*s < 0x20) {
            cs_buf_addf(out, "\\u%04x", *s++);
        } else {
            cs_buf_add(out, s, (size_t)len);
            s += len;
        }
    }
    cs_buf_addc(out, '"');
}

void cs_json_real(struct cs_buf *out, double value)
{
    if (!isfinite(value)) {
        cs_buf_adds(out, "null");
        return;
    }
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    cs_buf_adds(out, text);
}
