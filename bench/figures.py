"""How the benchmarks tell what they measured."""

import sys


def tell(what: str, seconds: list[float]) -> None:
    in_order = [f"{second * 1000:6.0f} ms" for second in sorted(seconds)]
    last = len(in_order) - 1
    shown = f"p50 {in_order[last // 2]}   p95 {in_order[last * 95 // 100]}   worst {in_order[last]}"
    sys.stdout.write(f"{what:<28} {shown}\n")
