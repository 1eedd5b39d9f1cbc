# What you can do here. Start with `make demo`.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test check fmt bench examples generate dist clean
.NOTPARALLEL:

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## make .venv with everything that is needed (once)
	@scripts/setup

demo: setup ## see it work: a whole TaskHub in an empty folder, for half a minute
	@.venv/bin/taskhub demo

up: setup ## run it here, data under ./data, until Ctrl-C
	@.venv/bin/taskhub dev

test: setup ## run the tests, on each Python that is here
	@scripts/test

check: setup ## format, lint, types, layers
	@scripts/check

fmt: setup ## format, and mend what the linter can mend itself
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

bench: setup ## measure speed on this machine: a table, and JSON
	@.venv/bin/python -m benchmarks

generate: ## make anew what is made from code: TypeScript's types, Postman's files, dashboards
	@scripts/generate

examples: ## build the Angular example (needs Node.js 20.19)
	@scripts/examples

dist: setup ## make the packages in dist/: a wheel, one executable file, a Debian package
	@scripts/dist

clean: ## take away what was made here, ./data excepted
	@rm -rf .venv .venvs .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist
	@rm -rf clients/typescript/node_modules clients/typescript/dist
	@rm -rf tests/newman/node_modules tests/dashboards/node_modules tests/acceptance/provider/node_modules
	@rm -rf examples/angular/node_modules examples/angular/dist examples/angular/.angular
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
