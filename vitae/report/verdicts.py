"""The rule by which claims are judged.

A claim has parts, each a number over seeds with a threshold and the smallest effect that matters. A part is

- supported if the number lies beyond the threshold by more than that effect,
- contradicted if it lies on the other side by more than that effect,
- of no difference that matters if it lies within that effect of the threshold,

each by one-sided t-tests at 2.5%, adjusted by Holm's method for the number of the claim's parts, and undecided
otherwise. Before that, parts drop out for which there are no records, whose runs did not converge, or whose score
cannot tell the models apart.

Necessary parts decide the verdict: the claim does not hold if one is contradicted, and holds if all are supported.
Supporting parts can only make "holds" into "holds in part". A sentence that itself has several parts holds in part if
some are supported and no necessary one is contradicted.
"""

import math
from dataclasses import dataclass

from vitae.report.statistics import Interval, holm

# Of each of the two one-sided tests, so that both together are a two-sided test at 5%.
SIGNIFICANCE = 0.025

SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNDECIDED = (
    "supported",
    "contradicted",
    "no difference that matters",
    "undecided",
)
NOT_MEASURED, TOO_SHORT, CANNOT_TELL = "not measured", "not trained long enough", "the score cannot tell"


@dataclass(frozen=True)
class Part:
    """One measurable part of a claim: a number over seeds that must lie above, or below, a threshold.

    Attributes:
        what: what the number is, for readers.
        interval: its mean over seeds, or a difference of two; None if there are no records.
        threshold: in the unit of the number.
        effect: the smallest distance from the threshold that matters, in the same unit.
        below: the claim is that the number is below the threshold.
        necessary: whether the claim fails without it; otherwise the part is supporting.
        digits: decimal places to print.
        obstacle: why the number decides nothing, or would not if it were there: `TOO_SHORT`, `CANNOT_TELL` or "".
        basis: data, epochs, steps, seeds and network of the runs.
    """

    what: str
    interval: Interval | None
    threshold: float
    effect: float = 0.0
    below: bool = False
    necessary: bool = True
    digits: int = 3
    obstacle: str = ""
    basis: str = ""

    @property
    def chances(self) -> dict[str, float]:
        """Finding -> the p-value of its opposite; nan for a single seed."""
        inner, outer = self.threshold - self.effect, self.threshold + self.effect
        above, under = self.interval.chance_below(outer), self.interval.chance_above(inner)
        # Within: both of two tests must reject, so the larger p-value counts.
        within = max(self.interval.chance_below(inner), self.interval.chance_above(outer))
        supported, contradicted = (under, above) if self.below else (above, under)
        return {SUPPORTED: supported, CONTRADICTED: contradicted, NO_DIFFERENCE: within}

    def text(self, finding: str) -> str:
        """The number, its threshold, the finding and what it rests on, in one line.

        Args:
            finding: of this part, see `Claim.findings`.
        """
        sign = "<" if self.below else ">"
        margin = f", by more than {self.effect:g}" if self.effect else ""
        measured = "no records"
        if self.interval:
            measured = self.interval.text(self.digits)
            if self.interval.seeds < 3 and len(self.interval.values) > 1:
                measured += f" ({', '.join(f'{each:.{self.digits}f}' for each in self.interval.values)})"
        role = "" if self.necessary else " (supporting)"
        basis = f". {self.basis}" if self.basis else ""
        return f"{self.what}{role}: {measured}; claimed {sign} {self.threshold:g}{margin}: {finding}{basis}"


@dataclass(frozen=True)
class Claim:
    """A sentence of the poster or of an abstract.

    Attributes:
        name: short, for code.
        sentence: for readers.
        parts: the numbers that decide it.
        page: the notebook that shows them.
        compound: whether the sentence itself says several things, so that it can hold in part.
    """

    name: str
    sentence: str
    parts: tuple[Part, ...]
    page: str
    compound: bool = False

    @property
    def findings(self) -> tuple[str, ...]:
        """The finding of each part, adjusted for the number of parts that were tested."""
        found = [part.obstacle or (NOT_MEASURED if part.interval is None else UNDECIDED) for part in self.parts]
        tested = [i for i, finding in enumerate(found) if finding == UNDECIDED]
        for finding in (SUPPORTED, CONTRADICTED, NO_DIFFERENCE):
            adjusted = holm([self.parts[i].chances[finding] for i in tested])
            for i, chance in zip(tested, adjusted, strict=True):
                if not math.isnan(chance) and chance < SIGNIFICANCE:
                    found[i] = finding
        return tuple(found)

    @property
    def verdict(self) -> str:
        """holds, holds in part, does not hold, or why it is not decided; see the module."""
        findings = self.findings
        necessary = [finding for part, finding in zip(self.parts, findings, strict=True) if part.necessary]
        if CONTRADICTED in necessary:
            return "does not hold"
        if set(necessary) == {SUPPORTED}:
            return "holds" if set(findings) == {SUPPORTED} else "holds in part"
        if self.compound and SUPPORTED in necessary:
            return "holds in part"
        for obstacle in (TOO_SHORT, NOT_MEASURED, CANNOT_TELL):
            if obstacle in necessary:
                return obstacle
        return NO_DIFFERENCE if set(necessary) <= {SUPPORTED, NO_DIFFERENCE} else UNDECIDED
