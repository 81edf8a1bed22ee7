"""The comma-separated options of ``mount -o``, as the command, mount(8) and fstab give them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from anvcs.errors import AnvcsError
from anvcs.views import FOLLOW

_FLAGS = frozenset({"allow_other", "default_permissions", "xattr"})
_VALUES = frozenset({"agent", "model", "stream", "new_stream", "from", "name", "follow"})
_CHOICES = {"follow": FOLLOW}
# What mount(8), fstab and the kernel say to each other: nothing for us to do.
_FOR_OTHERS = frozenset({
    "defaults", "rw", "auto", "noauto", "nofail", "_netdev", "user", "users", "nouser", "owner", "group",
    "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "relatime", "norelatime",
    "strictatime", "diratime", "nodiratime", "async", "sync", "silent", "loud",
})  # fmt: skip
_FOR_OTHERS_PREFIX = ("x-", "comment=", "user=", "uid=", "gid=", "fsname=", "subtype=")


class MountOptionInvalid(AnvcsError):
    """An option after ``-o`` that nobody knows."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"mount option {option!r}: {reason}")
        self.option = option


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What the options ask for; a flag that nobody mentioned is not in ``flags``."""

    read_only: bool = False
    flags: dict[str, bool] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def parse_options(given: Iterable[str]) -> MountOptions:
    """Read any number of option lists; the last word on an option counts."""
    options = MountOptions()
    for option in (item.strip() for text in given for item in text.split(",")):
        name, equals, value = option.partition("=")
        flag = name.removeprefix("no") if name.removeprefix("no") in _FLAGS else name
        if option in {"ro", "rw"}:
            options = replace(options, read_only=option == "ro")
        elif flag in _FLAGS and not equals:
            options.flags[flag] = flag == name
        elif name in _VALUES:
            if not value:
                raise MountOptionInvalid(option, f"needs a value: {name}=...")
            if name in _CHOICES and value not in _CHOICES[name]:
                raise MountOptionInvalid(option, f"must be one of {', '.join(_CHOICES[name])}")
            options.values[name] = value
        elif option and name not in _FOR_OTHERS and not option.startswith(_FOR_OTHERS_PREFIX):
            known = ", ".join(sorted(_FLAGS) + ["ro"] + [f"{known}=" for known in sorted(_VALUES)])
            raise MountOptionInvalid(option, f"unknown; there are {known}")
    return options
