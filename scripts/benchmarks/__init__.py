"""./scripts/bench: questions about speed and size, each answered by measuring its arms in the same run.

__main__.py    the command line
run.py         who measures: the options, progress on the terminal, rounds that interleave the arms
results.py     what was measured, as data; JSON
report.py      the data as terminal text and docs/benchmarks.md; plot.py draws it
stacks.py      compose projects to measure; engine.py reads CPU, memory and layers of containers
arms.py        ours, cookiecutter-django's and ours with one choice undone, in one project; load.py sends them requests
servers.py     PostgreSQL servers that differ in their settings, and TPC-B on them; plans.py reads what EXPLAIN says
questions/     one module a question: NAME, TITLE and answer(run) -> Answer
inside/        what goes into containers: the load generator's image, settings of arms
"""
