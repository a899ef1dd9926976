// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line: its parts, and the whole of it against a small daemon that this program forks.
 * `test_cli --serve PATH [N]` is that daemon alone, with N flows, to try the commands by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/flow_line.h"
#include "cli/table.h"
#include "cli/text.h"
#include "control/server.h"

#define FLOWS 1000
#define BINDING(id, state)                                                                         \
	"{\"id\":" #id ",\"mark\":\"0x0" #id "000000\",\"table\":1700" #id ",\"service\":\"web\"," \
	"\"nexthop\":\"10.1.0." #id "%eth1\",\"state\":\"" state                                   \
	"\",\"reason\":\"a route names it\","                                                      \
	"\"state_ms\":200000,\"named\":true,\"pinned\":true,\"flows\":12345,\"one_way\":45,"       \
	"\"first_packets\":20000,\"packets\":1234567,\"bytes\":9876543210,\"health\":\"alive\"}"

struct stream {
	unsigned sent, all;
};

static void reply_text(struct control_call *c, const char *text)
{
	struct strbuf b = { 0 };

	strbuf_adds(&b, text);
	control_reply_text(c, &b);
	strbuf_free(&b);
}

static const char *text_of(struct json_object *o, const char *key)
{
	return js_text(o, key);
}

static void status(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	reply_text(
		c,
		"{\"version\":\"0.1.0\",\"pid\":7,\"instance\":\"i\",\"uptime_ms\":11000000,\"state\":\"running\","
		"\"config\":\"/etc/x\\u001b[2J\\n\",\"config_age_ms\":1000,"
		"\"flows\":{\"count\":12345,\"max\":1000000,\"replied\":12300,\"one_way\":45,\"refused\":0,\"memory\":1},"
		"\"pins\":{\"max\":1000000,\"lost\":0},"
		"\"bindings\":{\"used\":4,\"max\":255,\"active\":3,\"draining\":1,\"dead\":0,\"unreachable\":0},"
		"\"events\":{\"received\":5,\"new\":1,\"update\":2,\"destroy\":2,\"overruns\":0,\"resyncs\":0,"
		"\"updates_wanted\":false,\"receive_buffer\":1,\"undecodable\":0},"
		"\"kernel\":{\"owner\":true,\"routes\":1,\"ruleset_changes\":1,\"policy_changes\":1,\"policy_failed\":0},"
		"\"repairs\":{\"ruleset\":0,\"policy\":0},\"unpinned_flows\":0,"
		"\"clients\":{\"connected\":1,\"requests\":1,\"refused\":0},"
		"\"services\":[{\"name\":\"web\",\"prefixes\":[\"1.1.1.1/32\",\"2001:db8::1/128\"],\"protocols\":[\"tcp\"],"
		"\"ports\":[\"80\",\"443\"],\"idle_timeout_ms\":300000,\"on_withdraw\":\"hold\",\"nexthops\":4,"
		"\"active\":3,\"flows\":12345}],"
		"\"overrides\":[{\"service\":\"web\",\"prefix\":\"1.1.1.1/32\",\"source_table\":254,\"table\":18000,"
		"\"length\":32,\"routes\":1,\"without\":[\"10.1.0.4%eth1\"],\"age_ms\":61000}],"
		"\"unpinned\":[{\"service\":\"web\",\"nexthop\":\"10.1.0.9%eth3\"}],"
		"\"warnings\":[{\"code\":\"rp-filter\",\"text\":\"strict rp_filter on eth1\","
		"\"command\":\"sysctl -w net.ipv4.conf.eth1.rp_filter=2\"}]}");
}

static void nexthops(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	if (*text_of(params, "service") && strcmp(text_of(params, "service"), "web") != 0)
		control_error(c, "NotFound", "there is no service %s", text_of(params, "service"));
	else
		reply_text(c,
			   "{\"nexthops\":[" BINDING(1, "active") "," BINDING(2, "draining") "]}");
}

static void flow_text(struct strbuf *b, unsigned i)
{
	strbuf_addf(
		b,
		"{\"protocol\":\"tcp\",\"src\":\"12.12.%u.%u\",\"sport\":%u,\"dst\":\"1.1.1.1\",\"dport\":80,\"zone\":%u,"
		"\"service\":\"web\",\"nexthop\":\"10.1.0.%u%%eth1\",\"id\":%u,\"mark\":\"0x01000000\",\"state\":\"active\","
		"\"replied\":true,\"witness\":\"conntrack\",\"learned\":\"new\",\"age_ms\":%u}",
		i / 256 % 256, i % 256, 1024 + i % 60000, i % 2 ? 0 : 101, i % 3 + 1, i % 3 + 1,
		i * 1000);
}

