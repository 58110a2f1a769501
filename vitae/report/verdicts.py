"""The rule by which claims are judged."""

from dataclasses import dataclass

from vitae.report.statistics import Interval


@dataclass(frozen=True)
class Part:
    """One measurable part of a claim: a number over seeds that has to lie above, or below, a threshold.

    The rule, written before the records that it judges: `supported` if the whole 95% t-interval is on the claimed side,
    `contradicted` if the whole of it is on the other, else `undecided`; one seed has no interval and decides nothing.
    """

    what: str
    interval: Interval | None
    threshold: float
    below: bool = False
    digits: int = 3

    @property
    def finding(self) -> str:
        """supported, contradicted, undecided or not measured."""
        if self.interval is None:
            return "not measured"
        sign = -1 if self.below else 1
        middle, half = sign * (self.interval.mean - self.threshold), self.interval.half_width
        if middle - half > 0:
            return "supported"
        return "contradicted" if middle + half < 0 else "undecided"

    def text(self) -> str:
        """What was measured, against what, and the finding."""
        measured = "no records" if self.interval is None else self.interval.text(self.digits)
        seeds = f", {self.interval.seeds} seed{'s' * (self.interval.seeds != 1)}" if self.interval else ""
        return f"{self.what}: {measured} ({'<' if self.below else '>'} {self.threshold:g}{seeds}): {self.finding}"


@dataclass(frozen=True)
class Claim:
    """A sentence of the poster or of an abstract, the parts that it comes to, and where to see them."""

    name: str
    sentence: str
    parts: tuple[Part, ...]
    page: str

    @property
    def verdict(self) -> str:
        """holds: all parts are supported; holds in part: some are; does not hold: none is, and some are contradicted.

        undecided: none is either; not measured: no part has records. Parts without records keep a claim from holding,
        and from nothing else.
        """
        found = [part.finding for part in self.parts]
        if set(found) == {"supported"}:
            return "holds"
        if set(found) == {"not measured"}:
            return "not measured"
        if "supported" in found:
            return "holds in part"
        return "does not hold" if "contradicted" in found else "undecided"
