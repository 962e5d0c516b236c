// SPDX-License-Identifier: MIT
#include "base/hash.h"

#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/io.h"
#include "base/mem.h"

enum { CHUNK = 1 << 18 };

static void to_hex(const uint8_t *digest, char *hex)
{
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void cs_sha256_hex(const void *data, size_t bytes, char hex[CS_SHA256_HEX])
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, bytes, data);
    sha256_digest(&context, sizeof digest, digest);
    to_hex(digest, hex);
}

// Feed a file in chunks to `update`.
static int each_chunk(const char *path, void (*update)(void *, const void *, size_t), void *state,
                      struct cs_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    void *chunk = cs_xmalloc(CHUNK);
    ssize_t n;
    do {
        n = cs_read_full(fd, chunk, CHUNK, err);
        if (n > 0)
            update(state, chunk, (size_t)n);
    } while (n == CHUNK);
    free(chunk);
    close(fd);
    return n < 0 ? cs_err_context(err, "%s", path) : 0;
}

static void feed_sha256(void *state, const void *data, size_t bytes)
{
    sha256_update(state, bytes, data);
}

int cs_sha256_file(const char *path, char hex[CS_SHA256_HEX], struct cs_err *err)
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    if (each_chunk(path, feed_sha256, &context, err) != 0)
        return -1;
    sha256_digest(&context, sizeof digest, digest);
    to_hex(digest, hex);
    return 0;
}

uint64_t cs_xxh3(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

static void xxh3_update(void *state, const void *data, size_t bytes)
{
    XXH3_64bits_update(state, data, bytes);
}

int cs_xxh3_file(const char *path, uint64_t *hash, struct cs_err *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return cs_fail(err, CS_ENOMEM, "hash state");
    XXH3_64bits_reset(state);
    int result = each_chunk(path, xxh3_update, state, err);
    if (result == 0)
        *hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return result;
}
