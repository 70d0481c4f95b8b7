/* buf: growing, dropping, and little-endian integers byte by byte. */

#include "buf.h"

#include "tap.h"

static void
test_growth(void)
{
	struct buf b = { 0 };
	bool same = true;
	char big[300];

	ok(buf_put(&b, NULL, 0) == 0 && b.len == 0, "put: nothing of nothing");
	for (int i = 0; i < 10000; i++)
		if (buf_put_byte(&b, (unsigned char)i) == -1)
			tap_bail("buf_put_byte");
	is_uint(b.len, 10000, "put_byte: length counts");
	for (size_t i = 0; i < b.len; i++)
		same = same && b.data[i] == (unsigned char)i;
	ok(same, "put_byte: what was put is there");
	buf_drop(&b, 9998);
	is_mem(b.data, b.len, "\x0e\x0f", 2, "drop: the first bytes go");
	buf_drop(&b, 2);
	is_uint(b.len, 0, "drop: all of it");
	ok(buf_put_str(&b, "key=") == 0 && buf_printf(&b, "%d", 12345) == 0,
	    "printf: appends");
	is_mem(b.data, b.len, "key=12345", 9, "printf: without the NUL");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	ok(buf_printf(&b, "%s%s", big, big) == 0 && b.len == 9 + 598,
	    "printf: longer than the room there is");
	is_err(buf_reserve(&b, SIZE_MAX), ENOMEM, "reserve: more than memory");
	is_uint(b.len, 9 + 598, "reserve: a failure leaves the buffer alone");
	buf_release(&b);
	ok(b.data == NULL && b.len == 0 && b.cap == 0, "release: empty");
	buf_release(&b);
}

static void
test_le(void)
{
	unsigned char p[9];

	memset(p, 0xee, sizeof(p));
	le_put16(p + 1, 0x0102);
	is_mem(p, 4, "\xee\x02\x01\xee", 4, "le16: bytes, at any address");
	is_uint(le_get16(p + 1), 0x0102, "le16: back");
	le_put32(p + 1, UINT32_C(0x01020304));
	is_mem(p + 1, 5, "\x04\x03\x02\x01\xee", 5, "le32: bytes");
	is_uint(le_get32(p + 1), UINT32_C(0x01020304), "le32: back");
	le_put64(p + 1, UINT64_C(0x0102030405060708));
	is_mem(p, 9, "\xee\x08\x07\x06\x05\x04\x03\x02\x01", 9, "le64: bytes");
	is_uint(le_get64(p + 1), UINT64_C(0x0102030405060708), "le64: back");
}

int
main(void)
{
	test_growth();
	test_le();
	return tap_end();
}
