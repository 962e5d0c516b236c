// SPDX-License-Identifier: MIT
// Errors. A library function that can fail returns 0 or -1 (or NULL) and takes a
// `struct cs_err *` as its last parameter. The place that knows the fact writes the message;
// callers may put context in front of it. Nothing in libcommon prints or exits; tools turn an
// error into one line on standard error and an exit status.
#ifndef CS_BASE_ERR_H
#define CS_BASE_ERR_H

enum cs_code {
    CS_OK = 0,
    CS_EUSAGE,   // wrong options or arguments
    CS_ENOINPUT, // nothing to work on
    CS_EINPUT,   // an image file or its samples are broken or unsupported
    CS_EMODEL,   // a model package or network is broken or unsupported
    CS_EDEVICE,  // a device failed, or cannot be had
    CS_ENOMEM,   // host or device memory does not suffice
    CS_ETIMEOUT, // a time limit passed
    CS_ESTREAM,  // a stream is corrupt or truncated
    CS_EIO,      // the operating system refused to read or write
};

struct cs_err {
    enum cs_code code;
    char text[512];
};

#define CS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

// Fill err (which may be NULL) and return -1, so that callers can `return cs_fail(...)`.
int cs_fail(struct cs_err *err, enum cs_code code, const char *fmt, ...) CS_PRINTF(3, 4);

// The same for a failed system call: appends ": " and the text of errno, which is kept.
int cs_fail_errno(struct cs_err *err, enum cs_code code, const char *fmt, ...) CS_PRINTF(3, 4);

// Put "context: " in front of the message. Returns -1 for the same use.
int cs_err_context(struct cs_err *err, const char *fmt, ...) CS_PRINTF(2, 3);

// The exit status that a tool ends with: 2 usage, 3 no input, 4 model, 5 device or memory,
// 6 stream, 1 everything else; 0 for CS_OK.
int cs_err_status(enum cs_code code);

// The error code of an item as the stream and the manifest name it:
// INVALID_IMAGE, TIMEOUT, MODEL_ERROR, OUT_OF_MEMORY or UNKNOWN. Static storage.
const char *cs_err_item_code(enum cs_code code);

#endif
