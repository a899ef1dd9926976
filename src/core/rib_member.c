// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/rib_internal.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

bool rib_nexthop_same_hop(const struct route_nexthop *a, const struct route_nexthop *b)
{
	return a->ifindex == b->ifindex && ip_addr_equal(&a->gateway, &b->gateway);
}

static bool nexthop_equal(const struct route_nexthop *a, const struct route_nexthop *b)
{
	return rib_nexthop_same_hop(a, b) && a->weight == b->weight && a->onlink == b->onlink &&
	       a->encap_type == b->encap_type && a->encap_len == b->encap_len &&
	       memcmp(a->encap, b->encap, sizeof(a->encap)) == 0;
}

static size_t count_equal(const struct route_nexthop *list, size_t n, const struct route_nexthop *h)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += nexthop_equal(&list[i], h);
	return count;
}

bool rib_nexthops_equal(const struct route_nexthop *a, size_t n_a, const struct route_nexthop *b,
			size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!nexthop_equal(&a[i], &b[i]) &&
		    count_equal(a, n_a, &a[i]) != count_equal(b, n_b, &a[i]))
			return false;
	return true;
}

struct rib_relevance *rib_relevance_find(const struct rib_slot *s, uint16_t service)
{
	for (size_t i = 0; i < s->n_relevances; i++)
		if (s->relevances[i].service == service)
			return &s->relevances[i];
	return NULL;
}

static void service_changed(struct rib *r, struct rib_service *service)
{
	service->version++;
	r->changes++;
}

/* Index of the member, or n_members. A service has a handful. */
static size_t member_find(const struct rib_service *service, const struct route_nexthop *h)
{
	size_t i;

	for (i = 0; i < service->n_members; i++)
		if (service->members[i].ifindex == h->ifindex &&
		    ip_addr_equal(&service->members[i].gateway, &h->gateway))
			break;
	return i;
}

static int member_add(struct rib_service *service, const struct route_nexthop *h)
{
	struct rib_member *members;
	struct rib_member_links *links;

	members = vec_reserve(service->members, service->n_members, &service->cap_members,
			      sizeof(*members));
	if (!members)
		return -ENOMEM;
	service->members = members;
	links = vec_reserve(service->links, service->n_members, &service->cap_links,
			    sizeof(*links));
	if (!links)
		return -ENOMEM;
	service->links = links;
	members[service->n_members] =
		(struct rib_member){ .gateway = h->gateway, .ifindex = h->ifindex };
	links[service->n_members++] = (struct rib_member_links){ 0 };
	return 0;
}

/* Attributes come from the route that named the member last, of those that still do. */
static void member_update(struct rib_member *m, const struct rib_member_links *l)
{
	const struct rib_reference *from = l->references;

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): some route names it */
	m->mtu = from->slot->mtu;
	m->onlink = from->nexthop->onlink;
	m->encap_type = from->nexthop->encap_type;
	m->encap_len = from->nexthop->encap_len;
	memcpy(m->encap, from->nexthop->encap, sizeof(m->encap));
	m->families = (uint8_t)((l->by_family[0] ? 1 : 0) | (l->by_family[1] ? 2 : 0));
}

static int reference_link(struct rib_service *service, struct rib_reference *ref)
{
	size_t i = member_find(service, ref->nexthop);
	struct rib_member_links *l;

	if (i == service->n_members) {
		int r = member_add(service, ref->nexthop);

		if (r < 0)
			return r;
	}
	l = &service->links[i];
	ref->prev = NULL;
	ref->next = l->references;
	if (ref->next)
		ref->next->prev = ref;
	l->references = ref;
	l->by_family[rib_family_index(ref->slot->prefix.addr.family)]++;
	service->members[i].routes++;
	member_update(&service->members[i], l);
	return 0;
}

static void reference_unlink(struct rib_service *service, struct rib_reference *ref)
{
	size_t i = member_find(service, ref->nexthop);
	struct rib_member_links *l = &service->links[i];

	if (ref->prev)
		ref->prev->next = ref->next;
	else
		l->references = ref->next;
	if (ref->next)
		ref->next->prev = ref->prev;
	l->by_family[rib_family_index(ref->slot->prefix.addr.family)]--;
	if (--service->members[i].routes > 0) {
		member_update(&service->members[i], l);
		return;
	}
	service->n_members--;
	service->members[i] = service->members[service->n_members];
	service->links[i] = service->links[service->n_members];
}

static bool named_before(const struct rib_slot *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (rib_nexthop_same_hop(&s->resolved[k], &s->resolved[i]))
			return true;
	return false;
}

static void references_unlink(struct rib_service *service, struct rib_reference *refs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (refs[i].nexthop)
			reference_unlink(service, &refs[i]);
}

int rib_relevance_activate(struct rib *r, struct rib_slot *s, struct rib_relevance *v)
{
	struct rib_service *service = &r->services[v->service];
	_cleanup_(freep) struct rib_reference *refs = NULL;
	struct rib_slot **slots;

	if (v->references || s->n_resolved == 0)
		return 0;
	slots = vec_reserve(service->slots, service->n_slots, &service->cap_slots,
			    sizeof(struct rib_slot *));
	if (!slots)
		return -ENOMEM;
	service->slots = slots;
	refs = calloc(s->n_resolved, sizeof(*refs));
	if (!refs)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_resolved; i++) {
		int ret;

		if (named_before(s, i))
			continue;
		refs[i].slot = s;
		refs[i].nexthop = &s->resolved[i];
		ret = reference_link(service, &refs[i]);
		if (ret < 0) {
			references_unlink(service, refs, i);
			return ret;
		}
	}
	v->references = TAKE_PTR(refs);
	v->position = service->n_slots;
	slots[service->n_slots++] = s;
	service_changed(r, service);
	return 0;
}

void rib_relevance_deactivate(struct rib *r, struct rib_slot *s, struct rib_relevance *v)
{
	struct rib_service *service = &r->services[v->service];
	struct rib_relevance *moved;
	struct rib_slot *last;

	if (!v->references)
		return;
	references_unlink(service, v->references, s->n_resolved);
	free(v->references);
	v->references = NULL;
	last = service->slots[--service->n_slots];
	service->slots[v->position] = last;
	/* Each slot of a service has a relevance of that service. */
	moved = last->relevances;
	while (moved->service != v->service)
		moved++;
	moved->position = v->position;
	service_changed(r, service);
}
