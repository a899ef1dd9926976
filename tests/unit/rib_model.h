/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A slow model of the rib for test_rib.c: it keeps what the kernel would hold in plain lists and
 * works everything out anew after each change. Included by one file only. */

#define MODEL_ROUTES 200
#define MODEL_OBJECTS 8 /* ids 1..5 single, 6..8 groups */

struct model {
	struct service_set set;
	struct rib *rib;
	struct route *routes[MODEL_ROUTES]; /* those of one key in the kernel's order */
	size_t n;
	struct nexthop_object objects[MODEL_OBJECTS + 1]; /* id 0: not there */
	struct nexthop_member members[MODEL_OBJECTS + 1][4];
	char *shown[8]; /* per service, as seen last */
	uint64_t versions[8];
	unsigned seed;
	bool one_metric; /* there may be routes below 0.0.0.0/0 only: see the contract of the rib */
};

static unsigned model_random(struct model *m, unsigned below)
{
	return (unsigned)rand_r(&m->seed) % below;
}

static struct route *model_copy(const struct route *r)
{
	struct route *c = malloc(sizeof(*c));

	*c = *r;
	c->nexthops = calloc(8, sizeof(*c->nexthops));
	memcpy(c->nexthops, r->nexthops, r->n_nexthops * sizeof(*c->nexthops));
	return c;
}

static void model_free_route(struct route *r)
{
	free(r->nexthops);
	free(r);
}

static void model_take_out(struct model *m, size_t i)
{
	model_free_route(m->routes[i]);
	memmove(&m->routes[i], &m->routes[i + 1], (m->n - i - 1) * sizeof(struct route *));
	m->n--;
}

static void model_put_in(struct model *m, size_t i, const struct route *r)
{
	memmove(&m->routes[i + 1], &m->routes[i], (m->n - i) * sizeof(struct route *));
	m->routes[i] = model_copy(r);
	m->n++;
}

static bool model_same_prefix(const struct route *a, const struct route *b)
{
	return a->key.table == b->key.table && ip_prefix_equal(&a->key.prefix, &b->key.prefix);
}

static bool model_same_key(const struct route *a, const struct route *b)
{
	return model_same_prefix(a, b) && a->key.metric == b->key.metric;
}

static size_t model_resolve(const struct model *m, const struct route *r, struct route_nexthop *out)
{
	const struct nexthop_object *o = &m->objects[r->nh_id];
	size_t n = 0;

	if (r->type != RTN_UNICAST)
		return 0;
	if (o->id == 0) {
		memcpy(out, r->nexthops, r->n_nexthops * sizeof(*out));
		return r->n_nexthops;
	}
	if (o->n_members == 0) {
		out[0] = o->single;
		return o->blackhole ? 0 : 1;
	}
	for (size_t i = 0; i < o->n_members; i++) {
		const struct nexthop_object *s = &m->objects[o->members[i].id];

		if (s->id == 0 || s->blackhole)
			continue;
		out[n] = s->single;
		out[n++].weight = o->members[i].weight;
	}
	return n;
}

/* Routes that the kernel uses: no other to the same prefix is better or stands before it. */
static bool model_is_best(const struct model *m, size_t i)
{
	for (size_t k = 0; k < m->n; k++) {
		if (k == i || !model_same_prefix(m->routes[k], m->routes[i]))
			continue;
		if (m->routes[k]->key.metric < m->routes[i]->key.metric)
			return false;
		if (m->routes[k]->key.metric == m->routes[i]->key.metric && k < i)
			return false;
	}
	return true;
}

static bool model_covers(const struct model *m, size_t i, const struct ip_prefix *p)
{
	const struct route *r = m->routes[i];

	if (!ip_prefix_contains(&r->key.prefix, p))
		return false;
	for (size_t k = 0; k < m->n; k++)
		if (m->routes[k]->key.table == r->key.table &&
		    m->routes[k]->key.prefix.len > r->key.prefix.len &&
		    ip_prefix_contains(&m->routes[k]->key.prefix, p))
			return false;
	return true;
}

static bool model_relevant(const struct model *m, size_t i, const struct service *s,
			   const struct route_nexthop *h, size_t n)
{
	const struct ip_prefix *r = &m->routes[i]->key.prefix;

	if (n == 0 || !model_is_best(m, i))
		return false;
	for (size_t k = 0; k < s->n_prefixes; k++) {
		const struct ip_prefix *p = &s->prefixes[k];

		if (model_covers(m, i, p))
			return true;
		if (p->len < r->len && ip_prefix_contains(p, r) &&
		    (n > 1 || (p->len > 0 && h[0].gateway.family != 0)))
			return true;
	}
	return false;
}

