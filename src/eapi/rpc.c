// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/rpc.h"

#include <errno.h>
#include <string.h>

bool rpc_request(const struct rpc_options *o, uint64_t id, const struct commands *c,
		 struct strbuf *b)
{
	const char *version = o->config->api_version;
	bool number = version[0] >= '0' && version[0] <= '9' && version[1] == '\0';

	strbuf_addf(b,
		    "{\"jsonrpc\":\"2.0\",\"method\":\"runCmds\",\"id\":\"fp-%llu\",\"params\":{"
		    "\"version\":",
		    (unsigned long long)id);
	if (number)
		strbuf_adds(b, version);
	else
		strbuf_add_json(b, version);
	strbuf_addf(b, ",\"format\":\"%s\"", o->text ? "text" : "json");
	if (o->config->api_timestamps && !o->plain)
		strbuf_adds(b, ",\"timestamps\":true");
	strbuf_adds(b, ",\"cmds\":[");
	for (size_t i = 0; i < c->n; i++) {
		const char *command = commands_get(c, i);

		if (i > 0)
			strbuf_add(b, ",", 1);
		if (o->enable_password && strcmp(command, "enable") == 0) {
			strbuf_adds(b, "{\"cmd\":\"enable\",\"input\":");
			strbuf_add_json(b, o->enable_password);
			strbuf_add(b, "}", 1);
		} else {
			strbuf_add_json(b, command);
		}
	}
	strbuf_adds(b, "]}}");
	return !b->failed && !c->failed;
}

static void set_message(struct rpc_answer *a, const char *text)
{
	char *input;

	eapi_clean_text(text, a->message, sizeof(a->message));
	/* The switch repeats what it was given for a prompt. */
	input = strstr(a->message, "input=");
	if (input)
		snprintf(input, sizeof(a->message) - (size_t)(input - a->message), "input=...");
}

/* "CLI command 7 of 16 '...' failed: ..." -> 6; -1 where it says nothing of the kind. */
static int64_t place_in(const char *message)
{
	unsigned long long at, of;

	if (!message || sscanf(message, "CLI command %10llu of %10llu ", &at, &of) != 2 || at < 1 ||
	    at > of)
		return -1;
	return (int64_t)at - 1;
}

static const char *first_error(struct json_object *data)
{
	size_t n = data ? json_object_array_length(data) : 0;
	struct json_object *errors =
		n ? eapi_json_get(json_object_array_get_idx(data, n - 1), "errors") : NULL;

	if (!json_object_is_type(errors, json_type_array) || json_object_array_length(errors) == 0)
		return NULL;
	return eapi_json_text(json_object_array_get_idx(errors, 0));
}

static void read_error(struct json_object *error, size_t n_commands, struct rpc_answer *a)
{
	const char *message = eapi_json_text(eapi_json_get(error, "message")), *first;
	struct json_object *data = eapi_json_get(error, "data");
	int64_t code = 0, place = place_in(message);
	size_t n;

	if (!json_object_is_type(data, json_type_array))
		data = NULL;
	n = data ? json_object_array_length(data) : 0;
	first = first_error(data);
	eapi_json_int(eapi_json_get(error, "code"), INT32_MIN, INT32_MAX, &code);
	a->code = (int)code;
	set_message(a, first ? first : message ? message : "an error without a message");
	/* Requests that were not understood: JSON-RPC's own codes. */
	if (code <= -32600 && code >= -32700 && n == 0) {
		a->outcome = RPC_REFUSED;
		return;
	}
	if (n > 0 && place >= 0 && (size_t)place + 1 != n)
		return; /* it contradicts itself */
	if (n > 0)
		place = (int64_t)n - 1;
	/* Without data nobody can say that the commands before it were done, unless there are none.
	 */
	if (place < 0 || (size_t)place >= n_commands || (n == 0 && place > 0))
		return;
	a->outcome = RPC_FAILED;
	a->failed_at = (size_t)place;
	a->results = data;
}

static void read_duration(struct rpc_answer *a)
{
	size_t n = json_object_array_length(a->results);

	for (size_t i = 0; i < n; i++) {
		struct json_object *meta =
			eapi_json_get(json_object_array_get_idx(a->results, i), "_meta");
		double d;

		if (eapi_json_double(eapi_json_get(meta, "execDuration"), &d) && d >= 0 && d < 3600)
			a->duration_s += d;
	}
}

void rpc_parse(const char *text, size_t len, uint64_t id, size_t n_commands,
	       struct rpc_answer *ret_answer)
{
	struct rpc_answer *a = ret_answer;
	struct json_object *result, *error;
	char expected[32];
	const char *echo;
	int r;

	*a = (struct rpc_answer){ .outcome = RPC_UNKNOWN };
	r = eapi_json_parse(text, len, &a->whole);
	if (r < 0) {
		set_message(a, r == -E2BIG ? "its answer is too large or too deep"
					   : "its answer is not JSON");
		return;
	}
	snprintf(expected, sizeof(expected), "fp-%llu", (unsigned long long)id);
	echo = eapi_json_text(eapi_json_get(a->whole, "id"));
	error = eapi_json_get(a->whole, "error");
	result = eapi_json_get(a->whole, "result");
	set_message(a, "its answer is not one of eAPI");
	if (json_object_is_type(error, json_type_object)) {
		/* A request that could not be parsed is answered without its id. */
		if (echo && strcmp(echo, expected) != 0)
			return;
		read_error(error, n_commands, a);
		return;
	}
	if (!echo || strcmp(echo, expected) != 0 || !json_object_is_type(result, json_type_array))
		return;
	if (json_object_array_length(result) != n_commands) {
		set_message(a, "it answered fewer or more commands than it was given");
		return;
	}
	a->outcome = RPC_OK;
	a->results = result;
	a->message[0] = '\0';
	read_duration(a);
}

void rpc_answer_free(struct rpc_answer *a)
{
	json_object_put(a->whole);
	*a = (struct rpc_answer){ 0 };
}

struct json_object *rpc_result(const struct rpc_answer *a, size_t i, struct json_object **hold)
{
	struct json_object *o;
	const char *text;

	if (!a->results || i >= json_object_array_length(a->results))
		return NULL;
	o = json_object_array_get_idx(a->results, i);
	text = eapi_json_text(o);
	if (text && eapi_json_parse(text, strlen(text), hold) == 0)
		return *hold;
	return o;
}

const char *rpc_text(const struct rpc_answer *a, size_t i, struct json_object **hold)
{
	struct json_object *o = rpc_result(a, i, hold);

	return eapi_json_text(o) ? eapi_json_text(o) : eapi_json_text(eapi_json_get(o, "output"));
}
