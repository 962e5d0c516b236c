// SPDX-License-Identifier: MIT
// Hashes: SHA-256 for what must be trusted (weights), XXH3-64 for what must be recognised.
#ifndef CS_BASE_HASH_H
#define CS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CS_SHA256_HEX = 65, CS_XXH3_HEX = 17 }; // text with NUL

void cs_sha256_hex(const void *data, size_t bytes, char hex[CS_SHA256_HEX]);
int cs_sha256_file(const char *path, char hex[CS_SHA256_HEX], struct cs_err *err);
uint64_t cs_xxh3(const void *data, size_t bytes);
int cs_xxh3_file(const char *path, uint64_t *hash, struct cs_err *err);

#endif
