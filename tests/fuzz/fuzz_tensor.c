// SPDX-License-Identifier: MIT
// Any bytes as an NPY test tensor: samples for the whole shape, or an error.
#include <stdlib.h>

#include "model/npy_tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_tensor tensor;
    if (cs_tensor_parse(&tensor, data, size, NULL) != 0)
        return 0;
    size_t count = 1;
    for (int i = 0; i < tensor.rank; i++)
        count *= (size_t)tensor.dim[i];
    if (count != tensor.count)
        abort();
    volatile float last = count ? tensor.data[count - 1] : 0;
    (void)last;
    cs_tensor_release(&tensor);
    return 0;
}
