"""The parts of an evaluation that can be left out."""

from enum import StrEnum

from paceline.errors import ConfigError


class Section(StrEnum):
    """What an evaluation looks into, in this order."""

    ACCEPTANCE = "acceptance"
    SPEED = "speed"
    LOAD = "load"
    MEMORY = "memory"
    QUANTISATION = "quantisation"
    COST = "cost"


def parse_sections(text: str) -> tuple[Section, ...]:
    """Return sections, named with commas between them, in the order of `Section`; raises ConfigError."""
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    known = [section.value for section in Section]
    if not wanted or not wanted <= set(known):
        raise ConfigError(f"--sections {text}: write one or several of {','.join(known)}", setting="sections")
    if Section.COST in wanted and not wanted & {Section.SPEED, Section.LOAD}:
        raise ConfigError(
            "--sections: cost is computed from what speed or load measure; add one of them",
            setting="sections",
        )
    return tuple(section for section in Section if section in wanted)
