// SPDX-License-Identifier: GPL-2.0-or-later
/* The whole of the command line against a small daemon that this program forks. `test_cli --serve
 * PATH [N]` is that daemon alone, with N flows, to try the commands by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "cli/cli.h"
#include "unit/fake_flowpind.h"

struct world {
	char dir[64], path[80];
	pid_t daemon;
};

/* The file is there before somebody listens on it. */
static bool is_served(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	r = connect(fd, (const struct sockaddr *)&sun, sizeof(sun));
	close(fd);
	return r == 0;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/flowpin-cli-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	w->daemon = fork();
	if (w->daemon == 0)
		_exit(serve(w->path, FLOWS));
	for (uint64_t end = clock_now_ms() + 10000; !is_served(w->path) && clock_now_ms() < end;)
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
	char out[400000], err[4096];
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
static const struct row {
	const char *line;
	int code;
	const char *out, *err;
} command_rows[] = {
	{ "", 0, "running, 3 nexthops active, 1 draining, 12,345 flows, 1 warning\n", NULL },
	{ "status", 0, "mend it: sysctl -w net.ipv4.conf.eth1.rp_filter=2\n", NULL },
	{ "status", 0, "/etc/x\\u001b[2J\\n, read 1s ago\n", NULL }, /* disarmed */
	{ "status", 0, "  web      1.1.1.1/32  10.1.0.4%eth1  18000       1  1m 1s\n", NULL },
	{ "status", 0, "  10.1.0.9%eth3 of web\n", NULL },
	{ "status --json", 0, "\"config\":\"/etc/x\\u001b[2J\\n\"", NULL },
	{ "nexthops", 0,
	  "web      10.1.0.2%eth1   2  draining  3m 20s  12,345       45     1.2M   9.8G  alive   "
	  "a route names it\n",
	  NULL },
	{ "nexthops dns", 2, NULL, "flowpin: there is no service dns\n" },
	{ "nexthops --json", 0, "{\"nexthops\":[{\"id\":1,", NULL },
	{ "flows", 0,
	  "tcp    12.12.0.1:1025    1.1.1.1:80   web      10.1.0.2%eth1  active         1s  "
	  "conntrack\n",
	  NULL },
	{ "flows", 0,
	  "tcp    12.12.0.100:1124  1.1.1.1:80   web      10.1.0.2%eth1  active     1m 40s  "
	  "conntrack zone 101\n",
	  NULL },
	{ "flows --json dst 1.1.1.1", 0, "\n{\"protocol\":\"tcp\",\"src\":\"12.12.3.231\",", NULL },
	{ "flows dst", 2, NULL, "flowpin: \"dst\" must be followed by an address or a prefix\n" },
	{ "show tcp 12.12.12.1:30001 -> 1.1.1.1:80", 0, "tcp 12.12.0.1:1025 -> 1.1.1.1:80\n",
	  NULL },
	{ "show sport 30001", 0, "conntrack  mark 0x01000000, 100s left, assured\n", NULL },
	{ "show sport 1", 2, NULL, "flowpin: no such flow is known\n" },
	{ "show", 2, NULL, "flowpin: usage: flowpin show FLOW|FILTER (see flowpin show --help)\n" },
	{ "drain 10.1.0.2", 0, "10.1.0.2%eth1   2  draining", NULL },
	{ "drain 10.1.0.2 web --wait", 0, "10.1.0.2 is empty\n", NULL },
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
	  "pins: tcp x: missing\n1 difference: 1,000 flows, 1,001 conntrack entries, 999 pins "
	  "compared\n",
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
	  "flowpin: flowpind is not running (cannot connect to /nonexistent/x: No such file or "
	  "directory)\n" },
	{ "--version", 0, "flowpin 0.1.0\n", NULL },
};

/* Static: in the processes that flowpin() makes nothing else would point to it. */
static struct run run;

static void test_commands(void **state)
{
	struct world *w = *state;
	struct run *r = &run;

	for (size_t i = 0; i < ARRAY_SIZE(command_rows); i++) {
		const struct row *row = &command_rows[i];

		flowpin(w, row->line, r);
		if (r->code != row->code || !strstr(r->out, row->out ? row->out : "") ||
		    !strstr(r->err, row->err ? row->err : "") || (!row->err && r->err[0]) ||
		    (!row->out && r->out[0]) || strchr(r->out, '\033'))
			fail_msg("flowpin %s: %d\n%.2000s%s", row->line, r->code, r->out, r->err);
	}
}

/* One line per flow, in both forms, and nothing lost between the replies. */
static void test_listing(void **state)
{
	static const struct {
		const char *line;
		size_t lines;
	} rows[] = { { "flows --json", FLOWS }, { "flows", FLOWS + 1 } };
	struct world *w = *state;
	struct run *r = &run;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = 0;

		flowpin(w, rows[i].line, r);
		for (const char *p = r->out; (p = strchr(p, '\n')); p++)
			n++;
		assert_int_equal(n, rows[i].lines);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
	};

	if (argc > 2 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : FLOWS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
