// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "eapi/secret.h"

struct place {
	char directory[32], file[64];
};

static void write_file(const struct place *p, const char *content, size_t len, mode_t mode)
{
	int fd = open(p->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static struct place setup(void)
{
	struct place p = { "/tmp/flowpin-secret-XXXXXX", "" };

	assert_non_null(mkdtemp(p.directory));
	snprintf(p.file, sizeof(p.file), "%s/pw", p.directory);
	return p;
}

static void teardown(struct place *p)
{
	unlink(p->file);
	rmdir(p->directory);
}

static void test_files(void **state _unused_)
{
	static const struct {
		const char *content;
		size_t len;
		mode_t mode;
		int r;
		const char *secret, *sentence;
	} rows[] = {
		{ "top-secret\n", 11, 0600, 0, "top-secret", "" },
		{ "top-secret", 10, 0400, 0, "top-secret", "" },
		{ "a b:c\r\nmore\n", 12, 0600, 0, "a b:c", "" },
		{ "top-secret\n", 11, 0640, -EPERM, NULL, "can be read by others than its owner" },
		{ "top-secret\n", 11, 0604, -EPERM, NULL, "can be read by others than its owner" },
		{ "\ntop-secret\n", 12, 0600, -EINVAL, NULL, "is empty" },
		{ "", 0, 0600, -EINVAL, NULL, "is empty" },
		{ "top\001secret\n", 11, 0600, -EINVAL, NULL, "control character" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct place p = setup();
		char secret[SECRET_MAX] = "untouched";
		struct err e = { 0 };

		write_file(&p, rows[i].content, rows[i].len, rows[i].mode);
		assert_int_equal(secret_read(p.file, secret, &e), rows[i].r);
		assert_string_equal(secret, rows[i].secret ? rows[i].secret : "untouched");
		assert_non_null(strstr(e.text, rows[i].sentence));
		assert_null(strstr(e.text, "top")); /* nothing of the content */
		teardown(&p);
	}
}

static void test_long(void **state _unused_)
{
	struct place p = setup();
	char content[1000], secret[SECRET_MAX];
	struct err e = { 0 };

	memset(content, 'x', sizeof(content));
	write_file(&p, content, sizeof(content), 0600);
	assert_int_equal(secret_read(p.file, secret, &e), -EINVAL);
	write_file(&p, content, SECRET_MAX - 2, 0600);
	assert_int_equal(secret_read(p.file, secret, &e), 0);
	teardown(&p);
}

static void test_no_file(void **state _unused_)
{
	struct place p = setup();
	char secret[SECRET_MAX], link[80];
	struct err e = { 0 };

	assert_int_equal(secret_read(p.file, secret, &e), -ENOENT);
	assert_int_equal(secret_read(p.directory, secret, &e), -EPERM);
	write_file(&p, "x", 1, 0600);
	snprintf(link, sizeof(link), "%s/link", p.directory);
	assert_int_equal(symlink(p.file, link), 0);
	assert_int_equal(secret_read(link, secret, &e), -ELOOP);
	unlink(link);
	teardown(&p);
}

static void test_credentials(void **state _unused_)
{
	struct place p = setup();
	char secret[SECRET_MAX];
	struct err e = { 0 };

	write_file(&p, "cred\n", 5,
		   0440); /* systemd's directory is closed to others; its files need not be */
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(secret_read("pw", secret, &e), -ENOENT);
	setenv("CREDENTIALS_DIRECTORY", p.directory, 1);
	assert_int_equal(secret_read("pw", secret, &e), 0);
	assert_string_equal(secret, "cred");
	assert_int_equal(secret_read("../pw", secret, &e), -ENOENT);
	unsetenv("CREDENTIALS_DIRECTORY");
	teardown(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_credentials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
