// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct run {
	struct sim *sim;
	struct json_object *cmds, *data;
	size_t n, failed; /* failed: from 1 */
	int code;
	bool json, timestamps, stops;
	char *failed_command, *failed_input;
};

struct json_object *rpc_commands(struct json_object *request)
{
	struct json_object *cmds = json_child(json_child(request, "params"), "cmds");

	return json_object_is_type(cmds, json_type_array) ? cmds : NULL;
}

static const char *command_of(struct json_object *cmd, const char **ret_input)
{
	*ret_input = NULL;
	if (json_object_is_type(cmd, json_type_string))
		return json_object_get_string(cmd);
	*ret_input = json_text(cmd, "input", NULL);
	return json_text(cmd, "cmd", NULL);
}

bool rpc_writes(struct json_object *cmds)
{
	for (size_t i = 0; i < json_object_array_length(cmds); i++) {
		const char *input,
			*command = command_of(json_object_array_get_idx(cmds, i), &input);

		if (command && cli_writes(command))
			return true;
	}
	return false;
}

static struct json_object *envelope(struct json_object *request)
{
	struct json_object *answer = json_object_new_object();

	json_put_text(answer, "jsonrpc", "2.0");
	json_object_object_add(answer, "id", json_object_get(json_child(request, "id")));
	return answer;
}

static struct json_object *refuse(struct json_object *request, int code, char *message)
{
	struct json_object *answer = envelope(request), *error = json_object_new_object();

	json_put_number(error, "code", code);
	json_put_text(error, "message", message);
	free(message);
	json_object_object_add(answer, "error", error);
	return answer;
}

/* Models as later versions, or other clients of the same box, have seen them. Returns what to use
 * in place of the value. */
static struct json_object *disguise(const struct knobs *k, struct json_object *value)
{
	if (json_object_is_type(value, json_type_int) && k->numbers_as_strings) {
		struct json_object *text = json_object_new_string(json_object_get_string(value));

		json_object_put(value);
		return text;
	}
	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			json_object_array_put_idx(
				value, i,
				disguise(k, json_object_get(json_object_array_get_idx(value, i))));
	}
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, child)
			json_object_object_add(value, key, disguise(k, json_object_get(child)));
		if (k->extra_keys && json_object_object_length(value) > 0)
			json_object_object_add(
				value, "sinceTomorrow",
				json_tokener_parse("{\"list\":[1,null,{\"a\":\"b\"}]}"));
	}
	return value;
}

/* Maps with keys from the outside (routes, interfaces, status) would be falsified by a key more, so
 * the disguise of status is undone. */
static void keep_maps_clean(struct json_object *model)
{
	struct json_object *maps[] = { json_child(json_child(model, "details"), "status"),
				       json_child(model, "interfaceStatuses"),
				       json_child(json_child(json_child(model, "vrfs"), "default"),
						  "routes"),
				       json_child(model, "vrfs"), json_child(model, "routes") };

	for (size_t i = 0; i < ARRAY_LENGTH(maps); i++) {
		if (maps[i])
			json_object_object_del(maps[i], "sinceTomorrow");
	}
}

static struct json_object *result_of(struct run *r, struct cli *c, bool writes)
{
	const struct knobs *k = &r->sim->knobs;
	struct json_object *o;

	if (!r->json) {
		o = json_object_new_object();
		json_put_text(o, "output", c->output ? c->output : "");
		return o;
	}
	o = c->model ? json_object_get(c->model) : json_object_new_object();
	if (k->numbers_as_strings || k->extra_keys)
		o = disguise(k, o);
	keep_maps_clean(o);
	if (writes && k->config_messages && !c->error && json_object_object_length(o) == 0)
		json_object_object_add(o, "messages", json_object_new_array());
	return o;
}

static struct json_object *failed_result(struct run *r, struct cli *c)
{
	struct json_object *o = json_object_new_object(), *errors = json_object_new_array();

