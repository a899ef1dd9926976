/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* What operators want of nexthops, over restarts: d->intent, and drains.json in the state
 * directory. Reading and writing that file blocks on the disk. */

/* Adds what the file holds to the list; 0 also when there is none. Errno of open(2) or read(2),
 * -EFBIG from 256 KiB on, -EINVAL for what cannot be understood, -ENOMEM; what was read before that
 * stays in the list. With a sentence, but where there was no memory for a parser. */
int intent_load(struct daemon *d, struct err *e) _must_check_;
/* Writes the list to a new file that takes the place of the old one. -ENOMEM, or errno of open(2),
 * write(2), fsync(2) or rename(2), with a sentence: what a crash would leave is not known then. */
int intent_save(struct daemon *d, struct err *e);

/* The first wish for this nexthop (which may leave its interface out) in the service, or NULL. Good
 * until the list changes. */
struct drain_wish *intent_find(struct daemon *d, const char *service,
			       const struct nexthop_spec *nexthop);
/* Drains these bindings, of which the registry must know each, for the operator: all of them,
 * saved, or none, and then each is what it was. -EBUSY: one is the last of its service; -ENOMEM; as
 * of intent_save(). With a sentence. */
int intent_drain(struct daemon *d, const uint8_t *ids, size_t n, const struct drain_intent *intent,
		 struct err *e) _must_check_;
/* Ends drains and releases of these bindings, and saves. As of intent_save(): it is done, but the
 * file does not know. */
int intent_undrain(struct daemon *d, const uint8_t *ids, size_t n, struct err *e) _must_check_;

/* Drains and releases the bindings that do not follow their wish yet, and those whose release is
 * due by clock_wall_s(); a drain that is refused is logged once. Asks for a sync where the registry
 * changed. Saves, so blocks on the disk, when a release was due; a failure to is logged. */
void intent_apply(struct daemon *d, uint64_t now_ms);
