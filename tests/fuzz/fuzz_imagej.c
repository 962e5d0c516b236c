// SPDX-License-Identifier: MIT
#include <stdlib.h>

#include "base/mem.h"
#include "image/imagej.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_layout layout = {0};
    struct cs_err err;
    char *text = cs_xstrndup((const char *)data, size);
    cs_imagej_sniff(text);
    cs_imagej_parse(&layout, text, 1 + (uint32_t)(size % 3), &err);
    cs_layout_release(&layout);
    free(text);
    return 0;
}
