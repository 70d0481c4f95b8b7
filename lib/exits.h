/*
 * exits: the exit statuses that every program shares; see dsutils(7).
 *
 * Source:  <sysexits.h>, xargs(1); a script must tell "no", "never", "later"
 *          and "unknown" apart.
 */
#ifndef LIB_EXITS_H
#define LIB_EXITS_H

#include <sysexits.h>

#define EX_NO		1	/* an honest no: empty, absent, over the limit */
#define EX_NOVERDICT	2	/* lincheck, cap-demo: nothing can be concluded */
#define EX_UNKNOWN	79	/* it may or may not have happened */
#define EX_SOMEFAILED	123	/* of the commands run, at least one failed */
#define EX_STOPPED	124	/* a command's 255 stopped the run */
#define EX_CANNOTRUN	126	/* the command cannot be executed */
#define EX_NOTFOUND	127	/* the command was not found */

/*
 * The exit status for an errno of this library: EX_NOINPUT for ENOENT,
 * EX_DATAERR for EBADMSG and EMSGSIZE, EX_TEMPFAIL for ENOSPC, EDQUOT, EFBIG,
 * EAGAIN, EBUSY and ETIMEDOUT, EX_IOERR for EIO, EX_NOPERM for EACCES and
 * EPERM, EX_CONFIG for EPROTONOSUPPORT and EOPNOTSUPP, EX_UNAVAILABLE for
 * ECONNREFUSED and its kin, EX_CANTCREAT for ENAMETOOLONG, EROFS and EEXIST,
 * EX_NO for ENOMSG and ESTALE; else EX_OSERR.
 */
int	exit_status(int errnum);

#endif /* LIB_EXITS_H */
