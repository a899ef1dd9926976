/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The eAPI endpoint: a listener of our own (so that it can refuse), libmicrohttpd behind it. */
#pragma once

#include "sim.h"

struct web_listener;

/* ADDRESS:PORT or [ADDRESS]:PORT or a path for a Unix socket. Returns a listening socket, or -1
 * with errno. */
int listen_at(const char *where);
/* The port that a socket listens at; 0 for a Unix socket. */
int listen_port(int fd);

/* Serves at an address; with certificate and key (PEM text) by TLS. Says on stdout where. NULL when
 * it cannot. */
struct web_listener *web_start(struct sim *sim, const char *where, const char *certificate,
			       const char *key);
void web_stop(struct web_listener *w);

/* Cookies end; so do all connections. The caller holds the lock. */
void web_expire_sessions(struct sim *sim);
void web_drop_connections(struct sim *sim);
struct web *web_new(void);
/* A listener opened (+1) or closed (-1) its socket. The caller holds the lock. */
void web_listening(struct sim *sim, int change);
/* Waits until the listeners are as sim->down_until wants them. Without the lock. */
void web_settle(struct sim *sim);
/* Whether a cookie is good (and if so, is used now); a new one; the end of one. The caller holds
 * the lock. */
bool web_session_good(struct sim *sim, const char *cookie);
void web_session_new(struct sim *sim, char ret_cookie[33]);
void web_session_end(struct sim *sim, const char *cookie);
/* Open connections, so that a reboot can end them. */
void web_connection_add(struct sim *sim, int fd);
void web_connection_remove(struct sim *sim, int fd);
