"""Write the outputs that are new: python -m tests.golden. Refuses a change of outputs without a raised version."""

import json
import sys

from tests.golden import FOLDER, GOLDENS, compute, load


def main() -> int:
    """0 all written; 2 when a version must be raised first."""
    for name, golden in GOLDENS.items():
        new, path = compute(name), FOLDER / f"{name}.json"
        old = load(name) if path.exists() else None
        if old is not None and new["outputs"] != old["outputs"] and new["version"] == old["version"]:
            remedy = f"Raise {golden.constant} first." if golden.constant else "They may not change: paid work is lost."
            print(f"{name}: outputs differ under version {old['version']}. {remedy}", file=sys.stderr)
            return 2
        if new != old:
            cases = (f"{json.dumps(case)}: {json.dumps(new['outputs'][case])}" for case in sorted(new["outputs"]))
            lines = ",\n".join(cases)  # a case a line, so that a change can be read as a diff
            path.write_text(
                f'{{"version": {json.dumps(new["version"])}, "outputs": {{\n{lines}\n}}}}\n', encoding="ascii"
            )
            print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
