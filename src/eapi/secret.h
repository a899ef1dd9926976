/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#define SECRET_MAX 256

/* Reads a password, the first line of a file. An absolute path must be a regular file that nobody
 * but its owner can read, and the owner is who runs this, or root; another name is one of
 * $CREDENTIALS_DIRECTORY, which systemd guards. Blocks on the file. -EPERM, -ENOENT and what else
 * open(2) gives, -EINVAL: empty, too long or not printable. The sentence never holds anything of
 * the content. */
int secret_read(const char *name, char ret_secret[SECRET_MAX], struct err *e) _must_check_;
/* Overwrites it. */
void secret_wipe(char secret[SECRET_MAX]);
