/*
 * raftnode_message: a reader over bounded bytes; it goes bad at the first thing
 * that is missing, too much or out of range, and stays so.
 */

#include "raftnode_message.h"

#include <string.h>

#include "buf.h"
#include "cluster.h"

#define ENTRIES_MAX	2048U
#define INDEX_MAX	(UINT64_C(1) << 56)	/* of terms and indexes */
#define CONF_FORMAT	1

struct reader {
	const unsigned char *p;
	size_t left;
	bool bad;
};

static const unsigned char *
take(struct reader *r, size_t len)
{
	static const unsigned char zero[8] = { 0 };
	const unsigned char *p = r->p;

	if (r->bad || r->left < len) {
		r->bad = true;
		return zero;	/* nobody asks for more than 8 at once */
	}
	r->p += len;
	r->left -= len;
	return p;
}

static uint64_t
get64(struct reader *r)
{
	return le_get64(take(r, 8));
}

/* A term or an index. */
static uint64_t
get_index(struct reader *r)
{
	uint64_t v = get64(r);

	if (v > INDEX_MAX)
		r->bad = true;
	return v;
}

static unsigned short
get16(struct reader *r)
{
	const unsigned char *p = take(r, 2);

	return (unsigned short)(p[0] | p[1] << 8);
}

/* --- a configuration ----------------------------------------------------------- */

static void
get_server(struct reader *r, struct raft_configuration *conf)
{
	uint64_t id = get64(r);
	const char *address = (const char *)r->p;
	size_t len = strnlen(address, r->left);
	int role;

	if (r->bad || len == r->left || len == 0 ||
	    len >= CLUSTER_ADDRESS_MAX || id == 0 || id > CLUSTER_ID_MAX) {
		r->bad = true;
		return;
	}
	r->p += len + 1;
	r->left -= len + 1;
	role = *take(r, 1);
	/* Refuses a second server with this number or address. */
	if (r->bad || (role != RAFT_VOTER && role != RAFT_STANDBY &&
	    role != RAFT_SPARE) || (conf->n >= CLUSTER_NODES_MAX) ||
	    raft_configuration_add(conf, id, address, role) != 0)
		r->bad = true;
}

/* The bytes of one and up to 7 zeros; conf is to be closed if it went well. */
static int
get_conf(const unsigned char *p, size_t len, struct raft_configuration *conf)
{
	struct reader r = { p, len, false };
	uint64_t n;

	raft_configuration_init(conf);
	if (*take(&r, 1) != CONF_FORMAT)
		r.bad = true;
	n = get64(&r);
	if (n == 0 || n > CLUSTER_NODES_MAX)
		r.bad = true;
	for (; n > 0 && !r.bad; n--)
		get_server(&r, conf);
	if (r.left > 7)
		r.bad = true;
	while (!r.bad && r.left > 0)
		if (*take(&r, 1) != 0)
			r.bad = true;
	if (!r.bad)
		return 0;
	raft_configuration_close(conf);
	return -1;
}

/* --- headers --------------------------------------------------------------------- */

static void
vote(struct reader *r, int version, uint64_t from, struct raft_request_vote *m)
{
	uint64_t flags;

	m->version = (unsigned char)version;
	m->term = get_index(r);
	m->candidate_id = get64(r);
	m->last_log_index = get_index(r);
	m->last_log_term = get_index(r);
	flags = get64(r);
	m->disrupt_leader = flags & 1;
	m->pre_vote = flags & 2;
	if (m->candidate_id != from || m->term == 0 || flags > 3 ||
	    m->last_log_term > m->term)
		r->bad = true;
}

static void
vote_result(struct reader *r, int version, struct raft_request_vote_result *m)
{
	uint64_t granted;
	int flags;

	m->version = (unsigned char)version;
	m->term = get_index(r);
	granted = get64(r);
	m->vote_granted = granted != 0;
	flags = *take(r, 1);
	m->pre_vote = flags & 1;
	(void)take(r, 1);
	m->features = get16(r);
	m->capacity = get16(r);
	(void)take(r, 2);
	if (granted > 1 || flags > 1)
		r->bad = true;
}

static void
get_entry(struct reader *r, struct raft_append_entries *m,
    struct raft_entry *e, raft_term before)
{
	e->term = get_index(r);
	e->type = *take(r, 1);
	(void)take(r, 3);
	e->buf.len = le_get32(take(r, 4));
	if ((e->type != RAFT_COMMAND && e->type != RAFT_BARRIER &&
	    e->type != RAFT_CHANGE) || e->buf.len % 8 != 0 ||
	    (e->buf.len == 0 && e->type != RAFT_BARRIER) || e->term == 0 ||
	    e->term > m->term || e->term < before)
		r->bad = true;
}

static void
append(struct reader *r, int version, struct raft_append_entries *m,
    size_t *payload_len)
{
	raft_term before;
	uint64_t n, sum = 0;
	size_t i;

	m->version = (unsigned char)version;
	m->term = get_index(r);
	m->prev_log_index = get_index(r);
	m->prev_log_term = get_index(r);
	m->leader_commit = get_index(r);
	n = get64(r);
	if (m->term == 0 || m->prev_log_term > m->term ||
	    (m->prev_log_index == 0) != (m->prev_log_term == 0) ||
	    n > ENTRIES_MAX || r->left != 16 * n + 8)
		r->bad = true;
	if (r->bad || n == 0) {
		(void)get64(r);
		return;
	}
	if ((m->entries = raft_calloc((size_t)n, sizeof(*m->entries))) ==
	    NULL) {
		r->bad = true;
		return;
	}
	m->n_entries = (unsigned int)n;
	before = m->prev_log_term;
	for (i = 0; i < n && !r->bad; i++) {
		get_entry(r, m, &m->entries[i], before);
		before = m->entries[i].term;
		sum += m->entries[i].buf.len;
	}
	(void)get64(r);
	if (sum > MESSAGE_PAYLOAD_MAX || sum == 0)
		r->bad = true;
	*payload_len = (size_t)sum;
	if (r->bad) {
		raft_free(m->entries);
		m->entries = NULL;
	}
}

