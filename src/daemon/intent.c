// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "daemon/params.h"
#include "daemon/sync.h"

#define FILE_NAME "drains.json"
#define FILE_MAX  (256 * 1024)

static void path_of(const struct daemon *d, const char *suffix, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s%s", d->config->state_dir, FILE_NAME, suffix);
}

struct drain_wish *intent_find(struct daemon *d, const char *service,
			       const struct nexthop_spec *nexthop)
{
	for (size_t i = 0; i < d->intent.n; i++) {
		struct drain_wish *w = &d->intent.list[i];

		if (strcmp(w->service, service) == 0 && nexthop_spec_matches(nexthop, &w->nexthop))
			return w;
	}
	return NULL;
}

static uint64_t number(struct json_object *o, const char *key)
{
	int64_t v = 0;

	return param_int(o, key, 0, INT64_MAX, &v) == 1 ? (uint64_t)v : 0;
}

static int wish_parse(struct json_object *o, struct drain_wish *ret)
{
	const char *service = param_string(o, "service"), *nexthop = param_string(o, "nexthop");
	struct drain_wish w = { 0 };

	if (!service || strlen(service) >= sizeof(w.service) || !nexthop)
		return -EINVAL;
	snprintf(w.service, sizeof(w.service), "%s", service);
	if (nexthop_spec_parse(nexthop, &w.nexthop) < 0)
		return -EINVAL;
	w.intent.since_s = number(o, "since");
	w.intent.deadline_s = number(o, "deadline");
	w.intent.release_s = number(o, "release_at");
	w.intent.uid = (uint32_t)number(o, "uid");
	w.released = param_bool(o, "released");
	*ret = w;
	return 0;
}

static int wish_add(struct intent *in, const struct drain_wish *w)
{
	void *list = vec_reserve(in->list, in->n, &in->cap, sizeof(*in->list));

	if (!list)
		return -ENOMEM;
	in->list = list;
	in->list[in->n++] = *w;
	return 0;
}

