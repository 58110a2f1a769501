"""What Snakemake prints while it builds: a line for each finished step, and what failed with its log.

`PYTHONPATH=book/_snakemake snakemake --logger steps ...`. On a terminal the last line says what runs now.
"""

import os
import re
import shutil
import sys
import time
from logging import ERROR, LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Rules of the Snakefile that run nothing themselves, so they are no steps.
_GATHERING = {"book", "runs", "table"}
# Where in the Snakefile an error was raised, which does not help who typed a wrong option.
_PLACE = re.compile(r'\w+ in file ".*|\s*File ".*')
# Before so many steps have finished, nothing can be said of the others.
_STEPS_BEFORE_ESTIMATE = 3


class LogHandler(LogHandlerBase):
    """Prints to stderr."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self._stream = sys.stderr
        self._counts: dict[str, int] = {}
        # Job -> its rule, its name for people, its logs and when it started.
        self._running: dict[int, tuple[str, str, list[str], float]] = {}
        self._took: dict[str, list[float]] = {}
        self._done = 0
        self._any_failed = False
        self._started = time.monotonic()

    def emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._counts = {rule: count for rule, count in record.stats.items() if rule not in {*_GATHERING, "total"}}
        elif event == LogEvent.JOB_INFO:
            if record.rule_name not in _GATHERING:
                name = Path(record.benchmark).name if record.benchmark else record.rule_name
                self._running[record.jobid] = (record.rule_name, name, record.log, time.monotonic())
        elif event == LogEvent.JOB_FINISHED:
            if record.job_id in self._running:
                self._report(record.job_id)
        elif event == LogEvent.JOB_ERROR:
            self._report_failure(record.jobid)
        # A failed step has its own line, with its log; the command itself is in the Snakefile.
        elif record.levelno >= ERROR and not self._any_failed and getattr(record, "exception", "") != "RuleException":
            lines = (line for line in record.getMessage().splitlines() if not _PLACE.fullmatch(line))
            self._print("\n".join(lines))
        self._show_running()

    def _report(self, job: int) -> None:
        rule, name, _, started = self._running.pop(job)
        seconds = time.monotonic() - started
        self._took.setdefault(rule, []).append(seconds)
        self._done += 1
        total = sum(self._counts.values())
        left = f"   about {self._minutes_left()} min left" if _STEPS_BEFORE_ESTIMATE <= self._done < total else ""
        self._print(f"{self._done:3} of {total}  {_clock(seconds):>6}  {name:44}{left}".rstrip())

    def _report_failure(self, job: int) -> None:
        self._any_failed = True
        _, name, logs, _ = self._running.pop(job, ("", "a step", [], 0.0))
        self._print(f"FAILED  {name}. Its whole log: {', '.join(logs)}")

    def _minutes_left(self) -> int:
        """Minutes until all steps are done, if those of a rule take as long as the finished ones did."""
        all_seconds = [seconds for took in self._took.values() for seconds in took]
        mean = sum(all_seconds) / len(all_seconds)
        left = 0.0
        for rule, count in self._counts.items():
            took = self._took.get(rule, [])
            left += (count - len(took)) * (sum(took) / len(took) if took else mean)
        at_a_time = sum(all_seconds) / (time.monotonic() - self._started)
        return max(1, round(left / at_a_time / 60))

    def _print(self, line: str) -> None:
        self._clear()
        print(line, file=self._stream, flush=True)

    def _show_running(self) -> None:
        if self._stream.isatty() and self._running:
            line = "now: " + "; ".join(name for _, name, *_ in self._running.values())
            self._clear()
            self._stream.write(line[: shutil.get_terminal_size().columns - 1])
            self._stream.flush()

    def _clear(self) -> None:
        if self._stream.isatty():
            self._stream.write("\r\x1b[K" if os.environ.get("TERM") != "dumb" else "\n")

    def close(self) -> None:
        self._clear()
        super().close()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