struct model_lines {
	char line[MODEL_ROUTES][300];
	size_t n;
};

static int model_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int model_line(const struct route *r, const struct route_nexthop *h, size_t n, void *arg)
{
	struct model_lines *l = arg;
	char *line = l->line[l->n++], buf[IP_PREFIX_TEXT], hops[8][64];
	int at = snprintf(line, 300, "%s table %u metric %u mtu %u",
			  ip_prefix_format(&r->key.prefix, buf), r->key.table, r->key.metric,
			  r->mtu);

	for (size_t i = 0; i < n; i++)
		snprintf(hops[i], sizeof(hops[i]), " via %s%%%u*%u",
			 ip_addr_format(&h[i].gateway, buf), h[i].ifindex, h[i].weight);
	qsort(hops, n, sizeof(hops[0]), model_compare); /* their order means nothing */
	for (size_t i = 0; i < n; i++)
		at += snprintf(line + at, 300 - (size_t)at, "%s", hops[i]);
	assert_true(at < 300);
	return 0;
}

static char *model_join(struct model_lines *l)
{
	struct strbuf b = { 0 };

	qsort(l->line, l->n, sizeof(l->line[0]), model_compare);
	strbuf_adds(&b, "");
	for (size_t i = 0; i < l->n; i++)
		strbuf_addf(&b, "%s\n", l->line[i]);
	l->n = 0;
	return b.data;
}

static bool model_names(const struct route_nexthop *h, size_t n, const struct rib_member *m)
{
	for (size_t i = 0; i < n; i++)
		if (h[i].ifindex == m->ifindex && ip_addr_equal(&h[i].gateway, &m->gateway))
			return true;
	return false;
}

/* Each member is named by as many relevant routes as it says; one of them has its MTU. Returns the
 * sum of the counts. */
static unsigned model_check_member(const struct model *m, const struct service *s,
				   const struct rib_member *member)
{
	struct route_nexthop h[8];
	unsigned routes = 0, families = 0;
	bool mtu = false;

	for (size_t i = 0; i < m->n; i++) {
		size_t n = model_resolve(m, m->routes[i], h);

		if (!model_relevant(m, i, s, h, n) || !model_names(h, n, member))
			continue;
		routes++;
		families |= m->routes[i]->key.prefix.addr.family == AF_INET ? 1 : 2;
		mtu |= m->routes[i]->mtu == member->mtu;
	}
	assert_int_equal(member->routes, routes);
	assert_int_equal(member->families, families);
	assert_true(mtu);
	return routes;
}

/* Compares everything; `result` is what the rib said about the change. */
static void model_check(struct model *m, int result)
{
	static struct model_lines lines;
	bool any = false;

	for (size_t s = 0; s < m->set.n; s++) {
		struct route_nexthop h[8];
		unsigned names = 0, counted = 0;
		const struct rib_member *list;
		char *want, *have;
		size_t n;

		for (size_t i = 0; i < m->n; i++) {
			n = model_resolve(m, m->routes[i], h);
			if (!model_relevant(m, i, &m->set.list[s], h, n))
				continue;
			model_line(m->routes[i], h, n, &lines);
			for (size_t a = 0; a < n; a++) {
				struct rib_member one = { .gateway = h[a].gateway,
							  .ifindex = h[a].ifindex };

				names += !model_names(h, a, &one);
			}
		}
		want = model_join(&lines);
		rib_service_routes(m->rib, s, model_line, &lines);
		have = model_join(&lines);
		assert_string_equal(have, want);
		list = rib_service_members(m->rib, s, &n);
		for (size_t i = 0; i < n; i++)
			counted += model_check_member(m, &m->set.list[s], &list[i]);
		assert_int_equal(counted, names);
		assert_int_equal(rib_service_version(m->rib, s) != m->versions[s],
				 strcmp(want, m->shown[s]) != 0);
		any |= rib_service_version(m->rib, s) != m->versions[s];
		m->versions[s] = rib_service_version(m->rib, s);
		free(m->shown[s]);
		free(have);
		m->shown[s] = want;
	}
	assert_int_equal(result, any);
}

static struct ip_prefix model_prefix(struct model *m)
{
	static const uint8_t lengths[] = { 0, 7, 8, 9, 16, 24, 32 };
	struct ip_addr a = { .family = model_random(m, 3) ? AF_INET : AF_INET6, .bytes = { 10 } };

