# followup-scheduler: "make demo" to see it work, "make check" to test it;
# tests/demo and tests/check are the same where there is no make yet.
#
#   CC=clang                        another compiler
#   BUILD=build/clang               another folder for what is built
#   SANITIZE=address,undefined      with sanitizers; works with every target
#   WERROR=                         warnings do not stop the build
#   V=1                             show whole commands
#   PREFIX=/usr/local  DESTDIR=     where install puts things

ifeq ($(origin CC),default)
CC = gcc
endif
BUILD ?= build
PREFIX ?= /usr/local
PKG_CONFIG ?= pkg-config
WERROR ?= -Werror

SBIN = $(DESTDIR)$(PREFIX)/sbin
BIN = $(DESTDIR)$(PREFIX)/bin
SHARE = $(DESTDIR)$(PREFIX)/share/followup-scheduler
DOC = $(DESTDIR)$(PREFIX)/share/doc/followup-scheduler
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
TMPFILES = $(DESTDIR)$(PREFIX)/lib/tmpfiles.d

DAEMONS = followup-listener followup-schedule followup-execute
DOUBLES = cloud-tasks-emulator voice-agent
UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%, \
    $(sort $(wildcard tests/unit/*.c)))
SQL_TESTS = $(patsubst tests/sql/%.c,$(BUILD)/tests/sql/%, \
    $(wildcard tests/sql/*.c))
BENCH_PROGRAMS = $(patsubst %,$(BUILD)/bench/%,task-api floor inserter \
    caller)
FUZZ_TARGETS = $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%, \
    $(filter-out %/replay.c,$(sort $(wildcard tests/fuzz/*.c))))

#
# Flags
#

WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wmissing-prototypes
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)

# PIE, full RELRO, stack protector; control-flow checks where the machine has
# them.  _FORTIFY_SOURCE and sanitizers do not go together.
HARDEN = -fPIE -fstack-protector-strong \
    $(if $(filter x86_64-%,$(MACHINE)),-fcf-protection) \
    $(if $(IS_CLANG),,-fstack-clash-protection)
HARDEN_LD = -pie -Wl,-z,relro,-z,now,-z,noexecstack
ifdef SANITIZE
HARDEN += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
    -fno-omit-frame-pointer
HARDEN_LD += -fsanitize=$(SANITIZE)
else
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

# libfcgi comes without a .pc file.  The doubles need libmicrohttpd too, the
# unit tests cmocka: what is installed builds without them.
packages = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)
PKG_CFLAGS := $(call packages,--cflags,libpq libcurl jansson libcrypto)
TEST_CFLAGS := $(call packages,--cflags,libmicrohttpd) \
    $(call packages,--cflags,cmocka)
LIBS := $(call packages,--libs,libpq libcurl jansson libcrypto) -lfcgi
DOUBLE_LIBS := $(call packages,--libs,libmicrohttpd)
TEST_LIBS := $(DOUBLE_LIBS) $(call packages,--libs,cmocka libssl)

# A program sees its own folder and the library's; tests see all of them.
CPPFLAGS += -D_GNU_SOURCE -Icgi/lib -I$(BUILD)/made $(PKG_CFLAGS)
TEST_CPPFLAGS = -Icgi/schedule -Icgi/execute -Ilistener -Itests/emulator \
    $(TEST_CFLAGS)
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c11 $(CFLAGS) -pthread $(WARNINGS) $(WERROR) $(HARDEN)
ALL_LDFLAGS = $(LDFLAGS) -pthread $(HARDEN_LD) -Wl,--as-needed

#
# Building
#

Q = $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)  $@')

# What is installed; what stands in for Google and the voice agent in tests.
all: $(addprefix $(BUILD)/,$(DAEMONS))
doubles: $(addprefix $(BUILD)/,$(DOUBLES))
unit: $(UNIT_TESTS) $(SQL_TESTS)
fuzz-targets: $(FUZZ_TARGETS)
bench-programs: $(BENCH_PROGRAMS)

# objects FOLDER: those of all its .c files but main.c.
objects = $(patsubst %.c,$(BUILD)/obj/%.o, \
    $(filter-out %/main.c,$(sort $(wildcard $(1)/*.c))))

LIBRARY = $(BUILD)/libfollowup.a
PARTS = $(BUILD)/libschedule.a $(BUILD)/libexecute.a $(BUILD)/liblistener.a

$(LIBRARY): $(call objects,cgi/lib)
$(BUILD)/libschedule.a: $(call objects,cgi/schedule)
$(BUILD)/libexecute.a: $(call objects,cgi/execute)
$(BUILD)/liblistener.a: $(call objects,listener)
$(BUILD)/libemulator.a: $(call objects,tests/emulator)

# An archive is made anew: a member whose source is gone must not stay in it.
%.a: $(BUILD)/flags
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

define LINK
$(call say,LD)
$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
endef

$(BUILD)/followup-schedule: $(BUILD)/obj/cgi/schedule/main.o \
    $(BUILD)/libschedule.a $(LIBRARY)
	$(LINK)
$(BUILD)/followup-execute: $(BUILD)/obj/cgi/execute/main.o \
    $(BUILD)/libexecute.a $(LIBRARY)
	$(LINK)
$(BUILD)/followup-listener: $(BUILD)/obj/listener/main.o \
    $(BUILD)/liblistener.a $(LIBRARY)
	$(LINK)
$(BUILD)/cloud-tasks-emulator: $(BUILD)/obj/tests/emulator/main.o \
    $(BUILD)/libemulator.a $(LIBRARY)
	$(LINK) $(DOUBLE_LIBS)
$(BUILD)/voice-agent: $(BUILD)/obj/tests/voice-agent/main.o \
    $(call objects,tests/voice-agent) $(BUILD)/libemulator.a $(LIBRARY)
	$(LINK) $(DOUBLE_LIBS)
$(UNIT_TESTS) $(SQL_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(PARTS) \
    $(LIBRARY)
	@mkdir -p $(@D)
	$(LINK) $(TEST_LIBS)

# A fuzz target gets its main function from libFuzzer, or runs the inputs that
# it is given.
FUZZ_MAIN = $(if $(findstring fuzzer,$(SANITIZE)),, \
    $(BUILD)/obj/tests/fuzz/replay.o)
FUZZ_LIBS = $(DOUBLE_LIBS) $(if $(FUZZ_MAIN),,-fsanitize=fuzzer)
$(FUZZ_TARGETS): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o \
    $(FUZZ_MAIN) $(PARTS) $(BUILD)/libemulator.a $(LIBRARY)
	@mkdir -p $(@D)
	$(LINK) $(FUZZ_LIBS)

$(BENCH_PROGRAMS): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(LINK)

$(BUILD)/obj/tests/%.o: CPPFLAGS += $(TEST_CPPFLAGS)
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The page of GET /status as an array of its lines.
$(BUILD)/obj/cgi/schedule/status_page.o: $(BUILD)/made/status_html.h
$(BUILD)/made/status_html.h: cgi/schedule/status.html
	@mkdir -p $(@D)
	$(Q)sed -e 's/[\\"]/\\&/g' -e 's/^/	"/' -e 's/$$/\\n",/' $< >$@

# Written only when they differ, so that other flags rebuild everything.
FLAGS = $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LIBS) $(TEST_LIBS)
$(BUILD)/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

#
# Running and testing
#

demo:
	+MAKE='$(MAKE)' FOLLOWUP_BUILD='$(BUILD)' tests/demo

check:
	+MAKE='$(MAKE)' tests/check '$(BUILD)'

# The daemons' statements, for the rehearsal of install and verify.
statements: $(BUILD)/tests/unit/rehearsal
	$< print >sql/part-statements.sql

# What the unit tests run of the product, by file.
coverage:
	tests/deps check
	+$(MAKE) CC=gcc BUILD=$(BUILD)/coverage CFLAGS='-Og -g --coverage' unit
	tests/coverage $(BUILD)/coverage

# Do the unit and SQL tests notice what tests/mutants breaks?
mutants:
	tests/deps check
	FOLLOWUP_BUILD=$(abspath $(BUILD)) tests/mutants/run

# SEED=, BOOKINGS=, SPAN= and the rest: see tests/chaos/run.
chaos:
	tests/deps check
	+$(MAKE) all doubles
	FOLLOWUP_BUILD=$(abspath $(BUILD)) tests/chaos/run

# How long each fuzz target runs.
SECONDS = 60
fuzz:
	tests/deps check
	+$(MAKE) CC=clang BUILD=$(BUILD)/fuzz \
	    SANITIZE=fuzzer-no-link,address,undefined,float-cast-overflow \
	    fuzz-targets
	tests/fuzz/run fuzz $(BUILD)/fuzz $(SECONDS)

# BENCH=quick and the scenarios: see tests/bench/run.
bench:
	tests/deps bench
	+$(MAKE) all doubles bench-programs
	FOLLOWUP_BUILD=$(abspath $(BUILD)) tests/bench/run $(SCENARIOS)

# SECONDS=, RATE=, CROWD= and the rest: see the two scripts.
bench-hostile:
	tests/deps check
	+$(MAKE) all doubles
	FOLLOWUP_BUILD=$(abspath $(BUILD)) tests/bench/callback-flood
	FOLLOWUP_BUILD=$(abspath $(BUILD)) tests/bench/hostile-clients

SHELL_SCRIPTS = .ci/run sql/followup-trigger nginx/followup-nginx \
    tests/stack tests/demo \
    tests/deps tests/check tests/coverage tests/mutants/run tests/sql/run \
    tests/fuzz/run tests/chaos/run \
    tests/bench/callback-flood tests/bench/hostile-clients \
    tests/bench/postgres
# Code that only a trap or bats calls is not unreachable.
SHELL_NOISE = SC2317
BATS_FILES = $(wildcard tests/*/*.bats tests/*/*.bash)
C_FILES = $(wildcard cgi/*/*.c listener/*.c tests/*/*.c)
# It reads no system headers: macros of theirs that look like statements.
CPPCHECK_MACROS = --include=/usr/include/jansson.h \
    --include=/usr/include/$(MACHINE)/sys/queue.h
TIDY_FLAGS = $(CPPFLAGS) $(TEST_CPPFLAGS) -std=c11

lint: lint-shell lint-cppcheck lint-tidy
lint-shell:
	shellcheck -x -e $(SHELL_NOISE) $(SHELL_SCRIPTS)
	shellcheck -x -e $(SHELL_NOISE) -s bash $(BATS_FILES)
lint-cppcheck:
	cppcheck --quiet -j $$(nproc) --std=c11 --error-exitcode=1 \
	    --enable=warning,performance,portability --inline-suppr \
	    $(CPPCHECK_MACROS) -D_GNU_SOURCE -Icgi/lib $(TEST_CPPFLAGS) \
	    $(C_FILES)
# What has passed is looked at again only when it or a header has changed.
lint-tidy:
	+$(MAKE) -j$$(nproc) $(C_FILES:%=$(BUILD)/tidy/%)
$(BUILD)/tidy/%: % $(BUILD)/made/status_html.h .clang-tidy \
    $(wildcard cgi/*/*.h listener/*.h tests/*/*.h tests/*/*/*.h)
	@mkdir -p $(@D)
	clang-tidy --quiet $< -- $(TIDY_FLAGS)
	@touch $@

clean:
	rm -rf $(BUILD)

#
# Installing
#

# DESTDIR and PREFIX may have blanks: each path is one word of the shell.
install: all
	install -d "$(SBIN)" "$(BIN)" "$(SHARE)/sql" "$(SHARE)/nginx" \
	    "$(UNITS)" "$(TMPFILES)" "$(DOC)/examples"
	install -m 755 $(addprefix $(BUILD)/,$(DAEMONS)) "$(SBIN)"
	install -m 755 sql/followup-trigger "$(BIN)"
	install -m 755 nginx/followup-nginx "$(SBIN)"
	sed -i 's,/usr/local/,$(PREFIX)/,' "$(SBIN)/followup-nginx"
	install -m 644 nginx/followup-scheduler.tmpfiles \
	    "$(TMPFILES)/followup-scheduler.conf"
	install -m 644 sql/*.sql "$(SHARE)/sql"
	install -m 644 nginx/*.conf "$(SHARE)/nginx"
	install -m 644 .env.example "$(SHARE)"
	install -m 644 cgi/schedule/prometheus/followup-alerts.yaml \
	    cgi/schedule/grafana/followup-scheduler.json "$(DOC)/examples"
	for unit in */*.service */*/*.service; do \
	    sed 's,=/usr/local/\(.*\),="$(PREFIX)/\1",' $$unit \
	    >"$(UNITS)/$${unit##*/}" || exit 1; done

uninstall:
	for name in $(DAEMONS) followup-nginx; do \
	    rm -f "$(SBIN)/$$name" "$(UNITS)/$$name.service" || exit 1; done
	rm -f "$(BIN)/followup-trigger" "$(TMPFILES)/followup-scheduler.conf"
	rm -rf "$(SHARE)" "$(DOC)"

# The database is the one that psql finds: PGHOST and so on, or DATABASE_URL.
# TRIGGER_FLAGS='--schema S --table T --grant-to ROLE' for other names.
install-trigger:
	sql/followup-trigger install \
	    $${DATABASE_URL:+--dbname "$$DATABASE_URL"} $(TRIGGER_FLAGS)

.PHONY: all doubles unit fuzz-targets bench-programs fuzz demo check chaos \
    statements coverage mutants bench bench-hostile lint lint-shell \
    lint-cppcheck lint-tidy clean install uninstall install-trigger always
.DELETE_ON_ERROR:
