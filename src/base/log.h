/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/macros.h"

/* Meaning of the levels: ERROR something is lost or refused and a person must act; WARNING it works
 * on, less well; NOTICE a state changed that an operator asked for or will ask about; INFO normal
 * progress; DEBUG everything else. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Reads "error", "warning", "notice", "info" or "debug". -EINVAL for anything else. */
int log_level_parse(const char *text, enum log_level *ret_level) _must_check_;

/* Everything above this level is dropped. The default is INFO. */
void log_set_level(enum log_level level);

/* Writes one line to stderr: with journald's <N> prefix when stderr is not a terminal, else with
 * the level's name. Control characters in the text are replaced by '?'; beyond 1,023 bytes it is
 * cut. One write(2), which blocks only as stderr does. */
void log_msg(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...)	 log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_msg(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_msg(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* A bucket for a line that can repeat: `burst` lines per interval pass, the rest is counted. */
struct log_limit {
	uint64_t interval_ms;
	uint32_t burst;
	uint32_t passed, dropped;
	uint64_t begin_ms;
};

/* True when the line may be written at `now_ms`; *ret_dropped is how many were held back since the
 * last that passed. */
bool log_limit_pass(struct log_limit *l, uint64_t now_ms, uint32_t *ret_dropped);