static void flows_pump(struct control_call *c, void *data)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct stream *s = data;

	strbuf_adds(&b, "{\"flows\":[");
	for (unsigned n = 0; n < 128 && s->sent < s->all; n++) {
		strbuf_adds(&b, n ? "," : "");
		flow_text(&b, s->sent++);
	}
	strbuf_adds(&b, "]}");
	if (s->sent == s->all)
		control_reply_text(c, &b);
	else
		control_continue_text(c, &b);
}

static void stream_gone(struct control_call *c _unused_, void *data)
{
	free(data);
}

static void flows(struct control_call *c, struct json_object *params, void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));
	bool one = *js_text(js_object(params, "filter"), "nexthop");

	s->all = one ? 2 : *(unsigned *)arg;
	control_call_stream(c, flows_pump, stream_gone, s);
}

static void show(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };

	if (js_int(js_object(params, "filter"), "sport") != 30001) {
		control_error(c, "NotFound", "no such flow is known");
		return;
	}
	strbuf_adds(&b, "{\"flow\":");
	flow_text(&b, 1);
	strbuf_adds(
		&b,
		",\"conntrack\":{\"present\":true,\"mark\":\"0x01000000\",\"timeout\":100,\"assured\":true},"
		"\"pin\":{\"present\":false},\"binding\":" BINDING(1, "active") "}");
	control_reply_text(c, &b);
}

/* Three replies, then the outcome that the nexthop's last digit stands for. */
static void drain_pump(struct control_call *c, void *data)
{
	struct stream *s = data;
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	bool last = s->sent == 2;

	strbuf_addf(&b, "{\"done\":%s,\"outcome\":\"%s\",\"flows\":%u,\"bindings\":[]}",
		    last ? "true" : "false",
		    !last    ? "draining"
		    : s->all ? "deadline"
			     : "empty",
		    last ? s->all : 9);
	s->sent++;
	if (last)
		control_reply_text(c, &b);
	else
		control_continue_text(c, &b);
}

static void drain(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	struct stream *s;

	if (strcmp(text_of(params, "nexthop"), "10.1.0.9") == 0) {
		control_error(c, "Refused", "it is the last nexthop of web");
	} else if (!js_bool(params, "wait")) {
		reply_text(
			c,
			"{\"done\":true,\"outcome\":\"draining\",\"flows\":12345,\"bindings\":[" BINDING(
				2, "draining") "]}");
	} else {
		s = calloc(1, sizeof(*s));
		s->all = js_has(params, "deadline_ms") ? 2 : 0;
		control_call_stream(c, drain_pump, stream_gone, s);
	}
}

static void release(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	reply_text(c, "{\"flows\":1,\"bindings\":[" BINDING(2, "dead") "]}");
}

/* What verify finds goes by how many clients asked before. */
static void verify(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	if (control_call_uid(c) != getuid())
		return;
	reply_text(
		c,
		"{\"done\":true,\"clean\":false,\"differences\":[{\"plane\":\"pins\",\"subject\":\"tcp x\","
		"\"text\":\"missing\"}],\"unread\":[],\"flows\":1000,\"conntrack\":1001,\"pins\":999}");
}

static void monitor(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	reply_text(
		c,
		"{\"events\":[{\"time\":0,\"kind\":\"nexthop\",\"text\":\"10.1.0.2%eth1 of web: active -> dead\"}]}");
}

static void nothing(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	control_reply(c, NULL);
}

static const struct control_method methods[] = {
	{ "io.flowpin.Status", CONTROL_READ, false, status },
	{ "io.flowpin.Nexthops", CONTROL_READ, false, nexthops },
	{ "io.flowpin.Flows", CONTROL_READ, true, flows },
	{ "io.flowpin.Show", CONTROL_READ, false, show },
	{ "io.flowpin.Drain", CONTROL_ADMIN, true, drain },
	{ "io.flowpin.Release", CONTROL_ADMIN, false, release },
	{ "io.flowpin.Verify", CONTROL_READ, true, verify },
	{ "io.flowpin.Monitor", CONTROL_READ, true, monitor },
	{ "io.flowpin.Teardown", CONTROL_ADMIN, false, nothing },
	{ NULL, CONTROL_READ, false, NULL },
};

