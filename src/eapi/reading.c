// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/reading.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include "base/vec.h"
#include "eapi/reading_internal.h"

static bool contains_any(const char *text, const struct switch_lines *lines)
{
	for (uint32_t i = 0; i < lines->n; i++)
		if (strcasestr(text, lines->line[i]))
			return true;
	return false;
}

enum flow_status flow_status_classify(const struct switch_config *s, const char *text)
{
	/* "not programmed" contains "programmed", and what waits for a resource may say that it is
	 * rejected. */
	if (contains_any(text, &s->status_inactive))
		return FLOW_STATUS_INACTIVE;
	if (contains_any(text, &s->status_rejected))
		return FLOW_STATUS_REJECTED;
	if (contains_any(text, &s->status_pending))
		return FLOW_STATUS_PENDING;
	if (contains_any(text, &s->status_programmed))
		return FLOW_STATUS_PROGRAMMED;
	return FLOW_STATUS_UNKNOWN;
}

static const struct tuple *tuple_at(const void *owner, uint32_t position)
{
	return &((const struct reading *)owner)->flow[position].tuple;
}

struct flow_reading *reading_find(const struct reading *r, const struct tuple *t)
{
	uint32_t at = tuple_index_find(&r->index, t, tuple_at, r);

	return at == UINT32_MAX ? NULL : &r->flow[at];
}

struct flow_reading *reading_flow(struct reading *r, const struct tuple *t)
{
	struct flow_reading *f = reading_find(r, t), *list;

	if (f)
		return f;
	list = vec_reserve(r->flow, r->n, &r->cap, sizeof(*list));
	if (!list)
		return NULL;
	r->flow = list;
	list[r->n] = (struct flow_reading){ .tuple = *t };
	if (tuple_index_add(&r->index, (uint32_t)r->n, tuple_at, r) < 0)
		return NULL;
	return &list[r->n++];
}

void reading_clear(struct reading *r)
{
	uint64_t key[2] = { r->index.key[0], r->index.key[1] };

	free(r->flow);
	tuple_index_clear(&r->index);
	*r = (struct reading){ .index.key = { key[0], key[1] } };
}

void reading_set_status(const struct switch_config *s, struct flow_reading *f, const char *text)
{
	eapi_clean_text(text, f->text, sizeof(f->text));
	f->status = flow_status_classify(s, f->text);
}

/* 0 and an address from "10.0.0.1", also from "10.0.0.1 (Ethernet3)" or "10.0.0.1/32". */
int reading_parse_addr(const char *text, struct ip_addr *ret_addr)
{
	char word[IP_ADDR_TEXT];
	size_t n = strspn(text, "0123456789abcdefABCDEF.:");

	if (n == 0 || n >= sizeof(word))
		return -EINVAL;
	memcpy(word, text, n);
	word[n] = '\0';
	return ip_addr_parse(word, ret_addr);
}

int mac_parse(const char *text, char *ret_mac)
{
	char hex[13];
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		if (isxdigit((unsigned char)*p) && n < 12)
			hex[n++] = (char)tolower((unsigned char)*p);
		else if (!strchr(":.-", *p) || n > 12)
			return -EINVAL;
	}
	if (n != 12)
		return -EINVAL;
	snprintf(ret_mac, 18, "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", hex, hex + 2, hex + 4, hex + 6,
		 hex + 8, hex + 10);
	return 0;
}
