// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/peer.h"

#define FILE_MAX  (4 * 1024 * 1024)
#define DEPTH_MAX 8

void peer_state_clear(struct peer_state *s)
{
	json_object_put(s->status);
	json_object_put(s->nexthops);
	*s = (struct peer_state){ 0 };
}

static bool has_array(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_array);
}

/* Keeps an object (consumed) as what it is. False: it is neither, or there is one already. */
static bool keep(struct peer_state *s, struct json_object *o)
{
	struct json_object **slot = NULL;

	if (json_object_is_type(o, json_type_object))
		slot = has_array(o, "services")	  ? &s->status
		       : has_array(o, "nexthops") ? &s->nexthops
						  : NULL;
	if (!slot || *slot) {
		json_object_put(o);
		return false;
	}
	*slot = o;
	return true;
}

static bool parse_values(const struct strbuf *b, struct json_tokener *tok, struct peer_state *s)
{
	size_t at = 0;

	while (at < b->len) {
		struct json_object *o;

		if (strchr(" \t\r\n", b->data[at])) {
			at++;
			continue;
		}
		json_tokener_reset(tok);
		o = json_tokener_parse_ex(tok, b->data + at, (int)(b->len - at));
		if (!o || !keep(s, o))
			return false;
		at += json_tokener_get_parse_end(tok);
	}
	return s->status && s->nexthops;
}

int peer_parse(const char *text, size_t len, struct peer_state *ret_state, struct err *e)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct peer_state s = { 0 };
	struct json_tokener *tok;
	bool well;

	if (len > FILE_MAX)
		return err_set(e, -EFBIG, "more than %d bytes", FILE_MAX);
	tok = json_tokener_new_ex(DEPTH_MAX);
	slice_disarm((struct slice){ text, len }, &b);
	if (!tok || b.failed) {
		if (tok)
			json_tokener_free(tok);
		return err_set(e, -ENOMEM, "out of memory");
	}
	well = b.len > 0 && parse_values(&b, tok, &s);
	json_tokener_free(tok);
	if (!well) {
		peer_state_clear(&s);
		return err_set(e, -EINVAL,
			       "not what `flowpin status --json` and `flowpin nexthops --json` of "
			       "another gateway print, one after the other");
	}
	*ret_state = s;
	return 0;
}

int peer_read(const char *path, struct peer_state *ret_state, struct err *e)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	_cleanup_(closep) int own = -1;
	int fd = STDIN_FILENO, r;
	char buf[4096];
	ssize_t n = 1;

	if (strcmp(path, "-") != 0) {
		own = open(path, O_RDONLY | O_CLOEXEC);
		if (own < 0)
			return err_set(e, -errno, "%s: %s", path, strerror(errno));
		fd = own;
	}
	while (n != 0 && b.len <= FILE_MAX && !b.failed) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno != EINTR)
			return err_set(e, -errno, "%s: %s", path, strerror(errno));
		if (n > 0)
			strbuf_add(&b, buf, (size_t)n);
	}
	r = b.failed ? err_set(e, -ENOMEM, "out of memory")
		     : peer_parse(b.data, b.len, ret_state, e);
	return r < 0 ? err_wrap(e, "%s", path) : 0;
}
