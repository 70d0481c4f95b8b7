# dsutils: one Makefile, GNU make.  `make demo` and `make check` are all a
# newcomer needs; README.md says what the other targets do.

# These belong to the user and come last on every command line.
CC ?= cc
CFLAGS ?= -O2 -g
LDFLAGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
PKG_CONFIG ?= pkg-config
V ?= bin
Q = $(if $(VERBOSE),,@)

VERSION = 0.1.0
MANDIR = $(PREFIX)/share/man
COMPDIR = $(PREFIX)/share/bash-completion/completions
B = build/obj-$(V)
BIN = build/$(V)

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wcast-qual -Wcast-align -Wwrite-strings -Wpointer-arith -Wformat=2 \
	-Wundef -Wvla -Wnull-dereference -Wimplicit-fallthrough -fno-common
ifeq ($(WERROR),1)
WARN += -Werror
endif

# Read once; what is not there yet is told by the first line below.
BSD_CFLAGS := $(shell $(PKG_CONFIG) --cflags libbsd-overlay 2>/dev/null)
BSD_LIBS := $(shell $(PKG_CONFIG) --libs libbsd-overlay 2>/dev/null)
RAFT := $(shell $(PKG_CONFIG) --atleast-version=0.22 raft 2>/dev/null && echo yes)
ifeq ($(or $(MAKECMDGOALS),all)$(BSD_LIBS),all)
$(error libbsd is not there: "make deps" installs what a build needs)
endif

BASE_CFLAGS = -std=c11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(WARN) \
	-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -pthread -Ilib \
	$(BSD_CFLAGS)
BASE_LDFLAGS = -pie -Wl,-z,relro,-z,now,--as-needed -pthread
BASE_LIBS = $(BSD_LIBS)

# What lib needs beyond libc (--as-needed: a program gets what it uses), and
# what one program needs.  The small ones are linked in: a one-shot push spends
# more time on loading libraries than on the disk (1.1 against 0.5 ms).
LIB_LIBS = -Wl,-Bstatic -llmdb -lxxhash -ljson-c -lresolv -lbsd -lmd \
	-Wl,-Bdynamic -lisal -lm
LIBS_raftnode = -lraft -luv
LIBS_raftctl = -lhiredis
UNIT_LIBS_raft_fixture_test = -lraft

# A program is cmd/PROG.c with its cmd/PROG_*.c; raftnode needs a new libraft.
PROGS = $(patsubst cmd/%.c,%,$(filter-out $(wildcard cmd/*_*.c) \
	$(if $(RAFT),,cmd/raftnode.c),$(wildcard cmd/*.c)))
LIBOBJS = $(patsubst lib/%.c,$(B)/lib/%.o,$(wildcard lib/*.c))
UNITS = $(patsubst tests/%.c,$(BIN)/%,$(filter-out $(if $(RAFT),,\
	tests/unit/raft_%),$(wildcard tests/unit/*_test.c)))
BATS = $(wildcard tests/*.bats)
PAGES = $(wildcard man/*.[1-8])
COMPLETIONS = $(wildcard completions/*)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all deps demo check unit bats asan tsan lint bench torture fuzz \
	install uninstall clean

all: $(PROGS:%=$(BIN)/%)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  CC $@'
	$(Q)$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libcommon.a: $(LIBOBJS)
	@mkdir -p $(@D)
	@rm -f $@
	@echo '  AR $@'
	$(Q)$(AR) rcs $@ $^

# cmd/PROG.c and cmd/PROG_*.c; no % here, it would be the program's name.
.SECONDEXPANSION:
$(PROGS:%=$(BIN)/%): $(BIN)/%: $$(addprefix $(B)/,$$(addsuffix .o,$$(basename \
	$$(wildcard cmd/$$*.c cmd/$$*_*.c)))) $(B)/libcommon.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	$(Q)$(CC) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_$*) $(LIB_LIBS) $(BASE_LIBS)

$(BIN)/unit/%: $(B)/tests/unit/%.o $(B)/libcommon.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	$(Q)$(CC) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(UNIT_LIBS_$*) $(LIB_LIBS) $(BASE_LIBS)

# What follows may install packages first, so it begins anew once they are
# there.  Tests find the programs in $DSUTILS_BIN.
JOBS = 2
AGAIN = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
WITH_BIN = DSUTILS_BIN='$(CURDIR)/$(BIN)' PATH="$(CURDIR)/$(BIN):$$PATH"
PROVE = $(WITH_BIN) prove -j$(JOBS) --timer --failures --comments --exec tests/tap.sh

deps:
	@tests/deps.sh build $(if $(wildcard cmd/raftnode.c),raft)

demo: deps
	@$(AGAIN) all
	@$(if $(wildcard tests/demo.sh),$(WITH_BIN) tests/demo.sh)

# One run of prove, so that one line at the end counts every test.  TESTS
# names some of them: make check TESTS=tests/qpop.bats BATS_FILTER=empty
check: deps
	@tests/deps.sh test
	@$(AGAIN) all $(UNITS)
	@$(PROVE) $(or $(TESTS),$(BATS) $(UNITS))

unit:
	@$(AGAIN) check TESTS='$(UNITS)'

bats:
	@$(AGAIN) check TESTS='$(BATS)'

# The same tests under the sanitizers.
SAN = -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all
asan:
	@BATS_TEST_TIMEOUT=300 $(AGAIN) check V=asan \
	    CFLAGS='$(SAN) -fsanitize=address,undefined'

tsan:
	@BATS_TEST_TIMEOUT=300 $(AGAIN) check V=tsan CFLAGS='$(SAN) -fsanitize=thread'

lint: deps
	@tests/deps.sh lint
	@tests/lint.sh

# Every script of the kind, with TIME (seconds) and SEED in its environment.
bench torture fuzz: deps
	@tests/deps.sh test $@
	@$(AGAIN) all
	@for script in tests/$@/*.sh; do \
		[ -x "$$script" ] || continue; \
		echo "$$script"; \
		$(WITH_BIN) "$$script" || exit; \
	done

install: all
	for prog in $(PROGS); do \
		install -D "$(BIN)/$$prog" "$(DESTDIR)$(PREFIX)/bin/$$prog" || exit; \
	done
	for page in $(PAGES); do \
		install -D -m 644 "$$page" \
		    "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}" || exit; \
	done
	for file in $(COMPLETIONS); do \
		install -D -m 644 "$$file" \
		    "$(DESTDIR)$(COMPDIR)/$${file##*/}" || exit; \
	done

uninstall:
	for prog in $(PROGS); do rm -f "$(DESTDIR)$(PREFIX)/bin/$$prog"; done
	for page in $(PAGES); do \
		rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; \
	done
	for file in $(COMPLETIONS); do \
		rm -f "$(DESTDIR)$(COMPDIR)/$${file##*/}"; \
	done

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
