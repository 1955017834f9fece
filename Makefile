# make help | demo | test | install. Needs make and a Python >= 3.10; each script says what to do when something is
# missing. PYTHON=/path/to/python3 chooses the interpreter.
.POSIX:
.SUFFIXES:

FIND_PYTHON = \
	if [ -n "$(PYTHON)" ]; then list="$(PYTHON)"; \
	else list="python3 python3.14 python3.13 python3.12 python3.11 python3.10 python"; \
	for f in $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1[0-9]*/bin/python3 /usr/local/bin/python3 /usr/bin/python3; do \
	[ -x "$$f" ] && list="$$list $$f"; done; fi; \
	old=; bare=; py=; \
	for p in $$list; do \
	if ! "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then \
	command -v "$$p" >/dev/null 2>&1 && old="$$old $$p"; \
	elif ! "$$p" -c 'import venv, ensurepip' >/dev/null 2>&1; then bare="$$p"; \
	else py="$$p"; break; fi; done; \
	if [ -z "$$py" ] && [ -n "$$bare" ]; then \
	echo "$$bare has no module venv or ensurepip: on Debian and Ubuntu, apt install python3-venv;" >&2; \
	echo "then run make again, or name another Python: make PYTHON=/path/to/python3 $@" >&2; exit 1; \
	elif [ -z "$$py" ]; then \
	echo "Sodalite needs Python 3.10 or later, and none was found (looked at:$${old:- nothing there}):" >&2; \
	echo "install one (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python;" >&2; \
	echo "or python.org), or name it: make PYTHON=/path/to/python3 $@" >&2; exit 1; fi

help:
	@echo "make demo      classify a photo with a real model, in a virtual environment in .demo/"
	@echo "make test      run every check on every Python >= 3.10 of this machine"
	@echo "make install   install the packages into the active virtual environment, or a new one in .venv/"
	@echo "make clean     remove what these made (.demo/ .tox/ .wheels/)"
	@echo "PYTHON=/path/to/python3 chooses the interpreter"

demo:
	@$(FIND_PYTHON); exec "$$py" scripts/demo.py

install:
	@$(FIND_PYTHON); exec "$$py" scripts/demo.py --install

test:
	@$(FIND_PYTHON); exec "$$py" scripts/check.py $(ARGS)

clean:
	rm -rf .demo .tox .wheels

.PHONY: help demo install test clean
