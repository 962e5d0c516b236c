// SPDX-License-Identifier: MIT
// Inside of package_derive.h: what its two files share.
#ifndef CS_MODEL_PACKAGE_DERIVE_INSIDE_H
#define CS_MODEL_PACKAGE_DERIVE_INSIDE_H

#include "model/package_derive.h"

#define CS_DERIVE_EPS 1e-6 // of steps: the zoo's default

struct cs_deriver {
    struct cs_package *package;
    const struct cs_graph *graph;
    const struct cs_derive_options *options;
    int64_t channels;
    struct cs_graph concrete; // for the plane that is asked for last
    struct cs_err *err;
};

// Fill outputs, maps and activations of the package from the concrete graph.
int cs_derive_outputs(struct cs_deriver *d);

// The zoo's identifiers: lower case letters, digits and "_", at most 32; `fallback` for a name that
// does not begin with a letter. In the arena, as what follows.
const char *cs_derive_identifier(struct cs_arena *arena, const char *name, const char *fallback);
const char *cs_derive_numbered(struct cs_arena *arena, const char *name, int number);

#endif
