// SPDX-License-Identifier: GPL-2.0-or-later

/* Runs a program as its systemd unit would: confine FILE PROGRAM [ARGUMENT ...]. FILE is what
 * tests/netns/lib/confinement.py read from the unit, a word and its value on each line (row tables
 * below). Seccomp filters are built as systemd's src/shared/seccomp-util.c documents them. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_COUNT    64
#define FAMILY_COUNT 64
#define GROUP_COUNT  32
#define PATH_COUNT   16
#define NAME_COUNT   600
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUSER | \
	 CLONE_NEWCGROUP)
#define STRICT_PERSONALITY UINT64_C(0)

struct plan {
	bool has_uid, no_new_privs, read_only, private_proc;
	bool write_execute, namespaces, realtime, suid_sgid, personality; /* refused */
	uid_t uid;
	gid_t gid, groups[GROUP_COUNT];
	size_t n_groups;
	mode_t umask;
	uint64_t caps;
	bool families[FAMILY_COUNT], has_families;
	char *allowed[NAME_COUNT];
	size_t n_allowed;
	char *binds[PATH_COUNT], *writable[PATH_COUNT]; /* "source target"; a directory */
	size_t n_binds, n_writable;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("confine: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(99);
}

static void must(bool ok, const char *what)
{
	if (!ok)
		die("%s: %s", what, strerror(errno));
}

/* --- the plan */

static unsigned long number(const char *text, int base, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, base);

	if (end == text || *end || n > max)
		die("'%s' is no number up to %lu", text, max);
	return n;
}

static void keep(char **list, size_t *n, size_t max, const char *value)
{
	if (*n == max)
		die("too many: %s", value);
	list[*n] = strdup(value);
	must(list[*n] != NULL, "memory");
	(*n)++;
}

static void take(struct plan *p, const char *word, const char *value)
{
	const struct {
		const char *word;
		bool *flag;
	} flags[] = {
		{ "no-new-privs", &p->no_new_privs }, { "read-only", &p->read_only },
		{ "private-proc", &p->private_proc }, { "no-write-execute", &p->write_execute },
		{ "no-namespaces", &p->namespaces },  { "no-realtime", &p->realtime },
		{ "no-suid-sgid", &p->suid_sgid },    { "no-personality", &p->personality },
		{ "families", &p->has_families }
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(flags[i].word, word) == 0) {
			*flags[i].flag = true;
			return;
		}
	if (strcmp(word, "uid") == 0) {
		p->uid = (uid_t)number(value, 10, UINT32_MAX - 1);
		p->has_uid = true;
	} else if (strcmp(word, "gid") == 0) {
		p->gid = (gid_t)number(value, 10, UINT32_MAX - 1);
	} else if (strcmp(word, "group") == 0 && p->n_groups < GROUP_COUNT) {
		p->groups[p->n_groups++] = (gid_t)number(value, 10, UINT32_MAX - 1);
	} else if (strcmp(word, "umask") == 0) {
		p->umask = (mode_t)number(value, 8, 0777);
	} else if (strcmp(word, "cap") == 0) {
		p->caps |= UINT64_C(1) << number(value, 10, CAP_COUNT - 1);
	} else if (strcmp(word, "family") == 0) {
		p->families[number(value, 10, FAMILY_COUNT - 1)] = true;
	} else if (strcmp(word, "allow") == 0) {
		keep(p->allowed, &p->n_allowed, NAME_COUNT, value);
	} else if (strcmp(word, "bind") == 0) {
		keep(p->binds, &p->n_binds, PATH_COUNT, value);
	} else if (strcmp(word, "writable") == 0) {
		keep(p->writable, &p->n_writable, PATH_COUNT, value);
	} else {
		die("'%s' is not known", word);
	}
}

static void read_plan(const char *path, struct plan *p)
{
	FILE *f = fopen(path, "re");
	char line[1024];

	must(f != NULL, path);
	while (fgets(line, sizeof(line), f)) {
		char *value;

		line[strcspn(line, "\n")] = '\0';
		value = strchr(line, ' ');
		if (value)
			*value++ = '\0';
		if (line[0])
			take(p, line, value ? value : "");
	}
	fclose(f);
}

/* --- the file system */

static void bind_mounts(const struct plan *p)
{
	for (size_t i = 0; i < p->n_binds; i++) {
		char *target = strchr(p->binds[i], ' ');

		if (!target)
			die("bind: '%s' names no target", p->binds[i]);
		*target++ = '\0';
		must(mount(p->binds[i], target, NULL, MS_BIND, NULL) == 0, target);
	}
}

static void set_read_only(const char *path, bool on)
{
	struct mount_attr attr = { .attr_set = on ? MOUNT_ATTR_RDONLY : 0,
				   .attr_clr = on ? 0 : MOUNT_ATTR_RDONLY };

	must(syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) == 0,
	     path);
}

static void file_system(const struct plan *p)
{
	if (!p->read_only && !p->private_proc && !p->n_binds)
		return;
	must(unshare(CLONE_NEWNS) == 0, "mount namespace");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "/");
	bind_mounts(p);
	for (size_t i = 0; i < p->n_writable; i++)
		must(mount(p->writable[i], p->writable[i], NULL, MS_BIND, NULL) == 0,
		     p->writable[i]);
	if (p->private_proc)
		must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			   "hidepid=invisible,subset=pid") == 0,
		     "/proc");
	if (p->read_only)
		set_read_only("/", true);
	for (size_t i = 0; p->read_only && i < p->n_writable; i++)
		set_read_only(p->writable[i], false);
}

/* --- who it is */

