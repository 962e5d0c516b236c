// SPDX-License-Identifier: MIT
// Any bytes as a package description: a package or an error, and its preprocessing can be checked.
#include "infer/normalise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_package package;
    enum cs_activation activation;
    double threshold;
    if (cs_package_parse(&package, (const char *)data, size, "models/fuzz", NULL) != 0)
        return 0;
    cs_normalise_check(&package.inputs[0], 3, NULL);
    cs_postprocessing_check(&package.outputs[0], &activation, &threshold, NULL);
    cs_package_release(&package);
    return 0;
}
