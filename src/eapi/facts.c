// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/facts.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include "eapi/topology.h"

static void read_text(struct json_object *model, const char *key, char *buf, size_t size)
{
	const char *text = eapi_json_text(eapi_json_get(model, key));

	eapi_clean_text(text ? text : "", buf, size);
}

bool version_read(struct json_object *model, struct version_facts *ret_facts)
{
	struct version_facts f = { .boot = -1, .uptime = -1 };

	read_text(model, "version", f.version, sizeof(f.version));
	read_text(model, "modelName", f.model, sizeof(f.model));
	read_text(model, "serialNumber", f.serial, sizeof(f.serial));
	if (f.version[0] == '\0' && f.model[0] == '\0')
		return false;
	if (!eapi_json_double(eapi_json_get(model, "bootupTimestamp"), &f.boot) || f.boot < 0)
		f.boot = -1;
	if (!eapi_json_double(eapi_json_get(model, "uptime"), &f.uptime) || f.uptime < 0)
		f.uptime = -1;
	*ret_facts = f;
	return true;
}

bool version_rebooted(const struct version_facts *before, const struct version_facts *now,
		      double elapsed_s)
{
	/* Another machine at the same address, or another image: never the same boot. */
	if (strcmp(before->serial, now->serial) != 0 || strcmp(before->version, now->version) != 0)
		return true;
	if (before->uptime >= 0 && now->uptime >= 0) {
		if (now->uptime < before->uptime)
			return true;
		/* It was away, and is up for longer than before by now: its uptime lags behind
		 * ours. */
		return before->uptime + elapsed_s - now->uptime > 60 &&
		       (before->boot < 0 || now->boot < 0 || now->boot - before->boot > 60);
	}
	return before->boot >= 0 && now->boot >= 0 && fabs(now->boot - before->boot) > 60;
}

bool tcam_read(const char *text, uint32_t *ret_used, uint32_t *ret_more)
{
	static const char *const labels[] = { "DirectFlow", "OpenFlow" };
	unsigned long group, used, more;
	bool have = false;

	/* The line of the group comes before those of its users. */
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *word = line + strspn(line, " \t");

		if (sscanf(word, "TCAM group %9lu uses %9lu entries and can use up to %9lu more",
			   &group, &used, &more) == 3) {
			have = true;
			continue;
		}
		for (size_t i = 0; have && i < ARRAY_SIZE(labels); i++) {
			size_t n = strlen(labels[i]);

			if (strncmp(word, labels[i], n) != 0 || strncmp(word + n, " uses ", 6) != 0)
				continue;
			*ret_used = (uint32_t)used;
			*ret_more = (uint32_t)more;
			return true;
		}
	}
	return false;
}

static const char *path_text(const struct switch_config *s, struct json_object *result)
{
	struct json_object *o = eapi_json_get(result, s->lookup_key);

	if (json_object_is_type(o, json_type_array) && json_object_array_length(o) == 1)
		o = json_object_array_get_idx(o, 0);
	return eapi_json_text(o);
}

int path_read(const struct switch_config *s, struct json_object *result, char *ret_interface)
{
	const char *name = path_text(s, result),
		   *output = eapi_json_text(eapi_json_get(result, "output"));
	char word[INTERFACE_NAME];
	size_t n;

	if (!name && output) {
		name = strcasestr(output, "interface:");
		name = name ? name + strlen("interface:") : NULL;
	}
	if ((name && s->lookup_failure[0] && strcasestr(name, s->lookup_failure)) ||
	    (output && s->lookup_failure[0] && strcasestr(output, s->lookup_failure)))
		return -ENODATA;
	if (!name)
		return -EBADMSG;
	name += strspn(name, " \t");
	n = strcspn(name, " \t\r\n,");
	if (n == 0)
		return -ENODATA;
	if (n >= sizeof(word))
		return -EBADMSG;
	memcpy(word, name, n);
	word[n] = '\0';
	interface_normalize(word, ret_interface);
	return 0;
}
