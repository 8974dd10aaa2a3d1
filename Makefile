# make demo      a vehicle localizes itself in a simulated city; the report is in demo_out/
# make test      all tests (PYTEST_ARGS='test/geometry -k wrap' for some)
# make coverage  the same, and how much of the code they run; by line in htmlcov/index.html
# make lint      the linters alone
# make types     check the types
# make setup     the virtual environment .venv, which the others make for themselves
# make clean     remove what they made

PYTHON ?= python3
PYTEST_ARGS ?=

# A sourced ROS installation must not mix with the one in .venv.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: help setup demo test coverage lint types clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup:
	@command -v $(PYTHON) > /dev/null || { \
		echo 'setup: Python is missing: sudo apt-get install python3 python3-venv python3-dev'; \
		exit 1; }
	@$(PYTHON) tools/setup.py

demo: setup
	@.venv/bin/fg2 demo --output demo_out

test: setup
	@.venv/bin/python -m pytest $(PYTEST_ARGS)

coverage: setup
	@.venv/bin/python -m pytest --cov --cov-report=term --cov-report=html --cov-report=xml \
		$(PYTEST_ARGS)

lint: setup
	@.venv/bin/python -m pytest test/test_style.py

types: setup
	@.venv/bin/python -m mypy

clean:
	rm -rf .venv demo_out build install log .pytest_cache .hypothesis .mypy_cache \
		.coverage coverage.xml htmlcov
