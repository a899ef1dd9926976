// SPDX-License-Identifier: GPL-2.0-or-later
#include "dataplane.h"
#include "mirror.h"
struct dataplane *dataplane_new(struct sim *sim){(void)sim;return NULL;}
void dataplane_free(struct dataplane *dp){(void)dp;}
void dataplane_add(struct dataplane *dp, struct flow *f){(void)dp;(void)f;}
void dataplane_remove(struct dataplane *dp, struct flow *f){(void)dp;(void)f;}
void dataplane_sync(struct dataplane *dp, struct flow_table *t){(void)dp;(void)t;}
void dataplane_read_counters(struct dataplane *dp, struct flow_table *t){(void)dp;(void)t;}
void dataplane_set_forwarding(struct dataplane *dp, bool forwards){(void)dp;(void)forwards;}
void dataplane_set_route(struct dataplane *dp, const struct route *route, bool present){(void)dp;(void)route;(void)present;}
bool dataplane_lookup(struct dataplane *dp, int family, const uint8_t address[16], struct route *ret_route){(void)dp;(void)family;(void)address;(void)ret_route;return false;}
bool dataplane_path(struct dataplane *dp, const struct path_query *query, struct via *ret_via){(void)dp;(void)query;(void)ret_via;return false;}
void dataplane_read_tables(struct dataplane *dp, struct tables *t){(void)dp;(void)t;}
void dataplane_ask_neighbour(struct dataplane *dp, const char *address){(void)dp;(void)address;}
const char *mirror_operate(struct sim *sim, struct json_object *o, struct json_object *ret){(void)sim;(void)o;(void)ret;return "no data plane";}
void mirror_stop(struct sim *sim){(void)sim;}