static void
append_result(struct reader *r, int version,
    struct raft_append_entries_result *m)
{
	m->version = (unsigned char)version;
	m->term = get_index(r);
	m->rejected = get_index(r);
	m->last_log_index = get_index(r);
	m->features = get16(r);
	m->capacity = get16(r);
	(void)take(r, 4);
}

static void
snapshot(struct reader *r, int version, struct raft_install_snapshot *m,
    size_t *payload_len)
{
	const unsigned char *conf;
	uint64_t len;

	m->version = (unsigned char)version;
	m->term = get_index(r);
	m->last_index = get_index(r);
	m->last_term = get_index(r);
	m->conf_index = get_index(r);
	len = get64(r);
	if (r->bad || m->term == 0 || m->last_index == 0 || m->last_term == 0 ||
	    m->last_term > m->term || m->conf_index > m->last_index ||
	    r->left < 16 || len != r->left - 16) {
		r->bad = true;
		return;
	}
	conf = r->p;
	r->p += len;
	r->left -= len;
	m->data.len = get64(r);
	(void)get64(r);
	if (m->data.len == 0 || m->data.len > MESSAGE_PAYLOAD_MAX ||
	    get_conf(conf, (size_t)len, &m->conf) == -1)
		r->bad = true;
	*payload_len = m->data.len;
}

static void
timeout_now(struct reader *r, int version, struct raft_timeout_now *m)
{
	m->version = (unsigned char)version;
	m->term = get_index(r);
	m->last_log_index = get_index(r);
	m->last_log_term = get_index(r);
}

int
message_preamble(const unsigned char p[MESSAGE_PREAMBLE], size_t *len)
{
	uint64_t have = le_get64(p + 8), want;

	switch (p[0]) {
	case RAFT_REQUEST_VOTE:
		want = 40;
		break;
	case RAFT_REQUEST_VOTE_RESULT:
	case RAFT_TIMEOUT_NOW:
		want = 24;
		break;
	case RAFT_APPEND_ENTRIES_RESULT:
		want = 32;
		break;
	case RAFT_APPEND_ENTRIES:
	case RAFT_INSTALL_SNAPSHOT:
		want = have;
		break;
	default:
		return -1;
	}
	if (have != want || have < 24 || have > MESSAGE_HEADER_MAX)
		return -1;
	*len = (size_t)have;
	return 0;
}

int
message_header(const unsigned char p[MESSAGE_PREAMBLE],
    const unsigned char *header, size_t len, uint64_t from,
    struct raft_message *m, size_t *payload_len)
{
	struct reader r = { header, len, false };
	int version = p[2];

	memset(m, 0, sizeof(*m));
	m->type = p[0];
	m->server_id = from;
	*payload_len = 0;
	switch (p[0]) {
	case RAFT_REQUEST_VOTE:
		vote(&r, version, from, &m->request_vote);
		break;
	case RAFT_REQUEST_VOTE_RESULT:
		vote_result(&r, version, &m->request_vote_result);
		break;
	case RAFT_APPEND_ENTRIES:
		append(&r, version, &m->append_entries, payload_len);
		break;
	case RAFT_APPEND_ENTRIES_RESULT:
		append_result(&r, version, &m->append_entries_result);
		break;
	case RAFT_INSTALL_SNAPSHOT:
		snapshot(&r, version, &m->install_snapshot, payload_len);
		break;
	case RAFT_TIMEOUT_NOW:
		timeout_now(&r, version, &m->timeout_now);
		break;
	default:
		return -1;
	}
	return r.bad || r.left != 0 ? -1 : 0;
}

/* --- payloads ---------------------------------------------------------------------- */

/* libraft decodes the entries that change the configuration when they come. */
static int
check_entries(const struct raft_append_entries *m)
{
	struct raft_configuration conf;
	unsigned int i;

	for (i = 0; i < m->n_entries; i++) {
		const struct raft_entry *e = &m->entries[i];

		if (e->type != RAFT_CHANGE)
			continue;
		if (get_conf(e->buf.base, e->buf.len, &conf) == -1)
			return -1;
		raft_configuration_close(&conf);
	}
	return 0;
}

int
message_payload(struct raft_message *m, unsigned char *payload)
{
	struct raft_append_entries *a = &m->append_entries;
	unsigned char *p = payload;
	unsigned int i;

	if (m->type == RAFT_INSTALL_SNAPSHOT) {
		m->install_snapshot.data.base = payload;
		return 0;
	}
	for (i = 0; i < a->n_entries; i++) {
		a->entries[i].batch = payload;
		a->entries[i].buf.base = a->entries[i].buf.len == 0 ? NULL : p;
		p += a->entries[i].buf.len;
	}
	if (check_entries(a) == 0)
		return 0;
	message_drop(m);
	return -1;
}

void
message_drop(struct raft_message *m)
{
	if (m->type == RAFT_APPEND_ENTRIES)
		raft_free(m->append_entries.entries);
	else if (m->type == RAFT_INSTALL_SNAPSHOT)
		raft_configuration_close(&m->install_snapshot.conf);
}
