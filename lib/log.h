/*
 * log: what a service tells its operator, one line an event on stderr.
 *
 * Layout:  PROG[ID] LEVEL EVENT KEY=VALUE ...; a value with blanks, quotes or
 *          control characters is quoted and escaped, so one event is one line
 *          whatever a peer sent.
 * Errors:  none; errno is as it was before the call.
 * Threads: safe; one line is one write(2).
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG };

/*
 * id tells services of one kind apart ("n1"); NULL: none.  Copied.  Lines
 * above level are dropped; before the first call the level is INFO.
 */
void	log_init(const char *id, enum log_level level);

/*
 * One event: "EVENT KEY=VALUE ...".  Control characters in the result become
 * '?'; values that come from outside go through log_quote().
 */
void	log_event(enum log_level level, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

#define log_error(...)	log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)	log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)	log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * The value as it may stand behind '=': as it is, or quoted, cut to what
 * fits in buf (at least 8 bytes); returns buf.
 */
char	*log_quote(const char *value, char *buf, unsigned int buf_len);

#endif /* LIB_LOG_H */