static int serve(const char *path, unsigned n)
{
	static const char interface[] =
#include "varlink.h"
		;
	struct control_options o = {
		.path = path,
		.mode = 0600,
		.group = (gid_t)-1,
		.methods = methods,
		.interface = interface,
		.vendor = "t",
		.product = "t",
		.version = "0",
		.limits = { .max_clients = 64, .max_clients_per_uid = 64 },
		.arg = &n,
	};
	struct event_base *base = event_base_new();
	struct control_server *s;
	struct err e = { 0 };

	if (!base || event_base_priority_init(base, 3) < 0 ||
	    control_server_new(base, &o, &s, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	event_base_dispatch(base);
	return 0;
}

struct world {
	char dir[64], path[80];
	pid_t daemon;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/flowpin-cli-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	w->daemon = fork();
	if (w->daemon == 0)
		_exit(serve(w->path, FLOWS));
	for (uint64_t end = clock_now_ms() + 10000;
	     access(w->path, F_OK) < 0 && clock_now_ms() < end;)
		usleep(1000);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kill(w->daemon, SIGTERM);
	waitpid(w->daemon, NULL, 0);
	unlink(w->path);
	rmdir(w->dir);
	free(w);
	return 0;
}

/* What a run of flowpin wrote and how it ended. */
struct run {
	int code;
	char out[200000], err[4096];
};

static void slurp(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	close(fd);
}

static void flowpin(const struct world *w, const char *line, struct run *r)
{
	char words[600], *argv[32];
	int out = open(w->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
	    err = open(w->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int argc = 0, status = 0;
	pid_t pid;

	assert_true(out >= 0 && err >= 0);
	snprintf(words, sizeof(words), "flowpin --socket %s %s", w->path, line);
	for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		dup2(null, 0);
		dup2(out, 1);
		dup2(err, 2);
		status = cli_main(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	slurp(out, r->out, sizeof(r->out));
	slurp(err, r->err, sizeof(r->err));
}

/* Each row: exit code, and a piece of what must be on stdout and on stderr (NULL: nothing at all
 * there). */
static void test_commands(void **state)
{
	static const struct {
		const char *line;
		int code;
		const char *out, *err;
	} rows[] = {
		{ "", 0, "running, 3 nexthops active, 1 draining, 12,345 flows, 1 warning\n",
		  NULL },
		{ "status", 0, "mend it: sysctl -w net.ipv4.conf.eth1.rp_filter=2\n", NULL },
		{ "status", 0, "/etc/x\\u001b[2J\\n, read 1s ago\n", NULL }, /* disarmed */
		{ "status", 0, "  web      1.1.1.1/32  10.1.0.4%eth1  18000       1  1m 1s\n",
		  NULL },
		{ "status", 0, "  10.1.0.9%eth3 of web\n", NULL },
		{ "status --json", 0, "\"config\":\"/etc/x\\u001b[2J\\n\"", NULL },
		{ "nexthops", 0,
		  "web      10.1.0.2%eth1   2  draining  3m 20s  12,345       45     1.2M   9.8G  alive   a route names it\n",
		  NULL },
		{ "nexthops dns", 2, NULL, "flowpin: there is no service dns\n" },
		{ "nexthops --json", 0, "{\"nexthops\":[{\"id\":1,", NULL },
		{ "flows", 0,
		  "tcp    12.12.0.1:1025    1.1.1.1:80   web      10.1.0.2%eth1  active         1s  conntrack\n",
		  NULL },
		{ "flows", 0,
		  "tcp    12.12.0.100:1124  1.1.1.1:80   web      10.1.0.2%eth1  active     1m 40s  conntrack zone 101\n",
		  NULL },
		{ "flows --json dst 1.1.1.1", 0, "\n{\"protocol\":\"tcp\",\"src\":\"12.12.3.231\",",
		  NULL },
		{ "flows dst", 2, NULL,
		  "flowpin: \"dst\" must be followed by an address or a prefix\n" },
		{ "show tcp 12.12.12.1:30001 -> 1.1.1.1:80", 0,
		  "tcp 12.12.0.1:1025 -> 1.1.1.1:80\n", NULL },
		{ "show sport 30001", 0, "conntrack  mark 0x01000000, 100s left, assured\n", NULL },
		{ "show sport 1", 2, NULL, "flowpin: no such flow is known\n" },
		{ "show", 2, NULL,
		  "flowpin: usage: flowpin show FLOW|FILTER (see flowpin show --help)\n" },
		{ "drain 10.1.0.2", 0, "10.1.0.2%eth1   2  draining", NULL },
		{ "drain 10.1.0.2 web --wait", 0, "10.1.0.2 is empty after 0ms\n", NULL },
		{ "drain 10.1.0.2 --wait --deadline 5m", 3, "tcp    12.12.0.1:1025",
		  "flowpin: the deadline came with 2 flows left\n" },
		{ "drain 10.1.0.9", 1, NULL, "flowpin: it is the last nexthop of web\n" },
		{ "drain 10.1.0", 2, NULL, "flowpin: \"10.1.0\" is no nexthop" },
		{ "drain 10.1.0.2 --deadline soon", 2, NULL,
		  "flowpin: --deadline \"soon\" is no duration" },
		{ "drain 10.1.0.2 --release-at 25:00", 2, NULL,
		  "flowpin: --release-at \"25:00\" is no time" },
		{ "drain 10.1.0.2 --deadline", 2, NULL, "misses the value" },
		{ "release 10.1.0.2", 0, "1 flow released\n", NULL },
		{ "undrain 10.1.0.2", 2, NULL,
		  "flowpin: flowpind does not know io.flowpin.Undrain: is it of another version?\n" },
		{ "verify", 1,
		  "pins: tcp x: missing\n1 difference: 1,000 flows, 1,001 conntrack entries, 999 pins compared\n",
		  NULL },
		{ "verify --json", 1, "{\"plane\":\"pins\",", NULL },
		{ "monitor", 0, "  nexthop   10.1.0.2%eth1 of web: active -> dead\n", NULL },
		{ "monitor --json", 0, "{\"time\":0,", NULL },
		{ "teardown", 1, NULL, "flowpin: teardown asks first" },
		{ "teardown --yes", 0, "everything of flowpin is removed", NULL },
		{ "check /nonexistent", 2, NULL, "/nonexistent" },
		{ "help", 0, "Usage: flowpin [--socket PATH]", NULL },
		{ "help drain", 0, "  --deadline T      wait no longer", NULL },
		{ "flows --help", 0, "FILTER is any of these words", NULL },
		{ "help x", 2, NULL, "flowpin: there is no command \"x\"" },
		{ "x", 2, NULL, "flowpin: there is no command \"x\"" },
		{ "status --wait", 2, NULL, "flowpin: flowpin status does not take that option" },
		{ "status x", 2, NULL, "flowpin: usage: flowpin status (see" },
		{ "--wrong", 2, NULL, "flowpin: --wrong is no option of flowpin" },
		{ "--socket /nonexistent/x status", 2, NULL,
		  "flowpin: flowpind is not running (cannot connect to /nonexistent/x: No such file or directory)\n" },
		{ "--version", 0, "flowpin 0.1.0\n", NULL },
	};
	struct world *w = *state;
	struct run *r = calloc(1, sizeof(*r));

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		flowpin(w, rows[i].line, r);
		if (r->code != rows[i].code || !strstr(r->out, rows[i].out ? rows[i].out : "") ||
		    !strstr(r->err, rows[i].err ? rows[i].err : "") ||
		    (!rows[i].err && r->err[0]) || (!rows[i].out && r->out[0]) ||
		    strchr(r->out, '\033'))
			fail_msg("flowpin %s: %d\n%.2000s%s", rows[i].line, r->code, r->out,
				 r->err);
	}
	free(r);
}

/* One line per flow, in both forms, and nothing lost between the replies. */
static void test_listing(void **state)
{
	static const char *const lines[] = { "flows --json", "flows" };
	struct world *w = *state;
	struct run *r = calloc(1, sizeof(*r));

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		size_t n = 0;

		flowpin(w, lines[i], r);
		for (const char *p = r->out; (p = strchr(p, '\n')); p++)
			n++;
		/* The run's buffer holds all of the table, and of the JSON the first part. */
		if (i == 1)
			assert_int_equal(n, FLOWS + 1);
		else
			assert_true(n > 500);
	}
	free(r);
}

static void test_filter(void **state _unused_)
{
	static const struct {
		const char *words, *json, *sentence;
	} rows[] = {
		{ "", "{}", NULL },
		{ "dst 1.1.1.1 dport 443", "{\"dst\":\"1.1.1.1\",\"dport\":443}", NULL },
		{ "src 10.0.0.0/8 proto udp", "{\"src\":\"10.0.0.0/8\",\"protocol\":\"udp\"}",
		  NULL },
		{ "dst 2001:db8::/32 zone 101", "{\"dst\":\"2001:db8::/32\",\"zone\":101}", NULL },
		{ "dst 1.1.1.1/32", "{\"dst\":\"1.1.1.1\"}", NULL },
		{ "nexthop fe80::1%eth1 state dead",
		  "{\"nexthop\":\"fe80::1%eth1\",\"state\":\"dead\"}", NULL },
		{ "nexthop %ppp0 witness pin", "{\"nexthop\":\"%ppp0\",\"witness\":\"pin\"}",
		  NULL },
		{ "service web protocol sctp sport 0",
		  "{\"service\":\"web\",\"protocol\":\"sctp\",\"sport\":0}", NULL },
		{ "tcp 12.12.12.1:30001 -> 1.1.1.1:80",
		  "{\"protocol\":\"tcp\",\"src\":\"12.12.12.1\",\"sport\":30001,\"dst\":\"1.1.1.1\",\"dport\":80}",
		  NULL },
		{ "udp [2001:db8::2]:53 [2001:db8:0::1]:53 zone 5",
		  "{\"protocol\":\"udp\",\"src\":\"2001:db8::2\",\"sport\":53,\"dst\":\"2001:db8::1\",\"dport\":53,\"zone\":5}",
		  NULL },
		{ "dst", NULL, "\"dst\" must be followed by an address or a prefix" },
		{ "dst 1.1.1.1 dst 1.1.1.2", NULL, "\"dst\" is given twice" },
		{ "proto tcp protocol tcp", NULL, "\"protocol\" is given twice" },
		{ "tcp 1.1.1.1:1 2.2.2.2:2 sport 1", NULL, "\"sport\" is given twice" },
		{ "dst 1.1.1.1/8", NULL, "\"1.1.1.1/8\" is not an address or a prefix" },
		{ "dport 65536", NULL, "\"65536\" is not a port" },
		{ "dport -1", NULL, "\"-1\" is not a port" },
		{ "proto icmp", NULL, "\"icmp\" is not tcp, udp or sctp" },
		{ "state up", NULL, "\"up\" is not active, draining, dead or unreachable" },
		{ "nexthop x", NULL,
		  "\"x\" is not a nexthop (ADDRESS, ADDRESS%INTERFACE or %INTERFACE)" },
		{ "color red", NULL, "\"color\" is no word of a filter" },
		{ "tcp 1.1.1.1:1", NULL, "a flow is written as tcp ADDRESS:PORT ADDRESS:PORT" },
		{ "tcp 1.1.1.1 2.2.2.2:1", NULL, "\"1.1.1.1\" is no ADDRESS:PORT" },
		{ "tcp 2001:db8::1:80 2.2.2.2:1", NULL, "\"2001:db8::1:80\" is no ADDRESS:PORT" },
		{ "tcp [1.1.1.1]:80 2.2.2.2:1", NULL, "\"[1.1.1.1]:80\" is no ADDRESS:PORT" },
		{ "tcp 1.1.1.1: 2.2.2.2:1", NULL, "\"1.1.1.1:\" is no ADDRESS:PORT" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct json_object *o = NULL;
		struct err e = { 0 };
		char *argv[] = { (char *)rows[i].words };
		int r = filter_parse(1, argv, &o, &e);

		assert_int_equal(r < 0, rows[i].sentence != NULL);
		if (r == 0)
			assert_string_equal(
				json_object_to_json_string_ext(
					o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
				rows[i].json);
		else if (strncmp(e.text, rows[i].sentence, strlen(rows[i].sentence)) != 0)
			fail_msg("%s: %s", rows[i].words, e.text);
		json_object_put(o);
	}
}

static void test_table(void **state _unused_)
{
	static const struct table_column columns[] = { { "NAME", false, 4 },
						       { "N", true, 0 },
						       { "LAST", false, 5 } };
	struct table t = { .columns = columns, .n = 3 };
	struct strbuf b = { 0 };

	table_format(&t, 0, 80, true, &b);
	assert_int_equal(b.len, 0);
	table_add(&t, "a long name");
	table_add(&t, "%d", 5);
	table_add_colour(&t, "31", "end");
	table_add(&t, "b");
	table_add(&t, "%d", 1234);
	table_add(&t, "the last");
	table_format(&t, 1, 0, false, &b);
	assert_string_equal(
		b.data,
		" NAME            N  LAST\n a long name     5  end\n b            1234  the last\n");
	strbuf_reset(&b);
	table_format(&t, 0, 20, false, &b);
	assert_string_equal(b.data,
			    "NAME       N  LAST\na lon~     5  end\nb       1234  the l~\n");
	strbuf_reset(&b);
	table_format(&t, 0, 1, false, &b); /* nobody gives more than he may */
	assert_string_equal(b.data, "NAME     N  LAST\na l~     5  end\nb     1234  the ~\n");
	strbuf_reset(&b);
	table_format(&t, 0, 0, true, &b);
	assert_non_null(strstr(b.data, "5  \033[31mend\033[0m\n"));
	strbuf_free(&b);
	table_clear(&t);
}

static void test_text(void **state _unused_)
{
	static const struct {
		int64_t n;
		const char *number, *shorter;
	} rows[] = {
		{ 0, "0", "0" },
		{ 7, "7", "7" },
		{ 999, "999", "999" },
		{ 1000, "1,000", "1.0k" },
		{ -1234567, "-1,234,567", "-1234567" },
		{ 12345, "12,345", "12k" },
		{ 9999999, "9,999,999", "9.9M" },
		{ INT64_MAX, "9,223,372,036,854,775,807", "9.2E" },
	};
	char n[TEXT_NUMBER];
	int64_t at;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_string_equal(text_number(rows[i].n, n), rows[i].number);
		assert_string_equal(text_short(rows[i].n, n), rows[i].shorter);
	}
	setenv("TZ", "UTC", 1);
	tzset();
	assert_int_equal(text_time_parse("90s", 1000, &at), 0);
	assert_int_equal(at, 1090);
	assert_int_equal(text_time_parse("@77", 1000, &at), 0);
	assert_int_equal(at, 77);
	assert_int_equal(text_time_parse("00:20", 1000, &at), 0);
	assert_int_equal(at, 1200);
	assert_int_equal(text_time_parse("00:10", 1000, &at), 0);
	assert_int_equal(at, 86400 + 600);
	at = 5;
	assert_int_equal(text_time_parse("24:00", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("1:2:3", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("-1:20", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("@x", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("", 1000, &at), -EINVAL);
	assert_int_equal(at, 5);
}

/* Malformed text is left over, whatever its kind; and what stands before it is still found. */
static void test_slice(void **state _unused_)
{
	static const char *const bad[] = { "{\"a\":1,}",    "{\"a\"}",		 "{\"a\":}",
					   "{a:1}",	    "{\"a\":1 \"b\":2}", "{\"a\":\"}",
					   "{\"a\":[}",	    "{\"a\":{\"b\":1}",	 "{,}",
					   "{\"a\":\"\\\"}" };
	static const char good[] =
		" { \"a\" : [1, {\"]\":\"\\\"}\"}, \"x\"] , \"b\":null,\"c\":\"\\u001b[\" } ";
	struct slice inside, key, value, s = { good, strlen(good) - 1 };
	struct strbuf b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(slice_open((struct slice){ bad[i], strlen(bad[i]) }, '{', &inside));
		while (slice_member(&inside, &key, &value))
			assert_true(key.len <= 1);
		assert_true(inside.len > 0);
	}
	assert_false(slice_open((struct slice){ "[", 1 }, '[', &inside));
	assert_true(slice_find(s, "c", &value));
	assert_true(slice_equal(value, "\"\\u001b[\""));
	assert_false(slice_find(s, "d", &value));
	assert_true(slice_find(s, "a", &value));
	assert_true(slice_open(value, '[', &inside));
	assert_true(slice_item(&inside, &value));
	assert_true(slice_equal(value, "1"));
	assert_true(slice_item(&inside, &value));
	assert_true(slice_equal(value, "{\"]\":\"\\\"}\"}"));
	assert_true(slice_item(&inside, &value));
	assert_true(slice_equal(slice_text(value), "x"));
	assert_false(slice_item(&inside, &value));
	assert_int_equal(inside.len, 0);
	s = (struct slice){ "\"\\\"\\u001b\\n\\\\\x1b\xc2\x9b\"", 17 };
	slice_disarm(s, &b);
	assert_string_equal(b.data, "\"\\\"\\\\u001b\\\\n\\\\ ??\"");
	strbuf_free(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_slice),
	};

	if (argc > 2 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : FLOWS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
