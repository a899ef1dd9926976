// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/commands.h"

#include <string.h>
#include "base/vec.h"

void commands_add(struct commands *c, const char *command)
{
	size_t *at;

	for (const char *p = command; *p; p++) {
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f) {
			c->failed = true;
			return;
		}
	}
	at = vec_reserve(c->at, c->n, &c->cap, sizeof(*at));
	if (!at) {
		c->failed = true;
		return;
	}
	c->at = at;
	at[c->n] = c->text.len;
	strbuf_add(&c->text, command, strlen(command) + 1);
	c->failed |= c->text.failed;
	c->n += !c->failed;
}

const char *commands_get(const struct commands *c, size_t i)
{
	return c->text.data + c->at[i];
}

void commands_reset(struct commands *c)
{
	strbuf_reset(&c->text);
	c->n = 0;
	c->failed = false;
}

void commands_free(struct commands *c)
{
	strbuf_free(&c->text);
	free(c->at);
	*c = (struct commands){ 0 };
}

/* The word whose {key} stands at `text`, or NULL. */
static const struct command_word *word_at(const char *text, const struct command_word *words,
					  size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(words[i].key);

		if (strncmp(text + 1, words[i].key, len) == 0 && text[1 + len] == '}')
			return &words[i];
	}
	return NULL;
}

bool commands_add_template(struct commands *c, const char *template,
			   const struct command_word *words, size_t n)
{
	_cleanup_(strbuf_free) struct strbuf line = { 0 };

	for (const char *p = template; *p;) {
		const struct command_word *w = *p == '{' ? word_at(p, words, n) : NULL;

		if (w && !w->value)
			return false;
		if (w) {
			strbuf_adds(&line, w->value);
			p += strlen(w->key) + 2;
		} else {
			strbuf_add(&line, p++, 1);
		}
	}
	if (line.failed)
		c->failed = true;
	else if (line.len > 0)
		commands_add(c, line.data);
	return true;
}