static int file_read(const char *path, char **ret_text, size_t *ret_len)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	text = malloc(FILE_MAX + 1);
	if (!text)
		return -ENOMEM;
	while ((n = read(fd, text + len, FILE_MAX - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return -errno;
	if (len == FILE_MAX)
		return -EFBIG;
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int intent_load(struct daemon *d, struct err *e)
{
	_cleanup_(freep) char *text = NULL;
	struct json_tokener *tok;
	struct json_object *o, *list;
	char path[PATH_MAX];
	size_t len = 0;
	int r;

	path_of(d, "", path, sizeof(path));
	r = file_read(path, &text, &len);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(e, r, "%s: %s", path, strerror(-r));
	tok = json_tokener_new_ex(8);
	if (!tok)
		return -ENOMEM;
	/* What is no UTF-8 could not be written as it was read. */
	json_tokener_set_flags(tok, JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	json_tokener_free(tok);
	if (!o || !json_object_object_get_ex(o, "drains", &list) ||
	    !json_object_is_type(list, json_type_array)) {
		json_object_put(o);
		return err_set(e, -EINVAL, "%s: not a list of drains", path);
	}
	r = 0;
	for (size_t i = 0; i < json_object_array_length(list) && r == 0; i++) {
		struct drain_wish w;

		r = wish_parse(json_object_array_get_idx(list, i), &w);
		if (r == 0)
			r = wish_add(&d->intent, &w);
	}
	json_object_put(o);
	return r < 0 ? err_set(e, r, "%s: a drain in it cannot be read", path) : 0;
}

/* In the directory, too: a name that a crash takes back would be no promise. */
static int file_write(const char *dir, const char *path, const char *temporary,
		      const struct strbuf *b)
{
	_cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd =
		open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	size_t done = 0;

	if (dir_fd < 0 || fd < 0)
		return -errno;
	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (fsync(fd) < 0 || rename(temporary, path) < 0 || fsync(dir_fd) < 0)
		return -errno;
	return 0;
}

int intent_save(struct daemon *d, struct err *e)
{
	char path[PATH_MAX], temporary[PATH_MAX], text[NEXTHOP_TEXT];
	struct strbuf b = { 0 };
	int r;

	strbuf_adds(&b, "{\"drains\":[");
	for (size_t i = 0; i < d->intent.n; i++) {
		const struct drain_wish *w = &d->intent.list[i];

		strbuf_adds(&b, i ? ",\n{\"service\":" : "\n{\"service\":");
		strbuf_add_json(&b, w->service);
		strbuf_adds(&b, ",\"nexthop\":");
		strbuf_add_json(&b, nexthop_spec_format(&w->nexthop, text));
		strbuf_addf(&b,
			    ",\"since\":%llu,\"deadline\":%llu,\"release_at\":%llu,\"uid\":%u,"
			    "\"released\":%s}",
			    (unsigned long long)w->intent.since_s,
			    (unsigned long long)w->intent.deadline_s,
			    (unsigned long long)w->intent.release_s, w->intent.uid,
			    w->released ? "true" : "false");
	}
	strbuf_adds(&b, "\n]}\n");
	path_of(d, "", path, sizeof(path));
	path_of(d, ".new", temporary, sizeof(temporary));
	r = b.failed ? -ENOMEM : file_write(d->config->state_dir, path, temporary, &b);
	strbuf_free(&b);
	if (r < 0) {
		unlink(temporary);
		return err_set(e, r, "%s: %s", path, strerror(-r));
	}
	return 0;
}

static struct drain_wish *wish_of(struct daemon *d, uint8_t id)
{
	const struct binding *b = registry_binding(d->registry, id);
	struct nexthop_spec spec = binding_spec(b);

	return intent_find(d, b->service, &spec);
}

static int drain_one(struct daemon *d, uint8_t id, const struct drain_intent *intent, struct err *e)
{
	const struct binding *b = registry_binding(d->registry, id);
	struct drain_wish wish = { .nexthop = binding_spec(b), .intent = *intent };
	struct drain_wish *old = wish_of(d, id);
	int r;

	snprintf(wish.service, sizeof(wish.service), "%s", b->service);
	wish.released = old && old->released;
	if (b->drained && b->drain_since_s)
		wish.intent.since_s = b->drain_since_s;
	r = registry_drain(d->registry, id, &wish.intent, clock_now_ms(), e);
	if (r < 0)
		return r;
	if (old)
		*old = wish;
	else if (wish_add(&d->intent, &wish) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

/* What a binding was before a drain that failed. */
struct before {
	bool drained, released;
};

static void take_back(struct daemon *d, uint8_t id, const struct before *was)
{
	const struct drain_wish *wish = was->drained ? wish_of(d, id) : NULL;
	uint64_t now = clock_now_ms();

	/* It is drained, so that it is not refused. */
	if (wish && registry_drain(d->registry, id, &wish->intent, now, NULL) == 0)
		return;
	registry_undrain(d->registry, id, now);
	if (was->released)
		registry_release(d->registry, id, now);
}

int intent_drain(struct daemon *d, const uint8_t *ids, size_t n, const struct drain_intent *intent,
		 struct err *e)
{
	size_t n_wishes = d->intent.n, done;
	_cleanup_(freep) struct drain_wish *wishes = calloc(n_wishes + 1, sizeof(*wishes));
	struct before was[BINDING_ID_MAX];
	int r = 0;

	if (!wishes)
		return err_set(e, -ENOMEM, "out of memory");
	if (n_wishes)
		memcpy(wishes, d->intent.list, n_wishes * sizeof(*wishes));
	for (done = 0; done < n && r == 0; done++) {
		const struct binding *b = registry_binding(d->registry, ids[done]);

		was[done] = (struct before){ b->drained, b->released };
		r = drain_one(d, ids[done], intent, e);
	}
	/* Kept on disk before it is answered: a drain that was promised outlives a crash. */
	if (r == 0)
		r = intent_save(d, e);
	if (r == 0)
		return 0;
	if (n_wishes)
		memcpy(d->intent.list, wishes, n_wishes * sizeof(*wishes));
	d->intent.n = n_wishes;
	while (done-- > 0)
		take_back(d, ids[done], &was[done]);
	return r;
}

int intent_undrain(struct daemon *d, const uint8_t *ids, size_t n, struct err *e)
{
	bool removed = false;

	for (size_t i = 0; i < n; i++) {
		struct drain_wish *w = wish_of(d, ids[i]);

		if (w) {
			*w = d->intent.list[--d->intent.n];
			removed = true;
		}
		registry_undrain(d->registry, ids[i], clock_now_ms());
	}
	return removed ? intent_save(d, e) : 0;
}

static void wish_apply(struct daemon *d, struct drain_wish *w, const struct binding *b,
		       uint64_t now_ms)
{
	char text[NEXTHOP_TEXT];
	struct err e = { 0 };

	if (b->drained)
		w->refused = false;
	else if (registry_drain(d->registry, b->id, &w->intent, now_ms, &e) < 0 && !w->refused) {
		w->refused = true;
		log_warning(
			"the drain of %s in service %s, wanted since before, is not taken up: %s",
			nexthop_spec_format(&w->nexthop, text), w->service, e.text);
	}
	if (w->released && !b->released)
		registry_release(d->registry, b->id, now_ms);
	if (!w->released && w->intent.release_s && clock_wall_s() >= w->intent.release_s) {
		w->released = true;
		log_notice("service %s: %s is released, as asked for with its drain", w->service,
			   nexthop_spec_format(&w->nexthop, text));
		registry_release(d->registry, b->id, now_ms);
		if (intent_save(d, &e) < 0)
			log_error("drains cannot be saved: %s", e.text);
	}
}

void intent_apply(struct daemon *d, uint64_t now_ms)
{
	const struct binding *b;

	for (size_t i = 0; i < d->intent.n; i++) {
		struct drain_wish *w = &d->intent.list[i];
		uint8_t cursor = 0;

		while ((b = registry_binding_next(d->registry, &cursor))) {
			struct nexthop_spec spec = binding_spec(b);

			if (strcmp(b->service, w->service) == 0 &&
			    nexthop_spec_matches(&w->nexthop, &spec))
				wish_apply(d, w, b, now_ms);
		}
	}
	if (registry_version(d->registry) != d->registry_synced)
		sync_soon(d);
}
