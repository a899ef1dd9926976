// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static enum log_level max_level = LOG_LEVEL_INFO;

static const char *const names[] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = LOG_LEVEL_ERROR; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n, m;

	if (level > max_level)
		return;
	n = isatty(STDERR_FILENO) ? snprintf(line, sizeof(line), "%s: ", names[level])
				  : snprintf(line, sizeof(line), "<%d>", (int)level);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ms, uint32_t *ret_dropped)
{
	if (now_ms - l->begin_ms >= l->interval_ms) {
		l->begin_ms = now_ms;
		l->passed = 0;
	}
	if (l->passed >= l->burst) {
		l->dropped++;
		return false;
	}
	l->passed++;
	*ret_dropped = l->dropped;
	l->dropped = 0;
	return true;
}
