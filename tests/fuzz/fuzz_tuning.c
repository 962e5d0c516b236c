// SPDX-License-Identifier: MIT
// Any bytes as a tuning file: values or an error, and no values beside an error.
#include <stdint.h>
#include <stdlib.h>

#include "infer/tuning.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cs_tuning_key key = {"slots", "00", "cpu"};
    struct cs_meta values = {0};
    if (cs_tuning_parse((const char *)data, size, &key, &values, NULL) != 0 && values.count)
        abort();
    cs_meta_release(&values);
    return 0;
}
