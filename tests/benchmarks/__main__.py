"""Run all benchmarks: ``python -m tests.benchmarks``; or one: ``python -m tests.benchmarks speed --rows mlp``.

``python -m tests.benchmarks --table`` writes the page of the suite of speed; it takes that suite's options.
"""

import sys

from tests.benchmarks import calls, compile_time, digits_step, hessians, products, start
from tests.benchmarks.speed import command as speed

if sys.argv[1:2] == ["speed"]:
    speed.main(sys.argv[2:])
elif "--table" in sys.argv:
    speed.main(sys.argv[1:])
else:
    start.main()
    calls.main()
    compile_time.main()
    digits_step.main()
    products.main()
    hessians.main()
    speed.main()
