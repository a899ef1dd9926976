// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/strbuf.h"
#include "eapi/http_internal.h"
#include "eapi/json.h"

#define HEADERS_MAX (64 * 1024)

enum stage { STAGE_IDLE, STAGE_LOGIN, STAGE_REQUEST };

struct http_conn {
	struct http *http;
	const struct switch_config *config;
	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	char login_url[SWITCH_TEXT + 8];
	enum stage stage;
	bool again;	       /* the session was renewed for this request already */
	char cookie[512];      /* "Session=..." */
	struct strbuf request; /* of the caller */
	struct strbuf login;
	struct strbuf body;
	size_t header_bytes;
	bool too_large;
	uint64_t begin_ms;
	void (*done)(const struct http_answer *a, void *arg);
	void *arg;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_conn *c = arg;

	if (c->body.len + size * n > c->config->answer_max) {
		c->too_large = true;
		return 0;
	}
	strbuf_add(&c->body, data, size * n);
	return c->body.failed ? 0 : size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	static const char set[] = "set-cookie:";
	struct http_conn *c = arg;
	size_t len = size * n, i = sizeof(set) - 1, end;

	c->header_bytes += len;
	if (c->header_bytes > HEADERS_MAX) {
		c->too_large = true;
		return 0;
	}
	if (c->stage != STAGE_LOGIN || len < sizeof(set) ||
	    strncasecmp(data, set, sizeof(set) - 1) != 0)
		return len;
	while (i < len && data[i] == ' ')
		i++;
	if (len - i < 8 || strncmp(data + i, "Session=", 8) != 0)
		return len;
	for (end = i; end < len && data[end] > ' ' && data[end] != ';';)
		end++;
	if (end - i < sizeof(c->cookie)) {
		memcpy(c->cookie, data + i, end - i);
		c->cookie[end - i] = '\0';
	}
	return len;
}

struct http_conn *http_conn_free(struct http_conn *c)
{
	if (!c)
		return NULL;
	if (c->easy && c->stage != STAGE_IDLE)
		curl_multi_remove_handle(c->http->multi, c->easy);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	strbuf_free(&c->request);
	if (c->login.data)
		explicit_bzero(c->login.data, c->login.cap);
	strbuf_free(&c->login);
	strbuf_free(&c->body);
	free(c);
	return NULL;
}

/* libcurl's options that say what this program never does. */
static CURLcode set_never(CURL *easy, bool allow_http)
{
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
		{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
		{ CURLOPT_TCP_KEEPALIVE, 1 },
		{ CURLOPT_SSL_VERIFYHOST, 2 },
		{ CURLOPT_SSL_VERIFYPEER, 1 },
		{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
	};
	CURLcode r = curl_easy_setopt(easy, CURLOPT_PROXY, "");

	for (size_t i = 0; i < ARRAY_SIZE(numbers) && r == CURLE_OK; i++)
		r = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
	if (r == CURLE_OK)
		r = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
				     allow_http ? "http,https" : "https");
	return r;
}

static CURLcode set_trust(CURL *easy, const struct switch_config *s)
{
	CURLcode r = CURLE_OK;

	if (s->ca_file[0])
		r = curl_easy_setopt(easy, CURLOPT_CAINFO, s->ca_file);
	if (r == CURLE_OK && s->tls_pin[0])
		r = curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, s->tls_pin);
	/* A pinned key says more than any name in a certificate that the switch signed itself. */
	if (r == CURLE_OK && s->tls_pin[0] && !s->ca_file[0]) {
		r = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		if (r == CURLE_OK)
			r = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return r;
}

static CURLcode set_handlers(struct http_conn *c)
{
	const struct {
		CURLoption option;
		void *value;
	} pointers[] = {
		{ CURLOPT_PRIVATE, c },
		{ CURLOPT_ERRORBUFFER, c->error },
		{ CURLOPT_WRITEDATA, c },
		{ CURLOPT_HEADERDATA, c },
	};
	CURLcode r = curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);

	if (r == CURLE_OK)
		r = curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
	for (size_t i = 0; i < ARRAY_SIZE(pointers) && r == CURLE_OK; i++)
		r = curl_easy_setopt(c->easy, pointers[i].option, pointers[i].value);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS,
				     (long)c->config->connect_timeout_ms);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
				     (long)c->config->request_timeout_ms);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "flowpin");
	return r;
}

int http_conn_new(struct http *h, const struct switch_config *config, struct http_conn **ret_conn,
		  struct err *e)
{
	_cleanup_(http_conn_freep) struct http_conn *c = calloc(1, sizeof(*c));
	const char *host = strstr(config->url, "//");
	CURLcode r;

