// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct config defaults = {
	.liveness = { .probe_interval_ms = 1000,
		      .dead_after = 3,
		      .outage_window_ms = 5000,
		      .outage_hold_ms = 30000,
		      .carrier_hold_ms = 1000 },
	.limits = { .max_flows = 1000000,
		    .max_pins = 1000000,
		    .receive_buffer = 64 * 1024 * 1024,
		    .source_share = 25,
		    .source_prefix4 = 24,
		    .source_prefix6 = 56 },
	.numbers = { .mark_mask = 0xff000000, .table_base = 17000, .rule_priority = 10000 },
	.control = { .max_clients = 64, .max_clients_per_uid = 16 },
	.state_dir = "/var/lib/flowpin",
	.instance = "1",
};

struct config *config_free(struct config *c)
{
	if (c) {
		service_set_clear(&c->services);
		free(c->switches);
		free(c);
	}
	return NULL;
}

int config_fail(struct config_reader *rd, int line, const char *fmt, ...)
{
	char text[sizeof(rd->err->text)];
	va_list ap;

	if (rd->failed)
		return -1;
	rd->failed = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* What is wrong with the sentinel is that the text before it leaves something open. */
	if (rd->last_line > 0 && line >= rd->last_line)
		err_set(rd->err, -EINVAL, "%s:%d: the file ends in the middle of a setting",
			rd->name, rd->last_line - 1);
	else
		err_set(rd->err, -EINVAL, "%s:%d: %s", rd->name, line, text);
	return -1;
}

static void cfg_freep(cfg_t **cfg)
{
	if (*cfg)
		cfg_free(*cfg);
}

/* What needs the whole file: the order of sections is free. */
static int check_whole(struct config_reader *rd)
{
	uint32_t mask = rd->config->numbers.mark_mask, max_id = mask / (mask & -mask);

	if (!rd->complete)
		return config_fail(rd, rd->last_line, "incomplete");
	for (uint32_t id = max_id + 1; id < ARRAY_SIZE(rd->id_lines); id++)
		if (rd->id_lines[id] != 0)
			return config_fail(
				rd, rd->id_lines[id],
				"id: %u is above %u, the highest that mark-mask 0x%08x can hold",
				id, max_id, mask);
	if (rd->config->services.n == 0) {
		rd->failed = true;
		err_set(rd->err, -EINVAL, "%s: there is no service: at least one is needed",
			rd->name);
		return -1;
	}
	return 0;
}

static int read_text(struct config_reader *rd, const char *text, size_t len)
{
	_cleanup_(freep) char *clean = NULL;
	_cleanup_(cfg_freep) cfg_t *cfg = NULL;

	if (config_scan(rd, text, len, &clean) < 0)
		return -1;
	cfg = config_schema_new(rd);
	if (!cfg || cfg_parse_buf(cfg, clean) != CFG_SUCCESS)
		return -1;
	return check_whole(rd);
}

int config_parse(const char *name, const char *text, size_t len, struct config **ret_config,
		 struct err *e)
{
	_cleanup_(config_freep) struct config *c = malloc(sizeof(*c));
	struct config_reader rd = { .name = name, .err = e, .config = c };

	if (!c)
		return err_set(e, -ENOMEM, "%s: out of memory", name);
	*c = defaults;
	if (len > CONFIG_FILE_MAX)
		return err_set(e, -EFBIG, "%s: the file is larger than %d bytes", name,
			       CONFIG_FILE_MAX);
	if (read_text(&rd, text, len) < 0)
		return rd.failed ? -EINVAL : err_set(e, -ENOMEM, "%s: out of memory", name);
	*ret_config = TAKE_PTR(c);
	return 0;
}

/* Reads until the end of the file or until the buffer is full. */
static int read_all(int fd, char *buf, size_t size, size_t *ret_len)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int config_load(const char *path, struct config **ret_config, struct err *e)
{
	_cleanup_(freep) char *text = malloc(CONFIG_FILE_MAX + 1);
	_cleanup_(closep) int fd = -1;
	size_t len = 0;
	int r;

	if (!text)
		return err_set(e, -ENOMEM, "%s: out of memory", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	r = read_all(fd, text, CONFIG_FILE_MAX + 1, &len);
	if (r < 0)
		return err_set(e, r, "%s: %s", path, strerror(-r));
	return config_parse(path, text, len, ret_config, e);
}
