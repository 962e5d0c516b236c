// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/ome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_layout layout = {0};
    struct cs_err err;
    char *text = cs_xstrndup((const char *)data, size);
    cs_ome_sniff(text);
    cs_ome_parse(&layout, text, strlen(text), "a.ome.tif", NULL, 3, &err);
    cs_layout_release(&layout);
    free(text);
    return 0;
}
