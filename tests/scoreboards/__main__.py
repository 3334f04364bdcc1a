"""Write the scoreboards: ``python -m tests.scoreboards``, or ``python -m tests.scoreboards formulas`` for one.

Each module here has a function `table`, which gives its table as Markdown; it is kept beside the module.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent

names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("[!_]*.py"))
for name in names:
    text = importlib.import_module(f"tests.scoreboards.{name}").table()
    (HERE / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
