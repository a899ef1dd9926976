// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int bounding_drop(struct err *e)
{
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return err_set(e, -errno, "capability %u stays in the bounding set: %s",
				       cap, strerror(errno));
	return 0;
}

static int sets_verify(struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, sets) < 0)
		return err_set(e, -errno, "the capabilities cannot be read: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (sets[i].effective | sets[i].permitted | sets[i].inheritable)
			return err_set(e, -EPERM, "capabilities are left after they were given up");
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			return err_set(e, -EPERM,
				       "ambient capability %u is left after it was given up", cap);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return err_set(e, -EPERM, "no_new_privs is not set");
	return 0;
}

int privilege_drop(struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, -errno, "no_new_privs cannot be set: %s", strerror(errno));
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_set(e, -errno, "ambient capabilities cannot be cleared: %s",
			       strerror(errno));
	r = bounding_drop(e); /* while CAP_SETPCAP may still be there */
	if (r < 0)
		return r;
	if (syscall(SYS_capset, &header, none) < 0)
		return err_set(e, -errno, "capabilities cannot be given up: %s", strerror(errno));
	return sets_verify(e);
}
