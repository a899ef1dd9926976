// SPDX-License-Identifier: GPL-2.0-or-later
#include "util.h"

#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (ms > 0 && nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

void *need(void *pointer)
{
	if (!pointer) {
		fputs("eos-sim: out of memory\n", stderr);
		abort();
	}
	return pointer;
}

char *copy_text(const char *text)
{
	return need(strdup(text));
}

char *format_text(const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return need(text);
}

void set_text(char *ret, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	memmove(ret, text, length);
	ret[length] = '\0';
}

struct words words_split(const char *line)
{
	struct words words = { need(calloc(strlen(line) / 2 + 2, sizeof(char *))), 0 };

	for (;;) {
		line += strspn(line, " \t\r\n");
		size_t length = strcspn(line, " \t\r\n");

		if (length == 0)
			return words;
		words.v[words.n++] = need(strndup(line, length));
		line += length;
	}
}

void words_free(struct words *words)
{
	for (size_t i = 0; i < words->n; i++)
		free(words->v[i]);
	free(words->v);
	*words = (struct words){ NULL, 0 };
}

bool parse_number(const char *text, long low, long high, long *ret_number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	long number = strtol(text, &end, 10);

	if (errno || *end || number < low || number > high)
		return false;
	*ret_number = number;
	return true;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

struct json_object *json_child(struct json_object *o, const char *key)
{
	struct json_object *child = NULL;

	if (json_object_is_type(o, json_type_object))
		json_object_object_get_ex(o, key, &child);
	return child;
}

const char *json_text(struct json_object *o, const char *key, const char *fallback)
{
	struct json_object *child = json_child(o, key);

	return json_object_is_type(child, json_type_string) ? json_object_get_string(child)
							    : fallback;
}

long json_number(struct json_object *o, const char *key, long fallback)
{
	struct json_object *child = json_child(o, key);

	return json_object_is_type(child, json_type_int) ? (long)json_object_get_int64(child)
							 : fallback;
}

bool json_flag(struct json_object *o, const char *key, bool fallback)
{
	struct json_object *child = json_child(o, key);

	return json_object_is_type(child, json_type_boolean) ? json_object_get_boolean(child)
							     : fallback;
}

void json_put_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

void json_put_number(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

void json_put_flag(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void json_append_text(struct json_object *list, const char *value)
{
	json_object_array_add(list, json_object_new_string(value));
}

FILE *text_open(struct text *text)
{
	*text = (struct text){ NULL, NULL, 0 };
	text->out = need(open_memstream(&text->data, &text->size));
	return text->out;
}

char *text_close(struct text *text)
{
	fclose(text->out);
	return need(text->data);
}

/* Writes into a file without a name, so that neither side can wait for the other. */
static int temporary_file(const char *content)
{
	FILE *file = tmpfile();

	if (!file)
		return -1;
	if (content)
		fputs(content, file);
	rewind(file);

	int fd = dup(fileno(file));

	fclose(file);
	return fd;
}

static char *read_back(int fd)
{
	struct text text;
	char part[4096];
	ssize_t n;

	text_open(&text);
	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, part, sizeof(part))) > 0)
		fwrite(part, 1, (size_t)n, text.out);
	return text_close(&text);
}

/* Spawned, not forked: each page of a large simulator would be copied, or faulted in, anew after
 * every fork. */
static pid_t spawn(const char *const argv[], int in, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	if (posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO) != 0 ||
	    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO) != 0 ||
	    posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

int run_program(const char *const argv[], const char *input, char **ret_output)
{
	int in = temporary_file(input), out = temporary_file(NULL), status = -1;
	pid_t pid = in >= 0 && out >= 0 ? spawn(argv, in, out) : -1;

	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ret_output)
		*ret_output = out >= 0 ? read_back(out) : copy_text("");
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}
