// SPDX-License-Identifier: MIT
// A backend that fails by script, for tests of everything that survives failures. It computes with
// `ref`; the script says what goes wrong and when:
//
//   SCRIPT := WORD[,WORD...]
//   WORD   := FAULT | fp16     (fp16 is offered too: every value that a node gives is rounded)
//   FAULT  := KIND@WHERE[:once=FILE | :while=FILE]
//   KIND   := crash (segmentation fault) | hang (never returns) | error (the device fails) |
//             oom (no memory) | nan (a value that is not finite) | slow (200 ms more)
//   WHERE  := N         the N-th job of this process, from 1
//           | N+        the N-th and all later ones
//           | pixel=V   a job whose image's first sample is V
//           | fp32      every job in fp32, or
//           | fp16      in fp16
//           | batch=N   the first job of a run of N or more
//           | load      crash, hang and error: when the device is opened
//
// once=FILE: only while FILE does not exist; it is created then. while=FILE: only while it exists.
// An empty script never fails.
#ifndef CS_BACKEND_FAKE_FAKE_H
#define CS_BACKEND_FAKE_FAKE_H

#include "backend/backend.h"

extern const struct cs_backend cs_backend_fake;

#endif
