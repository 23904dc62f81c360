"""Small charts as the numbers of an SVG; the templates draw them (templates/console/chart_*.html)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Bars:
    bars: list[Bar]
    highest: float
    limit_y: float | None
    first: str
    last: str
    width: int = WIDTH
    height: int = HEIGHT


def bars(values: Sequence[tuple[date, int]], *, limit: int | None = None) -> Bars:
    """One bar a day; `limit` is a line across, where it is not far above them all."""
    most = max([value for _, value in values], default=0)
    highest = max(most, limit if limit is not None and limit <= most * 3 else 0, 1)
    step = WIDTH / max(len(values), 1)
    drawn = [
        Bar(
            x=round(index * step + step * 0.12, 2),
            y=round(HEIGHT - HEIGHT * value / highest, 2),
            width=round(step * 0.76, 2),
            height=round(HEIGHT * value / highest, 2),
            title=f"{day:%d %b}: {value:,} requests",
        )
        for index, (day, value) in enumerate(values)
    ]
    return Bars(
        bars=drawn,
        highest=highest,
        limit_y=round(HEIGHT - HEIGHT * limit / highest, 2) if limit is not None and limit <= highest else None,
        first=f"{values[0][0]:%d %b}" if values else "",
        last=f"{values[-1][0]:%d %b}" if values else "",
    )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A while in one state."""

    x: float
    width: float
    state: str
    title: str


def stretches(
    moments: Sequence[tuple[datetime, str]], *, since: datetime, until: datetime, most: timedelta
) -> list[Stretch]:
    """Each state lasts until the next moment, but no longer than `most`: after that nobody knew."""
    whole = (until - since).total_seconds()
    drawn: list[Stretch] = []
    for index, (at, state) in enumerate(moments):
        end = min(moments[index + 1][0] if index + 1 < len(moments) else until, at + most)
        x = max((at - since).total_seconds(), 0) / whole * WIDTH
        width = (end - at).total_seconds() / whole * WIDTH
        last = drawn[-1] if drawn else None
        if last and last.state == state and x - (last.x + last.width) < 0.5:
            drawn[-1] = Stretch(last.x, x + width - last.x, state, last.title)
        else:
            drawn.append(Stretch(x, width, state, f"{state} since {at:%H:%M} UTC"))
    return drawn


def line(points: Iterable[tuple[datetime, float | None]], *, since: datetime, until: datetime) -> list[str]:
    """The lines through shares of 0 to 1; where one is missing, a line ends and the next begins."""
    whole = (until - since).total_seconds()
    lines: list[list[str]] = [[]]
    for at, share in points:
        if share is None:
            lines.append([])
        else:
            x = (at - since).total_seconds() / whole * WIDTH
            lines[-1].append(f"{x:.1f},{HEIGHT - HEIGHT * min(max(share, 0), 1):.1f}")
    return [" ".join(points) for points in lines if len(points) > 1]
