"""The command line's own help, a section a command."""

import re
from typing import Any

import typer


def command_sections() -> str:
    """Return Markdown: what each command does, and a table of what it takes."""
    from backlit.cli.app import app

    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in sorted(_commands(group)):
        if command.hidden:
            continue
        usage = " ".join(["backlit", name, *map(_usage, command.params), "[OPTIONS]"])
        usage = re.sub(" +", " ", usage)
        parts += [f"## backlit {name}", "", f"```text\n{usage}\n```", "", _text(command.help), ""]
        rows = [_row(parameter) for parameter in command.params]
        parts += [
            "| argument, option | what it says |",
            "|---|---|",
            *[row for row in rows if row],
            "",
        ]
    return "\n".join(parts)


def _commands(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the commands by name; those of a group have two words."""
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += _commands(command, f"{prefix}{name} ")
        else:
            found.append((prefix + name, command))
    return found


def _usage(parameter: Any) -> str:
    if parameter.param_type_name != "argument":
        return ""
    name = (parameter.metavar or parameter.name.upper()) + (" ..." if parameter.nargs != 1 else "")
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str:
    if getattr(parameter, "hidden", False):
        return ""
    names = [*parameter.opts, *parameter.secondary_opts]
    shown = ", ".join(f"`{name}`" for name in names)
    if parameter.param_type_name == "argument":
        shown = f"`{parameter.metavar or parameter.name.upper()}`"
    text = _text(getattr(parameter, "help", None))
    default = parameter.default
    if default not in (None, False, (), []) and not callable(default):
        text += f" Default: {getattr(default, 'value', default)}."
    return f"| {shown} | {text} |"


def _text(help_text: str | None) -> str:
    text = re.sub(r"\[/?[a-z ]+\]", "", help_text or "")  # rich's marks
    text = re.sub(r"\s*\n(?!\n)\s*", " ", text.replace("\f", " ").replace("\b", ""))
    return re.sub(r"([*_|<>])", r"\\\1", text).strip()
