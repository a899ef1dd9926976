// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int parse_digits(const char *text, int base, uint64_t *ret_value, const char **ret_end)
{
	char *end;
	unsigned long long v;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, base);
	if (errno == ERANGE)
		return -ERANGE;
	*ret_value = v;
	*ret_end = end;
	return 0;
}

int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
	const char *end;
	uint64_t v;
	int r;

	r = parse_digits(text, base, &v, &end);
	if (r < 0)
		return r;
	if (*end)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*ret_value = (uint32_t)v;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse_scaled(const char *text, const struct unit *units, size_t n, uint64_t max,
			uint64_t *ret_value)
{
	const char *end;
	uint64_t v;
	int r;

	r = parse_digits(text, 10, &v, &end);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(units[i].name, end) != 0)
			continue;
		if (v > max / units[i].factor)
			return -ERANGE;
		*ret_value = v * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int parse_duration_ms(const char *text, uint64_t *ret_ms)
{
	static const struct unit units[] = {
		{ "", 1000 },	{ "ms", 1 },	  { "s", 1000 },
		{ "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};

	return parse_scaled(text, units, ARRAY_SIZE(units), 365ull * 86400000, ret_ms);
}

int parse_size(const char *text, uint32_t *ret_size)
{
	static const struct unit units[] = { { "", 1 }, { "k", 1000 }, { "M", 1000000 } };
	uint64_t v;
	int r;

	r = parse_scaled(text, units, ARRAY_SIZE(units), UINT32_MAX, &v);
	if (r < 0)
		return r;
	if (v == 0)
		return -ERANGE;
	*ret_size = (uint32_t)v;
	return 0;
}

const char *duration_format(uint64_t ms, char *buf)
{
	static const struct unit units[] = {
		{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }
	};
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && ms < units[i].factor)
		i++;
	if (i + 1 < ARRAY_SIZE(units) - 1 && (ms % units[i].factor) / units[i + 1].factor > 0)
		snprintf(buf, DURATION_TEXT, "%llu%s %llu%s",
			 (unsigned long long)(ms / units[i].factor), units[i].name,
			 (unsigned long long)(ms % units[i].factor / units[i + 1].factor),
			 units[i + 1].name);
	else
		snprintf(buf, DURATION_TEXT, "%llu%s", (unsigned long long)(ms / units[i].factor),
			 units[i].name);
	return buf;
}
