/*
 * buf: a growing byte buffer.
 *
 * Units:   bytes.
 * Errors:  0, or -1 with ENOMEM; the buffer is then as it was.
 * Memory:  data belongs to the buffer; any put may move it.
 *          A zeroed struct is an empty buffer.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	unsigned char *data;
	size_t len;		/* bytes in use */
	size_t cap;		/* bytes allocated */
};

void	buf_release(struct buf *b);		/* free and empty */
int	buf_reserve(struct buf *b, size_t extra);	/* room for extra more */
int	buf_put(struct buf *b, const void *data, size_t len);
int	buf_put_str(struct buf *b, const char *text);	/* without the NUL */
int	buf_put_byte(struct buf *b, unsigned char c);
int	buf_printf(struct buf *b, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
void	buf_drop(struct buf *b, size_t len);	/* remove the first len bytes */

/* Fixed-width little-endian integers, for disk and wire. */
void		le_put16(void *p, uint16_t v);
void		le_put32(void *p, uint32_t v);
void		le_put64(void *p, uint64_t v);
uint16_t	le_get16(const void *p);
uint32_t	le_get32(const void *p);
uint64_t	le_get64(const void *p);

#endif /* LIB_BUF_H */