	a.bytes[0] = (uint8_t)(10 + model_random(m, 2));
	a.bytes[1] = (uint8_t)(model_random(m, 2) << 7);
	a.bytes[2] = (uint8_t)model_random(m, 2);
	return ip_prefix_make(&a, lengths[model_random(m, ARRAY_SIZE(lengths))]);
}

static struct route_nexthop model_hop(struct model *m)
{
	struct route_nexthop h = { .ifindex = 1 + model_random(m, 2),
				   .weight = (uint16_t)(1 + model_random(m, 8) / 7) };

	h.gateway.family = AF_INET6;
	h.gateway.bytes[0] = 0xfe;
	h.gateway.bytes[15] = (uint8_t)model_random(m, 4);
	return h;
}

static void model_hops(struct model *m, struct route *r, size_t n)
{
	r->n_nexthops = 0;
	while (r->n_nexthops < n) {
		struct route_nexthop h = model_hop(m);
		bool twice = false;

		for (size_t i = 0; i < r->n_nexthops; i++)
			twice |= r->nexthops[i].ifindex == h.ifindex &&
				 ip_addr_equal(&r->nexthops[i].gateway, &h.gateway);
		if (!twice)
			r->nexthops[r->n_nexthops++] = h;
	}
}

/* A route that the kernel could tell. */
static struct route *model_route(struct model *m)
{
	struct route *r = calloc(1, sizeof(*r));
	unsigned kind = model_random(m, 10);

	r->nexthops = calloc(8, sizeof(*r->nexthops));
	r->key = (struct route_key){ .prefix = model_prefix(m), .table = 254 - model_random(m, 2) };
	r->key.metric = m->one_metric ? 10 : 10 + model_random(m, 2);
	r->type = kind == 0 ? RTN_BLACKHOLE : RTN_UNICAST;
	r->mtu = 1400 + 100 * model_random(m, 2);
	if (kind == 0)
		return r;
	if (kind <= 3) {
		r->nh_id = 1 + model_random(m, MODEL_OBJECTS);
		if (m->objects[r->nh_id].id == 0)
			r->nh_id = 0;
	}
	if (r->nh_id == 0 && kind == 4 && r->key.prefix.addr.family == AF_INET)
		r->nexthops[r->n_nexthops++] = (struct route_nexthop){ .ifindex = 9, .weight = 1 };
	else if (r->nh_id == 0)
		model_hops(m, r, 1 + model_random(m, 3));
	return r;
}

static void model_replace(struct model *m, const struct route *r)
{
	size_t i = 0;

	while (i < m->n && !model_same_key(m->routes[i], r))
		i++;
	if (i < m->n)
		model_take_out(m, i);
	model_put_in(m, i, r);
}

static void model_op_add(struct model *m)
{
	struct route *r = model_route(m);

	if (m->n < MODEL_ROUTES - 1) {
		model_replace(m, r);
		model_check(m, rib_route_add(m->rib, r, false));
	}
	model_free_route(r);
}

/* IPv4 only: IPv6 tells the joined route, which is a replacement. */
static void model_op_append(struct model *m)
{
	struct route *r = model_route(m);
	bool there = false;

	for (size_t i = 0; i < m->n; i++)
		there |= model_same_key(m->routes[i], r);
	/* The kernel refuses to append a twin; next to one that stands, only other gateways are of
	 * interest. */
	if (there && r->key.prefix.addr.family == AF_INET && m->n < MODEL_ROUTES - 1) {
		static unsigned unique;

		r->nh_id = 0;
		r->type = RTN_UNICAST;
		model_hops(m, r, 1);
		r->nexthops[0].ifindex = 100 + unique++ % 1000;
		model_put_in(m, m->n, r);
		model_check(m, rib_route_add(m->rib, r, true));
	}
	model_free_route(r);
}

static void model_op_del(struct model *m)
{
	size_t i = m->n ? model_random(m, (unsigned)m->n) : 0;
	struct route *r;

	if (m->n == 0)
		return;
	r = model_copy(m->routes[i]);
	if (r->key.prefix.addr.family == AF_INET6 && r->n_nexthops > 1 && model_random(m, 2)) {
		/* One nexthop of it. */
		r->n_nexthops = 1;
		m->routes[i]->n_nexthops--;
		memmove(m->routes[i]->nexthops, m->routes[i]->nexthops + 1,
			m->routes[i]->n_nexthops * sizeof(*r->nexthops));
	} else {
		model_take_out(m, i);
	}
	model_check(m, rib_route_del(m->rib, r));
	model_free_route(r);
}

