# dsutils: one Makefile, GNU make.  `make demo` and `make check` are all a
# newcomer needs; README.md says what the other targets do.

PROGS = $(patsubst cmd/%.c,%,$(filter-out $(wildcard cmd/*_*.c),$(wildcard cmd/*.c)))

# These belong to the user and come last on every command line.
CC ?= cc
CFLAGS ?= -O2 -g
LDFLAGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
PKG_CONFIG ?= pkg-config
V ?= bin

VERSION = 0.1.0
MANDIR = $(PREFIX)/share/man
B = build/obj-$(V)
BIN = build/$(V)

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wcast-qual -Wcast-align -Wwrite-strings -Wpointer-arith -Wformat=2 \
	-Wundef -Wvla -Wnull-dereference -Wimplicit-fallthrough -fno-common
ifeq ($(WERROR),1)
WARN += -Werror
endif

BASE_CFLAGS = -std=c11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(WARN) \
	-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -pthread -Ilib \
	$(shell $(PKG_CONFIG) --cflags libbsd-overlay 2>/dev/null)
BASE_LDFLAGS = -pie -Wl,-z,relro,-z,now -pthread
BASE_LIBS = $(shell $(PKG_CONFIG) --libs libbsd-overlay 2>/dev/null)

# What a program or a library module needs beyond libbsd.
QUEUE_LIBS = -llmdb -lisal -lxxhash -ljson-c
LIBS_qpush = $(QUEUE_LIBS)
LIBS_qpop = $(QUEUE_LIBS)
LIBS_qdepth = $(QUEUE_LIBS)
LIBS_qctl = $(QUEUE_LIBS)

LIBOBJS = $(patsubst lib/%.c,$(B)/lib/%.o,$(wildcard lib/*.c))
UNITS = $(patsubst tests/unit/%.c,build/$(V)/unit/%,$(wildcard tests/unit/*_test.c))

.DELETE_ON_ERROR:
.PHONY: all check demo deps unit bats asan tsan lint bench torture fuzz \
	install uninstall clean

all: $(PROGS:%=$(BIN)/%)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libcommon.a: $(LIBOBJS)
	@rm -f $@
	$(AR) rcs $@ $^

# cmd/PROG.c with its cmd/PROG_part.c files.
.SECONDEXPANSION:
$(PROGS:%=$(BIN)/%): $(BIN)/%: $$(patsubst %.c,$(B)/%.o,$$(wildcard cmd/$$*.c cmd/$$*_*.c)) $(B)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_$*) $(BASE_LIBS)

$(BIN)/unit/%: $(B)/tests/unit/%.o $(B)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(BASE_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(QUEUE_LIBS) $(BASE_LIBS)

clean:
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
