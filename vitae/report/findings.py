"""What was found so far, in a few sentences: numbers from records, and beside each sentence what it rests on.

A sentence is about whether a model's two spaces are separate, by what probes read from posterior draws. It rests on the
converged runs of profile full. Until there are any, it rests on the short trials on the validation split, and says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vitae.experiments.records import load_records, load_trials
from vitae.report import tuning
from vitae.report.claims import LITTLE, MUCH
from vitae.report.evidence import basis
from vitae.report.statistics import guessing, intervals, share_gained
from vitae.support.markup import escaped


@dataclass(frozen=True)
class Finding:
    """A sentence with its numbers, and the runs that they come from."""

    sentence: str
    basis: str


@dataclass(frozen=True)
class _Question:
    """Does a model know `shown` from appearance alone, and `seen` from perspective alone?

    Attributes:
        subject: what the images show, in the plural.
        who: the model, in a sentence.
        shown, seen: a class and a number, names of factors.
        seen_as: what the number is called in a sentence.
    """

    dataset: str
    model: str
    subject: str
    who: str
    shown: str
    seen: str
    seen_as: str


_QUESTIONS = (
    # Not the rotation: handwriting has a slant of its own, as large, so nobody can tell the two apart.
    _Question("mnist", "c-vitae", "digits", "C-VITAE", "digit", "dx", "horizontal position"),
    _Question("smpl", "c-vitae", "bodies", "C-VITAE", "pose", "shape", "shape"),
    _Question("smpl", "archetypes", "bodies", "a model of our own, archetypes,", "pose", "shape", "shape"),
)


def findings(questions: Iterable[_Question] = _QUESTIONS) -> list[Finding]:
    """One finding for each question that there are runs for."""
    return [_answer(question, runs) for question in questions if (runs := _runs(question))]


def in_short(dataset: str, *models: str) -> str:
    """The findings of a chapter as Markdown, for its top; empty if there are none."""
    found = findings(each for each in _QUESTIONS if each.dataset == dataset and each.model in models)
    return "\n>\n".join(f"> **In short.** {escaped(each.sentence)} *({escaped(each.basis)})*" for each in found)


def _runs(question: _Question) -> list[dict]:
    """The converged runs of profile full; if there are none, the trial with the settings that are declared."""
    full = load_records("full", question.dataset, [question.model])
    converged = [record for record in full if (record.get("convergence") or {}).get("converged")]
    return converged or [
        trial
        for trial in load_trials(question.dataset)
        if trial["configuration"]["model"] == question.model and not tuning.changes(trial)
    ]


def _answer(question: _Question, runs: list[dict]) -> Finding:
    def known(space: str, factor: str) -> tuple[float, float]:
        """What probes reach, and which share of what there is to gain over guessing that is; means over the runs."""
        name = f"draws:{space}:{factor}"
        return intervals(runs, name)[question.model].mean, sum(share_gained(run, name) for run in runs) / len(runs)

    (shown_A, share_A), (shown_P, share_P) = (known(space, question.shown) for space in ("z_A", "z_P"))
    (seen_A, left_A), (seen_P, left_P) = (known(space, question.seen) for space in ("z_A", "z_P"))
    if min(share_A, left_P) >= MUCH and max(share_P, left_A) <= LITTLE:
        verb = "separates"
    elif max(share_P, left_A) >= MUCH:
        verb = "does not separate"
    else:
        verb = "only partly separates"
    chance = guessing(runs[0], question.shown)
    # Without a minus before zero.
    seen_A, seen_P = (round(reached, 2) + 0.0 for reached in (seen_A, seen_P))
    sentence = (
        f"On {question.subject}, {question.who} {verb} {question.shown} from {question.seen_as}. From appearance, a "
        f"probe names the {question.shown} in {shown_A:.0%} of the images (guessing: {chance:.0%}) and reads the "
        f"{question.seen_as} with R² {seen_A:.2f}; from perspective, {shown_P:.0%} and R² {seen_P:.2f}."
    )
    trial = "validation" in runs[0]["configuration"]["overrides"]
    rests_on = basis(runs) + (", a short trial on a validation split, not converged" if trial else "")
    return Finding(sentence, rests_on)
