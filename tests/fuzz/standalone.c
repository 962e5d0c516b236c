// SPDX-License-Identifier: MIT
// A main for fuzz targets where libFuzzer is not at hand: feeds each file named on the command
// line, or lying in a folder named there, to the target once.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILE_BYTES = 1 << 24 };

static int replay_file(const char *path)
{
    struct cs_buf bytes = {0};
    struct cs_err err = {0};
    if (cs_read_file(path, MAX_FILE_BYTES, &bytes, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    // A copy of the exact size, so that a read past the end is one past the block.
    uint8_t *copy = cs_xmalloc(bytes.len);
    for (size_t i = 0; i < bytes.len; i++)
        copy[i] = (uint8_t)bytes.data[i];
    LLVMFuzzerTestOneInput(copy, bytes.len);
    free(copy);
    cs_buf_release(&bytes);
    return 0;
}

static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        perror(path);
        return 1;
    }
    int failed = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        char *file = cs_xasprintf("%s/%s", path, entry->d_name);
        failed |= replay_file(file);
        free(file);
    }
    closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        bool folder = stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode);
        failed |= folder ? replay_folder(argv[i]) : replay_file(argv[i]);
    }
    return failed;
}
