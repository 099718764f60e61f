"""`make lmms-check`: the same saved predictions, scored by ours and by lmms-eval 0.7.3, row by row. Opt-in.

lmms-eval lives in an environment of its own, .venv-lmms: its pins and ours cannot share one. No code of it is here.

    check.py           the command: writes the world, asks the reference, compares, prints
    world.py           the invented benchmarks as both load them, and what a model wrote; in .venv
    outputs.py         what models write, by kind of question
    tasks.py           which tasks of lmms-eval are whose
    reference.py       lmms-eval's own tasks over the saved predictions; in .venv-lmms
    comparison.py      row by row: equal, a known difference, or a fault
    differences.csv    the known differences, each with its reason
    figures.txt        what the check printed
"""
