// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror_packets.h"

static enum mirror_drop decode_hex(const char *hex, const struct mirror_format *format)
{
	struct bytes b = { .len = 0 };
	struct mirror_record r;

	put_hex(&b, hex);
	return decode(b.data, b.len, format, &r);
}

#define IP4(addresses) "4500 0028 1234 0000 3f06 0000 " addresses
#define TCP_SYN_HEX "7532 0050 01020304 00000000 5002faf0 00000000"
#define IP6(next, addresses) "60000000 0014 " next " 3f " addresses

static const struct {
	const char *what, *hex;
	enum mirror_drop why;
} drops[] = {
	{ "nothing", "", MIRROR_DROP_GRE },
	{ "GRE version 1", "2001 880b 0000 0000", MIRROR_DROP_GRE },
	{ "GRE version 7", "0007 88be" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX,
	  MIRROR_DROP_GRE },
	{ "keepalive", "0000 0000", MIRROR_DROP_PROTOCOL },
	{ "MPLS in GRE", "0000 8847 00000000", MIRROR_DROP_PROTOCOL },
	{ "an unknown protocol", "0000 88bf" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX,
	  MIRROR_DROP_PROTOCOL },
	{ "Type III with version 1", "1000 22eb 00000007 1064 0001 00000000 0000 0000" MACS "0800",
	  MIRROR_DROP_ERSPAN },
	{ "ARP", "0000 88be" MACS "0806 0001 0800 0604 0001", MIRROR_DROP_NOT_IP },
	{ "ARP in a VLAN", "0000 88be" MACS "8100 0064 0806 0001", MIRROR_DROP_NOT_IP },
	{ "LLDP", "0000 88be 0180c200000e 001c73000002 88cc 0207", MIRROR_DROP_NOT_IP },
	{ "802.3 with LLC", "0000 88be" MACS "0026 4242 0300", MIRROR_DROP_NOT_IP },
	{ "MPLS", "0000 88be" MACS "8847 00000000", MIRROR_DROP_NOT_IP },
	{ "timestamp of another subtype", "0000 88be" MACS "d28b 0002 0010 0123456789abcdef 0800",
	  MIRROR_DROP_NOT_IP },
	{ "timestamp of another version", "0000 88be" MACS "d28b 0001 0030 0123456789abcdef 0800",
	  MIRROR_DROP_NOT_IP },
	{ "more tags than anybody has",
	  "0000 88be" MACS
	  "81000001 81000001 81000001 81000001 81000001 81000001 81000001 0800" IP4(
		  "0c0c0c01 01010101") TCP_SYN_HEX,
	  MIRROR_DROP_NOT_IP },
	{ "IPv4 type, IPv6 header",
	  "0000 88be" MACS
	  "0800" IP6("06", "20010db8000c00000000000000000001 20010db8000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_MALFORMED },
	{ "IPv6 type, IPv4 header", "0000 88be" MACS "86dd" IP4("0c0c0c01 01010101") TCP_SYN_HEX,
	  MIRROR_DROP_MALFORMED },
	{ "IP version 5", "0000 0800 5500 0028", MIRROR_DROP_MALFORMED },
	{ "IPv4 header of 16 bytes",
	  "0000 0800 4400 0028 1234 0000 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
	  MIRROR_DROP_MALFORMED },
	{ "IPv4 longer header than packet",
	  "0000 0800 4600 0014 1234 0000 3f06 0000 0c0c0c01 01010101 01010101",
	  MIRROR_DROP_MALFORMED },
	{ "the same, where what is read instead would have ports",
	  "0000 0800 4600 0014 1234 0000 3f11 0000 0c0c0c01 01010101 01010101",
	  MIRROR_DROP_MALFORMED },
	{ "IPv4 that ends in front of the ports",
	  "0000 0800 4500 0016 1234 0000 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
	  MIRROR_DROP_TRUNCATED },
	{ "IPv6 that ends in front of the flags",
	  "0000 86dd 60000000 0008 06 3f 20010db8000c00000000000000000001 "
	  "20010db8000000000000000000000001" TCP_SYN_HEX,
	  MIRROR_DROP_TRUNCATED },
	{ "a later fragment",
	  "0000 0800 4500 0028 1234 2001 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
	  MIRROR_DROP_FRAGMENT },
	{ "a later IPv6 fragment",
	  "0000 86dd 60000000 001c 2c 3f 20010db8000c00000000000000000001 "
	  "20010db8000000000000000000000001 "
	  "0600 0009 12345678" TCP_SYN_HEX,
	  MIRROR_DROP_FRAGMENT },
	{ "ICMP", "0000 0800 4500 001c 1234 0000 3f01 0000 0c0c0c01 01010101 0800 0000 00010001",
	  MIRROR_DROP_TRANSPORT },
	{ "ESP",
	  "0000 86dd" IP6("32", "20010db8000c00000000000000000001 20010db8000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_TRANSPORT },
	{ "no next header",
	  "0000 86dd" IP6("3b", "20010db8000c00000000000000000001 20010db8000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_TRANSPORT },
	{ "nine extension headers and more",
	  "0000 86dd 60000000 0064 00 3f 20010db8000c00000000000000000001 "
	  "20010db8000000000000000000000001 "
	  "3c00010400000000 3c00010400000000 3c00010400000000 3c00010400000000 "
	  "3c00010400000000 3c00010400000000 "
	  "3c00010400000000 3c00010400000000 3c00010400000000 0600010400000000" TCP_SYN_HEX,
	  MIRROR_DROP_MALFORMED },
	{ "TCP header of 16 bytes",
	  "0000 0800" IP4("0c0c0c01 01010101") "7532 0050 01020304 00000000 4002faf0 00000000",
	  MIRROR_DROP_MALFORMED },
	{ "source port 0",
	  "0000 0800" IP4("0c0c0c01 01010101") "0000 0050 01020304 00000000 5002faf0 00000000",
	  MIRROR_DROP_ADDRESS },
	{ "destination port 0",
	  "0000 0800" IP4("0c0c0c01 01010101") "7532 0000 01020304 00000000 5002faf0 00000000",
	  MIRROR_DROP_ADDRESS },
	{ "from multicast", "0000 0800" IP4("e0000001 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
	{ "to multicast", "0000 0800" IP4("0c0c0c01 efffffff") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
	{ "to broadcast", "0000 0800" IP4("0c0c0c01 ffffffff") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
	{ "from loopback", "0000 0800" IP4("7f000001 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
	{ "from 0.0.0.0", "0000 0800" IP4("00000000 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
	{ "from link-local", "0000 0800" IP4("a9fe0101 01010101") TCP_SYN_HEX,
	  MIRROR_DROP_ADDRESS },
	{ "to itself", "0000 0800" IP4("01010101 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
	{ "from ::",
	  "0000 86dd" IP6("06", "00000000000000000000000000000000 20010db8000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_ADDRESS },
	{ "to ::1",
	  "0000 86dd" IP6("06", "20010db8000000000000000000000001 00000000000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_ADDRESS },
	{ "from fe80::1",
	  "0000 86dd" IP6("06", "fe800000000000000000000000000001 20010db8000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_ADDRESS },
	{ "to ff02::1",
	  "0000 86dd" IP6("06", "20010db8000000000000000000000001 ff020000000000000000000000000001")
		  TCP_SYN_HEX,
	  MIRROR_DROP_ADDRESS },
	{ "a good one, to know that the others differ in what is named",
	  "0000 88be" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, MIRROR_DROP_NONE },
	{ "a good one, 240.0.0.1", "0000 0800" IP4("0c0c0c01 f0000001") TCP_SYN_HEX,
	  MIRROR_DROP_NONE },
};

static void test_drops(void **state _unused_)
{
	const struct mirror_format plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(drops); i++) {
		enum mirror_drop why = decode_hex(drops[i].hex, &plain);

		if (why != drops[i].why)
			print_error("%s: %s\n", drops[i].what, mirror_drop_name(why));
		assert_int_equal(why, drops[i].why);
	}
}

static void test_key(void **state _unused_)
{
	static const struct {
		const char *gre;
		enum mirror_drop with, without;
	} cases[] = {
		{ "2000 88be 0000002a", MIRROR_DROP_NONE, MIRROR_DROP_NONE },
		{ "2000 88be 0000002b", MIRROR_DROP_KEY, MIRROR_DROP_NONE },
		{ "0000 88be", MIRROR_DROP_KEY, MIRROR_DROP_NONE },
		{ "1000 88be 0000002a", MIRROR_DROP_KEY,
		  MIRROR_DROP_NONE }, /* a sequence number is no key */
		{ "8000 88be 0000002a", MIRROR_DROP_KEY, MIRROR_DROP_NONE },
		{ "a000 88be 00000000 0000002a", MIRROR_DROP_NONE, MIRROR_DROP_NONE },
	};
	const struct mirror_format keyed = { .has_key = true, .key = 42 },
				   zero = { .has_key = true }, plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = { .len = 0 };
		struct mirror_record r;

		put_hex(&b, cases[i].gre);
		put_hex(&b, MACS "0800");
		put_inner(&b, TCP4);
		assert_int_equal(decode(b.data, b.len, &keyed, &r), cases[i].with);
		assert_int_equal(decode(b.data, b.len, &plain, &r), cases[i].without);
		assert_int_equal(decode(b.data, b.len, &zero, &r), MIRROR_DROP_KEY);
	}
}

/* A switch may send another GRE protocol, and IP without a frame, with nothing that says so. */
static void test_configured(void **state _unused_)
{
	const struct mirror_format other = { .protocol = 0x4242 },
				   ip = { .payload = MIRROR_PAYLOAD_IP },
				   frame = { .payload = MIRROR_PAYLOAD_ETHERNET }, plain = { 0 };

	assert_int_equal(
		decode_hex("0000 4242" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &plain),
		MIRROR_DROP_PROTOCOL);
	assert_int_equal(
		decode_hex("0000 4242" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &other),
		MIRROR_DROP_NONE);
	assert_int_equal(decode_hex("1000 4242 00000001 1064000100000002" MACS
				    "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX,
				    &other),
			 MIRROR_DROP_NONE);
	assert_int_equal(
		decode_hex("0000 88be" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &other),
		MIRROR_DROP_NONE);
	/* The header's checksum is wrong (0): told that it is IP, that does not matter. */
	assert_int_equal(decode_hex("0000 88be" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &ip),
			 MIRROR_DROP_NONE);
	assert_int_equal(decode_hex("0000 88be" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &plain),
			 MIRROR_DROP_NOT_IP);
	assert_int_equal(decode_hex("0000 88be" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &frame),
			 MIRROR_DROP_NOT_IP);
	/* A header that tells is believed. */
	assert_int_equal(decode_hex("1000 22eb 00000007 2064 0001 00000000 0000 0800 " IP4(
					    "0c0c0c01 01010101") TCP_SYN_HEX,
				    &frame),
			 MIRROR_DROP_NONE);
}

/* An IP packet from 8.0.69.0 reads as a frame with an IPv4 header behind, and a frame to 64:... or
 * 45:... like IP. */
static void test_told_apart(void **state _unused_)
{
	static const uint8_t trap[4] = { 8, 0, 0x45, 0 };
	const struct mirror_format plain = { 0 };
	struct bytes b = { .len = 0 }, f = { .len = 0 };
	struct mirror_record r;
	uint32_t sum = 0;

	put_hex(&b, "0000 88be");
	put_inner(&b, TCP4);
	memcpy(b.data + 4 + 12, trap, 4);
	b.data[4 + 10] = b.data[4 + 11] = 0;
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(b.data[4 + i] << 8 | b.data[4 + i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	b.data[4 + 10] = (uint8_t)(~sum >> 8);
	b.data[4 + 11] = (uint8_t)~sum;
	assert_int_equal(decode(b.data, b.len, &plain, &r), MIRROR_DROP_NONE);
	assert_memory_equal(r.src, trap, 4);
	for (enum inner inner = 0; inner < INNER_COUNT; inner++) {
		static const char *const macs[] = { "45000028 1234 001c73000002",
						    "640000000014 063f20010db8",
						    "600000000000 001c73000002" };

		for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
			f.len = 0;
			put_hex(&f, "0000 88be");
			put_hex(&f, macs[i]);
			put16(&f, inner_is6(inner) ? 0x86dd : 0x0800);
			put_inner(&f, inner);
			assert_int_equal(decode(f.data, f.len, &plain, &r), MIRROR_DROP_NONE);
			assert_record(&r, inner);
		}
	}
}

static void test_padding(void **state _unused_)
{
	const struct mirror_format plain = { 0 };
	struct mirror_record r;

	/* Padding of the frame is no part of the packet: here it would supply the ports. */
	assert_int_equal(
		decode_hex("0000 88be" MACS
			   "0800 4500 0014 1234 0000 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
			   &plain),
		MIRROR_DROP_TRUNCATED);
	for (enum inner inner = 0; inner < INNER_COUNT; inner++) {
		struct bytes b = { .len = 0 };

		put_hex(&b, "0000 88be" MACS);
		put16(&b, inner_is6(inner) ? 0x86dd : 0x0800);
		put_inner(&b, inner);
		put_hex(&b, "000000000000000000000000 deadbeef");
		assert_int_equal(decode(b.data, b.len, &plain, &r), MIRROR_DROP_NONE);
		assert_record(&r, inner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drops),	   cmocka_unit_test(test_key),
		cmocka_unit_test(test_configured), cmocka_unit_test(test_told_apart),
		cmocka_unit_test(test_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