	if (!c || !(c->easy = curl_easy_init()))
		return err_set(e, -ENOMEM, "out of memory");
	c->http = h;
	c->config = config;
	snprintf(c->login_url, sizeof(c->login_url), "%.*s/login",
		 (int)((host ? host + 2 + strcspn(host + 2, "/") : config->url) - config->url),
		 config->url);
	r = set_never(c->easy, config->allow_http);
	if (r == CURLE_OK)
		r = set_trust(c->easy, config);
	if (r == CURLE_OK)
		r = set_handlers(c);
	if (r != CURLE_OK)
		return err_set(e, -EINVAL, "libcurl refuses a setting: %s", curl_easy_strerror(r));
	*ret_conn = TAKE_PTR(c);
	return 0;
}

static int set_headers(struct http_conn *c, bool with_cookie)
{
	char line[sizeof(c->cookie) + 16];
	struct curl_slist *list = NULL, *longer;
	const char *const lines[] = { "Content-Type: application/json",
				      "Expect:", with_cookie ? line : NULL };

	snprintf(line, sizeof(line), "Cookie: %s", c->cookie);
	for (size_t i = 0; i < ARRAY_SIZE(lines) && lines[i]; i++) {
		longer = curl_slist_append(list, lines[i]);
		if (!longer) {
			curl_slist_free_all(list);
			return -ENOMEM;
		}
		list = longer;
	}
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, list);
	curl_slist_free_all(c->headers);
	c->headers = list;
	return 0;
}

/* Hands one transfer to libcurl. */
static int begin(struct http_conn *c, enum stage stage)
{
	const struct strbuf *body = stage == STAGE_LOGIN ? &c->login : &c->request;

	if (set_headers(c, stage == STAGE_REQUEST && c->cookie[0]) < 0)
		return -ENOMEM;
	strbuf_reset(&c->body);
	c->header_bytes = 0;
	c->too_large = false;
	c->error[0] = '\0';
	if (curl_easy_setopt(c->easy, CURLOPT_URL,
			     stage == STAGE_LOGIN ? c->login_url : c->config->url) != CURLE_OK)
		return -ENOMEM;
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, body->data);
	c->stage = stage;
	if (curl_multi_add_handle(c->http->multi, c->easy) != CURLM_OK) {
		c->stage = STAGE_IDLE;
		return -ENOMEM;
	}
	return 0;
}

