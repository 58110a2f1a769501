"""What was found so far, in a few sentences: numbers from records, and beside each sentence what it rests on.

A sentence is about whether a model's two spaces are separate, by what probes read from posterior draws. It rests on the
converged runs of profile full. Until there are any, it rests on the short trials on the validation split, and says so.
"""

from dataclasses import dataclass

from vitae.experiments.configuration import configure
from vitae.experiments.records import is_superseded, load_records, load_trials
from vitae.report.evidence import basis
from vitae.report.statistics import guessing, intervals, share_gained
from vitae.support.markup import escaped

# A space knows a factor if probes gain at least this share of what there is to gain over guessing, and ignores it if
# they gain at most the other. Between the two it knows something of it.
_KNOWS, _IGNORES = 0.5, 0.1


@dataclass(frozen=True)
class Finding:
    """A sentence with its numbers, the runs that they come from, and what it is about."""

    sentence: str
    basis: str
    dataset: str
    model: str


@dataclass(frozen=True)
class _Question:
    """Does a model know `shown` from appearance alone, and `seen` from perspective alone?

    Attributes:
        subject: what the images show, in the plural.
        who: the model, in a sentence.
        shown, seen: a class and a number, names of factors.
    """

    dataset: str
    model: str
    subject: str
    who: str
    shown: str
    seen: str


_QUESTIONS = (
    _Question("mnist", "c-vitae", "digits", "C-VITAE", "digit", "rotation"),
    _Question("smpl", "c-vitae", "bodies", "C-VITAE", "pose", "shape"),
    _Question("smpl", "archetypes", "bodies", "a model of our own, archetypes,", "pose", "shape"),
)


def findings() -> list[Finding]:
    """One finding for each question that there are runs for."""
    return [_answer(question, runs) for question in _QUESTIONS if (runs := _runs(question))]


def in_short(dataset: str, *models: str) -> str:
    """The findings of a chapter as Markdown, for its top; empty if there are none."""
    chosen = [each for each in findings() if each.dataset == dataset and each.model in models]
    return "\n>\n".join(f"> **In short.** {escaped(each.sentence)} *({escaped(each.basis)})*" for each in chosen)


def _runs(question: _Question) -> list[dict]:
    """The converged runs of profile full; if there are none, the trial with the settings that are declared."""
    full = load_records("full", question.dataset, [question.model])
    converged = [r for r in full if not is_superseded(r) and (r["convergence"] or {}).get("converged")]
    if converged:
        return converged
    declared = configure(question.dataset, question.model, "full").as_json()
    model_settings = ("perspective", "perspective_decoder", "gamma_scale", "gamma_limit", "templates")
    return [
        trial
        for trial in load_trials(question.dataset)
        if trial["configuration"]["model"] == question.model
        and not is_superseded(trial)
        and all(trial["configuration"].get(name) == declared.get(name) for name in model_settings)
    ][:1]


def _answer(question: _Question, runs: list[dict]) -> Finding:
    def known(space: str, factor: str) -> tuple[float, float]:
        """What probes reach, and which share of what there is to gain over guessing that is; means over the runs."""
        name = f"draws:{space}:{factor}"
        return intervals(runs, name)[question.model].mean, sum(share_gained(run, name) for run in runs) / len(runs)

    (shown_A, share_A), (shown_P, share_P) = (known(space, question.shown) for space in ("z_A", "z_P"))
    (seen_A, left_A), (seen_P, left_P) = (known(space, question.seen) for space in ("z_A", "z_P"))
    if share_A >= _KNOWS and left_P >= _KNOWS and share_P <= _IGNORES and left_A <= _IGNORES:
        verb = "separates"
    elif share_P >= _KNOWS or left_A >= _KNOWS:
        verb = "does not separate"
    else:
        verb = "only partly separates"
    chance = guessing(runs[0], question.shown)
    # Without a minus before zero.
    seen_A, seen_P = (round(reached, 2) + 0.0 for reached in (seen_A, seen_P))
    sentence = (
        f"On {question.subject}, {question.who} {verb} {question.shown} from {question.seen}. From appearance, a probe "
        f"names the {question.shown} in {shown_A:.0%} of the images (guessing: {chance:.0%}) and reads the "
        f"{question.seen} with R² {seen_A:.2f}; from perspective, {shown_P:.0%} and R² {seen_P:.2f}."
    )
    trial = "validation" in runs[0]["configuration"]["overrides"]
    rests_on = basis(runs) + (", a short trial on a validation split, not converged" if trial else "")
    return Finding(sentence, rests_on, question.dataset, question.model)
