// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

void secret_wipe(char secret[SECRET_MAX])
{
	explicit_bzero(secret, SECRET_MAX);
}

static int check_file(int fd, const char *path, bool guarded, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EPERM, "%s is not a file", path);
	if (guarded)
		return 0;
	if (st.st_mode & 077)
		return err_set(e, -EPERM, "%s can be read by others than its owner: chmod 0600 %s",
			       path, path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, -EPERM, "%s belongs to another user", path);
	return 0;
}

static int check_text(char *text, size_t n, const char *path, struct err *e)
{
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (text[0] == '\0')
		return err_set(e, -EINVAL, "%s is empty", path);
	if (n == SECRET_MAX - 1 && strlen(text) == n)
		return err_set(e, -EINVAL, "%s: the first line is longer than %d bytes", path,
			       SECRET_MAX - 2);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(e, -EINVAL, "%s: a control character is in the first line",
				       path);
	return 0;
}

int secret_read(const char *name, char ret_secret[SECRET_MAX], struct err *e)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	bool guarded = name[0] != '/';
	_cleanup_(closep) int fd = -1;
	char path[512], text[SECRET_MAX];
	ssize_t n;
	int r;

	if (guarded && (!directory || directory[0] != '/' || strchr(name, '/')))
		return err_set(e, -ENOENT,
			       "password-file %s is not an absolute path, and there is no "
			       "$CREDENTIALS_DIRECTORY",
			       name);
	snprintf(path, sizeof(path), "%s%s%s", guarded ? directory : "", guarded ? "/" : "", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (guarded ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	r = check_file(fd, path, guarded, e);
	if (r < 0)
		return r;
	n = read(fd, text, sizeof(text) - 1);
	r = n < 0 ? err_set(e, -errno, "%s: %s", path, strerror(errno))
		  : check_text(text, (size_t)n, path, e);
	if (r == 0)
		memcpy(ret_secret, text, sizeof(text));
	secret_wipe(text);
	return r;
}
