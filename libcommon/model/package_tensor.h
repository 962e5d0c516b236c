// SPDX-License-Identifier: MIT
// Parts of a package description: inputs, outputs, their axes and processing steps. For package.c.
#ifndef CS_MODEL_PACKAGE_TENSOR_H
#define CS_MODEL_PACKAGE_TENSOR_H

#include "model/package.h"
#include "model/yaml.h"

// One entry of `inputs` or `outputs`. Test tensors of 0.5 included, as relative paths joined to
// the folder.
int cs_package_tensor(struct cs_arena *arena, const struct cs_yaml *node, const char *folder,
                      bool input, struct cs_tensor_spec *spec, struct cs_err *err);
// folder/relative, when the path stays inside the folder; CS_EMODEL otherwise, or for a URL.
int cs_package_join(struct cs_arena *arena, const char *folder, const char *relative,
                    const char **path, struct cs_err *err);

// Numbers: `fallback` when node is NULL. CS_EMODEL names the line and `what`.
int cs_package_real(const struct cs_yaml *node, const char *what, double min, double max,
                    double fallback, double *value, struct cs_err *err);
int cs_package_int(const struct cs_yaml *node, const char *what, int64_t min, int64_t max,
                   int64_t fallback, int64_t *value, struct cs_err *err);
// A list of texts, at most `max`; zero when node is NULL.
int cs_package_texts(const struct cs_yaml *node, const char *what, const char **texts, int max,
                     int *count, struct cs_err *err);
// Index of the text in names (NULL-terminated), `fallback` when node is NULL.
int cs_package_choice(const struct cs_yaml *node, const char *what, const char *const *names,
                      int fallback, int *value, struct cs_err *err);

#endif