	json_append_text(errors, c->error);
	json_object_object_add(o, "errors", errors);
	if (!r->json) {
		char *output = format_text("%s%% %s\n", c->output ? c->output : "", c->error);

		json_put_text(o, "output", output);
		free(output);
	}
	return o;
}

static void add_meta(struct json_object *o, int64_t began)
{
	struct json_object *meta = json_object_new_object();

	json_object_object_add(meta, "execStartTime", json_object_new_double((double)began / 1000));
	json_object_object_add(meta, "execDuration",
			       json_object_new_double((double)(wall_ms() - began) / 1000));
	json_object_object_add(o, "_meta", meta);
}

/* One command, from its latency to its place in the data. */
static void run_one(struct run *r, struct cli *c, size_t i, const struct rpc_plan *plan)
{
	const char *input, *command = command_of(json_object_array_get_idx(r->cmds, i), &input);
	bool writes = command && cli_writes(command),
	     queues = r->sim->knobs.serialize == SERIALIZE_COMMAND;
	long at = plan->fail_at < 0 ? (long)r->n + plan->fail_at + 1 : plan->fail_at;
	int64_t began = wall_ms();
	struct json_object *o;

	if (queues)
		pthread_mutex_lock(&r->sim->agent);
	sleep_ms(writes ? r->sim->knobs.write_ms : r->sim->knobs.read_ms);
	pthread_mutex_lock(&r->sim->lock);
	if (at == (long)i + 1) {
		cli_fail(c, plan->fail_code, "%s",
			 *plan->fail_text ? plan->fail_text : "Injected failure");
		journal_add(r->sim, c->request, c->user, command ? command : "", c->code);
	} else {
		cli_run(c, command ? command : "", input);
	}
	o = c->error ? failed_result(r, c) : result_of(r, c, writes);
	if (c->error && !r->code) {
		r->code = c->code;
		r->failed = i + 1;
		r->failed_command = copy_text(command ? command : "");
		r->failed_input = input ? copy_text(input) : NULL;
	}
	pthread_mutex_unlock(&r->sim->lock);
	if (queues)
		pthread_mutex_unlock(&r->sim->agent);
	if (r->timestamps)
		add_meta(o, began);
	if (r->json && r->sim->knobs.results_as_strings && !c->error &&
	    json_object_object_length(o) > 0) {
		struct json_object *text = json_object_new_string(
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));

		json_object_put(o);
		o = text;
	}
	json_object_array_add(r->data, o);
	json_object_put(c->model);
	free(c->output);
	free(c->error);
	c->model = NULL;
	c->output = c->error = NULL;
}

static const char *reason_of(int code)
{
	static const char *const words[] = {
		"could not run command", "internal error",	 "invalid command",
		"unconverted command",	 "incompatible command", "permission to run command denied"
	};

	return code >= 1000 && code <= 1005 ? words[code - 1000] : "could not run command";
}

