// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include "base/parse.h"

const char *text_number(int64_t n, char *buf)
{
	char digits[24];
	size_t len, o = 0;

	snprintf(digits, sizeof(digits), "%" PRId64, n);
	len = strlen(digits);
	for (size_t i = 0; i < len; i++) {
		if (i > (n < 0) && (len - i) % 3 == 0)
			buf[o++] = ',';
		buf[o++] = digits[i];
	}
	buf[o] = '\0';
	return buf;
}

const char *text_short(int64_t n, char *buf)
{
	static const char units[] = " kMGTPE";
	int64_t scale = 1;
	size_t u = 0;

	while (u + 2 < sizeof(units) && n / scale >= 1000) {
		scale *= 1000;
		u++;
	}
	if (u == 0)
		snprintf(buf, TEXT_NUMBER, "%" PRId64, n);
	else if (n / scale < 10)
		snprintf(buf, TEXT_NUMBER, "%" PRId64 ".%" PRId64 "%c", n / scale,
			 n % scale * 10 / scale, units[u]);
	else
		snprintf(buf, TEXT_NUMBER, "%" PRId64 "%c", n / scale, units[u]);
	return buf;
}

const char *text_plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

static int clock_parse(const char *text, time_t now, int64_t *ret_time)
{
	struct tm tm;
	int hour, minute, used = 0;
	time_t t;

	if (sscanf(text, "%2d:%2d%n", &hour, &minute, &used) != 2 || text[used] || hour > 23 ||
	    minute > 59 || hour < 0 || minute < 0 || !localtime_r(&now, &tm))
		return -EINVAL;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	t = mktime(&tm);
	if (t <= now) {
		tm.tm_mday++;
		tm.tm_isdst = -1;
		t = mktime(&tm);
	}
	*ret_time = t;
	return 0;
}

int text_time_parse(const char *text, time_t now, int64_t *ret_time)
{
	uint32_t seconds;
	uint64_t ms;

	if (text[0] == '@') {
		if (parse_u32(text + 1, 0, UINT32_MAX, &seconds) < 0)
			return -EINVAL;
		*ret_time = seconds;
		return 0;
	}
	if (strchr(text, ':'))
		return clock_parse(text, now, ret_time);
	if (parse_duration_ms(text, &ms) < 0)
		return -EINVAL;
	*ret_time = now + (int64_t)(ms + 999) / 1000;
	return 0;
}

const char *text_time(int64_t seconds, char *buf)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(buf, TEXT_TIME, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(buf, TEXT_TIME, "?");
	return buf;
}
