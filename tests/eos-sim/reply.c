// SPDX-License-Identifier: GPL-2.0-or-later
#include "reply.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc.h"

enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status, const char *type,
			   const char *body, const char *header, const char *value)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(body), (void *)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Server", "nginx");
	if (header)
		MHD_add_response_header(r, header, value);
	result = MHD_queue_response(connection, status, r);
	MHD_destroy_response(r);
	return result;
}

/* A body that is made while it is sent. */
struct stream {
	enum fault_kind kind;
	int fd;
	char *body;
	size_t size;	/* of body */
	uint64_t total; /* of what is sent */
	long delay_ms, step;
};

static void stream_free(void *p)
{
	struct stream *s = p;

	free(s->body);
	free(s);
}

/* RST, now: disconnecting a TCP socket that has not been closed sends one. */
static void reset_connection(int fd)
{
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	connect(fd, &nobody, sizeof(nobody));
}

static ssize_t stream_huge(const struct stream *s, uint64_t position, char *buffer, size_t size)
{
	static const char tail[] = "\"]}";
	size_t n = 0;

	for (; n < size && position < s->total; n++, position++) {
		uint64_t left = s->total - position;

		if (position < s->size)
			buffer[n] = s->body[position];
		else
			buffer[n] = left < sizeof(tail) ? tail[sizeof(tail) - 1 - left] : 'a';
	}
	return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t stream_read(void *p, uint64_t position, char *buffer, size_t size)
{
	struct stream *s = p;
	size_t left, n;

	if (s->kind == FAULT_HUGE)
		return stream_huge(s, position, buffer, size);
	if (s->kind == FAULT_RESET && position >= s->size / 2) {
		sleep_ms(20);
		reset_connection(s->fd);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	if (position >= s->size)
		return MHD_CONTENT_READER_END_OF_STREAM;
	left = s->kind == FAULT_RESET ? s->size / 2 - position : s->size - position;
	n = MIN_OF(left, size);
	if (s->kind == FAULT_DRIP) {
		sleep_ms(s->delay_ms);
		n = MIN_OF(n, (size_t)s->step);
	}
	memcpy(buffer, s->body + position, n);
	return (ssize_t)n;
}

static enum MHD_Result reply_stream(struct MHD_Connection *connection, int fd,
				    const struct fault *fault, char *body)
{
	struct stream *s = need(calloc(1, sizeof(*s)));
	struct MHD_Response *r;
	enum MHD_Result result;

	*s = (struct stream){ .kind = fault->kind,
			      .fd = fd,
			      .body = body,
			      .size = strlen(body),
			      .total = (uint64_t)fault->bytes,
			      .delay_ms = fault->delay_ms,
			      .step = fault->bytes > 0 ? fault->bytes : 1 };
	r = MHD_create_response_from_callback(fault->kind == FAULT_HUGE ? MHD_SIZE_UNKNOWN
									: s->size,
					      65536, stream_read, s, stream_free);
	MHD_add_response_header(r, "Content-Type", "application/json");
	result = MHD_queue_response(connection, 200, r);
	MHD_destroy_response(r);
	return result;
}

/* Waits without a word, until the time is over, the test wants no more of it, or the client has
 * gone. */
static void be_silent(struct sim *sim, const struct fault *fault, int fd, long ms)
{
	int64_t end = clock_ms() + ms;

	while (clock_ms() < end) {
		struct pollfd p = { fd, POLLRDHUP, 0 };
		bool active;

		if (fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR))
			return;
		pthread_mutex_lock(&sim->lock);
		active = fault_active(&sim->faults, fault->id) && !sim->stop;
		pthread_mutex_unlock(&sim->lock);
		if (!active)
			return;
		sleep_ms(10);
	}
}

static enum MHD_Result silence(struct sim *sim, int fd, struct json_object *request,
			       const struct fault *fault)
{
	struct rpc_plan plan = { .run_only = fault->applied, .fail_text = "" };

	/* The commands run in the end, whether or not the client still waits. */
	be_silent(sim, fault, -1, fault->delay_ms);
	if (plan.run_only != 0)
		json_object_put(rpc_run(sim, sim->knobs.user, request, &plan));
	be_silent(sim, fault, fd, fault->hold_ms);
	return MHD_NO;
}

/* The beginning of an answer to the request, up to the result. */
static char *answer_head(struct json_object *request)
{
	return format_text(
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":",
		json_object_to_json_string_ext(json_child(request, "id"), JSON_C_TO_STRING_PLAIN));
}

static char *hostile_body(struct json_object *request, const struct fault *fault)
{
	size_t depth = fault->kind == FAULT_DEEP ? (size_t)fault->bytes : 0;
	char *head = answer_head(request), *body = need(malloc(strlen(head) + 2 * depth + 3));
	size_t n = strlen(head);

	memcpy(body, head, n);
	memset(body + n, '[', depth);
	memset(body + n + depth, ']', depth);
	memcpy(body + n + 2 * depth, depth ? "}" : "[\"", depth ? 2 : 3);
	free(head);
	return body;
}

static void shorten(struct json_object *answer)
{
	struct json_object *result = json_child(answer, "result");
	size_t n =
		json_object_is_type(result, json_type_array) ? json_object_array_length(result) : 0;

	if (n > 0)
		json_object_array_del_idx(result, n - 1, 1);
}

static enum MHD_Result reply_status(struct MHD_Connection *connection, unsigned status)
{
	static const struct {
		unsigned status;
		const char *body;
	} pages[] = {
		{ 502, REPLY_HTML("502 Bad Gateway") },
		{ 503, REPLY_HTML("503 Service Temporarily Unavailable") },
		{ 504, REPLY_HTML("504 Gateway Time-out") },
		{ 500, REPLY_HTML("500 Internal Server Error") },
		{ 403, REPLY_HTML("403 Forbidden") },
		{ 404, REPLY_HTML("404 Not Found") },
		{ 200, REPLY_HTML("Welcome to a printer") },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(pages); i++) {
		if (pages[i].status == status)
			return reply_text(connection, status, "text/html", pages[i].body, NULL,
					  NULL);
	}
	return reply_text(connection, status, "text/html", REPLY_HTML("Something else"), NULL,
			  NULL);
}

/* Faults for which no command runs. */
static bool before_commands(struct MHD_Connection *connection, int fd, struct json_object *request,
			    const struct fault *fault, enum MHD_Result *ret)
{
	switch ((int)fault->kind) {
	case FAULT_STATUS:
		*ret = reply_status(connection, (unsigned)fault->status);
		return true;
	case FAULT_REDIRECT:
		*ret = reply_text(connection, 302, "text/html", REPLY_HTML("302 Found"), "Location",
				  fault->text);
		return true;
	case FAULT_DEEP:
	case FAULT_HUGE:
		*ret = reply_stream(connection, fd, fault, hostile_body(request, fault));
		return true;
	case FAULT_TYPES:
		*ret = reply_text(
			connection, 200, "application/json",
			*fault->text
				? fault->text
				: "{\"jsonrpc\":2,\"id\":[],\"result\":{\"0\":[5,\"x\",null]}}",
			NULL, NULL);
		return true;
	default:
		return false;
	}
}

enum MHD_Result reply_to_commands(struct sim *sim, struct MHD_Connection *connection, int fd,
				  struct json_object *request, const struct fault *fault)
{
	struct rpc_plan plan = { .run_only = -1, .fail_text = "" };
	struct json_object *answer;
	enum MHD_Result result;
	char *body;

	if (fault->kind == FAULT_SILENCE)
		return silence(sim, fd, request, fault);
	if (before_commands(connection, fd, request, fault, &result))
		return result;
	if (fault->kind == FAULT_FAIL)
		plan = (struct rpc_plan){ -1, fault->at, (int)fault->code, fault->text };
	if (fault->kind == FAULT_CRASH)
		plan.run_only = fault->at;
	answer = rpc_run(sim, sim->knobs.user, request, &plan);
	if (fault->kind == FAULT_CRASH || !answer) {
		json_object_put(answer);
		return reply_status(connection, 502);
	}
	if (fault->kind == FAULT_SHORT)
		shorten(answer);
	if (fault->kind == FAULT_FOREIGN_ID)
		json_put_text(answer, "id", "somebody else's");
	body = copy_text(json_object_to_json_string_ext(
		answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(answer);
	if (fault->kind == FAULT_RESET || fault->kind == FAULT_DRIP)
		return reply_stream(connection, fd, fault, body);
	if (fault->kind == FAULT_TRUNCATE)
		body[strlen(body) / 2] = '\0';
	result = reply_text(connection, 200, "application/json", body, NULL, NULL);
	free(body);
	return result;
}
