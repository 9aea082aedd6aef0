"""The options that say what the user pays."""

from typing import Annotated

import typer

from paceline.cli.evaluation.findings import Prices
from paceline.cli.option_group import with_options
from paceline.errors import ConfigError

PANEL = "Cost"


def prices_of(
    *,
    draft_core_hour_price: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Price of an hour of a core that drafts, or runs orchestrators.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    target_core_hour_price: Annotated[
        float | None,
        typer.Option(min=0, help="Price of an hour of a core of the target.", rich_help_panel=PANEL),
    ] = None,
    kwh_price: Annotated[
        float | None,
        typer.Option(min=0, help="Price of a kilowatt hour, where it is paid apart.", rich_help_panel=PANEL),
    ] = None,
    currency: Annotated[
        str, typer.Option(help="What prices are in; a name only.", rich_help_panel=PANEL)
    ] = "EUR",
    watts_per_core: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Power of a busy core, for machines whose energy cannot be read.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    cores_per_server: Annotated[
        int, typer.Option(min=1, help="Cores of a server.", rich_help_panel=PANEL)
    ] = 16,
    rate: Annotated[
        float,
        typer.Option(min=0, help="Tokens a second that servers are reckoned for.", rich_help_panel=PANEL),
    ] = 100.0,
) -> Prices:
    """Return what the options stand for; raises ConfigError where only a part of the prices is told."""
    if (draft_core_hour_price is None) != (target_core_hour_price is None):
        raise ConfigError(
            "give both --draft-core-hour-price and --target-core-hour-price, 0 for what costs nothing, or neither",
            setting="prices",
        )
    return Prices(
        draft_core_hour_price,
        target_core_hour_price,
        kwh_price,
        currency,
        watts_per_core,
        cores_per_server,
        rate,
    )


# Gives a command these options; they reach it as one argument, `prices`.
with_price_options = with_options(prices_of, "prices")
