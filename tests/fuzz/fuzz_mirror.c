// SPDX-License-Identifier: GPL-2.0-or-later
#include <netinet/in.h>
#include "fuzz/fuzz.h"
#include "mirror/batch.h"
#include "mirror/decode.h"

/* Packets of a mirror: six bytes of configuration (protocol, key given and payload, key), then
 * packets, each behind its length in two bytes. They share a batch, as in the receiver. */

static void check_record(const struct mirror_record *r)
{
	static const uint8_t none[12];

	FUZZ_CHECK(r->family == AF_INET || r->family == AF_INET6);
	FUZZ_CHECK(r->proto == IPPROTO_TCP || r->proto == IPPROTO_UDP || r->proto == IPPROTO_SCTP);
	FUZZ_CHECK((r->flags & ~(MIRROR_SYN | MIRROR_FIN | MIRROR_RST)) == 0 && r->pad == 0);
	FUZZ_CHECK(r->proto == IPPROTO_UDP ? r->flags == 0 : r->flags != 0);
	FUZZ_CHECK(r->sport != 0 && r->dport != 0);
	if (r->family == AF_INET)
		FUZZ_CHECK(memcmp(r->src + 4, none, sizeof(none)) == 0 &&
			   memcmp(r->dst + 4, none, sizeof(none)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct batch batch = { .key = { 1, 2 } };
	struct fuzz_input in = { data, size };
	struct mirror_format format = { .protocol = (uint16_t)fuzz_number(&in, 2) };
	uint32_t what = fuzz_number(&in, 1);

	format.has_key = what & 1;
	format.payload = (what >> 1) % (MIRROR_PAYLOAD_IP + 1);
	format.key = fuzz_number(&in, 4);
	batch_reset(&batch);
	while (in.size > 0 && batch.n < MIRROR_RECORDS_MAX) {
		size_t len = fuzz_number(&in, 2);
		struct mirror_record record;
		enum mirror_drop drop;
		const uint8_t *packet;

		if (len > in.size)
			len = in.size;
		packet = fuzz_guard(0, in.data, len, 1);
		in.data += len;
		in.size -= len;
		FUZZ_POISON(record);
		drop = mirror_decode(packet, len, &format, &record);
		FUZZ_CHECK(drop < MIRROR_DROP_COUNT);
		FUZZ_CHECK(strcmp(mirror_drop_name(drop), "unknown") != 0);
		if (drop != MIRROR_DROP_NONE) {
			FUZZ_UNTOUCHED(record);
			continue;
		}
		check_record(&record);
		FUZZ_CHECK(batch_add(&batch, &record) != BATCH_FULL);
		FUZZ_CHECK(batch_add(&batch, &record) == BATCH_REPEATED);
	}
	return 0;
}
