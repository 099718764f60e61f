"""Loaders: one file a benchmark, from its layout on the hub; videor1_json.py from Video-R1's evaluation files.

`loading.load_hub`, `videor1_json.load_videor1` and `demo.load_demo` give the same type, question.LoadedBenchmark.
"""