/* NULL, or what is wrong with the parameters. */
static char *check_params(const struct sim *sim, struct json_object *params)
{
	static const char *const old_names[] = { "version", "format", "cmds" };
	static const char *const new_names[] = { "timestamps", "autoComplete", "expandAliases",
						 "stopOnError", "includeErrorDetail" };
	struct json_object *version = json_child(params, "version");
	const char *format = json_text(params, "format", "json");

	json_object_object_foreach(params, key, value)
	{
		bool known = false;

		(void)value;
		for (size_t i = 0; i < ARRAY_LENGTH(old_names); i++)
			known |= strcmp(old_names[i], key) == 0;
		for (size_t i = 0; sim->knobs.new_params && i < ARRAY_LENGTH(new_names); i++)
			known |= strcmp(new_names[i], key) == 0;
		if (!known && sim->knobs.param_text == PARAM_UNEXPECTED)
			return format_text(
				"Unexpected parameter '%s' for method 'runCmds' provided", key);
		if (!known)
			return format_text("runCmds() got an unexpected keyword argument '%s'",
					   key);
	}
	if (!(json_object_is_type(version, json_type_int) && json_object_get_int64(version) == 1) &&
	    strcmp(json_text(params, "version", ""), "latest") != 0)
		return copy_text("Invalid parameter 'version' for method 'runCmds' provided");
	if (strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
		return copy_text("Invalid parameter 'format' for method 'runCmds' provided");
	if (!json_object_is_type(json_child(params, "cmds"), json_type_array))
		return copy_text("Missing parameter 'cmds' for method 'runCmds'");
	return NULL;
}

static struct json_object *failure(struct json_object *request, struct run *r)
{
	struct json_object *answer;
	char *message;

	/* EOS repeats what was typed at a prompt when authorization fails: passwords too. */
	if (r->code == 1005 && r->failed_input)
		message =
			format_text("CLI command %zu of %zu '%s' input='%s' failed: %s", r->failed,
				    r->n, r->failed_command, r->failed_input, reason_of(r->code));
	else
		message = format_text("CLI command %zu of %zu '%s' failed: %s", r->failed, r->n,
				      r->failed_command, reason_of(r->code));
	answer = refuse(request, r->code, message);
	json_object_object_add(json_child(answer, "error"), "data", json_object_get(r->data));
	return answer;
}

static struct json_object *run_cmds(struct sim *sim, const char *user, struct json_object *request,
				    const struct rpc_plan *plan)
{
	struct json_object *params = json_child(request, "params"), *answer = NULL;
	struct run r = { .sim = sim,
			 .cmds = rpc_commands(request),
			 .data = json_object_new_array() };
	long limit = plan->run_only;
	struct cli c;

	r.n = json_object_array_length(r.cmds);
	r.json = strcmp(json_text(params, "format", "json"), "json") == 0;
	r.timestamps = json_flag(params, "timestamps", false);
	r.stops = json_flag(params, "stopOnError", true);
	pthread_mutex_lock(&sim->lock);
	cli_init(&c, sim, user, r.json);
	c.request = sim->counters.requests;
	c.auto_complete = json_flag(params, "autoComplete", false);
	pthread_mutex_unlock(&sim->lock);
	for (size_t i = 0; i < r.n && (limit < 0 || (long)i < limit) && !(r.code && r.stops); i++)
		run_one(&r, &c, i, plan);
	pthread_mutex_lock(&sim->lock);
	cli_end(&c, r.code != 0 || (limit >= 0 && limit < (long)r.n));
	pthread_mutex_unlock(&sim->lock);
	if (limit >= 0 && limit < (long)r.n) {
		answer = NULL;
	} else if (r.code) {
		answer = failure(request, &r);
	} else {
		answer = envelope(request);
		json_object_object_add(answer, "result", json_object_get(r.data));
	}
	json_object_put(r.data);
	free(r.failed_command);
	free(r.failed_input);
	return answer;
}

struct json_object *rpc_run(struct sim *sim, const char *user, struct json_object *request,
			    const struct rpc_plan *plan)
{
	bool queues = sim->knobs.serialize == SERIALIZE_REQUEST;
	struct json_object *answer, *params = json_child(request, "params");
	const char *method = json_text(request, "method", NULL);
	char *wrong;

	if (!request)
		return refuse(NULL, -32700, copy_text("Parse error"));
	if (strcmp(json_text(request, "jsonrpc", ""), "2.0") != 0 || !method)
		return refuse(request, -32600, copy_text("Invalid request"));
	if (strcmp(method, "runCmds") != 0)
		return refuse(request, -32601, format_text("Method '%s' not found", method));
	if (!json_object_is_type(params, json_type_object))
		return refuse(request, -32602, copy_text("Invalid params"));
	wrong = check_params(sim, params);
	if (wrong)
		return refuse(request, -32602, wrong);
	if (queues)
		pthread_mutex_lock(&sim->agent);
	answer = run_cmds(sim, user, request, plan);
	if (queues)
		pthread_mutex_unlock(&sim->agent);
	return answer;
}