static void become(const struct plan *p)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	umask(p->umask);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(p->caps >> cap & 1))
			must(prctl(PR_CAPBSET_DROP, cap) == 0, "bounding set");
	must(prctl(PR_SET_KEEPCAPS, 1) == 0, "keepcaps");
	if (p->has_uid) {
		must(setgroups(p->n_groups, p->groups) == 0, "groups");
		must(setresgid(p->gid, p->gid, p->gid) == 0, "gid");
		must(setresuid(p->uid, p->uid, p->uid) == 0, "uid");
	}
	for (int i = 0; i < 2; i++) {
		data[i].effective = data[i].permitted = data[i].inheritable =
			(uint32_t)(p->caps >> (32 * i));
	}
	must(syscall(SYS_capset, &header, data) == 0, "capabilities");
	for (int cap = 0; cap < CAP_COUNT; cap++)
		if (p->caps >> cap & 1)
			must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0,
			     "ambient set");
	if (p->no_new_privs)
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
}

/* --- system calls; one filter for each directive, and the strictest answer counts */

static void refuse(scmp_filter_ctx c, int error, const char *name, unsigned n,
		   const struct scmp_arg_cmp *args)
{
	int call = seccomp_syscall_resolve_name(name);

	if (call == __NR_SCMP_ERROR)
		return;
	errno = -seccomp_rule_add_array(c, SCMP_ACT_ERRNO(error), call, n, args);
	must(errno == 0, name);
}

static void refuse_bits(scmp_filter_ctx c, const char *name, unsigned arg, uint64_t bits)
{
	struct scmp_arg_cmp cmp = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, bits, bits);

	refuse(c, EPERM, name, 1, &cmp);
}

static void load(scmp_filter_ctx c)
{
	/* Without no-new-privs this needs CAP_SYS_ADMIN: all our units have it. */
	must(seccomp_attr_set(c, SCMP_FLTATR_CTL_NNP, 0) == 0, "filter");
	errno = -seccomp_load(c);
	must(errno == 0, "seccomp");
	seccomp_release(c);
}

static void filter_families(const struct plan *p)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	struct scmp_arg_cmp above = SCMP_CMP(0, SCMP_CMP_GE, FAMILY_COUNT);

	must(c != NULL, "seccomp");
	refuse(c, EAFNOSUPPORT, "socket", 1, &above);
	for (unsigned family = 0; family < FAMILY_COUNT; family++) {
		struct scmp_arg_cmp cmp = SCMP_CMP(0, SCMP_CMP_EQ, family);

		if (!p->families[family])
			refuse(c, EAFNOSUPPORT, "socket", 1, &cmp);
	}
	load(c);
}

static void filter_arguments(const struct plan *p)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	static const char *const chmods[] = { "chmod", "fchmod", "fchmodat", "mknod", "mknodat" };
	static const unsigned at[] = { 1, 1, 2, 1, 2 };

	must(c != NULL, "seccomp");
	if (p->write_execute) {
		refuse_bits(c, "mmap", 2, PROT_WRITE | PROT_EXEC);
		refuse_bits(c, "mprotect", 2, PROT_EXEC);
		refuse_bits(c, "pkey_mprotect", 2, PROT_EXEC);
		refuse_bits(c, "shmat", 2, SHM_EXEC);
	}
	for (unsigned bit = 0; p->namespaces && bit < 32; bit++) {
		if (!(NAMESPACES >> bit & 1))
			continue;
		refuse_bits(c, "clone", 0, UINT64_C(1) << bit);
		refuse_bits(c, "unshare", 0, UINT64_C(1) << bit);
	}
	if (p->namespaces) {
		refuse(c, ENOSYS, "clone3", 0, NULL);
		refuse(c, EPERM, "setns", 0, NULL);
	}
	if (p->realtime) {
		struct scmp_arg_cmp above = SCMP_CMP(1, SCMP_CMP_GT, SCHED_BATCH);

		refuse(c, EPERM, "sched_setscheduler", 1, &above);
		refuse(c, ENOSYS, "sched_setattr", 0, NULL);
	}
	for (size_t i = 0; p->suid_sgid && i < sizeof(at) / sizeof(at[0]); i++) {
		refuse_bits(c, chmods[i], at[i], S_ISUID);
		refuse_bits(c, chmods[i], at[i], S_ISGID);
	}
	if (p->personality) {
		struct scmp_arg_cmp other = SCMP_CMP(0, SCMP_CMP_NE, STRICT_PERSONALITY);

		refuse(c, EPERM, "personality", 1, &other);
	}
	load(c);
}

static void filter_calls(const struct plan *p)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	must(c != NULL, "seccomp");
	for (size_t i = 0; i < p->n_allowed; i++) {
		int call = seccomp_syscall_resolve_name(p->allowed[i]);

		if (call == __NR_SCMP_ERROR)
			continue; /* of another architecture or of a newer kernel */
		errno = -seccomp_rule_add_array(c, SCMP_ACT_ALLOW, call, 0, NULL);
		must(errno == 0 || errno == EDOM, p->allowed[i]);
	}
	load(c);
}

int main(int argc, char **argv)
{
	static struct plan p;

	if (argc < 3)
		die("usage: confine FILE PROGRAM [ARGUMENT ...]");
	read_plan(argv[1], &p);
	file_system(&p);
	become(&p);
	filter_arguments(&p);
	if (p.has_families)
		filter_families(&p);
	if (p.n_allowed)
		filter_calls(&p);
	execv(argv[2], argv + 2);
	die("%s: %s", argv[2], strerror(errno));
}
