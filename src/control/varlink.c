// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "control/internal.h"
#include "control/json.h"

/* The service interface that every varlink server has (varlink.org/Service). */
static const char service_description[] =
	"# What a varlink server says about itself.\n"
	"interface " VARLINK_SERVICE "\n"
	"\n"
	"method GetInfo() -> (\n"
	"\tvendor: string, product: string, version: string, url: string,\n"
	"\tinterfaces: []string\n"
	")\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n";

static void get_info(struct control_call *c, struct json_object *params _unused_, void *arg)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	const struct control_server *s = arg;
	const struct {
		const char *key, *value;
	} rows[] = {
		{ "{\"vendor\":", s->options.vendor },	  { ",\"product\":", s->options.product },
		{ ",\"version\":", s->options.version },  { ",\"url\":", "" },
		{ ",\"interfaces\":[", VARLINK_SERVICE }, { ",", s->interface_name },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		strbuf_adds(&b, rows[i].key);
		strbuf_add_json(&b, rows[i].value ? rows[i].value : "");
	}
	strbuf_adds(&b, "]}");
	control_reply_text(c, &b);
}

static void get_description(struct control_call *c, struct json_object *params, void *arg)
{
	const struct control_server *s = arg;
	const struct {
		const char *name, *description;
	} rows[] = { { VARLINK_SERVICE, service_description },
		     { s->interface_name, s->options.interface } };
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct json_object *name;

	if (!json_object_object_get_ex(params, "interface", &name) ||
	    !json_object_is_type(name, json_type_string)) {
		control_invalid_parameter(c, "interface");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].name, json_object_get_string(name)) != 0)
			continue;
		strbuf_adds(&b, "{\"description\":");
		strbuf_add_json(&b, rows[i].description);
		strbuf_adds(&b, "}");
		control_reply_text(c, &b);
		return;
	}
	call_error(c, VARLINK_SERVICE ".InterfaceNotFound", "interface",
		   json_object_get_string(name));
}

static const struct control_method service_methods[] = {
	{ VARLINK_SERVICE ".GetInfo", CONTROL_READ, false, get_info },
	{ VARLINK_SERVICE ".GetInterfaceDescription", CONTROL_READ, false, get_description },
	{ NULL, CONTROL_READ, false, NULL },
};

int varlink_interface_name(const char *description, char **ret_name)
{
	static const char word[] = "interface ";
	const char *line = description;
	char *name;

	while (line && strncmp(line, word, strlen(word)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return -EINVAL;
	line += strlen(word);
	name = strndup(line, strcspn(line, " \t\r\n"));
	if (!name)
		return -ENOMEM;
	*ret_name = name;
	return 0;
}

static const struct control_method *method_find(const struct control_method *table,
						const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static void method_unknown(struct control_call *c, const char *name)
{
	const struct control_server *s = c->client->server;
	const char *dot = strrchr(name, '.');
	_cleanup_(freep) char *interface = dot ? strndup(name, (size_t)(dot - name)) : NULL;

	if (interface && strcmp(interface, s->interface_name) != 0 &&
	    strcmp(interface, VARLINK_SERVICE) != 0)
		call_error(c, VARLINK_SERVICE ".InterfaceNotFound", "interface", interface);
	else
		call_error(c, VARLINK_SERVICE ".MethodNotFound", "method", name);
}

static bool access_allowed(const struct control_client *cl, enum control_access access)
{
	switch (access) {
	case CONTROL_READ:
		return true;
	case CONTROL_ADMIN:
		return cl->admin;
	}
	return false;
}

static void call_dispatch(struct control_call *c, const char *name, struct json_object *params)
{
	struct control_server *s = c->client->server;
	const struct control_method *m = method_find(service_methods, name);
	void *arg = m ? s : s->options.arg;

	if (!m)
		m = method_find(s->options.methods, name);
	if (!m) {
		method_unknown(c, name);
		return;
	}
	if (!access_allowed(c->client, m->access)) {
		s->stats.refused++;
		control_error(c, "PermissionDenied",
			      "%s is for uid 0 and members of the admin group", name);
		return;
	}
	c->more = c->more && m->more;
	m->fn(c, params, arg);
}

/* Reads an optional flag of the envelope. */
static int flag_get(struct json_object *call, const char *name, bool *ret_flag)
{
	struct json_object *o;

	if (!json_object_object_get_ex(call, name, &o)) {
		*ret_flag = false;
		return 0;
	}
	if (!json_object_is_type(o, json_type_boolean))
		return -EBADMSG;
	*ret_flag = json_object_get_boolean(o);
	return 0;
}

int varlink_serve(struct control_client *cl, const char *text, size_t len)
{
	_cleanup_(json_object_putp) struct json_object *call = NULL, *none = NULL;
	struct control_call *c = &cl->call;
	struct json_object *method, *params;
	bool more, oneway, upgrade;
	int r;

	r = control_json_parse(text, len, CONTROL_DEPTH_MAX, &call);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(call, "method", &method) ||
	    !json_object_is_type(method, json_type_string) || flag_get(call, "more", &more) < 0 ||
	    flag_get(call, "oneway", &oneway) < 0 || flag_get(call, "upgrade", &upgrade) < 0)
		return -EBADMSG;
	if (!json_object_object_get_ex(call, "parameters", &params) || !params) {
		none = json_object_new_object();
		if (!none)
			return -ENOMEM;
		params = none;
	}
	*c = (struct control_call){
		.client = cl, .active = true, .more = more && !oneway, .oneway = oneway
	};
	if (upgrade)
		call_error(c, VARLINK_SERVICE ".MethodNotImplemented", "method",
			   json_object_get_string(method));
	else if (!json_object_is_type(params, json_type_object))
		control_invalid_parameter(c, "parameters");
	else
		call_dispatch(c, json_object_get_string(method), params);
	return 0;
}
