// SPDX-License-Identifier: MIT
// Messages of the tools on standard error, one line each, program name first. Standard output
// is data only. Library code returns its errors and does not log; only the loops that are a whole
// tool (stream/filter.c, stream/load.c, infer/) do: items that failed, and what no return value can
// carry.
#ifndef CS_BASE_LOG_H
#define CS_BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

enum cs_level { CS_LOG_ERROR, CS_LOG_WARN, CS_LOG_INFO, CS_LOG_DEBUG };

// program: borrowed for the process's lifetime. -q shows CS_LOG_ERROR only; the default shows
// warnings; -v shows CS_LOG_INFO and -vv CS_LOG_DEBUG.
void cs_log_init(const char *program);
void cs_log_verbosity(int quiet, int verbose);
void cs_log(enum cs_level level, const char *fmt, ...) CS_PRINTF(2, 3);
bool cs_log_shows(enum cs_level level);
// The least important level that is shown, for a process that follows another.
enum cs_level cs_log_level(void);
void cs_log_limit(enum cs_level level);

#endif
