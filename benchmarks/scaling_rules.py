"""The rules by which `template.yaml` and `infra/worker.yaml` scale the workers, read from there and made executable."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

_ROOT = Path(__file__).parents[1]
_MINUTE_S = 60
_COMPARE: dict[type, Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPUTE: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_THRESHOLDS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
}


def evaluate(expression: str, metrics: Mapping[str, float]) -> float:
    """Return the value of a CloudWatch metric expression: arithmetic, comparisons, `IF` and `FILL` of known metrics."""
    return _value(ast.parse(expression, mode="eval").body, metrics)


def _value(node: ast.expr, metrics: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return metrics[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _COMPUTE[type(op)](_value(left, metrics), _value(right, metrics))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return float(_COMPARE[type(op)](_value(left, metrics), _value(right, metrics)))
        case ast.Call(func=ast.Name(id="IF"), args=[condition, yes, no]):
            return _value(yes if _value(condition, metrics) else no, metrics)
        case ast.Call(func=ast.Name(id="FILL"), args=[metric, _]):
            return _value(metric, metrics)
    raise ValueError(f"a metric expression that the simulation does not know: {ast.unparse(node)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRule:
    """An alarm, and the number of tasks that it sets."""

    expression: str
    is_breached: Callable[[float, float], bool]
    threshold: float
    minutes: int
    """How many minutes in a row."""
    steps: tuple[tuple[float, float, int], ...]
    """From, below, tasks; bounds are relative to the threshold."""
    is_change: bool
    """Whether a step's tasks are added to those that there are, rather than put in their place."""
    cooldown_s: float

    def tasks(self, values: Sequence[float], *, wanted: int) -> int | None:
        """Return what the last minutes' values, newest last, ask for; None where they ask for nothing."""
        recent = values[-self.minutes :]
        if len(recent) < self.minutes or not all(self.is_breached(value, self.threshold) for value in recent):
            return None
        over = recent[-1] - self.threshold
        step = next(tasks for low, high, tasks in self.steps if low <= over < high)
        return wanted + step if self.is_change else step


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All of it."""

    least: int
    most: int
    from_zero: StepRule
    one_less: StepRule
    to_zero: StepRule
    share: str
    """Expression that target tracking keeps at its target."""
    target: float
    out_cooldown_s: float
    assumed_item_s: float


def read(**parameters: float) -> Rules:
    """Return the rules of the templates, with their default parameters but for those that are given."""
    stack = _template("template.yaml")
    known = {name: parameter.get("Default") for name, parameter in stack["Parameters"].items()} | parameters
    workers = _template("infra/worker.yaml")["Resources"]
    properties = {name: resource.get("Properties", {}) for name, resource in workers.items()}
    tracking = properties["Follow"]["TargetTrackingScalingPolicyConfiguration"]
    if not tracking["DisableScaleIn"]:
        raise ValueError("the simulation knows target tracking upwards only")
    [share] = [one for one in tracking["CustomizedMetricSpecification"]["Metrics"] if one["ReturnData"]]
    return Rules(
        least=int(_number(properties["Scaling"]["MinCapacity"], known)),
        most=int(_number(properties["Scaling"]["MaxCapacity"], known)),
        from_zero=_step_rule(properties["FromZeroAlarm"], properties["FromZero"], known),
        one_less=_step_rule(properties["OneLessAlarm"], properties["OneLess"], known),
        to_zero=_step_rule(properties["ToZeroAlarm"], properties["ToZero"], known),
        share=_text(share["Expression"], known),
        target=_number(tracking["TargetValue"], known),
        out_cooldown_s=_number(tracking["ScaleOutCooldown"], known),
        assumed_item_s=_number(known["AssumedItemS"], known),
    )


def _step_rule(alarm: Mapping[str, Any], policy: Mapping[str, Any], known: Mapping[str, Any]) -> StepRule:
    expressions = [one["Expression"] for one in alarm.get("Metrics", []) if one["ReturnData"]]
    periods = (
        [alarm["Period"]]
        if "Period" in alarm
        else [one["MetricStat"]["Period"] for one in alarm["Metrics"] if "MetricStat" in one]
    )
    if set(periods) != {_MINUTE_S} or alarm["EvaluationPeriods"] != alarm["DatapointsToAlarm"]:
        raise ValueError("the simulation knows alarms over whole runs of minutes only")
    configuration = policy["StepScalingPolicyConfiguration"]
    steps = tuple(
        (
            float(step.get("MetricIntervalLowerBound", "-inf")),
            float(step.get("MetricIntervalUpperBound", "inf")),
            int(step["ScalingAdjustment"]),
        )
        for step in configuration["StepAdjustments"]
    )
    return StepRule(
        expression=_text(expressions[0], known) if expressions else "backlog",
        is_breached=_THRESHOLDS[alarm["ComparisonOperator"]],
        threshold=float(alarm["Threshold"]),
        minutes=int(alarm["EvaluationPeriods"]),
        steps=steps,
        is_change=configuration["AdjustmentType"] == "ChangeInCapacity",
        cooldown_s=float(configuration["Cooldown"]),
    )


def _template(name: str) -> dict[str, Any]:
    return dict(yaml_parse((_ROOT / name).read_text(encoding="utf-8")))


def _number(value: Any, known: Mapping[str, Any]) -> float:
    return float(known[value["Ref"]] if isinstance(value, dict) else value)


def _text(value: Any, known: Mapping[str, Any]) -> str:
    if isinstance(value, str):
        return value
    text: str = value["Fn::Sub"]
    for name, number in known.items():
        text = text.replace(f"${{{name}}}", str(number))
    return text
