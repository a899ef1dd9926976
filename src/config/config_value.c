// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include "base/parse.h"

static uint32_t *number_at(struct config_reader *rd, const struct config_option *o)
{
	return (uint32_t *)((char *)rd->config + o->offset);
}

int config_read_duration(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			 const char *value, uint32_t *ret_ms)
{
	char min[DURATION_TEXT], max[DURATION_TEXT];
	uint64_t ms;
	int r = parse_duration_ms(value, &ms);

	if (r == -EINVAL)
		return config_fail(rd, cfg->line,
				   "%s: '%.60s' is not a duration (a number with ms, s, m, h or d)",
				   o->name, value);
	if (r < 0 || ms < o->min || ms > o->max)
		return config_fail(rd, cfg->line, "%s: '%.60s' is out of range (%s to %s)", o->name,
				   value, duration_format(o->min, min),
				   duration_format(o->max, max));
	*ret_ms = (uint32_t)ms;
	return 0;
}

int config_set_duration(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value)
{
	return config_read_duration(rd, cfg, o, value, number_at(rd, o));
}

int config_read_size(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		     const char *value, uint32_t *ret_size)
{
	uint32_t size = 0;
	int r = o->min == 0 && strcmp(value, "0") == 0 ? 0 : parse_size(value, &size);

	if (r == -EINVAL)
		return config_fail(rd, cfg->line,
				   "%s: '%.60s' is not a size (a number, or one with k or M)",
				   o->name, value);
	if (r < 0 || size < o->min || size > o->max)
		return config_fail(rd, cfg->line, "%s: '%.60s' is out of range (%u to %u)", o->name,
				   value, o->min, o->max);
	*ret_size = size;
	return 0;
}

int config_set_size(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		    const char *value)
{
	return config_read_size(rd, cfg, o, value, number_at(rd, o));
}

int config_set_number(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value)
{
	uint32_t number;
	int r = parse_u32(value, o->min, o->max, &number);

	if (r == -EINVAL)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a number", o->name, value);
	if (r < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is out of range (%u to %u)", o->name,
				   value, o->min, o->max);
	*number_at(rd, o) = number;
	return 0;
}

int config_set_mask(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		    const char *value)
{
	uint32_t mask, low;

	if (parse_u32(value, 0, UINT32_MAX, &mask) < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a number of 32 bits", o->name,
				   value);
	low = mask & -mask;
	if (mask == 0 || ((mask + low) & mask) != 0 || mask / low < 15 || mask / low > 255)
		return config_fail(rd, cfg->line,
				   "%s: '%.60s' is not a mask of 4 to 8 bits in a row", o->name,
				   value);
	*number_at(rd, o) = mask;
	return 0;
}

int config_set_group(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		     const char *value)
{
	size_t n = strlen(value);
	bool good = n > 0 && n <= o->max && value[0] != '-';

	for (size_t i = 0; good && i < n; i++)
		good = isalnum((unsigned char)value[i]) || value[i] == '_' || value[i] == '-' ||
		       value[i] == '.';
	if (!good)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not the name of a group", o->name,
				   value);
	memcpy((char *)rd->config + o->offset, value, n + 1);
	return 0;
}

int config_set_directory(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			 const char *value)
{
	char framed[300];
	size_t n = strlen(value);

	if (value[0] != '/')
		return config_fail(rd, cfg->line, "%s: '%.60s' is not an absolute path", o->name,
				   value);
	if (n > o->max)
		return config_fail(rd, cfg->line, "%s: the path is longer than %u bytes", o->name,
				   o->max);
	snprintf(framed, sizeof(framed), "%s/", value);
	if (strstr(framed, "/../"))
		return config_fail(rd, cfg->line, "%s: '%.60s' must not contain '..'", o->name,
				   value);
	memcpy((char *)rd->config + o->offset, value, n + 1);
	return 0;
}
