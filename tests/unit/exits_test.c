/* exits: the numbers are promises to shell scripts; see dsutils(7). */

#include "exits.h"

#include "tap.h"

int
main(void)
{
	static const struct {
		int errnum, status;
	} map[] = {
		{ ENOENT, 66 },		{ EBADMSG, 65 },
		{ EMSGSIZE, 65 },	{ ENOSPC, 75 },
		{ EDQUOT, 75 },		{ EFBIG, 75 },
		{ EAGAIN, 75 },		{ EBUSY, 75 },
		{ ETIMEDOUT, 75 },	{ EIO, 74 },
		{ EACCES, 77 },		{ EPERM, 77 },
		{ EPROTONOSUPPORT, 78 }, { EOPNOTSUPP, 78 },
		{ ECONNREFUSED, 69 },	{ ENAMETOOLONG, 73 },
		{ EROFS, 73 },		{ EEXIST, 73 },
		{ ENOMSG, 1 },		{ ESTALE, 1 },
		{ ENOMEM, 71 },		{ 0, 71 },
		{ -1, 71 },		{ 99999, 71 },
	};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		is_int(exit_status(map[i].errnum), map[i].status,
		    "errno %d", map[i].errnum);
	is_int(EX_NO, 1, "an honest no");
	is_int(EX_NOVERDICT, 2, "no verdict");
	is_int(EX_UNKNOWN, 79, "outcome unknown");
	is_int(EX_SOMEFAILED, 123, "some failed");
	is_int(EX_STOPPED, 124, "stopped by a command");
	is_int(EX_CANNOTRUN, 126, "cannot execute");
	is_int(EX_NOTFOUND, 127, "not found");
	return tap_end();
}
