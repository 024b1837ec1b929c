# SPDX-License-Identifier: Apache-2.0
# A thin front door: everything is done by meson and by the programs in tools/.
#
#   make            build into build/
#   make demo       build, then run a container under the three binaries
#   make check      run everything that can be checked
#   make test       unit, conformance and service tests only
#   make install    DESTDIR= PREFIX=/usr

PREFIX ?= /usr
DESTDIR ?=
BUILD ?= build
MESON ?= meson

.DEFAULT_GOAL := all
.PHONY: all demo check test interop bench format lint asan install clean

$(BUILD)/build.ninja:
	$(MESON) setup $(BUILD) --prefix=$(PREFIX)

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

demo:
	tools/demo

check:
	tools/check

test: all
	$(MESON) test -C $(BUILD) --print-errorlogs

interop: all
	CTD_BUILD=$(abspath $(BUILD)) tests/interop/run

bench: all
	CTD_BUILD=$(abspath $(BUILD)) bench/run

format:
	tools/check-format --fix

lint:
	tools/check-format
	tools/check-layers
	tools/check-style

build-asan/build.ninja:
	$(MESON) setup build-asan --buildtype=debug -Db_sanitize=address,undefined -Db_lundef=false

asan: build-asan/build.ninja
	ninja -C build-asan

# The prefix is the caller's choice at this moment, whatever the tree was set up with before.
install: all
	$(MESON) configure $(BUILD) --prefix=$(PREFIX)
	DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan
