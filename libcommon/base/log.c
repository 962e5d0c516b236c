// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *program_name = "cellstream";
static enum cs_level limit = CS_LOG_WARN;

void cs_log_init(const char *program)
{
    program_name = program;
}

void cs_log_verbosity(int quiet, int verbose)
{
    limit = quiet ? CS_LOG_ERROR : verbose > 1 ? CS_LOG_DEBUG : verbose ? CS_LOG_INFO : CS_LOG_WARN;
}

enum cs_level cs_log_level(void)
{
    return limit;
}

void cs_log_limit(enum cs_level level)
{
    limit = level;
}

bool cs_log_shows(enum cs_level level)
{
    return level <= limit;
}

void cs_log(enum cs_level level, const char *fmt, ...)
{
    if (!cs_log_shows(level))
        return;
    // One write a line: lines of several processes on one terminal must not mix.
    char line[1024];
    int used = snprintf(line, sizeof line, "%s: ", program_name);
    va_list ap;
    va_start(ap, fmt);
    int added = vsnprintf(line + used, sizeof line - (size_t)used - 1, fmt, ap);
    va_end(ap);
    if (added < 0)
        return;
    size_t len = strlen(line);
    // A file name may hold a newline; a message is one line all the same.
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
    line[len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}