/* Gives libcurl the login of this request, from the file as it is now. */
static int set_login(struct http_conn *c, struct err *e)
{
	const struct switch_config *s = c->config;
	char password[SECRET_MAX];
	int r;

	if (s->username[0] == '\0')
		return 0;
	r = secret_read(s->password_file, password, e);
	if (r < 0)
		return r;
	if (s->auth == SWITCH_AUTH_SESSION) {
		strbuf_reset(&c->login);
		strbuf_adds(&c->login, "{\"username\":");
		strbuf_add_json(&c->login, s->username);
		strbuf_adds(&c->login, ",\"password\":");
		strbuf_add_json(&c->login, password);
		strbuf_adds(&c->login, "}");
		r = c->login.failed ? -ENOMEM : 0;
	} else {
		curl_easy_setopt(c->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(c->easy, CURLOPT_USERNAME, s->username);
		curl_easy_setopt(c->easy, CURLOPT_PASSWORD, password);
	}
	secret_wipe(password);
	return r;
}

int http_conn_post(struct http_conn *c, const char *body, size_t len,
		   void (*done)(const struct http_answer *a, void *arg), void *arg, struct err *e)
{
	bool session = c->config->auth == SWITCH_AUTH_SESSION && c->config->username[0];

	if (c->stage != STAGE_IDLE)
		return err_set(e, -EBUSY, "a request is under way");
	if (set_login(c, e) < 0)
		return -EACCES;
	strbuf_reset(&c->request);
	strbuf_add(&c->request, body, len);
	if (c->request.failed)
		return err_set(e, -ENOMEM, "out of memory");
	c->done = done;
	c->arg = arg;
	c->again = false;
	c->begin_ms = clock_now_ms();
	if (begin(c, session && !c->cookie[0] ? STAGE_LOGIN : STAGE_REQUEST) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

static const struct {
	CURLcode code;
	enum http_outcome outcome;
	bool unsent;
	const char *sentence;
} failures[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, HTTP_UNREACHABLE, true, "its name cannot be resolved" },
	{ CURLE_COULDNT_CONNECT, HTTP_UNREACHABLE, true, "it cannot be reached" },
	{ CURLE_PEER_FAILED_VERIFICATION, HTTP_UNTRUSTED, true, "its certificate is not accepted" },
	{ CURLE_SSL_PINNEDPUBKEYNOTMATCH, HTTP_UNTRUSTED, true,
	  "its key is not the one of tls-pin" },
	{ CURLE_SSL_CONNECT_ERROR, HTTP_UNTRUSTED, true, "TLS does not come about" },
	{ CURLE_SSL_CACERT_BADFILE, HTTP_UNTRUSTED, true, "ca-file cannot be read" },
	{ CURLE_SSL_CERTPROBLEM, HTTP_UNTRUSTED, true, "TLS does not come about" },
	{ CURLE_WEIRD_SERVER_REPLY, HTTP_WRONG, false, "what answers there does not speak HTTP" },
	{ CURLE_UNSUPPORTED_PROTOCOL, HTTP_WRONG, false, "what answers there does not speak HTTP" },
	{ CURLE_HTTP2, HTTP_WRONG, false, "what answers there does not speak HTTP" },
	{ CURLE_OPERATION_TIMEDOUT, HTTP_TIMEOUT, false, "it did not answer in time" },
	{ CURLE_GOT_NOTHING, HTTP_BROKEN, false, "it closed the connection without an answer" },
	{ CURLE_PARTIAL_FILE, HTTP_BROKEN, false, "its answer ended in the middle" },
	{ CURLE_SEND_ERROR, HTTP_BROKEN, false, "the connection broke" },
	{ CURLE_RECV_ERROR, HTTP_BROKEN, false, "the connection broke" },
};

static void classify_failure(struct http_conn *c, CURLcode code, struct http_answer *a)
{
	curl_off_t sent_us = 0;
	char detail[128];

	a->outcome = HTTP_BROKEN;
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		if (failures[i].code != code)
			continue;
		a->outcome = failures[i].outcome;
		a->unsent = failures[i].unsent;
		snprintf(a->sentence, sizeof(a->sentence), "%s", failures[i].sentence);
		break;
	}
	if (a->sentence[0] == '\0')
		snprintf(a->sentence, sizeof(a->sentence), "the request failed");
	curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
	if (code == CURLE_OPERATION_TIMEDOUT && sent_us == 0) {
		a->outcome = HTTP_UNREACHABLE;
		a->unsent = true;
		snprintf(a->sentence, sizeof(a->sentence), "it cannot be reached in time");
	}
	if (c->too_large) {
		a->outcome = HTTP_TOO_LARGE;
		snprintf(a->sentence, sizeof(a->sentence), "its answer is larger than %u bytes",
			 c->config->answer_max);
		return;
	}
	eapi_clean_text(c->error[0] ? c->error : curl_easy_strerror(code), detail, sizeof(detail));
	if (code != CURLE_SSL_PINNEDPUBKEYNOTMATCH && code != CURLE_OPERATION_TIMEDOUT)
		snprintf(a->sentence + strlen(a->sentence),
			 sizeof(a->sentence) - strlen(a->sentence), ": %s", detail);
}

static void classify_status(struct http_conn *c, struct http_answer *a)
{
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200) {
		a->outcome = HTTP_ANSWERED;
		return;
	}
	a->unsent = status < 500;
	if (status == 401 || status == 403) {
		a->outcome = HTTP_REFUSED;
		snprintf(a->sentence, sizeof(a->sentence), "it refuses the login of user '%s'",
			 c->config->username);
	} else if (status >= 300 && status < 400) {
		a->outcome = HTTP_WRONG;
		snprintf(a->sentence, sizeof(a->sentence),
			 "it redirects to another address, which is not followed");
	} else if (status == 413) {
		a->outcome = HTTP_BUSY;
		snprintf(a->sentence, sizeof(a->sentence),
			 "the request was too large for it: lower batch-flows");
	} else if (status >= 500) {
		a->outcome = HTTP_BUSY;
		snprintf(a->sentence, sizeof(a->sentence), "its eAPI is not available (HTTP %ld)",
			 status);
	} else {
		a->outcome = HTTP_WRONG;
		snprintf(a->sentence, sizeof(a->sentence),
			 "there is no eAPI at this address (HTTP %ld)", status);
	}
}

static void deliver(struct http_conn *c, struct http_answer *a)
{
	a->body = c->body.data ? c->body.data : "";
	a->len = c->body.len;
	a->took_ms = clock_now_ms() - c->begin_ms;
	c->stage = STAGE_IDLE;
	c->done(a, c->arg);
}

void http_conn_finished(struct http_conn *c, CURLcode code)
{
	struct http_answer a = { .outcome = HTTP_BROKEN };
	bool login = c->stage == STAGE_LOGIN;

	c->stage = STAGE_IDLE;
	if (code != CURLE_OK)
		classify_failure(c, code, &a);
	else
		classify_status(c, &a);
	if (login) {
		explicit_bzero(c->login.data, c->login.len);
		a.unsent = true;
		if (a.outcome == HTTP_ANSWERED && c->cookie[0] && begin(c, STAGE_REQUEST) == 0)
			return;
		if (a.outcome == HTTP_ANSWERED) {
			a.outcome = HTTP_WRONG;
			snprintf(a.sentence, sizeof(a.sentence), "its login gives no session");
		}
	} else if (a.outcome == HTTP_REFUSED && c->cookie[0]) {
		struct err e = { 0 };

		/* The session expired. Once more, with a new one. */
		c->cookie[0] = '\0';
		if (!c->again && set_login(c, &e) == 0 && begin(c, STAGE_LOGIN) == 0) {
			c->again = true;
			return;
		}
	}
	deliver(c, &a);
}
