/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HTTP answers, the good ones and the broken ones. */
#pragma once

#include <microhttpd.h>

#include "sim.h"

#define REPLY_HTML(title)                                                                          \
	"<html>\r\n<head><title>" title "</title></head>\r\n<body>\r\n<center><h1>" title          \
	"</h1></center>\r\n"                                                                       \
	"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

/* A whole body, with one more header (or NULL). */
enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status, const char *type,
			   const char *body, const char *header, const char *value);
/* Runs the commands of a request and answers as the fault wants it (kind FAULT_KINDS: none). May
 * take as long as the fault says. */
enum MHD_Result reply_to_commands(struct sim *sim, struct MHD_Connection *connection, int fd,
				  struct json_object *request, const struct fault *fault);
