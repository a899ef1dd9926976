/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small helpers of the simulator. It is a test program: running out of memory ends it. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)	((a) < (b) ? (a) : (b))

/* Milliseconds: since some start, and of the wall clock. */
int64_t clock_ms(void);
int64_t wall_ms(void);
void sleep_ms(long ms);

/* Memory from the heap, or the end of the program. */
void *need(void *pointer);
char *copy_text(const char *text);
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Copies what fits, and always ends with a NUL. */
void set_text(char *ret, size_t size, const char *text);

/* Words of a line, split at blanks. `words_free` releases all. */
struct words {
	char **v;
	size_t n;
};
struct words words_split(const char *line);
void words_free(struct words *words);

/* Parses a decimal number that fills the text; false when it is none or not within [low, high]. */
bool parse_number(const char *text, long low, long high, long *ret_number);

/* A small generator whose whole state is one word (splitmix64). */
uint64_t random_next(uint64_t *state);

/* json-c with less ceremony. Getters take a NULL object and return the fallback when the key is
 * absent or of another type. */
const char *json_text(struct json_object *o, const char *key, const char *fallback);
long json_number(struct json_object *o, const char *key, long fallback);
bool json_flag(struct json_object *o, const char *key, bool fallback);
struct json_object *json_child(struct json_object *o, const char *key);
void json_put_text(struct json_object *o, const char *key, const char *value);
void json_put_number(struct json_object *o, const char *key, int64_t value);
void json_put_flag(struct json_object *o, const char *key, bool value);
/* A list of strings. */
void json_append_text(struct json_object *list, const char *value);

/* What a function prints, as one string: text_open, fprintf, text_close. */
struct text {
	FILE *out;
	char *data;
	size_t size;
};
FILE *text_open(struct text *text);
char *text_close(struct text *text);

/* Runs a program to its end with an input (NULL: none). Returns its exit status, or 127; what it
 * printed on stdout into ret_output (may be NULL), on stderr to ours. */
int run_program(const char *const argv[], const char *input, char **ret_output);
