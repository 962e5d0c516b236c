// SPDX-License-Identifier: MIT
// Which files to read: operands and lists of files and folders, filtered, sampled, sharded; each
// with the name that its outputs get.
#ifndef CS_IMAGE_INPUTS_H
#define CS_IMAGE_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "image/decoder.h"

struct cs_input {
    char *path;     // as given, or folder/relative path
    char *output;   // relative path below the folder given, or base name; without extension
    size_t index;   // in the whole list, before sampling and sharding
    char *namesake; // path of another whose output could be named as an item of this; NULL none
};

struct cs_inputs {
    struct cs_input *list;
    size_t count;
};

struct cs_inputs_options {
    const char *const *include, *const *exclude; // shell patterns; with a "/" of the relative
    int include_count, exclude_count;            // path, else of the base name
    uint64_t shard, shards;                      // take shard 1..shards; 0, 0: everything
    uint64_t sample;                             // at most so many, evenly spread; 0: all
    const struct cs_decoder *decoders;           // whose extensions are known, too
    int decoder_count;
};

// Add one operand. A file is taken whatever its name; its output has the base name, or where the
// path holds "/./" the path behind that. A folder is walked: its files with a known
// extension, or those that match `include`, hidden ones left out, in bytewise order of their
// paths; links are followed, loops are not. An unreadable folder stays in the list, where reading
// it fails. "-" is standard input. CS_EIO: folders are nested too deeply.
int cs_inputs_add(struct cs_inputs *inputs, const char *path,
                  const struct cs_inputs_options *options, struct cs_err *err);
// Add the operands that a file lists, one a line (base/line.h) or ended by NUL; "-": standard
// input.
int cs_inputs_add_list(struct cs_inputs *inputs, const char *file, bool nul,
                       const struct cs_inputs_options *options, struct cs_err *err);
// Sample and shard, after a check of the whole list. CS_EUSAGE: two inputs of one output name.
// CS_ENOINPUT: nothing is left.
int cs_inputs_finish(struct cs_inputs *inputs, const struct cs_inputs_options *options,
                     struct cs_err *err);
void cs_inputs_release(struct cs_inputs *inputs); // accepts a zeroed struct
void cs_input_release(struct cs_input *input);
// CS_EINPUT: it gives so many items, and one of them could take the name of another input's output.
int cs_input_check_items(const struct cs_input *input, uint32_t items, struct cs_err *err);

// "I/N" with 1 <= I <= N. CS_EUSAGE.
int cs_shard_parse(struct cs_inputs_options *options, const char *text, struct cs_err *err);
// The path without the extension of an image file (".ome.tif" counts as one). Caller frees.
char *cs_output_name(const char *path);

#endif
