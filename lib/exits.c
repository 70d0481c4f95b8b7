/* exits: errno to exit status, in one table. */

#include "exits.h"

#include <errno.h>
#include <stddef.h>

static const struct {
	int errnum;
	int status;
} map[] = {
	{ ENOENT, EX_NOINPUT },		{ ENOTDIR, EX_NOINPUT },
	{ EBADMSG, EX_DATAERR },	{ EMSGSIZE, EX_DATAERR },
	{ EILSEQ, EX_DATAERR },		{ EINVAL, EX_USAGE },
	{ ENOSPC, EX_TEMPFAIL },	{ EDQUOT, EX_TEMPFAIL },
	{ EFBIG, EX_TEMPFAIL },		{ EAGAIN, EX_TEMPFAIL },
	{ EBUSY, EX_TEMPFAIL },		{ ETIMEDOUT, EX_TEMPFAIL },
	{ EIO, EX_IOERR },		{ EPIPE, EX_IOERR },
	{ EACCES, EX_NOPERM },		{ EPERM, EX_NOPERM },
	{ EPROTONOSUPPORT, EX_CONFIG },	{ EOPNOTSUPP, EX_CONFIG },
	{ ECONNREFUSED, EX_UNAVAILABLE }, { ECONNRESET, EX_UNAVAILABLE },
	{ EHOSTUNREACH, EX_UNAVAILABLE }, { ENETUNREACH, EX_UNAVAILABLE },
	{ ENAMETOOLONG, EX_CANTCREAT },	{ EROFS, EX_CANTCREAT },
	{ EEXIST, EX_CANTCREAT },
	{ ENOMSG, EX_NO },		{ ESTALE, EX_NO },
};

int
exit_status(int errnum)
{
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].errnum == errnum)
			return map[i].status;
	return EX_OSERR;
}