static void model_op_object(struct model *m)
{
	uint32_t id = 1 + model_random(m, MODEL_OBJECTS);
	struct nexthop_object *o = &m->objects[id];

	*o = (struct nexthop_object){ .id = id, .single = model_hop(m), .members = m->members[id] };
	if (id > 5) {
		uint32_t first = model_random(m, 5);

		o->n_members = 1 + model_random(m, 3);
		for (uint32_t i = 0; i < o->n_members; i++)
			o->members[i] =
				(struct nexthop_member){ 1 + (first + i) % 5, (uint16_t)(1 + i) };
	} else {
		o->blackhole = model_random(m, 10) == 0;
	}
	model_check(m, rib_object_set(m->rib, o));
}

static void model_drop_object(struct model *m, uint32_t id)
{
	m->objects[id].id = 0;
	for (size_t i = m->n; i-- > 0;)
		if (m->routes[i]->nh_id == id)
			model_take_out(m, i);
	for (uint32_t g = 6; g <= MODEL_OBJECTS; g++) {
		struct nexthop_object *o = &m->objects[g];
		size_t n = 0;

		if (o->id == 0 || id == g)
			continue;
		for (size_t i = 0; i < o->n_members; i++)
			if (o->members[i].id != id)
				o->members[n++] = o->members[i];
		if (n == 0 && o->n_members > 0)
			model_drop_object(m, g);
		o->n_members = n;
	}
}

static void model_op_object_del(struct model *m)
{
	uint32_t id = 1 + model_random(m, MODEL_OBJECTS);

	model_drop_object(m, id);
	model_check(m, rib_object_del(m->rib, id));
}

/* A dump after events were lost: some routes are gone, some are new. */
static void model_op_sync(struct model *m)
{
	int ret = 0;

	for (unsigned i = model_random(m, 4); i > 0 && m->n > 0; i--)
		model_take_out(m, model_random(m, (unsigned)m->n));
	if (m->n < MODEL_ROUTES - 1) {
		struct route *r = model_route(m);

		model_replace(m, r);
		model_free_route(r);
	}
	rib_sync_begin(m->rib);
	for (uint32_t id = 1; id <= MODEL_OBJECTS; id++)
		if (m->objects[id].id)
			ret |= rib_object_set(m->rib, &m->objects[id]);
	for (size_t i = 0; i < m->n; i++) {
		struct route *r = m->routes[i];

		for (size_t a = 1; a < r->n_nexthops; a++) {
			struct route_nexthop h = r->nexthops[0];

			r->nexthops[0] = r->nexthops[a];
			r->nexthops[a] = h;
		}
		ret |= rib_route_add(m->rib, r, true);
	}
	assert_true(ret >= 0);
	ret = rib_sync_end(m->rib);
	/* What went and came back in between counts as a change too, so only the state is compared
	 * here. */
	for (size_t i = 0; i < m->set.n; i++) {
		free(m->shown[i]);
		m->shown[i] = strdup("?");
		m->versions[i] = rib_service_version(m->rib, i) - 1;
	}
	model_check(m, 1);
}

static void model_services(struct model *m)
{
	m->set.n = 2 + model_random(m, 5);
	m->set.list = calloc(m->set.n, sizeof(*m->set.list));
	for (size_t i = 0; i < m->set.n; i++) {
		struct service *s = &m->set.list[i];

		s->prefixes = calloc(4, sizeof(*s->prefixes));
		while (s->n_prefixes < 1 + i % 4)
			s->prefixes[s->n_prefixes++] = model_prefix(m);
		m->shown[i] = strdup("");
	}
	/* Either there is a service around all that occurs, or all have one metric. */
	if (m->one_metric) {
		m->set.list[0].prefixes[0] =
			ip_prefix_make(&(struct ip_addr){ .family = AF_INET }, 0);
		m->set.list[1].prefixes[0] =
			ip_prefix_make(&(struct ip_addr){ .family = AF_INET6 }, 0);
	} else {
		m->set.list[0].prefixes[0] =
			ip_prefix_make(&(struct ip_addr){ .family = AF_INET, .bytes = { 10 } }, 7);
		m->set.list[1].prefixes[0] =
			ip_prefix_make(&(struct ip_addr){ .family = AF_INET6, .bytes = { 10 } }, 7);
	}
	assert_int_equal(rib_new(&m->set, &m->rib), 0);
}
