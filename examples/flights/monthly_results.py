"""What a year of keeping a model came to: a table, and one drawing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from driftwheel.drift.finding import DriftReport
from driftwheel_cli.report.drawings import BEFORE, INK, NOW, WORSE, drawing

NEVER, MONTHLY, DRIFT, QUALITY = "never", "every month", "on major drift", "on lost quality"
COLOURS = {NEVER: BEFORE, MONTHLY: NOW, DRIFT: WORSE, QUALITY: "#4a8f3c"}
NAMES = ("", *["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])


@dataclass(frozen=True)
class Month:
    """How a month went, and what its end decided (empty when nothing was trained)."""

    month: int
    auc: float
    report: DriftReport
    decision: str
    reason: str


@dataclass(frozen=True)
class Asked:
    """One month of the winter model's traffic, against two references."""

    month: int
    fixed: DriftReport
    previous: DriftReport


def table(
    lived: Mapping[str, Sequence[Month]],
    against: Sequence[Asked],
    trainings: Mapping[str, tuple[int, int]],
) -> str:
    """Write both tables in Markdown."""
    lines = ["| AUC | " + " | ".join(lived) + " |", "|---" * (len(lived) + 1) + "|"]
    for rows in zip(*lived.values(), strict=True):
        cells = [f"{row.auc:.3f}" + {"promote": " ↑", "": ""}.get(row.decision, " ✗") for row in rows]
        lines.append(f"| {NAMES[rows[0].month]} | " + " | ".join(cells) + " |")
    means = [f"{mean(row.auc for row in rows):.3f}" for rows in lived.values()]
    lines.append("| mean | " + " | ".join(means) + " |")
    counts = [f"{made} ({won} promoted)" for made, won in trainings.values()]
    lines.append("| trainings | " + " | ".join(counts) + " |")
    lines += ["", "| month | against January and February | against the month before |", "|---|---|---|"]
    lines += [f"| {NAMES[one.month]} | {_moved(one.fixed)} | {_moved(one.previous)} |" for one in against]
    return "\n".join(lines)


def draw(lived: Mapping[str, Sequence[Month]]) -> str:
    """Draw the AUC of each month, with a mark where a model was trained at its end: filled when promoted."""
    with drawing(7.2, 3.2, "by month") as (axes, finish):
        for name, rows in lived.items():
            colour = COLOURS[name]
            made = [row for row in rows if row.decision]
            label = f"{name}: {len(made)} trainings, mean {mean(row.auc for row in rows):.3f}"
            places = [row.month for row in rows]
            dashes = "--" if name == DRIFT else "-"  # it may lie on another line
            values = [row.auc for row in rows]
            axes.plot(places, values, dashes, color=colour, linewidth=1.6, label=label)
            for row in made:
                fill = colour if row.decision == "promote" else "none"
                axes.plot([row.month], [row.auc], "o", color=colour, markerfacecolor=fill, markersize=5)
        axes.set_xticks(places, [NAMES[place] for place in places])
        axes.set_ylabel("AUC of the month's flights")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
        return finish().replace("currentColor", "#57606a") + "\n"


def _moved(report: DriftReport) -> str:
    """Name what drifted, the strongest first."""
    strong = [finding.feature for finding in report.findings if finding.magnitude == "strong"]
    slight = [finding.feature for finding in report.findings if finding.magnitude != "strong"]
    said = f"{report.severity} ({report.drifted_weight:.0%})"
    if strong:
        said += ": " + ", ".join(strong)
    return said + (f"; slightly {', '.join(slight)}" if slight else "")
