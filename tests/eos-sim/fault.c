// SPDX-License-Identifier: GPL-2.0-or-later
#include "fault.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_words[FAULT_KINDS] = {
	[FAULT_REFUSE] = "refuse",
	[FAULT_TLS] = "tls",
	[FAULT_SILENCE] = "silence",
	[FAULT_RESET] = "reset",
	[FAULT_STATUS] = "status",
	[FAULT_TRUNCATE] = "truncate",
	[FAULT_SHORT] = "short",
	[FAULT_DRIP] = "drip",
	[FAULT_REDIRECT] = "redirect",
	[FAULT_HUGE] = "huge",
	[FAULT_DEEP] = "deep",
	[FAULT_TYPES] = "types",
	[FAULT_FOREIGN_ID] = "foreign-id",
	[FAULT_FAIL] = "fail",
	[FAULT_CRASH] = "crash",
};

static const char *const on_words[] = { "any", "read", "write" };

static int word_index(const char *word, const char *const words[], int n)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

const char *fault_add(struct faults *faults, struct json_object *o)
{
	int kind = word_index(json_text(o, "kind", ""), kind_words, FAULT_KINDS);
	int on = word_index(json_text(o, "on", "any"), on_words, 3);
	const char *match = json_text(o, "match", NULL);
	struct fault **link = &faults->first;

	if (kind < 0)
		return "kind is unknown";
	if (on < 0)
		return "on is any, read or write";

	struct fault *f = need(calloc(1, sizeof(*f)));

	*f = (struct fault){
		.id = ++faults->ids,
		.kind = (enum fault_kind)kind,
		.on = (enum fault_on)on,
		.count = json_number(o, "count", 1),
		.skip = json_number(o, "skip", 0),
		.at = json_number(o, "at", 1),
		.applied = json_number(o, "applied", kind == FAULT_SILENCE ? 0 : -1),
		.delay_ms = json_number(o, "delay_ms", kind == FAULT_DRIP ? 20 : 0),
		.hold_ms = json_number(o, "hold_ms", 60000),
		.status = json_number(o, "status", 503),
		.code = json_number(o, "code", 1000),
		.bytes = json_number(o, "bytes",
				     kind == FAULT_HUGE	  ? 100000000
				     : kind == FAULT_DEEP ? 10000
							  : 7),
		.has_match = match != NULL,
	};
	set_text(f->text, sizeof(f->text), json_text(o, "text", ""));
	if (match && regcomp(&f->match, match, REG_EXTENDED | REG_NOSUB) != 0) {
		free(f);
		return "match is no extended regular expression";
	}
	while (*link)
		link = &(*link)->next;
	*link = f;
	return NULL;
}

static void remove_fault(struct fault **link)
{
	struct fault *f = *link;

	*link = f->next;
	if (f->has_match)
		regfree(&f->match);
	free(f);
}

void fault_clear(struct faults *faults)
{
	while (faults->first)
		remove_fault(&faults->first);
}

struct json_object *fault_list(const struct faults *faults)
{
	struct json_object *list = json_object_new_array();

	for (const struct fault *f = faults->first; f; f = f->next) {
		struct json_object *o = json_object_new_object();

		json_put_number(o, "id", (int64_t)f->id);
		json_put_text(o, "kind", kind_words[f->kind]);
		json_put_number(o, "count", f->count);
		json_put_number(o, "skip", f->skip);
		json_object_array_add(list, o);
	}
	return list;
}

/* The command's text, whether it came as a string or as an object. */
static const char *command_text(struct json_object *cmds, size_t i)
{
	struct json_object *c = json_object_array_get_idx(cmds, i);

	return json_object_is_type(c, json_type_string) ? json_object_get_string(c)
							: json_text(c, "cmd", "");
}

static bool fits(const struct fault *f, struct json_object *cmds, bool writes)
{
	bool of_connection = f->kind == FAULT_REFUSE || f->kind == FAULT_TLS;

	if (of_connection != !cmds)
		return false;
	if ((f->on == FAULT_ON_READ && writes) || (f->on == FAULT_ON_WRITE && !writes))
		return false;
	if (!f->has_match || !cmds)
		return true;
	for (size_t i = 0; i < json_object_array_length(cmds); i++) {
		if (regexec(&f->match, command_text(cmds, i), 0, NULL, 0) == 0)
			return true;
	}
	return false;
}

bool fault_take(struct faults *faults, struct json_object *cmds, bool writes,
		struct fault *ret_fault)
{
	for (struct fault **link = &faults->first; *link; link = &(*link)->next) {
		struct fault *f = *link;

		if (f->count == 0 || !fits(f, cmds, writes))
			continue;
		if (f->skip > 0) {
			f->skip--;
			continue;
		}
		*ret_fault = *f;
		/* A silence stays listed, with nothing left to count, until it is cleared: it may
		 * have to be ended early. */
		if (f->count > 0 && --f->count == 0 && f->kind != FAULT_SILENCE)
			remove_fault(link);
		return true;
	}
	return false;
}

bool fault_active(const struct faults *faults, uint64_t id)
{
	for (const struct fault *f = faults->first; f; f = f->next) {
		if (f->id == id)
			return true;
	}
	return false;
}
