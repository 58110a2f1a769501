"""The rule by which claims are judged. It was written before the records that it judges."""

from dataclasses import dataclass

from vitae.report.statistics import Interval


@dataclass(frozen=True)
class Part:
    """One measurable part of a claim: a number over seeds that must lie above, or below, a threshold.

    Attributes:
        what: what the number is, for readers.
        interval: its mean and 95% t-interval over seeds; None if there are no records.
        threshold: in the unit of the number.
        below: whether the number must lie below the threshold.
        digits: decimals to print.
    """

    what: str
    interval: Interval | None
    threshold: float
    below: bool = False
    digits: int = 3

    @property
    def finding(self) -> str:
        """supported, contradicted, undecided or not measured.

        Supported: the whole interval is on the claimed side of the threshold. Contradicted: the whole interval is on
        the other side. Undecided: anything else, including a single seed, which has no interval.
        """
        if self.interval is None:
            return "not measured"
        sign = -1 if self.below else 1
        middle, half = sign * (self.interval.mean - self.threshold), self.interval.half_width
        if middle - half > 0:
            return "supported"
        return "contradicted" if middle + half < 0 else "undecided"

    def text(self) -> str:
        """The number, its threshold and the finding in one line."""
        measured = "no records" if self.interval is None else self.interval.text(self.digits)
        seeds = f", {self.interval.seeds} seed{'s' * (self.interval.seeds != 1)}" if self.interval else ""
        return f"{self.what}: {measured} ({'<' if self.below else '>'} {self.threshold:g}{seeds}): {self.finding}"


@dataclass(frozen=True)
class Claim:
    """A sentence of the poster or of an abstract.

    Attributes:
        name: short, for code.
        sentence: for readers.
        parts: the numbers that decide it.
        page: the notebook that shows them.
    """

    name: str
    sentence: str
    parts: tuple[Part, ...]
    page: str

    @property
    def verdict(self) -> str:
        """holds, holds in part, does not hold, undecided or not measured.

        Holds: all parts are supported. Holds in part: some parts are supported. Does not hold: no part is supported
        and some are contradicted. Undecided: no part is supported or contradicted. Not measured: no part has records.
        """
        findings = [part.finding for part in self.parts]
        if set(findings) == {"supported"}:
            return "holds"
        if set(findings) == {"not measured"}:
            return "not measured"
        if "supported" in findings:
            return "holds in part"
        return "does not hold" if "contradicted" in findings else "undecided"
