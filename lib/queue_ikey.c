/*
 * queue_ikey: keys of the index: a table's letter, then big-endian fields, so
 * that the order of bytes is the order of numbers.
 */

#include <string.h>

#include "queue_priv.h"

void
ikey_init(struct ikey *k, unsigned char table)
{
	k->b[0] = table;
	k->len = 1;
}

static void
key_be(struct ikey *k, uint64_t v, unsigned int bytes)
{
	while (bytes-- > 0)
		k->b[k->len++] = (unsigned char)(v >> (8 * bytes));
}

static uint64_t
get_be(const struct ikey *k, size_t off, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0 && off < k->len)
		v = v << 8 | k->b[off++];
	return v;
}

void
ikey_u16(struct ikey *k, unsigned int v)
{
	key_be(k, v, 2);
}

void
ikey_u32(struct ikey *k, uint32_t v)
{
	key_be(k, v, 4);
}

void
ikey_u64(struct ikey *k, uint64_t v)
{
	key_be(k, v, 8);
}

void
ikey_bytes(struct ikey *k, const void *p, size_t len)
{
	memcpy(k->b + k->len, p, len);
	k->len += len;
}

uint64_t
ikey_get64(const struct ikey *k, size_t off)
{
	return get_be(k, off, 8);
}

uint32_t
ikey_get32(const struct ikey *k, size_t off)
{
	return (uint32_t)get_be(k, off, 4);
}

unsigned int
ikey_get16(const struct ikey *k, size_t off)
{
	return (unsigned int)get_be(k, off, 2);
}

void
ikey_after(struct ikey *k)
{
	k->b[k->len++] = 0;
}
