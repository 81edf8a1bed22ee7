"""The file that ``ai-vcs init --config`` writes: every setting, commented out, with its default."""

import textwrap

from anvcs.config.kinds import Kind, Setting
from anvcs.config.schema import LATER, SECTIONS, settings

_HEAD = """\
# Settings of ANVCS for this repository.  Everything is optional; what is commented out shows the default.
# ${VAR} and ${VAR:-default} take values from the environment.  Check the file with: ai-vcs config check
"""

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def written(setting: Setting) -> str:
    """Return the default as the file would say it."""
    value = setting.default
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if setting.kind is Kind.SIZE:
        for unit, name in _UNITS:
            if value and int(str(value)) % unit == 0:
                return f"{int(str(value)) // unit}{name}"
    return str(value) if value != "" else '""'


def config_template() -> str:
    """Return the commented file; reading it gives the defaults."""
    lines = [_HEAD]
    outer = ""
    for section, kind in SECTIONS.items():
        above, _, name = section.rpartition(".")
        if above and above != outer:
            lines.append(f"{above}:")
        outer, indent = above, "  " * bool(above)
        lines.append(f"{indent}{name}:  # {(kind.__doc__ or '').splitlines()[0]}")
        for setting in settings():
            if setting.section == section:
                lines += [f"{indent}  # {line}" for line in textwrap.wrap(setting.doc, 96)]
                lines.append(f"{indent}  # {setting.name}: {written(setting)}")
        lines.append("")
    if LATER:
        lines.append("# Reserved for coming versions, accepted and not used yet: " + ", ".join(LATER) + ".")
    return "\n".join(lines) + "\n"
