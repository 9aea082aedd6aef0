"""What was done on what, in sentences."""

from datetime import datetime

from paceline.cli.evaluation.findings import Evaluation
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import COUNT, WATTS, to_figures


def title_of(evaluation: Located[Evaluation], tell: Teller, key: str = "page.title") -> str:
    """Return the question that a report answers."""
    targets = [tell.name(model.name) for model in evaluation.models if model.raw.role == "target"]
    return tell.say(key, target=targets[0] if targets else tell.word("roles", "target"))


def started(evaluation: Evaluation) -> str:
    """Return the beginning, to the minute."""
    return f"{datetime.fromisoformat(evaluation.about.started):%Y-%m-%d %H:%M} UTC"


def amount_of(evaluation: Located[Evaluation], tell: Teller) -> str:
    """Return how much was measured."""
    about = evaluation.about
    prompts = [
        tell.say("method.prompts", number=tell.number(number, COUNT), kind=tell.kind(kind))
        for kind, number in about.num_prompts_by_kind.items()
    ]
    return tell.say(
        "method.amounts",
        amount=tell.word("amounts", about.raw.amount),
        repeats=tell.number(about.num_repeats, COUNT),
        tokens=tell.number(about.max_tokens, COUNT),
        prompts=tell.series(prompts) if prompts else tell.missing("reasons.not-measured"),
    )


def prices_of(evaluation: Located[Evaluation], tell: Teller) -> str:
    """Return the prices that the user gave."""
    prices = evaluation.prices
    given = [
        tell.say(
            key, price=tell.number(price, to_figures(WATTS, price.raw)), currency=tell.name(prices.currency)
        )
        for key, price in (
            ("costs.price-draft", prices.draft_core_hour),
            ("costs.price-target", prices.target_core_hour),
            ("costs.price-kwh", prices.kwh),
            ("costs.price-watts", prices.watts_per_core),
        )
        if price.raw is not None
    ]
    return tell.say("costs.given", prices=tell.series(given)) if given else tell.say("costs.no-prices")
