// SPDX-License-Identifier: MIT
// A package description as text: the reverse of cs_package_parse.
#ifndef CS_MODEL_PACKAGE_WRITE_H
#define CS_MODEL_PACKAGE_WRITE_H

#include "base/buf.h"
#include "model/package.h"

// A scalar of YAML: as it is where nothing else could be read from it, else in double quotes.
void cs_yaml_put(struct cs_buf *out, const char *text);

// rdf.yaml of format 0.5, appended to out: everything that cs_package_parse reads, in a fixed
// order, without dates. Files are named relative to the package's folder, in which their paths must
// lie. `opset` of the weights; 0: not said. Texts that YAML cannot carry (other than UTF-8, control
// characters) give a description that cs_package_parse refuses.
void cs_package_write(const struct cs_package *package, int opset, struct cs_buf *out);

#endif
