# snapd-backup: everything a person or a machine does with a clone. `make` alone lists the targets.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
UNITDIR    ?= $(LIBDIR)/systemd/system
SYSCONFDIR ?= /etc
DESTDIR    ?=

# An interpreter >= 3.11 with venv. `make dev PYTHON=...` and `make install PYTHON=...` choose another.
PYTHON     ?=
PYTEST     ?= .venv/bin/pytest
TESTS      ?= tests

# Of TESTS what boots a real systemd, and the others.
BOOTED = $(patsubst tests,tests/systemd,$(filter tests tests/systemd%,$(TESTS)))
OTHERS = $(filter-out tests/systemd%,$(TESTS))

export PYTHON

# For these two only: whatever else runs `make install` inside, as the tests do, chooses its own folders.
install uninstall: export PREFIX := $(PREFIX)
install uninstall: export BINDIR := $(BINDIR)
install uninstall: export LIBDIR := $(LIBDIR)
install uninstall: export UNITDIR := $(UNITDIR)
install uninstall: export SYSCONFDIR := $(SYSCONFDIR)
install uninstall: export DESTDIR := $(DESTDIR)

.DEFAULT_GOAL := help
.PHONY: help dev check test demo bench docs install uninstall clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

dev: .venv/.stamp  ## make the virtual environment .venv, for work on the program

.venv/.stamp: pyproject.toml
	test -x .venv/bin/python || { python=$$(packaging/choose-python.sh) && "$$python" -m venv .venv; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: dev  ## lint, format, types, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test: dev  ## every test; as root on Debian it installs what they need
	@packaging/need.sh borg:borgbackup setpriv:util-linux systemd-nspawn:systemd-container gcc:gcc \
	  || test -z "$$CI"
	@test "$$(id -u)" = 0 || echo "Not root: tests/systemd boots a real systemd and needs root; it will not run."
	$(if $(OTHERS),$(PYTEST) -rs -n auto --dist loadgroup --ignore tests/systemd $(OTHERS))
	$(if $(BOOTED),$(PYTEST) -rs $(BOOTED))

demo: dev  ## about a minute of the real daemon on a local Borg store
	@packaging/need.sh borg:borgbackup
	.venv/bin/python demo/demo.py

bench: dev  ## measure the budgets beside their rivals and write docs/performance.md
	@packaging/need.sh borg:borgbackup
	@test -x .venv-bench/bin/borgmatic || .venv/bin/python -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check borgmatic tarsnapper
	.venv/bin/python -m bench $(BENCH)

docs: dev  ## write the catalogue of events into docs/journal.md
	.venv/bin/python docs/journal.py

install:  ## install below PREFIX (/usr/local), into DESTDIR when it is set
	@packaging/install.sh install

uninstall:  ## remove what `make install` laid down; config and state stay
	@packaging/install.sh uninstall

clean:  ## remove everything that was made here, .venv included
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
